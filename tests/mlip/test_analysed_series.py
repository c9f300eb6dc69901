from __future__ import annotations

import json
import math
import re

import pytest
from series_ladder import GLASS, structure_directory, toy_run

from analysis import observables
from mlip import analyse as room
from mlip.analyse import analyse, expand, plan_analyse
from mlip.analysed_series import label_runs, run_results
from mlip.cli import main
from mlip.errors import InputError
from mlip.manifest import Manifest, read_manifest, record_outputs, write_manifest
from mlip.recipes.analyse import AnalyseRecipe, RunOrigin
from mlip.report.report import report


def labelled(runs, **named):
    """Origins of runs whose production names 500 K."""
    sources = {run.name: run for run in runs}
    kelvins = dict.fromkeys(sources, 500.0)
    origins = {name: RunOrigin(**words) for name, words in named.items()}
    return label_runs(sources, kelvins, origins)


def ladder(folder, kelvins=(500, 600, 700), energy_ev=0.15):
    """A directory of runs of one structure, as `mlip md` makes it."""
    start = structure_directory(folder / "beta")
    runs = folder / "ladder"
    for n, kelvin in enumerate(kelvins):
        D = 0.25 * math.exp(-energy_ev / 8.617333e-5 * (1 / kelvin - 1 / max(kelvins)))
        toy_run(runs / f"{kelvin}K", start, kelvin=float(kelvin), D=D, seed=n + 1)
    names = [f"{kelvin}K" for kelvin in kelvins]
    manifest = Manifest(
        kind="runs", status="complete", recipe={}, summary={"runs": {name: {} for name in names}}
    )
    manifest.outputs = record_outputs(runs, [runs / name / "manifest.json" for name in names])
    write_manifest(runs, manifest)
    return runs


def test_runs_of_one_structure_are_one_sample_and_of_two_seeds_of_one_recipe_two(tmp_path):
    beta, other = (structure_directory(tmp_path / name, seed=n) for n, name in enumerate("ab"))
    runs = [
        toy_run(tmp_path / "r1", beta, kelvin=500.0, seed=1, frames=2),
        toy_run(tmp_path / "r2", beta, kelvin=500.0, seed=2, frames=2),
        toy_run(tmp_path / "r3", other, kelvin=500.0, seed=3, frames=2),
    ]
    found = labelled(runs).origins
    assert found["r1"].sample_key == found["r2"].sample_key != found["r3"].sample_key
    assert [found[name].replica for name in ("r1", "r2", "r3")] == [1, 2, 3]
    # Without a protocol that names the material, structures of another name are other materials
    # only if they were built by another recipe; the seed of an ordering is none.
    keys = {name: json.loads(origin.material_key)[1:] for name, origin in found.items()}
    assert keys["r1"] == keys["r3"]


def test_every_quench_is_a_sample_of_its_own_and_heating_its_end_keeps_it(tmp_path):
    start = structure_directory(tmp_path / "beta")
    quenches = [
        toy_run(tmp_path / f"q{n}", start, kelvin=300.0, seed=n, frames=2, glass=GLASS)
        for n in (1, 2)
    ]
    heated = toy_run(tmp_path / "heated", quenches[0], kelvin=400.0, frames=2, material="glass")
    again = toy_run(tmp_path / "again", heated, kelvin=500.0, frames=2, material="glass")
    found = labelled([*quenches, heated, again]).origins
    assert found["q1"].sample_key == found["heated"].sample_key == found["again"].sample_key
    assert found["q2"].sample_key != found["q1"].sample_key
    assert len({origin.material_key for origin in found.values()}) == 1
    assert found["again"].sample == "q1"
    assert found["again"].material == "glass"
    assert found["q1"].details == ("Li5I2", "2.5K_per_ps")


def test_a_start_that_was_made_anew_or_moved_is_known_by_its_hash_alone(tmp_path):
    start = structure_directory(tmp_path / "beta")
    runs = [
        toy_run(tmp_path / f"r{n}", start, kelvin=500.0, frames=2, start_hash=letter * 64, seed=n)
        for n, letter in enumerate("ccd")
    ]
    found = labelled(runs).origins
    assert found["r0"].sample_key == "c" * 64 == found["r1"].sample_key
    assert found["r2"].sample_key == "d" * 64
    assert found["r0"].material_key != found["r2"].material_key


