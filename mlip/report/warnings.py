"""What a reader must know before believing a number on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from mlip.files import read_json
from mlip.report.charts import read_series
from mlip.report.collect import Source
from mlip.report.formatting import number_text
from mlip.report.results import read_quantities

# A frame the committee disagrees on more than on any test frame is outside what was proved;
# one in twenty is the share that the 95 % level used throughout leaves over.
UNTESTED_SHARE = 0.05
# Above this the framework has left its sites: a melt, not a crystal or glass.
FRAMEWORK_MSD_ANGSTROM2 = 1.0


def warnings(sources: Sequence[Source]) -> tuple[str, ...]:
    """Return every warning of the page, the gravest first."""
    return (
        *beyond_trust(sources),
        *beyond_the_tested(sources),
        *cavities(sources),
        *moving_framework(sources),
        *overridden_gates(sources),
    )


def beyond_trust(sources: Sequence[Source]) -> list[str]:
    """Name the runs in which the calibrated deviation called too many frames wrong."""
    found = []
    for source in sources:
        summary = source.manifest.summary if source.manifest is not None else {}
        share = summary.get("share_of_frames_beyond_trust", 0.0)
        if share > UNTESTED_SHARE:
            level = summary["highest_trusted_deviation_ev_per_angstrom"]
            found.append(
                f"{source.name}: in {100 * share:.0f} % of the frames the committee disagrees on "
                f"an atom by more than its element's level (at most {number_text(level)} eV/Å), "
                "above which forces are not trusted (calibrated on unseen frames)."
            )
    return found


def beyond_the_tested(sources: Sequence[Source]) -> list[str]:
    """Name the runs whose committee disagreed more than on the frames the model was tested on."""
    limits = [limit for source in sources if (limit := _largest_tested(source)) is not None]
    if not limits:
        return []
    limit = max(limits)
    found = []
    for source in sources:
        path = source.path / "deviation.csv"
        if source.kind != "run" or not path.is_file():
            continue
        values = read_series(path).columns["max_force_deviation_ev_per_angstrom"]
        share = float(np.mean(values > limit)) if len(values) else 0.0
        if share > UNTESTED_SHARE:
            found.append(
                f"{source.name}: in {100 * share:.0f} % of the frames the committee disagrees by "
                f"more than {number_text(limit)} eV/Å, the most it did on any test frame. The run "
                "has left what the potential was tested on; its numbers show the workflow, not "
                "the material."
            )
    return found


def cavities(sources: Sequence[Source]) -> list[str]:
    """Name the runs in which a hole has opened and is open at the end.

    One that has closed again, as in a melt that was stretched, leaves a homogeneous sample.
    """
    found = []
    for source in sources:
        summary = source.manifest.summary if source.manifest is not None else {}
        measured = [
            (name, stage)
            for name, stage in summary.items()
            if isinstance(stage, dict) and "cavitated" in stage
        ]
        stages = list(takewhile(lambda entry: entry[1]["cavitated"], reversed(measured)))[::-1]
        if stages:
            words = ", ".join(
                f"{name} ({stage['largest_void_angstrom']:g} Å)" for name, stage in stages
            )
            found.append(
                f"{source.name}: the sample has a cavity; radius of the largest sphere without "
                f"atoms by stage: {words}. Density, structure and transport are not those of a "
                "homogeneous material: raise the density or the pressure."
            )
    return found


def moving_framework(sources: Sequence[Source]) -> list[str]:
    """Name the analyses in which the immobile species moved as far as in a melt."""
    found = []
    for source in sources:
        if source.kind != "analysis":
            continue
        for quantity in read_quantities(source.path):
            if (
                quantity.name.startswith("framework_mean_squared_displacement")
                and math.isfinite(quantity.value)
                and quantity.value > FRAMEWORK_MSD_ANGSTROM2
            ):
                found.append(
                    f"{source.name}: the framework moves, {number_text(quantity.value)} Å² "
                    f"({quantity.reason}). It does not stay on its sites: a melt, a "
                    "decomposition or a soft potential, not ion transport in a solid."
                )
    return found


def overridden_gates(sources: Sequence[Source]) -> list[str]:
    """Name the gates that were overridden on the command line."""
    names = {
        f"{source.name}: {name}"
        for source in sources
        if source.manifest is not None
        for name in source.manifest.overrides
    }
    return [f"A gate was overridden: {name}." for name in sorted(names)]


def _largest_tested(source: Source) -> float | None:
    path = source.path / "validation" / "metrics.json"
    if source.kind != "model" or not path.is_file():
        return None
    found = read_json(path)["committee_deviation"].get("test")
    return found["largest_deviation_p100_mev_per_angstrom"] / 1000.0 if found else None
