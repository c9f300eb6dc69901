"""All hops: rate, length, reversal, residence and D against hops that were put in."""

import numpy as np
import pytest
from toy_trajectories import brownian, lattice_hops, make_trajectory, ornstein_uhlenbeck

from analysis.errors import RangeError
from analysis.hops.all_hops import all_hops, stay_durations
from analysis.hops.event_rate import event_rate
from analysis.hops.hop_findings import hop_findings
from analysis.hops.hop_statistics import (
    back_hop_share,
    correlation_factor,
    diffusion_from_hops,
    estimate,
    hop_rate,
    hop_table,
    mean_length,
    residence_time,
)
from analysis.hops.net_hops import net_hops
from analysis.hops.residence import survival_of_stays
from analysis.hops.stays import find_stays
from analysis.motion.membership import Membership


def still(trajectory):
    return np.zeros((trajectory.n_frames, 3))


def hops_of(positions, interval_ps=1.0, **options):
    trajectory = make_trajectory(positions, frame_interval_ps=interval_ps)
    return all_hops(
        trajectory, np.arange(positions.shape[1]), drift_path=still(trajectory), **options
    )


def reversing_hops(rng, n_ions, n_frames, probability, length, reversal):
    """Hop on a cubic lattice, with the probability `reversal` the way the last hop came from."""
    at = np.zeros((n_frames, n_ions, 3))
    last = np.zeros((n_ions, 3))
    for t in range(1, n_frames):
        step = np.zeros((n_ions, 3))
        step[np.arange(n_ions), rng.integers(0, 3, n_ions)] = length * rng.choice([-1, 1], n_ions)
        back = (rng.random(n_ions) < reversal) & last.any(axis=1)
        step[back] = -last[back]
        hop = rng.random(n_ions) < probability
        last[hop] = step[hop]
        at[t] = at[t - 1] + np.where(hop[:, None], step, 0.0)
    return at


def at_sites(*sites):
    """Return the path of one ion along x with one frame a site."""
    path = np.zeros((len(sites), 1, 3))
    path[:, 0, 0] = sites
    return path


def test_random_hops_on_a_lattice_give_back_rate_length_and_no_correlation(rng):
    p, interval = 0.03, 2.0
    hops = hops_of(lattice_hops(rng, 200, 1500, p), interval)
    sums = {name: column.sum() for name, column in hop_table(hops).items()}
    number, pairs = sums["hops"], sums["pairs"]
    rate = hop_rate(hops).estimate.value
    assert rate == pytest.approx(p / interval, abs=4 * rate / np.sqrt(number))
    assert rate == pytest.approx(number / (200 * 1499 * interval), rel=1e-12)
    np.testing.assert_allclose(hops.lengths_angstrom, 3.0)
    assert mean_length(sums) == pytest.approx(3.0)
    back = back_hop_share(sums)
    assert back == pytest.approx(1 / 6, abs=4 * np.sqrt(1 / 6 * 5 / 6 / pairs))
    assert correlation_factor(sums) == pytest.approx(1.0, abs=4 * 2 * np.sqrt(1 / 3 / pairs))
    error = 4 * np.sqrt(1 / number + 4 / 3 / pairs)
    assert diffusion_from_hops(sums) == pytest.approx(9.0 * p / interval / 6, rel=error)
    assert 0.4 < sums["net"] / number < 0.7  # a random walk comes back by chance


def test_reversing_hops_give_back_their_share_and_correlation_factor(rng):
    reversal = 0.4
    hops = hops_of(reversing_hops(rng, 200, 1500, 0.03, 3.0, reversal))
    table = hop_table(hops)
    sums = {name: column.sum() for name, column in table.items()}
    share = reversal + (1 - reversal) / 6
    error = np.sqrt(share * (1 - share) / sums["pairs"])
    assert back_hop_share(sums) == pytest.approx(share, abs=4 * error)
    truth = (1 - reversal) / (1 + reversal)
    # c has the variance of one cosine, f changes by 2 / (1 - c)^2 of it.
    cosine_error = np.sqrt((reversal + (1 - reversal) / 3 - reversal**2) / sums["pairs"])
    slope = 2 / (1 + reversal) ** 2
    assert correlation_factor(sums) == pytest.approx(truth, abs=4 * slope * cosine_error)
    found = estimate(correlation_factor, table, 1.0)
    width = (found.high - found.low) / (2 * 1.96)
    assert width == pytest.approx(slope * cosine_error, rel=0.25)


