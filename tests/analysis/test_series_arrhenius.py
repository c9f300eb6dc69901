from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from series_runs import KELVINS, D, bounded, ladder, on_line, published_beta, run_at

from analysis.errors import AnalysisError
from analysis.results import Quantity
from analysis.series.arrhenius import BOLTZMANN_EV_PER_KELVIN, fit_arrhenius
from analysis.series.committee import committee_spread
from analysis.series.line import curvature, fit_line
from analysis.series.material import extrapolate, material_series
from analysis.series.samples import series_points

REPLICAS = 200
LOWEST_COVERAGE = stats.binom.ppf(0.001, REPLICAS, 0.95)


def fitted(runs):
    return fit_arrhenius(series_points(runs, D), "ln D")


def test_exact_points_give_back_energy_and_prefactor():
    fit = fitted([run_at(k, on_line(k, 0.35, 1e-3)) for k in KELVINS])
    assert fit.energy_ev.value == pytest.approx(0.35, rel=1e-9)
    assert fit.log_prefactor.value == pytest.approx(math.log(1e-3), rel=1e-9)
    assert fit.value(300.0)[0] == pytest.approx(on_line(300.0), rel=1e-8)
    # Weighted least squares in closed form, with the errors as given.
    x = 1 / (BOLTZMANN_EV_PER_KELVIN * np.array(KELVINS))
    expected = 1.959964 * 0.1 / math.sqrt(((x - x.mean()) ** 2).sum())
    assert fit.energy_ev.half_width == pytest.approx(expected, rel=1e-6)
    assert fit.covariance[1, 1] == pytest.approx((expected / 1.959964) ** 2, rel=1e-6)
    # A larger Ea goes with a larger prefactor.
    assert fit.covariance[0, 1] == pytest.approx(fit.covariance[1, 1] * x.mean(), rel=1e-6)


def test_energy_and_extrapolation_contain_the_truth_and_straight_lines_are_not_called_curved(rng):
    energy = prefactor = cold = curved = 0
    for _ in range(REPLICAS):
        fit = fitted(ladder(rng, error=0.1))
        energy += abs(fit.energy_ev.value - 0.35) < fit.energy_ev.half_width
        prefactor += abs(fit.log_prefactor.value - math.log(1e-3)) < fit.log_prefactor.half_width
        _, low, high = fit.value(300.0)
        cold += low < on_line(300.0) < high
        curved += fit.curvature.flagged
    assert min(energy, prefactor, cold) >= LOWEST_COVERAGE
    assert curved <= stats.binom.ppf(0.999, REPLICAS, 0.05)


@pytest.mark.parametrize("own_samples", [False, True], ids=["same samples", "samples of their own"])
def test_energy_over_three_quenches_contains_the_truth(rng, own_samples):
    covered = cold = 0
    for _ in range(REPLICAS):
        runs = []
        for n in range(3):
            if own_samples:
                for kelvin in KELVINS:
                    runs += ladder(
                        rng,
                        kelvins=(kelvin,),
                        sample=f"{n} at {kelvin}",
                        offset=0.3 * rng.normal(),
                    )
            else:
                runs += ladder(rng, sample=f"{n}", offset=0.3 * rng.normal())
        fit = fitted(runs)
        assert len(fit.lines) == (1 if own_samples else 3)
        covered += abs(fit.energy_ev.value - 0.35) < fit.energy_ev.half_width
        _, low, high = fit.value(300.0)
        cold += low < on_line(300.0) < high
    assert min(covered, cold) >= LOWEST_COVERAGE


def test_scatter_beyond_the_errors_widens_the_interval_and_less_scatter_does_not_narrow_it():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    row = np.array([0.0, 1.0])
    straight = fit_line(x, x, np.full(4, 0.1))
    scattered = fit_line(x, x + np.array([0.5, -0.5, -0.5, 0.5]), np.full(4, 0.1))
    known = 1.959964 * 0.1 / math.sqrt(5.0)
    assert straight.half_width(row, 0.95) == pytest.approx(known, rel=1e-6)
    assert scattered.scatter == pytest.approx(1.0 / 0.01 / 2)
    assert scattered.half_width(row, 0.95) == pytest.approx(
        4.30265 * math.sqrt(0.5) / math.sqrt(5.0), rel=1e-4
    )
    mean = np.array([1.0, 2.5])
    gap = scattered.half_width(mean, 0.95, of_new_point=True)
    assert gap == pytest.approx(4.30265 * math.sqrt(0.5 / 4 + 0.5 - 0.01), rel=1e-4)


