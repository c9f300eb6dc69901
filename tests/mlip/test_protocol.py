"""Protocols: time tables, what is refused and why, and those that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlip.cli import main
from mlip.errors import RecipeError
from mlip.md.plan import frames_of
from mlip.md.script import streams
from mlip.recipes.base import load_recipe, validated
from mlip.recipes.programme import quench_rate, time_above
from mlip.recipes.protocol import Protocol
from mlip.recipes.protocol_checks import cautions

SHIPPED = sorted((Path(__file__).parents[2] / "md_runs" / "protocols").rglob("*.yml"))
MELT = {"kind": "npt", "name": "melt", "temperature_kelvin": 1500, "duration_ps": 100}
QUENCH = {"kind": "npt", "name": "quench", "final_temperature_kelvin": 300, "barostat": "iso"}
HOLD = {"kind": "npt", "name": "relax", "duration_ps": 1, "barostat": "iso"}
PRODUCE = {"kind": "nvt", "duration_ps": 1}


def protocol(*stages, **keys):
    return validated({"temperatures_kelvin": [300], "stages": list(stages), **keys}, Protocol, "p")


def melted(rate=2.5, **keys):
    return protocol({**MELT, "barostat": "iso"}, {**QUENCH, "rate_kelvin_per_ps": rate}, **keys)


def test_the_published_quench_takes_480_ps_and_starts_where_the_melt_ended():
    melt, quench = melted(timestep_fs=0.5).programme()
    assert (quench.start_kelvin, quench.end_kelvin) == (1500, 300)
    assert quench.duration_ps == pytest.approx(480)
    assert (quench.first_step, quench.steps) == (melt.last_step, 960_000) == (200_000, 960_000)


def test_stages_with_steps_of_their_own_add_up_in_time():
    parts = protocol({**HOLD, "timestep_fs": 0.5}, PRODUCE).programme()
    assert [(part.first_step, part.last_step) for part in parts] == [(0, 2000), (2000, 3000)]
    assert parts[1].start_ps == pytest.approx(1.0)


def test_time_above_a_temperature_counts_holds_and_shares_of_ramps():
    parts = melted().programme()
    assert time_above(parts, 1000) == pytest.approx(100 + 480 * 500 / 1200)
    assert time_above(parts, 1500) == 0
    assert time_above(parts, 100) == pytest.approx(580)
    assert quench_rate(parts, 482) == 2.5
    with pytest.raises(ValueError, match="no ramp falls through 200 K"):
        quench_rate(parts, 200)


def test_rates_replicas_and_temperatures_make_runs_with_seeds_of_their_own():
    ladder = protocol(
        {**MELT, "barostat": "iso"},
        {**QUENCH, "final_temperature_kelvin": "run"},
        temperatures_kelvin=[300, 400],
        ramp_rates_kelvin_per_ps=[10, 50],
        replicas=2,
        seed=7,
    )
    names = ladder.run_names()
    assert names[:2] == ("replica_1_10K_per_ps_300K", "replica_1_10K_per_ps_400K")
    assert len(set(names)) == len(names) == 8
    singles = ladder.singles()
    assert [single.seed for single in singles] == list(range(7, 15))
    assert [single.programme()[1].duration_ps for single in singles[:4]] == [120, 110, 24, 22]
    assert [single.run_names() for single in singles] == [("",)] * 8
    assert protocol(PRODUCE, temperatures_kelvin=[300, 400]).run_names() == ("300K", "400K")


def test_the_dense_stream_is_the_beginning_of_production_alone():
    dense = {"every_steps": 10, "duration_ps": 0.1}
    hold, produce = (p := protocol(HOLD, PRODUCE, dense=dense)).programme()
    assert [stream.name for stream in streams(p, hold)] == ["main"]
    main_stream, dense_stream = streams(p, produce)
    assert (main_stream.last_step, dense_stream.last_step) == (2000, 1100)
    assert frames_of(p, produce) == 21 + 11


@pytest.mark.parametrize(
    ("stages", "keys", "message"),
    [
        ([{**HOLD, "barostat": "aniso"}], {"material": "glass"}, "resist a change of shape"),
        ([{**HOLD, "barostat": "tri"}], {"material": "liquid"}, "resist a change of shape"),
        ([{**HOLD, "barostat": "tri"}], {"material": "glass-ceramic"}, "resist a shear"),
        ([HOLD], {"material": "crystal"}, "Write aniso or tri"),
        ([{**PRODUCE, "final_temperature_kelvin": 400}], {}, "production along a ramp"),
        ([{**PRODUCE, "hold_origin": "crystal"}], {}, "production with held atoms"),
        ([HOLD, {**PRODUCE, "cell": "keep"}], {}, "relax, not at its pressure. Write cell: mean"),
        ([HOLD, {"kind": "nve", "duration_ps": 1}], {}, "an nvt stage before it"),
        ([{**HOLD, "temperature_kelvin": 500}, PRODUCE], {}, "which ends at 500 K"),
        (
            [MELT | {"barostat": "iso"}, QUENCH | {"duration_ps": 9}, PRODUCE],
            {},
            "cell: mean after",
        ),
        (
            [QUENCH | {"temperature_kelvin": 900, "duration_ps": 9}, PRODUCE | {"cell": "keep"}],
            {},
            "directly after quench, a ramp",
        ),
        (
            [
                {"kind": "deform", "component": "x", "final_strain": 0.1, "duration_ps": 1},
                PRODUCE,
            ],
            {},
            "directly after deform, a deformation",
        ),
        (
            [
                HOLD | {"temperature_kelvin": 500},
                PRODUCE | {"name": "settle", "purpose": "equilibration"},
                PRODUCE,
            ],
            {},
            "mean cell of relax at 500 K",
        ),
        ([PRODUCE, {"kind": "minimise"}], {}, "minimise can only come before"),
        ([QUENCH | {"temperature_kelvin": 900}], {}, "duration_ps, rate_kelvin_per_ps, or"),
        ([QUENCH | {"duration_ps": 1}], {}, "a ramp from 300 K to 300 K"),
        ([QUENCH | {"duration_ps": 1, "rate_kelvin_per_ps": 1}], {}, "not both"),
        ([HOLD | {"rate_kelvin_per_ps": 1}], {}, "needs final_temperature_kelvin"),
        ([HOLD | {"hold_origin": "crystal"}], {}, "hold_origin: unknown key"),
        ([HOLD | {"thermostat": "langevin"}], {}, "thermostat: unknown key"),
        ([PRODUCE], {"ramp_rates_kelvin_per_ps": [5]}, "every ramp has a length of its own"),
        (
            [PRODUCE],
            {"glass": {"melt_above_kelvin": 1000, "glass_transition_kelvin": 482}},
            "no ramp falls through 482 K",
        ),
        ([PRODUCE], {"dense": {"every_steps": 50, "duration_ps": 1}}, "no denser than"),
        ([{"kind": "deform", "component": "x", "final_strain": 0.1}], {}, "either duration_ps"),
    ],
)
def test_what_is_physically_wrong_is_refused_with_what_to_write(stages, keys, message):
    with pytest.raises(RecipeError, match=message):
        protocol(*stages, **keys)


@pytest.mark.parametrize(
    ("stages", "keys"),
    [
        ([HOLD, PRODUCE], {"material": "glass"}),
        ([HOLD], {"material": "cubic-crystal"}),
        ([HOLD | {"barostat": "normal_c"}, PRODUCE], {"material": "glass"}),
        ([HOLD, PRODUCE | {"name": "a", "purpose": "equilibration"}, PRODUCE], {}),
        ([PRODUCE | {"name": "a", "cell": "keep"}, {"kind": "nve", "duration_ps": 1}], {}),
    ],
)
def test_what_is_right_passes(stages, keys):
    protocol(*stages, **keys)


def test_a_long_step_in_a_melt_is_cautioned_against():
    hot = {**MELT, "barostat": "iso"}
    assert "3 fs at 1500 K" in cautions(protocol(hot, timestep_fs=3).programme())[0]
    assert cautions(protocol(hot, timestep_fs=2).programme()) == ()
    assert cautions(protocol(HOLD, timestep_fs=3).programme()) == ()


def test_the_protocols_that_the_work_needs_are_shipped():
    names = {"melt_quench", "melt_quench_small", "crystal", "glass_ceramic", "diffusion_ladder"}
    names |= {"rate_ladder", "melt_quench_slab", "smoke", "demo"}
    assert names <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_protocol_is_valid_and_without_caution(path):
    for single in load_recipe(path, Protocol).singles():
        assert cautions(single.programme()) == ()


def test_the_shipped_melt_quench_is_the_published_one():
    (path,) = [path for path in SHIPPED if path.stem == "melt_quench"]
    parts = {part.stage.name: part for part in load_recipe(path, Protocol).programme()}
    assert (parts["melt"].start_kelvin, parts["melt"].duration_ps) == (1500, 100)
    assert parts["quench"].rate_kelvin_per_ps == pytest.approx(-2.5)
    assert parts["quench"].end_kelvin == 300
    assert parts["quench"].stage.pressure_gpa == 1e-4


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_protocol_can_be_planned(path, tiny_model, tiny_structure, tmp_path, capsys):
    structure = tiny_structure
    if path.stem in {"glass_ceramic", "3_slab"}:
        structure = tmp_path / "slab"
        structure.mkdir()
        text = (tiny_structure / "structure.extxyz").read_text()
        half = text.replace("crystal", "glass", 16)
        (structure / "structure.extxyz").write_text(half)
    command = ["md", str(path), "--model", str(tiny_model), "--structure", str(structure)]
    assert main([*command, "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for words in ("stage", "disk", "memory", "run(s)"):
        assert words in shown
    assert not (tmp_path / "run").exists()
