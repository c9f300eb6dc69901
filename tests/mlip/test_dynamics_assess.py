"""The whole assessment with a real, tiny model: runs of a few dozen fs."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from analysis.reading.runs import open_run
from mlip.errors import GateError, InputError
from mlip.model_directory import PARITY_FILE, read_model_directory
from mlip.recipes.dynamics import DynamicsSettings
from mlip.validation.dynamics.assess import assess_dynamics

RAW = Path(__file__).resolve().parents[2] / "training_data" / "raw" / "li3ps4_cp2k_aimd"
BETA = {"crystal": "beta-Li3PS4"}
ATOMS, DURATION_PS = 32, 0.02
SETTINGS = DynamicsSettings.model_validate(
    {
        "aimd": [
            {
                "name": "beta",
                "path": str(RAW / "beta_600K"),
                "temperature_kelvin": 600,
                "skip_ps": 0.03,
                "replicas": 3,
                "equilibration_ps": 0.003,
                "timestep_fs": 3.0,
                "peaks": [{"name": "P-S stretch", "species": "S", "window_per_cm": [370, 480]}],
            }
        ],
        "stability": [
            {
                "name": "hot",
                "start": BETA,
                "hottest_training_factor": 1.2,
                "duration_ps": 0.02,
                "ensemble": "nvt",
                "intact_units": True,
            },
        ],
        "nve": [
            {
                "start": BETA,
                "temperature_kelvin": 50,
                "equilibration_ps": 0.002,
                "duration_ps": DURATION_PS,
                "timestep_fs": 0.05,
            }
        ],
    }
)


@pytest.fixture(scope="module", autouse=True)
def atoms_may_come_close():
    """The tiny potential has its minima where atoms overlap; the guard would stop every run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlip.md.run.smallest_distances", lambda *_: {})
        yield


@pytest.fixture(scope="module")
def proved(foreign_model: Path, tmp_path_factory) -> Path:
    """Return a directory of one model with parity and, as of foreign models, no manifest."""
    copy = tmp_path_factory.mktemp("dynamics") / "model"
    copy.mkdir()
    for name in ("model_0.pth", "type_map.json", PARITY_FILE):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copy(foreign_model / name, copy / name)
    return copy


def assess(model, data, settings=SETTINGS):
    directory = model / "validation" / "dynamics"
    return assess_dynamics(
        settings, Path("recipe.yml"), read_model_directory(model), data, directory, "test"
    )


@pytest.fixture(scope="module")
def assessed(proved, tiny_set):
    return assess(proved, tiny_set)


def test_every_part_of_the_recipe_has_rows(assessed):
    subjects = {row.subject for row in assessed}
    assert subjects == {
        "beta, 600 K",
        "hot, 720 K, NVT",
        "nve, 50 K, 0.05 fs",
    }
    for row in assessed:
        assert row.text
        assert row.verdict in ("pass", "fail", "not assessed")
        if row.verdict == "pass":
            assert row.limit is not None
            assert row.value is not None


def test_an_aimd_of_one_vibration_gives_an_msd_and_g_of_r_but_no_spectrum(assessed):
    beta = {row.quantity: row for row in assessed if row.subject.startswith("beta")}
    assert beta["MSD of Li (Å^2)"].reference > 0
    assert beta["g(r) of P-S, R factor"].value is not None
    stretch = beta["P-S stretch (1/cm)"]
    assert stretch.verdict == "not assessed"
    assert "resolution of 20 1/cm takes" in stretch.text


def test_replicas_have_the_frames_of_the_aimd_and_velocities_of_their_own(assessed, proved):
    folder = proved / "validation" / "dynamics" / "aimd" / "beta"
    runs = [open_run(folder / f"replica_{n}", stage="replica") for n in range(3)]
    assert {(run.n_frames, round(run.frame_interval_ps, 9)) for run in runs} == {(15, 0.003)}
    ends = [list(run.frames())[-1].positions for run in runs]
    assert abs(ends[0] - ends[1]).max() > 1e-3


def test_figures_and_curves_are_written(assessed, proved):
    directory = proved / "validation" / "dynamics"
    assert {path.name for path in (directory / "figures").iterdir()} == {
        "aimd_beta_msd.png",
        "aimd_beta_rdf.png",
        "nve_nve.png",
    }
    assert (directory / "curves" / "aimd_beta_msd_Li.csv").is_file()


def conserved(model: Path) -> list[dict[str, float]]:
    """Energies of the run at constant energy, by name."""
    thermo = model / "validation" / "dynamics" / "nve" / "nve" / "thermo.csv"
    with thermo.open() as handle:
        rows = [row for row in csv.DictReader(handle) if row["stage"] == "conserve"]
    names = ("total_energy_ev", "kinetic_energy_ev")
    return [{name: float(row[name]) for name in names} for row in rows]


def test_the_drift_is_small_and_too_short_a_run_does_not_pass(assessed, proved):
    (row,) = [row for row in assessed if row.subject.startswith("nve")]
    kinetic = [energies["kinetic_energy_ev"] for energies in conserved(proved)]
    # The tiny model heats itself; what it exchanges is the scale of what it could lose.
    exchanged = (max(kinetic) - min(kinetic)) / ATOMS / DURATION_PS * 1000.0
    assert abs(row.value) < 0.1 * exchanged
    assert row.verdict != "pass" or abs(row.value) <= row.limit


def test_a_second_call_runs_nothing_and_says_the_same(assessed, proved, tiny_set):
    directory = proved / "validation" / "dynamics"
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("log.*.lammps")}
    assert len(before) > 5
    assert assess(proved, tiny_set) == assessed
    assert before == {path: path.stat().st_mtime_ns for path in directory.rglob("log.*.lammps")}


def test_a_potential_that_breaks_down_fails_and_stays_so(proved, tiny_set, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(proved, model, ignore=shutil.ignore_patterns("dynamics"))
    wild = {
        "name": "wild",
        "start": BETA,
        "temperature_kelvin": 5000,
        "duration_ps": 5,
        "pressure_gpa": -300,
        "barostat": "iso",
        "timestep_fs": 5.0,
        "intact_units": True,
    }
    settings = DynamicsSettings.model_validate({"stability": [wild]})
    first = assess(model, tiny_set, settings)
    (row,) = [row for row in first if row.quantity.startswith("time")]
    assert row.verdict == "fail"
    assert row.value < 5
    assert row.text.startswith("broke down")
    assert not [row for row in first if row.quantity.startswith("temperature")]
    assert assess(model, tiny_set, settings) == first


def test_nothing_runs_without_parity_or_with_a_missing_trajectory(tiny_model, tiny_set, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model, ignore=shutil.ignore_patterns("validation", "lock"))
    only = DynamicsSettings.model_validate({"nve": SETTINGS.expanded()["nve"]})
    with pytest.raises(GateError, match="parity"):
        assess(model, tiny_set, only)
    content = SETTINGS.expanded()
    content["aimd"][0]["path"] = "absent"
    with pytest.raises(InputError, match="absent"):
        assess(model, tiny_set, DynamicsSettings.model_validate(content))
    assert not list((model / "validation").rglob("*.lammps"))


def test_the_nve_stage_is_production_at_constant_energy(assessed, proved):
    out = proved / "validation" / "dynamics" / "nve" / "nve"
    trajectory = open_run(out)
    assert (trajectory.ensemble, trajectory.n_frames) == ("nve", 4)
    total = [energies["total_energy_ev"] for energies in conserved(proved)]
    kinetic = [energies["kinetic_energy_ev"] for energies in conserved(proved)]
    assert max(total) - min(total) < 0.1 * (max(kinetic) - min(kinetic))
