"""All that is to be said of the crystalline share of a sample."""

from __future__ import annotations

import numpy as np

from analysis.blocks import ratio_quantity
from analysis.constants import FloatArray
from analysis.disorder.axis import Axis
from analysis.figures.order import crystallinity_figure
from analysis.groups import Groups
from analysis.order.bond_order import OrderSettings, order_settings
from analysis.order.crystallinity import (
    Crystallinity,
    OrderThreshold,
    crystallinity,
    order_threshold,
)
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory

# Share of neighbours that are images of each other, above which order is not the sample's own; a
# single such pair in a frame of an open structure does no harm.
MAX_REPEATED = 0.01


def crystallinity_findings(
    trajectory: Trajectory,
    settings: OrderSettings | None = None,
    *,
    references: tuple[Trajectory, Trajectory] | None = None,
    groups: Groups | None = None,
    axis: Axis | None = None,
    stride: int | None = None,
) -> Findings:
    """Compute, tabulate and draw the order of atoms, and with references the crystalline share.

    Parameters
    ----------
    trajectory : Trajectory
    settings : OrderSettings, optional
        By default those of ``order_settings.yml``, where the sample holds their species.
    references : (Trajectory, Trajectory), optional
        Crystal and glass or melt that the threshold is taken from.
    groups : Groups, optional
        Divide the atoms, for example by region.
    axis : {"a", "b", "c"}, optional
        Of a profile.
    stride : int, optional
        As in `crystallinity`.
    """
    findings = Findings()
    chosen = settings or order_settings()
    if settings is None and (absent := set(chosen.species) - set(trajectory.species.tolist())):
        reason = f"the cell holds no {', '.join(sorted(absent))}; name the species of the order"
        findings.skipped.append(Skipped("crystallinity", reason))
        return findings
    threshold = None
    if references is None:
        findings.skipped.append(
            Skipped(
                "crystalline share",
                "no crystal and glass reference is given; the order that tells them apart depends "
                "on the crystal and the temperature",
            )
        )
    else:
        threshold = order_threshold(*references, chosen)
    result = crystallinity(trajectory, chosen, threshold, groups=groups, axis=axis, stride=stride)
    findings.quantities += crystallinity_quantities(result)
    findings.curves += crystallinity_curves(result)
    # Once for the sample, not once more for each division of it.
    if threshold is not None and groups is None:
        findings.quantities.append(threshold_quantity(threshold))
    name = "crystallinity" if groups is None else f"crystallinity_{'_'.join(groups.names)}"
    findings.figures[name] = crystallinity_figure(result)
    return findings


def crystallinity_quantities(result: Crystallinity) -> list[Quantity]:
    """Return mean order and crystalline share of each group, with intervals from blocks.

    They are named such as ``bond_order_P`` and ``crystalline_share_P``; the latter only with a
    threshold. Where the cell is so small that it repeats itself among the neighbours, the share is
    unresolved.
    """
    source = f"{result.settings}, {result.n_frames} frames"
    small = ""
    if result.repeated > MAX_REPEATED:
        small = (
            f"{100 * result.repeated:.0f} % of the neighbours are images of each other: the "
            "cell is so small that its repetition passes for order; take a larger one"
        )
    quantities = []
    for g, name in enumerate(result.names):
        label, missing = name.replace(" ", "_"), f"no atom of the group {name!r} has an order"
        curve = f"{_curve_name(result, g)}.csv" if result.atoms[g] else ""
        quantities.append(
            ratio_quantity(
                f"bond_order_{label}",
                "1",
                float(result.order.value[g]),
                result.order.blocks[:, g],
                f"{source}; {small}" if small else source,
                missing=missing,
                curve=curve,
            )
        )
        if result.threshold is None:
            continue
        errors = (
            f"{source}, at least {result.threshold.value:.4f}, which misses "
            f"{100 * result.threshold.missed:.2g} % of the crystal reference and takes "
            f"{100 * result.threshold.false:.2g} % of the glass"
        )
        quantities.append(
            ratio_quantity(
                f"crystalline_share_{label}",
                "1",
                float("nan") if small else float(result.share.value[g]),
                result.share.blocks[:, g],
                errors,
                missing=small or missing,
                curve=curve,
            )
        )
    return quantities


def crystallinity_curves(result: Crystallinity) -> list[Curve]:
    """Tabulate distributions of order, shares against time, and the profile along the axis."""
    middle = 0.5 * (result.edges[1:] + result.edges[:-1])
    curves = [
        Curve(
            _curve_name(result, g),
            {
                "order [1]": middle,
                "density [1]": result.density.value[g],
                "standard error of density [1]": result.density.standard_error[g],
            },
        )
        for g in np.flatnonzero(result.atoms).tolist()
    ]
    if result.threshold is not None:
        columns: dict[str, FloatArray] = {"time [ps]": result.times_ps}
        for g, name in enumerate(result.names):
            columns[f"crystalline share {name} [1]"] = result.share_of_frame[:, g]
        curves.append(
            Curve(f"crystalline_share_{'_'.join(result.names)}".replace(" ", "_"), columns)
        )
    if result.axis is not None:
        profile = {
            "z [Angstrom]": result.z_angstrom,
            "order [1]": result.slab_order.value,
            "standard error of order [1]": result.slab_order.standard_error,
        }
        if result.threshold is not None:
            profile["crystalline share [1]"] = result.slab_share.value
            profile["standard error of share [1]"] = result.slab_share.standard_error
        curves.append(Curve(f"bond_order_{result.axis}", profile))
    return curves


def threshold_quantity(threshold: OrderThreshold) -> Quantity:
    """Return the threshold, ``bond_order_threshold``, and in its reason what tells it is good."""
    crystal, glass = threshold.crystal, threshold.glass
    return Quantity(
        "bond_order_threshold",
        threshold.value,
        "1",
        reason=(
            f"equal error rates in {len(crystal)} atoms of the crystal reference, "
            f"{crystal.mean():.4f} +- {crystal.std():.4f}, and {len(glass)} of the glass, "
            f"{glass.mean():.4f} +- {glass.std():.4f}; means {threshold.separation:.2f} times the "
            f"scatter apart; {threshold.settings}"
        ),
    )


def _curve_name(result: Crystallinity, group: int) -> str:
    return f"bond_order_{result.names[group].replace(' ', '_')}"
