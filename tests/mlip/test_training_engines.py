"""Training with the real engine beyond the default: networks, repulsion, start and budget."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from mlip.cli import main
from mlip.engines import lammps
from mlip.engines.deepmd import Prediction, explain, predict_job, read_prediction
from mlip.engines.deepmd_model import model_script, network_differences
from mlip.engines.deepmd_train import (
    read_learning_curve,
    seconds_per_step,
    train_command,
    train_job,
)
from mlip.errors import EngineError, RecipeError
from mlip.execution.job import Resources
from mlip.execution.local import run_job
from mlip.manifest import read_manifest
from mlip.recipes.train import TrainRecipe
from mlip.training.budget import layout, steps_for_budget
from mlip.training.network import NeighbourRoom, model_section
from mlip.training.repulsion import repulsion_table, zbl_energy
from mlip.training.starting import StartingPoint, require_same_network

ONE_MEMBER = """
data: set
steps: 10
committee_size: 1
fitting_neurons: [8, 8]
checkpoint_every_steps: 10
report_every_steps: 5
"""


def write_recipe(laboratory, name, text):
    path = laboratory / f"{name}.yml"
    path.write_text(text)
    return ["train", str(path), "--out", str(laboratory / name)], laboratory / name


def evaluate(models, folder, coords, cells, symbols):
    folder.mkdir(exist_ok=True)
    np.savez(folder / "frames.npz", coords=coords, cells=cells, symbols=np.array(symbols))
    tasks = [
        Prediction(model, folder / "frames.npz", folder / f"{model.stem}.npz") for model in models
    ]
    run_job(predict_job("evaluate", folder, tasks), token="test")
    return [read_prediction(task.output) for task in tasks]


def test_the_universal_repulsion_has_known_values():
    # He on Au at 0.01 Å is almost the bare Coulomb energy; screening takes most of it at 1 Å.
    assert zbl_energy(1e-5, 2, 79) == pytest.approx(14.3996 * 158 / 1e-5, rel=1e-3)
    # LAMMPS pair_style zbl, Si-Si at 1 Å without switching: worked out by hand from the formula.
    length = 0.46850 / (2 * 14**0.23)
    terms = [(0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162)]
    by_hand = 14.399645 * 14**2 * sum(c * np.exp(-d / length) for c, d in terms)
    assert zbl_energy(1.0, 14, 14) == pytest.approx(by_hand, rel=1e-7)
    distances = np.linspace(0.1, 5.0, 200)
    assert np.all(np.diff(zbl_energy(distances, 3, 16)) < 0)


def test_the_table_is_the_repulsion_inside_and_nothing_at_the_cutoff():
    table = repulsion_table(["Li", "P", "S"], 1.4, 4.0)
    r = table[:, 0]
    assert table.shape[1] == 1 + 6
    inside = r <= 1.4
    for column, charges in enumerate([(3, 3), (3, 15), (3, 16), (15, 15), (15, 16), (16, 16)], 1):
        np.testing.assert_allclose(
            table[inside, column], zbl_energy(r[inside], *charges), rtol=1e-12
        )
    assert np.all(table[r >= 4.0, 1:] == 0.0)
    assert np.all(table[r < 4.0, 1:] >= 0.0)


@pytest.mark.slow
def test_below_the_inner_distance_a_pair_feels_the_repulsion_alone(
    tiny_set, laboratory, one_core, tmp_path
):
    text = ONE_MEMBER + "short_range_repulsion: {inner_angstrom: 0.8, outer_angstrom: 1.4}\n"
    text += "descriptor: {type: se_atten, cutoff_angstrom: 4.0, embedding_neurons: [4, 8]"
    command, out = write_recipe(laboratory, "repulsive", text + ", axis_neurons: 2}\n")
    assert main(command) == 0
    distances = np.array([0.3, 0.45, 0.6, 0.75])
    coords = np.zeros((4, 2, 3))
    coords[:, 1, 0] = distances
    cells = np.tile(20.0 * np.eye(3), (4, 1, 1))
    models = [out / "model_0.pth", out / "compressed_0.pth"]
    for symbols, charges in ((("Li", "S"), (3, 16)), (("P", "P"), (15, 15))):
        expected = zbl_energy(distances, *charges)
        for found in evaluate(models, tmp_path, coords, cells, symbols):
            # The energies of single atoms cancel in differences.
            np.testing.assert_allclose(
                np.diff(found.energies), np.diff(expected), rtol=1e-3, atol=0.0
            )
            step = 1e-4
            slope = zbl_energy(distances + step, *charges) - zbl_energy(distances - step, *charges)
            np.testing.assert_allclose(found.forces[:, 1, 0], -slope / (2 * step), rtol=1e-3)


def test_the_compressed_model_is_the_model_on_the_data(tiny_set, tiny_model, tmp_path):
    system = tiny_set / "train" / "beta"
    types = np.loadtxt(system / "type.raw", dtype=int)
    coords = np.load(system / "set.000" / "coord.npy").reshape(-1, len(types), 3)
    cells = np.load(system / "set.000" / "box.npy").reshape(-1, 3, 3)
    models = [tiny_model / "model_0.pth", tiny_model / "compressed_0.pth"]
    symbols = np.array(["Li", "P", "S"])[types]
    plain, table = evaluate(models, tmp_path, coords, cells, symbols)
    np.testing.assert_allclose(table.forces, plain.forces, atol=1e-4)
    np.testing.assert_allclose(table.energies, plain.energies, atol=1e-5 * len(types))


@pytest.mark.slow
def test_dpa3_is_trained_frozen_and_runs_in_lammps(tiny_set, laboratory, one_core, tmp_path):
    net = "{node_dim: 8, edge_dim: 6, angle_dim: 4, layers: 2, cutoff_angstrom: 4.0, "
    net += "cutoff_smooth_angstrom: 3.5, angle_cutoff_angstrom: 3.0, "
    net += "angle_cutoff_smooth_angstrom: 2.5}"
    text = f"{ONE_MEMBER}descriptor:\n  type: dpa3\n  repflow: {net}\n"
    command, out = write_recipe(laboratory, "message_passing", text)
    assert main(command) == 0
    assert not list(out.glob("compressed*"))
    system = tiny_set / "train" / "beta"
    types = np.loadtxt(system / "type.raw", dtype=int)
    coords = np.load(system / "set.000" / "coord.npy")[:1].reshape(1, -1, 3)
    cells = np.load(system / "set.000" / "box.npy")[:1].reshape(1, 3, 3)
    assert np.allclose(cells[0], np.diag(np.diag(cells[0])))
    symbols = np.array(["Li", "P", "S"])[types]
    (found,) = evaluate([out / "model_0.pth"], tmp_path, coords, cells, symbols)
    edges = np.diag(cells[0])
    lines = [f"{len(types)} atoms", "3 atom types"]
    lines += [f"0 {edge:.10f} {axis}lo {axis}hi" for edge, axis in zip(edges, "xyz", strict=True)]
    lines += ["", "Masses", "", "1 6.94", "2 30.97", "3 32.06", "", "Atoms # atomic", ""]
    lines += [
        f"{k} {kind + 1} " + " ".join(f"{x:.10f}" for x in place % edges)
        for k, (kind, place) in enumerate(zip(types, coords[0], strict=True), 1)
    ]
    (tmp_path / "frame.data").write_text("made by a test\n\n" + "\n".join(lines) + "\n")
    script = tmp_path / "in.lammps"
    script.write_text(
        lammps.single_point_script(
            tmp_path / "frame.data",
            out / "model_0.pth",
            ["Li", "P", "S"],
            tmp_path / "forces.dump",
            tmp_path / "energy.txt",
        )
    )
    done = subprocess.run(
        lammps.lammps_words(Resources(), ["-in", str(script), "-log", "none"]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    energy = float((tmp_path / "energy.txt").read_text().split()[0])
    assert energy == pytest.approx(found.energies[0], abs=1e-4 * len(types))


def test_a_budget_becomes_steps_by_a_probe(tiny_model, one_core, tmp_path):
    content = json.loads((tiny_model / "member_0" / "input.json").read_text())
    data = content["training"]["training_data"]
    data["systems"] = [str((tiny_model / "member_0" / name).resolve()) for name in data["systems"]]

    def probe_input(steps):
        return {**content, "training": {**content["training"], "numb_steps": steps}}

    plan = layout(3, cores=1, gpus=0)
    steps = steps_for_budget(1.0, tmp_path, plan, probe_input, "token")
    kept = json.loads((tmp_path / "steps.json").read_text())
    assert kept["waves"] == 3
    assert steps == kept["steps"] == int(3600 / 3 / kept["seconds_per_step"])
    assert [path.name for path in tmp_path.iterdir()] == ["steps.json"]


def test_a_committee_starts_from_another_with_the_steps_its_budget_gave(
    tiny_set, tiny_model, laboratory, one_core, capsys
):
    text = (laboratory / "train.yml").read_text().replace("steps: 40", "budget_hours: 1.0e-6")
    text = text.replace("committee_size: 2", "committee_size: 1\ncompress: false")
    text += "start_from: model\n"
    command, out = write_recipe(laboratory, "finer", text)
    assert main(command) == 2
    assert "are 0 steps" in capsys.readouterr().err
    assert not list(out.glob("probe_*"))
    # A resumed run asks the file, and no probe.
    (out / "steps.json").write_text(json.dumps({"steps": 10}))
    assert main(command) == 0
    assert "steps tell how many fit" not in capsys.readouterr().err
    assert read_manifest(out).summary["steps"] == 10
    assert "Resuming from" in (out / "member_0" / "train.log").read_text()
    begun = read_learning_curve(out / "member_0" / "lcurve.out")
    before = read_learning_curve(tiny_model / "member_0" / "lcurve.out")
    assert begun[0]["rmse_e_trn"] < before[0]["rmse_e_trn"]


def test_a_start_from_another_network_is_refused_by_name(tiny_set, tiny_model, laboratory, capsys):
    text = (laboratory / "train.yml").read_text() + "start_from: model\n"
    text = text.replace("fitting_neurons: [8, 8]", "fitting_neurons: [8, 9]")
    command, _ = write_recipe(laboratory, "misfit", text)
    assert main(command) == 2
    told = capsys.readouterr().err
    assert "fitting_net.neuron: found [8, 8], expected [8, 9]" in told


def test_weights_of_another_form_are_refused_by_name(tmp_path):
    elements = ["Li", "P", "S"]
    room = NeighbourRoom(*2 * [dict.fromkeys(elements, 8)])
    keys = {"data": "set", "steps": 5, "descriptor": {"type": "se_atten", "cutoff_angstrom": 4.0}}
    plain = TrainRecipe(**keys)
    repulsion = {"inner_angstrom": 0.8, "outer_angstrom": 1.4}
    repulsive = TrainRecipe(**keys, short_range_repulsion=repulsion)

    def start(script):
        return StartingPoint(tmp_path, (tmp_path / "model_0.pth",), script)

    sections = {r: model_section(r, 1, elements, room, "x.table") for r in (plain, repulsive)}
    for recipe, section in sections.items():
        require_same_network(start(section), recipe, elements)
    with pytest.raises(RecipeError, match=r"sw_rmin: found 0\.8, expected None"):
        require_same_network(start(sections[repulsive]), plain, elements)
    foreign = json.loads(json.dumps(sections[plain]))
    foreign["fitting_net"]["activation_function"] = "gelu"
    with pytest.raises(RecipeError, match=r"activation_function: found gelu, expected tanh"):
        require_same_network(start(foreign), plain, elements)


def test_a_frozen_model_tells_its_network(tiny_model):
    script = model_script(tiny_model / "model_0.pth")
    assert script["type_map"] == ["Li", "P", "S"]
    wanted = json.loads((tiny_model / "member_1" / "input.json").read_text())["model"]
    assert network_differences(script, wanted) == []  # only the seed differs
    wanted["descriptor"]["rcut"] = 5.0
    assert network_differences(script, wanted) == ["descriptor.rcut: found 4.0, expected 5.0"]


def test_several_cards_share_a_member_by_torchrun(tmp_path):
    (tmp_path / "input.json").write_text("{}")
    assert "torchrun" not in " ".join(train_command(1))
    job = train_job("train", tmp_path, 10, Resources(ranks=4, gpus=4), start=tmp_path / "m.pth")
    words = job.command()
    assert words[0].endswith("torchrun")
    assert words[1:4] == ("--standalone", "--nproc_per_node=4", "--no-python")
    assert words[5:] == (
        *("--pt", "train", "input.json", "--skip-neighbor-stat"),
        *("--init-frz-model", str(tmp_path / "m.pth")),
    )


def test_the_speed_of_a_training_is_that_of_its_last_start(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("Start to train 80 steps.\nkilled\n")
    with pytest.raises(EngineError, match="no average training time"):
        seconds_per_step(log)
    line = "DEEPMD INFO    average training time: {} s/batch (20 batches excluded)\n"
    log.write_text(line.format("0.9000") + line.format("0.0500"))
    assert seconds_per_step(log) == pytest.approx(0.05)


def test_a_failure_is_explained_by_what_it_says():
    trace = "frame #0: c10::Error::Error(c10::SourceLocation)\n"
    line = "torch.AcceleratorError: CUDA error: an illegal memory access"
    assert explain(f"Traceback\n{line}\n{trace}") == line
    assert "make install" in explain("OSError: libx.so: undefined symbol: _ZN3c105Error")
    assert explain("RuntimeError: NaN detected at batch 10") == (
        "RuntimeError: NaN detected at batch 10"
    )