def test_two_slopes_are_called_curved(rng):
    flagged = 0
    for _ in range(50):
        runs = [
            run_at(k, on_line(k, e, on_line(700, 0.4) / on_line(700, e, 1.0)) * noise, 0.1)
            for k in KELVINS
            for e in [0.6 if k > 700 else 0.3]
            for noise in [math.exp(0.1 * rng.normal())]
        ]
        flagged += fitted(runs).curvature.flagged
    assert flagged >= 40


def test_few_points_are_not_tested_for_curvature():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert not curvature(fit_line(x, x**2, np.full(4, np.nan))).tested
    assert curvature(fit_line(x, x**2, np.full(4, 0.1))).flagged
    exact = curvature(fit_line(np.arange(6.0), np.arange(6.0), np.full(6, np.nan)))
    assert exact.tested


def test_published_beta_values_give_the_derived_energies_and_the_ratio_at_300_kelvin():
    points = series_points(published_beta(), D)
    whole = fit_arrhenius(points, "ln D")
    assert whole.energy_ev.value == pytest.approx(0.494, abs=5e-4)
    assert whole.curvature.flagged
    hot = fit_arrhenius(points[1:], "ln D")
    assert hot.energy_ev.value == pytest.approx(0.782, abs=5e-4)
    found = extrapolate(D, points)
    assert found.fit.kelvins[0] == 700.0
    assert found.value == pytest.approx(2.86e-14, rel=2e-3)
    assert found.ratio == pytest.approx(4.392e-11 / 2.86e-14, rel=2e-3)
    assert found.low < found.value < found.high


def test_energy_from_sigma_t_and_from_sigma_differ_by_the_thermal_energy():
    # sigma T of 0.35 eV exactly.
    def sigma(kelvin):
        return on_line(kelvin, 0.35, 1e4) / kelvin

    name = "conductivity_collective_Li"
    runs = [
        run_at(k, {name: Quantity(name, sigma(k), "S/cm", 0.9 * sigma(k), 1.1 * sigma(k))})
        for k in KELVINS
    ]
    points = series_points(runs, name)
    fit = fit_arrhenius(points, "ln(sigma T)")
    assert fit.energy_ev.value == pytest.approx(0.35, rel=1e-9)
    assert fit.value(300.0)[0] == pytest.approx(sigma(300.0), rel=1e-8)
    plain = fit_arrhenius(points, "ln D").energy_ev.value
    shift = BOLTZMANN_EV_PER_KELVIN * np.mean(KELVINS)
    assert 0.35 - plain == pytest.approx(shift, rel=0.1)


def test_two_temperatures_give_a_value_without_an_interval_and_one_gives_nothing():
    fit = fitted([run_at(k, on_line(k)) for k in (500, 600)])
    assert fit.energy_ev.value == pytest.approx(0.35)
    assert math.isnan(fit.energy_ev.half_width)
    assert not fit.has_interval
    with pytest.raises(AnalysisError, match="a line needs two"):
        fitted([run_at(500, 1e-7)])
    with pytest.raises(AnalysisError, match="give all or none"):
        fit_line(np.arange(3.0), np.arange(3.0), np.array([0.1, np.nan, 0.1]))
    with pytest.raises(AnalysisError, match="two different abscissas"):
        fit_line(np.ones(3), np.arange(3.0), np.ones(3))


def test_bounds_and_melts_stay_out_of_the_line_of_the_solid():
    solid = [run_at(k, on_line(k)) for k in (400, 500, 600)]
    others = [run_at(300, bounded(1e-13)), run_at(900, on_line(900, 0.1), framework=30.0)]
    series = material_series("", [*solid, *others])
    assert series.fits[D].kelvins == (400.0, 500.0, 600.0)
    assert series.fits[D].energy_ev.value == pytest.approx(0.35)
    assert series.extrapolations[D].fit.kelvins == (400.0, 500.0, 600.0)
    assert D not in series.melt_fits
    # The bound is below what the line says.
    assert series.extrapolations[D].ratio == pytest.approx(1e-13 / on_line(300), rel=1e-6)