def test_hops_within_vibration_and_averages_keep_their_length_and_number(rng):
    sites = np.repeat(lattice_hops(rng, 200, 300, 0.01), 20, axis=0)[7:-13]
    true_number = int((np.abs(np.diff(sites, axis=0)).sum(axis=2) > 0).sum())
    hops = hops_of(sites + rng.normal(0.0, 0.4, sites.shape), 0.05)
    assert hops.frames_per_step == 20
    assert hops.interval_ps == pytest.approx(1.0)
    # Two hops within about 1 ps are seen as one or none: 1 to 2 % of them at this rate.
    assert 0.96 * true_number < len(hops.ions) <= true_number
    assert np.median(hops.lengths_angstrom) == pytest.approx(3.0, abs=0.05)
    assert np.abs(hops.lengths_angstrom - 3.0).mean() < 0.3


@pytest.mark.parametrize("inside", [1, 7, 10, 13, 19])
@pytest.mark.parametrize("length", [3.0, 6.0])
def test_a_hop_within_an_average_is_one_hop_of_its_length_and_time(inside, length):
    positions = np.zeros((800, 1, 3))
    positions[400 + inside :] += [0.0, length, 0.0]
    hops = hops_of(positions, 0.05)
    np.testing.assert_allclose(hops.lengths_angstrom, [length], atol=1e-9)
    np.testing.assert_allclose(hops.starts_angstrom, [[0, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(hops.ends_angstrom, [[0, length, 0]], atol=1e-9)
    assert abs(hops.times_ps[0] - (400 + inside) * 0.05) <= 1.0


@pytest.mark.parametrize(
    ("sites", "steps", "back", "net"),
    [
        ((0, 0, 3, 3, 0, 0), (2, 4), (True,), 0),
        ((0, 3, 3, 6, 6, 6), (1, 3), (False,), 2),
        ((0, 3, 0, 3, 0, 3), (1, 2, 3, 4, 5), (True,) * 4, 0),
        ((0, 1.9, 0, 1.9, 0, 0), (), (), 0),
    ],
)
def test_every_hop_counts_and_is_told_from_net_ones(sites, steps, back, net):
    hops = hops_of(at_sites(*sites), averaging_ps=0.5)
    np.testing.assert_array_equal(hops.steps, steps)
    np.testing.assert_array_equal(hops.times_ps, np.array(steps) - 0.5)
    np.testing.assert_array_equal(hops.goes_back, back)
    np.testing.assert_array_equal(hops.net_counts, [net])


def test_rattling_in_a_cage_gives_no_hop(rng):
    cage = ornstein_uhlenbeck(rng, 100, 2000, 3.0, 0.35)
    hops = hops_of(cage)
    assert len(hops.ions) == 0
    rate = hop_rate(hops)
    assert (rate.count, rate.estimate.value) == (0, 0.0)
    assert rate.estimate.high == pytest.approx(2.9957 / (100 * 1999), rel=1e-4)


def test_stays_are_told_apart_in_any_dimension_and_keep_their_mean_place(rng):
    places = np.zeros((40, 2, 5))
    places[20:, 1] = 1.0
    places += rng.normal(0.0, 0.01, places.shape)
    stays = find_stays(places, 1.0, averaged=False)
    np.testing.assert_array_equal(stays.points, [0, 1, 1])
    np.testing.assert_array_equal(stays.first_steps, [0, 0, 20])
    np.testing.assert_allclose(stays.sites[2], places[20:, 1].mean(axis=0))
    np.testing.assert_allclose(stays.sites[1], places[:20, 1].mean(axis=0))
    np.testing.assert_allclose(stays.sites[0], places[:, 0].mean(axis=0))


def test_blocks_of_ions_change_nothing(rng):
    positions = lattice_hops(rng, 30, 200, 0.05)
    whole, parts = hops_of(positions), hops_of(positions, max_bytes=200 * 24 * 7)
    trajectory = make_trajectory(positions)
    ids = np.arange(30)
    net = net_hops(trajectory, ids, drift_path=still(trajectory), max_bytes=200 * 24 * 7)
    for name in ("ions", "steps", "ends_angstrom", "net_counts"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    np.testing.assert_array_equal(np.bincount(net.ions, minlength=30), whole.net_counts)


def test_net_hops_know_their_ion_and_sites():
    positions = np.zeros((60, 3, 3))
    positions[20:, 1] += [0.0, 3.0, 0.0]
    positions[40:, 1] += [0.0, 0.0, 2.5]
    positions[30:, 2] += [-4.0, 0.0, 0.0]
    trajectory = make_trajectory(positions)
    hops = net_hops(trajectory, np.arange(3), drift_path=still(trajectory))
    np.testing.assert_array_equal(hops.ions, [1, 2, 1])
    np.testing.assert_allclose(hops.times_ps, [19.5, 29.5, 39.5])
    np.testing.assert_allclose(hops.starts_angstrom, [[0, 0, 0], [0, 0, 0], [0, 3, 0]])
    np.testing.assert_allclose(hops.ends_angstrom, [[0, 3, 0], [-4, 0, 0], [0, 3, 2.5]])
    np.testing.assert_allclose(hops.lengths_angstrom, [3.0, 4.0, 2.5])


def test_drift_is_taken_out_before_hops_are_counted():
    positions = np.zeros((60, 2, 3)) + np.arange(60)[:, None, None]
    trajectory = make_trajectory(positions)
    assert len(all_hops(trajectory, np.arange(2)).ions) == 0
    assert len(all_hops(trajectory, np.arange(2), drift_path=still(trajectory)).ions) > 0


def test_residence_time_is_right_where_most_stays_outlast_the_run(rng):
    p, interval, n_frames = 0.004, 0.5, 300
    hops = hops_of(lattice_hops(rng, 3000, n_frames, p), interval)
    sums = {name: column.sum() for name, column in hop_table(hops).items()}
    durations, ended = stay_durations(hops)
    truth = interval / p
    assert residence_time(sums) == pytest.approx(truth, rel=4 / np.sqrt(ended.sum()))
    assert durations[ended].mean() * interval < 0.7 * truth  # what the censoring corrects


def test_survival_of_stays_is_that_of_kaplan_and_meier():
    # Arrivals at 1, 3, 6; stays of 2 and 3 ended, one watched for 3 intervals.
    hops = hops_of(np.tile(at_sites(0, 3, 3, 6, 6, 6, 9, 9, 9, 9), (1, 20, 1)))
    curve = survival_of_stays(hops)
    np.testing.assert_array_equal(curve.at_risk, [60, 60, 60, 40])
    np.testing.assert_allclose(curve.survival, [1, 1, 2 / 3, 1 / 3])
    variance = (1 / 3) ** 2 * (20 / (60 * 40) + 20 / (40 * 20))
    assert curve.error[3] == pytest.approx(np.sqrt(variance))


def test_variation_of_known_stays_is_exact():
    # Stays of 2 and 6 intervals in turn: mean 4, standard deviation 2.
    durations = [1, 2, 6, 2, 6, 2, 6]
    path = np.append(np.repeat(3.0 * np.arange(7), durations), 21.0)
    curve = survival_of_stays(hops_of(np.tile(at_sites(*path), (1, 20, 1))))
    assert curve.variation.value == pytest.approx(0.5, abs=1e-12)


def test_one_rate_gives_variation_1_and_two_rates_more(rng):
    p = 0.05
    one = survival_of_stays(hops_of(lattice_hops(rng, 150, 1500, p))).variation
    # Whole intervals: a geometric time has the variation sqrt(1 - p).
    assert one.value == pytest.approx(np.sqrt(1 - p), abs=4 * (one.high - one.low) / 4.19)
    slow, fast = lattice_hops(rng, 150, 1500, 0.01), lattice_hops(rng, 30, 1500, 0.2)
    two = survival_of_stays(hops_of(np.concatenate([slow, fast], axis=1))).variation
    # Moments of a mixture of stays, of which each population has as many as it hops.
    weight = np.array([150 * 0.01, 30 * 0.2]) / (150 * 0.01 + 30 * 0.2)
    rates = np.array([0.01, 0.2])
    mean, square = weight @ (1 / rates), weight @ ((2 - rates) / rates**2)
    truth = np.sqrt(square - mean**2) / mean
    assert two.low > 1.2
    assert two.value == pytest.approx(truth, abs=4 * (two.high - two.low) / 4.19)


@pytest.mark.parametrize("group", [1, 4])
def test_intervals_of_what_hops_give_cover_the_truth(rng, group):
    p, reversal, replicas = 0.03, 0.3, 60
    factor = (1 - reversal) / (1 + reversal)
    truths = (
        (correlation_factor, factor, False),
        (back_hop_share, reversal + (1 - reversal) / 6, True),
        (residence_time, 1 / p, False),
        (diffusion_from_hops, 9 * p * factor / 6, False),
    )
    covered = np.zeros(len(truths) + 1)
    for _ in range(replicas):
        own = reversing_hops(rng, 40 // group, 300, p, 3.0, reversal)
        hops = hops_of(np.repeat(own, group, axis=1))
        table, together = hop_table(hops), hop_rate(hops).together
        found = [(estimate(f, table, together, share=s), truth) for f, truth, s in truths]
        found.append((survival_of_stays(hops, together).variation, np.sqrt(1 - p)))
        covered += [result.low <= truth <= result.high for result, truth in found]
    # Three standard errors of 0.95 from 60 replicas.
    assert covered[:-1].min() >= (0.95 - 0.084) * replicas
    # The variation is skewed where only ten ions move independently: 85 % of 80 replicas.
    assert covered[-1] >= (0.95 - 0.084 if group == 1 else 0.75) * replicas


def test_rates_by_region_count_the_time_spent_there(rng):
    positions = lattice_hops(rng, 100, 2000, 0.02)
    codes = np.zeros((2000, 100), dtype=np.int8)
    codes[500:, :60] = 1
    codes[:, 90:] = -1
    frozen = codes == 1
    steps = np.diff(positions, axis=0)
    steps[frozen[:-1]] = 0.0
    positions[1:] = np.cumsum(steps, axis=0)
    hops = hops_of(positions)
    regions = Membership(("free", "frozen", "absent"), np.arange(100), codes)
    free, stuck, absent = (hop_rate(hops, regions, group) for group in range(3))
    assert stuck.count == 0
    assert stuck.estimate.high == pytest.approx(2.9957 / (60 * 1499), rel=1e-4)
    assert free.estimate.value == pytest.approx(0.02, abs=4 * 0.02 / np.sqrt(free.count))
    assert free.estimate.value == pytest.approx(free.count / (60 * 500 + 30 * 1999), rel=1e-12)
    assert np.isnan(absent.estimate.value)
    with pytest.raises(RangeError, match="same ions"):
        hop_rate(hops, Membership(("a",), np.arange(5), codes[:, :5]))


def test_a_hop_belongs_to_the_region_that_it_leaves():
    positions = np.zeros((40, 2, 3))
    positions[20:, 0] += [3.0, 0.0, 0.0]  # seen in frame 20, left from frame 19
    positions[21:, 1] += [3.0, 0.0, 0.0]
    codes = np.zeros((40, 2), dtype=np.int8)
    codes[20:] = 1
    regions = Membership(("before", "after"), np.arange(2), codes)
    hops = hops_of(positions)
    before, after = (hop_rate(hops, regions, group).estimate.value for group in (0, 1))
    assert before == pytest.approx(1 / (2 * 20))
    assert after == pytest.approx(1 / (2 * 19))


def test_hops_of_one_moment_count_as_one_event():
    positions = np.zeros((41, 60, 3))
    positions[1:, :30] += [3.0, 0.0, 0.0]
    positions[2:, 30:] += [3.0, 0.0, 0.0]
    rate = hop_rate(hops_of(positions))
    assert rate.count == 60
    assert rate.together == pytest.approx(60.0)
    assert rate.dispersion == pytest.approx(60.0)


def test_ions_of_unequal_rates_enlarge_the_interval_but_do_not_move_together(rng):
    n, n_steps = 400, 1000
    rates = np.where(np.arange(n) < n // 2, 0.01, 0.03)
    steps, points = np.nonzero(rng.random((n_steps, n)) < rates)
    found = event_rate(points, steps, np.ones((n_steps, n), dtype=bool), 1.0)
    # Variance of the counts of ions over their mean: 10 and 30 hops give 1 + 100 / 20.
    assert found.dispersion == pytest.approx(6.0, rel=0.15)
    assert found.together == 1.0


@pytest.mark.parametrize(("group", "bursts"), [(1, 1), (4, 1), (1, 3)])
def test_interval_of_the_rate_covers_where_hops_are_not_independent(rng, group, bursts):
    covered, n, n_steps, p = 0, 40, 500, 0.01
    trials = np.ones((n_steps, n), dtype=bool)
    for _ in range(300):
        found = np.repeat(rng.random((n_steps, n // group)) < p / bursts, group, axis=1)
        steps, points = np.nonzero(found)
        steps, points = np.repeat(steps, bursts), np.repeat(points, bursts)
        rate = event_rate(points, steps, trials, 0.5).estimate
        covered += rate.low <= p / 0.5 <= rate.high
    assert 0.91 <= covered / 300 <= 0.995


def test_findings_name_what_is_known_and_what_is_not(rng):
    positions = lattice_hops(rng, 40, 600, 0.03) + brownian(rng, 1, 600, D=0.5)
    trajectory = make_trajectory(positions)
    codes = np.zeros((600, 40), dtype=np.int8)
    regions = Membership(("near wall",), np.arange(40), codes)
    found = hop_findings(trajectory, "Li", membership=regions)
    by_name = {quantity.name: quantity for quantity in found.quantities}
    assert len(by_name) == len(found.quantities)
    assert all(quantity.status == "ok" for quantity in found.quantities)
    for quantity in found.quantities:
        assert quantity.low < quantity.value < quantity.high
    assert by_name["hop_rate_Li_near_wall"].value == by_name["hop_rate_Li"].value
    # The centre of the ions is taken out with the drift, which shortens hops by 1 in 40.
    assert by_name["hop_length_Li"].value == pytest.approx(3.0, rel=0.05)
    D = by_name["diffusion_coefficient_from_hops_Li"]
    assert D.low < 9.0 * 0.03 / 6 * 1e-4 < D.high
    assert {curve.name for curve in found.curves} == {"hop_lengths_Li", "residence_Li"}
    density = next(curve for curve in found.curves if curve.name == "hop_lengths_Li").columns
    assert density["probability density [1/Angstrom]"].sum() * 0.1 == pytest.approx(1.0)
    assert found.figures["hops_Li"][:4] == b"\x89PNG"

    rigid = make_trajectory(np.zeros((50, 10, 3)))
    quiet = hop_findings(rigid, "Li")
    assert all(quantity.status == "unresolved" for quantity in quiet.quantities)
    bound = {quantity.name: quantity for quantity in quiet.quantities}
    assert bound["hop_rate_Li"].high == pytest.approx(2.9957 / 490, rel=1e-4)
    assert bound["residence_time_Li"].low == pytest.approx(490 / 2.9957, rel=1e-4)
    assert not quiet.curves
    assert not quiet.figures


def test_hops_that_always_go_back_are_bounded_not_certain():
    rattle = np.tile(at_sites(*([0, 0, 3, 3] * 20)), (1, 5, 1))
    found = hop_findings(make_trajectory(rattle), "Li", drift_path=np.zeros((80, 3)))
    share = next(q for q in found.quantities if q.name == "back_hop_share_Li")
    pairs = 5 * 38
    assert share.status == "unresolved"
    assert share.low == pytest.approx(0.05 ** (1 / pairs))
