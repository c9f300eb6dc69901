"""Trajectories made in memory and run directories made on disk."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from analysis.trajectory import IMAGE_FLAGS, Trajectory, masses_of


@dataclass(frozen=True)
class ArraySource:
    positions: np.ndarray

    def read(self, start, stop, ids):
        return self.positions[start:stop][:, ids]


def make_trajectory(
    positions,
    *,
    species="Li",
    cell=1000.0,
    frame_interval_ps=1.0,
    temperature_kelvin=300.0,
    motion_convention=IMAGE_FLAGS,
):
    n_frames, n_atoms, _ = positions.shape
    symbols = [species] * n_atoms if isinstance(species, str) else list(species)
    cells = np.asarray(cell, dtype=float)
    if cells.ndim == 0:
        cells = np.eye(3) * cells
    if cells.ndim == 2:
        cells = np.tile(cells, (n_frames, 1, 1))
    return Trajectory(
        path=Path("memory"),
        species=np.array(symbols),
        masses=masses_of(symbols, Path("memory")),
        frame_interval_ps=frame_interval_ps,
        cells=cells,
        temperature_kelvin=temperature_kelvin,
        ensemble="nvt",
        motion_convention=motion_convention,
        source=ArraySource(np.asarray(positions, dtype=float)),
    )


def brownian(rng, n_atoms, n_frames, D=0.05, interval_ps=1.0):
    steps = rng.normal(0.0, np.sqrt(2 * D * interval_ps), (n_frames - 1, n_atoms, 3))
    return np.concatenate([np.zeros((1, n_atoms, 3)), np.cumsum(steps, axis=0)])


def lattice_hops(rng, n_atoms, n_frames, probability=0.02, length=3.0, group=1):
    """Hop along a cubic axis with a probability per frame, atoms in groups together."""
    n = n_atoms // group
    hops = rng.random((n_frames - 1, n)) < probability
    axis = rng.integers(0, 3, (n_frames - 1, n))
    sign = rng.choice([-1, 1], (n_frames - 1, n))
    steps = np.zeros((n_frames - 1, n, 3))
    np.put_along_axis(steps, axis[..., None], (hops * sign * length)[..., None], 2)
    steps = np.repeat(steps, group, axis=1)
    return np.concatenate([np.zeros((1, n_atoms, 3)), np.cumsum(steps, axis=0)])


def ornstein_uhlenbeck(rng, n_atoms, n_frames, relaxation_frames, width):
    """Harmonic cage with equilibrium standard deviation `width` per axis."""
    keep = np.exp(-1.0 / relaxation_frames)
    positions = np.empty((n_frames, n_atoms, 3))
    positions[0] = rng.normal(0.0, width, (n_atoms, 3))
    noise = rng.normal(0.0, width * np.sqrt(1 - keep**2), (n_frames, n_atoms, 3))
    for t in range(1, n_frames):
        positions[t] = keep * positions[t - 1] + noise[t]
    return positions


def reversing_hops(rng, n_atoms, n_frames, probability=0.02, reversal=0.3, length=3.0):
    """Hops each of which undoes the one before with probability `reversal`.

    The mean cosine between hops n apart is (-reversal)**n, so that
    D = length**2 probability / 6 (1 - reversal) / (1 + reversal).
    """
    atom, frame = np.nonzero((rng.random((n_frames - 1, n_atoms)) < probability).T)
    fresh = rng.random(len(atom)) >= reversal
    fresh[np.flatnonzero(np.diff(atom, prepend=-1))] = True
    event = np.arange(len(atom))
    source = np.maximum.accumulate(np.where(fresh, event, 0))
    sign = rng.choice([-1.0, 1.0], len(atom))[source] * (-1.0) ** (event - source)
    axis = rng.integers(0, 3, len(atom))[source]
    positions = np.zeros((n_frames, n_atoms, 3))
    positions[frame + 1, atom, axis] = sign * length
    return np.cumsum(positions, axis=0)


def two_populations(rng, n_atoms, n_frames, D=0.05, ratio=10.0):
    """Brownian atoms, each with `D` or slower by `ratio` with equal chance, for good."""
    slower = np.where(rng.random(n_atoms) < 0.5, 1.0, 1.0 / np.sqrt(ratio))
    return brownian(rng, n_atoms, n_frames, D) * slower[:, None]


TRICLINIC = np.array([[11.0, 0.0, 0.0], [2.5, 10.0, 0.0], [-1.5, 2.0, 9.0]])


def write_dcd(path, positions, cell, *, first_step, every_steps):
    """Write the DCD layout of LAMMPS: header, then cell, x, y and z records."""
    n_frames, n_atoms, _ = positions.shape
    control = [n_frames, first_step, every_steps, first_step + (n_frames - 1) * every_steps]
    control += [0] * 5 + [0] + [1] + [0] * 8 + [24]
    title = b"Written by a test".ljust(80) * 2
    data = struct.pack("<i4s20ii", 84, b"CORD", *control, 84)
    data += struct.pack("<ii160si", 164, 2, title, 164) + struct.pack("<iii", 4, n_atoms, 4)
    lengths = np.linalg.norm(cell, axis=1)
    cosines = (cell @ cell.T) / np.outer(lengths, lengths)
    record = (lengths[0], cosines[0, 1], lengths[1], cosines[0, 2], cosines[1, 2], lengths[2])
    for frame in positions.astype("<f4"):
        data += struct.pack("<i6di", 48, *record, 48)
        for axis in range(3):
            data += struct.pack("<i", 4 * n_atoms) + np.ascontiguousarray(frame[:, axis]).tobytes()
            data += struct.pack("<i", 4 * n_atoms)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


XU, X, XS, XSU = "xu yu zu", "x y z", "xs ys zs", "xsu ysu zsu"
IMAGES = "ix iy iz"


def write_dump(
    path,
    positions,
    cells,
    columns,
    *,
    types,
    corner=(0.0, 0.0, 0.0),
    every_steps=10,
    box="restricted",
    rng=None,
    boundary="pp pp pp",
    extra_items="",
):
    """Write a LAMMPS text dump of unwrapped positions relative to the corner of the box.

    `types` are numbers, or names for the column `element`; with `rng` the order of atoms changes
    from frame to frame.
    """
    n_frames, n_atoms, _ = positions.shape
    cells = np.broadcast_to(cells, (n_frames, 3, 3))
    named = isinstance(types[0], str)
    lines = []
    for index, (place, cell) in enumerate(zip(positions, cells, strict=True)):
        fractional = place @ np.linalg.inv(cell)
        images = np.floor(fractional)
        table = {}
        for names, values in {
            XU: place + corner,
            X: (fractional - images) @ cell + corner,
            XS: fractional - images,
            XSU: fractional,
            IMAGES: images.astype(int),
        }.items():
            table |= dict(zip(names.split(), values.T, strict=True))
        order = np.arange(n_atoms) if rng is None else rng.permutation(n_atoms)
        lines += extra_items.format(index=index).splitlines()
        lines += ["ITEM: TIMESTEP", str(index * every_steps), "ITEM: NUMBER OF ATOMS", str(n_atoms)]
        lines += _box_lines(cell, np.asarray(corner), box, boundary)
        kind = "element" if named else "type"
        lines.append(f"ITEM: ATOMS id {kind} {columns} vx")
        for i in order:
            row = " ".join(repr(table[name][i].item()) for name in columns.split())
            lines.append(f"{i + 1} {types[i]} {row} 0.5")
    path.write_text("\n".join(lines) + "\n")
    return path


def _box_lines(cell, corner, box, boundary):
    if box == "general":
        rows = [[*cell[k], corner[k]] for k in range(3)]
        head = "abc origin "
    else:
        high = corner + np.diag(cell)
        (xy, xz), yz = cell[1:, 0], cell[2, 1]
        rows = np.array([corner, high]).T.tolist()
        head = ""
        if xy or xz or yz:
            head = "xy xz yz "
            rows[0][0] += min(0.0, xy, xz, xy + xz)
            rows[0][1] += max(0.0, xy, xz, xy + xz)
            rows[1][0] += min(0.0, yz)
            rows[1][1] += max(0.0, yz)
            rows = [[*row, tilt] for row, tilt in zip(rows, (xy, xz, yz), strict=True)]
    return [
        f"ITEM: BOX BOUNDS {head}{boundary}",
        *(" ".join(f"{number:.17g}" for number in row) for row in rows),
    ]


def write_xdatcar(path, positions, cells, species, *, wrap=True):
    """Write an XDATCAR; `species` must come in blocks. A cell per frame repeats the header."""
    varying = np.ndim(cells) == 3
    cells = np.broadcast_to(cells, (len(positions), 3, 3))
    names = list(dict.fromkeys(species))
    lines = []
    for index, (place, cell) in enumerate(zip(positions, cells, strict=True)):
        if index == 0 or varying:
            lines += ["toy", "  1.0", *(" ".join(f"{x:.17g}" for x in row) for row in cell)]
            lines += [" ".join(names), " ".join(str(list(species).count(name)) for name in names)]
        lines.append(f"Direct configuration= {index + 1:5d}")
        fractional = place @ np.linalg.inv(cell)
        fractional = fractional % 1.0 if wrap else fractional
        lines += [" ".join(f"{x:.17g}" for x in row) for row in fractional]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_run(directory, positions, species, cell, *, segments, every_steps=50, timestep_fs=2.0):
    """Write a run directory.

    `segments` lists (first frame, last frame, frames in the file, purpose); a file may hold more
    frames than its segment counts.
    """
    directory.mkdir(parents=True, exist_ok=True)
    atoms = Atoms(species, positions=positions[0], cell=cell, pbc=True)
    atoms.set_array("origin", np.array(["crystal"] * len(atoms)))
    write(directory / "structure.extxyz", atoms, format="extxyz")
    entries = []
    for n, (first, last, in_file, purpose) in enumerate(segments):
        file = f"stages/02_produce/segment.{n}.dcd"
        frames = positions[first : first + in_file]
        write_dcd(
            directory / file, frames, cell, first_step=first * every_steps, every_steps=every_steps
        )
        entries.append(
            {
                "file": file,
                "first_step": first * every_steps,
                "last_step": last * every_steps,
                "every_steps": every_steps,
                "timestep_fs": timestep_fs,
                "stage": "produce" if purpose == "production" else "settle",
                "ensemble": "nvt",
                "temperature_kelvin": 1000.0,
                "purpose": purpose,
            }
        )
    record = {"schema": 1, "streams": [{"name": "main", "segments": entries}]}
    (directory / "trajectory.json").write_text(json.dumps(record))
    return directory
