"""One round's frames judged, its trust levels calibrated, and the frames to be labelled."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from analysis.anions.units import anion_rules, anion_units
from analysis.pairs.closest import FrameGeometry, frame_geometry
from mlip.data.geometry_checks import pair_limit
from mlip.errors import BlowUpError
from mlip.explore.evaluate import Judged, judge
from mlip.explore.sample import Visit, frames_of
from mlip.explore.select import Explored, Selection, sane, select_frames, spaced
from mlip.explore.soundness import is_broken, usual_coordination
from mlip.explore.states import shaken_frames, tagged
from mlip.recipes.explore import ExploreRecipe
from mlip.validation.reference import read_system, system_directories
from mlip.validation.trust import (
    ACCURATE,
    CANDIDATE,
    FAILED,
    TrustLevels,
    calibrate,
    classify,
    deviation_ratio,
)


@dataclass(frozen=True)
class Choice:
    """What a round asks to be labelled, and why.

    Attributes
    ----------
    frames : tuple of Atoms
        Chosen for training, then drawn for testing; `split` in their info tells.
    levels : TrustLevels
    shares : dict of str to dict
        By state: fractions accurate, candidate and failed.
    selection : Selection
    drawn, rescued, shaken, visited : int
    calibration : dict of str to list
        For the page: species, deviation and error of the atoms of the test frames.
    """

    frames: tuple[Atoms, ...]
    levels: TrustLevels
    shares: dict[str, dict[str, float]]
    selection: Selection
    drawn: int
    rescued: int
    shaken: int
    visited: int
    calibration: dict[str, list[object]]


def choose(
    recipe: ExploreRecipe,
    number: int,
    visits: Sequence[Visit],
    structures: Mapping[str, Path],
    members: Sequence[Path],
    data: Path,
    folder: Path,
    token: str,
) -> Choice:
    """Judge the frames of a round and choose.

    A state of which no frame is fit for training gives its start structure once more, shaken: a
    potential that loses a state at once learns nothing from where it went.

    Parameters
    ----------
    recipe : ExploreRecipe
    number : int
        Of the round.
    visits : sequence of Visit
        Its runs.
    structures : mapping of str to Path
        Structure directories by state.
    members : sequence of Path
        Plain potentials of the committee.
    data : Path
        Set that they were trained on, with its test frames.
    folder : Path
        Scratch folder.
    token : str
        Lock token of the workspace.

    Raises
    ------
    BlowUpError
        If no frame is fit for a label.
    """
    trained_on, unseen = (labelled_frames(data, split) for split in ("train", "test"))
    labelled = [*trained_on, *unseen]
    seen = [(visit, time, atoms) for visit in visits for time, atoms in frames_of(visit)]
    judged = judge(members, [*labelled, *(atoms for _, _, atoms in seen)], folder, token)
    old, new = judged[: len(labelled)], judged[len(labelled) :]
    levels, calibration = _calibrated(recipe, unseen, old[len(trained_on) :])
    explored = _explored(recipe, seen, new, levels, usual_coordination(structures))
    descriptors = np.array([entry.descriptor for entry in old])
    train = np.array([visit.split == "train" for visit, _, _ in seen], dtype=bool)
    limits = smallest_distances(recipe)
    for_training, rescued = _with_rescued(_part(explored, train), limits, recipe)
    selection = select_frames(for_training, descriptors, limits, recipe.selection)
    chosen = np.flatnonzero(train)[selection.chosen]
    drawn = drawn_blindly(recipe, number, explored, np.flatnonzero(~train), limits)
    frames = [
        tagged(seen[k][2], seen[k][0].state, f"{number:03d}-{seen[k][0].series}", seen[k][1], split)
        for index, split in ((chosen, "train"), (drawn, "test"))
        for k in index
    ]
    fit = {seen[k][0].state.name for k in chosen}
    lost = {visit.state.name for visit in visits} - fit
    shaken = shaken_frames(recipe, structures, number, [s for s in recipe.states if s.name in lost])
    frames += shaken
    if not frames:
        raise BlowUpError(
            f"round {number}: of {len(seen)} frames none is fit for a label ("
            + ", ".join(f"{count} {why}" for why, count in selection.dropped.items())
            + "). Train longer, begin with more data, or shorten sampling.timestep_fs; then start "
            "anew with --force."
        )
    return Choice(
        tuple(frames),
        levels,
        _shares(explored),
        selection,
        len(drawn),
        rescued,
        len(shaken),
        len(seen),
        calibration,
    )


def labelled_frames(data: Path, split: str) -> list[Atoms]:
    """Return the frames of one split of a set, each with its first-principles forces."""
    frames = []
    for folder in system_directories(data, split):
        system = read_system(data, split, folder)
        for coords, cell, forces in zip(system.coords, system.cells, system.forces, strict=True):
            atoms = Atoms(system.symbols, coords, cell=cell, pbc=True)
            atoms.set_array("dft_forces", forces)
            frames.append(atoms)
    return frames


def _calibrated(
    recipe: ExploreRecipe, frames: Sequence[Atoms], judged: Sequence[Judged]
) -> tuple[TrustLevels, dict[str, list[object]]]:
    deviation, error, species, number = [], [], [], []
    for k, (atoms, entry) in enumerate(zip(frames, judged, strict=True)):
        deviation.append(entry.deviation)
        error.append(np.linalg.norm(entry.forces - atoms.arrays["dft_forces"], axis=1))
        species += atoms.get_chemical_symbols()
        number += [k] * len(atoms)
    deviations, errors = np.concatenate(deviation), np.concatenate(error)
    levels = calibrate(deviations, errors, species, number, recipe.type_map, recipe.trust)
    calibration = {
        "species": list(species),
        "deviation_ev_per_angstrom": np.round(deviations, 5).tolist(),
        "error_ev_per_angstrom": np.round(errors, 5).tolist(),
    }
    return levels, calibration


def _explored(
    recipe: ExploreRecipe,
    seen: Sequence[tuple[Visit, float, Atoms]],
    judged: Sequence[Judged],
    levels: TrustLevels,
    usual: Mapping[str, Mapping[str, set[int]]],
) -> Explored:
    verdict, ratio, species, anion, geometry = [], [], [], [], []
    rules = anion_rules()
    for (_, _, atoms), entry in zip(seen, judged, strict=True):
        symbols = atoms.get_chemical_symbols()
        deviation = entry.deviation[None]
        verdict.append(str(classify(deviation, symbols, levels)[0]))
        ratios, worst = deviation_ratio(deviation, symbols, levels)
        ratio.append(float(ratios[0]))
        species.append(symbols[int(worst[0])])
        geometry.append(frame_geometry(symbols, atoms.positions, atoms.cell.array))
        # Other chemistries have no rules, and are shared out by element alone.
        known = set(symbols) <= {*rules.anion_elements, *rules.lone_ions}
        if known:
            labels = anion_units(symbols, atoms.positions, atoms.cell.array, rules).labels
        anion.append(labels[int(worst[0])] if known else "")
    return Explored(
        state=[visit.state.name for visit, _, _ in seen],
        verdict=verdict,
        ratio=np.array(ratio),
        species=species,
        anion=anion,
        descriptor=np.array([entry.descriptor for entry in judged]),
        run=[visit.series for visit, _, _ in seen],
        time_ps=np.array([time for _, time, _ in seen]),
        geometry=geometry,
        broken=[
            visit.state.name in usual and is_broken(atoms, usual[visit.state.name])
            for visit, _, atoms in seen
        ],
    )


def _part(explored: Explored, mask: np.ndarray) -> Explored:
    index = [int(k) for k in np.flatnonzero(mask)]

    def taken(values: Sequence[str]) -> list[str]:
        return [values[k] for k in index]

    geometry: list[FrameGeometry] = [explored.geometry[k] for k in index]
    return Explored(
        state=taken(explored.state),
        verdict=taken(explored.verdict),
        ratio=explored.ratio[index],
        species=taken(explored.species),
        anion=taken(explored.anion),
        descriptor=explored.descriptor[index],
        run=taken(explored.run),
        time_ps=explored.time_ps[index],
        geometry=geometry,
        broken=[explored.broken[k] for k in index],
    )


def _with_rescued(
    explored: Explored, limits: dict[str, float], recipe: ExploreRecipe
) -> tuple[Explored, int]:
    """Make candidates of the earliest failed frames where a state offers too few.

    A potential that knows nothing of a state would never learn of it otherwise; it has not gone
    far astray yet. Sane frames only: first principles are right about any geometry, and the
    committee need not be believed.
    """
    alive, _ = sane(explored, np.arange(len(explored)), limits, recipe.selection)
    states = list(dict.fromkeys(explored.state))
    share = math.ceil(recipe.selection.maximum_frames / max(1, len(states)))
    verdict = list(explored.verdict)
    rescued = 0
    for state in states:
        own = np.array([k for k in alive if explored.state[int(k)] == state], dtype=int)
        offered = np.array([k for k in own if verdict[k] == CANDIDATE], dtype=int)
        kept, _ = spaced(explored, offered, recipe.selection.spacing_ps)
        failed = sorted(
            (int(k) for k in own if verdict[k] == FAILED), key=explored.time_ps.__getitem__
        )
        taken = [int(k) for k in kept]
        for frame in failed:
            if len(taken) >= share:
                break
            apart, _ = spaced(explored, np.array([*taken, frame]), recipe.selection.spacing_ps)
            if len(apart) == len(taken) + 1:
                taken.append(frame)
                verdict[frame] = CANDIDATE
                rescued += 1
    if not rescued:
        return explored, 0
    values = {name: getattr(explored, name) for name in Explored.__dataclass_fields__}
    return Explored(**{**values, "verdict": verdict}), rescued


def drawn_blindly(
    recipe: ExploreRecipe,
    number: int,
    explored: Explored,
    frames: NDArray[np.intp],
    limits: dict[str, float],
) -> NDArray[np.intp]:
    """Draw test frames: whatever the committee says, evenly over `explored.state`."""
    alive, _ = sane(explored, frames, limits, recipe.selection)
    rng = np.random.default_rng([recipe.seed, number])
    shuffled = rng.permutation(alive)
    taken: list[int] = []
    counts: Counter[str] = Counter()
    while len(taken) < recipe.test_frames and len(shuffled):
        least = min(counts[explored.state[int(k)]] for k in shuffled)
        first = next(int(k) for k in shuffled if counts[explored.state[int(k)]] == least)
        kept, _ = spaced(explored, np.array([*taken, first]), recipe.selection.spacing_ps)
        if len(kept) == len(taken) + 1:
            taken.append(first)
            counts[explored.state[first]] += 1
        shuffled = shuffled[shuffled != first]
    return np.array(sorted(taken, key=lambda k: (explored.run[k], explored.time_ps[k])), dtype=int)


def smallest_distances(recipe: ExploreRecipe) -> dict[str, float]:
    """Return the smallest believable distance by pair of elements, Å."""
    names = sorted(recipe.type_map)
    return {
        f"{one}-{other}": pair_limit(one, other) for one in names for other in names if one <= other
    }


def _shares(explored: Explored) -> dict[str, dict[str, float]]:
    shares = {}
    for state in dict.fromkeys(explored.state):
        own = [v for v, s in zip(explored.verdict, explored.state, strict=True) if s == state]
        shares[state] = {
            verdict: round(own.count(verdict) / len(own), 4)
            for verdict in (ACCURATE, CANDIDATE, FAILED)
        }
    return shares
