"""Analyse a trajectory: run what suits it, say what was left out and why, write the results."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from analysis.conductivity import nernst_einstein_conductivity, number_density
from analysis.constants import FloatArray
from analysis.diffusion import Diffusion, diffusion_coefficient
from analysis.errors import AnalysisError
from analysis.figures.motion import msd_figure
from analysis.figures.pairs import rdf_figure
from analysis.hops import net_hops
from analysis.msd import MeanSquaredDisplacement, mean_squared_displacement
from analysis.rdf import PairDistribution, pair_distributions
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.runs import open_run
from analysis.shells import first_shell
from analysis.trajectory import Trajectory, centre_of_mass_path
from analysis.writer import write_analysis

MIN_MSD_FRAMES = 10


def analyse_run(
    run_directory: Path | str,
    out: Path | str,
    *,
    mobile: str | None = None,
    charge_e: float = 1.0,
    stage: str | None = None,
) -> list[Quantity]:
    """Analyse the production frames of a run directory and write an analysis directory.

    Parameters
    ----------
    run_directory : path
    out : path
        Analysis directory to write.
    mobile : str, optional
        Mobile species; by default Li where there is Li.
    charge_e : float
        Charge of the mobile ion, elementary charges.
    stage : str, optional
        Production stage, needed only where there are several.

    Returns
    -------
    list of Quantity

    Raises
    ------
    AnalysisError
        If the run cannot be read, or `mobile` is not in it.
    """
    run_directory = Path(run_directory)
    trajectory = open_run(run_directory, stage=stage)
    inputs = {
        name: _sha256(run_directory / name) for name in ("structure.extxyz", "trajectory.json")
    }
    return analyse_trajectory(trajectory, out, mobile=mobile, charge_e=charge_e, inputs=inputs)


def analyse_trajectory(
    trajectory: Trajectory,
    out: Path | str,
    *,
    mobile: str | None = None,
    charge_e: float = 1.0,
    inputs: dict[str, str] | None = None,
) -> list[Quantity]:
    """Analyse an open trajectory and write an analysis directory.

    Parameters
    ----------
    trajectory : Trajectory
    out : path
    mobile, charge_e
        See `analyse_run`.
    inputs : dict of str to str, optional
        Hashes of the input files, for the record.

    Returns
    -------
    list of Quantity
    """
    if mobile is not None:
        trajectory.ids_of(mobile)
    elif "Li" in trajectory.species:
        mobile = "Li"
    findings = Findings()
    _add_structure(findings, trajectory)
    _add_dynamics(findings, trajectory, mobile, charge_e)
    write_analysis(
        Path(out),
        quantities=findings.quantities,
        curves=findings.curves,
        figures=findings.figures,
        skipped=findings.skipped,
        provenance=_provenance(trajectory, mobile, charge_e, inputs or {}),
    )
    return findings.quantities


def _add_structure(findings: Findings, trajectory: Trajectory) -> None:
    pairs = pair_distributions(trajectory)
    for species in sorted(set(trajectory.species.tolist())):
        if len(trajectory.ids_of(species)) == 1:
            findings.skipped.append(
                Skipped(f"rdf_{species}-{species}", f"the cell holds a single {species} atom")
            )
    if not pairs:
        return
    shells = []
    for pair in pairs:
        curve = _rdf_curve(pair)
        findings.curves.append(curve)
        shells += first_shell(pair, curve=f"{curve.name}.csv")
    findings.quantities += shells
    findings.figures["rdf"] = rdf_figure(pairs, shells)


def _add_dynamics(
    findings: Findings, trajectory: Trajectory, mobile: str | None, charge_e: float
) -> None:
    if trajectory.n_frames < MIN_MSD_FRAMES:
        findings.skipped.append(
            Skipped("msd", f"{trajectory.n_frames} frames; needs at least {MIN_MSD_FRAMES}")
        )
        return
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


def _rdf_curve(pair: PairDistribution) -> Curve:
    columns: dict[str, FloatArray] = {
        "r [Angstrom]": pair.r_angstrom,
        f"g_{pair.label} [1]": pair.g,
        "upper bin edge [Angstrom]": pair.edges_angstrom[1:],
        f"number of {pair.j} around {pair.i} [1]": pair.cn_ij,
    }
    if pair.i != pair.j:
        columns[f"number of {pair.i} around {pair.j} [1]"] = pair.cn_ji
    if len(pair.g_blocks) > 1:
        error = pair.g_blocks.std(axis=0, ddof=1) / np.sqrt(len(pair.g_blocks))
        columns["standard error of g [1]"] = error
    return Curve(f"rdf_{pair.label}", columns)


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


def _provenance(
    trajectory: Trajectory, mobile: str | None, charge_e: float, inputs: dict[str, str]
) -> dict[str, Any]:
    species, numbers = np.unique(trajectory.species, return_counts=True)
    try:
        own = version("lips-mlip")
    except PackageNotFoundError:
        own = "not installed"
    return {
        "trajectory": str(trajectory.path),
        "inputs": inputs,
        "atoms": {str(s): int(n) for s, n in zip(species, numbers, strict=True)},
        "frames": trajectory.n_frames,
        "frame_interval_ps": trajectory.frame_interval_ps,
        "temperature_kelvin": trajectory.temperature_kelvin,
        "ensemble": trajectory.ensemble,
        "motion_convention": trajectory.motion_convention,
        "drift": "centre of mass of all atoms removed",
        "mobile": mobile,
        "charge_e": charge_e,
        "versions": {
            "lips-mlip": own,
            **{name: version(name) for name in ("numpy", "scipy", "ase", "vesin")},
        },
    }


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be read ({error})") from error
