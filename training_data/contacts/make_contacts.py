"""Make frames with atoms closer than MD of a good potential brings them, to be labelled with DFT.

    python training_data/contacts/make_contacts.py push FRAMES... --out frames/pushed.extxyz
    mlip label frames/*.extxyz --set execution.max_scf=30 --out labels
    python training_data/contacts/make_contacts.py collect frames/*.extxyz --labels labels \
        --out contacts.extxyz

Dynamics alone never shows a potential what is inside the first shell, so nothing forbids it to
invent a bond there. `push` takes frames in which two or more atoms of chosen elements,
neighbours already, are brought to a random distance of the range below; all others stay. Frames in
which another contact gets shorter than the lower end of its own range are discarded. `collect`
joins the labels. Many have hardly a gap, unlike what `mlip explore` learns from: the state that
CP2K fills may be off by what 0.1 eV is worth, little against forces of several eV/Å that hold atoms
apart. Left out are frames with a larger force than LARGEST_FORCE, which would rule the fit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.geometry import get_distances

from mlip.errors import MlipError
from mlip.explore.pool import write_labelled
from mlip.labelling.frames import frame_id, read_frames
from mlip.labelling.store import FOLDER, LABEL, stored
from mlip.manifest import read_manifest
from mlip.recipes.label import LabelRecipe

# Shortest and longest distance after the push, Å. The longer ones are what molten frames show.
RANGES = {
    ("S", "S"): (1.6, 2.4),
    ("Li", "Li"): (1.5, 2.1),
    ("Li", "S"): (1.6, 1.95),
    ("P", "S"): (1.6, 1.85),
    ("Li", "P"): (1.7, 2.3),
    ("P", "P"): (1.8, 2.8),
}
# Pushed in turn where no kinds are named; S-S holes are the deepest.
KINDS = (
    ("S", "S"), ("S", "S", "S"), ("Li", "S"), ("S", "S"), ("Li", "Li"), ("S", "S", "S"),
    ("P", "S"), ("S", "S"), ("Li", "P"), ("S", "S"), ("P", "P"), ("S", "S", "Li"),
)  # fmt: skip
# Atoms farther apart than this are not neighbours.
REACH_ANGSTROM = 4.5
TRIES = 200
LARGEST_FORCE_EV_PER_ANGSTROM = 25.0


def pushed_together(atoms: Atoms, kind: tuple[str, ...], rng: np.random.Generator) -> Atoms | None:
    """Return a copy in which neighbours of these elements are close, or None if none fit.

    Parameters
    ----------
    atoms : Atoms
    kind : tuple of str
        Elements of the atoms that are pushed.
    rng : Generator
    """
    symbols = np.array(atoms.get_chemical_symbols())
    vectors, distances = get_distances(atoms.positions, cell=atoms.cell, pbc=True)
    for _ in range(TRIES):
        first = int(rng.choice(np.flatnonzero(symbols == kind[0])))
        group = [first]
        for element in kind[1:]:
            near = np.flatnonzero((symbols == element) & (distances[first] < REACH_ANGSTROM))
            near = near[~np.isin(near, group)]
            if not len(near):
                break
            # The nearest three: farther ones have others between them.
            group.append(int(rng.choice(near[np.argsort(distances[first, near])][:3])))
        if len(group) < len(kind):
            continue
        low, high = RANGES[min(kind[:2]), max(kind[:2])]
        target = rng.uniform(low, high)
        close = atoms.copy()
        # Towards their middle, all by one factor that brings the closest pair to the target.
        places = atoms.positions[first] + vectors[first, group]
        middle = places.mean(axis=0)
        spread = min(
            float(np.linalg.norm(places[i] - places[j]))
            for i in range(len(group))
            for j in range(i)
        )
        if spread < target:
            continue
        close.positions[group] = middle + (places - middle) * target / spread
        if _sane(close):
            return close
    return None


def _sane(atoms: Atoms) -> bool:
    symbols = np.array(atoms.get_chemical_symbols())
    _, distances = get_distances(atoms.positions, cell=atoms.cell, pbc=True)
    np.fill_diagonal(distances, np.inf)
    return all(
        distances[np.ix_(symbols == one, symbols == other)].min(initial=np.inf) > low - 1e-6
        for (one, other), (low, _) in RANGES.items()
    )


def push(arguments: argparse.Namespace) -> list[Atoms]:
    """Return frames with close contacts made of the given ones."""
    rng = np.random.default_rng(arguments.seed)
    kinds = [tuple(kind.split("-")) for kind in arguments.kinds] or KINDS
    frames = [frame.atoms for frame in read_frames(arguments.frames)]
    made: list[Atoms] = []
    for number in range(20 * arguments.count):
        if len(made) == arguments.count:
            break
        kind = kinds[number % len(kinds)]
        start = frames[int(rng.integers(len(frames)))]
        if (close := pushed_together(start, kind, rng)) is not None:
            made.append(_bare(close, "-".join(kind)))
    return made


def collect(arguments: argparse.Namespace) -> list[Atoms]:
    """Return the labels of the given frames, in their order."""
    recipe = LabelRecipe.model_validate(read_manifest(arguments.labels).recipe)
    records = stored(arguments.labels)
    found = []
    for frame in read_frames(arguments.frames):
        key = frame_id(recipe, frame.atoms)
        if key not in records or records[key].status != "converged":
            continue
        label = ase.io.read(arguments.labels / FOLDER / key / LABEL)
        if np.abs(label.get_forces()).max() <= LARGEST_FORCE_EV_PER_ANGSTROM:
            found.append(label)
    return found


def _bare(atoms: Atoms, kind: str) -> Atoms:
    bare = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    bare.info["config_type"] = kind
    return bare


def main() -> int:
    """Write frames to label, or labels to learn from."""
    parser = argparse.ArgumentParser(description="Frames with close contacts.")
    kinds = parser.add_subparsers(required=True)
    pushing = kinds.add_parser("push")
    pushing.add_argument("--count", type=int, default=36)
    pushing.add_argument("--seed", type=int, default=1)
    pushing.add_argument("--kinds", nargs="*", default=[], help="for example S-S-S-S Li-S")
    pushing.set_defaults(make=push)
    collecting = kinds.add_parser("collect")
    collecting.add_argument("--labels", type=Path, required=True)
    collecting.set_defaults(make=collect)
    for kind in (pushing, collecting):
        kind.add_argument("frames", nargs="+", type=Path)
        kind.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        made = arguments.make(arguments)
    except MlipError as error:
        print(error)
        return error.exit_code
    write_labelled(arguments.out, made)
    print(f"{arguments.out}: {len(made)} frames")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
