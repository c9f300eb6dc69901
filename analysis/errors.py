"""Errors of the analysis package; every message names what was found, expected and to do."""

from __future__ import annotations


class AnalysisError(Exception):
    """The input cannot be analysed as asked; a command line ends with `exit_code`."""

    exit_code = 2


class TrajectoryError(AnalysisError):
    """A trajectory, or the record that describes it, is missing, torn or inconsistent."""


class AmbiguousMotionError(TrajectoryError):
    """Stored frames are too far apart to follow atoms through the periodic boundary."""


class TimeGridError(TrajectoryError):
    """Frames are not equally spaced in time, so time correlations are undefined."""


class RangeError(AnalysisError):
    """A requested length or lag lies outside what the cell or the trajectory supports."""
