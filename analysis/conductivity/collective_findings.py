"""What the motion of all ions together says: conductivity and Haven ratio."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.conductivity.collective import (
    ChargeDisplacement,
    all_ion_charge_displacement,
    ion_power,
    mobile_charge_displacement,
)
from analysis.conductivity.collective_slope import MIN_TAPERS, CollectiveSlope, collective_slope
from analysis.conductivity.conductivity import (
    collective_bound,
    collective_conductivity,
    conductivity_per_slope,
    haven_ratio,
)
from analysis.conductivity.green_kubo import (
    GreenKubo,
    charge_current,
    green_kubo,
    green_kubo_conductivity,
)
from analysis.disorder.axis import Axis, height_angstrom, layer_directions
from analysis.errors import AnalysisError
from analysis.figures.collective import collective_figure
from analysis.motion.diffusion import Diffusion
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory

AXES: tuple[Axis, Axis, Axis] = ("a", "b", "c")


def collective_findings(
    trajectory: Trajectory,
    mobile: str,
    charge_e: float,
    diffusion: Diffusion,
    *,
    axis: Axis | None = None,
    framework_label: str = "",
) -> Findings:
    """Compute conductivity and Haven ratio of the mobile ions.

    Parameters
    ----------
    trajectory : Trajectory
    mobile : str
        Mobile species.
    charge_e : float
        Its charge, elementary charges.
    diffusion : Diffusion
        Of the same ions: its window says from when on ions diffuse.
    axis : {"a", "b", "c"}, optional
        Normal of layers; conductivities along and across them are given as well.
    framework_label : str
        What the conductivities must be called, such as "melt"; see `FrameworkState.label`.

    Returns
    -------
    Findings
        Conductivities only where the trajectory names a temperature; that of all ions only where
        it has charges, the Green-Kubo one only where it has velocities.
    """
    findings = Findings()
    if trajectory.temperature_kelvin is None:
        name = f"conductivity_collective_{mobile}"
        findings.skipped.append(Skipped(name, "the trajectory names no temperature"))
        return findings
    ids = trajectory.ids_of(mobile)
    charge = mobile_charge_displacement(trajectory, ids, charge_e, label=mobile)
    found: list[Quantity] = []
    slope = _add_conductivities(found, trajectory, charge, diffusion, axis)
    findings.curves.append(_displacement_curve(charge, diffusion))
    result = None
    if trajectory.velocities is not None:
        try:
            result = green_kubo(charge_current(trajectory, ids, charge_e), charge)
        except AnalysisError as error:
            findings.skipped.append(Skipped(f"conductivity_green_kubo_{mobile}", str(error)))
    scale = conductivity_per_slope(trajectory)
    if result is not None:
        curve = _current_curve(mobile, result, scale)
        findings.curves.append(curve)
        found.append(
            green_kubo_conductivity(
                result,
                scale,
                found[0],
                name=f"conductivity_green_kubo_{mobile}",
                curve=f"{curve.name}.csv",
            )
        )
    if trajectory.charges_e is not None:
        try:
            found.append(_all_ions(trajectory, ids, diffusion, slope))
        except AnalysisError as error:
            findings.skipped.append(Skipped("conductivity_collective_all", str(error)))
    if framework_label:
        found = [replace(item, reason=f"{framework_label}; {item.reason}") for item in found]
    findings.quantities += found
    findings.figures[f"collective_{mobile}"] = collective_figure(
        charge, diffusion, slope, found[0], result, scale
    )
    return findings


def _add_conductivities(
    found: list[Quantity],
    trajectory: Trajectory,
    charge: ChargeDisplacement,
    diffusion: Diffusion,
    axis: Axis | None,
) -> CollectiveSlope | None:
    """Add conductivity and Haven ratio, and components; return what they are from."""
    name, curve = f"conductivity_collective_{charge.label}", _curve_name(charge.label)
    haven = f"haven_ratio_{charge.label}"
    n_tapers = _windows(charge, diffusion)
    if diffusion.fit is None or diffusion.coefficient.status != "ok" or n_tapers < MIN_TAPERS:
        bound = collective_bound(
            charge,
            diffusion,
            trajectory,
            squared_charges=charge.squared_charges,
            name=name,
            curve=curve,
        )
        if diffusion.fit is not None and diffusion.coefficient.status == "ok":
            few = f"fewer than {MIN_TAPERS} windows of {diffusion.fit.start_ps:.3g} ps in the run"
            bound = replace(bound, reason=f"{few}; {bound.reason.split('; ', 1)[1]}")
        reason = f"the collective conductivity is unresolved: {bound.reason.split(';')[0]}"
        ratio = Quantity(haven, np.nan, "1", 0.0, np.inf, status="unresolved", reason=reason)
        found += [bound, ratio]
        return None
    scale = conductivity_per_slope(trajectory)
    cell = trajectory.cells.mean(axis=0)
    frame = np.eye(3)
    if axis is not None:
        frame = np.concatenate(layer_directions(cell, AXES.index(axis)))
    ions = ion_power(trajectory, charge, n_tapers, frame)
    limit = diffusion.fit.slope / 3.0 * charge.squared_charges
    start = diffusion.fit.start_ps
    slope = collective_slope(charge, ions, start_ps=start, ion_limit=limit, directions=frame)
    sigma = collective_conductivity(slope, charge, scale, name=name, curve=curve)
    found += [sigma, haven_ratio(slope, sigma, name=haven)]
    if axis is None:
        return slope
    found[0] = replace(sigma, reason=f"mean over directions of a layered sample; {sigma.reason}")
    for suffix, rows in (("parallel", slice(0, 2)), ("normal", slice(2, 3))):
        part = collective_slope(
            charge,
            ions[:, rows],
            start_ps=start,
            ion_limit=limit,
            directions=frame[rows],
            like=slope,
        )
        item = collective_conductivity(part, charge, scale, name=f"{name}_{suffix}", curve=curve)
        if suffix == "normal":
            squared = part.ion_slope / charge.squared_charges * charge.duration_ps
            height = height_angstrom(cell, AXES.index(axis))
            if squared < height**2:
                caution = (
                    f"ions move by {squared**0.5:.2g} of {height:.3g} Angstrom along {axis}: mean "
                    "of the layers, not transport through them"
                )
                item = replace(item, reason=f"{caution}; {item.reason}")
        found.append(item)
    return slope


def _windows(charge: ChargeDisplacement, diffusion: Diffusion) -> int:
    if diffusion.fit is None:
        return 0
    return int(charge.duration_ps / diffusion.fit.start_ps * (1 + 1e-9))


def _all_ions(
    trajectory: Trajectory, ids: np.ndarray, diffusion: Diffusion, slope: CollectiveSlope | None
) -> Quantity:
    charge = all_ion_charge_displacement(trajectory)
    name = "conductivity_collective_all"
    if slope is None or diffusion.fit is None:
        squared = float((charge.charges_e[ids] ** 2).sum())
        return collective_bound(charge, diffusion, trajectory, squared_charges=squared, name=name)
    # Windows and memory are those of the mobile ions; what the others would do alone is not asked.
    unused = np.ones((slope.n_tapers, 3))
    whole = collective_slope(charge, unused, start_ps=slope.window_ps, ion_limit=np.nan, like=slope)
    return collective_conductivity(whole, charge, conductivity_per_slope(trajectory), name=name)


def _curve_name(label: str) -> str:
    return f"charge_displacement_{label}.csv"


def _displacement_curve(charge: ChargeDisplacement, diffusion: Diffusion) -> Curve:
    squares = charge.squared_charges
    return Curve(
        _curve_name(charge.label).removesuffix(".csv"),
        {
            "time [ps]": diffusion.msd.times_ps,
            "squared charge displacement [e^2 Angstrom^2]": charge.mean_squared(),
            "independent ions [e^2 Angstrom^2]": squares * diffusion.msd.msd,
            "origins [1]": diffusion.msd.n_origins.astype(float),
        },
    )


def _current_curve(label: str, result: GreenKubo, scale: float) -> Curve:
    factor = 2.0 / 3.0 * scale
    return Curve(
        f"current_correlation_{label}",
        {
            "time [ps]": result.times_ps,
            "current correlation [e^2 Angstrom^2/ps^2]": result.correlation,
            "running conductivity [S/cm]": factor * result.running,
            "standard error over blocks [S/cm]": factor * result.running_error,
        },
    )
