"""Reader of Quantum ESPRESSO cp.x trajectories: dpdata, checked with the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlip.data.agreement import Reading, require_agreement
from mlip.data.frames import BOHR_ANGSTROM, HARTREE_EV, FloatArray, Frames, IntArray
from mlip.data.libraries import read_with_dpdata
from mlip.data.quantum_espresso_level import cp_level
from mlip.data.sources import beside, plain_name, read_text, unpacked
from mlip.errors import DataError

# Lattices that dpdata builds from celldm(1); others it replaces by a unit matrix.
KNOWN_LATTICES = {"0", "1", "2", "3", "-3"}


@dataclass(frozen=True)
class _Blocks:
    """A cp.x file of blocks: ``step time`` and rows of three numbers."""

    steps: IntArray
    times_ps: FloatArray
    values: FloatArray


def cp_files(path: Path) -> dict[str, Path]:
    """Return the files of the run whose ``.pos`` file is `path`, by ending.

    Raises
    ------
    DataError
        Naming each file that is missing.
    """
    prefix = Path(plain_name(path)).stem
    found = {
        ending: file
        for ending in ("in", "pos", "for", "evp", "cel")
        if (file := beside(path, f"{prefix}.{ending}"))
    }
    missing = [f"{prefix}.{name}" for name in ("in", "pos", "for", "evp") if name not in found]
    if missing:
        raise DataError(
            f"{path.parent}: no {', '.join(missing)}; format qe-cp needs the input and the "
            "trajectory files of one prefix (input as PREFIX.in)."
        )
    return found


def read_cp(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read a cp.x run.

    dpdata reads PREFIX.in, .pos, .for, .evp and, if the cell moves, .cel; the same is read from
    the text and compared. The stress in .str is not used: whether it holds the kinetic part
    depends on the version, and the file does not say.

    Parameters
    ----------
    path : Path
        The ``.pos`` file, plain or compressed.
    timestep_fs : float, optional
        Not needed: the files carry times.

    Raises
    ------
    DataError
        If files are missing, hold other steps, are in a layout that dpdata would misread, or
        readings differ.
    """
    files = cp_files(path)
    text = re.sub(r"!.*", "", read_text(files["in"]))
    symbols = _symbols(text, files["in"])
    _require_known_cell(text, files)
    positions = _blocks(files["pos"], len(symbols))
    forces = _blocks(files["for"], len(symbols))
    energies, fictitious = _energies(files["evp"], positions)
    if positions.steps.tolist() != forces.steps.tolist():
        raise DataError(f"{files['for']}: other steps than {files['pos'].name}.")
    root = path.parent
    with unpacked(files.values(), root) as folder:
        prefix = folder / Path(plain_name(path)).stem
        read = read_with_dpdata(prefix, "qe/cp/traj", path)
    cells = read.cells
    if "cel" in files:
        cells = np.swapaxes(_blocks(files["cel"], 3).values, 1, 2) * BOHR_ANGSTROM
    other = Reading(
        reader="text",
        symbols=symbols,
        cells=cells,
        coords=positions.values * BOHR_ANGSTROM,
        energies=energies * HARTREE_EV,
        forces=forces.values * HARTREE_EV / BOHR_ANGSTROM,
        virials=None,
    )
    require_agreement(read, other, path)
    return [
        Frames(
            symbols=symbols,
            coords=other.coords,
            cells=cells,
            energies=other.energies,
            forces=other.forces,
            virials=None,
            steps=positions.steps,
            times_ps=positions.times_ps,
            files=tuple(files.values()),
            level=cp_level(text),
            notes=(
                "read alike by dpdata and from the text",
                "Car-Parrinello dynamics: forces follow the ground state only as closely as the "
                f"fictitious kinetic energy is small (at most {fictitious:.3g} hartree)",
                "no virial: a .str file does not say whether it holds the kinetic part",
            ),
        )
    ]


