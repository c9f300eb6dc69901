"""Motion of the mobile ions by the kind of anion that they are next to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.anions.anion_rules import anion_rules
from analysis.anions.persistence import PERSISTENCE_PS, read_frame
from analysis.blocks import used_frames
from analysis.constants import FloatArray
from analysis.groups import Groups
from analysis.motion.membership import membership_of
from analysis.pairs.shells import coordination_reach
from analysis.regional.neighbourhood import anion_neighbourhood_groups
from analysis.regional.region_findings import MIN_IONS, region_findings
from analysis.results import Findings, Quantity, Skipped
from analysis.trajectory import Trajectory

TOPIC = "motion_by_anion"
# Neighbourhoods are looked at so often; an ion next to a new anion stays there for longer.
SPACING_PS = 0.1
# Looks that tell whether there are two kinds of neighbourhood at all.
FIRST_LOOKS = 20
EXCHANGE = ("exchange_rate_", "stay_time_")


def anion_motion_findings(
    trajectory: Trajectory,
    mobile: str,
    shells: Sequence[Quantity],
    charge_e: float,
    *,
    drift_path: FloatArray,
) -> Findings:
    """Compute motion of the mobile ions by the kind of the nearest anion.

    Ions next to sulphur of P2S7, say, are told from those next to PS4. An ion changes its
    neighbours as it moves, so D of one kind is unresolved unless they stay for long; MSDs at short
    times, and how long ions stay, are what is left.

    Parameters
    ----------
    trajectory : Trajectory
    mobile : str
        Mobile species.
    shells : sequence of Quantity
        First peaks and minima of g(r): an anion is next to an ion as far as its ligands
        coordinate it.
    charge_e : float
        Charge of an ion, elementary charges.
    drift_path : (F, 3) float array
        Path subtracted from every ion, Angstrom.
    """
    rules = anion_rules()
    species = set(trajectory.species.tolist())
    if missing := rules.missing(species):
        return Findings(skipped=[Skipped(TOPIC, missing)])
    ligands = sorted((set(rules.elements) - set(rules.formers)) & species)
    found = [coordination_reach(shells, mobile, ligand) for ligand in ligands]
    reaches = [reach for reach, reason in found if not reason]
    if not reaches:
        reason = "; ".join(reason for _, reason in found) or "no ligands of an anion"
        return Findings(skipped=[Skipped(TOPIC, reason)])
    ids = trajectory.ids_of(mobile)
    groups = anion_neighbourhood_groups(
        trajectory,
        ids,
        reach_angstrom=max(reaches),
        persistence_ps=PERSISTENCE_PS,
        stride=max(1, int(SPACING_PS / trajectory.frame_interval_ps + 1e-9)),
    )
    if reason := _one_kind(trajectory, mobile, groups):
        return Findings(skipped=[Skipped(TOPIC, reason)])
    findings = region_findings(
        trajectory,
        mobile,
        groups,
        None,
        charge_e,
        drift_path=drift_path,
        membership=membership_of(trajectory, ids, groups),
        # Few displacements stay beside one anion for longer than a vibration.
        rule="origin",
        title="anion",
    )
    # An ion between two anions is nearest to either in turn as it vibrates: it has no stay to
    # count, and those that remain would make long ones. The curves tell which share is left.
    findings.quantities = [
        quantity for quantity in findings.quantities if not quantity.name.startswith(EXCHANGE)
    ]
    return findings


def _one_kind(trajectory: Trajectory, mobile: str, groups: Groups) -> str:
    """Tell from a few frames that ions of two kinds are not there, or return nothing."""
    ids = trajectory.ids_of(mobile)
    frames = used_frames(trajectory, max(1, trajectory.n_frames // FIRST_LOOKS))
    counts = np.zeros(len(groups.names))
    for index in frames:
        codes = groups.codes(read_frame(trajectory, index))[ids]
        counts += np.bincount(codes[codes >= 0], minlength=len(groups.names))
    numbers = {
        name: float(number)
        for name, number in zip(groups.names, counts / len(frames), strict=True)
        if number > 0
    }
    if sum(number >= MIN_IONS for number in numbers.values()) >= 2:
        return ""
    shown = ", ".join(f"{name} {number:.1f}" for name, number in numbers.items()) or "none"
    return f"{mobile} next to fewer than two kinds of anion in {len(frames)} frames: {shown}"
