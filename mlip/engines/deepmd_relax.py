"""Single points, relaxations and elastic bands with a frozen model; run as a subprocess.

``python -m mlip.engines.deepmd_relax REQUEST.json``, see `mlip.engines.deepmd_statics`. All but
`main` takes any ASE calculator.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from mlip.errors import BlowUpError
from mlip.files import replacing

# Symmetry that is there to this distance is kept; cells strained by 0.5 % are told apart.
SYMMETRY_ANGSTROM = 1.0e-3
LARGEST_STEP_ANGSTROM = 0.1
# A cell that changes more than this is no longer the crystal that was asked about.
LARGEST_VOLUME_CHANGE = 0.5


def relax(
    atoms: Atoms, calculator: Calculator, *, with_cell: bool, force: float, steps: int
) -> tuple[Atoms, bool]:
    """Relax positions, and the cell if asked, at zero pressure; the space group is kept.

    Parameters
    ----------
    atoms : Atoms
        Its symmetry within 1e-3 Å is imposed.
    calculator : Calculator
        With forces, and stress for cells.
    with_cell : bool
    force : float
        Largest force in eV/Å; for the cell, of the derivative that ASE's Frechet filter
        gives (doi:10.1103/PhysRevB.89.054110 for the exponential form).
    steps : int
        After which it is given up.

    Returns
    -------
    Atoms
        As it ended, with the calculator.
    bool
        Whether it converged.

    Raises
    ------
    BlowUpError
        If energy or volume ran away.
    """
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS

    relaxed = atoms.copy()
    relaxed.calc = calculator
    relaxed.set_constraint(FixSymmetry(relaxed, symprec=SYMMETRY_ANGSTROM))
    volume = relaxed.get_volume()
    target = FrechetCellFilter(relaxed) if with_cell else relaxed
    optimiser = LBFGS(target, logfile=None, maxstep=LARGEST_STEP_ANGSTROM)

    def require_crystal() -> None:
        change = abs(relaxed.get_volume() / volume - 1.0)
        if not np.isfinite(relaxed.get_potential_energy()) or change > LARGEST_VOLUME_CHANGE:
            raise BlowUpError(f"the volume changed by {100 * change:.0f} %")

    optimiser.attach(require_crystal)
    converged = bool(optimiser.run(fmax=force, steps=steps))
    relaxed.set_constraint()
    return relaxed, converged


def relax_band(
    images: list[Atoms], calculator: Calculator, *, force: float, steps: int
) -> tuple[list[Atoms], bool]:
    """Relax both ends, then the images between them as a climbing elastic band.

    Source: doi:10.1063/1.1329672, improved tangents doi:10.1063/1.1323224.

    Returns
    -------
    list of Atoms
        All images, with the calculator.
    bool
        Whether ends and band converged.
    """
    from ase.mep import NEB
    from ase.optimize import FIRE, LBFGS

    band = [image.copy() for image in images]
    for image in band:
        image.calc = calculator
    ends_converged = True
    for end in (band[0], band[-1]):
        # No symmetry is imposed: a site left by an ion has none.
        optimiser = LBFGS(end, logfile=None, maxstep=LARGEST_STEP_ANGSTROM)
        ends_converged &= bool(optimiser.run(fmax=force, steps=steps))
    path = NEB(band, climb=True, method="improvedtangent", allow_shared_calculator=True, k=0.5)
    path.interpolate(method="idpp", mic=True)
    # Forces on a band are noisier than on a minimum; ten times the limit fixes a barrier to meV.
    converged = bool(FIRE(path, logfile=None).run(fmax=10.0 * force, steps=steps))
    return band, ends_converged and converged


def results(atoms: Atoms) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return energy (eV), forces (eV/Å) and virial (eV, DeePMD sign: -V times ASE's stress)."""
    energy = float(atoms.get_potential_energy())
    stress = atoms.get_stress(voigt=False)
    return energy, atoms.get_forces(), -atoms.get_volume() * np.asarray(stress)


def perform(kind: str, frames: list[Atoms], calculator: Calculator, request: Any) -> dict[str, Any]:
    """Do one task and return the arrays of its output."""
    limits = {"force": request["force_ev_per_angstrom"], "steps": request["maximum_steps"]}
    if kind == "static":
        return _arrays([(frame, True) for frame in frames], calculator)
    # An engine that cannot even begin (no memory, unknown element) is no fault of the potential.
    frames[0].calc = calculator
    frames[0].get_potential_energy()
    ended: list[tuple[Atoms, bool]] = []
    for number, group in enumerate([frames] if kind == "band" else [[frame] for frame in frames]):
        try:
            if kind == "band":
                band, converged = relax_band(group, calculator, **limits)
                ended += [(image, converged) for image in band]
            else:
                ended.append(relax(group[0], calculator, with_cell=kind == "cell", **limits))
        # A potential that fails makes ASE and spglib stumble in many ways; the others go on.
        except Exception as error:
            print(f"{kind} {number}: relaxation broke down: {error}", flush=True)
            ended += [(_broken(frame), False) for frame in group]
    return _arrays(ended, calculator)


def _broken(frame: Atoms) -> Atoms:
    broken = frame.copy()
    broken.positions[:] = np.nan
    return broken


def _arrays(ended: list[tuple[Atoms, bool]], calculator: Calculator) -> dict[str, Any]:
    energies, forces, virials, good = [], [], [], []
    for atoms, converged in ended:
        energy, force, virial = np.nan, np.full((len(atoms), 3), np.nan), np.full((3, 3), np.nan)
        if np.isfinite(atoms.positions).all():
            atoms.calc = calculator
            energy, force, virial = results(atoms)
        energies.append(energy)
        forces.append(force)
        virials.append(virial)
        good.append(converged and bool(np.isfinite(energy)))
    return {
        "coords": np.array([atoms.positions for atoms, _ in ended]),
        "cells": np.array([atoms.cell.array for atoms, _ in ended]),
        "energies": np.array(energies),
        "forces": np.array(forces),
        "virials": np.array(virials),
        "converged": np.array(good),
    }


def read_task_frames(path: Path) -> list[Atoms]:
    """Read what `mlip.engines.deepmd_statics.write_task_frames` wrote."""
    with np.load(path) as archive:
        symbols = [str(symbol) for symbol in archive["symbols"]]
        pairs = zip(archive["coords"], archive["cells"], strict=True)
        return [Atoms(symbols, coords, cell=cell, pbc=True) for coords, cell in pairs]


def work(request: Any, calculator: Calculator) -> None:
    """Do every task whose output is not there yet."""
    for task in request["tasks"]:
        output = Path(task["output"])
        if output.is_file():
            continue
        arrays = perform(task["kind"], read_task_frames(Path(task["frames"])), calculator, request)
        with replacing(output) as temporary, temporary.open("wb") as handle:
            np.savez(handle, **arrays)


def main() -> None:
    """Read the request named on the command line and work through it."""
    from deepmd.calculator import DP

    request = json.loads(Path(sys.argv[1]).read_text())
    work(request, DP(request["model"]))


if __name__ == "__main__":
    main()
