"""Motion of every species; diffusion coefficient and conductivity of the mobile one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.conductivity.conductivity import nernst_einstein_conductivity, number_density
from analysis.constants import FloatArray
from analysis.errors import RangeError
from analysis.figures.motion import msd_figure
from analysis.hops.net_hops import net_hops
from analysis.motion.diffusion import (
    Diffusion,
    apparent_diffusion_coefficient,
    diffusion_coefficient,
)
from analysis.motion.framework import FrameworkState, framework_quantities, framework_state
from analysis.motion.joined import JoinedMsd, joined_msd
from analysis.motion.msd import MeanSquaredDisplacement, mean_squared_displacement
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory, centre_of_mass_path

MIN_MSD_FRAMES = 10
# Vibration of the centre of a framework stays below it.
RECOIL_ANGSTROM = 0.1


@dataclass(frozen=True)
class Transport:
    """What the motion of single ions says, for what builds on it.

    Attributes
    ----------
    findings : Findings
    curves : mapping of str to MeanSquaredDisplacement
        By species; empty if there are too few frames.
    diffusion : Diffusion or None
        Of the mobile species, if there is one.
    framework : FrameworkState or None
        Whether the other species stay; None if that was not judged.
    """

    findings: Findings
    curves: Mapping[str, MeanSquaredDisplacement]
    diffusion: Diffusion | None
    framework: FrameworkState | None

    @property
    def framework_label(self) -> str:
        """What a conductivity of this run must be called, such as "melt"; "" if nothing."""
        return self.framework.label if self.framework is not None else ""


def transport(
    trajectory: Trajectory,
    mobile: str | None,
    charge_e: float = 1.0,
    *,
    drift_path: FloatArray | None = None,
    dense: Trajectory | None = None,
    accept_subdiffusive: bool = False,
) -> Transport:
    """Compute mean squared displacements of every species, and transport of the mobile one.

    Parameters
    ----------
    trajectory : Trajectory
    mobile : str or None
        Mobile species.
    charge_e : float
        Its charge, elementary charges.
    drift_path : (F, 3) float array, optional
        Path to subtract from every atom, Angstrom; by default the centre of mass of all atoms.
    dense : Trajectory, optional
        More closely spaced frames of the same atoms, for short times.
    accept_subdiffusive : bool
        Where motion is not seen to be diffusive, give the slope of the MSD beside the bounds,
        called apparent.
    """
    findings = Findings()
    if trajectory.n_frames < MIN_MSD_FRAMES:
        reason = f"{trajectory.n_frames} frames; needs at least {MIN_MSD_FRAMES}"
        return Transport(Findings(skipped=[Skipped("msd", reason)]), {}, None, None)
    if drift_path is None:
        drift_path = centre_of_mass_path(trajectory)
    curves = {}
    for species in sorted(set(trajectory.species.tolist())):
        ids = trajectory.ids_of(species)
        curves[species] = mean_squared_displacement(
            trajectory, ids, label=species, drift_path=drift_path
        )
        findings.curves.append(_msd_curve(curves[species]))
    joined = _add_dense(findings, curves, dense, mobile)
    framework = _add_framework(findings, trajectory, curves, mobile, drift_path)
    label = framework.label if framework is not None else ""
    diffusion = None
    if mobile is None:
        findings.skipped.append(
            Skipped("diffusion_coefficient", "no Li in the cell; name the mobile species")
        )
    else:
        diffusion = _add_transport(
            findings, trajectory, curves[mobile], drift_path, charge_e, label, accept_subdiffusive
        )
    findings.figures["msd"] = msd_figure(
        list(curves.values()), [diffusion] if diffusion else [], joined
    )
    return Transport(findings, curves, diffusion, framework)


def _add_dense(
    findings: Findings,
    curves: Mapping[str, MeanSquaredDisplacement],
    dense: Trajectory | None,
    mobile: str | None,
) -> list[JoinedMsd]:
    """Join the closely spaced frames to the others; say where the two disagree on mobile ions."""
    if dense is None or dense.n_frames < MIN_MSD_FRAMES:
        return []
    drift_path = centre_of_mass_path(dense)
    found = []
    for species, main in curves.items():
        short = mean_squared_displacement(
            dense, dense.ids_of(species), label=species, drift_path=drift_path
        )
        joined = joined_msd(main, short)
        found.append(joined)
        # Atoms of a framework recoil together, so that their scatter is no error of the mean.
        if species == mobile and joined.disagreement:
            findings.statements.append(f"{joined.disagreement}.")
        findings.curves.append(
            Curve(
                f"msd_joined_{species}",
                {
                    "time [ps]": joined.times_ps,
                    "msd [Angstrom^2]": joined.msd,
                    "standard error over atoms [Angstrom^2]": joined.standard_errors,
                },
            )
        )
    return found


def _add_framework(
    findings: Findings,
    trajectory: Trajectory,
    curves: Mapping[str, MeanSquaredDisplacement],
    mobile: str | None,
    drift_path: FloatArray,
) -> FrameworkState | None:
    """Judge the framework, if there is one."""
    frozen = {species: msd for species, msd in curves.items() if species != mobile}
    ids = np.flatnonzero(trajectory.species != (mobile or ""))
    if mobile is not None and frozen:
        # A light framework recoils from the ions; that is no motion off its sites.
        path = centre_of_mass_path(trajectory, ids)
        if np.ptp(path - drift_path, axis=0).max() > RECOIL_ANGSTROM:
            frozen = {
                species: mean_squared_displacement(
                    trajectory, trajectory.ids_of(species), label=species, drift_path=path
                )
                for species in frozen
            }
    try:
        state = framework_state(trajectory, frozen)
    except RangeError as error:
        findings.skipped.append(Skipped("framework_frozen", str(error)))
        return None
    findings.quantities += framework_quantities(state, frozen)
    return state


def _add_transport(
    findings: Findings,
    trajectory: Trajectory,
    msd: MeanSquaredDisplacement,
    drift_path: FloatArray,
    charge_e: float,
    framework_label: str,
    accept_subdiffusive: bool,
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
    apparent = []
    if accept_subdiffusive and not resolved:
        apparent = [apparent_diffusion_coefficient(diffusion)]
        findings.quantities += apparent
    if trajectory.temperature_kelvin is None:
        findings.skipped.append(Skipped(name, "the trajectory names no temperature"))
        return diffusion
    for prefix, coefficient in [
        ("", diffusion.coefficient),
        *(("apparent_", item) for item in apparent),
    ]:
        single = nernst_einstein_conductivity(
            coefficient,
            number_density_per_cm3=density,
            temperature_kelvin=trajectory.temperature_kelvin,
            charge_e=charge_e,
        )
        reason = f"{framework_label}; {single.reason}" if framework_label else single.reason
        findings.quantities.append(replace(single, name=f"{prefix}{name}", reason=reason))
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
