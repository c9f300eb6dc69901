"""Errors of a split from predictions with planted faults: what is printed is of untouched runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reference_systems import shifted, system

from mlip.errors import GateError
from mlip.model_directory import ModelDirectory
from mlip.validation.held_out import (
    atom_errors,
    errors_to_json,
    split_errors,
    spread_to_json,
    write_figures,
)
from mlip.validation.independence import BLOCK, UNTOUCHED, Independence

MODELS = (Path("model_0.pth"), Path("model_1.pth"), Path("compressed_0.pth"))
FORCE = "force_rmse_mev_per_angstrom"


@pytest.fixture
def found(tmp_path):
    """Two untouched systems with small errors, and a block with an enormous one."""
    systems = [
        system("a", symbols=("Li", "S", "S"), frames=3),
        system("b", frames=2),
        system("block", frames=4),
    ]
    labels = ((UNTOUCHED,) * 3, (UNTOUCHED,) * 2, (BLOCK,) * 4)
    unseen = Independence(labels, UNTOUCHED, 0.5, "words")
    for number, (reference, size) in enumerate(zip(systems, (0.1, 0.2, 5.0), strict=True)):
        # Members on both sides of a mean that is wrong by `size`; the compressed one is worse.
        for model, force in zip(MODELS, (1.5 * size, 0.5 * size, 3 * size), strict=True):
            wrong = shifted(reference, energy=size, force=force, virial=size)
            path = tmp_path / model.stem / f"{number}.npz"
            path.parent.mkdir(exist_ok=True)
            np.savez(path, energies=wrong.energies, forces=wrong.forces, virials=wrong.virials)
    return systems, unseen, split_errors(MODELS, 2, systems, unseen, tmp_path)


def test_the_printed_errors_are_of_the_mean_of_the_members_on_untouched_runs(found):
    systems, unseen, errors = found
    content = errors_to_json(errors, systems, unseen, frames_in_split=9)
    # 27 components of 0.1 and 12 of 0.2.
    expected = 1000 * np.sqrt((27 * 0.1**2 + 12 * 0.2**2) / 39)
    assert content["overall"][FORCE] == pytest.approx(expected)
    assert content["overall"]["frames"] == 5
    assert content["by_independence"][BLOCK][FORCE] == pytest.approx(5000)
    assert set(content["by_system"]) == {"a", "b"}
    assert content["independence"]["frames"] == {UNTOUCHED: 5, BLOCK: 4}
    assert [row["system"] for row in content["worst_frames"]] == ["b"] * 2 + ["a"] * 3
    assert content["models"]["model_0"]["by_system"]["a"][FORCE] == pytest.approx(150)
    assert content["models"]["compressed_0"]["by_system"]["a"][FORCE] == pytest.approx(300)


@pytest.mark.parametrize("quantity", ["energies", "forces", "virials"])
def test_a_potential_that_gives_no_number_is_refused_by_frame(tmp_path, quantity):
    reference = system("a", frames=4)
    unseen = Independence(((UNTOUCHED,) * 4,), UNTOUCHED, None, "words")
    good = shifted(reference)
    arrays = {name: getattr(good, name).copy() for name in ("energies", "forces", "virials")}
    arrays[quantity][2:] = np.nan
    (tmp_path / "model_0").mkdir()
    np.savez(tmp_path / "model_0" / "0.npz", **arrays)
    with pytest.raises(GateError, match=r"model_0\.pth: .* 2 of 4 frames of a, first in row 2"):
        split_errors(MODELS[:1], 1, [reference], unseen, tmp_path)


def test_calibration_sees_the_atoms_of_untouched_runs_each_with_its_frame(found):
    systems, unseen, errors = found
    atoms = atom_errors(errors, systems, unseen)
    assert len(atoms.error) == 3 * 3 + 2 * 2
    assert atoms.frame.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 2 + [4] * 2
    assert atoms.species.tolist() == ["Li", "S", "S"] * 3 + ["Li", "S"] * 2
    # The error (e, e, e) has the length sqrt(3) e; members are half of it from their mean.
    np.testing.assert_allclose(atoms.error[:9], 0.1 * np.sqrt(3))
    np.testing.assert_allclose(atoms.error[9:], 0.2 * np.sqrt(3))
    np.testing.assert_allclose(atoms.deviation, atoms.error / 2)


def test_the_spread_is_of_untouched_runs(found):
    _, unseen, errors = found
    spread = spread_to_json(errors, unseen)
    assert spread["frames"] == 5
    assert spread["largest_deviation_p100_mev_per_angstrom"] == pytest.approx(100 * np.sqrt(3))
    assert spread["median_ratio_of_error_to_deviation"] == pytest.approx(2.0)


def test_parity_plots_hold_untouched_runs_only(found, tmp_path):
    systems, unseen, errors = found
    assert [points.system for points in errors.force] == ["a", "b"]
    assert [points.x.size for points in errors.energy] == [3, 2]
    np.testing.assert_allclose(errors.force[1].y - errors.force[1].x, 0.2)
    content = errors_to_json(errors, systems, unseen, frames_in_split=9)
    model = ModelDirectory(tmp_path, MODELS[:2], MODELS[2:], ("Li", "S"))
    written = write_figures(tmp_path / "figures", errors, systems, unseen, content, model)
    assert [path.stem for path in written] == [
        *("parity_energy", "parity_force", "parity_virial"),
        "deviation_against_error",
    ]


def test_a_split_of_blocks_alone_prints_their_errors(found, tmp_path):
    systems, _, _ = found
    blocks = Independence(((BLOCK,) * 4,), BLOCK, 0.5, "no run is untouched")
    wrong = shifted(systems[2], force=0.3)
    folder = tmp_path / "alone" / "model_0"
    folder.mkdir(parents=True)
    np.savez(folder / "0.npz", energies=wrong.energies, forces=wrong.forces, virials=wrong.virials)
    errors = split_errors(MODELS[:1], 1, systems[2:], blocks, folder.parent)
    content = errors_to_json(errors, systems[2:], blocks, frames_in_split=4)
    assert content["overall"][FORCE] == content["by_independence"][BLOCK][FORCE]
    assert content["overall"][FORCE] == pytest.approx(300)
    assert spread_to_json(errors, blocks) is None
