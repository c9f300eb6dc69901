"""Where the loop is: one file, rewritten by rename at every step."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlip.errors import DataError
from mlip.files import read_json, write_json

FILE = "progress.json"
SCHEMA = 1
STAGES = ("label", "ingest", "train", "validate", "run", "select")


@dataclass(frozen=True)
class Round:
    """What one round found.

    Attributes
    ----------
    number : int
        From 0, which has labels only: the shaken structures, or the initial data.
    training_frames, test_frames : int
        In the set that its potential was made from.
    force_rmse_mev_per_angstrom, energy_rmse_mev_per_atom : float
        On the test frames: of runs that training never touched.
    visited : int
        Frames that the committee judged.
    shares : dict of str to dict
        By state: fractions accurate, candidate and failed of its frames.
    broke_down : tuple of str
        Runs that ended early.
    chosen, drawn : int
        Frames asked to be labelled: chosen for training, drawn blindly for testing.
    labels : int
        Of those, labelled.
    dropped : dict of str to int
        Frames not chosen, by reason.
    groups : dict of str to int
        Chosen frames by the species and anion type of their worst atom.
    rescued : int
        Frames beyond the upper level that were chosen because their state had no candidate.
    shaken : int
        Start structures shaken once more, of states without a frame fit for training.
    seconds : dict of str to float
        Wall time by stage.
    """

    number: int
    training_frames: int = 0
    test_frames: int = 0
    force_rmse_mev_per_angstrom: float | None = None
    energy_rmse_mev_per_atom: float | None = None
    visited: int = 0
    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    broke_down: tuple[str, ...] = ()
    chosen: int = 0
    drawn: int = 0
    labels: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    rescued: int = 0
    shaken: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """State of the whole loop.

    Attributes
    ----------
    round, stage : int and str
        What is being done; stage is one of `STAGES`, or 'done'.
    since : float
        Unix time at which this stage began.
    rounds : tuple of Round
        Those that are finished, and the present one as far as it is.
    converged : bool
    """

    round: int = 0
    stage: str = STAGES[0]
    since: float = 0.0
    rounds: tuple[Round, ...] = ()
    converged: bool = False

    def of(self, number: int) -> Round:
        """Return what is known of a round."""
        return next((r for r in self.rounds if r.number == number), Round(number))


def read_progress(out: Path) -> Progress:
    """Read where a loop is; the beginning if there is no file yet.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    path = out / FILE
    if not path.is_file():
        return Progress(since=time.time())
    content = read_json(path)
    try:
        if content.pop("schema") != SCHEMA:
            raise TypeError(f"schema is not {SCHEMA}")
        rounds = tuple(
            Round(**{**entry, "broke_down": tuple(entry["broke_down"])})
            for entry in content.pop("rounds")
        )
        return Progress(**content, rounds=rounds)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: damaged ({error}). Remove it: the loop finds its place again."
        ) from error


def write_progress(out: Path, progress: Progress) -> None:
    """Write where a loop is, by rename."""
    content: dict[str, Any] = {"schema": SCHEMA, **asdict(progress)}
    write_json(out / FILE, content)


def with_round(progress: Progress, entry: Round) -> Progress:
    """Return the progress with one round entered or replaced."""
    others = [r for r in progress.rounds if r.number != entry.number]
    rounds = tuple(sorted([*others, entry], key=lambda r: r.number))
    return Progress(progress.round, progress.stage, progress.since, rounds, progress.converged)
