"""Prints which share of the phosphorus of the specimens counts as crystal, and their reflections.

    .venv/bin/python md_runs/specimens/crystal_shares.py [OTHER.extxyz ...]

First the share of each phase above the level between beta and the glasses (bond order); then the
strongest of all reflections of the phosphorus of a phase below 3 / Angstrom, as a share of full
intensity, and the largest such value of 50 cells of as many atoms at random. Only a structure
of one phase has reflections of its own cell; of composites give the parts before they were stacked.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from analysis.order.bond_order import bond_order, order_settings
from analysis.order.crystallinity import equal_error_threshold
from mlip.md.start import read_structure

HERE = Path(__file__).parent
GLASSES = [HERE / "glasses" / f"glass_{number}.extxyz.gz" for number in (1, 2, 3)]
COMPOSITES = [HERE / f"{name}.extxyz.gz" for name in ("slab", "nanograin")]
LARGEST_MILLER, LARGEST_WAVE, CELLS = 12, 3.0, 50


def order_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the bond order of each phosphorus, and its phase."""
    atoms = read_structure(path)
    where = atoms.symbols == "P"
    order, _ = bond_order(atoms.positions[where], atoms.cell.array, order_settings())
    return order, atoms.arrays["origin"][where]


def label(path: Path) -> str:
    """Return the file and its directory."""
    return f"{path.resolve().parent.name}/{path.name}"


def strongest_reflection(scaled: np.ndarray, miller: np.ndarray) -> float:
    """Return the largest intensity over reflections; 1 if all atoms scatter in phase."""
    return float((np.abs(np.exp(2j * np.pi * scaled @ miller.T).mean(axis=0)) ** 2).max())


def main(others: list[Path]) -> None:
    """Print both measures."""
    glass = np.concatenate([order_of(path)[0] for path in GLASSES])
    level = equal_error_threshold(order_of(HERE / "beta.extxyz.gz")[0], glass)
    print(f"level of bond order: {level:.3f}")
    for path in [*GLASSES, *COMPOSITES, *others]:
        order, phase = order_of(path)
        for name in sorted(set(phase)):
            share = (order[phase == name] > level).mean()
            print(f"{label(path)} {name}: {share:.3f} of {(phase == name).sum()} above")
    grid = np.stack(
        np.meshgrid(*[np.arange(-LARGEST_MILLER, LARGEST_MILLER + 1)] * 3, indexing="ij"), axis=-1
    ).reshape(-1, 3)
    random = np.random.default_rng(0)
    for path in [*GLASSES, *others]:
        atoms = read_structure(path)
        length = np.linalg.norm(2 * np.pi * grid @ np.linalg.inv(atoms.cell.array).T, axis=1)
        miller = grid[(length > 0.3) & (length < LARGEST_WAVE)]
        scaled = atoms.get_scaled_positions()[atoms.symbols == "P"]
        chance = [strongest_reflection(random.random(scaled.shape), miller) for _ in range(CELLS)]
        found = strongest_reflection(scaled, miller)
        print(f"{label(path)}: strongest reflection {found:.2f}, random {max(chance):.2f}")


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]])
