"""The script that pushes atoms together, to show a potential what MD does not visit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ase.geometry import get_distances
from ase.io import read, write

from mlip.structures.crystals import conventional_cell, find_crystal

SCRIPTS = Path(__file__).resolve().parents[2] / "training_data" / "contacts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import make_contacts

    yield make_contacts
    sys.modules.pop("make_contacts")


def pushed(script, monkeypatch, tmp_path, *words):
    start = conventional_cell(find_crystal("beta-Li3PS4")).repeat((1, 1, 2))
    write(tmp_path / "start.extxyz", start)
    out = tmp_path / "pushed.extxyz"
    command = ["make_contacts.py", "push", tmp_path / "start.extxyz", "--out", out, *words]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    assert script.main() == 0
    return start, read(out, ":")


def test_pushed_atoms_come_into_their_range_and_all_others_stay(script, monkeypatch, tmp_path):
    start, frames = pushed(script, monkeypatch, tmp_path, "--count", 24)
    assert len(frames) == 24
    assert {"S-S", "S-S-S", "Li-S"} <= {atoms.info["config_type"] for atoms in frames}
    for atoms in frames:
        assert (atoms.symbols == start.symbols).all()
        kind = tuple(atoms.info["config_type"].split("-"))
        shift = atoms.get_scaled_positions() - start.get_scaled_positions()
        moved = np.linalg.norm((shift - np.round(shift)) @ start.cell.array, axis=1) > 1e-4
        assert sorted(atoms.symbols[moved]) == sorted(kind)
        _, distances = get_distances(atoms.positions[moved], cell=atoms.cell, pbc=True)
        closest = distances[np.triu_indices(len(kind), 1)].min()
        low, high = script.RANGES[min(kind[:2]), max(kind[:2])]
        assert low - 1e-4 <= closest <= high + 1e-4


def test_pushed_frames_keep_the_least_distances_of_all_pairs(script, monkeypatch, tmp_path):
    _, frames = pushed(script, monkeypatch, tmp_path, "--count", 24)
    for atoms in frames:
        _, distances = get_distances(atoms.positions, cell=atoms.cell, pbc=True)
        np.fill_diagonal(distances, np.inf)
        for (one, other), (low, _) in script.RANGES.items():
            of_pair = distances[np.ix_(atoms.symbols == one, atoms.symbols == other)]
            assert of_pair.min() > low - 1e-4


def test_the_same_seed_gives_the_same_frames(script, monkeypatch, tmp_path):
    _, one = pushed(script, monkeypatch, tmp_path, "--count", 6)
    _, same = pushed(script, monkeypatch, tmp_path, "--count", 6)
    _, other = pushed(script, monkeypatch, tmp_path, "--count", 6, "--seed", 2)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(one, same, strict=True))
    assert any(
        a.symbols[0] != b.symbols[0] or not np.array_equal(a.positions, b.positions)
        for a, b in zip(one, other, strict=True)
    )
