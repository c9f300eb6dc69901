"""Motion of every species; diffusion coefficient and conductivity of the mobile one."""

from __future__ import annotations

import numpy as np

from analysis.constants import FloatArray
from analysis.figures.motion import msd_figure
from analysis.motion.conductivity import nernst_einstein_conductivity, number_density
from analysis.motion.diffusion import Diffusion, diffusion_coefficient
from analysis.motion.hops import net_hops
from analysis.motion.msd import MeanSquaredDisplacement, mean_squared_displacement
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory, centre_of_mass_path

MIN_MSD_FRAMES = 10


def transport_findings(
    trajectory: Trajectory, mobile: str | None, charge_e: float = 1.0
) -> Findings:
    """Compute mean squared displacements of every species, and transport of the mobile one.

    Parameters
    ----------
    trajectory : Trajectory
    mobile : str or None
        Mobile species.
    charge_e : float
        Its charge, elementary charges.
    """
    findings = Findings()
    if trajectory.n_frames < MIN_MSD_FRAMES:
        reason = f"{trajectory.n_frames} frames; needs at least {MIN_MSD_FRAMES}"
        return Findings(skipped=[Skipped("msd", reason)])
    drift_path = centre_of_mass_path(trajectory)
    curves = {}
    for species in sorted(set(trajectory.species.tolist())):
        ids = trajectory.ids_of(species)
        curves[species] = mean_squared_displacement(
            trajectory, ids, label=species, drift_path=drift_path
        )
        findings.curves.append(_msd_curve(curves[species]))
    findings.quantities += _framework(curves, mobile)
    diffusion = []
    if mobile is None:
        findings.skipped.append(
            Skipped("diffusion_coefficient", "no Li in the cell; name the mobile species")
        )
    else:
        diffusion.append(_add_transport(findings, trajectory, curves[mobile], drift_path, charge_e))
    findings.figures["msd"] = msd_figure(list(curves.values()), diffusion)
    return findings


def _framework(curves: dict[str, MeanSquaredDisplacement], mobile: str | None) -> list[Quantity]:
    """Return how far the slowest species has moved: the network former tells solid from melt."""
    immobile = {species: msd for species, msd in curves.items() if species != mobile}
    if not immobile:
        return []
    lag = len(next(iter(immobile.values())).times_ps) // 2
    slowest = min(immobile, key=lambda species: immobile[species].msd[lag])
    curve = immobile[slowest]
    return [
        Quantity(
            name=f"framework_mean_squared_displacement_{slowest}",
            value=float(curve.msd[lag]),
            unit="Angstrom^2",
            reason=f"MSD of {slowest}, the slowest species, after {curve.times_ps[lag]:.3g} ps",
            curve=f"msd_{slowest}.csv",
        )
    ]


def _add_transport(
    findings: Findings,
    trajectory: Trajectory,
    msd: MeanSquaredDisplacement,
    drift_path: FloatArray,
    charge_e: float,
) -> Diffusion:
    ids = trajectory.ids_of(msd.label)
    hops = net_hops(trajectory, ids, drift_path=drift_path)
    diffusion = diffusion_coefficient(msd, hops, curve=f"msd_{msd.label}.csv")
    density = number_density(trajectory, msd.label)
    resolved = diffusion.coefficient.status == "ok"
    findings.quantities += [
        Quantity(
            name=f"net_hops_{msd.label}",
            value=float(len(hops.times_ps)),
            unit="1",
            reason=f"site changes not undone, of {hops.n_ions} ions in {hops.duration_ps:.4g} ps",
        ),
        diffusion.coefficient,
        # Bounds stand in for a value that the data do not give. Beside a resolved one the hop
        # bound is wrong: it misses the moves that are shorter or faster than what it counts.
        *([] if resolved else [diffusion.msd_bound, diffusion.hop_bound]),
        Quantity(
            name=f"number_density_{msd.label}",
            value=density,
            unit="cm^-3",
            reason="mean over frames",
        ),
    ]
    name = f"conductivity_nernst_einstein_{msd.label}"
    if trajectory.temperature_kelvin is None:
        findings.skipped.append(Skipped(name, "the trajectory names no temperature"))
    else:
        findings.quantities.append(
            nernst_einstein_conductivity(
                diffusion.coefficient,
                number_density_per_cm3=density,
                temperature_kelvin=trajectory.temperature_kelvin,
                charge_e=charge_e,
            )
        )
    return diffusion


def _msd_curve(msd: MeanSquaredDisplacement) -> Curve:
    error = np.full(len(msd.msd), np.nan)
    if msd.n_atoms > 1:
        error[msd.sample_lags] = msd.atom_msd.std(axis=0, ddof=1) / np.sqrt(msd.n_atoms)
    return Curve(
        f"msd_{msd.label}",
        {
            "time [ps]": msd.times_ps,
            "msd [Angstrom^2]": msd.msd,
            "msd_xx [Angstrom^2]": msd.msd_axes[:, 0],
            "msd_yy [Angstrom^2]": msd.msd_axes[:, 1],
            "msd_zz [Angstrom^2]": msd.msd_axes[:, 2],
            "standard error over atoms [Angstrom^2]": error,
            "origins [1]": msd.n_origins.astype(float),
        },
    )
