"""Readers of VASP OUTCAR and vasprun.xml through dpdata, with its known faults checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dpdata
import numpy as np

from mlip.data.frames import FloatArray, Frames, even_times, select
from mlip.errors import DataError, UnitError

KBAR_GPA = 0.1
# dpdata turns the cell to lower triangular, which leaves the trace alone; OUTCAR prints 0.01 kbar.
TRACE_TOLERANCE_KBAR = 0.05
ORIGIN = "VASP stress `in kB`, which VASP prints without the kinetic part"


def read_outcar(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read an OUTCAR.

    Parameters
    ----------
    path : Path
    timestep_fs : float, optional
        Time between frames; by default POTIM of an MD run (IBRION = 0).

    Raises
    ------
    DataError
        If it is no OUTCAR, is torn, or dpdata and the text disagree on the number of frames.
    UnitError
        If the virial that dpdata made does not belong to the printed pressure.
    """
    text = _text(path)
    if "vasp" not in text[:200].lower():
        raise DataError(f"{path}: does not start like a VASP OUTCAR. Is the format right?")
    data = _load(path, "vasp/outcar")
    printed = len(re.findall(r"free  energy   TOTEN", text))
    _same_count(path, len(data["energies"]), printed, "lines `free  energy   TOTEN`")
    # One external pressure line per ionic step; tr/3 of the stress `in kB`.
    pressures = [float(p) for p in re.findall(r"external pressure =\s+(\S+) kB", text)]
    reached = _converged_blocks(text, printed)
    potim = re.search(r"POTIM\s*=\s*(\S+)", text)
    ibrion = re.search(r"IBRION\s*=\s*(-?\d+)", text)
    molecular_dynamics = ibrion is not None and ibrion.group(1) == "0"
    step = float(potim.group(1)) if potim and molecular_dynamics else None
    return _frames(path, data, pressures, reached, timestep_fs or step, _outcar_level(text))


