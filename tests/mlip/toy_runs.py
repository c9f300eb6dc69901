"""Small labelled trajectories with exact energies, forces and virials, and files of them."""

from __future__ import annotations

import copy
import functools
import gzip
from pathlib import Path

import ase.io
import numpy as np
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

from mlip.data.frames import BOHR_ANGSTROM, EV_PER_ANGSTROM3_GPA, HARTREE_EV, Frames

INPUT = """&GLOBAL
  PROJECT toy
&END GLOBAL
&MOTION
  &MD
    ENSEMBLE {ensemble}
    TIMESTEP {timestep}
    &REFTRAJ
      TRAJ_FILE_NAME given.xyz
    &END REFTRAJ
  &END MD
  &PRINT
    &TRAJECTORY
      FORMAT XYZ{position_unit}
    &END TRAJECTORY
  &END PRINT
&END MOTION
&FORCE_EVAL
  &DFT
    &MGRID
      CUTOFF {cutoff}
      REL_CUTOFF 50
    &END MGRID
    &SCF
      EPS_SCF 1.0E-6
    &END SCF
    &XC
      &XC_FUNCTIONAL PBE
      &END XC_FUNCTIONAL
    &END XC
  &END DFT
  &SUBSYS
    &KIND Li
      BASIS_SET DZVP-MOLOPT-SR-GTH
      POTENTIAL GTH-PBE-q3
    &END KIND
  &END SUBSYS
&END FORCE_EVAL
"""


def toy_frames(
    count: int = 12, *, seed: int = 1, timestep_fs: float = 5.0, strain: float = 0.0
) -> Frames:
    """Return atoms of a Lennard-Jones crystal on smooth paths, labels from the potential."""
    # A copy each time: tests spoil the arrays.
    return copy.deepcopy(_toy_frames(count, seed, timestep_fs, strain))


@functools.cache
def _toy_frames(count: int, seed: int, timestep_fs: float, strain: float) -> Frames:
    rng = np.random.default_rng(seed)
    cell = bulk("Ar", "fcc", a=4.0, cubic=True).repeat(2)
    symbols = ["Li", "P", "S", "S"] * 8
    at_rest, box = cell.positions, cell.cell.array
    amplitude = rng.normal(0.0, 0.12, at_rest.shape)
    phase = rng.uniform(0, 2 * np.pi, at_rest.shape)
    period_fs = rng.uniform(150.0, 400.0, at_rest.shape)
    coords, cells, energies, forces, virials = [], [], [], [], []
    for k in range(count):
        moved = at_rest + amplitude * np.sin(phase + 2 * np.pi * k * timestep_fs / period_fs)
        stretch = np.eye(3) * (1.0 + strain * np.sin(2 * np.pi * k / 7.0))
        atoms = ase.Atoms(symbols, positions=moved @ stretch, cell=box @ stretch, pbc=True)
        atoms.calc = LennardJones(epsilon=0.4, sigma=2.5, rc=5.5, ro=4.5, smooth=True)
        coords.append(atoms.positions)
        cells.append(atoms.cell.array)
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        virials.append(-atoms.get_volume() * atoms.get_stress(voigt=False))
    return Frames(
        symbols=tuple(symbols),
        coords=np.array(coords),
        cells=np.array(cells),
        energies=np.array(energies),
        forces=np.array(forces),
        virials=np.array(virials),
        steps=np.arange(count),
        times_ps=np.arange(count) * timestep_fs * 1e-3,
        files=(),
    )


