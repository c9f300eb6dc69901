"""No glass from a quench that left what the potential knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlip.errors import GateError
from mlip.execution.progress import tell
from mlip.md.records import StageRecord, stage_deviation
from mlip.md.watch import DeviationTable, untrusted_share
from mlip.recipes.programme import Scheduled
from mlip.recipes.protocol import Glass
from mlip.recipes.protocol_checks import limits

ACCEPT_UNTRUSTED = "accept-untrusted"


def frames_while_freezing(
    table: DeviationTable, quench: Scheduled, melt_above_kelvin: float
) -> DeviationTable:
    """Return the frames of a quench after the thermostat left the melt.

    What the melt did before is forgotten: it is in equilibrium. What happens from there on is
    frozen in.

    Parameters
    ----------
    table : DeviationTable
        Of the stage.
    quench : Scheduled
    melt_above_kelvin : float
        See `mlip.recipes.protocol.Glass`.
    """
    passed = (table.steps - quench.first_step) / quench.steps
    kelvin = quench.start_kelvin + passed * (quench.end_kelvin - quench.start_kelvin)
    late = kelvin <= melt_above_kelvin
    return DeviationTable(
        table.steps[late], table.values[late], table.species, table.by_species[late]
    )


def freezing_share(
    record: StageRecord, quench: Scheduled, glass: Glass, levels: Mapping[str, float]
) -> float | None:
    """Return the share of the freezing frames beyond trust; None where nobody can tell.

    Nobody can where the committee is one member, is not calibrated, or saw no such frame.
    """
    table = frames_while_freezing(stage_deviation(record), quench, glass.melt_above_kelvin)
    if not levels or not len(table.steps):
        return None
    return round(untrusted_share(table, levels), 4)


def allowed_share(atoms: int) -> float:
    """Return the share of frames beyond trust that a quench of so many atoms may have.

    A frame counts by its worst atom. With parts of a box that go wrong independently, a box k
    times larger keeps within the level in a share of its frames that is raised to the power k.
    Boxes smaller than that of the limit are allowed as much as it.
    """
    times = max(1.0, atoms / limits().atoms_of_the_untrusted_share.value)
    return 1.0 - (1.0 - limits().untrusted_share_of_a_quench.value) ** times


def require_trusted_quench(
    share: float | None, atoms: int, directory: Path, *, accepted: bool
) -> None:
    """Refuse to go on with a glass whose quench the potential did not know.

    Parameters
    ----------
    share : float or None
        See `freezing_share`; where nobody can tell, that is said and nothing is refused.
    atoms : int
        In the box.
    directory : Path
        Of the stage, for the message.
    accepted : bool
        Whether the user goes on all the same.

    Raises
    ------
    GateError
        If more frames are beyond trust than `allowed_share`.
    """
    if share is None:
        tell(
            "Caution: nobody can tell whether the potential knew this quench: its committee is one "
            "member, is not calibrated, or did not look while the glass froze."
        )
        return
    allowed = allowed_share(atoms)
    if share > allowed and not accepted:
        raise GateError(
            f"{directory}: while the glass froze, the committee distrusted {100 * share:.1f} % of "
            f"the frames, expected at most {100 * allowed:.3g} % for {atoms} atoms: forces that "
            "may be wrong made its structure. Label frames of untrusted.extxyz and train on them, "
            "quench more slowly, or go on all the same with --accept-untrusted (the manifest "
            "records it)."
        )
