"""What the report shows of a validation besides errors."""

from __future__ import annotations

import shutil
from pathlib import Path

from report_directories import add_validation, make_model

from mlip.files import read_json, write_json
from mlip.report.report import report
from mlip.validation.finding import Finding
from mlip.validation.physics_table import write_findings

LEVEL = {
    "scale": 2.3157,
    "scale_error": 0.0235,
    "lower_ev_per_angstrom": 0.07084,
    "upper_ev_per_angstrom": 0.28335,
    "rank_correlation": None,
    "frames": 60,
    "atoms": 7200,
    "calibrated": True,
}


def page(model: Path, out: Path) -> str:
    report([model], out)
    return (out / "report.html").read_text()


def validated_model(directory: Path) -> tuple[Path, Path]:
    model = make_model(directory)
    add_validation(model)
    return model, model / "validation"


def test_trust_levels_and_calibration_figure_are_shown(tmp_path):
    model, validation = validated_model(tmp_path / "model")
    plain = page(model, tmp_path / "plain")
    assert "Trust levels" not in plain
    write_json(validation / "trust.json", {"levels": {"Li": LEVEL}})
    figures = validation / "figures"
    shutil.copy(figures / "deviation_against_error.png", figures / "calibration.png")
    text = page(model, tmp_path / "out")
    assert "Trust levels of the committee" in text
    assert all(f'value="{LEVEL[key]}"' in text for key in ("scale", "atoms", "scale_error"))
    assert text.count("<img") == plain.count("<img") + 1
    assert "dotted: trust levels" in text


def test_physical_tests_are_shown_with_verdict_and_reason(tmp_path):
    model, validation = validated_model(tmp_path / "model")
    assert "Physics of the potential" not in page(model, tmp_path / "plain")
    failed = Finding("gamma", "barrier (meV)", 410.25, 300.5, "DFT", 50.0, "fail", "too <high>")
    open_ = Finding("glass", "density", None, None, "none", None, "not assessed", "no reference")
    write_findings(validation / "physics.json", [failed, open_])
    text = page(model, tmp_path / "out")
    table = text[text.index("Physics of the potential") :]
    assert 'value="410.25"' in table
    assert 'value="300.5"' in table
    assert "too &lt;high&gt;" in table
    assert "not assessed" in table
    assert "no reference" in table


def test_what_the_errors_are_of_stands_in_the_headline(tmp_path):
    model, validation = validated_model(tmp_path / "model")
    metrics = read_json(validation / "metrics.json")
    words = "no run is untouched by training: these are blocks"
    metrics["splits"]["test"]["independence"] = {"statement": words}
    write_json(validation / "metrics.json", metrics)
    text = page(model, tmp_path / "out")
    assert words in text[: text.index("</header>")]
    assert f"Errors on the test split: {words}." in text
