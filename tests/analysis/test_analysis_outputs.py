from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from matplotlib.image import imread
from test_disorder_interfaces import sandwich
from toy_trajectories import (
    XU,
    brownian,
    make_trajectory,
    ornstein_uhlenbeck,
    write_dump,
    write_run,
)

import analysis
from analysis import Quantity, Request, analyse_run, analyse_trajectory
from analysis.disorder.interfaces import disorder_interfaces
from analysis.errors import AnalysisError
from analysis.results import Curve, Findings, quantity_from_json, quantity_to_json
from analysis.writer import curve_to_csv, read_results, write_analysis

CELL = np.eye(3) * 14.0


def disordered_salt(rng, n_frames, D=0.05):
    """Mobile Li among S that only vibrate."""
    start = rng.random((60, 3)) * 14.0
    lithium = brownian(rng, 40, n_frames, D)
    sulphur = ornstein_uhlenbeck(rng, 20, n_frames, 2, 0.2)
    return np.concatenate([lithium, sulphur], axis=1) + start, ["Li"] * 40 + ["S"] * 20


def by_name(quantities):
    return {quantity.name: quantity for quantity in quantities}


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """A run that was analysed: what was found, and the directory."""
    folder = tmp_path_factory.mktemp("analysed")
    positions, species = disordered_salt(np.random.default_rng(20240501), 400)
    segments = [(0, 49, 50, "equilibration"), (50, 399, 350, "production")]
    run = write_run(folder / "run", positions, species, CELL, segments=segments, every_steps=500)
    return by_name(analyse_run(run, folder / "analysis")), folder / "analysis"


def test_analysing_a_run_writes_results_curves_and_figures(analysed):
    found, out = analysed
    D = found["diffusion_coefficient_Li"]
    assert D.status == "ok"
    assert D.low < D.value < D.high
    # Distances are in Angstrom and steps of 0.05 Angstrom^2 a frame of 1 ps.
    assert D.value == pytest.approx(0.05e-4, rel=0.3)
    sigma = found["conductivity_nernst_einstein_Li"]
    density = 40 / 14.0**3 * 1e24
    expected = density * 1.602176634e-19**2 * D.value / (1.380649e-23 * 1000.0)
    assert sigma.value == pytest.approx(expected, rel=1e-9)
    assert sigma.low / sigma.value == pytest.approx(D.low / D.value)

    assert repr(read_results(out / "results.json")) == repr(list(found.values()))
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    drawn = ("msd", "rdf", "anions", "partial_structure_factors", "total_scattering")
    tables = (
        *("msd_Li", "msd_S", "rdf_Li-Li", "rdf_Li-S", "rdf_S-S"),
        *("anions", "anions_cutoffs", "anions_formulas", "partial_structure_factors"),
        *(f"total_structure_factor_{radiation}" for radiation in ("neutron", "xray")),
        *(f"reduced_distribution_{radiation}" for radiation in ("neutron", "xray")),
    )
    assert files >= {
        "results.json",
        *(f"figures/{name}.png" for name in drawn),
        *(f"curves/{name}.csv" for name in tables),
    }
    for quantity in found.values():
        assert not quantity.curve or (out / "curves" / quantity.curve).is_file()
    provenance = json.loads((out / "results.json").read_text())["provenance"]
    assert provenance["frames"] == 350
    assert provenance["inputs"].keys() == {"structure.extxyz", "trajectory.json"}


def test_the_slowest_immobile_species_tells_whether_the_framework_moved(tmp_path, rng):
    frames = 60
    sites = rng.uniform(0.0, 20.0, (1, 24, 3))
    positions = np.repeat(sites, frames, axis=0)
    positions[:, :8] += brownian(rng, 8, frames)[:frames]
    there_and_back = np.array([1.0, -1.0] * 4)[None, :, None]  # S moves, its centre does not
    positions[:, 16:] += np.arange(frames)[:, None, None] * 0.05 * there_and_back
    species = ["Li"] * 8 + ["P"] * 8 + ["S"] * 8
    found = by_name(
        analyse_trajectory(make_trajectory(positions, species=species, cell=CELL), tmp_path / "out")
    )
    framework = [name for name in found if name.startswith("framework_mean_squared")]
    assert framework == ["framework_mean_squared_displacement_P"]
    assert found[framework[0]].unit == "Angstrom^2"
    assert found[framework[0]].value < 0.1


