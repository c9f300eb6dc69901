from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from series_runs import D, bounded, resolved, run_at

from analysis.errors import AnalysisError
from analysis.results import Quantity
from analysis.series.random_effects import between_variance, mean_of_repeats, sample_mean
from analysis.series.run_result import log_estimate, read_run_result
from analysis.series.samples import combine_samples, series_points
from analysis.writer import write_analysis

REPLICAS = 200
LOWEST_COVERAGE = stats.binom.ppf(0.001, REPLICAS, 0.95) / REPLICAS


@pytest.mark.parametrize("n_samples", [3, 5])
@pytest.mark.parametrize("between", [0.0, 0.3])
def test_the_interval_over_samples_contains_the_truth_as_often_as_it_says(rng, n_samples, between):
    covered = 0
    for _ in range(REPLICAS):
        errors = rng.uniform(0.05, 0.15, n_samples)
        truths = rng.normal(0.0, between, n_samples)
        mean = sample_mean(truths + errors * rng.normal(size=n_samples), errors)
        covered += abs(mean.value) < mean.half_width
    assert covered / REPLICAS >= LOWEST_COVERAGE
    # Too wide is no interval either.
    assert between == 0.0 or covered < REPLICAS


def test_three_quenches_get_student_t_of_two():
    # Errors far below the scatter: the plain mean with t = 4.30.
    values = [1.0, 2.0, 6.0]
    mean = sample_mean(values, [1e-6] * 3)
    assert mean.value == pytest.approx(3.0)
    assert mean.half_width == pytest.approx(
        4.3027 * np.std(values, ddof=1) / math.sqrt(3), rel=1e-4
    )
    assert mean.between == pytest.approx(np.std(values, ddof=1))
    assert mean.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(3), rel=1e-6)


def test_samples_that_agree_too_well_keep_the_error_of_the_runs():
    mean = sample_mean([1.0, 1.0, 1.0], [0.3, 0.3, 0.3])
    assert mean.between == 0.0
    assert mean.half_width == pytest.approx(1.959964 * 0.3 / math.sqrt(3), rel=1e-6)


def test_variance_between_samples_makes_the_weighted_scatter_its_expectation(rng):
    values, variances = rng.normal(0, 1.0, 6), rng.uniform(0.01, 0.1, 6)
    between = between_variance(values, variances)
    weights = 1.0 / (variances + between)
    mean = weights @ values / weights.sum()
    assert weights @ (values - mean) ** 2 == pytest.approx(5.0)


def test_unknown_errors_leave_the_scatter_of_the_samples():
    mean = sample_mean([0.0, 1.0], [math.nan, 0.1])
    assert mean.value == 0.5
    assert mean.half_width == pytest.approx(12.7062 * math.sqrt(0.5) / math.sqrt(2), rel=1e-4)
    assert math.isnan(sample_mean([1.0], [math.nan]).half_width)
    assert math.isnan(sample_mean([1.0, 1.0], [math.nan] * 2).half_width)
    with pytest.raises(AnalysisError, match="at least one sample"):
        sample_mean([], [])


def test_repeats_are_weighed_by_their_errors_and_their_error_only_grows():
    mean, error = mean_of_repeats([1.0, 4.0], [1.0, 2.0])
    assert mean == pytest.approx((1.0 + 4.0 / 4) / 1.25)
    # chi-squared is 9/5 with one degree of freedom.
    assert error == pytest.approx(math.sqrt(9 / 5 / 1.25))
    assert mean_of_repeats([1.0, 1.1], [1.0, 2.0])[1] == pytest.approx(math.sqrt(1 / 1.25))
    assert mean_of_repeats([2.0], [0.5]) == (2.0, 0.5)


def test_logarithm_of_an_interval_that_was_cut_at_zero_keeps_its_error():
    quantity = Quantity(D, 1.0, "cm^2/s", 0.0, 1.0 + 2 * 1.959964, reason="planted")
    assert log_estimate(quantity).error == pytest.approx(2.0)
    assert log_estimate(resolved(D, 1e-7, 0.2)).error == pytest.approx(0.2)
    assert log_estimate(resolved(D, 1e-7, 0.2)).value == pytest.approx(math.log(1e-7))
    with pytest.raises(AnalysisError, match="has no logarithm"):
        log_estimate(bounded(1e-9)[D])


