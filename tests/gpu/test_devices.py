"""One code path on CPU and GPU: the same checks on both, the GPU's behind a marker.

On a machine with a CUDA device: ``LIPS_MLIP_TEST_GPU=1 pytest -m gpu tests/gpu``.
"""

from __future__ import annotations

import os
import re
import runpy
import uuid
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write

from mlip.cli import main
from mlip.engines.deepmd import Prediction, predict_job, read_prediction
from mlip.engines.lammps import lammps_job, layout, single_point_script
from mlip.engines.lammps_layout import candidates
from mlip.engines.lammps_output import read_single_point
from mlip.execution.local import run_job, visible_gpus
from mlip.files import write_text
from mlip.model_directory import read_model_directory

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
ELEMENTS = ["Li", "P", "S"]
SPEED = Path(__file__).parents[1] / "benchmarks" / "md_speed.py"


@pytest.fixture
def device(request, monkeypatch):
    if request.param == "cpu":
        monkeypatch.setenv("DEVICE", "cpu")
    else:
        monkeypatch.delenv("DEVICE", raising=False)
        if not visible_gpus():
            pytest.skip("no CUDA device on this machine")
    return request.param


@pytest.fixture(scope="module")
def reference(tiny_model, tiny_structure, tmp_path_factory):
    """Energy, forces and virial of the first member on the CPU, in Python."""
    return predict(tiny_model, tiny_structure, tmp_path_factory.mktemp("reference"))


def predict(model, structure, directory):
    atoms = read(structure / "structure.extxyz")
    atoms.rattle(0.05, seed=1)
    np.savez(
        directory / "frames.npz",
        coords=atoms.positions[None],
        cells=atoms.cell.array[None],
        symbols=np.array(atoms.get_chemical_symbols()),
    )
    member = read_model_directory(model).members[0]
    task = Prediction(member, directory / "frames.npz", directory / "out.npz")
    run_job(predict_job("predict", directory, [task]), uuid.uuid4().hex)
    return atoms, read_prediction(directory / "out.npz")


@pytest.mark.parametrize("device", DEVICES, indirect=True)
def test_python_on_the_device_agrees_with_the_cpu(
    device, reference, tiny_model, tiny_structure, tmp_path
):
    atoms, expected = reference
    _, found = predict(tiny_model, tiny_structure, tmp_path)
    assert found.energies[0] == pytest.approx(expected.energies[0], abs=1e-5 * len(atoms))
    assert np.abs(found.forces - expected.forces).max() < 1e-3


@pytest.mark.parametrize("device", DEVICES, indirect=True)
def test_lammps_on_the_device_agrees_with_python_on_the_cpu(
    device, reference, tiny_model, tmp_path
):
    atoms, expected = reference
    write(
        tmp_path / "frame.data",
        atoms,
        format="lammps-data",
        specorder=ELEMENTS,
        masses=True,
        units="metal",
        atom_style="atomic",
    )
    member = read_model_directory(tiny_model).members[0]
    script, dump, output = (tmp_path / name for name in ("in.lammps", "f.dump", "e.out"))
    write_text(script, single_point_script(tmp_path / "frame.data", member, ELEMENTS, dump, output))
    resources = layout(compressed=False)
    assert resources.gpus == (len(visible_gpus()) if device == "cuda" else 0)
    job = lammps_job("run 0", tmp_path, script, tmp_path / "log", resources=resources)
    run_job(job, uuid.uuid4().hex)
    energy, forces, _ = read_single_point(dump, output, atoms.get_volume())
    assert energy == pytest.approx(expected.energies[0], abs=1e-5 * len(atoms))
    assert np.abs(forces - expected.forces[0]).max() < 1e-3


@pytest.mark.parametrize("device", DEVICES, indirect=True)
def test_a_potential_trains_on_the_device(device, laboratory, tiny_set, tmp_path):
    command = ["train", str(laboratory / "train.yml"), "--out", str(tmp_path / "model")]
    assert main([*command, "--set", "committee_size=1", "--set", "compress=false"]) == 0
    log = (tmp_path / "model" / "member_0" / "train.log").read_text()
    assert re.search(rf"Computing Device: +{device}", log, re.IGNORECASE)


@pytest.mark.parametrize("device", DEVICES, indirect=True)
def test_speed_and_memory_of_every_layout_are_measured_on_the_device(device, tiny_model):
    for atoms in (64,) if device == "cpu" else (1000, 10_000):
        rows = runpy.run_path(str(SPEED))["measure"](tiny_model, atoms, rounds=1)
        assert {row.layout.resources for row in rows} == set(candidates(rows[0].layout.atoms))
        for row in rows:
            assert atoms <= row.layout.atoms <= 2 * atoms
            assert row.layout.steps_per_second > 0
            assert row.layout.memory_gib > 0.05
            assert (row.card_gib is not None) == (device == "cuda")
            assert row.card_gib is None or row.card_gib > 0.1


def test_device_cpu_hides_every_card(monkeypatch):
    monkeypatch.setenv("DEVICE", "cpu")
    assert visible_gpus() == ()
    assert layout(compressed=True).ranks == len(os.sched_getaffinity(0))
