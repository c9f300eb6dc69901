"""No glass from a quench that left what the potential knows, unless the user says so."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mlip.cli import main
from mlip.errors import GateError
from mlip.files import write_json
from mlip.manifest import read_manifest
from mlip.md.quench_gate import allowed_share, frames_while_freezing, require_trusted_quench
from mlip.md.watch import DeviationTable
from mlip.recipes.protocol import Protocol

QUENCH = """
temperatures_kelvin: [300]
timestep_fs: 0.2
material: glass
glass:
  melt_above_kelvin: 350
  glass_transition_kelvin: 340
  minimise: {kind: minimise, maximum_steps: 3}
stages:
  - {kind: nvt, name: melt, purpose: equilibration, temperature_kelvin: 400, duration_ps: 0.004}
  - {kind: npt, name: quench, final_temperature_kelvin: run, rate_kelvin_per_ps: 10000,
     barostat: iso}
  - {kind: npt, name: relax, duration_ps: 0.002, barostat: iso}
deviation_every_steps: 5
restart_every_steps: 20
"""


def test_only_frames_below_the_melt_count():
    protocol = Protocol.model_validate(
        {
            "temperatures_kelvin": [300],
            "stages": [
                {"kind": "nvt", "name": "melt", "temperature_kelvin": 1500, "duration_ps": 1},
                {
                    "kind": "nvt",
                    "name": "quench",
                    "purpose": "equilibration",
                    "final_temperature_kelvin": 300,
                    "rate_kelvin_per_ps": 1200,
                },
            ],
        }
    )
    quench = protocol.programme()[1]
    assert (quench.first_step, quench.steps) == (1000, 1000)
    steps = np.arange(1000, 2001, 250)
    values = np.arange(30.0).reshape(5, 6)
    table = DeviationTable(steps, values, ("Li",), np.arange(5.0)[:, None])
    # 1500, 1200, 900, 600 and 300 K.
    found = frames_while_freezing(table, quench, 900)
    assert found.steps.tolist() == [1500, 1750, 2000]
    assert found.of_species("Li").tolist() == [2, 3, 4]
    assert found.values.tolist() == values[2:].tolist()


@pytest.fixture
def command(tiny_model, tiny_structure, tmp_path):
    """Command of a melt-quench; the committee trusts P up to `level` eV/Å, all else."""

    def build(level):
        model = tmp_path / "model"
        shutil.copytree(tiny_model, model, dirs_exist_ok=True)
        levels = {
            name: {"upper_ev_per_angstrom": upper, "calibrated": True}
            for name, upper in (("Li", 1e3), ("P", level), ("S", 1e3))
        }
        write_json(model / "validation" / "trust.json", {"levels": levels})
        (tmp_path / "quench.yml").write_text(QUENCH)
        words = ["md", str(tmp_path / "quench.yml"), "--model", str(model)]
        words += ["--structure", str(tiny_structure), "--out", str(tmp_path / "run")]
        return [*words, "--accept-parity"]

    return build


def test_a_distrusted_quench_makes_no_glass_until_it_is_accepted(command, tmp_path, capsys):
    run = tmp_path / "run"
    words = command(1e-9)
    assert main(words) == 3
    said = capsys.readouterr().err
    assert "distrusted 100.0 %" in said
    assert "--accept-untrusted" in said
    assert not (run / "stages" / "02_relax").exists()
    # What was seen of it is there, for labelling.
    assert (run / "deviation.csv").is_file()
    assert (run / "untrusted.extxyz").is_file()
    assert main([*words, "--accept-untrusted"]) == 0
    manifest = read_manifest(run)
    assert "accept-untrusted" in manifest.overrides
    assert manifest.summary["glass"]["share_of_freezing_frames_beyond_trust"] == 1.0
    # The quench was not run again.
    state = json.loads((run / "stages" / "01_quench" / "stage.json").read_text())
    assert len(state["attempts"]) == 1


def test_up_to_five_percent_of_the_frames_may_be_distrusted(tmp_path, capsys):
    for share in (0.0, 0.05):
        require_trusted_quench(share, 100, tmp_path, accepted=False)
    assert "Caution" not in capsys.readouterr().err
    require_trusted_quench(None, 100, tmp_path, accepted=False)
    assert "nobody can tell" in capsys.readouterr().err
    with pytest.raises(GateError, match=r"distrusted 5\.1 % .* at most 5 % for 400 atoms"):
        require_trusted_quench(0.051, 400, tmp_path, accepted=False)
    require_trusted_quench(0.051, 400, tmp_path, accepted=True)


def test_a_larger_box_may_have_more_frames_for_the_same_share_of_atoms(tmp_path):
    assert allowed_share(32) == allowed_share(400) == pytest.approx(0.05)
    # Two boxes of 400 side by side are both within the level in 0.95 ** 2 of the frames.
    assert allowed_share(800) == pytest.approx(1 - 0.95**2)
    assert allowed_share(2000) == pytest.approx(0.2262, abs=1e-4)
    require_trusted_quench(0.09, 800, tmp_path, accepted=False)
    with pytest.raises(GateError, match=r"distrusted 9\.9 % .* at most 9\.75 % for 800 atoms"):
        require_trusted_quench(0.099, 800, tmp_path, accepted=False)
