"""One series of visits, in a process of its own: ``python -m mlip.explore.series TASK.json``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import ase.io
from ase import Atoms

from mlip.errors import BlowUpError, MlipError
from mlip.explore.sample import (
    BROKE_DOWN,
    ENDED,
    Visit,
    ended,
    is_done,
    protocol_of,
    series_of,
)
from mlip.files import read_json, replacing, write_json
from mlip.md.run import md
from mlip.recipes.explore import ExploreRecipe
from mlip.structures.geometry import supercell


def main(task: Path) -> int:
    """Run what a task file of `mlip.explore.sample.run_round` names; return the exit code."""
    content = read_json(task)
    structures = {name: Path(path) for name, path in content["structures"].items()}
    recipe = ExploreRecipe.model_validate(content["recipe"])
    series = series_of(recipe, content["round"], structures, Path(content["runs"]))
    try:
        run_series(recipe, series[content["series"]], Path(content["model"]))
    except MlipError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def run_series(recipe: ExploreRecipe, visits: Sequence[Visit], model: Path) -> None:
    """Run the temperatures of a state one after the other, until one breaks down.

    Each leaves its record; what broke down stays so, since the same run would break down again.
    """
    while not is_done(visits):
        visit = visits[len(ended(visits))]
        outcome = {"result": ENDED, "said": ""}
        try:
            md(
                protocol_of(recipe, visit),
                visit.directory,
                model=model,
                structure=visit.structure,
            )
            _write_end(visit)
        except BlowUpError as error:
            outcome = {"result": BROKE_DOWN, "said": str(error).splitlines()[0]}
        write_json(visit.record, outcome)


def _write_end(visit: Visit) -> None:
    """Write the end of a run as a structure directory for the next temperature."""
    final = ase.io.read(visit.directory / "final.extxyz")
    start = supercell(Atoms(final.symbols, final.positions, cell=final.cell, pbc=True), (1, 1, 1))
    start.set_array("origin", final.arrays["origin"])
    with replacing(visit.end / "structure.extxyz") as temporary:
        ase.io.write(temporary, start, format="extxyz", columns=["symbols", "positions", "origin"])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
