"""Transport of a run: what single ions, all together and closely spaced frames say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from toy_trajectories import brownian, make_trajectory, ornstein_uhlenbeck, write_dcd, write_run

from analysis.analyse import analyse_run
from analysis.motion.transport import transport
from analysis.observables import displacements, hops, motion
from analysis.reading.foreign import open_foreign
from analysis.reading.runs import open_dense, open_run
from analysis.sample import Request, Sample

REPOSITORY = Path(__file__).parents[2]
DATA = REPOSITORY / os.environ.get("LIPS_MLIP_EXTERNAL_DATA", "../shared/data")
ARGYRODITES = DATA / "argyrodite_aimd_xdatcar"
SPECIES = ["Li"] * 24 + ["P"] * 8 + ["S"] * 32
CELL = np.eye(3) * 30.0


def solid(rng, n_frames, D=0.05, interval_ps=0.5):
    """Li that diffuses through a framework that vibrates."""
    places = rng.random((64, 3)) * 30.0
    moved = brownian(rng, 24, n_frames, D=D, interval_ps=interval_ps)
    still = ornstein_uhlenbeck(rng, 40, n_frames, 2, 0.1)
    return places + np.concatenate([moved, still], axis=1)


def trajectory_of(positions, interval_ps=0.5):
    return make_trajectory(positions, species=SPECIES, cell=CELL, frame_interval_ps=interval_ps)


def test_a_solid_gives_conductivity_haven_ratio_and_a_frozen_framework(rng):
    sample = Sample(trajectory_of(solid(rng, 2000)), Request(mobile="Li"))
    found = {quantity.name: quantity for quantity in motion(sample).quantities}
    assert found["diffusion_coefficient_Li"].status == "ok"
    assert found["framework_frozen"].value == 1.0
    haven = found["haven_ratio_Li"]
    assert haven.low < 1.0 < haven.high
    collective = found["conductivity_collective_Li"]
    assert collective.low < found["conductivity_nernst_einstein_Li"].value < collective.high


def names_of(positions, **options):
    found = transport(trajectory_of(positions), "Li", **options).findings
    return {quantity.name: quantity for quantity in found.quantities}


def test_motion_that_is_not_diffusive_has_an_apparent_coefficient_only_where_accepted(rng):
    # 24 ions on paths of fractional Brownian kind: the MSD rises as the square root of time.
    positions = solid(rng, 2000, D=0.0)
    positions[:, :24] += subdiffusive(rng, 2000, 24)
    refused, accepted = names_of(positions), names_of(positions, accept_subdiffusive=True)
    assert not [name for name in refused if name.startswith("apparent")]
    assert accepted["diffusion_coefficient_Li"] == refused["diffusion_coefficient_Li"]
    assert accepted["diffusion_coefficient_Li"].status == "unresolved"
    D = accepted["apparent_diffusion_coefficient_Li"]
    assert 0.0 < D.low < D.value < D.high
    assert D.value < accepted["diffusion_coefficient_Li"].high
    assert "no diffusion coefficient, accepted all the same: motion is not diffusive" in D.reason
    sigma = accepted["apparent_conductivity_nernst_einstein_Li"]
    assert sigma.status == "ok"
    assert "accepted all the same" in sigma.reason
    assert refused["conductivity_nernst_einstein_Li"].status == "unresolved"


def test_accepting_changes_nothing_where_motion_is_diffusive(rng):
    positions = solid(rng, 2000)
    assert names_of(positions) == names_of(positions, accept_subdiffusive=True)


def subdiffusive(rng, n_frames, n_atoms):
    """Paths with MSD proportional to the square root of time, by spectral synthesis."""
    frequencies = np.fft.rfftfreq(4 * n_frames)[1:]
    # The spectrum of a path with Hurst exponent H falls as f^-(2H + 1), here H = 1/4.
    amplitudes = np.concatenate([[0.0], frequencies**-0.75])
    noise = rng.normal(size=(2, len(amplitudes), n_atoms, 3))
    paths = np.fft.irfft(amplitudes[:, None, None] * (noise[0] + 1j * noise[1]), axis=0)
    return 0.5 * paths[:n_frames] / np.diff(paths[:n_frames], axis=0).std()


def test_without_a_mobile_species_the_framework_is_still_judged(rng):
    found = transport(trajectory_of(solid(rng, 100, D=1.0)), None).findings
    values = {quantity.name: quantity.value for quantity in found.quantities}
    assert values["framework_frozen"] == 0.0
    assert any("name the mobile species" in item.reason for item in found.skipped)


def test_dense_frames_reach_shorter_times_and_are_joined(rng):
    positions = solid(rng, 4000, interval_ps=0.05)
    main, dense = trajectory_of(positions[::10]), trajectory_of(positions[:1500], 0.05)
    found = transport(main, "Li", dense=dense).findings
    curves = {curve.name: curve.columns for curve in found.curves}
    assert curves["msd_joined_Li"]["time [ps]"][0] == pytest.approx(0.05)
    assert found.statements == []


def test_a_first_part_unlike_the_whole_is_said(rng):
    early = solid(rng, 1500, D=0.5, interval_ps=0.05)
    late = solid(rng, 8000, D=0.02, interval_ps=0.05)
    dense, main = trajectory_of(early, 0.05), trajectory_of(late[::10])
    found = transport(main, "Li", dense=dense).findings
    assert any("the first part is not like the whole" in text for text in found.statements)


def test_the_mobile_ions_get_distributions_and_hops(rng):
    sample = Sample(trajectory_of(solid(rng, 200)), Request(mobile="Li"))
    figures = displacements(sample).figures
    assert {"non_gaussian_Li", "van_hove_self_Li", "self_scattering_Li"} <= figures.keys()
    found = {quantity.name for quantity in hops(sample).quantities}
    assert {"hop_rate_Li", "residence_time_Li", "back_hop_share_Li"} <= found


@pytest.fixture
def recorded(rng, tmp_path):
    """A run of 60 frames with a dense stream over the first six of them."""
    positions = solid(rng, 601, interval_ps=0.01)
    run = write_run(
        tmp_path / "run", positions[::10], SPECIES, CELL, segments=[(0, 60, 61, "production")]
    )
    record = json.loads((run / "trajectory.json").read_text())
    (entry,) = record["streams"][0]["segments"]
    file = "stages/02_produce/dense.0.dcd"
    write_dcd(run / file, positions[:61], CELL, first_step=0, every_steps=5)
    dense = {**entry, "file": file, "last_step": 300, "every_steps": 5}
    record["streams"].append({"name": "dense", "segments": [dense]})
    (run / "trajectory.json").write_text(json.dumps(record))
    return run


def test_the_dense_stream_of_a_run_is_found(recorded):
    dense = open_dense(recorded)
    assert dense is not None
    assert dense.n_frames == 61
    assert open_run(recorded).frame_interval_ps == pytest.approx(10 * dense.frame_interval_ps)
    assert open_dense(recorded, stage="another") is None


def test_a_run_without_a_dense_stream_has_none(rng, tmp_path):
    run = write_run(tmp_path, solid(rng, 20), SPECIES, CELL, segments=[(0, 19, 20, "production")])
    assert open_dense(run) is None


def test_the_analysis_of_a_run_uses_both_streams_and_says_what_follows(recorded, tmp_path):
    quantities = {q.name: q for q in analyse_run(recorded, tmp_path / "analysis")}
    assert quantities["diffusion_coefficient_Li"].status == "unresolved"
    record = json.loads((tmp_path / "analysis" / "results.json").read_text())
    assert any("does not measure" in text or "unresolved" in text for text in record["statements"])
    joined = (tmp_path / "analysis" / "curves" / "msd_joined_Li.csv").read_text().splitlines()
    assert float(joined[1].split(",")[0]) == pytest.approx(0.01)


def test_argyrodites_diffuse_in_the_order_of_their_disorder():
    if not ARGYRODITES.is_dir():
        pytest.skip(f"{ARGYRODITES} is absent; set LIPS_MLIP_EXTERNAL_DATA")
    found = {}
    for name in ("Li6PS5Cl_50p", "Li6PS5Cl_100p", "Li6PS5Cl_0p", "Li6PS5I_0p"):
        trajectory = open_foreign(
            ARGYRODITES / f"{name}_run1_XDATCAR.gz",
            frame_interval_fs=100.0,
            temperature_kelvin=500.0,
        )
        sample = Sample(trajectory, Request(mobile="Li"))
        found[name] = {quantity.name: quantity for quantity in motion(sample).quantities}
        assert found[name]["framework_frozen"].value == 1.0
    half, whole, none, iodide = (item["diffusion_coefficient_Li"] for item in found.values())
    # MSD of 5.1 and 8.9 Angstrom^2 after 5 and 10 ps (README of the data): 1.27e-5 cm^2/s.
    assert half.status == whole.status == "ok"
    assert half.low < 1.27e-5 < half.high
    # Without exchange of anions Li moves within its cages: the MSD does not become diffusive.
    assert none.status == iodide.status == "unresolved"
    assert iodide.high < none.high < half.high
    assert iodide.high < half.low
