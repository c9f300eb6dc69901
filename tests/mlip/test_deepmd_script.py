"""Models are written with a neighbour list that needs no table of atoms times ghosts."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

from mlip.engines.deepmd import script_command
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


def test_frozen_and_compressed_models_have_no_table_of_atoms_times_ghosts(tiny_model):
    model = read_model_directory(tiny_model)
    for path in (*model.members, *model.compressed):
        with zipfile.ZipFile(path) as archive:
            code = "".join(
                archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")
            )
        assert "neighbours_by_type" in code
        assert "torch.tile(torch.unsqueeze(atype, 1)" not in code


def test_a_build_of_ones_own_writes_its_own_code(monkeypatch):
    monkeypatch.delenv("LIPS_MLIP_DP", raising=False)
    assert script_command()[1:] == ("-m", "mlip.engines.deepmd_script", "--pt")
    monkeypatch.setenv("LIPS_MLIP_DP", "/bin/echo dp")
    assert script_command() == ("/bin/echo", "dp", "--pt")
