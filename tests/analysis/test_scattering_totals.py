"""Weights of neutrons and X-rays, total S(Q), and G(r) by both forms."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from toy_trajectories import make_trajectory

from analysis.errors import AnalysisError, RangeError
from analysis.pairs.rdf import pair_distributions
from analysis.scattering.pair_transform import transformed_structure_factors
from analysis.scattering.partials import direct_structure_factors, mean_density
from analysis.scattering.scattering_weights import (
    neutron_lengths,
    pair_weights,
    xray_form_factors,
)
from analysis.scattering.total_scattering import (
    TotalStructureFactor,
    reduced_distribution,
    total_structure_factor,
    weighted_distribution,
)

LI3PS4 = ("Li", "P", "S")
FRACTIONS = np.array([3.0, 1.0, 4.0]) / 8.0
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
CENTRES = (np.arange(400) + 0.5) * 0.05


def doubled(weights):
    return [weights[i, j] * (1 if i == j else 2) for i, j in PAIRS]


@pytest.fixture(scope="module")
def salt():
    """Rock salt of Li and S that vibrates: nearest neighbours are unlike."""
    atoms = bulk("LiS", "rocksalt", a=5.0, cubic=True).repeat(4)
    noise = np.random.default_rng(5).normal(0.0, 0.12, (10, len(atoms), 3))
    trajectory = make_trajectory(
        atoms.positions + noise, species=atoms.get_chemical_symbols(), cell=atoms.cell.array
    )
    return trajectory, pair_distributions(trajectory)


def test_neutron_weights_of_li3ps4_are_the_published_ones():
    lengths = neutron_lengths(LI3PS4, lengths_fm={"Li": -1.90})
    assert lengths == pytest.approx([-1.90, 5.13, 2.847])
    assert FRACTIONS @ lengths == pytest.approx(1.3523, abs=1e-4)
    weights = pair_weights(FRACTIONS, lengths)
    expected = [0.2776, 0.2249, 1.1082, -0.4997, -1.1093, 0.9984]
    assert doubled(weights) == pytest.approx(expected, abs=1e-4)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_lengths_of_the_table_lie_within_its_errors_of_sears_and_isotopes_differ():
    natural = neutron_lengths(LI3PS4)
    assert natural == pytest.approx([-1.90, 5.13, 2.847], abs=0.05)
    seven = neutron_lengths(LI3PS4, isotopes={"Li": 7})
    assert seven[0] == pytest.approx(-2.22, abs=0.08)
    assert neutron_lengths(LI3PS4, isotopes={"Li": 6})[0] > 1.9
    assert (seven[1:] == natural[1:]).all()


def test_xray_weights_of_li3ps4():
    q = np.array([0.0, 1.0, 5.0, 20.0])
    factors = xray_form_factors(LI3PS4, q)
    assert factors[:, 0] == pytest.approx([3, 15, 16], abs=2e-3)
    weights = pair_weights(FRACTIONS, factors)
    expected = [0.0105, 0.0291, 0.5289, 0.0349, 0.1488, 0.2479]
    assert doubled(weights[..., 0]) == pytest.approx(expected, abs=1e-4)
    assert weights.sum(axis=(0, 1)) == pytest.approx(np.ones(4), abs=1e-12)
    # The ion has lost its outer electron, which neither scatters at high Q anyway.
    ion = xray_form_factors(LI3PS4, q, charges={"Li": 1})
    assert ion[0, 0] == pytest.approx(2.0, abs=2e-3)
    assert ion[0, 3] == pytest.approx(factors[0, 3], rel=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neutron_lengths(LI3PS4, isotopes={"K": 39}), "K: not in the sample"),
        (lambda: neutron_lengths(LI3PS4, isotopes={"Li": 99}), "Li: no"),
        (lambda: neutron_lengths(["Xx"]), "Xx: no such element"),
        (lambda: neutron_lengths(["Rn"]), "give `lengths_fm`"),
        (
            lambda: neutron_lengths(["Li"], isotopes={"Li": 7}, lengths_fm={"Li": -2.2}),
            "name one of them",
        ),
        (lambda: xray_form_factors(["S"], np.zeros(1), charges={"S": -2}), "at charge -2"),
        (lambda: pair_weights(np.array([0.5, 0.5]), np.array([2.0, -2.0])), "null-scattering"),
    ],
)
def test_unknown_amplitudes_and_null_mixtures_are_refused(call, message):
    with pytest.raises(AnalysisError, match=message):
        call()


def test_total_is_the_modulus_squared_of_the_weighted_density(salt):
    trajectory, _ = salt
    factors = direct_structure_factors(trajectory, q_max_inverse_angstrom=2.0)
    lengths = np.array([-1.9, 2.847])
    total = total_structure_factor(factors, lengths, "neutron")
    intensity = np.zeros(len(factors.q_inverse_angstrom))
    reciprocal = 2 * np.pi / 20.0
    for frame in trajectory.frames():
        h = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
        k = reciprocal * np.linalg.norm(h, axis=1)
        inside = (k < 2.0) & (k > 0)
        b = np.where(trajectory.species == "Li", lengths[0], lengths[1])
        waves = np.exp(1j * reciprocal * h[inside] @ frame.positions.T) @ b
        bins = (k[inside] / 0.05).astype(int)
        mean = np.bincount(bins, np.abs(waves) ** 2) / np.maximum(np.bincount(bins), 1)
        intensity += mean[np.bincount(bins) > 0] / trajectory.n_frames
    b_mean, b_square = lengths.mean(), (lengths**2).mean()
    expected = 1.0 + (intensity / trajectory.n_atoms - b_square) / b_mean**2
    assert np.allclose(total.s, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("radiation", ["neutron", "xray"])
def test_totals_tend_to_1(salt, radiation):
    trajectory, pairs = salt
    q = np.arange(30.0, 60.0, 0.05)
    factors = transformed_structure_factors(trajectory, pairs, q)
    lengths = (
        np.array([-1.9, 2.847]) if radiation == "neutron" else xray_form_factors(("Li", "S"), q)
    )
    total = total_structure_factor(factors, lengths, radiation)
    assert total.s.mean() == pytest.approx(1.0, abs=0.01)
    assert np.isfinite(total.s_blocks).all()


def test_unlike_peak_is_negative_for_neutrons_and_positive_for_xrays(salt):
    trajectory, pairs = salt
    factors = transformed_structure_factors(trajectory, pairs, CENTRES)
    # How far G rises above the line that it follows where there are no pairs, at 2.5 Angstrom.
    above = {}
    for name, amplitudes in (
        ("neutron", neutron_lengths(("Li", "S"))),
        ("xray", xray_form_factors(("Li", "S"), np.zeros(1))[:, 0]),
    ):
        direct = weighted_distribution(factors, pairs, amplitudes)
        total = total_structure_factor(factors, amplitudes, "neutron")
        reduced = reduced_distribution(total, direct.r_angstrom, q_max_inverse_angstrom=20.0)
        at = np.abs(direct.r_angstrom - 2.5).argmin()
        line = 4 * np.pi * mean_density(trajectory) * direct.r_angstrom[at]
        above[name] = (direct.g[at] + line, reduced.g[at] + line)
    assert max(above["neutron"]) < -1.0
    assert min(above["xray"]) > 1.0


def test_low_r_slope_is_minus_4_pi_rho(salt):
    trajectory, pairs = salt
    factors = transformed_structure_factors(trajectory, pairs, (np.arange(800) + 0.5) * 0.05)
    lengths = neutron_lengths(("Li", "S"))
    slope = -4 * np.pi * mean_density(trajectory)
    direct = weighted_distribution(factors, pairs, lengths)
    empty = direct.r_angstrom < 1.6
    assert np.allclose(direct.g[empty], slope * direct.r_angstrom[empty], rtol=1e-12)
    total = total_structure_factor(factors, lengths, "neutron")
    reduced = reduced_distribution(total, direct.r_angstrom, q_max_inverse_angstrom=40.0)
    r = reduced.r_angstrom[(reduced.r_angstrom > 0.3) & (reduced.r_angstrom < 1.5)]
    g = np.interp(r, reduced.r_angstrom, reduced.g)
    assert (g @ r) / (r @ r) == pytest.approx(slope, rel=0.02)


def test_both_forms_of_g_of_r_agree_up_to_where_g_is_cut(salt):
    trajectory, pairs = salt
    factors = transformed_structure_factors(trajectory, pairs, (np.arange(1200) + 0.5) * 0.05)
    lengths = neutron_lengths(("Li", "S"))
    direct = weighted_distribution(factors, pairs, lengths)
    total = total_structure_factor(factors, lengths, "neutron")
    reduced = reduced_distribution(total, direct.r_angstrom, q_max_inverse_angstrom=60.0)
    inside = direct.r_angstrom < 9.5
    difference = (direct.g - reduced.g)[inside]
    assert np.sqrt((difference**2).mean()) < 0.03 * direct.g[inside].std()


def test_a_complete_direct_sum_gives_the_periodic_g_of_r():
    atoms = bulk("Al", "fcc", a=4.0, cubic=True).repeat(2)
    noise = np.random.default_rng(8).normal(0.0, 0.25, (40, len(atoms), 3))
    trajectory = make_trajectory(atoms.positions + noise, species="Al", cell=8.0)
    pairs = pair_distributions(trajectory)
    factors = direct_structure_factors(trajectory, q_max_inverse_angstrom=16.0)
    direct = weighted_distribution(factors, pairs, np.ones(1))
    total = total_structure_factor(factors, np.ones(1), "neutron")
    reduced = reduced_distribution(total, direct.r_angstrom, q_max_inverse_angstrom=16.0)
    # Of a closed cell S holds (1 - 1/N) g, so its G is lower by 4 pi rho r g / N.
    density = mean_density(trajectory)
    g = direct.g / (4 * np.pi * density * direct.r_angstrom) + 1.0
    closed = 4 * np.pi * density * direct.r_angstrom * (g * (1 - 1 / 32) - 1 + 1 / 32)
    # Over 0.2 Angstrom, the resolution of Q_max, the counting noise of the bins averages out.
    difference = (reduced.g - closed)[: 10 * (len(closed) // 10)].reshape(-1, 10).mean(axis=1)
    assert np.sqrt((difference**2).mean()) < 0.05 * closed.std()


@pytest.mark.parametrize("window", ["none", "lorch"])
def test_g_of_r_of_a_gaussian_shell_is_analytic(window):
    a, width = 2.4, 0.2
    q = (np.arange(1000) + 0.5) * 0.05
    s = 1.0 + np.sinc(q * a / np.pi) * np.exp(-((q * width) ** 2) / 2)
    total = TotalStructureFactor("neutron", q, np.full(1000, 0.05), s, s[None], 0.05, "")
    r = np.linspace(0.1, 8.0, 200)
    found = reduced_distribution(total, r, q_max_inverse_angstrom=50.0, window=window).g

    def shell(x):
        peaks = np.exp(-((x - a) ** 2) / (2 * width**2)) - np.exp(-((x + a) ** 2) / (2 * width**2))
        return peaks / (a * width * np.sqrt(2 * np.pi))

    # Lorch's window is the mean over +- pi / Q_max.
    shifts = np.pi / 50 * (np.arange(1000) - 499.5) / 500 if window == "lorch" else np.zeros(1)
    expected = shell(r[:, None] + shifts).mean(axis=1)
    assert np.abs(found - expected).max() < (1e-10 if window == "none" else 1e-6)


def test_a_bin_across_q_max_counts_as_far_as_it_lies_below(salt):
    trajectory, pairs = salt
    factors = transformed_structure_factors(trajectory, pairs, CENTRES)
    total = total_structure_factor(factors, neutron_lengths(("Li", "S")), "neutron")
    r = np.arange(1.0, 6.0, 0.1)
    below, within, above = (
        reduced_distribution(total, r, q_max_inverse_angstrom=q_max).g
        for q_max in (12.0, 12.02, 12.05)
    )
    assert np.abs(above - below).max() > 1e-4
    np.testing.assert_allclose(within, 0.6 * below + 0.4 * above, atol=1e-10)


def test_g_of_r_beyond_the_computed_range_and_without_pairs_is_refused(salt):
    trajectory, pairs = salt
    factors = transformed_structure_factors(trajectory, pairs, CENTRES)
    lengths = neutron_lengths(("Li", "S"))
    total = total_structure_factor(factors, lengths, "neutron")
    with pytest.raises(RangeError, match="Q_max 25 is beyond"):
        reduced_distribution(total, np.arange(1.0, 3.0), q_max_inverse_angstrom=25.0)
    with pytest.raises(AnalysisError, match="'Lorch' is unknown"):
        reduced_distribution(
            total, np.arange(1.0, 3.0), q_max_inverse_angstrom=15.0, window="Lorch"
        )
    with pytest.raises(AnalysisError, match="no pair distribution of Li-S"):
        weighted_distribution(factors, [pairs[0], pairs[2]], lengths)
