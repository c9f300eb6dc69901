"""First peak, first minimum and coordination number read from a pair distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage, signal, stats

from analysis.blocks import ratio_quantity
from analysis.constants import FloatArray
from analysis.pairs.rdf import PairDistribution
from analysis.results import Quantity

SMOOTHING_ANGSTROM = 0.06
# A peak must rise this many times the counting noise above its surroundings, and this far
# relative to the highest peak.
MIN_SIGNIFICANCE = 5.0
MIN_PROMINENCE = 0.1
# Two peaks are one split shell unless g falls between them below this fraction of the lower one.
MAX_VALLEY = 0.7
LEVEL = 0.95
# Of the first peak of g(r). The first minimum of Li-S is at 1.45 times the peak in glass and melt.
MAX_REACH = 1.5


def first_shell(pair: PairDistribution, *, curve: str = "") -> list[Quantity]:
    """Locate the first shell and count the neighbours in it, with errors from blocks of frames.

    Parameters
    ----------
    pair : PairDistribution
    curve : str
        File name of the curve, recorded in the results.

    Returns
    -------
    list of Quantity
        First peak and first minimum of g(r) in Angstrom, and the coordination numbers up to the
        minimum in both directions (one for like pairs). The intervals are Student t over blocks
        of frames, nan where blocks tell none: a single one, equal numbers, a place that a block
        does not show. Where g(r) has no first minimum within range all but the peak are
        unresolved.
    """
    expected = pair.expected_pairs
    peak, minimum = find_first_shell(pair.r_angstrom, pair.g, expected)
    located = [
        find_first_shell(pair.r_angstrom, g, expected / len(pair.g_blocks)) for g in pair.g_blocks
    ]
    directions = [(pair.label, pair.cn_ij, pair.cn_ij_blocks)]
    if pair.i != pair.j:
        directions.append((f"{pair.j}-{pair.i}", pair.cn_ji, pair.cn_ji_blocks))
    no_peak = "" if math.isfinite(peak) else "g(r) has no peak above 1 in range"
    no_minimum = (
        ""
        if math.isfinite(minimum)
        else no_peak or f"g(r) has no minimum after the first peak up to {pair.r_angstrom[-1]:.2f}"
    )
    bin_angstrom = float(pair.edges_angstrom[1] - pair.edges_angstrom[0])
    source = f"g(r) smoothed by {SMOOTHING_ANGSTROM} Angstrom, {pair.n_frames} frames"
    results = []
    for what, value, blocks, missing in (
        ("peak", peak, np.array([p for p, _ in located]), no_peak),
        ("minimum", minimum, np.array([m for _, m in located]), no_minimum),
    ):
        name = f"rdf_first_{what}_{pair.label}"
        results.append(
            _unresolved(name, "Angstrom", missing, curve)
            if missing
            else located_quantity(name, "Angstrom", value, blocks, bin_angstrom, source, curve)
        )
    for label, cn, blocks in directions:
        name = f"coordination_number_{label}"
        if no_minimum:
            results.append(_unresolved(name, "1", no_minimum, curve))
            continue
        # Last bin that ends at or before the minimum, the same r in every block.
        last = int(np.searchsorted(pair.edges_angstrom, minimum + 1e-9, side="right")) - 2
        reason = (
            "neighbours up to the first minimum of g(r) at "
            f"{pair.edges_angstrom[last + 1]:.2f} Angstrom"
        )
        results.append(
            ratio_quantity(name, "1", float(cn[last]), blocks[:, last], reason, curve=curve)
        )
    return results


def coordination_reach(shells: Sequence[Quantity], ion: str, neighbour: str) -> tuple[float, str]:
    """Return how far away a neighbour still coordinates an ion.

    Parameters
    ----------
    shells : sequence of Quantity
        As `first_shell` returns them, of several pairs.
    ion, neighbour : str

    Returns
    -------
    reach_angstrom : float
        The first minimum of g(r), but at most 1.5 times the first peak: where g(r) has a flat
        floor, its lowest point may lie anywhere on it. nan where there is no minimum.
    reason : str
        Why there is none.
    """
    known = {shell.name: shell for shell in shells}
    label = "-".join(sorted((ion, neighbour)))
    peak, minimum = (known.get(f"rdf_first_{what}_{label}") for what in ("peak", "minimum"))
    if minimum is not None and minimum.status != "ok":
        return math.nan, minimum.reason
    if peak is None or minimum is None:
        return math.nan, f"no g(r) of {label}"
    return min(minimum.value, MAX_REACH * peak.value), ""


def find_first_shell(
    r_angstrom: FloatArray, g: FloatArray, expected_pairs: FloatArray
) -> tuple[float, float]:
    """Find the first peak and the first minimum after it.

    Parameters
    ----------
    r_angstrom, g : (B,) float arrays
    expected_pairs : (B,) float array
        Pairs counted in each bin if g were 1.

    Returns
    -------
    peak, minimum : float
        Angstrom; nan where there is none. In a gap, where g is zero over a range, the minimum is
        the middle of that range.
    """
    if not np.isfinite(g).all() or g.max() <= 0:
        return math.nan, math.nan
    width = r_angstrom[1] - r_angstrom[0]
    bins = SMOOTHING_ANGSTROM / width
    smooth = ndimage.gaussian_filter1d(g, bins, mode="nearest")
    # Poisson noise; a Gaussian filter averages over 2 sqrt(pi) sigma bins. The added 1 keeps a
    # bin with one chance pair from claiming a small error.
    noise = np.sqrt((smooth + 1.0) / (expected_pairs * max(2.0 * np.sqrt(np.pi) * bins, 1.0)))
    significant = MIN_SIGNIFICANCE * noise
    trusted = significant < np.maximum(smooth, 1.0)
    height = np.where(trusted, np.maximum(smooth, 0.0), 0.0)
    peaks, found = signal.find_peaks(
        height, height=1.0, prominence=MIN_PROMINENCE * max(height.max(), 1.0)
    )
    peaks = peaks[found["prominences"] >= significant[peaks]]
    if not len(peaks):
        return math.nan, math.nan
    first = int(peaks[0])
    separate = [
        int(peak)
        for peak in peaks[1:]
        if smooth[first:peak].min() < MAX_VALLEY * min(smooth[first], smooth[peak])
    ]
    if separate:
        end = separate[0]
    else:
        end = len(smooth) - 1
        tail = smooth[first:]
        # The lowest point at the edge of the range is no minimum unless g has vanished.
        if int(tail.argmin()) == len(tail) - 1 and tail[-1] > 1e-6 * smooth.max():
            return float(r_angstrom[first]), math.nan
    valley = smooth[first : end + 1]
    lowest = valley.min()
    flat = np.flatnonzero(valley <= lowest + 1e-3 * smooth[first])
    # Only the part of the flat bottom that is connected to its lowest point.
    pieces = np.split(flat, np.flatnonzero(np.diff(flat) > 1) + 1)
    bottom = next(piece for piece in pieces if int(valley.argmin()) in piece)
    middle = first + (int(bottom[0]) + int(bottom[-1])) // 2
    return float(r_angstrom[first]), float(r_angstrom[middle])


def located_quantity(
    name: str,
    unit: str,
    value: float,
    blocks: FloatArray,
    resolution: float,
    reason: str,
    curve: str,
) -> Quantity:
    """Return a place read from a histogram, with the Student interval over blocks of frames.

    The interval is no narrower than one bin, `resolution`; nan where a block does not show the
    place.
    """
    found = int(np.isfinite(blocks).sum())
    if len(blocks) < 2 or found < len(blocks):
        why = "a single block" if len(blocks) < 2 else f"{found} of {len(blocks)} blocks alone"
        reason += f", no error estimate from {why}"
        return Quantity(name, value, unit, reason=reason, curve=curve)
    half = float(stats.t.ppf(0.5 + 0.5 * LEVEL, len(blocks) - 1) * stats.sem(blocks))
    # Blocks that agree to the bin say no more than the bin.
    half = max(half, 0.5 * resolution)
    reason += f", error from {len(blocks)} blocks"
    return Quantity(name, value, unit, value - half, value + half, LEVEL, "ok", reason, curve)


def _unresolved(name: str, unit: str, reason: str, curve: str) -> Quantity:
    return Quantity(
        name, math.nan, unit, level=LEVEL, status="unresolved", reason=reason, curve=curve
    )
