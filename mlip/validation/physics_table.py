"""The physics table: findings of all physical tests, written and judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlip.errors import GateError
from mlip.files import read_json, write_json
from mlip.model_directory import ModelDirectory
from mlip.recipes.base import resolve
from mlip.recipes.validate import ValidateRecipe
from mlip.validation.finding import Finding

SCHEMA = 1
PHYSICS = "physics.json"
# Keys of the physics and dynamics sections that name files or directories.
PATH_KEYS = ("path", "structure", "reference", "ends")


def assess(
    recipe: ValidateRecipe, source: Path, model: ModelDirectory, data: Path, out: Path, token: str
) -> list[Finding]:
    """Run the physical tests that the recipe asks for; finished parts of an earlier call count.

    Parameters
    ----------
    recipe : ValidateRecipe
    source : Path
        The recipe file: its paths start there.
    model : ModelDirectory
        Its parity must be proved: the dynamics tests run MD.
    data : Path
        Set directory.
    out : Path
        Gets ``physics/`` and ``dynamics/``.
    token : str
        Lock token of the workspace.
    """
    findings: list[Finding] = []
    if recipe.physics is not None:
        from mlip.validation.physics.assess import assess_physics

        findings += assess_physics(recipe.physics, source, model, out / "physics", token)
    if recipe.dynamics is not None:
        from mlip.validation.dynamics.assess import assess_dynamics

        findings += assess_dynamics(recipe.dynamics, source, model, data, out / "dynamics", token)
    return findings


def reference_files(recipe: ValidateRecipe, source: Path) -> list[Path]:
    """Return the files and directories that the physical tests compare with or start from."""
    sections = [s.expanded() for s in (recipe.physics, recipe.dynamics) if s is not None]
    named = dict.fromkeys(name for section in sections for name in _named(section))
    return [resolve(name, source) for name in named]


def figures(out: Path) -> list[Path]:
    """Return the figures that the physical tests drew."""
    return [path for part in ("physics", "dynamics") for path in _pictures(out / part)]


def write_findings(path: Path, findings: Sequence[Finding]) -> dict[str, int]:
    """Write ``physics.json`` and return the number of findings by verdict.

    Keys: ``schema``, ``counts`` (by verdict) and ``findings``, see `Finding`; a number that is
    not finite is null.
    """
    counts = Counter(finding.verdict for finding in findings)
    by_verdict = {name: counts[name] for name in ("pass", "fail", "not assessed")}
    rows = [
        {key: _or_null(value) for key, value in asdict(finding).items()} for finding in findings
    ]
    write_json(path, {"schema": SCHEMA, "counts": by_verdict, "findings": rows})
    return by_verdict


def require_physics(path: Path) -> None:
    """Refuse a model with a failed finding.

    Raises
    ------
    GateError
        Naming the failed findings.
    """
    failed = [row for row in read_json(path)["findings"] if row["verdict"] == "fail"]
    if failed:
        raise GateError(
            f"{path}: {len(failed)} physical test(s) failed, and accept.require_physics is set:\n"
            + "\n".join(f"  {row['subject']}, {row['quantity']}: {row['text']}" for row in failed)
            + "\nTrain on data of these properties, or take accept.require_physics out."
        )


def _named(content: Any) -> list[str]:
    """Return the words under the keys that name files, at any depth."""
    if isinstance(content, list):
        return [name for entry in content for name in _named(entry)]
    if not isinstance(content, dict):
        return []
    words = []
    for key, value in content.items():
        if key in PATH_KEYS and value:
            words += value if isinstance(value, list) else [value]
        words += _named(value)
    return [word for word in words if isinstance(word, str)]


def _pictures(folder: Path) -> list[Path]:
    return sorted((folder / "figures").glob("*.png"))


def _or_null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
