"""Whether torch and DeePMD-kit work; as a script, make a tiny model to try LAMMPS with.

``python -m mlip.engines.deepmd_probe DIRECTORY`` writes ``torch.json``, then ``tiny.pth``:
untrained, random weights, elements H and He. Building it takes the time of the imports; a
training step and a freeze would take them twice.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mlip.engines.deepmd import dp_command
from mlip.engines.layer import Bench, Layer, Trial, attempt, last_lines, untested
from mlip.errors import EngineError
from mlip.files import read_json, write_json

DEEPMD_VERSION = "3.2.0"
# The torch that the C++ plugin of DEEPMD_VERSION was built against.
TORCH_VERSION = "2.11.0"
REINSTALL = f"{sys.executable} -m pip install 'deepmd-kit[torch,lmp]=={DEEPMD_VERSION}'"
FORCE_REINSTALL = REINSTALL.replace("install ", "install --force-reinstall ", 1)

TORCH_FILE, MODEL_FILE = "torch.json", "tiny.pth"
ELEMENTS = ("H", "He")
TINY_MODEL = {
    "type_map": list(ELEMENTS),
    "descriptor": {
        "type": "se_e2_a",
        "sel": [8, 8],
        "rcut_smth": 2.0,
        "rcut": 3.0,
        "neuron": [2, 4],
        "axis_neuron": 2,
        "seed": 1,
    },
    "fitting_net": {"neuron": [4, 4], "seed": 1},
}


def try_model(bench: Bench) -> Trial:
    """Import torch and DeePMD-kit in a process of their own and make the tiny model."""
    root = str(Path(__file__).parents[2])
    return attempt(
        bench,
        "model",
        [sys.executable, "-m", "mlip.engines.deepmd_probe", str(bench.directory)],
        outputs=[bench.directory / MODEL_FILE],
        environment={
            "DEVICE": "cpu",
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])),
        },
    )


def check_torch(bench: Bench, trial: Trial, cards: tuple[int, ...]) -> Layer:
    """Return whether torch is the right one, loads, and sees the graphics cards `cards`."""
    name = "torch"
    try:
        installed = version("torch")
    except PackageNotFoundError:
        return Layer(name, "absent", True, "", "not installed", REINSTALL)
    path = bench.directory / TORCH_FILE
    if not path.is_file():
        return Layer(name, "broken", True, installed, last_lines(trial.text), FORCE_REINSTALL)
    seen = read_json(path)
    devices = seen["devices"]
    text = f"loads; {', '.join(devices) if devices else 'no GPU, runs on the processor'}"
    if installed.partition("+")[0] != TORCH_VERSION:
        expected = f"expected {TORCH_VERSION}, which the plugin was built against"
        return Layer(name, "warning", True, installed, f"{text}; {expected}", REINSTALL)
    if cards and len(devices) < len(cards):
        return Layer(
            name,
            "warning",
            True,
            installed,
            f"sees {len(devices)} of {len(cards)} GPUs (built for CUDA {seen['cuda']})",
            f"update the NVIDIA driver to one for CUDA {seen['cuda']}; then: nvidia-smi",
        )
    return Layer(name, "ok", True, installed, text)


def check_deepmd(bench: Bench, trial: Trial, torch: Layer) -> Layer:
    """Return whether ``dp`` starts and a model can be made."""
    name = "deepmd-kit"
    try:
        installed = version("deepmd-kit")
    except PackageNotFoundError:
        return Layer(name, "absent", True, "", "not installed", REINSTALL)
    if not torch.works:
        return untested(name, torch)
    try:
        words = dp_command()
    except EngineError as error:
        return Layer(name, "broken", True, installed, str(error), FORCE_REINSTALL)
    started = attempt(bench, "dp", [*words, "--version"])
    if not started.ok:
        said = f"{words[0]} --pt --version: {last_lines(started.text)}"
        return Layer(name, "broken", True, installed, said, FORCE_REINSTALL)
    if not trial.ok:
        said = f"making a model: {last_lines(trial.text)}"
        return Layer(name, "broken", True, installed, said, FORCE_REINSTALL)
    text = f"{words[0]} runs; a model was made"
    if installed != DEEPMD_VERSION:
        expected = f"{text}; expected {DEEPMD_VERSION}, others are unproved"
        return Layer(name, "warning", True, installed, expected, REINSTALL)
    return Layer(name, "ok", True, installed, text)


def main(directory: Path) -> None:
    """Write what torch sees, then the tiny model as ``dp freeze`` would."""
    import torch

    cuda = torch.cuda
    count = cuda.device_count() if cuda.is_available() else 0
    write_json(
        directory / TORCH_FILE,
        {
            "cuda": torch.version.cuda,
            "devices": [cuda.get_device_name(index) for index in range(count)],
        },
    )
    from deepmd.pt.model.model import get_model

    model = get_model(json.loads(json.dumps(TINY_MODEL)))
    model.model_def_script = json.dumps(TINY_MODEL)
    model.eval()
    torch.jit.save(torch.jit.script(model), str(directory / MODEL_FILE), {})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
