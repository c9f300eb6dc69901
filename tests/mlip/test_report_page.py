from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_directories import (
    UNRESOLVED,
    add_validation,
    exact_numbers,
    finish,
    make_analysis,
    make_model,
    make_run,
    make_set,
)

from analysis.results import Quantity
from mlip.errors import InputError
from mlip.manifest import read_manifest, record_outputs, write_manifest
from mlip.report.report import plan_report, report


class Numbers(HTMLParser):
    """Collects the exact numbers of <data> elements and all addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if tag == "data" and name == "value":
                self.values += value.split()
            if name in ("src", "href", "srcset", "action", "poster"):
                self.addresses.append(value)


def parsed(page: str) -> Numbers:
    numbers = Numbers()
    numbers.feed(page)
    return numbers


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("report")
    model = make_model(folder / "model")
    add_validation(model)
    return [
        make_set(folder / "set"),
        model,
        make_run(folder / "run"),
        make_analysis(folder / "analysis"),
    ]


@pytest.fixture(scope="module")
def page(directories, tmp_path_factory) -> str:
    return write(directories, tmp_path_factory.mktemp("page") / "out")


def write(directories: list[Path], out: Path) -> str:
    report(directories, out)
    return (out / "report.html").read_text()


def test_page_stands_alone(page):
    found = parsed(page)
    assert not found.tags & {"script", "link", "iframe", "object"}
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in found.addresses)
    text = re.sub(r'src="data:[^"]*"', "", page)
    assert not re.search(r"https?:|url\(|@import", text)


def test_every_number_on_the_page_is_in_a_file(page, directories):
    allowed = set().union(*(exact_numbers(directory) for directory in directories))
    # Counted from what lies there, not written anywhere: two members, one attempt each.
    allowed |= {2.0, 1.0}
    shown = {float(value) for value in parsed(page).values}
    assert len(shown) > 30
    assert shown <= allowed


def test_headline_is_the_conductivity_with_its_interval(page):
    headline = page[page.index("<h1>") : page.index("</header>")]
    assert 'value="0.087654"' in headline
    assert "0.0735 to 0.104 S/cm" in headline
    assert "95 % interval" in headline


def test_unresolved_result_shows_reason_and_bound_instead_of_a_number(tmp_path):
    page = write([make_analysis(tmp_path / "a", UNRESOLVED)], tmp_path / "out")
    headline = page[page.index("<h1>") : page.index("</header>")]
    assert "not resolved" in headline
    assert "the diffusion coefficient is not resolved: 12 net hops in 20 ps" in headline
    assert "below 0.0112 S/cm" in headline
    assert page.count("unresolved") >= len(UNRESOLVED)


def test_transport_leads_the_table_of_results(page):
    table = page[page.index("<h2>Results") : page.index("<h2>Run")]
    assert table.index("Ionic conductivity") < table.index("Diffusion coefficient")
    assert table.index("Diffusion coefficient") < table.index("Coordination number")


def test_overridden_gates_stand_at_the_top(page):
    assert "A gate was overridden: run: accept-parity" in page[: page.index("</header>")]


@pytest.mark.parametrize(("largest", "warned"), [(150.0, False), (90.0, True)])
def test_a_run_beyond_the_tested_deviation_is_called_untrusted(tmp_path, largest, warned):
    model = make_model(tmp_path / "model")
    add_validation(model, largest_deviation_mev_per_angstrom=largest)
    header = write([model, make_run(tmp_path / "run")], tmp_path / "out").partition("</header>")[0]
    assert ("not the material" in header) is warned


@pytest.mark.parametrize(("share", "warned"), [(None, False), (0.02, False), (0.31, True)])
def test_a_run_whose_calibrated_deviation_is_too_large_is_called_untrusted(tmp_path, share, warned):
    run = make_run(tmp_path / "run", beyond_trust=share)
    header = write([run], tmp_path / "out").partition("</header>")[0]
    assert ("not trusted" in header) is warned
    assert ("in 31 % of the frames" in header) is warned


@pytest.mark.parametrize(
    ("cavitated", "told"),
    [
        ((), ""),
        # It closed again.
        (("heat",), ""),
        (("production",), "production (5.25 Å)"),
        (("heat", "production"), "heat (4.75 Å), production (5.25 Å)"),
    ],
)
def test_a_run_with_a_hole_in_its_sample_is_no_homogeneous_material(tmp_path, cavitated, told):
    run = make_run(tmp_path / "run", cavitated=cavitated)
    header = write([run], tmp_path / "out").partition("</header>")[0]
    assert ("has a cavity" in header) is bool(told)
    assert told in header


@pytest.mark.parametrize(("msd", "warned"), [(0.6, False), (15.0, True)])
def test_a_moving_framework_is_no_ion_transport_in_a_solid(tmp_path, msd, warned):
    framework = Quantity(
        "framework_mean_squared_displacement_P", msd, "Angstrom^2", reason="MSD of P after 5 ps"
    )
    analysis = make_analysis(tmp_path / "analysis", [*UNRESOLVED, framework])
    header = write([analysis], tmp_path / "out").partition("</header>")[0]
    assert ("the framework moves" in header) is warned


def test_failed_parity_is_shown(tmp_path):
    model = make_model(tmp_path / "model")
    add_validation(model, passed=False)
    page = write([model], tmp_path / "out")
    assert "parity failed" in page
    assert "not validated" in page


def test_run_without_committee_says_that_nobody_watched(tmp_path):
    page = write([make_run(tmp_path / "run", deviation=False)], tmp_path / "out")
    assert "No committee deviation" in page


def test_text_from_files_is_escaped(page):
    assert "test frames: &lt;3&gt; &amp; few" in page


def test_recipe_inputs_and_seeds_are_shown(page):
    assert "&#34;timestep_fs&#34;: 2.0" in page
    assert "ab" * 32 in page
    assert "velocities 7" in page


def test_directory_of_runs_is_taken_apart(tmp_path):
    for kelvin in (600, 900):
        make_run(tmp_path / "ladder" / f"{kelvin}K", kelvin=float(kelvin))
    ladder = tmp_path / "ladder"
    finish(ladder, "runs", {})
    manifest = read_manifest(ladder)
    manifest.outputs = record_outputs(ladder, sorted(ladder.glob("*/manifest.json")))
    write_manifest(ladder, manifest)
    page = write([ladder], tmp_path / "out")
    assert "Run: ladder 600K" in page
    assert "Run: ladder 900K" in page


def test_analyses_of_several_runs_give_a_headline_each(tmp_path):
    analyses = [
        make_analysis(tmp_path / "cold", UNRESOLVED, kelvin=600.0),
        make_analysis(tmp_path / "hot", kelvin=900.0),
    ]
    page = write(analyses, tmp_path / "out")
    header = page[: page.index("</header>")]
    assert header.count("<h1>") == 2 * len(analyses)  # conductivity and diffusion
    assert "at 600 K" in header
    assert "at 900 K" in header


def test_analysis_without_manifest_is_shown(tmp_path):
    directory = make_analysis(tmp_path / "a")
    (directory / "manifest.json").unlink()
    assert "Ionic conductivity" in write([directory], tmp_path / "out")


def test_unfinished_directory_is_refused_with_the_command_that_resumes(tmp_path):
    run = make_run(tmp_path / "run")
    manifest = read_manifest(run)
    manifest.status = "running"
    write_manifest(run, manifest)
    with pytest.raises(InputError, match=r"not finished.*mlip md") as caught:
        report([run], tmp_path / "out")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_changed_output_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "thermo.csv").write_text("torn")
    with pytest.raises(InputError, match=r"thermo\.csv missing or changed"):
        report([run], tmp_path / "out")


def test_all_bad_directories_are_named_at_once(tmp_path):
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "notes.txt").write_text("x")
    with pytest.raises(InputError) as caught:
        report([tmp_path / "gone", tmp_path / "strange"], tmp_path / "out")
    assert "gone: no such directory" in str(caught.value)
    assert "found notes.txt, expected manifest.json" in str(caught.value)


def test_second_call_writes_nothing_and_new_validation_is_noticed(tmp_path):
    model = make_model(tmp_path / "model")
    report([model], tmp_path / "out")
    before = (tmp_path / "out" / "report.html").stat().st_mtime_ns
    report([model], tmp_path / "out")
    assert (tmp_path / "out" / "report.html").stat().st_mtime_ns == before
    add_validation(model)
    with pytest.raises(InputError, match="--force"):
        report([model], tmp_path / "out")
    assert "63.5 meV/Å" in forced(model, tmp_path / "out")


def forced(model: Path, out: Path) -> str:
    report([model], out, force=True)
    return (out / "report.html").read_text()


def test_the_plan_names_kinds_and_writes_nothing(directories, tmp_path):
    plan = plan_report(directories, tmp_path / "out")
    assert [line.rsplit(": ", 1)[-1] for line in plan[:-1]] == ["analysis", "run", "model", "set"]
    assert not (tmp_path / "out").exists()
