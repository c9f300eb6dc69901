"""The error tree; each class carries the exit code of the command line.

A message says what was found, what was expected, in which file and frame,
and what to type next.
"""

from __future__ import annotations


class MlipError(Exception):
    """Base of every error that the command line reports without a traceback."""

    exit_code = 1


class InputError(MlipError):
    """What the user gave (a file, an option, a directory) cannot be used."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe or protocol has an unknown, duplicate, missing or impossible key."""


class DataError(InputError):
    """A data file is missing, truncated, inconsistent or holds impossible values."""


class UnitError(DataError):
    """Numbers are in another unit or convention than the format promises."""


class TypeMapError(DataError):
    """An element is missing from, or in conflict with, the type map."""


class GateError(MlipError):
    """A gate refused to go on; a named option overrides it and is recorded."""

    exit_code = 3


class EngineError(MlipError):
    """An external program failed, or is not installed."""

    exit_code = 4


class BlowUpError(EngineError):
    """A simulation broke down by itself: atoms flew apart or numbers are no numbers."""


class InterruptedRunError(MlipError):
    """The run was stopped from outside; the same command resumes it."""

    exit_code = 5
