"""Distributions of bond angles, plain and relative to random directions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from analysis.blocks import N_BLOCKS, ratio_quantity, used_frames
from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.figures.angles import angle_figure
from analysis.groups import Groups, static_groups
from analysis.pairs.neighbours import neighbour_directions
from analysis.pairs.pair_counts import largest_r_max
from analysis.pairs.shells import located_quantity
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Frame, Trajectory

BIN_DEGREES = 0.5
# The mode is read from the histogram smoothed by this much.
SMOOTHING_DEGREES = 2.0
# Angles computed at once, so that scratch arrays stay near 100 MB.
ANGLE_CHUNK = 1_000_000


@dataclass(frozen=True)
class AngleDistribution:
    """Angles end-centre-end between neighbours within a cutoff.

    Attributes
    ----------
    centre, end : str
        Species; both ends are of the same.
    group : str
        Of the central atoms; "" for all of the species.
    cutoff_angstrom : float
        Largest centre-end distance.
    edges_degrees : (B + 1,) float array
    density : (B,) float array
        Probability per degree, integral 1; nan if there is no angle.
    density_blocks : (n_blocks, B) float array
        The same in blocks of consecutive frames.
    mean_degrees_blocks : (n_blocks,) float array
        Mean angle of each block, from the angles and not from the bins.
    angles_blocks : (n_blocks,) float array
        Angles found in each block.
    angles_per_centre : float
        6 for four neighbours, 3 for three.
    n_frames : int
    """

    centre: str
    end: str
    group: str
    cutoff_angstrom: float
    edges_degrees: FloatArray
    density: FloatArray
    density_blocks: FloatArray
    mean_degrees_blocks: FloatArray
    angles_blocks: FloatArray
    angles_per_centre: float
    n_frames: int

    @property
    def label(self) -> str:
        """Name of the triplet, such as S-P-S."""
        triplet = f"{self.end}-{self.centre}-{self.end}"
        return f"{triplet} {self.group}" if self.group else triplet

    @property
    def degrees(self) -> FloatArray:
        """Bin centres, (B,)."""
        return 0.5 * (self.edges_degrees[1:] + self.edges_degrees[:-1])

    @property
    def relative_to_random(self) -> FloatArray:
        """Density over that of random directions, sin(theta) / 2 integrated over each bin."""
        random = -0.5 * np.diff(np.cos(np.radians(self.edges_degrees)))
        return self.density * np.diff(self.edges_degrees) / random


def angle_distributions(
    trajectory: Trajectory,
    centre: str,
    end: str,
    cutoff_angstrom: float,
    *,
    groups: Groups | None = None,
    bin_degrees: float = BIN_DEGREES,
    stride: int | None = None,
) -> list[AngleDistribution]:
    """Histogram the angles between all pairs of neighbours of each central atom.

    Parameters
    ----------
    trajectory : Trajectory
    centre, end : str
        Species of the central atom and of both its neighbours.
    cutoff_angstrom : float
        Bond length up to which an end counts, for example the first minimum of their g(r).
    groups : Groups, optional
        Of the central atoms; all of the species by default.
    bin_degrees : float
        Must divide 180.
    stride : int, optional
        Use every `stride`-th frame; by default such that at most 200 are used.

    Returns
    -------
    list of AngleDistribution
        One a group.

    Raises
    ------
    RangeError
        If the cutoff exceeds half the smallest perpendicular cell width, or the bins do not
        divide 180 degrees.
    AnalysisError
        If a species is not there.

    Notes
    -----
    cos(theta) = r_1 . r_2 / (r_1 r_2) over the distinct pairs of neighbours (Allen and Tildesley,
    Computer Simulation of Liquids, 2nd ed., section 8.3). A mean or mode of this plain
    distribution differs from one of the density over sin(theta).
    """
    bins = round(180.0 / bin_degrees)
    if bins < 1 or not math.isclose(bins * bin_degrees, 180.0):
        raise RangeError(f"bins of {bin_degrees:g} degrees do not divide 180")
    limit = largest_r_max(trajectory)
    if not 0 < cutoff_angstrom <= limit:
        raise RangeError(
            f"{trajectory.path}: bonds up to {cutoff_angstrom:g} Angstrom asked for; between 0 and "
            f"half the smallest perpendicular cell width, {limit:.4f} Angstrom, is allowed"
        )
    centres, ends = trajectory.ids_of(centre), trajectory.ids_of(end)
    groups = groups or static_groups(np.full(trajectory.n_atoms, centre))
    named = len(groups.names) > 1 or groups.names != (centre,)
    used = used_frames(trajectory, stride)
    n_blocks, n_groups = min(N_BLOCKS, len(used)), len(groups.names)
    edges = np.linspace(0.0, 180.0, bins + 1)
    histogram = np.zeros((n_blocks, n_groups, bins))
    sums, central = np.zeros((n_blocks, n_groups)), np.zeros(n_groups)
    for n, frame in enumerate(trajectory.frames(used.step)):
        block = n * n_blocks // len(used)
        group = groups.codes(frame)[centres]
        central += np.bincount(group[group >= 0], minlength=n_groups)
        for owner, angles in _angles(frame, centres, ends, cutoff_angstrom):
            code = group[owner]
            angles, code = angles[code >= 0], code[code >= 0]
            place = np.minimum((angles / bin_degrees).astype(np.int64), bins - 1)
            counted = np.bincount(code * bins + place, minlength=n_groups * bins)
            histogram[block] += counted.reshape(n_groups, bins)
            sums[block] += np.bincount(code, angles, minlength=n_groups)
    angles_blocks = histogram.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        density_blocks = histogram / (angles_blocks[..., None] * bin_degrees)
        density = histogram.sum(axis=0) / (angles_blocks.sum(axis=0)[:, None] * bin_degrees)
        means = sums / angles_blocks
        per_centre = angles_blocks.sum(axis=0) / central
    return [
        AngleDistribution(
            centre=centre,
            end=end,
            group=name if named else "",
            cutoff_angstrom=cutoff_angstrom,
            edges_degrees=edges,
            density=density[g],
            density_blocks=density_blocks[:, g],
            mean_degrees_blocks=means[:, g],
            angles_blocks=angles_blocks[:, g],
            angles_per_centre=float(per_centre[g]),
            n_frames=len(used),
        )
        for g, name in enumerate(groups.names)
    ]


def angle_quantities(found: AngleDistribution) -> list[Quantity]:
    """Return the mean and the most frequent angle, with intervals from blocks of frames."""
    name = found.label.replace(" ", "_")
    curve = f"angles_{name}.csv"
    if not found.angles_blocks.sum():
        reason = (
            f"no {found.centre} has two {found.end} within {found.cutoff_angstrom:.2f} Angstrom"
        )
        return [
            Quantity(f"{what}_{name}", math.nan, "degree", status="unresolved", reason=reason)
            for what in ("angle_mean", "angle_mode")
        ]
    whole = np.isfinite(found.mean_degrees_blocks)
    weights = np.where(whole, found.angles_blocks, 0.0)
    mean = float(np.average(np.where(whole, found.mean_degrees_blocks, 0.0), weights=weights))
    modes = np.array([_mode(found, block) for block in found.density_blocks[whole]])
    source = (
        f"plain distribution, bonds up to {found.cutoff_angstrom:.2f} Angstrom, "
        f"{found.angles_per_centre:.2f} angles a centre, {found.n_frames} frames"
    )
    return [
        ratio_quantity(
            f"angle_mean_{name}", "degree", mean, found.mean_degrees_blocks, source, curve=curve
        ),
        located_quantity(
            f"angle_mode_{name}",
            "degree",
            _mode(found, found.density),
            modes,
            float(found.edges_degrees[1]),
            f"{source}, smoothed by {SMOOTHING_DEGREES:g} degrees",
            curve,
        ),
    ]


def angle_curve(found: AngleDistribution) -> Curve:
    """Tabulate both forms of a distribution, with the standard error over blocks."""
    columns = {
        "angle [degree]": found.degrees,
        "density [1/degree]": found.density,
        "density relative to random directions [1]": found.relative_to_random,
    }
    blocks = found.density_blocks[np.isfinite(found.density_blocks).all(axis=1)]
    if len(blocks) > 1:
        error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
        columns["standard error of density [1/degree]"] = error
    return Curve(f"angles_{found.label.replace(' ', '_')}", columns)


def angle_findings(trajectory: Trajectory, shells: Sequence[Quantity]) -> Findings:
    """Histogram the angles a-c-a of every two different species that have a first shell.

    Of a trajectory of one species, the angles between like atoms.

    Parameters
    ----------
    trajectory : Trajectory
    shells : sequence of Quantity
        First minima of g(r), as `analysis.pairs.shells.first_shell` returns them: the cutoffs.
    """
    minima = {shell.name: shell for shell in shells}
    findings = Findings()
    drawn: list[AngleDistribution] = []
    species = sorted(set(trajectory.species.tolist()))
    pairs = [(species[0], species[0])] if len(species) == 1 else itertools.combinations(species, 2)
    for one, other in pairs:
        minimum = minima.get(f"rdf_first_minimum_{one}-{other}")
        if minimum is None or minimum.status != "ok":
            reason = minimum.reason if minimum else "no g(r)"
            findings.skipped.append(Skipped(f"angles of {one} and {other}", reason))
            continue
        for centre, end in dict.fromkeys(((one, other), (other, one))):
            (found,) = angle_distributions(trajectory, centre, end, minimum.value)
            findings.quantities += angle_quantities(found)
            if found.angles_blocks.sum():
                findings.curves.append(angle_curve(found))
                drawn.append(found)
    if drawn:
        findings.figures["angles"] = angle_figure(
            [(d.label, d.degrees, d.density, d.relative_to_random) for d in drawn]
        )
    return findings


def _angles(
    frame: Frame, centres: IntArray, ends: IntArray, cutoff: float
) -> list[tuple[IntArray, FloatArray]]:
    """Return, in chunks, the row in `centres` and the angle of every pair of neighbours."""
    reach = np.zeros(len(frame.positions))
    reach[ends] = cutoff
    owner, vectors = neighbour_directions(frame, centres, reach)
    number = np.bincount(owner, minlength=len(centres))
    first = np.concatenate([[0], np.cumsum(number)])
    chunks = []
    # Atoms with the same number of neighbours have their pairs at the same places.
    for count in np.unique(number[number > 1]).tolist():
        rows = np.flatnonzero(number == count)
        a, b = np.triu_indices(count, k=1)
        step = max(1, ANGLE_CHUNK // len(a))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            around = vectors[first[part][:, None] + np.arange(count)]
            cosines = np.einsum("nkx,nkx->nk", around[:, a], around[:, b])
            angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
            chunks.append((np.repeat(part, len(a)), angles.ravel()))
    return chunks


def _mode(found: AngleDistribution, density: FloatArray) -> float:
    width = SMOOTHING_DEGREES / float(found.edges_degrees[1])
    return float(found.degrees[ndimage.gaussian_filter1d(density, width, mode="reflect").argmax()])
