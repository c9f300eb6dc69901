"""What all verbs of the command line share: plan or work, then the summary as table or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlip.manifest import Manifest

# A list of sentences is read line by line, a list of numbers along the line.
LONG = 30
# Keys of a result of the analysis in its summary; read on one line.
QUANTITY = {"value", "low", "high", "unit", "status", "reason"}


def perform(
    plan: Callable[[], list[str]],
    work: Callable[[], Manifest],
    out: Path,
    *,
    dry_run: bool,
    as_json: bool,
    verify: bool = False,
) -> None:
    """Print the plan of a verb, or do its work and print the summary, on standard output.

    Parameters
    ----------
    plan, work : callable
        The room's two functions, arguments bound.
    out : Path
        Directory that the work fills.
    dry_run, as_json : bool
        See the options of the same names.
    verify : bool
        Compare the hash of every output with the manifest first; a damaged one is made again.
    """
    if dry_run:
        lines = plan()
        print(json.dumps({"plan": lines}, indent=2) if as_json else "\n".join(lines))
        return
    if verify:
        from mlip.execution.progress import tell
        from mlip.workspace import set_damaged_aside

        set_damaged_aside(out, tell)
    before = finished_at(out)
    manifest = work()
    untouched = before and before == finished_at(out)
    said = "already done, nothing to do" if untouched else "done"
    show(manifest.summary, f"{out}: {said}", as_json=as_json)


def show(summary: dict[str, Any], title: str, *, as_json: bool) -> None:
    """Print a summary as JSON, or as a title with indented lines."""
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    print(title)
    for line in table(summary):
        print(line)


def finished_at(out: Path) -> str:
    """Return when the last attempt in a finished directory ended; empty if it is not finished."""
    try:
        content = json.loads((out / "manifest.json").read_text())
    except (OSError, json.JSONDecodeError):
        return ""
    if content.get("status") != "complete" or not content.get("attempts"):
        return ""
    return f"{len(content['attempts'])} {content['attempts'][-1].get('end')}"


def table(summary: dict[str, Any], indent: str = "  ") -> list[str]:
    """Return a summary as indented lines, numbers to six digits."""
    lines = []
    for key, value in summary.items():
        if isinstance(value, dict) and set(value) == QUANTITY:
            lines.append(f"{indent}{key}: {_quantity(value)}")
        elif isinstance(value, dict):
            lines.append(f"{indent}{key}:")
            lines += table(value, indent + "  ")
        elif isinstance(value, list) and any(len(str(item)) > LONG for item in value):
            lines.append(f"{indent}{key}:")
            lines += [f"{indent}  {item}" for item in value]
        elif isinstance(value, list):
            lines.append(f"{indent}{key}: {', '.join(map(_shown, value)) or 'none'}")
        else:
            lines.append(f"{indent}{key}: {_shown(value)}")
    return lines


def _quantity(found: dict[str, Any]) -> str:
    """Return value, interval and unit; the reason where there is no value to rely on."""
    words = [] if found["status"] == "ok" else [found["status"]]
    words += [] if found["value"] is None else [_shown(found["value"])]
    bounds = _bounds(found["low"], found["high"])
    words += [f"({bounds})"] if bounds else []
    if found["unit"] != "1" and (found["value"] is not None or bounds):
        words.append(found["unit"])
    said = " ".join(words)
    return said if found["status"] == "ok" else f"{said}: {found['reason']}"


def _bounds(low: float | None, high: float | None) -> str:
    if high is None:
        # Above zero is what everything is that has no lower bound.
        return f"above {_shown(low)}" if low else ""
    return f"below {_shown(high)}" if low is None else f"{_shown(low)} to {_shown(high)}"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
