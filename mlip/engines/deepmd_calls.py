"""Several calls of ``dp`` in one process: importing DeePMD-kit takes longer than most of them.

``python -m mlip.engines.deepmd_calls [--script] WORDS -- WORDS ...``, see
`mlip.engines.deepmd.in_one_process`. The first call that fails is the last.
"""

from __future__ import annotations

import sys
from itertools import groupby

BETWEEN = "--"
SCRIPT = "--script"


def calls(words: list[str]) -> list[list[str]]:
    """Divide the words of a command line into those of each call."""
    parts = groupby(words, lambda word: word == BETWEEN)
    return [list(part) for between, part in parts if not between]


if __name__ == "__main__":
    from deepmd.main import main

    arguments = sys.argv[1:]
    if arguments[0] == SCRIPT:
        from mlip.engines.deepmd_script import replace_in_deepmd

        replace_in_deepmd()
        del arguments[0]
    for call in calls(arguments):
        main(call)
