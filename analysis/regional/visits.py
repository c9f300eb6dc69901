"""Squared displacements of ions while they are in a group, summed exactly over all origins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from analysis.constants import FloatArray, IntArray
from analysis.motion.membership import Rule


@dataclass(frozen=True)
class Visits:
    """Uninterrupted stays of ions in a group, ion by ion and in order of time.

    Attributes
    ----------
    ions : (V,) int array
        Row of the ion.
    starts, stops : (V,) int arrays
        First frame of the stay and first frame after it.
    """

    ions: IntArray
    starts: IntArray
    stops: IntArray

    @property
    def lengths(self) -> IntArray:
        """Frames of each stay, (V,)."""
        return self.stops - self.starts


def visits_of(inside: np.ndarray) -> Visits:
    """Find the uninterrupted stays of ions.

    Parameters
    ----------
    inside : (m, F) bool array
        Whether each ion is in the group in every frame.
    """
    padded = np.zeros((len(inside), inside.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = inside
    steps = np.diff(padded, axis=1)
    ions, starts = np.nonzero(steps == 1)
    return Visits(ions, starts, np.nonzero(steps == -1)[1])


def displacements_within(visits: Visits, n_frames: int) -> IntArray:
    """Return how many displacements lie within single visits, by lag, (F,)."""
    # A visit of L frames holds L - lag of them; the sum over visits is a double cumulative sum.
    histogram = np.bincount(visits.lengths, minlength=n_frames + 1)
    longer = np.cumsum(histogram[::-1])[::-1]
    return np.cumsum(longer[:0:-1])[::-1].astype(np.int64)


def counted_squared_displacements(
    positions: FloatArray, inside: np.ndarray, rule: Rule
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Sum squared displacements over the origins that a rule counts.

    Parameters
    ----------
    positions : (m, d, F) float array
        Unwrapped positions, Angstrom.
    inside : (m, F) bool array
        Whether each ion is in the group in every frame.
    rule : {"origin", "origin_and_end", "throughout"}
        As `membership.counted`.

    Returns
    -------
    axes : (d, F) float array
        Sum over ions for each axis and lag, Angstrom^2.
    atoms : (m, F) float array
        Sum over axes for each ion and lag, Angstrom^2.
    counts : (m, F) int array
        Displacements in each sum of `atoms`.

    Notes
    -----
    With w = 1 in the group and 0 elsewhere, the sums of w(t) |r(t + lag) - r(t)|^2 and of the same
    times w(t + lag) are correlations of w, w r and w r^2, by fast Fourier transform; w = 1
    gives Calandrini et al., Collection SFN 12, 201 (2011), doi 10.1051/sfn/201112010, eq. 72.
    """
    if rule == "throughout":
        return _sums_within_visits(positions, inside)
    n_frames = positions.shape[-1]
    # Centring keeps the difference of the large sums below free of round-off.
    positions = positions - positions.mean(axis=-1, keepdims=True)
    weight = inside[:, None, :].astype(float)
    squares = positions**2
    size = fft.next_fast_len(2 * n_frames - 1, real=True)
    weight_f = fft.rfft(weight, size)
    moved_f = fft.rfft(weight * positions, size)
    if rule == "origin":
        cross = np.conj(weight_f) * fft.rfft(squares, size)
        cross -= 2.0 * np.conj(moved_f) * fft.rfft(positions, size)
        starts = _sums_over_origins(weight * squares)
        counts = _sums_over_origins(inside.astype(np.int64))
    else:
        # Real: both sums are the same forwards and backwards.
        symmetric = 2.0 * (np.conj(weight_f) * fft.rfft(weight * squares, size)).real
        cross = (symmetric - 2.0 * np.abs(moved_f) ** 2).astype(complex)
        starts = np.zeros((1, 1, 1))
        pairs = fft.irfft(np.abs(weight_f[:, 0]) ** 2, size)[:, :n_frames]
        counts = np.round(pairs).astype(np.int64)
    axes = fft.irfft(cross.sum(axis=0), size)[:, :n_frames] + starts.sum(axis=0)
    atoms = fft.irfft(cross.sum(axis=1), size)[:, :n_frames] + starts.sum(axis=1)
    axes[:, 0] = 0.0
    atoms[:, 0] = 0.0
    atoms[counts == 0] = 0.0
    axes[:, counts.sum(axis=0) == 0] = 0.0
    return axes, atoms, counts


def _sums_over_origins(values: np.ndarray) -> np.ndarray:
    """Return the sum over all origins from which each lag stays within the run, (..., F)."""
    return np.asarray(np.cumsum(values, axis=-1)[..., ::-1])


def _sums_within_visits(
    positions: FloatArray, inside: np.ndarray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Treat every visit as a short run of an ion that is always inside."""
    n_ions, dimensions, n_frames = positions.shape
    axes = np.zeros((dimensions, n_frames))
    atoms = np.zeros((n_ions, n_frames))
    counts = np.zeros((n_ions, n_frames), dtype=np.int64)
    visits = visits_of(inside)
    lengths = visits.lengths
    # Visits of similar length are transformed together, padded to the longest of them.
    classes = np.minimum(2 ** np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64), n_frames)
    for padded in np.unique(classes):
        alike = np.flatnonzero(classes == padded)
        at_once = max(1, n_ions * n_frames // int(padded))
        for first in range(0, len(alike), at_once):
            chosen = alike[first : first + at_once]
            ions, length = visits.ions[chosen], lengths[chosen]
            steps = np.arange(padded)
            frames = np.minimum(visits.starts[chosen, None] + steps, n_frames - 1)
            within = steps < length[:, None]
            paths = positions[ions[:, None], :, frames].transpose(0, 2, 1)
            paths = (paths - paths[..., :1]) * within[:, None]
            some_axes, some_atoms, _ = counted_squared_displacements(
                paths, within, "origin_and_end"
            )
            axes[:, :padded] += some_axes
            np.add.at(atoms[:, :padded], ions, some_atoms)
            number = np.maximum(length[:, None] - steps, 0)
            np.add.at(counts[:, :padded], ions, number)
    return axes, atoms, counts
