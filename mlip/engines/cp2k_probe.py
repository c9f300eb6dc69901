"""Whether CP2K is there to label with, and the launcher of its MPI."""

from __future__ import annotations

from mlip.engines.cp2k import (
    COMMAND_VARIABLE,
    cp2k_command,
    cp2k_version,
    mpi_launcher,
    reference_blas,
)
from mlip.engines.layer import Layer
from mlip.errors import EngineError


def check_cp2k() -> Layer:
    """Return what is there; absent is no fault, only labels need it."""
    name = "CP2K"
    try:
        words = cp2k_command()
    except EngineError as error:
        return Layer(name, "absent", False, "", f"{error} Only mlip label needs it.")
    try:
        found = cp2k_version()
    except EngineError as error:
        return Layer(
            name,
            "broken",
            False,
            "",
            str(error),
            f"apt-get install --reinstall cp2k cp2k-data, or set {COMMAND_VARIABLE}",
        )
    try:
        launcher = mpi_launcher(words[0])
    except EngineError as error:
        return Layer(name, "warning", False, found, f"{words[0]}, one rank only", str(error))
    if slow := reference_blas(words[0]):
        return Layer(
            name,
            "warning",
            False,
            found,
            f"{words[0]} with the reference BLAS ({slow}): labels take half as long again",
            "apt-get install libopenblas0",
        )
    return Layer(name, "ok", False, found, f"{words[0]}, started by {launcher[0]}")
