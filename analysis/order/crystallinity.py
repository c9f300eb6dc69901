"""Crystalline share of a sample from the order of its atoms, judged by references."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.blocks import N_BLOCKS, BlockRatio, block_ratio, used_frames
from analysis.constants import FloatArray
from analysis.disorder.axis import Axis, axis_coordinate, divisions, mean_height_angstrom
from analysis.errors import AnalysisError
from analysis.groups import Groups, static_groups
from analysis.order.bond_order import OrderSettings, bond_order
from analysis.trajectory import Trajectory

BIN_ORDER = 0.02
SLAB_ANGSTROM = 4.0


@dataclass(frozen=True)
class OrderThreshold:
    """The order from which an atom is called crystalline, and how sure that is.

    Attributes
    ----------
    settings : OrderSettings
    value : float
    missed : float
        Share of the atoms of the crystal reference that are below it.
    false : float
        Share of the atoms of the glass reference that are not.
    crystal, glass : (n,) float arrays
        Order of the atoms of both references, all frames.
    """

    settings: OrderSettings
    value: float
    missed: float
    false: float
    crystal: FloatArray
    glass: FloatArray

    @property
    def separation(self) -> float:
        """Distance of the means in units of the scatter of both, sqrt(s_c^2 + s_g^2)."""
        scatter = np.hypot(self.crystal.std(), self.glass.std())
        return float((self.crystal.mean() - self.glass.mean()) / scatter)


@dataclass(frozen=True)
class Crystallinity:
    """Order of the atoms of G groups, and the share that is crystalline.

    Attributes
    ----------
    settings : OrderSettings
    threshold : OrderThreshold or None
        Without one all shares are nan.
    names : tuple of str
    atoms : (G,) float array
        Atoms a frame that have an order.
    order : BlockRatio of (G,)
    edges : (B + 1,) float array
    density : BlockRatio of (G, B)
        Probability per unit of order.
    share : BlockRatio of (G,)
        Of the atoms of the group that are crystalline.
    times_ps : (F,) float array
    share_of_frame : (F, G) float array
    axis : {"a", "b", "c"} or None
    z_angstrom : (Z,) float array
        Middles of slabs along the axis at the mean cell; empty without an axis.
    slab_order, slab_share : BlockRatio of (Z,)
        Of all atoms that have an order, in any group or none.
    repeated : float
        Largest share of neighbours that are images of each other, see `bond_order`.
    n_frames : int
    """

    settings: OrderSettings
    threshold: OrderThreshold | None
    names: tuple[str, ...]
    atoms: FloatArray
    order: BlockRatio
    edges: FloatArray
    density: BlockRatio
    share: BlockRatio
    times_ps: FloatArray
    share_of_frame: FloatArray
    axis: Axis | None
    z_angstrom: FloatArray
    slab_order: BlockRatio
    slab_share: BlockRatio
    repeated: float
    n_frames: int


def order_threshold(
    crystal: Trajectory,
    glass: Trajectory,
    settings: OrderSettings,
    *,
    stride: int | None = None,
) -> OrderThreshold:
    """Find the order that tells a crystal from a glass or melt equally well in both directions.

    Parameters
    ----------
    crystal, glass : Trajectory
        References at the temperature of the sample; strained and of the composition of the
        sample, so far as that can be.
    settings : OrderSettings
    stride : int, optional
        Use every `stride`-th frame of both; by default such that at most 200 are used.

    Raises
    ------
    AnalysisError
        If a reference lacks a species, or the crystal is on average not more ordered.

    Notes
    -----
    The threshold is where the share of crystal atoms below it equals the share of glass atoms
    above it, the equal error rate of the receiver operating characteristic (T. Fawcett, Pattern
    Recognit. Lett. 27, 861 (2006), doi 10.1016/j.patrec.2005.10.010). References that do not
    overlap leave a gap; of all values in it, the one nearest to half way between the means shifts
    an interface the least.
    """
    ordered, disordered = (_orders(sample, settings, stride) for sample in (crystal, glass))
    if not ordered.mean() > disordered.mean():
        raise AnalysisError(
            f"{settings}: the crystal {crystal.path} has {ordered.mean():.4f} on average and the "
            f"glass {glass.path} {disordered.mean():.4f}; choose other species, degree or number "
            "of neighbours, or look whether the references are swapped"
        )
    value = equal_error_threshold(ordered, disordered)
    return OrderThreshold(
        settings=settings,
        value=value,
        missed=float((ordered < value).mean()),
        false=float((disordered >= value).mean()),
        crystal=ordered,
        glass=disordered,
    )


def equal_error_threshold(high: FloatArray, low: FloatArray) -> float:
    """Return the value that as large a share of `high` is below as of `low` is not below.

    Parameters
    ----------
    high, low : (n,), (m,) float arrays

    Returns
    -------
    float
        Of the values where the two shares differ least, the nearest to half way between the means.
    """
    levels = np.unique(np.concatenate([high, low]))
    missed = np.searchsorted(np.sort(high), levels, side="left") / len(high)
    false = 1.0 - np.searchsorted(np.sort(low), levels, side="left") / len(low)
    # Both are the same from just above one level up to the next; below the lowest all is crystal.
    differ = np.abs(missed - false)[1:]
    least = np.flatnonzero(differ <= differ.min(initial=np.inf) + 1e-12)
    start, end = levels[least[0]], levels[least[-1] + 1]
    # The upper end belongs to the range, the lower does not.
    margin = 1e-9 * (end - start)
    return float(np.clip(0.5 * (high.mean() + low.mean()), start + margin, end))


def crystallinity(
    trajectory: Trajectory,
    settings: OrderSettings,
    threshold: OrderThreshold | None = None,
    *,
    groups: Groups | None = None,
    axis: Axis | None = None,
    slab_angstrom: float = SLAB_ANGSTROM,
    stride: int | None = None,
) -> Crystallinity:
    """Compute the order of atoms and the share of them that is crystalline.

    Parameters
    ----------
    trajectory : Trajectory
    settings : OrderSettings
    threshold : OrderThreshold, optional
        From references with the same settings.
    groups : Groups, optional
        All atoms of the species of the settings by default. Neighbours may be in any group.
    axis : {"a", "b", "c"}, optional
        Of a profile of order and share; the atoms that have an order define its frame of
        reference.
    slab_angstrom : float
        Width of its slabs; the nearest that divides the cell is taken.
    stride : int, optional
        Use every `stride`-th frame; by default such that at most 200 are used.

    Raises
    ------
    AnalysisError
        If a species is not there, or the threshold is of other settings.
    RangeError
        If a slab is wider than the cell.
    """
    if threshold is not None and threshold.settings != settings:
        raise AnalysisError(
            f"the threshold is of {threshold.settings}, the order of {settings}; "
            "compute the threshold with the settings of the sample"
        )
    ids = settings.ids(trajectory)
    labels = np.full(trajectory.n_atoms, "", dtype=object)
    labels[ids] = "+".join(settings.species)
    groups = groups or static_groups(labels)
    used = used_frames(trajectory, stride)
    n_blocks, n_groups = min(N_BLOCKS, len(used)), len(groups.names)
    coordinate = axis_coordinate(trajectory, axis, ids) if axis else None
    n_slabs = divisions(trajectory, coordinate, slab_angstrom, "slab") if coordinate else 0
    height = mean_height_angstrom(trajectory, coordinate) if coordinate else 0.0
    low = -1.0 if settings.measure == "coherence" else 0.0
    n_bins = round((1.0 - low) / BIN_ORDER)
    limit = np.nan if threshold is None else threshold.value
    atoms, sums, ordered = (np.zeros((len(used), n_groups)) for _ in range(3))
    counts = np.zeros((n_blocks, n_groups, n_bins))
    in_slab, slab_sums, slab_ordered = (np.zeros((n_blocks, n_slabs)) for _ in range(3))
    blocks = np.arange(len(used)) * n_blocks // len(used)
    repeated = 0.0
    for n, frame in enumerate(trajectory.frames(used.step)):
        order, images = bond_order(frame.positions[ids], frame.cell, settings)
        repeated = max(repeated, images)
        # Without a threshold no comparison holds and shares are made nan below.
        crystalline = (order >= limit).astype(float)
        group = groups.codes(frame)[ids]
        inside = group >= 0
        code = group[inside]
        atoms[n] = np.bincount(code, minlength=n_groups)
        sums[n] = np.bincount(code, order[inside], minlength=n_groups)
        ordered[n] = np.bincount(code, crystalline[inside], minlength=n_groups)
        bins = np.clip((order[inside] - low) / BIN_ORDER, 0, n_bins - 1).astype(np.int64)
        np.add.at(counts[blocks[n]], (code, bins), 1)
        if coordinate is not None:
            slab = (coordinate.wrapped_fractions(frame)[ids] * n_slabs).astype(np.int64)
            slab = np.minimum(slab, n_slabs - 1)
            in_slab[blocks[n]] += np.bincount(slab, minlength=n_slabs)
            slab_sums[blocks[n]] += np.bincount(slab, order, minlength=n_slabs)
            slab_ordered[blocks[n]] += np.bincount(slab, crystalline, minlength=n_slabs)
    if threshold is None:
        ordered, slab_ordered = ordered * np.nan, slab_ordered * np.nan
    in_block = np.stack([_sum_blocks(x, blocks, n_blocks) for x in (atoms, sums, ordered)])
    with np.errstate(invalid="ignore", divide="ignore"):
        of_frame = ordered / atoms
    return Crystallinity(
        settings=settings,
        threshold=threshold,
        names=groups.names,
        atoms=atoms.mean(axis=0),
        order=block_ratio(in_block[1], in_block[0]),
        edges=np.linspace(low, 1.0, n_bins + 1),
        density=block_ratio(counts, in_block[0][..., None] * BIN_ORDER),
        share=block_ratio(in_block[2], in_block[0]),
        times_ps=np.arange(len(used)) * used.step * trajectory.frame_interval_ps,
        share_of_frame=of_frame,
        axis=axis,
        z_angstrom=(np.arange(n_slabs) + 0.5) / max(n_slabs, 1) * height,
        slab_order=block_ratio(slab_sums, in_slab),
        slab_share=block_ratio(slab_ordered, in_slab),
        repeated=repeated,
        n_frames=len(used),
    )


def _orders(trajectory: Trajectory, settings: OrderSettings, stride: int | None) -> FloatArray:
    ids = settings.ids(trajectory)
    used = used_frames(trajectory, stride)
    return np.concatenate(
        [
            bond_order(frame.positions[ids], frame.cell, settings)[0]
            for frame in trajectory.frames(used.step)
        ]
    )


def _sum_blocks(per_frame: FloatArray, blocks: np.ndarray, n_blocks: int) -> FloatArray:
    total = np.zeros((n_blocks, *per_frame.shape[1:]))
    np.add.at(total, blocks, per_frame)
    return total
