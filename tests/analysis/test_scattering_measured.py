"""Measured files, agreement with them, the first sharp diffraction peak, and the findings."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scattering_samples import packed_spheres
from toy_trajectories import make_trajectory

from analysis.errors import AnalysisError, RangeError
from analysis.pairs.rdf import pair_distributions
from analysis.scattering.measured_scattering import Measured, read_measured
from analysis.scattering.partials import jackknife_error
from analysis.scattering.scattering_comparison import compare, comparison_quantities
from analysis.scattering.scattering_findings import scattering_findings
from analysis.scattering.scattering_peaks import find_peaks, first_sharp_peak, point_scatter
from analysis.scattering.total_scattering import TotalStructureFactor, reduced_distribution

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = (REPOSITORY / os.environ.get("LIPS_MLIP_EXTERNAL_DATA", "../shared/data")).resolve()
Q = (np.arange(400) + 0.5) * 0.05


def planted(peak=1.2, width=0.4, height=1.5, noise=0.0, blocks=5, seed=0, shell=1.2):
    """A total S(Q) with one Lorentzian peak and the oscillation of a shell at 2.05 Angstrom."""
    rng = np.random.default_rng(seed)
    s = 1.0 + height / (1.0 + ((Q - peak) / (width / 2)) ** 2)
    s += shell * np.sinc(Q * 2.05 / np.pi) * np.exp(-((Q * 0.08) ** 2) / 2)
    many = s + rng.normal(0.0, noise, (blocks, len(Q)))
    return TotalStructureFactor(
        "neutron", Q, np.full(len(Q), 0.05), many.mean(axis=0), many, 0.05, "planted"
    )


def as_measured(total, function, *, q_max=20.0, scale=1.0, offset=0.0):
    q_max = q_max if function == "G(r)" else math.nan
    if function == "G(r)":
        x = np.arange(0.02, 12.0, 0.02)
        y = reduced_distribution(total, x, q_max_inverse_angstrom=q_max).g
    else:
        x = np.arange(0.5, 15.0, 0.02)
        y = np.interp(x, total.q_inverse_angstrom, total.s)
        y = y if function == "S(Q)" else x * (y - 1.0)
    return Measured(
        Path("planted.dat"), function, total.radiation, x, scale * y + offset,
        np.full(len(x), np.nan), q_max, "none",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "# made\n1.0 2.0\n1.1 2.1\n",
        "r,G_r\n1.0,2.0\n1.1,2.1\n",
        "1.0\t2.0\t0.1\n\n1.1\t2.1\t0.2  # last\n",
        "1.0; 2.0; 0.1\n1.1; 2.1; 0.2\n",
    ],
)
def test_tables_of_two_or_three_columns_are_read(tmp_path, text):
    rows = "".join(
        f"{2 + n} {n} {0.5}\n" if text.count("0.1") else f"{2 + n} {n}\n" for n in range(9)
    )
    (tmp_path / "a.dat").write_text(text + rows)
    found = read_measured(tmp_path / "a.dat", function="S(Q)", radiation="xray")
    assert found.x[:3].tolist() == [1.0, 1.1, 2.0]
    assert found.y[:2].tolist() == [2.0, 2.1]
    assert np.isfinite(found.error).all() == (text.count("0.1") > 0)


def test_headings_may_be_in_any_encoding(tmp_path):
    rows = "".join(f"{n} {n}\n" for n in range(12))
    (tmp_path / "a.dat").write_bytes("# Q (Å⁻¹)\n".encode() + rows.encode())
    (tmp_path / "b.dat").write_bytes("Q(\xc5^-1) S\n".encode("latin-1") + rows.encode())
    for name in ("a.dat", "b.dat"):
        assert len(read_measured(tmp_path / name, function="S(Q)", radiation="xray").x) == 12


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("1 2\n3 four\n", {}, "line 2 is no row of numbers"),
        ("1 2\n3 4 5\n", {}, "line 2 has 3 columns"),
        ("1 2 3 4\n" * 12, {}, "4 columns"),
        ("1 2\n" * 12, {}, "ascending"),
        ("", {}, "holds no numbers"),
        ("1 2\n", {"function": "I(Q)"}, "function is 'I\\(Q\\)'"),
        ("1 2\n", {"function": "G(r)"}, "needs q_max_inverse_angstrom"),
        ("1 2\n", {"q_max_inverse_angstrom": 20.0}, "takes no q_max"),
        ("1 2\n", {"function": "G(r)", "q_max_inverse_angstrom": 0.0}, "must be positive"),
        ("".join(f"{n} 1 -0.1\n" for n in range(12)), {}, "negative numbers"),
        ("1 2\n", {"radiation": "electron"}, "radiation is 'electron'"),
    ],
)
def test_bad_files_and_incomplete_statements_are_refused(tmp_path, text, options, message):
    (tmp_path / "a.dat").write_text(text)
    with pytest.raises(AnalysisError, match=message):
        read_measured(tmp_path / "a.dat", **{"function": "S(Q)", "radiation": "neutron", **options})
    with pytest.raises(AnalysisError, match="no such file"):
        read_measured(tmp_path / "b.dat", function="S(Q)", radiation="neutron")


@pytest.mark.parametrize("function", ["S(Q)", "Q[S(Q)-1]", "G(r)"])
def test_a_curve_agrees_with_itself_and_scale_and_offset_are_reported(function):
    total = planted()
    same = compare(as_measured(total, function), total, r_max_angstrom=10.0)
    assert same.r_chi == pytest.approx(0.0, abs=1e-12)
    assert (same.scale, same.offset) == pytest.approx((1.0, 0.0), abs=1e-9)
    assert all(p.simulated == pytest.approx(p.measured, abs=1e-12) for p in same.peaks)
    other = compare(
        as_measured(total, function, scale=0.9, offset=0.05), total, r_max_angstrom=10.0
    )
    assert (other.scale, other.offset) == pytest.approx((0.9, 0.05), abs=1e-9)
    assert other.r_chi > 0.01
    assert other.r_chi_adjusted == pytest.approx(0.0, abs=1e-9)
    assert (same.x.min() >= 1.0) == (function == "G(r)")


def test_r_chi_is_wrights_on_the_total_correlation_function():
    total = planted()
    measured = as_measured(total, "G(r)", scale=1.1)
    found = compare(measured, total, r_max_angstrom=8.0, x_range=(1.5, 6.0))
    x, y = found.x, found.y
    background = 4 * np.pi * 0.05 * x
    sim = reduced_distribution(total, x, q_max_inverse_angstrom=20.0).g
    expected = np.sqrt(((y - sim) ** 2).sum() / ((y + background) ** 2).sum())
    assert found.r_chi == pytest.approx(expected, rel=1e-12)
    assert (x[0], x[-1]) == pytest.approx((1.5, 6.0), abs=0.02)


def test_displaced_peaks_are_found_with_an_error_that_covers():
    measured = as_measured(planted(peak=1.25), "S(Q)")
    found = compare(measured, planted(peak=1.20, noise=0.02), r_max_angstrom=10.0)
    quantity = next(
        q for q in comparison_quantities(found) if q.name == "peak_1_difference_planted"
    )
    assert quantity.value == pytest.approx(-0.05, abs=0.02)
    assert quantity.low < -0.05 < quantity.high
    gone = dataclasses.replace(measured, x=measured.x + 1.0)
    lost = comparison_quantities(compare(gone, planted(), r_max_angstrom=10.0))
    first = next(q for q in lost if q.name == "peak_1_difference_planted")
    assert first.status == "unresolved"
    assert "no simulated peak" in first.reason


def test_error_of_a_measured_peak_is_the_scatter_of_its_position(rng):
    total = planted(width=0.6, shell=0.0)
    plain = as_measured(total, "S(Q)")
    noise = 0.05
    found = []
    for _ in range(60):
        y = plain.y + rng.normal(0.0, noise, len(plain.y))
        noisy = dataclasses.replace(plain, y=y, error=np.full(len(y), noise))
        (pair, *_) = compare(noisy, total, r_max_angstrom=10.0).peaks
        found.append((pair.measured, pair.measured_error))
    positions, errors = np.transpose(found)
    # The prediction takes the peak for a parabola.
    assert 0.6 < errors.mean() / positions.std(ddof=1) < 1.6


def test_comparison_of_different_radiation_or_without_overlap_is_refused():
    total = planted()
    measured = as_measured(total, "G(r)")
    with pytest.raises(AnalysisError, match="compared with the xray"):
        compare(measured, dataclasses.replace(total, radiation="xray"), r_max_angstrom=9.0)
    with pytest.raises(RangeError, match="at least 10 are needed"):
        compare(measured, total, r_max_angstrom=1.1)
    far = dataclasses.replace(measured, q_max_inverse_angstrom=30.0)
    with pytest.raises(RangeError, match="Q_max 30 is beyond"):
        compare(far, total, r_max_angstrom=9.0)


def test_first_sharp_peak_is_recovered_with_its_width():
    position, width = first_sharp_peak(planted(noise=0.01, width=0.5, shell=0.0), lowest_q=0.1)
    assert position.status == width.status == "ok"
    assert position.value == pytest.approx(1.2, abs=0.03)
    # A Lorentzian does not fall to zero at the ends, so half its prominence is above its half.
    assert width.value == pytest.approx(0.5, rel=0.1)
    assert position.low < position.value < position.high
    assert position.unit == "1/Angstrom"
    (alone, _) = first_sharp_peak(planted(blocks=1), lowest_q=0.1)
    assert math.isnan(alone.low)
    assert "no error estimate" in alone.reason


def test_first_sharp_peak_of_a_small_cell_is_refused_with_the_numbers():
    for quantity in first_sharp_peak(planted(), lowest_q=2 * np.pi / 30):
        assert quantity.status == "refused"
        assert "0.209" in quantity.reason
        assert "at least 42 Angstrom" in quantity.reason


def test_without_a_peak_it_is_unresolved():
    flat = TotalStructureFactor(
        "neutron", Q, np.full(400, 0.05), np.ones(400), np.ones((5, 400)), 0.05, "flat"
    )
    assert {q.status for q in first_sharp_peak(flat, lowest_q=0.1)} == {"unresolved"}


def test_a_sharp_peak_is_known_no_better_than_its_points():
    s = np.ones((5, 400))
    s[:, 24] = 30.0
    total = TotalStructureFactor("neutron", Q, np.full(400, 0.05), s[0], s, 0.05, "crystal")
    position, _ = first_sharp_peak(total, lowest_q=0.1)
    assert position.low <= Q[24] <= position.high
    assert position.high - position.low >= 0.049


def test_peaks_below_the_noise_are_left_out(rng):
    x = np.arange(0.0, 10.0, 0.01)
    noise = rng.normal(0.0, 0.1, len(x))
    assert point_scatter(noise) == pytest.approx(0.1, rel=0.15)
    assert find_peaks(x, noise, smoothing=0.05, min_prominence=0.0) == []
    y = noise + 2.0 * np.exp(-((x - 4.321) ** 2) / (2 * 0.3**2))
    (peak,) = find_peaks(x, y, smoothing=0.05, min_prominence=0.5)
    assert peak.position == pytest.approx(4.321, abs=0.03)
    assert peak.width == pytest.approx(0.3 * 2.355, rel=0.1)


def test_jackknife_is_the_standard_error_for_a_mean(rng):
    blocks = rng.normal(size=(5, 7))
    expected = blocks.std(axis=0, ddof=1) / np.sqrt(5)
    assert np.allclose(jackknife_error(lambda curve: curve, blocks), expected, rtol=1e-12)
    assert np.isnan(jackknife_error(lambda curve: curve, blocks[:1])).all()


def test_findings_of_a_small_fluid_name_everything_and_draw(rng, tmp_path):
    frames = np.array([packed_spheres(rng, 150, 14.0, 2.0) for _ in range(6)])
    species = ["Li"] * 60 + ["S"] * 90
    trajectory = make_trajectory(frames, species=species, cell=14.0)
    pairs = pair_distributions(trajectory)
    total = planted()
    real = dataclasses.replace(as_measured(total, "G(r)"), path=Path("real space.dat"))
    other = dataclasses.replace(real, path=Path("elsewhere/real space.gr"))
    found = scattering_findings(
        trajectory, pairs, isotopes={"Li": 7}, measured=[as_measured(total, "S(Q)"), real, other]
    )
    names = {q.name for q in found.quantities}
    assert {"structure_factor_join", "r_chi_planted", "r_chi_real_space"} <= names
    assert len(names) == len(found.quantities)
    join = next(q for q in found.quantities if q.name == "structure_factor_join")
    assert join.status in ("ok", "unresolved")
    assert join.reason
    refused = [q for q in found.quantities if q.name.startswith("first_sharp")]
    assert len(refused) == 4
    assert {q.status for q in refused} == {"refused"}
    assert {c.name for c in found.curves} >= {
        "partial_structure_factors",
        "total_structure_factor_neutron",
        "reduced_distribution_xray",
        "comparison_real_space",
    }
    assert len({c.name for c in found.curves}) == len(found.curves)
    (left_out,) = found.skipped
    assert "elsewhere/real space.gr: another measurement has the name" in left_out.reason
    assert all(image.startswith(b"\x89PNG") for image in found.figures.values())
    assert len(found.figures) == 4


def test_findings_say_what_they_left_out(rng):
    positions = rng.random((2, 40, 3)) * 12
    trajectory = make_trajectory(positions, species=["P"] + ["Li"] * 39, cell=12.0)
    pairs = pair_distributions(trajectory)
    measured = [dataclasses.replace(as_measured(planted(), "S(Q)"), radiation="neutron")]
    null = {"Li": 1.0, "P": -39.0}
    found = scattering_findings(trajectory, pairs, lengths_fm=null, measured=measured)
    left_out = {item.name: item.reason for item in found.skipped}
    assert "null-scattering" in left_out["total_structure_factor_neutron"]
    assert "no pair distribution of P-P" in left_out["reduced_distribution_xray"]
    assert "no neutron S(Q)" in left_out["comparison_planted"]


def test_measured_glass_agrees_in_its_first_distance_with_a_dft_glass():
    path = DATA / "experiment_reference" / "Li3PS4_glass_xray_G_of_r.csv"
    frames = DATA / "lips_glass_dpgen" / "g67"
    if not path.is_file() or not frames.is_dir():
        pytest.skip(f"{path} or {frames} is absent; set LIPS_MLIP_EXTERNAL_DATA")
    positions = np.load(frames / "set.000" / "coord.npy")[:200:20]
    cells = np.load(frames / "set.000" / "box.npy")[:200:20].reshape(-1, 3, 3)
    kinds = np.array(["Li", "P", "S"])[np.loadtxt(frames / "type.raw", dtype=int)]
    trajectory = make_trajectory(
        positions.reshape(len(cells), -1, 3), species=kinds.tolist(), cell=cells
    )
    measured = read_measured(path, function="G(r)", radiation="xray", q_max_inverse_angstrom=18.0)
    found = scattering_findings(trajectory, pair_distributions(trajectory), measured=[measured])
    known = {q.name: q for q in found.quantities}
    label = measured.label
    assert known[f"r_chi_{label}"].value < 0.2
    assert abs(known[f"peak_1_difference_{label}"].value) < 0.03
    assert "2.05" in known[f"peak_1_difference_{label}"].reason
