"""Forces of a committee against DFT of other groups, and against the labels of this project.

    python training_data/reference/foreign_forces.py frames --data ../shared/data --out DIR
    mlip label DIR/labelled/*.extxyz --out DIR/labels
    python training_data/reference/foreign_forces.py compare --model MODEL --out DIR

`frames` takes evenly spaced frames of each set below, some of which are also labelled at the level
of this project (small cells with an even number of electrons). `compare` prints root mean square
differences of force components, meV/Å: the potential against the other group, the potential
against the own labels, and own labels against the other group: the floor that two bases and codes
set. The sets are not part of the repository.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import ase.io
import numpy as np
from ase import Atoms

from mlip.model_directory import read_model_directory
from mlip.validation.predictions import committee_mean, predict, read_predicted


class ForeignSet(NamedTuple):
    """Frames of another group: where, how many are compared, and how many labelled."""

    name: str
    path: str
    phase: str
    compared: int
    labelled: int


SETS = (
    ForeignSet("beta-3000K", "lips20_dft/beta-Li3PS4", "superheated crystal", 40, 4),
    ForeignSet("glass-67", "lips_glass_dpgen/g67", "glass and melt", 20, 0),
    ForeignSet("glass-70", "lips_glass_dpgen/g70", "glass and melt", 20, 0),
    ForeignSet("li7p3s11-520K", "lips_li6.75p3s11_520K", "crystal", 40, 0),
)


class Frames(NamedTuple):
    """Frames of one composition, as `predict` takes them."""

    symbols: list[str]
    coords: np.ndarray
    cells: np.ndarray


def read_set(path: Path) -> list[tuple[Atoms, np.ndarray]]:
    """Read all frames of a set with their forces, eV/Å: DeePMD npy or extxyz."""
    files = sorted(path.glob("*.extxyz"))
    if files:
        frames = ase.io.read(files[0], ":")
        return [(_bare(atoms), atoms.get_forces()) for atoms in frames]
    roots = sorted(path.glob("**/type.raw"))
    if not roots:
        raise SystemExit(f"{path}: neither *.extxyz nor type.raw; give the folder with --data.")
    read = []
    for root in (found.parent for found in roots):
        names = (root / "type_map.raw").read_text().split()
        symbols = [names[kind] for kind in np.loadtxt(root / "type.raw", dtype=int, ndmin=1)]
        for part in sorted(root.glob("set.*")):
            arrays = [np.load(part / f"{name}.npy") for name in ("coord", "box", "force")]
            for coord, box, force in zip(*arrays, strict=True):
                atoms = Atoms(symbols, coord.reshape(-1, 3), cell=box.reshape(3, 3), pbc=True)
                read.append((atoms, force.reshape(-1, 3).astype(float)))
    return read


def write_frames(data: Path, out: Path) -> None:
    """Write the chosen frames, with the other group's forces, and those to be labelled."""
    (out / "labelled").mkdir(parents=True, exist_ok=True)
    for chosen in SETS:
        everything = read_set(data / chosen.path)
        frames = [everything[k] for k in _evenly(len(everything), chosen.compared)]
        written = []
        for k, (atoms, forces) in enumerate(frames):
            entry = atoms.copy()
            entry.arrays["foreign_forces"] = forces
            entry.info["config_type"] = f"{chosen.name}/{k}"
            written.append(entry)
        ase.io.write(out / f"{chosen.name}.extxyz", written, format="extxyz")
        if chosen.labelled:
            picked = [written[k] for k in _evenly(len(written), chosen.labelled)]
            ase.io.write(
                out / "labelled" / f"{chosen.name}.extxyz",
                [_bare(atoms, atoms.info["config_type"]) for atoms in picked],
                format="extxyz",
            )


def compare(model: Path, out: Path) -> None:
    """Print the table of differences."""
    members = read_model_directory(model).members
    own = _own_labels(out / "labels")
    print("| set | phase | frames | model - foreign | labelled | model - own | own - foreign |")
    print("|---|---|---|---|---|---|---|")
    for chosen in SETS:
        frames = ase.io.read(out / f"{chosen.name}.extxyz", ":")
        forces = _predicted(members, frames)
        foreign = [atoms.arrays["foreign_forces"] for atoms in frames]
        ours = [own.get(atoms.info["config_type"]) for atoms in frames]
        both = [k for k, label in enumerate(ours) if label is not None]
        cells: list[Any] = [chosen.name, chosen.phase, len(frames), _rms(forces, foreign)]
        cells.append(len(both))
        if both:
            labels = [ours[k] for k in both]
            cells.append(_rms([forces[k] for k in both], labels))
            cells.append(_rms(labels, [foreign[k] for k in both]))
        else:
            cells += ["-", "-"]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


def _predicted(members: tuple[Path, ...], frames: list[Atoms]) -> list[np.ndarray]:
    system = Frames(
        frames[0].get_chemical_symbols(),
        np.array([atoms.positions for atoms in frames]),
        np.array([atoms.cell.array for atoms in frames]),
    )
    with tempfile.TemporaryDirectory() as folder:
        predict(members, [system], Path(folder), "foreign forces", "foreign")
        mean = committee_mean([read_predicted(Path(folder), member, 0) for member in members])
    return list(mean.forces)


def _own_labels(labels: Path) -> dict[str, np.ndarray]:
    if not (labels / "labels.extxyz").is_file():
        return {}
    frames = ase.io.read(labels / "labels.extxyz", ":")
    return {atoms.info["config_type"]: atoms.get_forces() for atoms in frames}


def _rms(one: list[Any], other: list[Any]) -> int:
    squares = np.concatenate([np.square(a - b).ravel() for a, b in zip(one, other, strict=True)])
    return round(1000 * float(np.sqrt(squares.mean())))


def _evenly(count: int, wanted: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()))


def _bare(atoms: Atoms, config_type: str = "") -> Atoms:
    bare = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    if config_type:
        bare.info["config_type"] = config_type
    return bare


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("frames", "compare"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, default=Path("models/li3ps4-pbe-d3"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.step == "frames":
        write_frames(arguments.data, arguments.out)
    else:
        compare(arguments.model, arguments.out)


if __name__ == "__main__":
    main()
