"""Observables from molecular dynamics trajectories, with uncertainties and refusals.

Inside the package lengths are Angstrom, times ps, masses amu, temperatures K and charges e;
results are converted at the edge (cm^2/s, S/cm). The package reads run directories and foreign
trajectories and needs neither a simulation engine nor a machine-learning library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.analyse import analyse_run, analyse_trajectory
    from analysis.errors import AnalysisError
    from analysis.reading.foreign import open_foreign
    from analysis.reading.runs import open_run
    from analysis.reading.universe import open_universe
    from analysis.results import Quantity
    from analysis.sample import Request
    from analysis.trajectory import Trajectory

__all__ = [
    "AnalysisError",
    "Quantity",
    "Request",
    "Trajectory",
    "analyse_run",
    "analyse_trajectory",
    "open_foreign",
    "open_run",
    "open_universe",
]

# Loaded when asked for: who reads one trajectory waits for no statistics and no figures.
_MODULES = {
    "AnalysisError": "errors",
    "Quantity": "results",
    "Request": "sample",
    "Trajectory": "trajectory",
    "analyse_run": "analyse",
    "analyse_trajectory": "analyse",
    "open_foreign": "reading.foreign",
    "open_run": "reading.runs",
    "open_universe": "reading.universe",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