def test_velocity_seeds_of_one_structure_are_one_sample():
    values = (1e-7, 1.2e-7, 0.9e-7)
    seeds = [run_at(600, value, replica=n) for n, value in enumerate(values)]
    quenches = [run_at(600, value, sample=f"quench {n}") for n, value in enumerate(values)]
    repeated, independent = combine_samples(seeds, D), combine_samples(quenches, D)
    assert (repeated.n_samples, repeated.n_runs) == (1, 3)
    assert "one sample, 3 runs" in repeated.quantity.reason
    assert "spread between samples is unknown" in repeated.quantity.reason
    assert "3 independent samples" in independent.quantity.reason
    assert "Student t of 2" in independent.quantity.reason
    assert independent.quantity.value == pytest.approx(math.prod(values) ** (1 / 3), rel=1e-6)
    widths = [p.quantity.high / p.quantity.low for p in (repeated, independent)]
    assert widths[0] < widths[1]


def test_one_run_keeps_its_interval():
    run = run_at(600, 1e-7, 0.1)
    quantity = replace(run.quantities[D], low=0.5e-7, high=4e-7)
    found = combine_samples([replace(run, quantities={D: quantity})], D).quantity
    assert (found.value, found.low, found.high) == (1e-7, 0.5e-7, 4e-7)
    assert found.reason == "one sample; the spread between samples is unknown"


def test_one_unresolved_sample_makes_the_temperature_unresolved_with_the_largest_bound():
    runs = [
        run_at(400, 3e-9, 0.1, sample="fast"),
        run_at(400, bounded(2e-10), sample="slow"),
    ]
    point = combine_samples(runs, D)
    assert not point.resolved
    assert point.bound == pytest.approx(3e-9 * 1.1959964)
    assert point.quantity.high == point.bound
    assert "1 of the runs unresolved" in point.quantity.reason
    assert "favour fast samples" in point.quantity.reason
    assert list(point.by_sample) == ["fast"]
    # Alone, the slow one is bounded by its net hops, not by its vibration.
    assert combine_samples(runs[1:], D).bound == 2e-10


def test_bound_of_a_nernst_einstein_conductivity_follows_the_hops():
    sigma = "conductivity_nernst_einstein_Li"
    quantities = bounded(2e-10, msd_bound=4e-8)
    quantities[sigma] = Quantity(
        sigma, math.nan, "S/cm", 0.0, 8e-3, status="unresolved", reason="as D"
    )
    point = combine_samples([run_at(300, quantities)], sigma)
    assert point.bound == pytest.approx(8e-3 * 2e-10 / 4e-8)
    assert point.quantity.unit == "S/cm"


def test_points_are_sorted_and_melts_are_known_by_their_framework():
    melted = Quantity("framework_melted", 1.0, "1", reason="MSD of P 0.9")
    runs = [
        run_at(900, 1e-5, framework=20.0),
        run_at(500, 1e-8),
        run_at(700, 1e-6, more={"framework_melted": melted}),
    ]
    points = series_points(runs, D)
    assert [(p.temperature_kelvin, p.melt) for p in points] == [
        (500.0, False),
        (700.0, True),
        (900.0, True),
    ]
    with pytest.raises(AnalysisError, match="one temperature"):
        combine_samples(runs, D)


def test_a_run_is_read_back_from_its_analysis(tmp_path):
    from analysis.results import Findings

    write_analysis(tmp_path, {"motion": Findings([resolved(D, 1e-7, 0.1)])}, provenance={})
    run = read_run_result(tmp_path, sample="a", temperature_kelvin=500.0, replica=3, member="1")
    assert run.quantities[D].value == 1e-7
    assert (run.sample, run.replica, run.member) == ("a", 3, "1")
    with pytest.raises(AnalysisError, match="temperature nan K"):
        read_run_result(tmp_path, sample="a", temperature_kelvin=math.nan)