def test_bounds_stand_in_for_an_unresolved_value_and_never_beside_a_resolved_one(
    analysed, rng, tmp_path
):
    resolved, _ = analysed
    assert resolved["diffusion_coefficient_Li"].status == "ok"
    assert not [name for name in resolved if "bound" in name]
    cage = make_trajectory(ornstein_uhlenbeck(rng, 32, 400, 5, 0.5), cell=CELL)
    caged = by_name(analyse_trajectory(cage, tmp_path / "caged"))
    assert caged["diffusion_coefficient_Li"].status == "unresolved"
    assert {"diffusion_coefficient_msd_bound_Li", "diffusion_coefficient_hop_bound_Li"} <= set(
        caged
    )


def test_figures_are_not_blank(analysed):
    _, out = analysed
    for name in ("msd", "rdf"):
        image = imread(out / "figures" / f"{name}.png")
        assert image.shape[0] > 300
        inked = (image[..., :3] < 0.9).any(axis=-1).mean()
        assert 0.005 < inked < 0.5


def test_curves_carry_units_and_the_computed_values(analysed):
    _, out = analysed
    path = out / "curves/msd_Li.csv"
    heading = path.read_text().splitlines()[0].split(",")
    assert heading[:2] == ["time [ps]", "msd [Angstrom^2]"]
    table = np.genfromtxt(path, delimiter=",", skip_header=1)
    assert table.shape == (350, len(heading))
    np.testing.assert_allclose(table[:, 2:5].sum(axis=1), table[:, 1], rtol=1e-8)


def test_what_is_left_out_is_named_with_the_reason(rng, tmp_path):
    positions, _ = disordered_salt(rng, 5)
    trajectory = make_trajectory(positions, species=["Mg"] * 59 + ["S"], cell=CELL)
    analyse_trajectory(trajectory, tmp_path)
    skipped = json.loads((tmp_path / "results.json").read_text())["skipped"]
    reasons = {item["name"]: item["reason"] for item in skipped}
    assert {"rdf_S-S", "msd", "anions", "disorder"} <= reasons.keys()
    assert "no anion rule for Mg" in reasons["anions"]
    assert "name the axis" in reasons["disorder"]
    positions, _ = disordered_salt(rng, 50)
    trajectory = make_trajectory(
        positions, species=["Na"] * 40 + ["S"] * 20, cell=CELL, temperature_kelvin=None
    )
    analyse_trajectory(trajectory, tmp_path)
    skipped = json.loads((tmp_path / "results.json").read_text())["skipped"]
    names = {item["name"] for item in skipped}
    assert "diffusion_coefficient" in names
    assert not names & {"msd", "rdf_S-S"}
    analyse_trajectory(trajectory, tmp_path, Request(mobile="Na"))
    record = json.loads((tmp_path / "results.json").read_text())
    names = {item["name"] for item in record["skipped"]}
    assert "conductivity_nernst_einstein_Na" in names
    assert "diffusion_coefficient" not in names
    assert any(entry["name"] == "diffusion_coefficient_Na" for entry in record["quantities"])
    with pytest.raises(AnalysisError, match="no atom is 'K'; the trajectory holds Na, S"):
        analyse_trajectory(trajectory, tmp_path, Request(mobile="K"))


def test_unresolved_diffusion_gives_an_unresolved_conductivity_and_null_in_json(rng, tmp_path):
    positions = ornstein_uhlenbeck(rng, 60, 300, 3, 0.3) + rng.random((60, 3)) * 14
    found = by_name(analyse_trajectory(make_trajectory(positions, cell=CELL), tmp_path))
    assert found["diffusion_coefficient_Li"].status == "unresolved"
    assert found["conductivity_nernst_einstein_Li"].status == "unresolved"
    record = json.loads((tmp_path / "results.json").read_text())
    (entry,) = [e for e in record["quantities"] if e["name"] == "conductivity_nernst_einstein_Li"]
    assert entry["value"] is None
    assert entry["high"] > 0
    assert "bounds" in entry["reason"]


