"""Reader of ABACUS molecular dynamics: dpdata, checked with the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlip.data.agreement import Reading, require_agreement
from mlip.data.frames import (
    BOHR_ANGSTROM,
    EV_PER_ANGSTROM3_GPA,
    FloatArray,
    Frames,
    IntArray,
)
from mlip.data.libraries import read_with_dpdata
from mlip.data.sources import SUFFIXES, read_text, unpacked
from mlip.data.vasp_level import number
from mlip.errors import DataError

ENERGY = re.compile(r"(?:final etot is|#TOTAL ENERGY#)\s+(\S+)\s+eV")
NOT_CONVERGED = re.compile(r"convergence has (?:not|NOT) been achieved")
TOLERANCE_KBAR = 1e-4


@dataclass(frozen=True)
class RunFiles:
    """The files of one run."""

    settings: Path
    structure: Path
    dump: Path
    log: Path

    def all(self) -> tuple[Path, ...]:
        """Return every file that is read."""
        return (self.settings, self.structure, self.dump, self.log)


@dataclass(frozen=True)
class _Dump:
    """MD_dump as it is written, converted to Å and eV."""

    steps: IntArray
    reading: Reading
    pressures_kbar: FloatArray | None


def abacus_files(directory: Path) -> RunFiles:
    """Find the files of the MD run in `directory`; each may be compressed.

    Raises
    ------
    DataError
        If one is missing, or the calculation is not MD.
    """
    given = _one(directory, "INPUT")
    settings = _settings(given)
    kind = settings.get("calculation", "scf")
    if kind != "md":
        raise DataError(
            f"{given}: calculation {kind}; only md is read from ABACUS, for which a second "
            "reading exists. Convert others to extended XYZ and check a frame by hand."
        )
    output = f"OUT.{settings.get('suffix', 'ABACUS')}"
    return RunFiles(
        settings=given,
        structure=_one(directory, settings.get("stru_file", "STRU")),
        dump=_one(directory / output, "MD_dump"),
        log=_one(directory / output, "running_md.log"),
    )


def read_abacus(directory: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read an ABACUS MD run with dpdata, and MD_dump and the log once more from the text.

    VIRIAL of MD_dump is the potential part in kbar, positive under compression; where the log
    prints ``Virial Term`` apart from ``Kinetic Term``, they are compared.

    Parameters
    ----------
    directory : Path
        With INPUT, STRU and OUT.<suffix>/.
    timestep_fs : float, optional
        Time between steps; by default md_dt.

    Raises
    ------
    DataError
        If a file is missing or cut off, forces are not dumped, or readings differ.
    """
    files = abacus_files(directory)
    settings = _settings(files.settings)
    log = read_text(files.log)
    dump = _dump(files.dump)
    energies, converged = _energies(log, dump.steps, files.log)
    note = _virial_note(dump, log, files.dump)
    with unpacked(files.all(), directory) as folder:
        read = read_with_dpdata(folder, "abacus/md", directory)
    text = Reading(
        reader="text",
        symbols=dump.reading.symbols,
        cells=dump.reading.cells[converged],
        coords=dump.reading.coords[converged],
        energies=energies[converged],
        forces=dump.reading.forces[converged],
        virials=None if dump.reading.virials is None else dump.reading.virials[converged],
    )
    require_agreement(read, text, directory)
    steps = dump.steps[converged]
    step_fs = timestep_fs or float(settings.get("md_dt", "1.0"))
    return [
        Frames(
            symbols=text.symbols,
            coords=text.coords,
            cells=text.cells,
            energies=text.energies,
            forces=text.forces,
            virials=text.virials,
            steps=steps,
            times_ps=(steps - steps[0]) * step_fs * 1e-3,
            files=files.all(),
            level=_level(settings, read_text(files.structure), log),
            virial_origin=note if text.virials is not None else "",
            unconverged=int((~converged).sum()),
            notes=("read alike by dpdata and from the text",),
        )
    ]


def _one(directory: Path, name: str) -> Path:
    found = [directory / f"{name}{suffix}" for suffix in SUFFIXES]
    path = next((file for file in found if file.is_file()), None)
    if path is None:
        raise DataError(f"{directory}: no {name}; format abacus reads a run directory with INPUT.")
    return path


def _settings(path: Path) -> dict[str, str]:
    lines = [re.split(r"[#/]{1,2}", line)[0].split() for line in read_text(path).splitlines()]
    return {words[0].lower(): words[1] for words in lines if len(words) > 1}


def _dump(path: Path) -> _Dump:
    """Read MD_dump by its titles, not by counting lines.

    Positions are in Å from version 3.1.4 on (``LATTICE_CONSTANT: x Angstrom``), before in units
    of the lattice constant in bohr.
    """
    blocks = re.split(r"^MDSTEP:", read_text(path), flags=re.MULTILINE)[1:]
    steps, frames, symbols = [], [], []
    for number_, block in enumerate(blocks):
        lines = block.splitlines()
        try:
            steps.append(int(lines[0]))
            frame, found = _frame(lines)
        except (ValueError, IndexError, StopIteration) as error:
            raise DataError(
                f"{path}: frame {number_} is incomplete or has no forces ({error}). Dump with "
                "dump_force 1; of a run that was cut off, remove the last block."
            ) from error
        frames.append(frame)
        symbols.append(found)
    if not frames or any(found != symbols[0] for found in symbols):
        raise DataError(f"{path}: no frames, or frames of different atoms (cut off?).")
    cells = np.array([frame[0] for frame in frames])
    kbar = [frame[3] for frame in frames if frame[3] is not None]
    if kbar and len(kbar) != len(frames):
        raise DataError(f"{path}: {len(kbar)} of {len(frames)} frames have a VIRIAL.")
    volumes = np.abs(np.linalg.det(cells))
    stress = np.array(kbar)
    reading = Reading(
        reader="text",
        symbols=symbols[0],
        cells=cells,
        coords=np.array([frame[1] for frame in frames]),
        energies=np.zeros(len(frames)),
        forces=np.array([frame[2] for frame in frames]),
        virials=stress * volumes[:, None, None] * 0.1 / EV_PER_ANGSTROM3_GPA if kbar else None,
    )
    pressures = np.trace(stress, axis1=1, axis2=2) / 3 if kbar else None
    return _Dump(np.array(steps, dtype=np.int64), reading, pressures)


