"""Anion speciation over a trajectory: what share of units and of atoms each anion holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.anions.anion_rules import AnionRules, anion_rules
from analysis.anions.bond_cutoffs import BondCutoff, sample_cutoffs, table_cutoffs
from analysis.anions.bonds import Bonds, lasting_bonds
from analysis.anions.persistence import (
    PERSISTENCE_PS,
    Window,
    bonds_around,
    persistence_window,
    read_frame,
)
from analysis.anions.unit_tally import (
    Tally,
    has_one_formula,
    holds_former,
    ligand_classes,
    open_formulas,
    stack,
    tally_units,
    unit_places,
)
from analysis.anions.units import Anions, assemble_anions, bonding_atoms
from analysis.blocks import MAX_FRAMES, N_BLOCKS
from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError, RangeError
from analysis.groups import Groups
from analysis.pairs.rdf import PairDistribution
from analysis.trajectory import Trajectory

# What the cutoffs are changed by to see how much depends on them.
CUTOFF_OFFSETS_ANGSTROM = (-0.1, 0.0, 0.1)

EVERYWHERE, OUTSIDE = "all", "outside"
UNITS, NAMED_UNITS = "units", "named_units"


@dataclass(frozen=True)
class Speciation:
    """Anions of F frames in R regions by U names of units.

    Attributes
    ----------
    names : tuple of str, length U
        Names of units in the order of the rule table; ``other`` last.
    named : (U,) bool array
        Whether the name stands for one formula with a network former, such as PS4.
    elements : tuple of str, length K
        Elements that have bonds, network formers first.
    n_formers : int
        How many of them are network formers.
    regions : tuple of str, length R
        ``all``; where regions were given also these, and ``outside`` for units in none.
    frames : (F,) int array
        Frames of the trajectory.
    times_ps : (F,) float array
    tally : Tally
        By bonds that last.
    single : Tally
        The same frames by the bonds of each alone, R = 1.
    shifted : tuple of Tally
        By bonds that last, with all cutoffs changed by `CUTOFF_OFFSETS_ANGSTROM`, R = 1.
    ligands : (F, R, K - n_formers, 4) int array
        Atoms of each ligand element bonded to 0, 1, 2, and 3 or more network formers, see
        `LIGAND_CLASSES`.
    bonds, single_bonds : (F, pairs) int arrays
        Bonds of each pair of `cutoffs`: that last, and of each frame alone.
    charge_e : (F,) float array
        Formal charge of the cell: lone ions and units; 0 if these are all ions there are.
    element_charge_e : float
        The same if no like atoms were bonded: oxidation states of all atoms.
    formulas : mapping of str to float
        Units of each formula per frame, for names that do not tell it, such as ``other PS3``.
    cutoffs : tuple of BondCutoff
    window : Window
        Which frames decide on a bond.
    """

    names: tuple[str, ...]
    named: np.ndarray
    elements: tuple[str, ...]
    n_formers: int
    regions: tuple[str, ...]
    frames: IntArray
    times_ps: FloatArray
    tally: Tally
    single: Tally
    shifted: tuple[Tally, ...]
    ligands: IntArray
    bonds: IntArray
    single_bonds: IntArray
    charge_e: FloatArray
    element_charge_e: float
    formulas: Mapping[str, float]
    cutoffs: tuple[BondCutoff, ...]
    window: Window


def speciation(
    trajectory: Trajectory,
    *,
    rules: AnionRules | None = None,
    pairs: Sequence[PairDistribution] = (),
    cutoffs_from: str = "table",
    regions: Groups | None = None,
    persistence_ps: float = PERSISTENCE_PS,
    minimised: bool = False,
    stride: int | None = None,
) -> Speciation:
    """Count the anions of a trajectory.

    Parameters
    ----------
    trajectory : Trajectory
    rules : AnionRules, optional
        By default the table of the package.
    pairs : sequence of PairDistribution
        Of the same trajectory, for the cutoffs.
    cutoffs_from : {"table", "g(r)"}
        Bond cutoffs of the rule table, or at the first minimum of each pair's g(r).
    regions : Groups, optional
        Division of the atoms in space. A unit with network formers is where most of these are,
        any other unit where most of its atoms are; a tie goes to the region that comes first in
        `regions.names`, and a unit is outside only if most of its votes are. Its atoms go with it.
    persistence_ps : float
        Time that a bond must last to count, see `persistence_window`; 0 for single frames.
    minimised : bool
        Whether the frames are energy-minimised; single frames are used then.
    stride : int, optional
        Use every `stride`-th frame; by default such that at most 200 are used.

    Returns
    -------
    Speciation

    Raises
    ------
    AnalysisError
        If an element is not in the table, no atom has bonds, or g(r) is wanted but not given.
    RangeError
        If `cutoffs_from`, `stride` or `persistence_ps` is impossible.
    """
    rules = rules or anion_rules()
    if cutoffs_from not in ("table", "g(r)"):
        raise RangeError(f"cutoffs_from is {cutoffs_from!r}; allowed are 'table' and 'g(r)'.")
    if stride is not None and stride < 1:
        raise RangeError(f"stride is {stride}; it must be at least 1.")
    if cutoffs_from == "table":
        cutoffs = table_cutoffs(rules, pairs)
    else:
        rules, cutoffs = sample_cutoffs(rules, pairs)
    ids, kinds = bonding_atoms(trajectory.species.tolist(), rules)
    if not len(ids):
        raise AnalysisError(
            f"{trajectory.path}: no atom belongs to an anion; the table has bonds of "
            f"{', '.join(rules.elements)}, the trajectory holds only lone ions."
        )
    window = persistence_window(trajectory, persistence_ps, minimised=minimised)
    usable = trajectory.n_frames - 2 * window.reach
    stride = stride or -(-usable // MAX_FRAMES)
    centres = range(window.reach, trajectory.n_frames - window.reach, stride)
    places = (EVERYWHERE,) if regions is None else (EVERYWHERE, *regions.names, OUTSIDE)
    base = rules.pair_matrix(rules.cutoffs_angstrom, 0.0)
    longest = np.where(base > 0, base + max(CUTOFF_OFFSETS_ANGSTROM), 0.0)
    counted = []
    for centre, samples in zip(
        centres, bonds_around(trajectory, ids, kinds, longest, window, centres), strict=True
    ):
        codes = None
        if regions is not None:
            codes = regions.codes(read_frame(trajectory, centre))[ids]
        counted.append(_count_frame(samples, kinds, codes, len(places), window, rules))
    return _collect(trajectory, rules, cutoffs, places, window, centres, counted)


def block_shares(
    result: Speciation, of: str, *, region: str = EVERYWHERE, tally: Tally | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the share of every name, over all frames and by block of frames.

    Parameters
    ----------
    result : Speciation
    of : str
        What is shared out: ``units`` (all, free ligands included), ``named_units`` (only those
        with one formula and a network former, the convention of published percentages, which
        leave the rest out), or an element for its atoms.
    region : str
    tally : Tally, optional
        `result.single` or one of `result.shifted`; by default `result.tally`.

    Returns
    -------
    shares : (U,) float array
        Sum over frames over the sum of the total; nan where the total is 0. They add up to 1.
    blocks : (n_blocks, U) float array
        The same in consecutive blocks of frames.
    """
    tally = tally or result.tally
    place = result.regions.index(region)
    if of == UNITS:
        series = tally.units[:, place]
    elif of == NAMED_UNITS:
        series = tally.units[:, place] * result.named
    else:
        series = tally.atoms[:, place, :, result.elements.index(of)]
    return ratio_by_block(series, series.sum(axis=1))


