"""One MSD from two streams of frames of the same ions: dense at short times, main at long ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.constants import FloatArray
from analysis.errors import RangeError
from analysis.motion.msd import MeanSquaredDisplacement

# Chance of calling two streams that agree different, over all lags compared.
FALSE_ALARM = 0.01


@dataclass(frozen=True)
class JoinedMsd:
    """MSD over logarithmically spaced times of two streams.

    Attributes
    ----------
    label : str
        Name of the group of ions.
    times_ps, msd, standard_errors : (K,) float arrays
        ps and Angstrom^2; the standard errors are over ions, nan for a single ion.
    n_dense : int
        How many of these points are of the dense stream; they come first.
    overlap_times_ps : (m,) float array
        Lags that both streams have, up to half of the dense one.
    differences, difference_errors : (m,) float arrays
        MSD of the dense stream less that of the main one there, and the standard error of that,
        Angstrom^2. The streams count as independent: that they share ions makes the error too
        large rather than too small.
    """

    label: str
    times_ps: FloatArray
    msd: FloatArray
    standard_errors: FloatArray
    n_dense: int
    overlap_times_ps: FloatArray
    differences: FloatArray
    difference_errors: FloatArray

    @property
    def disagreement(self) -> str:
        """Return how the streams differ, or why that is not known; "" if they agree."""
        known = self.difference_errors > 0
        if not known.any():
            return "not compared: the streams have no lag in common, or a single ion"
        errors = np.abs(self.differences[known]) / self.difference_errors[known]
        worst = int(np.argmax(errors))
        if errors[worst] <= stats.norm.isf(0.5 * FALSE_ALARM / known.sum()):
            return ""
        return (
            f"MSD of {self.label} of the dense frames differs by "
            f"{self.differences[known][worst]:+.3g} Angstrom^2, {errors[worst]:.1f} standard "
            f"errors, from that of all production at {self.overlap_times_ps[known][worst]:.4g} ps: "
            "the first part is not like the whole"
        )


def joined_msd(main: MeanSquaredDisplacement, dense: MeanSquaredDisplacement) -> JoinedMsd:
    """Join the MSD of a dense stream, up to half its length, to that of the main stream.

    Parameters
    ----------
    main, dense : MeanSquaredDisplacement
        Of the same ions; the dense one has more closely spaced frames, usually only of the first
        part of production.

    Raises
    ------
    RangeError
        If they are not of as many ions in as many dimensions, or the dense frames are not closer.
    """
    alike = all(
        getattr(main, name) == getattr(dense, name) for name in ("label", "n_atoms", "dimensions")
    )
    if not alike:
        raise RangeError(
            f"MSD of {dense.n_atoms} {dense.label} in {dense.dimensions} dimensions cannot be "
            f"joined to one of {main.n_atoms} {main.label} in {main.dimensions}; compute both for "
            "the same ions"
        )
    if dense.frame_interval_ps >= main.frame_interval_ps:
        raise RangeError(
            f"dense frames are {dense.frame_interval_ps:g} ps apart, main ones "
            f"{main.frame_interval_ps:g} ps; expected the dense ones closer"
        )
    reliable = max(1, (len(dense.times_ps) - 1) // 2)
    early = np.flatnonzero(dense.sample_lags <= reliable)
    end_ps = dense.times_ps[reliable]
    # Times are sums of intervals: equal ones differ by round-off.
    late = np.flatnonzero(main.times_ps[main.sample_lags] > end_ps * (1 + 1e-9))
    dense_errors, main_errors = _standard_errors(dense), _standard_errors(main)
    overlap = np.flatnonzero(main.times_ps[main.sample_lags] <= end_ps * (1 + 1e-9))
    times = main.times_ps[main.sample_lags[overlap]]
    steps = times / dense.frame_interval_ps
    whole = np.abs(steps - np.round(steps)) < 1e-6
    overlap, times = overlap[whole], times[whole]
    same = np.round(steps[whole]).astype(np.int64)
    # The error is smooth in log time, but kept at some lags only.
    error_there = np.interp(np.log(np.maximum(same, 1)), np.log(dense.sample_lags), dense_errors)
    return JoinedMsd(
        label=main.label,
        times_ps=np.concatenate(
            [dense.times_ps[dense.sample_lags[early]], main.times_ps[main.sample_lags[late]]]
        ),
        msd=np.concatenate([dense.msd[dense.sample_lags[early]], main.msd[main.sample_lags[late]]]),
        standard_errors=np.concatenate([dense_errors[early], main_errors[late]]),
        n_dense=len(early),
        overlap_times_ps=times,
        differences=dense.msd[same] - main.msd[main.sample_lags[overlap]],
        difference_errors=np.hypot(error_there, main_errors[overlap]),
    )


def _standard_errors(msd: MeanSquaredDisplacement) -> FloatArray:
    if msd.n_atoms < 2:
        return np.full(len(msd.sample_lags), np.nan)
    return np.asarray(msd.atom_msd.std(axis=0, ddof=1) / np.sqrt(msd.n_atoms))