def write_cp2k(
    directory: Path,
    frames: Frames,
    *,
    ensemble: str = "NVT",
    cutoff: str = "400",
    position_unit: str = "",
    stress_unit: str = "GPa",
    table_scale: float = 1.0,
    lacking: dict[str, set[int]] | None = None,
    unconverged: frozenset[int] | set[int] = frozenset(),
    order: list[int] | None = None,
    log: bool = True,
    compress: bool = False,
) -> Path:
    """Write a run directory as CP2K 2023.1 does.

    `order` lists frames as they are printed (repeats for a restart), `lacking` the frames
    missing from a file by its suffix.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lacking = lacking or {}
    order = list(range(len(frames))) if order is None else order
    reftraj = ensemble == "REFTRAJ"
    kinetic = 0.0 if reftraj else 0.18
    texts = dict.fromkeys(("pos-1.xyz", "frc-1.xyz", "1.ener", "1.cell", "1.stress"), "")
    texts["1.ener"] = (
        "#     Step Nr.          Time[fs]        Kin.[a.u.]          Temp[K]            "
        "Pot.[a.u.]        Cons Qty[a.u.]        UsedTime[s]\n"
    )
    axes = "       ".join(f"{a}{x} [Angstrom]" for a in "ABC" for x in "xyz")
    texts["1.cell"] = f"#   Step   Time [fs]       {axes}      Volume [Angstrom^3]\n"
    names = "            ".join(f"{a}{b} [bar]" for a in "xyz" for b in "xyz")
    texts["1.stress"] = f"#   Step   Time [fs]            {names}\n"
    output = (
        " CP2K| version string:                                       CP2K version 2023.1\n"
        "  **** **** ******  **  PROGRAM STARTED AT               2026-01-01 00:00:00.000\n"
        f" MD_PAR| Ensemble type                                 {ensemble}\n"
    )
    unit_gpa = {"GPa": 1.0, "bar": 1e-4}[stress_unit]
    for k in order:
        step = int(frames.steps[k])
        time = 0.0 if reftraj else float(frames.times_ps[k]) * 1e3
        volume = float(frames.volumes[k])
        energy = frames.energies[k] / HARTREE_EV
        stress = frames.virials[k] / volume * EV_PER_ANGSTROM3_GPA
        gas = 2 * kinetic * HARTREE_EV / (3 * volume) * EV_PER_ANGSTROM3_GPA
        total = np.zeros((3, 3)) if reftraj else (stress + gas * np.eye(3)) * table_scale
        title = f" i = {step:8d}, time = {time:12.3f}, E = {energy:20.10f}\n"
        rows = {
            "pos-1.xyz": _block(frames.symbols, title, frames.coords[k]),
            "frc-1.xyz": _block(
                frames.symbols, title, frames.forces[k] / (HARTREE_EV / BOHR_ANGSTROM)
            ),
            "1.ener": f"{step:10d} {time:.6f} {kinetic:.9f} {600 * (kinetic > 0):.9f} "
            f"{energy:.9f} {0.0:.9f} {1.0:.9f}\n",
            "1.cell": _row(step, time, [*frames.cells[k].ravel(), volume]),
            "1.stress": _row(step, time, (total * 1e4).ravel()),
        }
        for suffix, text in rows.items():
            if step not in lacking.get(suffix, set()):
                texts[suffix] += text
        if step in unconverged:
            output += "  *** SCF run NOT converged ***\n"
        output += f" ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:      {energy:.15f}\n\n"
        output += f" STRESS| Analytical stress tensor [{stress_unit}]\n"
        output += " STRESS|                        x                   y                   z\n"
        for axis, values in zip("xyz", stress / unit_gpa, strict=True):
            output += f" STRESS|      {axis} " + " ".join(f"{v:19.11E}" for v in values) + "\n"
    files = {f"toy-{suffix}": text for suffix, text in texts.items()}
    files["toy.inp"] = INPUT.format(
        ensemble=ensemble, timestep=1.0, cutoff=cutoff, position_unit=position_unit
    )
    if log:
        files["toy.out"] = output
    for name, text in files.items():
        if compress and name != "toy.inp":
            with gzip.open(directory / f"{name}.gz", "wt") as handle:
                handle.write(text)
        else:
            (directory / name).write_text(text)
    return directory


def write_npy(directory: Path, frames: Frames) -> Path:
    """Write a DeePMD npy system."""
    part = directory / "set.000"
    part.mkdir(parents=True)
    names = sorted(set(frames.symbols))
    (directory / "type_map.raw").write_text("\n".join(names) + "\n")
    types = [str(names.index(s)) for s in frames.symbols]
    (directory / "type.raw").write_text("\n".join(types) + "\n")
    count = len(frames)
    np.save(part / "coord.npy", frames.coords.reshape(count, 3 * len(types)))
    np.save(part / "force.npy", frames.forces.reshape(count, 3 * len(types)))
    np.save(part / "energy.npy", frames.energies)
    np.save(part / "box.npy", frames.cells.reshape(count, 9))
    if frames.virials is not None:
        np.save(part / "virial.npy", frames.virials.reshape(count, 9))
    return directory


def write_extxyz(path: Path, frames: Frames) -> Path:
    """Write an extended XYZ file with energy, forces and stress."""
    images = []
    for k in range(len(frames)):
        atoms = ase.Atoms(
            frames.symbols, positions=frames.coords[k], cell=frames.cells[k], pbc=True
        )
        stress = -frames.virials[k] / frames.volumes[k]
        atoms.calc = SinglePointCalculator(
            atoms, energy=frames.energies[k], forces=frames.forces[k], stress=stress
        )
        images.append(atoms)
    ase.io.write(path, images, format="extxyz")
    return path


def _block(symbols: tuple[str, ...], title: str, values: np.ndarray) -> str:
    body = "".join(
        f"{s:>3s}" + "".join(f"{v:20.10f}" for v in row) + "\n"
        for s, row in zip(symbols, values, strict=True)
    )
    return f"{len(symbols):8d}\n{title}{body}"


def _row(step: int, time: float, values) -> str:
    return f"{step:8d} {time:11.3f}" + "".join(f"{v:22.10f}" for v in values) + "\n"