@pytest.mark.parametrize(
    "quantity",
    [
        Quantity("a", 1.5, "cm^2/s", 1.0, 2.0, 0.95, "ok", "because", "a.csv"),
        Quantity("b", math.nan, "1", 0.0, math.inf, status="unresolved", reason="no bound"),
        Quantity("c", math.nan, "1", status="refused", reason="gate"),
    ],
    ids=lambda quantity: quantity.status,
)
def test_quantities_survive_json(quantity):
    text = json.dumps(quantity_to_json(quantity), allow_nan=False)
    assert repr(quantity_from_json(json.loads(text))) == repr(quantity)


def test_quantities_that_contradict_themselves_are_refused():
    with pytest.raises(AnalysisError, match="status is 'ok'"):
        Quantity("a", math.nan, "1")
    with pytest.raises(AnalysisError, match="without a reason"):
        Quantity("a", math.nan, "1", status="unresolved")
    with pytest.raises(AnalysisError, match="expected one of"):
        Quantity("a", 1.0, "1", status="fine")
    with pytest.raises(AnalysisError, match="unequal length"):
        Curve("a", {"x": np.zeros(2), "y": np.zeros(3)})
    with pytest.raises(AnalysisError, match="expected"):
        quantity_from_json({"name": "a"})


def test_writing_twice_leaves_the_second_result_and_no_temporary_files(tmp_path):
    curve = Curve("c", {"x [1]": np.array([1.0, np.nan])})
    assert curve_to_csv(curve) == "x [1]\n1\n\n"
    for value in (1.0, 2.0):
        findings = {"topic": Findings([Quantity("a", value, "1")], [curve], {"f": b"png"})}
        write_analysis(tmp_path, findings, provenance={})
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["topics"] == {"topic": {"quantities": ["a"], "figures": ["f"]}}
    assert [q.value for q in read_results(tmp_path / "results.json")] == [2.0]
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"]


def test_equal_names_and_unreadable_results_are_refused(tmp_path):
    for kind, one in (
        ("quantities", Findings([Quantity("a", 1.0, "1")])),
        ("curves", Findings(curves=[Curve("a", {"x [1]": np.zeros(1)})])),
        ("figures", Findings(figures={"a": b""})),
    ):
        with pytest.raises(AnalysisError, match=f"{kind} named more than once: a"):
            write_analysis(tmp_path, {"one": one, "other": one}, provenance={})
    assert not list(tmp_path.iterdir())
    path = tmp_path / "results.json"
    with pytest.raises(AnalysisError, match="no such file"):
        read_results(path)
    path.write_text("{")
    with pytest.raises(AnalysisError, match="not valid JSON"):
        read_results(path)
    path.write_text('{"schema": 99}')
    with pytest.raises(AnalysisError, match="schema 99"):
        read_results(path)


def test_readme_example_runs_as_printed(tmp_path, rng, monkeypatch, capsys):
    readme = (Path(analysis.__file__).parent / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    assert len(example.strip().splitlines()) <= 12
    positions, species = disordered_salt(rng, 300, D=0.04)
    frames = [Atoms(species, positions=p, cell=CELL, pbc=True) for p in positions]
    write(tmp_path / "md.extxyz", frames, format="extxyz")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example.replace("XDATCAR.gz", "md.extxyz"), names)
    printed = capsys.readouterr().out
    assert "MSD after 10 ps" in printed
    assert "cm^2/s" in printed
    # A frame every 0.1 ps and 0.04 Angstrom^2 each makes D = 0.4 Angstrom^2/ps.
    assert names["D"].status == "ok"
    assert names["D"].value == pytest.approx(0.4e-4, rel=0.3)


def test_the_disorder_example_of_the_readme_runs_as_printed(tmp_path, rng, monkeypatch, capsys):
    readme = (Path(analysis.__file__).parent / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## From a foreign trajectory to F(z)") :]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)
    assert len(example.strip().splitlines()) <= 12
    planes = (30.6, 73.0)
    slab = sandwich(rng, planes, 2)
    positions = np.array([frame.positions for frame in slab.frames()])
    types = np.searchsorted(["Li", "P", "S"], slab.species) + 1
    write_dump(
        tmp_path / "slab.lammpstrj", positions, slab.cells, XU, types=types, every_steps=1000
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example.replace("slab.lammpstrj.gz", "slab.lammpstrj"), names)
    assert "interfaces at" in capsys.readouterr().out
    found = disorder_interfaces(names["profile"]).z_angstrom
    assert np.abs(found - planes).max() < 0.5 * names["profile"].slab_width_angstrom
