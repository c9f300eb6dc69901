"""Comparison of motion with AIMD: what is planted in harmonic cages is found."""

from __future__ import annotations

import math
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from dynamics_cages import REFERENCE, cages, trajectory_of

from mlip.errors import DataError, RecipeError
from mlip.validation.dynamics.against_aimd import observe_all, time_grid, write_curves
from mlip.validation.dynamics.aimd import part, read_aimd, start_structure
from mlip.validation.dynamics.compare import (
    distance_floor,
    judge_difference,
    judge_distance,
    rdf_r_factor,
    scatter_floor,
    spectrum_distance,
)
from mlip.validation.dynamics.figures import msd_figure, rdf_figure, vibrations_figure
from mlip.validation.dynamics.findings import compare_with_aimd
from mlip.validation.dynamics.observables import msd_level
from mlip.validation.dynamics.thresholds import dynamics_limits

LIMITS = dynamics_limits().aimd

RAW = Path(__file__).resolve().parents[2] / "training_data" / "raw" / "li3ps4_cp2k_aimd"


def table(aimd, replicas, reference=REFERENCE):
    comparison = observe_all(reference, "cages", aimd, replicas)
    return {row.quantity: row for row in compare_with_aimd(comparison, LIMITS)}


@pytest.fixture(scope="module")
def aimd():
    return cages(1)


@pytest.fixture(scope="module")
def equal(aimd):
    return table(aimd, [cages(seed) for seed in (11, 12, 13, 14)])


@pytest.fixture(scope="module")
def stiff(aimd):
    return table(aimd, [cages(seed, spring=2.0) for seed in (21, 22, 23)])


@pytest.mark.parametrize(
    ("difference", "limit", "floor", "verdict"),
    [
        (0.1, 0.2, 0.1, "pass"),
        (-0.3, 0.2, 0.1, "fail"),
        (0.3, 0.2, 0.4, "not assessed"),
        (0.1, 0.2, 0.4, "not assessed"),
        (0.1, 0.2, math.inf, "not assessed"),
        (math.nan, 0.2, 0.1, "not assessed"),
    ],
)
def test_a_difference_is_judged_by_limit_and_floor(difference, limit, floor, verdict):
    assert judge_difference(difference, limit, floor) == verdict


def test_a_distance_within_the_limit_passes_and_one_within_the_noise_never_fails():
    assert judge_distance(0.1, 0.15, 0.5) == "pass"
    assert judge_distance(0.3, 0.15, 0.5) == "not assessed"
    assert judge_distance(0.6, 0.15, 0.5) == "fail"


def test_the_floor_holds_one_more_draw_in_95_percent():
    rng = np.random.default_rng(5)
    draws = rng.normal(3.0, 0.7, (4000, 5))
    inside = [abs(row[4] - row[:4].mean()) <= scatter_floor(row[:4].tolist()) for row in draws]
    # Binomial standard error 0.0034.
    assert np.mean(inside) == pytest.approx(0.95, abs=0.014)
    assert scatter_floor([1.0]) == math.inf
    assert distance_floor([0.1, 0.1, 0.4]) >= 0.4


def test_distances_of_spectra_run_from_equal_to_apart():
    x = np.linspace(0, 10, 2001)
    one, other = np.exp(-((x - 3) ** 2) / 0.1), np.exp(-((x - 7) ** 2) / 0.1)
    assert spectrum_distance(x, one, 5 * one) == pytest.approx(0.0, abs=1e-12)
    assert spectrum_distance(x, one, other) == pytest.approx(1.0, abs=1e-9)
    assert rdf_r_factor(x, one, one) == 0.0
    assert rdf_r_factor(x, one, 1.1 * one) == pytest.approx(0.1)
    assert math.isnan(rdf_r_factor(x, 0 * x, one))


def test_equal_cages_pass(equal):
    assert {row.verdict for row in equal.values()} == {"pass"}
    assert equal["stretch (1/cm)"].reference == pytest.approx(420, abs=12)
    assert equal["kinetic temperature (K)"].value == pytest.approx(600, rel=0.05)
    assert {row.reference_kind for row in equal.values()} == {"AIMD"}


def test_the_msd_of_a_cage_is_six_kt_over_k(equal):
    # <x^2> = kT / m omega^2 in each direction, twice that between two distant times.
    from analysis.motion.vibrations import KELVIN_PER_AMU_ANGSTROM2_PER_PS2, PER_CM_PER_THZ

    omega = 2 * np.pi * 300.0 / PER_CM_PER_THZ
    expected = 6 * 600.0 / KELVIN_PER_AMU_ANGSTROM2_PER_PS2 / 6.94 / omega**2
    assert equal["MSD of Li (Å^2)"].value == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(
    "quantity",
    [
        "MSD of Li (Å^2)",
        "MSD of S (Å^2)",
        "vibrations of Li at other frequencies (share)",
        "vibrations of S at other frequencies (share)",
        "g(r) of Li-S, R factor",
    ],
)
def test_cages_twice_as_stiff_fail(stiff, quantity):
    assert stiff[quantity].verdict == "fail"


def test_a_stretch_that_left_its_window_fails_or_is_far_off(stiff):
    # 420 sqrt(2) = 594 1/cm lies outside the window.
    assert stiff["stretch (1/cm)"].verdict == "fail"
    assert "no peak" in stiff["stretch (1/cm)"].text
    assert stiff["MSD of S (Å^2)"].value / stiff["MSD of S (Å^2)"].reference == pytest.approx(
        0.5, rel=0.1
    )


