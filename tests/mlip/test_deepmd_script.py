"""Models are written with cheaper code than DeePMD-kit's, and give the same."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest

from mlip.engines.deepmd import dp_test_job, in_one_process, script_command
from mlip.engines.deepmd_calls import calls
from mlip.engines.deepmd_train import compress_job, freeze_job
from mlip.model_directory import read_model_directory

# In a process of its own: DeePMD-kit sets the threads of the process that imports it.
COMPARE = """
import json
import torch
from deepmd.pt.utils.nlist import nlist_distinguish_types
from mlip.engines.deepmd_script import neighbours_by_type

torch.manual_seed(1)
equal = []
for frames, atoms, ghosts, width in ((1, 1, 0, 3), (1, 7, 20, 12), (2, 16, 300, 40)):
    every = atoms + ghosts
    types = torch.randint(0, 3, (frames, every))
    order = torch.stack([torch.randperm(max(every, width)) for _ in range(frames * atoms)])
    nlist = order[:, :width].view(frames, atoms, width)
    nlist = torch.where((nlist < every) & (torch.rand(nlist.shape) < 0.8), nlist, -1)
    for sel in ([5, 2, 4], [width, width, width]):
        old, new = (f(nlist, types, sel) for f in (nlist_distinguish_types, neighbours_by_type))
        equal.append(bool(torch.equal(old, new)) and old.shape == new.shape)
print(json.dumps(equal))
"""


def test_neighbours_are_divided_as_deepmd_divides_them():
    done = subprocess.run(
        [sys.executable, "-c", COMPARE], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [True] * 6


FIT = """
import json
import torch
from deepmd.pt.model.task.ener import EnergyFittingNet
from mlip.engines.deepmd_script import replace_in_deepmd

nets = []
for mixed in (False, True):
    net = EnergyFittingNet(3, 5, neuron=[8, 8], mixed_types=mixed, precision="float64", seed=1)
    net.bias_atom_e += torch.tensor([[1.0], [2.0], [3.0]]).to(net.bias_atom_e)
    nets.append(net)
found = []
for case in range(4):
    net = nets[case % 2]
    if case == 2:
        replace_in_deepmd()
    if case >= 2:
        net = torch.jit.script(net)
    for types in ([[0, 1, 2, 2], [2, 0, 0, 1]], [[0, 2], [2, 2]], [[1, -1, 1]], [[]]):
        atype = torch.tensor(types, dtype=torch.int64)
        torch.manual_seed(2)
        descriptor = torch.rand((*atype.shape, 5), dtype=torch.float64).to(net.bias_atom_e.device)
        descriptor.requires_grad_(True)
        out = net(descriptor, atype.to(descriptor.device), return_atomic_feature=True)
        energy, feature = out["energy"], out["atomic_feature"]
        (energy.sum() + feature.sum()).backward()
        lists = [item.flatten().tolist() for item in (energy, feature, descriptor.grad)]
        found.append([[*energy.shape, *feature.shape], *lists])
print(json.dumps(found))
"""


def test_each_atom_is_fitted_by_the_net_of_its_element_as_deepmd_fits_it():
    done = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 16
    for (shape, *numbers), (new_shape, *new_numbers) in zip(found[:8], found[8:], strict=True):
        assert new_shape == shape
        for old, new in zip(numbers, new_numbers, strict=True):
            assert new == pytest.approx(old, rel=1e-12)
    assert found[0][1][0] != 0.0
    assert found[2][1][1] == 0.0  # an atom that does not count


def test_frozen_and_compressed_models_have_no_table_of_atoms_times_ghosts(tiny_model):
    model = read_model_directory(tiny_model)
    for path in (*model.members, *model.compressed):
        with zipfile.ZipFile(path) as archive:
            code = "".join(
                archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")
            )
        assert "neighbours_by_type" in code
        assert "torch.tile(torch.unsqueeze(atype, 1)" not in code
        assert "torch.index_add" in code


def test_a_build_of_ones_own_writes_its_own_code(monkeypatch):
    monkeypatch.delenv("LIPS_MLIP_DP", raising=False)
    assert script_command()[1:] == ("-m", "mlip.engines.deepmd_calls", "--script", "--pt")
    monkeypatch.setenv("LIPS_MLIP_DP", "/bin/echo dp")
    assert script_command() == ("/bin/echo", "dp", "--pt")


def test_calls_in_one_process_are_those_of_the_jobs(monkeypatch, tmp_path):
    monkeypatch.delenv("LIPS_MLIP_DP", raising=False)
    frozen, small = tmp_path / "model.pth", tmp_path / "compressed.pth"
    jobs = [
        freeze_job("freeze", tmp_path, tmp_path / "model.ckpt-1.pt", frozen),
        compress_job("compress", tmp_path, frozen, small, tmp_path / "closest.json"),
    ]
    together = in_one_process("both", tmp_path / "both.log", jobs)
    assert together.argv[1:4] == ("-m", "mlip.engines.deepmd_calls", "--script")
    assert calls(list(together.argv[4:])) == [list(job.argv[4:]) for job in jobs]
    assert [words[:2] for words in calls(list(together.argv[4:]))] == [
        ["--pt", "freeze"],
        ["--pt", "compress"],
    ]
    assert together.outputs == (frozen, small)
    # What one of them writes is not there before.
    assert set(together.inputs) == {tmp_path / "model.ckpt-1.pt", tmp_path / "closest.json"}

    tests = [dp_test_job(f"test {k}", tmp_path, frozen, tmp_path, f"t{k}") for k in range(2)]
    together = in_one_process("tests", tmp_path / "tests.log", tests)
    assert "--script" not in together.argv
    assert calls(list(together.argv[3:])) == [list(job.argv[1:]) for job in tests]

    assert in_one_process("one", tmp_path / "one.log", jobs[:1]) is None
    monkeypatch.setenv("LIPS_MLIP_DP", "/bin/echo dp")
    assert in_one_process("foreign", tmp_path / "both.log", jobs) is None
