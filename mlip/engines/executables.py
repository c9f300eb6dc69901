"""Where the engines' programs are: named by the user, in this environment, or on the PATH."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from mlip.errors import EngineError


def command(program: str, variable: str) -> tuple[str, ...]:
    """Return the words that start a program.

    Parameters
    ----------
    program : str
        Name of the console script, for example 'dp'.
    variable : str
        Environment variable that overrides it with a command of one's own (a cluster's
        build, a container), split as a shell does.

    Raises
    ------
    EngineError
        If it is found nowhere.
    """
    if own := os.environ.get(variable):
        words = tuple(shlex.split(own))
        if words and (found := shutil.which(words[0])):
            return (found, *words[1:])
        raise EngineError(f"{variable}={own!r}: no such program.")
    beside = Path(sys.prefix) / "bin" / program
    if beside.is_file():
        return (str(beside),)
    if found := shutil.which(program):
        return (found,)
    raise EngineError(
        f"`{program}` is neither in {beside.parent} nor on the PATH. "
        f"Try `make install`, or set {variable} to your own command; `mlip doctor` says more."
    )
