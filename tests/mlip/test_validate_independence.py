"""Which test frames are of runs that training never touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reference_systems import system

from mlip.errors import DataError
from mlip.files import fingerprint
from mlip.manifest import Manifest, write_manifest
from mlip.validation.independence import (
    BLOCK,
    UNKNOWN,
    UNTOUCHED,
    independence,
    of_training,
    training_set,
)

HEAD = "split,system,row,source,frame,phase,temperature_kelvin,weight"


def make_set(directory: Path, rows: list[tuple[str, str, str]], gap_ps: float | None = 0.75):
    """A set of frames (split, source, system), with a certificate that measured a gap."""
    directory.mkdir()
    lines = [HEAD]
    lines += [f"{s},{name},{k},{run},0,melt,300,1" for k, (s, run, name) in enumerate(rows)]
    (directory / "frames.csv").write_text("\n".join(lines) + "\n")
    check = {"name": "gap between sides", "number": gap_ps}
    (directory / "certificate.json").write_text(json.dumps({"checks": [check]}))
    return directory


def trained(*sets: Path) -> Manifest:
    return Manifest(kind="model", recipe={}, inputs={f"../{s.name}": fingerprint(s) for s in sets})


def test_runs_without_training_frames_are_untouched_and_carry_the_headline(tmp_path):
    rows = [("train", "a", "a"), ("test", "a", "a"), ("test", "b", "b")]
    data = make_set(tmp_path / "set", rows)
    found = independence(data, [system("a", frames=2), system("b", frames=3)], trained(data))
    assert found.labels == ((BLOCK,) * 2, (UNTOUCHED,) * 3)
    assert found.headline == UNTOUCHED
    assert [found.counted(n).tolist() for n in (0, 1)] == [[], [0, 1, 2]]
    assert found.as_json()["frames"] == {BLOCK: 2, UNTOUCHED: 3}
    assert "3 frames are of runs that training never touched" in found.statement
    assert "2 frames are blocks of training runs, at least 0.75 ps" in found.statement


def test_untouched_runs_alone_are_said_to_be_so(tmp_path):
    data = make_set(tmp_path / "set", [("train", "a", "a"), ("test", "b", "b")])
    found = independence(data, [system("b", frames=3)], trained(data))
    assert found.statement == "all 3 frames are of runs that training never touched"
    assert found.gap_ps is None


@pytest.mark.parametrize(("gap", "words"), [(0.5, "at least 0.5 ps"), (None, "an unrecorded time")])
def test_blocks_alone_are_the_headline_and_say_how_far_they_are_apart(tmp_path, gap, words):
    data = make_set(tmp_path / "set", [("train", "a", "a"), ("test", "a", "a")], gap_ps=gap)
    found = independence(data, [system("a")], trained(data))
    assert found.headline == BLOCK
    assert found.gap_ps == gap
    assert found.statement == (
        f"no run is untouched by training: these are blocks {words} from training frames of the "
        "same run"
    )


def test_two_matches_of_one_source_are_two_runs(tmp_path):
    rows = [("train", "a", "a-000"), ("test", "a", "a-001")]
    data = make_set(tmp_path / "set", rows)
    systems = [system("a-001", source="a"), system("a-000", source="a")]
    assert independence(data, systems, trained(data)).labels == ((UNTOUCHED,) * 2, (BLOCK,) * 2)


@pytest.mark.parametrize("path", ["run/OUTCAR", "./run//OUTCAR"])
def test_two_sources_that_read_one_trajectory_are_one_run(tmp_path, path):
    rows = [("train", "early", "early"), ("test", "late", "late"), ("test", "own", "own")]
    data = make_set(tmp_path / "set", rows)
    recipe = {
        "sources": [
            {"name": "early", "path": "run/OUTCAR"},
            {"name": "late", "path": path},
            {"name": "own", "path": "other/OUTCAR"},
        ]
    }
    write_manifest(data, Manifest(kind="set", recipe=recipe))
    found = independence(data, [system("late"), system("own")], trained(data))
    assert found.labels == ((BLOCK,) * 2, (UNTOUCHED,) * 2)
    assert found.gap_ps is None
    assert "blocks of training runs, an unrecorded time from" in found.statement


def test_the_gap_of_the_certificate_is_not_that_between_two_sources_of_one_run(tmp_path):
    sides = [(split, name, name) for split in ("train", "test") for name in ("early", "late")]
    data = make_set(tmp_path / "set", sides)
    sources = [{"name": name, "path": "run/OUTCAR"} for name in ("early", "late")]
    write_manifest(data, Manifest(kind="set", recipe={"sources": sources}))
    found = independence(data, [system("early"), system("late")], trained(data))
    assert (found.headline, found.gap_ps) == (BLOCK, None)


def test_what_a_fine_tuned_model_saw_before_is_not_known(tmp_path):
    data = make_set(tmp_path / "set", [("train", "a", "a"), ("test", "b", "b")])
    tuned = trained(data).model_copy(update={"recipe": {"start_from": "../models/base"}})
    found = independence(data, [system("b")], tuned)
    assert found.headline == UNKNOWN
    assert found.statement.endswith("not recorded: the model started from the weights of base")


@pytest.mark.parametrize(("foreign", "words"), [(True, "has no manifest"), (False, "another set")])
def test_nothing_is_known_of_a_model_trained_elsewhere(tmp_path, foreign, words):
    data = make_set(tmp_path / "set", [("train", "a", "a"), ("test", "b", "b")])
    other = make_set(tmp_path / "other", [("train", "b", "b")])
    found = independence(data, [system("b")], None if foreign else trained(other))
    assert found.headline == UNKNOWN
    assert found.labels == ((UNKNOWN,) * 2,)
    assert words in found.statement
    assert "not recorded" in found.statement


def test_training_frames_are_called_so():
    found = of_training([system("a", frames=3)])
    assert found.counted(0).tolist() == [0, 1, 2]
    assert "trained on these frames" in found.statement


def test_a_set_without_sources_is_refused(tmp_path):
    data = make_set(tmp_path / "set", [("train", "a", "a")])
    (data / "frames.csv").write_text("split,system,row\ntrain,a,0\n")
    with pytest.raises(DataError, match="no column 'source'"):
        independence(data, [system("a")], trained(data))


def test_the_training_set_is_found_where_it_lies_unless_it_changed(tmp_path):
    data = make_set(tmp_path / "set", [("train", "a", "a")])
    other = make_set(tmp_path / "other", [("train", "b", "b")])
    model = tmp_path / "model"
    model.mkdir()
    manifest = trained(other)
    assert training_set(model, manifest, other) == other
    assert training_set(model, manifest, data).resolve() == other
    assert training_set(model, None, data) is None
    (other / "frames.csv").write_text(HEAD + "\n")
    assert training_set(model, manifest, data) is None
