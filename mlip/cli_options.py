"""The options that several verbs of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OutOption = Annotated[Path, typer.Option("--out", help="Directory to write.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a recipe key: key.path=value. May be repeated."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and its cost; write nothing.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Move another result in --out aside and start anew.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", help="YAML recipe; defaults without it.")
]
VerboseOption = Annotated[
    bool, typer.Option("-v", "--verbose", help="Show the traceback of an error.")
]
