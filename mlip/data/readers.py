"""One table of formats: what reads each, what reads it a second time, and which files it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlip.data.abacus import abacus_files, read_abacus
from mlip.data.cp2k import cp2k_files, read_cp2k
from mlip.data.cp2k_log import log_files, read_cp2k_log
from mlip.data.deepmd_npy import npy_files, read_deepmd
from mlip.data.extxyz import read_extxyz
from mlip.data.frames import Frames
from mlip.data.quantum_espresso import pw_files, read_pw
from mlip.data.quantum_espresso_cp import cp_files, read_cp
from mlip.data.sources import expand, search
from mlip.data.vasp_outcar import read_outcar
from mlip.data.vasp_xml import read_xml
from mlip.errors import DataError
from mlip.recipes.base import resolve
from mlip.recipes.ingest import Source


@dataclass(frozen=True)
class Format:
    """How a format is read.

    Attributes
    ----------
    read : function
        Path and time between frames (fs, None if unknown) to frames.
    dpdata, ase : str
        Names of the readers of the libraries, or why there is none. Where both exist, both
        read every file and must agree; else the second reading is ours, of the text.
    files : function
        Path to the files that reading it opens.
    names : tuple of str
        Names to look for below a directory, without the suffix of a compression.
    directory : bool
        Whether one run is a directory, known by holding a file of `names`.
    """

    read: Callable[[Path, float | None], list[Frames]]
    dpdata: str
    ase: str
    files: Callable[[Path], tuple[Path, ...]]
    names: tuple[str, ...]
    directory: bool = False


def _itself(path: Path) -> tuple[Path, ...]:
    return (path,)


FORMATS: dict[str, Format] = {
    "vasp-outcar": Format(
        read_outcar, "vasp/outcar", "vasp-out", _itself, ("OUTCAR", "OUTCAR.*", "*.OUTCAR")
    ),
    "vasp-xml": Format(read_xml, "vasp/xml", "vasp-xml", _itself, ("vasprun*.xml",)),
    "cp2k": Format(
        read_cp2k,
        "wrong: cp2k/aimd_output drops stress in bar and joins files by position, not by step",
        "none",
        lambda path: cp2k_files(path).all(),
        ("*-pos-1.xyz",),
        directory=True,
    ),
    "cp2k-output": Format(
        read_cp2k_log,
        "cp2k/output for one evaluation; takes kinds for elements and misreads several",
        "none",
        log_files,
        ("*.out", "*.log", "cp2k_output"),
    ),
    "qe-pw": Format(
        read_pw,
        "qe/pw/scf for one SCF with its input",
        "espresso-out",
        pw_files,
        ("*.out", "*.pwo"),
    ),
    "qe-cp": Format(
        read_cp, "qe/cp/traj", "none", lambda path: tuple(cp_files(path).values()), ("*.pos",)
    ),
    "abacus": Format(
        read_abacus,
        "abacus/md",
        "none",
        lambda path: abacus_files(path).all(),
        ("INPUT",),
        directory=True,
    ),
    "extxyz": Format(read_extxyz, "extxyz", "extxyz", _itself, ("*.extxyz", "*.xyz")),
    "deepmd-npy": Format(
        read_deepmd, "deepmd/npy", "none", npy_files, ("type.raw",), directory=True
    ),
}


def matches(source: Source, recipe: Path) -> list[Path]:
    """Return the files or run directories that a source stands for, in order of name.

    A directory that is not itself a run is searched, with everything below it.

    Raises
    ------
    DataError
        If there are none.
    """
    path = resolve(source.path, recipe)
    found = expand(path)
    if not found:
        raise DataError(
            f"source {source.name}: {path}: no such file or directory (paths are relative to "
            f"{recipe})."
        )
    kind = FORMATS[source.format]
    runs: list[Path] = []
    for match in found:
        runs += _runs(match, kind, source)
    return list(dict.fromkeys(runs))


def input_files(source: Source, path: Path) -> tuple[Path, ...]:
    """Return the files that reading `path` will open, for fingerprints and the plan.

    Raises
    ------
    DataError
        If `path` is not what the format reads.
    """
    kind = FORMATS[source.format]
    if not kind.directory and not path.is_file():
        raise DataError(f"{path}: is a directory; format {source.format} reads a file.")
    return kind.files(path)


def _runs(path: Path, kind: Format, source: Source) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = search(path, kind.names)
    if kind.directory:
        below = sorted({file.parent for file in found})
        # Without any, the reader says what the directory itself lacks.
        return [path] if path in below else below or [path]
    if not found:
        raise DataError(
            f"source {source.name}: {path}: no {' or '.join(kind.names)} (plain or compressed) in "
            f"it or below; format {source.format} reads such files. Name the file if it is called "
            "otherwise."
        )
    return found
