"""What computes labels: one row for each engine, and nothing else knows which one it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip.engines import ase_single_point, cp2k, cp2k_input
from mlip.engines.cp2k_output import ended
from mlip.engines.single_point import Failed, SinglePoint
from mlip.errors import DataError
from mlip.execution.job import Job, Outcome, Resources
from mlip.recipes.label import AseLevel, Cp2kLevel, LabelRecipe


@dataclass(frozen=True)
class Calculator:
    """How one level of theory is computed.

    Attributes
    ----------
    methods : callable
        structure -> ways to the same result, tried in this order; the next where one fails.
    input_name, output_name : str
        Files of a calculation that are kept with the label.
    command : callable
        Returns what starts the engine, in words; raises EngineError where it is missing.
    input_text : callable
        (structure, method) -> content of the input file.
    job : callable
        (name, directory, resources) -> job.
    is_ended : callable
        Whether a calculation in a directory reached its end in an earlier call.
    read : callable
        (job, outcome, structure) -> single point or failure.
    step : callable
        How far the calculation in a directory is, in words.
    parallel : bool
        Whether one calculation can use several ranks.
    """

    methods: Callable[[Atoms], tuple[str, ...]]
    input_name: str
    output_name: str
    command: Callable[[], str]
    input_text: Callable[[Atoms, str], str]
    job: Callable[[str, Path, Resources], Job]
    is_ended: Callable[[Path], bool]
    read: Callable[[Job, Outcome | None, Atoms], SinglePoint | Failed]
    step: Callable[[Path], str]
    parallel: bool


def calculator_of(recipe: LabelRecipe) -> Calculator:
    """Return the row of the recipe's engine."""
    level = recipe.level
    if isinstance(level, AseLevel):
        return _ase(level)
    return _cp2k(level, recipe.execution.max_scf)


def numbers_depend_on(recipe: LabelRecipe, symbols: Sequence[str]) -> dict[str, Any]:
    """Return the settings that the label of a structure of these elements depends on."""
    content = recipe.settings()["level"]
    if isinstance(recipe.level, Cp2kLevel):
        kinds = cp2k_input.species_of(recipe.level, symbols)
        content["species"] = {name: entry.expanded() for name, entry in kinds.items()}
    return dict(content)


def level_in_words(recipe: LabelRecipe, symbols: Sequence[str]) -> dict[str, str]:
    """Return the level as a data certificate records it, setting by setting."""
    if isinstance(recipe.level, AseLevel):
        parameters = ", ".join(f"{k}={v}" for k, v in sorted(recipe.level.parameters.items()))
        return {"code": "ASE", "calculator": f"{recipe.level.calculator}({parameters})"}
    return cp2k_input.level_in_words(recipe.level, symbols)


def require_known_elements(
    recipe: LabelRecipe, names: Sequence[str], frames: Sequence[Atoms]
) -> None:
    """Refuse unknown elements and odd numbers of electrons, before anything starts.

    Raises
    ------
    InputError
        If an element has no basis or potential.
    DataError
        If a cell holds an odd number of electrons: closed shells need an even one.
    """
    if not isinstance(recipe.level, Cp2kLevel):
        return
    elements = sorted({symbol for atoms in frames for symbol in atoms.symbols})
    kinds = cp2k_input.species_of(recipe.level, elements)
    for name, atoms in zip(names, frames, strict=True):
        electrons = sum(kinds[symbol].valence_electrons for symbol in atoms.symbols)
        if electrons % 2:
            raise DataError(
                f"{name}: {atoms.get_chemical_formula()} has {electrons} valence electrons, an "
                "odd number; labels are neutral and closed-shell. Add or remove an atom."
            )


def _cp2k(level: Cp2kLevel, max_scf: int) -> Calculator:
    def input_text(atoms: Atoms, method: str) -> str:
        return cp2k_input.single_point_input(
            level,
            list(atoms.symbols),
            atoms.positions,
            atoms.cell.array,
            method=method,
            max_scf=max_scf,
        )

    def is_ended(directory: Path) -> bool:
        log = directory / cp2k.OUTPUT
        return log.is_file() and ended(log.read_text(errors="replace"))

    return Calculator(
        methods=lambda atoms: cp2k_input.scf_methods(level, atoms.cell.array),
        input_name=cp2k.INPUT,
        output_name=cp2k.OUTPUT,
        command=lambda: " ".join(cp2k.cp2k_command()),
        input_text=input_text,
        job=cp2k.single_point_job,
        is_ended=is_ended,
        read=lambda job, outcome, atoms: cp2k.read_result(
            job, outcome, len(atoms), abs(atoms.cell.volume)
        ),
        step=cp2k.scf_step,
        parallel=True,
    )


def _ase(level: AseLevel) -> Calculator:
    return Calculator(
        methods=lambda atoms: ("calculator",),
        input_name=ase_single_point.INPUT,
        output_name=ase_single_point.OUTPUT,
        command=lambda: level.calculator,
        input_text=lambda atoms, method: ase_single_point.single_point_input(
            level, list(atoms.symbols), atoms.positions, atoms.cell.array
        ),
        job=ase_single_point.single_point_job,
        is_ended=lambda directory: (directory / ase_single_point.OUTPUT).is_file(),
        read=lambda job, outcome, atoms: ase_single_point.read_result(job, outcome, len(atoms)),
        step=lambda directory: "",
        parallel=False,
    )