def _frame(
    lines: list[str],
) -> tuple[tuple[FloatArray, FloatArray, FloatArray, FloatArray | None], tuple[str, ...]]:
    def rows(title: str, count: int) -> FloatArray:
        at = next(k for k, line in enumerate(lines) if line.startswith(title))
        return np.array([[float(w) for w in line.split()[:3]] for line in lines[at + 1 :][:count]])

    constant = next(line for line in lines if line.startswith("LATTICE_CONSTANT"))
    scale = float(constant.split()[1])
    angstrom = "Angstrom" in constant
    scale *= 1.0 if angstrom else BOHR_ANGSTROM
    head = next(k for k, line in enumerate(lines) if line.startswith("INDEX"))
    if "FORCE" not in lines[head]:
        raise ValueError("no column FORCE")
    words = [line.split() for line in lines[head + 1 :] if line.strip()]
    numbers = np.array([[float(w) for w in row[2:8]] for row in words])
    if numbers.shape != (len(words), 6) or [int(row[0]) for row in words] != list(
        range(len(words))
    ):
        raise ValueError("a torn atom row")
    virial = any(line.startswith("VIRIAL") for line in lines)
    arrays = (
        rows("LATTICE_VECTORS", 3) * scale,
        numbers[:, :3] * (1.0 if angstrom else scale),
        numbers[:, 3:],
        rows("VIRIAL", 3) if virial else None,
    )
    return arrays, tuple(re.sub(r"\d+$", "", row[1]) for row in words)


def _energies(log: str, steps: IntArray, path: Path) -> tuple[FloatArray, np.ndarray]:
    """Return energy and convergence of the dumped steps; the log has every step in order."""
    found: list[float] = []
    for line in log.splitlines():
        if match := ENERGY.search(line):
            found.append(float(match.group(1)))
        elif NOT_CONVERGED.search(line):
            found.append(np.nan)
    expected = int(steps[-1] - steps[0]) + 1
    if len(found) < expected:
        raise DataError(
            f"{path}: {len(found)} energies for MD steps {steps[0]} to {steps[-1]}. The log is cut "
            "off, or holds a part of a restarted run."
        )
    energies = np.array(found)[steps - steps[0]]
    final = re.search(r"!FINAL_ETOT_IS\s+(\S+)", log)
    if final and not np.isclose(float(final.group(1)), found[-1], rtol=0, atol=1e-6):
        raise DataError(
            f"{path}: the last energy is not !FINAL_ETOT_IS; the log is joined or torn."
        )
    return energies, np.isfinite(energies)


def _virial_note(dump: _Dump, log: str, path: Path) -> str:
    printed = [float(v) for v in re.findall(r"Virial Term is\s+\+?(\S+)", log)]
    note = "VIRIAL of ABACUS MD_dump, the potential part"
    if dump.pressures_kbar is None or len(printed) != len(dump.pressures_kbar):
        return note
    off = float(np.abs(dump.pressures_kbar - printed).max())
    if off > TOLERANCE_KBAR:
        raise DataError(
            f"{path}: a third of the trace of VIRIAL is not the `Virial Term` of the log (off by "
            f"{off:.2g} kbar). They are of different runs, or VIRIAL holds the kinetic part."
        )
    return f"{note}: its trace is the `Virial Term` of the log, kinetic term apart"


def _level(settings: dict[str, str], structure: str, log: str) -> dict[str, str]:
    named = re.search(r"exchange-correlation functional\s*=\s*(\S+)", log)
    version = re.search(r"Version:\s*(.+)", log)
    functional = settings.get("dft_functional", "default")
    method = settings.get("smearing_method", "gaussian")
    level = {
        "code": "ABACUS",
        "version": version.group(1).strip() if version else "",
        "functional": named.group(1) if named and functional == "default" else functional,
        "dispersion": settings.get("vdw_method", "none"),
        "basis_type": settings.get("basis_type", "pw"),
        "cutoff_rydberg": number(settings.get("ecutwfc", "")),
        "scf_thr": number(settings.get("scf_thr", "")),
        "smearing": f"{method} {number(settings.get('smearing_sigma', '0.015'))} Ry",
        "spin_polarised": str(settings.get("nspin", "1") != "1"),
    }
    cards = re.split(r"^\s*([A-Z_]{5,})[^\n]*$", structure, flags=re.MULTILINE)
    content = dict(zip(cards[1::2], cards[2::2], strict=False))
    species = [line.split() for line in content.get("ATOMIC_SPECIES", "").splitlines()]
    species = [words for words in species if len(words) >= 3]
    orbitals = content.get("NUMERICAL_ORBITAL", "").split()
    for k, words in enumerate(species):
        level[f"potential {words[0]}"] = words[2]
        if k < len(orbitals):
            level[f"basis {words[0]}"] = orbitals[k]
    return {key: value for key, value in level.items() if value}