def test_the_recipe_names_what_manifests_do_not(tmp_path):
    start = structure_directory(tmp_path / "beta")
    run = toy_run(tmp_path / "r1", start, kelvin=500.0, frames=2)
    foreign = tmp_path / "XDATCAR"
    foreign.write_text("of another program")
    found = labelled([run, foreign])
    assert list(found.origins) == ["r1"]
    assert "no manifest says what sample" in found.reasons["XDATCAR"]
    assert "left out of the series" in found.words("XDATCAR")
    words = {"sample": "A", "material": "argyrodite", "temperature_kelvin": 650.0}
    origin = labelled([run, foreign], XDATCAR=words).origins["XDATCAR"]
    assert (origin.sample, origin.material, origin.temperature_kelvin) == tuple(words.values())
    corrected = labelled([run, foreign], r1=words).origins["r1"]
    assert (corrected.material_key, corrected.replica) == ("named argyrodite", 1)
    with pytest.raises(InputError, match="no run is called r9; the runs are r1, XDATCAR"):
        labelled([run, foreign], r9=words)
    none = label_runs({"r1": run, "x": foreign}, {"r1": None, "x": 500.0}, {})
    assert "names no temperature" in none.reasons["r1"]


def test_one_run_given_twice_is_refused(tmp_path):
    start = structure_directory(tmp_path / "beta")
    runs = [toy_run(tmp_path / name, start, kelvin=500.0, frames=2) for name in ("r1", "copy")]
    with pytest.raises(InputError, match="are the same run"):
        labelled(runs)


def test_materials_of_one_name_are_told_apart_by_what_differs(tmp_path):
    start = structure_directory(tmp_path / "beta")
    runs = [
        toy_run(tmp_path / f"q{n}", start, kelvin=500.0, seed=n, frames=2, glass=GLASS)
        for n in (1, 2)
    ]
    for rate, run in zip((2.5, 50.0), runs, strict=True):
        manifest = read_manifest(run)
        manifest.summary["glass"] = {"quench_rate_kelvin_per_ps": rate}
        write_manifest(run, manifest)
        (run / "results.json").write_text(
            json.dumps({"schema": 3, "statements": [], "quantities": []})
        )
    found = labelled(runs).origins
    results = run_results({run.name: run for run in runs}, found)
    assert sorted(results) == ["glass_2.5K_per_ps", "glass_50K_per_ps"]


def test_boxes_of_one_composition_are_one_material_whatever_their_size(tmp_path):
    runs = []
    for number, formula in enumerate(("Li20I8", "Li40I16", "Li20I9")):
        start = structure_directory(tmp_path / f"box_{number}", seed=number)
        run = toy_run(
            tmp_path / f"r{number}", start, kelvin=500.0, seed=number, frames=2, material="glass"
        )
        manifest = read_manifest(run)
        manifest.summary["formula"] = formula
        write_manifest(run, manifest)
        runs.append(run)
    found = labelled(runs).origins
    assert found["r0"].material_key == found["r1"].material_key != found["r2"].material_key
    assert len({origin.sample_key for origin in found.values()}) == 3