def test_a_potential_run_at_another_temperature_is_found_out(aimd):
    rows = table(aimd, [cages(seed, temperature=800.0) for seed in (31, 32, 33)])
    assert rows["kinetic temperature (K)"].verdict == "fail"


def test_a_shift_of_a_few_per_cent_is_measured(aimd):
    rows = table(aimd, [cages(seed, spring=1.06**2) for seed in (41, 42, 43)])
    row = rows["stretch (1/cm)"]
    assert row.value - row.reference == pytest.approx(0.06 * 420, abs=8)


def test_sparse_frames_leave_vibrations_not_assessed_but_not_the_msd(aimd):
    coarse = [cages(seed, n_frames=300, interval_ps=0.05) for seed in (1, 2, 3, 4)]
    rows = table(coarse[0], coarse[1:])
    row = rows["vibrations of Li at other frequencies (share)"]
    assert (row.verdict, row.value) == ("not assessed", None)
    assert "Nyquist" in row.text
    assert rows["stretch (1/cm)"].verdict == "not assessed"
    assert rows["MSD of Li (Å^2)"].verdict == "pass"
    assert "kinetic temperature (K)" not in rows


def test_atoms_that_do_not_move_are_not_assessed():
    places = np.tile([[0, 0, 0], [2, 2, 2]], (40, 1, 1))
    still = trajectory_of(places, ["Li"] * 2, 4 * np.eye(3))
    row = table(still, [still] * 3)["MSD of Li (Å^2)"]
    assert (row.verdict, row.value, row.text) == ("not assessed", None, "Li does not move")


def test_runs_of_other_length_are_not_compared(aimd):
    from analysis.errors import AnalysisError

    with pytest.raises(AnalysisError, match=r"\[1000, 1200\] frames"):
        observe_all(REFERENCE, "cages", aimd, [part(cages(2), 0, 1000)])


def test_figures_and_curves_show_aimd_and_range(aimd, tmp_path):
    comparison = observe_all(REFERENCE, "cages", aimd, [cages(seed) for seed in (2, 3, 4)])
    for draw, name in ((msd_figure, "msd"), (rdf_figure, "rdf")):
        draw(tmp_path / f"{name}.png", comparison)
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    vibrations_figure(tmp_path / "vibrations.png", comparison, 700.0)
    assert (tmp_path / "vibrations.png").stat().st_size > 10_000
    write_curves(tmp_path, "cages", comparison)
    lines = (tmp_path / "aimd_cages_vibrations_S.csv").read_text().splitlines()
    assert lines[0].startswith("frequency [1/cm],frequency [THz],AIMD [1/THz],potential, mean")
    assert {path.stem for path in tmp_path.glob("*.csv")} >= {
        "aimd_cages_msd_Li",
        "aimd_cages_rdf_Li-S",
    }


def test_the_time_step_divides_the_frame_interval():
    assert time_grid(0.003, 1.0).every_steps == 3
    assert time_grid(0.0025, 1.0).every_steps == 3
    assert time_grid(0.0025, 1.0).timestep_fs == pytest.approx(2.5 / 3)
    assert time_grid(0.0005, 1.0) == type(time_grid(1, 1))(0.5, 1)


def test_the_msd_level_is_the_mean_of_the_second_quarter_of_lags():
    times = np.arange(101) * 0.1
    assert msd_level(times, times) == pytest.approx(3.75)


def write_frames(path, trajectory):
    frames = [
        ase.Atoms(trajectory.species, frame.positions, cell=frame.cell, pbc=True)
        for frame in trajectory.frames()
    ]
    ase.io.write(path, frames, format="extxyz")


def test_an_extxyz_file_is_read_without_its_start(aimd, tmp_path):
    path = tmp_path / "aimd.extxyz"
    write_frames(path, part(aimd, 0, 30))
    whole = read_aimd(REFERENCE, path, tmp_path)
    assert whole.n_frames == 30
    later = read_aimd(REFERENCE.model_copy(update={"skip_ps": 0.05}), path, tmp_path)
    assert later.n_frames == 20
    first = next(iter(later.frames()))
    assert first.positions == pytest.approx(aimd.source.positions[10], abs=1e-7)
    blocks = list(later.atom_blocks(later.ids_of("S")))
    assert blocks[0][1].shape == (20, 32, 3)
    assert start_structure(later).positions == pytest.approx(first.positions, abs=1e-9)


def test_what_cannot_be_read_as_dynamics_is_refused(aimd, tmp_path):
    path = tmp_path / "aimd.extxyz"
    write_frames(path, part(aimd, 0, 12))
    with pytest.raises(RecipeError, match="frame_interval_fs"):
        read_aimd(REFERENCE.model_copy(update={"frame_interval_fs": None}), path, tmp_path)
    with pytest.raises(DataError, match=r"12 frames.*2 after skip_ps"):
        read_aimd(REFERENCE.model_copy(update={"skip_ps": 0.05}), path, tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_aimd(REFERENCE, tmp_path / "absent.extxyz", tmp_path)


def test_a_cp2k_run_is_read_with_its_own_times(tmp_path):
    reference = REFERENCE.model_copy(update={"frame_interval_fs": None})
    found = read_aimd(reference, RAW / "beta_600K", tmp_path)
    assert (found.n_frames, found.n_atoms) == (25, 64)
    assert found.frame_interval_ps == pytest.approx(0.003)
