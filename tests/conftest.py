"""Shared by all tests: thread limits, data locations, and one tiny committee a session.

Under pytest-xdist the workers share the committee too: the first to need it makes it, and
for the others the same command finds it done.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Before any engine starts: tests share few cores, and every subprocess inherits these.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NUM_WORKERS"] = "0"
if "LIPS_MLIP_TEST_GPU" not in os.environ:
    os.environ["DEVICE"] = "cpu"

import tempfile

# Forecasts learn from real runs, not from tests.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="mlip-test-cache-")

import pytest

from mlip.cli import main

REPOSITORY = Path(__file__).resolve().parent.parent
RAW = REPOSITORY / "training_data" / "raw" / "li3ps4_cp2k_aimd"

INGEST = f"""
type_map: [Li, P, S]
sources:
  - name: beta
    format: cp2k
    path: {RAW}/beta_600K
    phase: crystal
    temperature_kelvin: 600
    stride: 6
    split: train
  - name: melt
    format: cp2k
    path: {RAW}/melt_1500K
    phase: melt
    temperature_kelvin: 1500
    stride: 12
    split: test
"""

TRAIN = """
data: set
steps: 40
committee_size: 2
descriptor: {cutoff_angstrom: 4.0, embedding_neurons: [4, 8], axis_neurons: 2}
fitting_neurons: [8, 8]
checkpoint_every_steps: 20
report_every_steps: 10
learning_rate: {start: 4.0e-4}
"""

# In longer steps the atoms get far enough along the wrong forces for the guards to stop the run.
PROTOCOL = """
temperatures_kelvin: [300]
timestep_fs: 0.2
stages:
  - {kind: minimise, maximum_steps: 3}
  - {kind: npt, duration_ps: 0.004, barostat: aniso}
  - {kind: nvt, duration_ps: 0.012}
thermo_every_steps: 2
trajectory_every_steps: 2
deviation_every_steps: 10
restart_every_steps: 10
"""


def pytest_unconfigure() -> None:
    """Leave nothing behind in the temporary directory."""
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def one_core():
    """Engines of the tests run on one core, one a worker; the layout follows the affinity."""
    cores = os.sched_getaffinity(0)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(cores)[worker % len(cores)]})
    yield
    os.sched_setaffinity(0, cores)


@contextmanager
def one_at_a_time(directory: Path) -> Iterator[None]:
    """Let one worker at a time make what all of them use."""
    with (directory / "workers").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def made(directory: Path, arguments: list[str]) -> Path:
    """Run the command line once; a later worker finds the work done."""
    with one_at_a_time(directory):
        assert main(arguments) == 0
    return Path(arguments[arguments.index("--out") + 1])


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory) -> Path:
    """A directory with the recipes that the shared set, model and run are made from."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "laboratory"
    directory.mkdir(exist_ok=True)
    with one_at_a_time(directory):
        for name, text in (("ingest", INGEST), ("train", TRAIN), ("protocol", PROTOCOL)):
            if not (directory / f"{name}.yml").exists():
                (directory / f"{name}.yml").write_text(text)
    return directory


@pytest.fixture(scope="session")
def tiny_set(laboratory) -> Path:
    """A set of a few own AIMD frames: beta for training, melt for testing."""
    command = ["ingest", str(laboratory / "ingest.yml"), "--out", str(laboratory / "set")]
    return made(laboratory, command)


@pytest.fixture(scope="session")
def tiny_model(laboratory, tiny_set, one_core) -> Path:
    """A committee of two, trained for seconds: real files, useless physics."""
    command = ["train", str(laboratory / "train.yml"), "--out", str(laboratory / "model")]
    return made(laboratory, command)


@pytest.fixture(scope="session")
def foreign_model(laboratory, tiny_model, tiny_set, one_core) -> Path:
    """One potential of the committee, without a manifest, validated."""
    foreign = laboratory / "foreign"
    with one_at_a_time(laboratory):
        foreign.mkdir(exist_ok=True)
        for name in ("model_0.pth", "type_map.json"):
            if not (foreign / name).exists():
                shutil.copy(tiny_model / name, foreign)
    command = ["validate", str(foreign), "--data", str(tiny_set)]
    command += ["--set", "parity_frames=1", "--out", str(foreign / "validation")]
    made(laboratory, command)
    return foreign


@pytest.fixture(scope="session")
def tiny_structure(laboratory) -> Path:
    """One cell of beta-Li3PS4, 32 atoms."""
    return made(laboratory, ["build", "beta-Li3PS4", "--out", str(laboratory / "structure")])


@pytest.fixture(scope="session")
def tiny_run(laboratory, tiny_model, tiny_structure, one_core) -> Path:
    """A finished run of the tiny model."""
    command = ["md", str(laboratory / "protocol.yml"), "--model", str(tiny_model)]
    command += ["--structure", str(tiny_structure), "--out", str(laboratory / "run")]
    return made(laboratory, [*command, "--accept-parity"])