@pytest.fixture(scope="module", autouse=True)
def motion_alone():
    """Structure takes most of the time of an analysis and is no part of a series."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observables, "OBSERVABLES", (("motion", observables.motion),))
        yield


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """An analysed ladder of three temperatures."""
    folder = tmp_path_factory.mktemp("series")
    out = folder / "analysis"
    assert main(["analyse", str(ladder(folder)), "--out", str(out)]) == 0
    return out


def test_a_ladder_is_analysed_run_by_run_and_together(series):
    record = json.loads((series / "results.json").read_text())
    found = {entry["name"]: entry for entry in record["quantities"]}
    energy = found["activation_energy_diffusion_Li"]
    assert energy["status"] == "ok"
    assert energy["low"] < 0.15 < energy["high"]
    assert {f"diffusion_coefficient_Li_{kelvin}K" for kelvin in (500, 600, 700)} <= set(found)
    runs = record["provenance"]["series"]["beta"]
    assert [run["run"] for run in runs] == ["500K", "600K", "700K"]
    assert {run["sample"] for run in runs} == {"beta"}
    assert any("one sample" in statement for statement in record["statements"])
    for name in ("figures/arrhenius.png", "curves/arrhenius_diffusion_coefficient_Li.csv"):
        assert (series / name).is_file()
        assert name in read_manifest(series).outputs
    for kelvin in (500, 600, 700):
        assert read_manifest(series / f"{kelvin}K").status == "complete"
        assert (series / f"{kelvin}K" / "results.json").is_file()
    assert set(read_manifest(series).summary) == {"500K", "600K", "700K", "series"}


def test_the_report_shows_what_the_series_says_first(series, tmp_path):
    report([series], tmp_path / "page")
    page = (tmp_path / "page" / "report.html").read_text()
    header = page[: page.index("</header>")]
    assert "Activation energy of diffusion, Li" in header
    assert "Extrapolated diffusion coefficient, Li 300K" in header
    assert header.count("<h1>") == 2
    assert page.index("All runs together: analysis") < page.index("Results: analysis 500K")
    section = page[page.index('<section id="part-0">') :]
    assert section.index('class="statements"') < section.index("<img") < section.index("<table")
    text = re.sub(r"<[^>]+>|\s+", " ", section[section.index("<table") : section.index("</table")])
    for words in ("500 K", "600 K", "700 K", "samples", "cm²/s", "ok"):
        assert words in text
    assert "All runs are of one sample" in section


def test_two_temperatures_give_no_line_so_the_report_shows_the_colder_first(tmp_path):
    runs = ladder(tmp_path, kelvins=(600, 700))
    assert main(["analyse", str(runs), "--out", str(tmp_path / "analysis")]) == 0
    report([tmp_path / "analysis"], tmp_path / "page")
    page = (tmp_path / "page" / "report.html").read_text()
    header = page[: page.index("</header>")]
    assert header.count("<h1>") == 1
    assert "Diffusion coefficient, Li 600K" in header
    assert "95 % interval" in header


def test_a_finished_run_of_an_interrupted_analysis_is_not_analysed_again(
    tmp_path, monkeypatch, capsys
):
    runs = ladder(tmp_path, kelvins=(600, 700))
    out, done = tmp_path / "analysis", []
    whole = room.analyse_run

    def interrupted(run, *rest, **more):
        if run.name == "700K" and len(done) == 1:
            raise KeyboardInterrupt
        done.append(run.name)
        return whole(run, *rest, **more)

    monkeypatch.setattr(room, "analyse_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analyse(AnalyseRecipe(), [runs], out)
    assert done == ["600K"]
    written = (out / "600K" / "results.json").stat().st_mtime_ns
    done.append("interruption over")
    manifest = analyse(AnalyseRecipe(), [runs], out)
    assert done == ["600K", "interruption over", "700K"]
    assert (out / "600K" / "results.json").stat().st_mtime_ns == written
    assert "analysed before, kept" in capsys.readouterr().err
    assert manifest.status == "complete"
    assert {"600K", "700K", "series"} == set(manifest.summary)


def test_subdiffusion_accepted_is_recorded_and_makes_it_another_analysis(tmp_path, capsys):
    run = toy_run(
        tmp_path / "r", structure_directory(tmp_path / "beta"), kelvin=300.0, D=0.0, seed=1
    )
    command = ["analyse", str(run), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert main([*command, "--accept-subdiffusive"]) == 2
    assert "another" in capsys.readouterr().err
    assert main([*command, "--accept-subdiffusive", "--force"]) == 0
    manifest = read_manifest(tmp_path / "out")
    assert manifest.overrides == ["accept-subdiffusive"]
    assert "apparent_diffusion_coefficient_Li" in manifest.summary
    assert manifest.summary["diffusion_coefficient_Li"]["value"] is None


def test_the_plan_says_what_each_run_is_of_and_a_single_run_stays_single(tmp_path):
    runs = ladder(tmp_path, kelvins=(600, 700))
    plan = "\n".join(plan_analyse(AnalyseRecipe(), [runs], tmp_path / "out"))
    assert "beta, sample beta, 600 K, member 0" in plan
    assert list(expand([runs])) == ["600K", "700K"]
    other = ladder(tmp_path / "other", kelvins=(600, 700)).rename(tmp_path / "second")
    names = [f"{name}_{kelvin}K" for name in ("ladder", "second") for kelvin in (600, 700)]
    assert list(expand([runs, other])) == names
    copies = [tmp_path / place / "a" / "x.extxyz" for place in ("one", "two")]
    for copy in copies:
        copy.parent.mkdir(parents=True)
        copy.touch()
    assert list(expand(copies)) == ["00_x.extxyz", "01_x.extxyz"]
    single = "\n".join(plan_analyse(AnalyseRecipe(), [runs / "600K"], tmp_path / "out"))
    assert "sample" not in single
