"""Manifest, fingerprints and workspace: done, resume, refuse, force."""

from __future__ import annotations

import json

import pytest

from mlip.errors import DataError, EngineError, InputError
from mlip.files import fingerprint, replacing, write_json
from mlip.manifest import differing_keys, missing_outputs, read_manifest
from mlip.workspace import open_workspace


def work(directory, recipe=None, inputs=(), **options):
    return open_workspace(
        directory, kind="set", recipe=recipe or {"a": 1}, inputs=list(inputs), **options
    )


def make(directory, text="result", **options):
    with work(directory, **options) as workspace:
        if workspace.finished:
            return workspace.manifest
        (directory / "result.txt").write_text(text)
        workspace.finish([directory / "result.txt"], {"answer": 42})
        return workspace.manifest


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail_halfway():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_manifest_is_running_before_work_and_complete_after(tmp_path):
    out = tmp_path / "out"
    with work(out) as workspace:
        assert read_manifest(out).status == "running"
        (out / "result.txt").write_text("x")
        workspace.finish([out / "result.txt"], {})
    manifest = read_manifest(out)
    assert manifest.status == "complete"
    assert manifest.outputs["result.txt"].bytes == 1
    assert [attempt.exit_code for attempt in manifest.attempts] == [0]
    assert not (out / "lock").exists()


def test_a_second_call_does_nothing(tmp_path):
    make(tmp_path / "out")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    make(tmp_path / "out", text="other")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    assert (tmp_path / "out" / "result.txt").read_text() == "result"


def test_a_failed_attempt_is_recorded_and_resumed(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(EngineError), work(out):
        raise EngineError("broken")
    assert read_manifest(out).status == "running"
    make(out)
    assert [attempt.exit_code for attempt in read_manifest(out).attempts] == [4, 0]


def test_a_missing_or_resized_output_is_made_again(tmp_path):
    out = tmp_path / "out"
    make(out)
    (out / "result.txt").write_text("another size")
    assert missing_outputs(out, read_manifest(out)) == ["result.txt"]
    make(out)
    assert (out / "result.txt").read_text() == "result"


def test_another_recipe_is_refused_naming_the_keys(tmp_path):
    make(tmp_path / "out", recipe={"net": {"size": 1}, "steps": 5})
    with pytest.raises(InputError, match=r"net\.size, steps"):
        make(tmp_path / "out", recipe={"net": {"size": 2}, "steps": 6})


def test_changed_inputs_are_refused_naming_the_file(tmp_path):
    data = tmp_path / "data.txt"
    data.write_text("1")
    make(tmp_path / "out", inputs=[data])
    data.write_text("2")
    with pytest.raises(InputError, match=r"data\.txt"):
        make(tmp_path / "out", inputs=[data])


def test_force_moves_the_old_result_aside(tmp_path):
    make(tmp_path / "out", recipe={"a": 1}, text="old")
    make(tmp_path / "out", recipe={"a": 2}, text="new", force=True)
    (aside,) = tmp_path.glob("out.old-*")
    assert (aside / "result.txt").read_text() == "old"
    assert (tmp_path / "out" / "result.txt").read_text() == "new"


def test_a_strangers_directory_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        make(tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_fingerprint_of_a_directory_ignores_attempts_but_not_results(tmp_path):
    make(tmp_path / "one")
    make(tmp_path / "two", recipe={"a": 7})
    make(tmp_path / "three", text="different")
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    assert fingerprint(tmp_path / "one") != fingerprint(tmp_path / "three")


def test_differing_keys_are_dotted_and_complete():
    old = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    new = {"a": {"b": 2, "c": [1, 2]}, "e": 1}
    assert differing_keys(old, new) == ["a.b", "d", "e"]
    old = {"stages": [{"kind": "nvt", "ps": 1}, {"kind": "nvt"}]}
    new = {"stages": [{"kind": "nvt", "ps": 2}, {"kind": "nvt"}]}
    assert differing_keys(old, new) == ["stages.0.ps"]
    assert differing_keys(old, {"stages": new["stages"][:1]}) == ["stages"]


def test_a_key_without_a_value_is_the_same_as_none_at_all():
    old = {"a": {"b": 1}, "list": [{"x": 1}]}
    new = {"a": {"b": 1, "later": None}, "list": [{"x": 1, "later": None}], "also": None}
    assert differing_keys(old, new) == differing_keys(new, old) == []
    assert differing_keys(old, {**new, "also": 0}) == ["also"]


def test_a_manifest_of_a_newer_program_is_refused(tmp_path):
    make(tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    content = json.loads(path.read_text())
    write_json(path, {**content, "schema": 99})
    with pytest.raises(DataError, match="schema 99"):
        read_manifest(tmp_path / "out")
