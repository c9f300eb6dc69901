from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.results import Quantity
from mlip.errors import DataError
from mlip.report.charts import read_series, running_mean, stage_spans
from mlip.report.formatting import (
    cell,
    interval_cell,
    key_text,
    number_text,
    quantity_name,
    value_cell,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (256, "256"),
        (100800, "100800"),
        (1.2345, "1.23"),
        (0.0112345, "0.0112"),
        (-63.4567, "−63.5"),
        (1234.5, "1234"),
        (9.999, "10.0"),
        (0.1, "0.1"),
        (2.5, "2.5"),
        (3.4567e-06, "3.46 × 10⁻⁶"),
        (-2.5e21, "−2.50 × 10²¹"),
        (math.nan, "–"),
        (math.inf, "∞"),
    ],
)
def test_numbers_keep_three_digits(value, text):
    assert number_text(value) == text


def test_cells_keep_the_exact_number():
    assert cell(0.1 + 0.2).exact == "0.30000000000000004"
    assert cell(None).exact == ""
    assert cell(True).text == "yes"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("force_rmse_mev_per_angstrom", "force rmse (meV/Å)"),
        ("mean_density_g_cm3", "mean density (g/cm³)"),
        ("katom_steps_per_second", "speed (katom-step/s)"),
        ("temperature_kelvin", "temperature (K)"),
        ("steps", "steps"),
    ],
)
def test_keys_name_their_unit(key, text):
    assert key_text(key) == text


def test_quantity_names_are_words():
    assert quantity_name("conductivity_nernst_einstein_Li") == (
        "Ionic conductivity, Nernst-Einstein, Li"
    )
    assert quantity_name("something_new") == "something new"


def unresolved(low: float, high: float) -> Quantity:
    return Quantity("d", math.nan, "cm^2/s", low, high, status="unresolved", reason="too short")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (math.nan, 4e-7, "below 4.00 × 10⁻⁷ cm²/s"),
        (0.0, 4e-7, "below 4.00 × 10⁻⁷ cm²/s"),
        (1e-9, math.inf, "above 1.00 × 10⁻⁹ cm²/s"),
        (1e-9, 4e-7, "1.00 × 10⁻⁹ to 4.00 × 10⁻⁷ cm²/s"),
        (math.nan, math.inf, "–"),
    ],
)
def test_bounds_of_unresolved_quantities_read_as_bounds(low, high, text):
    assert interval_cell(unresolved(low, high)).text == text
    assert value_cell(unresolved(low, high)).text == "not resolved"


def test_running_mean_keeps_a_straight_line_and_does_not_cross_stages():
    values = np.concatenate([np.linspace(0, 10, 100), np.full(100, 50.0)])
    stages = ("a",) * 100 + ("b",) * 100
    np.testing.assert_allclose(running_mean(values, stages), values, atol=1e-12)


def test_stage_spans_follow_the_order_of_time():
    spans = stage_spans(np.arange(5.0), ("a", "a", "b", "a", "a"))
    assert spans == [("a", 0.0, 1.0), ("b", 2.0, 2.0), ("a", 3.0, 4.0)]


def test_torn_table_is_refused_by_name(tmp_path):
    (tmp_path / "thermo.csv").write_text("step,time_ps,stage,temperature_kelvin\n0,zero,heat,300\n")
    with pytest.raises(DataError, match=r"thermo\.csv"):
        read_series(tmp_path / "thermo.csv")