def read_xml(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read a vasprun.xml; see `read_outcar`.

    Raises
    ------
    DataError, UnitError
        As `read_outcar`.
    """
    try:
        root = ElementTree.fromstring(_text(path))
    except ElementTree.ParseError as error:
        raise DataError(
            f"{path}: not well-formed XML ({error}); truncated, or not a vasprun.xml. A run that "
            "was cut off can be read from its OUTCAR."
        ) from error
    if root.tag != "modeling":
        raise DataError(f"{path}: XML of <{root.tag}>, expected the <modeling> of a vasprun.xml.")
    data = _load(path, "vasp/xml")
    steps = root.findall("calculation")
    _same_count(path, len(data["energies"]), len(steps), "<calculation> blocks")
    pressures = []
    for calculation in steps:
        rows = calculation.findall("varray[@name='stress']/v")
        if len(rows) == 3:
            pressures.append(sum(float((r.text or "").split()[k]) for k, r in enumerate(rows)) / 3)
    settings = {str(i.get("name")): (i.text or "").strip() for i in root.iter("i")}
    incar = {str(i.get("name")): (i.text or "").strip() for i in root.findall("incar/i")}
    limit = int(incar.get("NELM", "60"))
    reached = np.array([len(c.findall("scstep")) < limit for c in steps])
    step = float(incar["POTIM"]) if incar.get("IBRION") == "0" and "POTIM" in incar else None
    return _frames(path, data, pressures, reached, timestep_fs or step, _xml_level(root, settings))


def _frames(
    path: Path,
    data: dict[str, Any],
    pressures_kbar: list[float],
    converged: np.ndarray | None,
    timestep_fs: float | None,
    level: dict[str, str],
) -> list[Frames]:
    count = len(data["energies"])
    for name in ("coords", "cells", "forces"):
        if name not in data:
            raise DataError(f"{path}: dpdata finds no {name}. Is the output complete?")
        _same_count(path, len(data[name]), count, "energies")
    virials = data.get("virials")
    if virials is not None:
        _same_count(path, len(virials), count, "energies")
        _check_pressure(path, np.asarray(virials), np.asarray(data["cells"]), pressures_kbar)
    names, types = data["atom_names"], data["atom_types"]
    frames = Frames(
        symbols=tuple(str(names[k]) for k in types),
        coords=np.asarray(data["coords"], dtype=float),
        cells=np.asarray(data["cells"], dtype=float),
        energies=np.asarray(data["energies"], dtype=float),
        forces=np.asarray(data["forces"], dtype=float),
        virials=None if virials is None else np.asarray(virials, dtype=float),
        steps=np.arange(1, count + 1),
        times_ps=even_times(count, timestep_fs),
        files=(path,),
        level=level,
        virial_origin="" if virials is None else ORIGIN,
        unconverged=None if converged is None else int((~converged).sum()),
    )
    return [frames if converged is None else select(frames, np.flatnonzero(converged))]


def _load(path: Path, fmt: str) -> dict[str, Any]:
    try:
        # Unconverged steps are dropped here, where they are counted.
        data: dict[str, Any] = dpdata.LabeledSystem(
            str(path), fmt=fmt, convergence_check=False
        ).data
    except Exception as error:  # dpdata raises bare asserts, IndexError, RuntimeError, ...
        raise DataError(
            f"{path}: dpdata cannot read it as {fmt} ({type(error).__name__}: {error}). The file "
            "is truncated, holds no ionic step, or is of another format."
        ) from error
    if len(data.get("energies", ())) == 0:
        raise DataError(f"{path}: no labelled frames in it.")
    return data


def _same_count(path: Path, found: int, expected: int, what: str) -> None:
    if found != expected:
        raise DataError(
            f"{path}: dpdata read {found} frames, but the file has {expected} {what}. The file is "
            "truncated or of a version that dpdata misreads."
        )


def _check_pressure(
    path: Path, virials: FloatArray, cells: FloatArray, printed_kbar: list[float]
) -> None:
    """Compare tr W / 3V with the printed pressure: a left-handed cell flips dpdata's sign."""
    if len(printed_kbar) != len(virials):
        raise DataError(
            f"{path}: {len(printed_kbar)} printed stresses for {len(virials)} frames. Truncated?"
        )
    volumes = np.abs(np.linalg.det(cells))
    # dpdata's factor: 1 eV/Å^3 = 1602.176621 kbar.
    found = np.trace(virials, axis1=1, axis2=2) / (3 * volumes) * 1602.176621
    off = np.abs(found - np.array(printed_kbar))
    if off.max() > TRACE_TOLERANCE_KBAR:
        k = int(off.argmax())
        raise UnitError(
            f"{path}: frame {k}: dpdata's virial means {found[k]:.2f} kbar, the file prints "
            f"{printed_kbar[k]:.2f} kbar. A left-handed cell does this; swap two cell vectors."
        )


def _converged_blocks(text: str, steps: int) -> np.ndarray | None:
    """Return per ionic step whether its electronic loop ended because EDIFF was reached.

    None if the text does not say so once per step.
    """
    blocks = re.split(r"aborting loop", text)[1:]
    if len(blocks) != steps:
        return None
    return np.array([block.lstrip().startswith("because EDIFF") for block in blocks])


def _outcar_level(text: str) -> dict[str, str]:
    def found(pattern: str, default: str = "") -> str:
        match = re.search(pattern, text)
        return match.group(1).strip() if match else default

    ismear = found(r"ISMEAR =\s*(-?\d+)")
    sigma = found(r"SIGMA\s*=\s*([\d.E+-]+)")
    level = {
        "code": "VASP",
        "version": found(r"vasp\.([\d.]+)"),
        "cutoff_ev": _number(found(r"ENCUT\s*=\s*(\S+)\s*eV")),
        "ediff_ev": _number(found(r"EDIFF\s*=\s*(\S+)")),
        "smearing": f"ISMEAR {ismear} {_number(sigma)} eV",
        "functional": found(r"\n\s*GGA\s*=\s*(\S+)", "--"),
        "dispersion": found(r"IVDW\s*=\s*(\S+)", "none"),
    }
    for title in re.findall(r"TITEL\s*=\s*(\S+ \S+)", text):
        kind, name = title.split()
        level[f"potential {name.split('_')[0]}"] = f"{kind} {name}"
    return _named_functional(level)


def _xml_level(root: ElementTree.Element, settings: dict[str, str]) -> dict[str, str]:
    level = {
        "code": "VASP",
        "version": (re.match(r"[\d.]+", settings.get("version", "")) or [""])[0],
        "cutoff_ev": _number(settings.get("ENMAX") or settings.get("ENCUT", "")),
        "ediff_ev": _number(settings.get("EDIFF", "")),
        "smearing": f"ISMEAR {settings.get('ISMEAR', '')} {_number(settings.get('SIGMA', ''))} eV",
        "functional": settings.get("GGA", "--"),
        "dispersion": settings.get("IVDW", "none"),
    }
    for row in root.findall("atominfo/array[@name='atomtypes']/set/rc"):
        words = [(c.text or "").strip() for c in row.findall("c")]
        kind, name = [*words[-1].split(), ""][:2]
        level[f"potential {words[1].split('_')[0]}"] = f"{kind} {name}"
    return _named_functional(level)


def _named_functional(level: dict[str, str]) -> dict[str, str]:
    """Resolve GGA = -- (taken from the POTCAR) for PBE potentials; drop what is not there."""
    potentials = [value for key, value in level.items() if key.startswith("potential ")]
    if level["functional"] == "--" and all(p.startswith("PAW_PBE") for p in potentials):
        level["functional"] = "PE"
    if level["dispersion"] == "0":
        level["dispersion"] = "none"
    return {key: value for key, value in level.items() if value}


def _number(text: str) -> str:
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
