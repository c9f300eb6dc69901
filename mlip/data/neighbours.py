"""Distances of every frame in one pass: closest pairs, nearest neighbours, neighbour counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlip.data.frames import FloatArray, Frames, IntArray

# Cut-offs of the neighbour counts that the certificate stores; training asks for one of these.
CUTOFFS_ANGSTROM = (4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0)
REACH_ANGSTROM = CUTOFFS_ANGSTROM[-1]
# A nearest neighbour farther away than this is no bond.
BONDED_WITHIN_ANGSTROM = 3.0


@dataclass(frozen=True)
class Survey:
    """What the distances of a system are, frame by frame.

    Attributes
    ----------
    elements : tuple of str
        (S,) in alphabetical order; indices a and b below.
    closest : (F, S, S) array
        Smallest distance of a and b, Å; inf if there is none within 8 Å.
    bond_mean, bond_low, bond_high : (F, S, S) arrays
        Mean, smallest and largest distance from an atom a to its nearest b, Å, over the
        atoms a whose nearest b is within 3 Å; nan if there is no such atom.
    most : (F, G, S) int array
        Most neighbours of element b that any atom has within each of `CUTOFFS_ANGSTROM`.
    profile : (F, S * N) array
        For each b the sorted distances of all atoms to their nearest b, Å (8 if farther).
        The same for any order and orientation of the atoms; each entry changes by no more
        than the largest displacement relative to each other.
    """

    elements: tuple[str, ...]
    closest: FloatArray
    bond_mean: FloatArray
    bond_low: FloatArray
    bond_high: FloatArray
    most: IntArray
    profile: FloatArray


def survey(frames: Frames) -> Survey:
    """Measure the distances of every frame up to 8 Å.

    Parameters
    ----------
    frames : Frames

    Returns
    -------
    Survey
    """
    import vesin  # imports torch where torch is installed

    neighbours = vesin.NeighborList(cutoff=REACH_ANGSTROM, full_list=False)
    elements = tuple(sorted(set(frames.symbols)))
    codes = np.array([elements.index(symbol) for symbol in frames.symbols])
    count, kinds, atoms = len(frames), len(elements), len(codes)
    nearest = np.full((count, atoms, kinds), np.inf)
    most = np.zeros((count, len(CUTOFFS_ANGSTROM), kinds), dtype=np.int64)
    for k in range(count):
        one, other, distance = neighbours.compute(
            points=frames.coords[k], box=frames.cells[k], periodic=True, quantities="ijd"
        )
        first = np.concatenate([one, other]).astype(np.int64)
        second = np.concatenate([other, one]).astype(np.int64)
        both = np.concatenate([distance, distance])
        slot = first * kinds + codes[second]
        np.minimum.at(nearest[k].reshape(-1), slot, both)
        most[k] = _most(slot, both, atoms, kinds)
    return _summary(elements, codes, nearest, most)


def _most(slot: IntArray, distance: FloatArray, atoms: int, kinds: int) -> IntArray:
    """Return the largest count at each cut-off and of each element."""
    bins = len(CUTOFFS_ANGSTROM)
    shell = np.searchsorted(CUTOFFS_ANGSTROM, distance)
    inside = shell < bins
    counts = np.bincount(
        shell[inside] * (atoms * kinds) + slot[inside], minlength=bins * atoms * kinds
    )
    return counts.reshape(bins, atoms, kinds).cumsum(axis=0).max(axis=1)


def _summary(
    elements: tuple[str, ...], codes: IntArray, nearest: FloatArray, most: IntArray
) -> Survey:
    count, kinds = len(nearest), len(elements)
    closest = np.full((count, kinds, kinds), np.inf)
    mean, low, high = (np.full((count, kinds, kinds), np.nan) for _ in range(3))
    for a in range(kinds):
        of_kind = nearest[:, codes == a]
        closest[:, a] = of_kind.min(axis=1)
        bonded = of_kind <= BONDED_WITHIN_ANGSTROM
        some = bonded.any(axis=1)
        total = np.where(bonded, of_kind, 0.0).sum(axis=1)
        mean[:, a] = np.where(some, total / np.maximum(bonded.sum(axis=1), 1), np.nan)
        low[:, a] = np.where(some, closest[:, a], np.nan)
        high[:, a] = np.where(some, np.where(bonded, of_kind, 0.0).max(axis=1), np.nan)
    profile = np.sort(np.minimum(nearest, REACH_ANGSTROM), axis=1)
    return Survey(
        elements=elements,
        closest=closest,
        bond_mean=mean,
        bond_low=low,
        bond_high=high,
        most=most,
        profile=profile.transpose(0, 2, 1).reshape(count, -1),
    )