def test_nothing_is_extrapolated_into_the_range_of_the_points():
    assert (
        extrapolate(D, series_points([run_at(k, on_line(k)) for k in (280, 400, 500)], D)) is None
    )
    assert extrapolate(D, series_points([run_at(400, 1e-8)], D)) is None


def test_members_are_compared_by_q_on_the_samples_they_share(rng):
    same = committee_spread("x", "eV", {"0": 1.0, "1": 1.2}, {"0": 0.2, "1": 0.2})
    assert same.q == pytest.approx(0.2**2 / (2 * 0.2**2))
    assert (same.mean, same.lowest, same.highest) == (pytest.approx(1.1), 1.0, 1.2)
    assert same.deviation == pytest.approx(0.2 / math.sqrt(2))
    assert same.statistical_error == pytest.approx(0.2)
    assert same.p_value == pytest.approx(stats.chi2.sf(0.5, 1))
    assert not same.exceeds_errors
    assert committee_spread("x", "eV", {"0": 1.0, "1": 2.0}, {"0": 0.2, "1": 0.2}).exceeds_errors
    unknown = committee_spread("x", "eV", {"0": 1.0, "1": 9.0}, {"0": 0.2, "1": math.nan})
    assert not unknown.exceeds_errors
    assert math.isnan(unknown.p_value)
    with pytest.raises(AnalysisError, match="needs two members"):
        committee_spread("x", "eV", {"0": 1.0}, {"0": 0.1})
    runs = ladder(rng, energy_ev=0.35) + ladder(rng, energy_ev=0.6, member="1")
    runs += ladder(rng, kelvins=(300,), member="1", sample="other")
    series = material_series("", runs)
    assert series.member == "1"
    by_kelvin = {s.temperature_kelvin: s for s in series.spreads if s.name == D}
    assert set(by_kelvin) == set(KELVINS)
    assert all(spread.exceeds_errors for spread in by_kelvin.values())
    (energy,) = [s for s in series.spreads if s.name == "activation_energy_diffusion_Li"]
    assert energy.exceeds_errors
    assert energy.highest - energy.lowest == pytest.approx(0.25, abs=0.1)


def test_covariance_over_samples_is_that_of_their_mean():
    energies = (0.30, 0.35, 0.40)
    runs = [run_at(k, on_line(k, e), sample=f"{e}") for e in energies for k in KELVINS]
    fit = fitted(runs)
    assert fit.covariance[1, 1] == pytest.approx(np.var(energies, ddof=1) / 3)
    assert fit.energy_ev.half_width == pytest.approx(
        4.30265 * math.sqrt(fit.covariance[1, 1]), rel=1e-3
    )


def test_means_over_samples_that_agree_have_the_error_of_their_mean():
    names = [f"{n} at" for n in range(3)]
    runs = [run_at(k, on_line(k), 0.1, sample=f"{n} {k}") for n in names for k in KELVINS]
    (line,) = fitted(runs).lines
    np.testing.assert_allclose(line.errors, 0.1 / math.sqrt(3), rtol=1e-5)
    assert line.degrees.tolist() == [2.0] * len(KELVINS)


def test_statistical_error_of_members_is_that_of_the_mean_over_their_samples():
    runs = [
        run_at(k, on_line(k), 0.1, sample=sample, member=member)
        for k in KELVINS
        for sample in "ab"
        for member in "01"
    ]
    one = fitted([run for run in runs if (run.sample, run.member) == ("a", "0")])
    spreads = {s.name: s for s in material_series("", runs).spreads}
    expected = one.energy_ev.half_width / 1.959964 / math.sqrt(2)
    found = spreads["activation_energy_diffusion_Li"].statistical_error
    assert found == pytest.approx(expected, rel=1e-6)
    here = spreads[D]
    assert here.statistical_error == pytest.approx(0.1 / math.sqrt(2) * here.mean, rel=1e-6)
