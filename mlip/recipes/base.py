"""Reading a recipe: YAML to a frozen, checked model with every default written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from mlip.errors import InputError, RecipeError


class Recipe(BaseModel):
    """Base of every recipe and of its parts: frozen, unknown keys refused, finite numbers."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    def expanded(self) -> dict[str, Any]:
        """Return the recipe as JSON types with every default written out."""
        return self.model_dump(mode="json")


RecipeModel = TypeVar("RecipeModel", bound=Recipe)


def load_recipe(
    path: Path | None, model: type[RecipeModel], settings: list[str] | None = None
) -> RecipeModel:
    """Read a recipe file.

    Parameters
    ----------
    path : Path or None
        YAML file; None for the defaults alone.
    model : type
        The recipe model of the verb.
    settings : list of str, optional
        ``key.path=value`` pairs of ``--set``; values are read as YAML.

    Returns
    -------
    RecipeModel

    Raises
    ------
    InputError
        If the file is missing.
    RecipeError
        If it is no YAML, has a duplicate or unknown key, or a value out of range.
    """
    content = {} if path is None else read_yaml(path)
    if content is None:
        raise RecipeError(f"{path}: the recipe is empty.")
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: expected `key: value` pairs, found a {type(content).__name__}.")
    for setting in settings or []:
        apply_setting(content, setting)
    return validated(content, model, str(path or "command line"))


def validated(content: dict[str, Any], model: type[RecipeModel], source: str) -> RecipeModel:
    """Check `content` against `model`; `source` names where it came from in the message.

    Raises
    ------
    RecipeError
        With one line per key: dotted path, what is wrong, what was found.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            key = _key(model, fault["loc"])
            if fault["type"] == "extra_forbidden":
                lines.append(
                    f"  {key}: unknown key. Known here: {_known_keys(model, fault['loc'])}"
                )
            elif fault["type"] == "missing":
                lines.append(f"  {key}: missing.")
            else:
                lines.append(f"  {key}: {fault['msg']} (found {fault['input']!r})")
        raise RecipeError(f"{source}: the recipe is not valid.\n" + "\n".join(lines)) from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file; duplicate keys are refused.

    Raises
    ------
    InputError
        If the file is missing.
    RecipeError
        If it is no YAML.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Expected a YAML recipe.")
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except DuplicateKeyError as error:
        raise RecipeError(
            f"{path}: {str(error.problem).splitlines()[0]}. {_where(error)}"
        ) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not readable as YAML. {_where(error)}") from error


def apply_setting(content: dict[str, Any], setting: str) -> None:
    """Apply one ``key.path=value`` of ``--set`` to raw recipe content.

    Raises
    ------
    RecipeError
        If it is not of that form, or the path runs through a value or past a list.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise RecipeError(
            f"--set {setting}: expected key.path=value, for example --set steps=2000."
        )
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise RecipeError(f"--set {setting}: the value is not readable as YAML.") from error
    *parents, last = key.strip().split(".")
    node: Any = content
    for part in parents:
        node = _child(node, part, setting)
    if isinstance(node, list):
        node[_index(node, last, setting)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise RecipeError(f"--set {setting}: {'.'.join(parents)} is a value, not a section.")


def resolve(path: str, recipe: Path) -> Path:
    """Return a path named in a recipe; relative ones are relative to the recipe file."""
    return (recipe.parent / path).resolve()


def _child(node: Any, part: str, setting: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, part, setting)]
    if isinstance(node, dict):
        if node.get(part) is None:
            node[part] = {}
        return node[part]
    raise RecipeError(f"--set {setting}: {part} lies inside a value, not a section.")


def _index(node: list[Any], part: str, setting: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise RecipeError(
            f"--set {setting}: {part} is no index of a list of {len(node)} (they count from 0)."
        )
    return int(part)


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Return the keys of the section that a location lies in."""
    current = [model]
    for part in location[:-1]:
        inside = [m.model_fields[part] for m in current if part in m.model_fields]
        if inside:
            current = [found for field in inside for found in _models(field.annotation)]
        elif isinstance(part, str):  # the tag of a union: which of its models was meant
            current = [m for m in current if part in _tags(m)] or current
    names = sorted({name for m in current for name in m.model_fields})
    return ", ".join(names) or "see the recipe documentation"


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in an annotation: unions, lists and the like are looked through."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _tags(model: type[BaseModel]) -> set[str]:
    """Return the words that single a model out in a union: its literal fields' values."""
    literals = [field.annotation for field in model.model_fields.values()]
    return {str(v) for a in literals if get_origin(a) is Literal for v in get_args(a)}


def _key(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Return a location as the user writes it: without the tags of unions."""
    parts = []
    current = [model]
    for part in location:
        inside = [m.model_fields[part] for m in current if part in m.model_fields]
        if not inside and isinstance(part, str) and any(part in _tags(m) for m in current):
            current = [m for m in current if part in _tags(m)]
            continue
        current = [found for field in inside for found in _models(field.annotation)] or current
        parts.append(str(part))
    return ".".join(parts) or "recipe"


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"Line {mark.line + 1}, column {mark.column + 1}." if mark is not None else ""
