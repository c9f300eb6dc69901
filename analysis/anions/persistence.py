"""Bonds that last: which frames around one decide whether a bond counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.anions.bonds import Bonds, find_bonds
from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.trajectory import Frame, Trajectory

PERSISTENCE_PS = 0.5
# Enough to tell a lasting bond from a vibration, few enough for large cells.
SAMPLES_PER_PERSISTENCE = 5


@dataclass(frozen=True)
class Window:
    """The frames around one that decide which of its bonds count.

    Attributes
    ----------
    persistence_ps : float
        Time that a bond must have been made; 0 for single frames.
    spacing : int
        Frames between samples.
    half : int
        Samples on either side.
    at_least : int
        Samples of the window in which the bond must be made.
    note : str
        What was done, or why single frames were used.
    """

    persistence_ps: float
    spacing: int
    half: int
    at_least: int
    note: str

    @property
    def reach(self) -> int:
        """Frames needed on either side."""
        return self.half * self.spacing


def persistence_window(
    trajectory: Trajectory, persistence_ps: float, *, minimised: bool = False
) -> Window:
    """Choose the frames by which a bond is judged.

    Parameters
    ----------
    trajectory : Trajectory
    persistence_ps : float
        Time that a bond must last; 0 takes every frame by itself.
    minimised : bool
        Whether the frames are energy-minimised, so that nothing vibrates.

    Returns
    -------
    Window
        Of single frames where frames are farther apart than the time, or too few.

    Raises
    ------
    RangeError
        If the time is negative or not finite.

    Notes
    -----
    A bond counts at a frame if it is made in at least m of the 2m - 1 samples centred on it: the
    running median of its state. m is the fewest samples that span the time, so a bond that is
    made (or open) for that long amid the opposite keeps its state and its duration, and a shorter
    opening or making vanishes, on both sides alike. Gallagher and Wise, IEEE Trans. Acoust.
    Speech Signal Process. 29, 1136 (1981), doi 10.1109/TASSP.1981.1163708: a signal without
    pulses shorter than m samples passes a median filter of 2m - 1 unchanged.
    """
    if not (math.isfinite(persistence_ps) and persistence_ps >= 0):
        raise RangeError(
            f"a bond cannot be asked to last {persistence_ps:g} ps; give 0 or a positive time."
        )
    if minimised or persistence_ps == 0:
        return _single("energy-minimised frames" if minimised else "single frames, as asked")
    interval = trajectory.frame_interval_ps
    frames = persistence_ps / interval
    if frames < 1 - 1e-9:
        return _single(
            f"single frames: they are {interval:g} ps apart, more than the {persistence_ps:g} ps "
            "that a bond should last"
        )
    spacing = max(1, int(frames / SAMPLES_PER_PERSISTENCE + 1e-9))
    half = math.ceil(frames / spacing - 1e-9)
    window = Window(
        persistence_ps,
        spacing,
        half,
        half + 1,
        f"bonds count that last {persistence_ps:g} ps: made in at least {half + 1} of "
        f"{2 * half + 1} frames, {spacing * interval:g} ps apart, around each",
    )
    if trajectory.n_frames < 2 * window.reach + 1:
        return _single(
            f"single frames: {trajectory.duration_ps:g} ps are too short to tell bonds that last "
            f"{persistence_ps:g} ps, which takes {2 * window.reach * interval:g} ps"
        )
    return window


def bonds_around(
    trajectory: Trajectory,
    ids: IntArray,
    kinds: IntArray,
    cutoffs: FloatArray,
    window: Window,
    centres: Sequence[int],
) -> Iterator[list[Bonds]]:
    """Yield the bonds in every sample of the window around each centre.

    Parameters
    ----------
    trajectory : Trajectory
    ids, kinds : (M,) int arrays
        Rows of the atoms that have bonds, and their kinds.
    cutoffs : (K, K) float array
        Angstrom.
    window : Window
    centres : sequence of int
        Frames, ascending; the window around each must lie in the trajectory.
    """
    known: dict[int, Bonds] = {}
    for centre in centres:
        samples = range(centre - window.reach, centre + window.reach + 1, window.spacing)
        known = {index: bonds for index, bonds in known.items() if index >= samples[0]}
        for index in samples:
            if index not in known:
                frame = read_frame(trajectory, index)
                known[index] = find_bonds(kinds, frame.positions[ids], frame.cell, cutoffs)
        yield [known[index] for index in samples]


def read_frame(trajectory: Trajectory, index: int) -> Frame:
    """Return one frame."""
    return Frame(
        index=index,
        time_ps=index * trajectory.frame_interval_ps,
        positions=trajectory.source.read(index, index + 1, slice(None))[0],
        cell=trajectory.cells[index],
    )


def _single(note: str) -> Window:
    return Window(0.0, 1, 0, 1, note)
