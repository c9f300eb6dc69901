"""What the command line prints of a summary."""

from __future__ import annotations

from typing import Any

import pytest

from mlip.perform import table


def result(**given: Any) -> dict[str, Any]:
    fixed = {"value": None, "low": None, "high": None, "unit": "1", "status": "ok", "reason": "why"}
    return fixed | given


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (result(value=4e-5, low=3e-5, high=5e-5, unit="cm^2/s"), "4e-05 (3e-05 to 5e-05) cm^2/s"),
        (result(value=0.42), "0.42"),
        (result(value=0.42, low=0.4, high=0.5), "0.42 (0.4 to 0.5)"),
        (result(status="refused", unit="eV"), "refused: why"),
        (result(status="unresolved", high=1e-5, unit="S/cm"), "unresolved (below 1e-05) S/cm: why"),
        (result(status="unresolved", low=9.0, unit="ps"), "unresolved (above 9) ps: why"),
        (result(status="unresolved", low=0.0, high=1.0), "unresolved (0 to 1): why"),
        (result(status="unresolved", low=0.0, unit="S/cm"), "unresolved: why"),
    ],
)
def test_a_result_is_one_line_and_says_why_where_it_is_not_resolved(found, line):
    assert table({"run": {"D": found}}) == ["  run:", f"    D: {line}"]


def test_other_tables_are_indented_lines():
    assert table({"stage": {"steps": 10, "pairs": [1, 2], "sound": True}}) == [
        "  stage:",
        "    steps: 10",
        "    pairs: 1, 2",
        "    sound: True",
    ]