def _symbols(text: str, path: Path) -> tuple[str, ...]:
    """Return the elements in the order of the trajectory files.

    Raises
    ------
    DataError
        If atoms are not grouped as in ATOMIC_SPECIES: cp.x sorts them so in its files.
    """
    nat = re.search(r"\bnat\s*=\s*(\d+)", text)
    ntyp = re.search(r"\bntyp\s*=\s*(\d+)", text)
    species = re.search(r"ATOMIC_SPECIES[^\n]*\n((?:[^\n]*\n)+)", text)
    atoms = re.search(r"ATOMIC_POSITIONS[^\n]*\n((?:[^\n]*\n?)+)", text)
    if not (nat and ntyp and species and atoms):
        raise DataError(f"{path}: no nat, ntyp, ATOMIC_SPECIES or ATOMIC_POSITIONS in the input.")

    def labels(block: str, count: int) -> list[str]:
        rows = [line.split() for line in block.splitlines() if line.strip()]
        return [row[0] for row in rows[:count]]

    kinds = labels(species.group(1), int(ntyp.group(1)))
    found = labels(atoms.group(1), int(nat.group(1)))
    if len(found) != int(nat.group(1)) or set(found) - set(kinds):
        raise DataError(f"{path}: ATOMIC_POSITIONS does not list nat = {nat.group(1)} atoms.")
    if found != sorted(found, key=kinds.index):
        raise DataError(
            f"{path}: the atoms of ATOMIC_POSITIONS are not grouped as in ATOMIC_SPECIES "
            f"({' '.join(kinds)}). cp.x writes them grouped, so elements would be mixed up. "
            "Reorder the input, or convert the run to extended XYZ."
        )
    elements = []
    for label in found:
        element = re.match(r"[A-Z][a-z]?", label.capitalize() if label.islower() else label)
        elements.append(element.group(0) if element else label)
    return tuple(elements)


def _require_known_cell(text: str, files: dict[str, Path]) -> None:
    if "cel" in files:
        return
    calculation = re.search(r"calculation\s*=\s*['\"]([\w-]+)", text)
    if calculation and calculation.group(1).startswith("vc"):
        raise DataError(f"{files['in']}: the cell moves ({calculation.group(1)}), but no .cel.")
    lattice = re.search(r"ibrav\s*=\s*(-?\d+)", text)
    if lattice is None or lattice.group(1) not in KNOWN_LATTICES:
        shown = lattice.group(1) if lattice else "missing"
        raise DataError(
            f"{files['in']}: no .cel file and ibrav = {shown}, which is not understood. Put the "
            ".cel file beside the trajectory."
        )


def _blocks(path: Path, rows: int) -> _Blocks:
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    count, rest = divmod(len(lines), rows + 1)
    if rest or count == 0:
        raise DataError(
            f"{path}: {len(lines)} lines are not whole blocks of a title and {rows} rows. The "
            "run was cut off, or is of another number of atoms."
        )
    try:
        heads = [lines[k * (rows + 1)] for k in range(count)]
        steps = np.array([int(head[0]) for head in heads], dtype=np.int64)
        times = np.array([float(head[1]) for head in heads])
        body = [lines[k * (rows + 1) + 1 : (k + 1) * (rows + 1)] for k in range(count)]
        values = np.array([[[float(word) for word in row] for row in block] for block in body])
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{path}: a row is not numbers ({error}); cut off or misprinted."
        ) from error
    if values.shape[1:] != (rows, 3) or (np.diff(steps) <= 0).any():
        raise DataError(
            f"{path}: rows without three numbers, or steps that do not increase (restarted runs "
            "joined?). Cut it to one run."
        )
    return _Blocks(steps, times, values)


def _energies(path: Path, positions: _Blocks) -> tuple[FloatArray, float]:
    """Return etot of the steps and the largest fictitious kinetic energy, hartree.

    The columns are told by the second one, which must be the time of the position file.
    """
    rows = {}
    for line in read_text(path).splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            rows[int(words[0])] = words
    lacking = [int(step) for step in positions.steps if int(step) not in rows]
    if lacking:
        raise DataError(f"{path}: lacks {len(lacking)} steps of the trajectory ({lacking[0]}).")
    table = np.array([[float(w) for w in rows[int(s)][:6]] for s in positions.steps])
    if not np.allclose(table[:, 1], positions.times_ps, rtol=1e-4, atol=1e-7):
        raise DataError(
            f"{path}: column 2 is {table[0, 1]}, not the time {positions.times_ps[0]} ps of the "
            "position file: the columns of another version of cp.x, whose energy cannot be told."
        )
    return table[:, 5], float(table[:, 2].max())
