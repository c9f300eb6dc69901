"""One lazy view of a trajectory with two forms of access: frames by stride, atoms by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError, RangeError, TrajectoryError

DEFAULT_BLOCK_BYTES = 256 * 1024**2

FRACTIONAL_DIFFERENCES = "fractional differences times current cell"
IMAGE_FLAGS = "image flags (lattice preserving)"


class PositionSource(Protocol):
    """Where positions come from; the only thing a new trajectory format must provide."""

    def read(self, start: int, stop: int, ids: IntArray | slice) -> FloatArray:
        """Return the lattice-preserving unwrapped positions (stop - start, n, 3), Angstrom."""
        ...


class VelocitySource(Protocol):
    """Where velocities come from, of the formats that hold them."""

    def read(self, start: int, stop: int, ids: IntArray | slice) -> FloatArray:
        """Return the velocities (stop - start, n, 3), Angstrom/ps."""
        ...


@dataclass(frozen=True)
class Frame:
    """One stored instant.

    Attributes
    ----------
    index : int
        Frame number within the trajectory, from zero.
    time_ps : float
        Time since the first frame.
    positions : (N, 3) float array
        Unwrapped positions, Angstrom; modulo `cell` they are the wrapped positions.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom.
    """

    index: int
    time_ps: float
    positions: FloatArray
    cell: FloatArray


@dataclass(frozen=True)
class Trajectory:
    """Equally spaced frames of one simulation at one set of conditions; nothing is held in memory.

    Attributes
    ----------
    path : Path
        Run directory or file the trajectory was opened from.
    species : (N,) str array
        Chemical symbol of every atom.
    masses : (N,) float array
        Masses, amu.
    frame_interval_ps : float
        Time between frames.
    cells : (F, 3, 3) float array
        Cell vectors in rows of every frame, Angstrom.
    temperature_kelvin : float or None
        Target temperature; None if the source does not name one.
    ensemble : str
        Ensemble of the run, "unknown" if the source does not name it.
    motion_convention : str
        How displacements are defined when the cell changes; without effect in a fixed cell.
    source : PositionSource
        Reader of positions.
    origin : (N,) str array or None
        What every atom was built as, "crystal", "glass", "interface" or "none"; it never changes,
        wherever the atom goes. None if the source does not tell.
    charges_e : (N,) float array or None
        Charge of every atom, elementary charges; None if nobody named them.
    notes : tuple of str
        What a report must say of the source: columns used, frames left out for damage.
    velocities : VelocitySource or None
        Reader of velocities; None if the source has none.
    """

    path: Path
    species: np.ndarray
    masses: FloatArray
    frame_interval_ps: float
    cells: FloatArray
    temperature_kelvin: float | None
    ensemble: str
    motion_convention: str
    source: PositionSource
    origin: np.ndarray | None = None
    charges_e: FloatArray | None = None
    notes: tuple[str, ...] = ()
    velocities: VelocitySource | None = None

    @property
    def n_frames(self) -> int:
        """Number of frames F."""
        return len(self.cells)

    @property
    def n_atoms(self) -> int:
        """Number of atoms N."""
        return len(self.species)

    @property
    def duration_ps(self) -> float:
        """Time from the first to the last frame."""
        return (self.n_frames - 1) * self.frame_interval_ps

    @property
    def volumes(self) -> FloatArray:
        """Volume of every frame, (F,) Angstrom^3."""
        return np.abs(np.linalg.det(self.cells))

    def ids_of(self, species: str) -> IntArray:
        """Return the rows of the atoms of `species`.

        Raises
        ------
        AnalysisError
            If no atom is of that species.
        """
        ids = np.flatnonzero(self.species == species)
        if not len(ids):
            raise AnalysisError(
                f"{self.path}: no atom is {species!r}; the trajectory holds "
                f"{', '.join(sorted(set(self.species.tolist())))}"
            )
        return ids

    def frames(self, stride: int = 1) -> Iterator[Frame]:
        """Yield every `stride`-th frame, one in memory at a time.

        Raises
        ------
        RangeError
            If the stride is not positive.
        """
        if stride < 1:
            raise RangeError(f"stride is {stride}; it must be at least 1")
        for index in range(0, self.n_frames, stride):
            yield Frame(
                index=index,
                time_ps=index * self.frame_interval_ps,
                positions=self.source.read(index, index + 1, slice(None))[0],
                cell=self.cells[index],
            )

    def atom_blocks(
        self, ids: IntArray, max_bytes: int = DEFAULT_BLOCK_BYTES
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield all frames of as many atoms as fit in `max_bytes`.

        Parameters
        ----------
        ids : (n,) int array
            Rows of the atoms wanted.
        max_bytes : int
            Size limit of one block of positions; a single atom is always yielded.

        Yields
        ------
        block_ids : (m,) int array
            Rows of the atoms in this block.
        positions : (F, m, 3) float array
            Positions, Angstrom, whose differences in time are displacements under
            `motion_convention`.
        """
        per_block = max(1, int(max_bytes) // (self.n_frames * 24))
        for start in range(0, len(ids), per_block):
            block_ids = ids[start : start + per_block]
            positions = self.source.read(0, self.n_frames, _as_slice(block_ids))
            yield block_ids, apply_motion_convention(self, positions)


def apply_motion_convention(trajectory: Trajectory, positions: FloatArray) -> FloatArray:
    """Turn lattice-preserving positions into a path whose differences are displacements.

    With fractional differences every step is ds . h(t), the change of fractional coordinates
    times the current cell, so that an affinely breathing crystal does not move; with image
    flags the positions are kept as they are. See von Buelow et al., J. Chem. Phys. 153, 021101
    (2020), doi 10.1063/5.0008316, for why the choice matters at varying cell.

    Parameters
    ----------
    trajectory : Trajectory
    positions : (F, n, 3) float array
        Lattice-preserving unwrapped positions of all frames, Angstrom.

    Returns
    -------
    (F, n, 3) float array
        Angstrom; the map is linear, so it commutes with averaging over atoms.
    """
    cells = trajectory.cells
    if trajectory.motion_convention != FRACTIONAL_DIFFERENCES or np.ptp(cells, axis=0).max() == 0:
        return positions
    fractional = positions @ np.linalg.inv(cells)
    path = np.empty_like(positions)
    path[0] = positions[0]
    path[1:] = np.diff(fractional, axis=0) @ cells[1:]
    return np.cumsum(path, axis=0)


def centre_of_mass_path(trajectory: Trajectory, ids: IntArray | None = None) -> FloatArray:
    """Return the path of the mass-weighted centre of atoms, to be subtracted from motion.

    Parameters
    ----------
    trajectory : Trajectory
    ids : (n,) int array, optional
        Rows of the atoms; all by default.

    Returns
    -------
    (F, 3) float array
        Displacement of the centre of mass since the first frame, Angstrom.
    """
    weights = trajectory.masses.copy()
    if ids is not None:
        weights[np.setdiff1d(np.arange(trajectory.n_atoms), ids)] = 0.0
    weights /= weights.sum()
    centre = np.empty((trajectory.n_frames, 1, 3))
    for frame in trajectory.frames():
        centre[frame.index, 0] = weights @ frame.positions
    path = apply_motion_convention(trajectory, centre)[:, 0]
    return path - path[0]


def masses_of(species: Sequence[str], path: Path) -> FloatArray:
    """Return standard atomic masses, amu.

    Raises
    ------
    TrajectoryError
        If a symbol is no chemical element.
    """
    from ase.data import atomic_masses, atomic_numbers

    # ASE knows X, number 0, for what is no atom.
    unknown = sorted({symbol for symbol in species if not atomic_numbers.get(symbol)})
    if unknown:
        raise TrajectoryError(
            f"{path}: {', '.join(unknown)} are no chemical elements; "
            "name the species of every atom with `species`"
        )
    return np.array([atomic_masses[atomic_numbers[symbol]] for symbol in species], dtype=float)


def charges_of(
    species: Sequence[str], charges: Mapping[str, float] | Sequence[float], path: Path
) -> FloatArray:
    """Return the charge of every atom, elementary charges.

    Parameters
    ----------
    species : sequence of N str
    charges : mapping of str to float, or sequence of N float
        By element or by atom.
    path : Path
        For the message.

    Raises
    ------
    TrajectoryError
        If an element or an atom has no charge, or one that is not finite.
    """
    if isinstance(charges, Mapping):
        missing = sorted(set(species) - set(charges))
        if missing:
            raise TrajectoryError(
                f"{path}: `charges` names no charge for {', '.join(missing)}, only for "
                f"{', '.join(sorted(charges))}; name every element"
            )
        found = np.array([charges[symbol] for symbol in species], dtype=float)
    else:
        found = np.array(charges, dtype=float)
        if found.shape != (len(species),):
            raise TrajectoryError(
                f"{path}: holds {len(species)} atoms but `charges` has {len(found)}; give one an "
                "atom, or a table by element"
            )
    if not np.isfinite(found).all():
        raise TrajectoryError(f"{path}: `charges` holds numbers that are not finite")
    return found


def _as_slice(ids: IntArray) -> IntArray | slice:
    # Contiguous rows are read from disk several times faster as a slice.
    if len(ids) > 1 and np.array_equal(ids, np.arange(ids[0], ids[0] + len(ids))):
        return slice(int(ids[0]), int(ids[-1]) + 1)
    return ids