def ratio_by_block(
    part: FloatArray | IntArray, whole: FloatArray | IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return sum(part) / sum(whole) over frames, (...,), and by block, (n_blocks, ...).

    Frames are the first axis of `part`; `whole` has one value a frame.
    """
    n_blocks = min(N_BLOCKS, len(whole))

    def ratio(rows: slice | np.ndarray) -> FloatArray:
        total = float(whole[rows].sum())
        found: FloatArray = part[rows].sum(axis=0) / (total if total > 0 else math.nan)
        return found

    blocks = np.arange(len(whole)) * n_blocks // len(whole)
    return ratio(slice(None)), np.array([ratio(blocks == block) for block in range(n_blocks)])


@dataclass(frozen=True)
class _Counted:
    """What one frame adds."""

    tally: Tally
    single: Tally
    shifted: tuple[Tally, ...]
    ligands: IntArray
    bonds: IntArray
    single_bonds: IntArray
    charge_e: float
    formulas: Counter[str]


def _count_frame(
    samples: Sequence[Bonds],
    kinds: IntArray,
    region_codes: IntArray | None,
    n_places: int,
    window: Window,
    rules: AnionRules,
) -> _Counted:
    base = rules.pair_matrix(rules.cutoffs_angstrom, 0.0)
    # Bonds within a shorter cutoff are among those within a longer one: as many are the same.
    known: dict[int, Anions] = {}
    by_offset = []
    for offset in CUTOFF_OFFSETS_ANGSTROM:
        near = [bonds.within(np.where(base > 0, base + offset, 0.0), kinds) for bonds in samples]
        lasting = lasting_bonds(near, len(kinds), window.at_least)
        if len(lasting.i) not in known:
            known[len(lasting.i)] = assemble_anions(kinds, lasting, rules)
        by_offset.append(known[len(lasting.i)])
    anions = by_offset[CUTOFF_OFFSETS_ANGSTROM.index(0.0)]
    single = anions
    if len(samples) > 1:
        single = assemble_anions(kinds, samples[window.half].within(base, kinds), rules)
    places = unit_places(anions, kinds, region_codes, n_places, rules)
    return _Counted(
        tally=tally_units(anions, rules, places, n_places),
        single=tally_units(single, rules),
        shifted=tuple(tally_units(changed, rules) for changed in by_offset),
        ligands=ligand_classes(anions, kinds, rules, places, n_places),
        bonds=anions.bonds,
        single_bonds=single.bonds,
        charge_e=float(anions.charge_e.sum()),
        formulas=open_formulas(anions, rules),
    )


def _collect(
    trajectory: Trajectory,
    rules: AnionRules,
    cutoffs: tuple[BondCutoff, ...],
    regions: tuple[str, ...],
    window: Window,
    centres: range,
    counted: Sequence[_Counted],
) -> Speciation:
    states = np.array([rules.oxidation_states[symbol] for symbol in trajectory.species.tolist()])
    lone = float(states[np.isin(trajectory.species, list(rules.lone_ions))].sum())
    formulas: Counter[str] = Counter()
    for frame in counted:
        formulas.update(frame.formulas)
    return Speciation(
        names=rules.unit_names,
        named=np.array([has_one_formula(name, rules) for name in rules.unit_names])
        & np.array([holds_former(name, rules) for name in rules.unit_names]),
        elements=rules.elements,
        n_formers=len(rules.formers),
        regions=regions,
        frames=np.array(centres, dtype=np.int64),
        times_ps=np.array(centres) * trajectory.frame_interval_ps,
        tally=stack([frame.tally for frame in counted]),
        single=stack([frame.single for frame in counted]),
        shifted=tuple(
            stack([frame.shifted[n] for frame in counted])
            for n in range(len(CUTOFF_OFFSETS_ANGSTROM))
        ),
        ligands=np.array([frame.ligands for frame in counted]),
        bonds=np.array([frame.bonds for frame in counted]),
        single_bonds=np.array([frame.single_bonds for frame in counted]),
        charge_e=np.array([frame.charge_e for frame in counted]) + lone,
        element_charge_e=float(states.sum()),
        formulas={key: count / len(centres) for key, count in formulas.most_common()},
        cutoffs=cutoffs,
        window=window,
    )
