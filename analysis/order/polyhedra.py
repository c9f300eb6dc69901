"""Coordination polyhedra of an ion: how many neighbours, in what shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.blocks import N_BLOCKS, BlockRatio, block_ratio, ratio_quantity, used_frames
from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.figures.order import polyhedra_figure
from analysis.groups import Groups, intersection, static_groups
from analysis.order.shapes import OTHER, SHAPES, angle_deviations, shape_names
from analysis.pairs.neighbours import neighbour_directions
from analysis.pairs.shells import coordination_reach
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Frame, Trajectory

# The most distorted tetrahedra of a crystal, in beta-Li3PS4, deviate by 13.4 degrees at rest and by
# up to 18 where atoms have moved by 0.1 Angstrom. Random directions at least 60 degrees apart pass
# as tetrahedron in 3 %, as square in 2 % and as seesaw in 13 % of cases; at least 55 degrees apart
# as octahedron in 2 %.
LIMIT_DEGREES = 18.0
BIN_DEGREES = 1.0
MAX_DEVIATION_DEGREES = 60.0
MAX_NUMBER = 12
# A histogram has its place in a table; the list of results names what is common.
SHOWN_SHARE = 0.05


@dataclass(frozen=True)
class Polyhedra:
    """Coordination of an ion in G groups.

    Attributes
    ----------
    ion : str
        Species in the centre.
    cutoffs_angstrom : dict of str to float
        Largest distance of a neighbour, by its species.
    limit_degrees : float
        Largest root mean square deviation of angles of an ion that counts to a shape.
    names : tuple of str
        Groups of ions.
    ions : (G,) float array
        Ions a frame.
    mean_number : BlockRatio of (G,)
        Coordination number.
    number_share : BlockRatio of (G, 13)
        Share of ions with 0, 1, ... neighbours; the last are 12 or more.
    shapes : tuple of str
        S shapes, the last of them ``other``.
    shape_share : BlockRatio of (G, S)
        Share of the ions, sum 1.
    edges_degrees : (B + 1,) float array
    deviation : BlockRatio of (G, S, B)
        Share of the ions that are nearest to a shape and deviate from it by as much as the bin
        says, without regard to the limit; the last bin holds all above. Ions with a number of
        neighbours that no shape has are in none.
    n_frames : int
    """

    ion: str
    cutoffs_angstrom: Mapping[str, float]
    limit_degrees: float
    names: tuple[str, ...]
    ions: FloatArray
    mean_number: BlockRatio
    number_share: BlockRatio
    shapes: tuple[str, ...]
    shape_share: BlockRatio
    edges_degrees: FloatArray
    deviation: BlockRatio
    n_frames: int


def coordination_polyhedra(
    trajectory: Trajectory,
    ion: str,
    cutoffs_angstrom: Mapping[str, float],
    *,
    groups: Groups | None = None,
    limit_degrees: float = LIMIT_DEGREES,
    stride: int | None = None,
) -> Polyhedra:
    """Count the neighbours of each ion and name the shape that they form around it.

    Parameters
    ----------
    trajectory : Trajectory
    ion : str
        Species in the centre, for example the mobile one.
    cutoffs_angstrom : mapping of str to float
        Species that count as neighbours, and how far: the first minima of their g(r).
    groups : Groups, optional
        Of the ions; all of the species by default.
    limit_degrees : float
        See `Polyhedra`.
    stride : int, optional
        Use every `stride`-th frame; by default such that at most 200 are used.

    Raises
    ------
    AnalysisError
        If a species is not there, or two atoms lie in one place.
    RangeError
        If a cutoff or the limit is not positive, or no cutoff is given.

    Notes
    -----
    See `analysis.order.shapes.angle_deviations` for the criterion. Distances to the neighbours
    do not enter it.
    """
    if not cutoffs_angstrom or min(cutoffs_angstrom.values()) <= 0 or not limit_degrees > 0:
        raise RangeError(
            f"cutoffs {dict(cutoffs_angstrom)} Angstrom, limit {limit_degrees:g} degrees: give a "
            "positive cutoff for each species of neighbours, and a positive limit"
        )
    centres = trajectory.ids_of(ion)
    reach = np.zeros(trajectory.n_atoms)
    for species, cutoff in cutoffs_angstrom.items():
        reach[trajectory.ids_of(species)] = cutoff
    groups = groups or static_groups(np.where(trajectory.species == ion, ion, ""))
    shapes = shape_names()
    used = used_frames(trajectory, stride)
    n_blocks, n_groups, n_shapes = min(N_BLOCKS, len(used)), len(groups.names), len(shapes)
    bins = round(MAX_DEVIATION_DEGREES / BIN_DEGREES)
    ions, neighbours = np.zeros((n_blocks, n_groups)), np.zeros((n_blocks, n_groups))
    numbers = np.zeros((n_blocks, n_groups, MAX_NUMBER + 1))
    shares = np.zeros((n_blocks, n_groups, n_shapes))
    deviations = np.zeros((n_blocks, n_groups, n_shapes, bins))
    for n, frame in enumerate(trajectory.frames(used.step)):
        block = n * n_blocks // len(used)
        number, shape, deviation = _polyhedra(frame, centres, reach)
        group = groups.codes(frame)[centres]
        inside = group >= 0
        code, number = group[inside], number[inside]
        shape, deviation = shape[inside], deviation[inside]
        ions[block] += np.bincount(code, minlength=n_groups)
        neighbours[block] += np.bincount(code, number, minlength=n_groups)
        np.add.at(numbers[block], (code, np.minimum(number, MAX_NUMBER)), 1)
        named = np.where(deviation <= limit_degrees, shape, n_shapes - 1)
        np.add.at(shares[block], (code, named), 1)
        known = np.isfinite(deviation)
        place = np.minimum(deviation[known] / BIN_DEGREES, bins - 1).astype(np.int64)
        np.add.at(deviations[block], (code[known], shape[known], place), 1)
    return Polyhedra(
        ion=ion,
        cutoffs_angstrom=dict(cutoffs_angstrom),
        limit_degrees=limit_degrees,
        names=groups.names,
        ions=ions.sum(axis=0) / len(used),
        mean_number=block_ratio(neighbours, ions),
        number_share=block_ratio(numbers, ions[..., None]),
        shapes=shapes,
        shape_share=block_ratio(shares, ions[..., None]),
        edges_degrees=BIN_DEGREES * np.arange(bins + 1),
        deviation=block_ratio(deviations, ions[..., None, None]),
        n_frames=len(used),
    )


def polyhedra_quantities(result: Polyhedra) -> list[Quantity]:
    """Return mean coordination number, shares of numbers and of shapes, with block intervals.

    They are named such as ``coordination_mean_Li``, ``share_with_4_neighbours_Li`` and
    ``share_tetrahedron_Li``. Numbers that fewer than one ion in twenty has are left out here,
    shapes are not; the curves have all.
    """
    reach = ", ".join(f"{s} to {r:.2f}" for s, r in result.cutoffs_angstrom.items())
    source = f"{reach} Angstrom, {result.n_frames} frames"
    quantities = []
    for g, name in enumerate(result.names):
        label, missing = name.replace(" ", "_"), f"no {result.ion} is in the group {name!r}"
        curve = f"{_curve_name(result, g)}.csv" if result.ions[g] else ""
        found = [
            ("coordination_mean", result.mean_number.value[g], result.mean_number.blocks[:, g])
        ]
        for k in np.flatnonzero(result.number_share.value[g] >= SHOWN_SHARE).tolist():
            what = f"share_with_{k}{'_or_more' if k == MAX_NUMBER else ''}_neighbours"
            share = result.number_share
            found.append((what, share.value[g, k], share.blocks[:, g, k]))
        quantities += [
            ratio_quantity(
                f"{what}_{label}", "1", float(value), blocks, source, missing=missing, curve=curve
            )
            for what, value, blocks in found
        ]
        criterion = f"angles within {result.limit_degrees:g} degrees rms of the ideal, {source}"
        quantities += [
            ratio_quantity(
                f"share_{shape}_{label}",
                "1",
                float(result.shape_share.value[g, s]),
                result.shape_share.blocks[:, g, s],
                criterion,
                missing=missing,
                curve=curve,
            )
            for s, shape in enumerate(result.shapes)
        ]
    return quantities


def polyhedra_curves(result: Polyhedra) -> list[Curve]:
    """Tabulate, for each group with ions, shapes against the limit, and numbers of neighbours."""
    curves = []
    for g in np.flatnonzero(result.ions).tolist():
        columns = {"largest deviation of angles [degree]": result.edges_degrees[1:]}
        for s, shape in enumerate(result.shapes[:-1]):
            counted = np.cumsum(result.deviation.value[g, s])
            blocks = np.cumsum(result.deviation.blocks[:, g, s], axis=-1)
            columns[f"share {shape} [1]"] = counted
            columns[f"standard error of share {shape} [1]"] = BlockRatio(
                counted, blocks
            ).standard_error
        name = _curve_name(result, g)
        share = BlockRatio(result.number_share.value[g], result.number_share.blocks[:, g])
        numbers = {
            "neighbours, the last or more [1]": np.arange(MAX_NUMBER + 1, dtype=float),
            "share of ions [1]": share.value,
            "standard error of share [1]": share.standard_error,
        }
        curves += [Curve(name, columns), Curve(f"{name}_numbers", numbers)]
    return curves


def polyhedra_findings(
    trajectory: Trajectory,
    ion: str,
    anions: Sequence[str],
    shells: Sequence[Quantity],
    groups: Groups | None = None,
    *,
    stride: int | None = None,
) -> Findings:
    """Compute, tabulate and draw the coordination polyhedra of one ion.

    Parameters
    ----------
    trajectory : Trajectory
    ion : str
    anions : sequence of str
        Species that coordinate it.
    shells : sequence of Quantity
        First peaks and minima of g(r); how far an anion coordinates follows from them, see
        `analysis.pairs.shells.coordination_reach`.
    groups : Groups, optional
        Divide the ions, for example by region.
    stride : int, optional
        As in `coordination_polyhedra`.
    """
    findings = Findings()
    cutoffs = {}
    for anion in anions:
        reach, reason = coordination_reach(shells, ion, anion)
        if reason:
            findings.skipped.append(Skipped(f"{anion} around {ion}", reason))
        else:
            cutoffs[anion] = reach
    if not cutoffs:
        reason = f"no first minimum of g(r) of {ion} with {', '.join(anions) or 'any anion'}"
        findings.skipped.append(Skipped(f"polyhedra of {ion}", reason))
        return findings
    by, name = None, f"polyhedra_{ion}"
    if groups is not None:
        of_ion = static_groups(np.where(trajectory.species == ion, ion, ""))
        by, name = intersection(of_ion, groups), f"polyhedra_{ion}_{'_'.join(groups.names)}"
    result = coordination_polyhedra(trajectory, ion, cutoffs, groups=by, stride=stride)
    findings.quantities += polyhedra_quantities(result)
    findings.curves += polyhedra_curves(result)
    findings.figures[name] = polyhedra_figure(
        result.ion,
        result.names,
        result.number_share,
        result.shapes,
        result.shape_share,
        result.limit_degrees,
    )
    return findings


def _polyhedra(
    frame: Frame, centres: IntArray, reach: FloatArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return number of neighbours, nearest shape and deviation from it of every centre.

    The deviation is nan where no shape has that number of vertices.
    """
    owner, directions = neighbour_directions(frame, centres, reach)
    number = np.bincount(owner, minlength=len(centres))
    first = np.concatenate([[0], np.cumsum(number)])
    names = shape_names()
    shape = np.full(len(centres), names.index(OTHER), dtype=np.int64)
    deviation = np.full(len(centres), np.nan)
    for count, ideals in SHAPES.items():
        rows = np.flatnonzero(number == count)
        if not len(rows):
            continue
        around = directions[first[rows][:, None] + np.arange(count)]
        each = np.stack([angle_deviations(around, ideal) for ideal in ideals.values()])
        nearest = each.argmin(axis=0)
        shape[rows] = np.array([names.index(name) for name in ideals])[nearest]
        deviation[rows] = each[nearest, np.arange(len(rows))]
    return number, shape, deviation


def _curve_name(result: Polyhedra, group: int) -> str:
    return f"polyhedra_{result.names[group].replace(' ', '_')}"
