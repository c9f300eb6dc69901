"""Start structures and runs of the potential; what broke down stays so on a second call."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np

from mlip.errors import BlowUpError
from mlip.execution.progress import tell
from mlip.files import read_json, replacing, write_json
from mlip.manifest import NAME
from mlip.md.run import md, read_structure
from mlip.model_directory import PARITY_FILE, ModelDirectory
from mlip.recipes.base import resolve
from mlip.recipes.build import BuildRecipe
from mlip.recipes.dynamics import Start
from mlip.recipes.protocol import Protocol
from mlip.structures.build import build
from mlip.structures.geometry import supercell

MINIMISE: dict[str, Any] = {"kind": "minimise", "maximum_steps": 100}
# Steps between entries of thermo.csv.
THERMO_EVERY_STEPS = 10


@dataclass(frozen=True)
class Outcome:
    """How a run went.

    Attributes
    ----------
    directory : Path
        Run directory; of a run that broke down up to its last whole frame.
    said : str
        What the engine said when it broke down; empty if it ended.
    """

    directory: Path
    said: str

    @property
    def ended(self) -> bool:
        """Whether it came to its end."""
        return not self.said


def run(protocol: Protocol, directory: Path, model: Path, structure: Path) -> Outcome:
    """Run once, or find it done.

    Raises
    ------
    MlipError
        As `mlip.md.run.md`, except that a break-down is an outcome.
    """
    record = directory.with_name(f"{directory.name}.outcome.json")
    if record.is_file():
        return Outcome(directory, str(read_json(record)["said"]))
    said = ""
    try:
        md(protocol, directory, model=model, structure=structure)
    except BlowUpError as error:
        said = str(error).splitlines()[0]
        tell(f"{directory.name}: broke down.")
    write_json(record, {"said": said})
    return Outcome(directory, said)


def protocol_of(
    stages: list[dict[str, Any]],
    *,
    temperature_kelvin: float,
    timestep_fs: float,
    seed: int,
    frame_every_steps: int,
) -> Protocol:
    """Return the protocol of one run."""
    return Protocol.model_validate(
        {
            "temperatures_kelvin": [temperature_kelvin],
            "timestep_fs": timestep_fs,
            "seed": seed,
            "stages": stages,
            "thermo_every_steps": THERMO_EVERY_STEPS,
            "trajectory_every_steps": frame_every_steps,
            "deviation_every_steps": 100,
            "restart_every_steps": 2000,
        }
    )


def model_to_run(model: ModelDirectory, directory: Path) -> Path:
    """Return the model directory as runs see it.

    A model without a manifest is known by all files below it, and these runs are written
    there: it is seen through links to what a run needs and nothing else.
    """
    if (model.directory / NAME).is_file():
        return model.directory
    view = directory / "model"
    for file in (
        *model.files,
        model.directory / "type_map.json",
        model.directory / PARITY_FILE,
    ):
        link = view / file.relative_to(model.directory)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(file.resolve(), link.parent.resolve()))
    return view


def start_directory(start: Start, source: Path, model: ModelDirectory, folder: Path) -> Path:
    """Make the structure directory that a run starts from.

    Raises
    ------
    InputError
        If there is no such crystal or structure, or the model lacks one of its elements.
    """
    if start.crystal is not None:
        recipe = BuildRecipe(
            crystal=start.crystal, supercell=start.supercell, type_map=model.type_map
        )
        build(recipe, source, folder)
        return folder
    assert start.structure is not None  # the recipe requires one of the two
    atoms = read_structure(resolve(start.structure, source))
    copies = int(np.prod(start.supercell))
    origin = np.tile(atoms.arrays.get("origin", np.full(len(atoms), "none")), copies)
    return write_structure(folder, supercell(atoms, start.supercell), origin)


def write_structure(folder: Path, atoms: ase.Atoms, origin: np.ndarray | None = None) -> Path:
    """Write atoms as a structure directory, unless it is there, and return it.

    a is turned along x and b into the xy plane; the order of the atoms stays.
    """
    path = folder / "structure.extxyz"
    if path.is_file():
        return folder
    turned = supercell(atoms, (1, 1, 1))
    turned.set_array("origin", np.full(len(atoms), "none") if origin is None else origin)
    with replacing(path) as temporary:
        ase.io.write(temporary, turned, format="extxyz", columns=["symbols", "positions", "origin"])
    return folder
