"""Quantities, figure and grid file of the density of ions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from analysis.blocks import half_interval
from analysis.constants import BOLTZMANN_EV_PER_KELVIN, FloatArray, IntArray
from analysis.density.cube import cube_file
from analysis.density.ion_density import IonDensity, ion_density, volume_share
from analysis.density.percolation import percolation_levels
from analysis.figures.density import density_figure
from analysis.results import Findings, Quantity, Skipped
from analysis.trajectory import Trajectory, centre_of_mass_path

AXES = "abc"
MIN_FRAMES = 100
# Fewer visits of the bottleneck are chance.
MIN_VISITS = 10
LEVEL = 0.95


def density_findings(trajectory: Trajectory, mobile: str) -> Findings:
    """Describe where the mobile ions are, and how hard it is to cross the cell.

    Parameters
    ----------
    trajectory : Trajectory
        Whose framework does not flow.
    mobile : str
        Mobile species.
    """
    if trajectory.n_frames < MIN_FRAMES:
        reason = f"{trajectory.n_frames} frames; needs at least {MIN_FRAMES}"
        return Findings(skipped=[Skipped("density", reason)])
    framework = np.flatnonzero(trajectory.species != mobile)
    if not len(framework):
        return Findings(skipped=[Skipped("density", "every atom is mobile; nothing to stand on")])
    path = centre_of_mass_path(trajectory, framework)
    found = ion_density(trajectory, trajectory.ids_of(mobile), drift_path=path)
    grid = cube_file(
        found.density,
        found.cell_angstrom,
        trajectory.species[framework].tolist(),
        framework_places(found, trajectory, framework, path),
        f"density of {mobile} relative to the framework, 1/bohr^3",
    )
    quantities = [volume_quantity(found, mobile)]
    if trajectory.temperature_kelvin is None:
        skipped = [Skipped(f"free_energy_barrier_{mobile}", "the temperature is not known")]
    else:
        skipped = []
        quantities += barrier_quantities(found, trajectory.temperature_kelvin, mobile)
    return Findings(
        quantities=quantities,
        skipped=skipped,
        figures={f"density_{mobile}": density_figure(found, mobile)},
        files={f"grids/density_{mobile}.cube": grid},
    )


def volume_quantity(found: IonDensity, label: str) -> Quantity:
    """Return the smallest share of the cell that holds 95 % of the time of the ions."""
    value, low, high = _jackknife(found, lambda density: np.array([volume_share(density)]))[:, 0]
    edge = found.voxel_angstrom3 ** (1.0 / 3.0)
    name = f"volume_of_95_percent_{label}"
    what = (
        f"smallest share of the cell that holds 95 % of the time of {label}, voxels of {edge:.2f} "
        "Angstrom"
    )
    ranked = np.sort(found.total.ravel())[::-1]
    visits = int(ranked[round(value * ranked.size) - 1])
    if visits < MIN_VISITS:
        reason = (
            f"{what}: visited {visits} times at its edge, needs {MIN_VISITS}; lower bound, since "
            "more frames find more of it"
        )
        return Quantity(name, math.nan, "1", value, 1.0, status="unresolved", reason=reason)
    reason = f"{what}; interval from {len(found.counts)} blocks of time"
    return Quantity(name, value, "1", max(low, 0.0), min(high, 1.0), reason=reason)


def barrier_quantities(found: IonDensity, temperature_kelvin: float, label: str) -> list[Quantity]:
    """Return the barrier along a, b and c: kT ln of the densest voxel over the bottleneck.

    With the potential of mean force W(r) = -kT ln rho(r) (Kirkwood, J. Chem. Phys. 3, 300 (1935),
    doi 10.1063/1.1749657) it is the height of the lowest pass on the way to the next cell above
    the deepest site.
    """
    kt = BOLTZMANN_EV_PER_KELVIN * temperature_kelvin

    def barriers(density: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.asarray(kt * np.log(density.max() / percolation_levels(density)))

    total = found.total
    visits = percolation_levels(total.astype(float))
    value, low, high = _jackknife(found, barriers)
    quantities = []
    for axis, name in enumerate(AXES):
        what = f"free energy of the lowest pass on the way along {name} above the deepest site"
        name = f"free_energy_barrier_{label}_{name}"
        if visits[axis] < MIN_VISITS or not math.isfinite(high[axis] - low[axis]):
            # Poisson limit of so few visits (Garwood 1936, doi 10.1093/biomet/28.3-4.437).
            most = float(stats.gamma.ppf(LEVEL, visits[axis] + 1))
            least = max(0.0, kt * math.log(total.max() / most))
            seen = f"visited {visits[axis]:.0f} times" if visits[axis] else "never visited"
            reason = (
                f"{what}: its bottleneck was {seen}, needs {MIN_VISITS} and one in every block; "
                "lower bound, visits taken as independent"
            )
            quantities.append(
                Quantity(name, math.nan, "eV", least, math.inf, status="unresolved", reason=reason)
            )
            continue
        reason = (
            f"{what}, {visits[axis]:.0f} visits of the bottleneck; interval from "
            f"{len(found.counts)} blocks of time"
        )
        quantities.append(
            Quantity(name, value[axis], "eV", max(low[axis], 0.0), high[axis], reason=reason)
        )
    return quantities


def framework_places(
    found: IonDensity, trajectory: Trajectory, framework: IntArray, path: FloatArray
) -> FloatArray:
    """Return the mean places of the framework in the mean cell, (n, 3) Angstrom."""
    mean = np.zeros((len(framework), 3))
    for frame in trajectory.frames():
        places = (frame.positions[framework] - path[frame.index]) @ np.linalg.inv(frame.cell)
        mean += places / trajectory.n_frames
    return np.asarray((mean % 1.0) @ found.cell_angstrom)


def _jackknife(found: IonDensity, function: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Return value and limits of functions of the density, (3, n), by leaving out blocks."""
    total = found.total
    scale = 1.0 / (found.n_frames * found.voxel_angstrom3)
    value = function(total * scale)
    without = np.array([function((total - block) * scale) for block in found.counts])
    number = len(without)
    with np.errstate(invalid="ignore"):
        error = np.sqrt((number - 1) / number * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    half = np.array([half_interval(float(e), number, LEVEL) for e in error])
    return np.array([value, value - half, value + half])
