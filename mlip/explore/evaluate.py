"""What the committee says of frames: deviation of every atom, and where a frame lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip.validation.predictions import (
    atom_deviations,
    committee_mean,
    predict,
    read_described,
    read_predicted,
)
from mlip.validation.reference import FloatArray


@dataclass(frozen=True)
class Judged:
    """The committee's word on one frame of N atoms.

    Attributes
    ----------
    deviation : ndarray, shape (N,)
        sqrt(mean over members |f - <f>|^2) of each atom, eV/Å.
    forces : ndarray, shape (N, 3)
        Mean of the committee, eV/Å.
    descriptor : ndarray, shape (D,)
        The first member's description, averaged over the atoms of each element.
    """

    deviation: FloatArray
    forces: FloatArray
    descriptor: FloatArray


def judge(
    members: Sequence[Path], frames: Sequence[Atoms], folder: Path, token: str
) -> list[Judged]:
    """Evaluate every member on every frame.

    Parameters
    ----------
    members : sequence of Path
        Plain (not compressed) potentials.
    frames : sequence of Atoms
        Of any compositions.
    folder : Path
        Scratch folder.
    token : str
        Lock token of the workspace.

    Returns
    -------
    list of Judged
        In the order of `frames`.

    Raises
    ------
    EngineError
        If an evaluation failed.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for k, atoms in enumerate(frames):
        groups.setdefault(tuple(atoms.get_chemical_symbols()), []).append(k)
    systems = [
        _Group(
            symbols,
            np.array([frames[k].positions for k in index]),
            np.array([frames[k].cell.array for k in index]),
        )
        for symbols, index in groups.items()
    ]
    predict(members, systems, folder, token, "judge", described_by=members[0])
    judged: dict[int, Judged] = {}
    for number, index in enumerate(groups.values()):
        read = [read_predicted(folder, model, number) for model in members]
        deviation, mean = atom_deviations(read), committee_mean(read)
        descriptors = read_described(folder, members[0], number)
        for row, k in enumerate(index):
            judged[k] = Judged(deviation[row], mean.forces[row], descriptors[row])
    return [judged[k] for k in range(len(frames))]


@dataclass(frozen=True)
class _Group:
    """Frames of one composition; see `mlip.validation.predictions.Structures`."""

    symbols: tuple[str, ...]
    coords: FloatArray
    cells: FloatArray
