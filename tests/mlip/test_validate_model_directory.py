from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from mlip.errors import DataError
from mlip.files import sha256, write_json
from mlip.model_directory import (
    failed_levels,
    network_precision,
    parity_status,
    read_model_directory,
    worst_comparison,
)


def make(directory: Path, names: list[str], type_map: object = ("Li", "P", "S")) -> Path:
    directory.mkdir()
    for name in names:
        (directory / name).write_bytes(name.encode())
    if type_map is not None:
        (directory / "type_map.json").write_text(json.dumps(type_map))
    return directory


def prove(directory: Path, **changes: object) -> None:
    record = {
        "schema": 1,
        "passed": True,
        "models": {path.name: sha256(path) for path in directory.glob("*.pth")},
        "comparisons": [],
        "negative_control": {"passed": True, "reason": ""},
        **changes,
    }
    (directory / "validation").mkdir()
    (directory / "validation" / "parity.json").write_text(json.dumps(record))


def test_members_are_listed_in_numerical_order(tmp_path):
    names = [f"model_{n}.pth" for n in range(11)]
    found = read_model_directory(make(tmp_path / "m", names))
    assert [path.name for path in found.members] == names
    assert found.type_map == ("Li", "P", "S")


def test_md_is_driven_by_compressed_members_where_there_are_any(tmp_path):
    plain = read_model_directory(make(tmp_path / "plain", ["model_0.pth"]))
    both = read_model_directory(make(tmp_path / "both", ["model_0.pth", "compressed_0.pth"]))
    assert plain.fastest == plain.members
    assert [path.name for path in both.fastest] == ["compressed_0.pth"]


@pytest.mark.parametrize(
    ("names", "type_map", "message"),
    [
        ([], ["Li"], "a model directory without models"),
        (["model_0.pth", "model_2.pth"], ["Li"], "model_1.pth is missing"),
        (["model_0.pth", "model_1.pth", "compressed_0.pth"], ["Li"], "2 model"),
        (["model_0.pth"], None, "type_map.json: missing"),
        (["model_0.pth"], ["Li", "Li"], "list of different element names"),
        (["model_0.pth"], {"Li": 0}, "list of different element names"),
    ],
)
def test_damaged_model_directory_is_refused_as_bad_input(tmp_path, names, type_map, message):
    with pytest.raises(DataError, match=message) as caught:
        read_model_directory(make(tmp_path / "m", names, type_map))
    assert caught.value.exit_code == 2


def test_absent_model_directory_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such directory"):
        read_model_directory(tmp_path / "nothing")


def test_parity_is_unproved_without_a_record(tmp_path):
    status = parity_status(make(tmp_path / "m", ["model_0.pth"]))
    assert not status.ok
    assert "mlip validate" in status.reason


def test_parity_of_the_recorded_files_is_ok(tmp_path):
    directory = make(tmp_path / "m", ["model_0.pth", "compressed_0.pth"])
    prove(directory)
    assert parity_status(directory).ok


def test_parity_of_a_changed_model_is_unproved(tmp_path):
    directory = make(tmp_path / "m", ["model_0.pth"])
    prove(directory)
    (directory / "model_0.pth").write_bytes(b"trained again")
    status = parity_status(directory)
    assert not status.ok
    assert "changed since parity was tested" in status.reason


def test_parity_of_a_later_member_is_unproved(tmp_path):
    directory = make(tmp_path / "m", ["model_0.pth"])
    prove(directory)
    (directory / "model_1.pth").write_bytes(b"new")
    assert "model_1.pth was not tested" in parity_status(directory).reason
    assert parity_status(directory, [directory / "model_0.pth"]).ok


def test_failed_parity_names_the_worst_comparison(tmp_path):
    directory = make(tmp_path / "m", ["model_0.pth"])
    rows = [
        {"model": "model_0.pth", "pair": pair, "quantity": "force", "unit": "eV/Å"}
        | {"difference": difference, "tolerance": 1e-4, "passed": difference <= 1e-4}
        for pair, difference in (("a = b", 2e-4), ("a = c", 5e-2), ("b = c", 1e-6))
    ]
    prove(directory, passed=False, comparisons=rows)
    status = parity_status(directory)
    assert not status.ok
    assert "a = c" in status.reason
    assert "0.05" in status.reason


def test_a_difference_that_is_no_number_is_the_worst():
    row = {"model": "m", "pair": "p", "quantity": "energy", "unit": "eV/atom", "tolerance": 1e-6}
    record = {
        "comparisons": [
            {**row, "difference": 1.0, "passed": False},
            {**row, "pair": "q", "difference": None, "passed": False},
        ],
        "negative_control": {"passed": True},
    }
    assert "q" in worst_comparison(record)
    assert "not finite" in worst_comparison(record)


def test_record_of_another_schema_is_refused(tmp_path):
    directory = make(tmp_path / "m", ["model_0.pth"])
    prove(directory, schema=7)
    with pytest.raises(DataError, match="schema 1"):
        parity_status(directory)


@pytest.mark.parametrize(
    ("script", "precision"),
    [
        ('{"descriptor": {"precision": "float32"}, "fitting_net": {}}', "float32"),
        ('{"descriptor": {"precision": "float64"}, "fitting_net": {}}', "float64"),
        ('{"descriptor": {}, "fitting_net": {}}', "float64"),
        (
            '{"descriptor": {"precision": "float64"}, "fitting_net": {"precision": "float32"}}',
            "float32",
        ),
    ],
)
def test_precision_is_the_lowest_of_the_stored_training_input(tmp_path, script, precision):
    path = tmp_path / "model_0.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02X" + script.encode() + b"\xff.")
    assert network_precision(path) == precision


def test_precision_of_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "model_0.pth"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="no frozen DeePMD-kit model"):
        network_precision(path)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({"Li": (0.2, True), "P": (0.5, True)}, {"Li": 0.2, "P": 0.5}),
        ({"Li": (0.2, True), "P": (0.5, False)}, {}),
    ],
    ids=["calibrated", "an element not calibrated"],
)
def test_deviations_fail_above_the_upper_level_of_each_element_of_a_calibrated_committee(
    tmp_path, levels, expected
):
    assert failed_levels(tmp_path) == {}
    content = {
        name: {"upper_ev_per_angstrom": upper, "calibrated": calibrated}
        for name, (upper, calibrated) in levels.items()
    }
    write_json(tmp_path / "validation" / "trust.json", {"levels": content})
    assert failed_levels(tmp_path) == expected


@pytest.mark.parametrize("content", [{}, {"levels": {"Li": 0.3}}, ["levels"]])
def test_a_damaged_trust_record_is_refused(tmp_path, content):
    write_json(tmp_path / "validation" / "trust.json", content)
    with pytest.raises(DataError, match="no record of trust levels"):
        failed_levels(tmp_path)
