"""Recipes of ingest as the tests write them, and what a set says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlip.data.certificate import certify
from mlip.data.check import Certificate, Check
from mlip.data.ingest import ingest, read_systems
from mlip.data.split import System, split_systems
from mlip.manifest import Manifest
from mlip.recipes.base import validated
from mlip.recipes.ingest import IngestRecipe


def recipe_of(*sources: dict[str, Any], type_map=("Li", "P", "S"), **split) -> IngestRecipe:
    """Return a recipe; the phase of a source is crystal unless it is given."""
    entries = [{"phase": "crystal", **source} for source in sources]
    content = {"type_map": list(type_map), "sources": entries, "split": split}
    return validated(content, IngestRecipe, "recipe")


def run(directory: Path, *sources: dict[str, Any], **settings) -> Manifest:
    """Ingest into `directory`/set; paths are relative to `directory`."""
    recipe = recipe_of(*sources, **settings)
    return ingest(recipe, directory / "recipe.yml", directory / "set")


def read(directory: Path, *sources: dict[str, Any], **settings) -> list[System]:
    """Read the systems of a recipe, write nothing."""
    return read_systems(recipe_of(*sources, **settings), directory / "recipe.yml")


def certified(directory: Path, *sources: dict[str, Any], **settings) -> Certificate:
    """Read, share out and certify, write nothing (figures take a second)."""
    recipe = recipe_of(*sources, **settings)
    systems = read_systems(recipe, directory / "recipe.yml")
    return certify(systems, split_systems(systems, recipe.split), recipe.split)


def check_in(certificate: Certificate, name: str) -> Check:
    """Return one check of a certificate."""
    return next(check for check in certificate.checks if check.name == name)


def check_of(directory: Path, name: str) -> dict[str, Any]:
    """Return one check of the certificate in `directory`/set."""
    certificate = json.loads((directory / "set" / "certificate.json").read_text())
    return next(check for check in certificate["checks"] if check["name"] == name)
