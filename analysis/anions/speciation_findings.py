"""What the anion speciation says: quantities with intervals, tables and a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.anions.anion_rules import AnionRules, anion_rules
from analysis.anions.persistence import PERSISTENCE_PS
from analysis.anions.speciation import (
    CUTOFF_OFFSETS_ANGSTROM,
    EVERYWHERE,
    NAMED_UNITS,
    OUTSIDE,
    UNITS,
    Speciation,
    block_shares,
    ratio_by_block,
    speciation,
)
from analysis.anions.unit_tally import LIGAND_CLASSES
from analysis.constants import FloatArray
from analysis.figures.speciation import speciation_figure
from analysis.groups import Groups
from analysis.pairs.rdf import PairDistribution
from analysis.pairs.shells import LEVEL
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory

TOPIC = "anions"
# Where this share of the bonds of a frame does not last, units change partners as they are named.
MAX_FLEETING = 0.1
SHOWN_FORMULAS = 5
OF = {
    UNITS: "of all units, free ligands included",
    NAMED_UNITS: "of the units with one formula and a network former, the rest left out",
}


def speciation_findings(
    trajectory: Trajectory,
    pairs: Sequence[PairDistribution] = (),
    *,
    rules: AnionRules | None = None,
    cutoffs_from: str = "table",
    regions: Groups | None = None,
    persistence_ps: float = PERSISTENCE_PS,
    minimised: bool = False,
    stride: int | None = None,
) -> Findings:
    """Count the anions of a trajectory, tabulate and draw them; the arguments of `speciation`.

    Where the rule table does not know an element, or no atom belongs to an anion, the topic is
    left out with the reason.
    """
    rules = rules or anion_rules()
    species = set(trajectory.species.tolist())
    problem = rules.missing(species)
    if not problem and not species & rules.anion_elements:
        problem = f"only lone ions ({', '.join(sorted(species))}); nothing to name"
    if problem:
        return Findings(skipped=[Skipped(TOPIC, problem)])
    result = speciation(
        trajectory,
        rules=rules,
        pairs=pairs,
        cutoffs_from=cutoffs_from,
        regions=regions,
        persistence_ps=persistence_ps,
        minimised=minimised,
        stride=stride,
    )
    findings = Findings(
        quantities=speciation_quantities(result),
        curves=speciation_curves(result),
        figures={TOPIC: speciation_figure(result)},
    )
    if not minimised and persistence_ps > 0 and result.window.persistence_ps == 0:
        findings.skipped.append(Skipped("anions_lasting_bonds", result.window.note))
    return findings


def speciation_quantities(result: Speciation) -> list[Quantity]:
    """Return shares, ligand classes, bonds, formal charge and cutoffs.

    Shares are of units, of named units, and of the atoms of each element; a unit that is never
    seen has one share alone, 0 of its first element. Intervals are Student t over blocks of
    frames, nan where the blocks do not differ. Shares by lasting bonds are unresolved where more
    than a tenth of the bonds of a frame do not last.
    """
    fleeting = _fleeting(result)
    quantities = []
    for of in (UNITS, NAMED_UNITS, *result.elements):
        quantities += _shares(result, of, EVERYWHERE, fleeting)
    for region in _places(result)[1:]:
        for former in result.elements[: result.n_formers]:
            quantities += _shares(result, former, region, fleeting)
    for n, ligand in enumerate(result.elements[result.n_formers :]):
        counts = result.ligands[:, 0, n]
        if not counts.any():
            continue
        share, blocks = ratio_by_block(counts, counts.sum(axis=1))
        for k, name in enumerate(LIGAND_CLASSES):
            reason = f"share of {ligand} with {k}{' or more' if k == 3 else ''} network formers"
            reason += f"; {result.window.note}"
            quantities.append(
                _share(f"share_of_{ligand}_{name}", share[k], blocks[:, k], reason, fleeting)
            )
    return quantities + _bonds(result) + [_charge(result, fleeting)] + _cutoffs(result)


def _places(result: Speciation) -> tuple[str, ...]:
    """Return the regions, without the outside where nothing is outside."""
    if result.regions[-1] == OUTSIDE and not result.tally.atoms[:, -1].any():
        return result.regions[:-1]
    return result.regions


def speciation_curves(result: Speciation) -> list[Curve]:
    """Return the course in time, the dependence on cutoffs, and formulas per frame."""
    seen = _seen(result)
    elements = _present(result)
    course: dict[str, FloatArray] = {"time [ps]": result.times_ps}
    for n in seen:
        course[f"{result.names[n]} [units]"] = result.tally.units[:, 0, n]
    for region, name in enumerate(_places(result)):
        for element in elements if region == 0 else elements[:1]:
            k = result.elements.index(element)
            total = result.tally.atoms[:, region, :, k].sum(axis=1)
            where = "" if region == 0 else f" in {name}"
            for n in seen:
                atoms = result.tally.atoms[:, region, n, k]
                share = np.divide(atoms, total, out=np.full(len(total), np.nan), where=total > 0)
                course[f"{result.names[n]}{where} [share of {element}]"] = share
    for element in elements[:1]:
        single = result.single.atoms[:, 0, :, result.elements.index(element)]
        for n in seen:
            heading = f"{result.names[n]} in single frames [share of {element}]"
            course[heading] = single[:, n] / single.sum(axis=1)
    course["formal charge [e]"] = result.charge_e

    cutoffs: dict[str, FloatArray] = {
        "change of cutoffs [Angstrom]": np.array(CUTOFF_OFFSETS_ANGSTROM)
    }
    for of in (UNITS, *elements):
        shifted = [block_shares(result, of, tally=tally) for tally in result.shifted]
        for n in seen:
            heading = f"{result.names[n]} [share of {of}]"
            cutoffs[heading] = np.array([share[n] for share, _ in shifted])
            cutoffs[f"standard error of {heading}"] = np.array(
                [_standard_error(blocks[:, n]) for _, blocks in shifted]
            )
    curves = [Curve(TOPIC, course), Curve(f"{TOPIC}_cutoffs", cutoffs)]
    if result.formulas:
        formulas = {
            f"{name} [units per frame]": np.array([count])
            for name, count in result.formulas.items()
        }
        curves.append(Curve(f"{TOPIC}_formulas", formulas))
    return curves


def _shares(result: Speciation, of: str, region: str, fleeting: str) -> list[Quantity]:
    share, blocks = block_shares(result, of, region=region)
    if of not in OF and not result.tally.atoms[:, 0, :, result.elements.index(of)].any():
        return []
    where = "" if region == EVERYWHERE else f"_{region}"
    shifted = [block_shares(result, of, tally=tally)[0] for tally in result.shifted]
    single, single_blocks = block_shares(result, of, tally=result.single)
    seen = _seen(result)
    quantities = []
    for n, name in enumerate(result.names):
        if not _concerns(result, of, n, seen=n in seen):
            continue
        reason = f"share {OF.get(of, f'of {of} atoms')}; {result.window.note}"
        if not where:
            changes = ", ".join(
                f"{values[n]:.3g} at {offset:+.1f} Angstrom"
                for offset, values in zip(CUTOFF_OFFSETS_ANGSTROM, shifted, strict=True)
                if offset
            )
            reason += f"; with other cutoffs {changes}{_formulas_of(result, name)}"
        missing = f"none to share out in region {region!r}" if math.isnan(share[n]) else ""
        quantities.append(
            _share(
                f"anion_share_of_{of}_{name}{where}",
                share[n],
                blocks[:, n],
                reason,
                missing or fleeting,
                curve=f"{TOPIC}.csv",
            )
        )
        former = of in result.elements[: result.n_formers]
        if result.window.persistence_ps > 0 and former and not where:
            quantities.append(
                _share(
                    f"anion_share_of_{of}_{name}_single_frames",
                    single[n],
                    single_blocks[:, n],
                    f"share of {of} atoms by the bonds of each frame alone",
                    "",
                    curve=f"{TOPIC}.csv",
                )
            )
    return quantities


def _concerns(result: Speciation, of: str, n: int, *, seen: bool) -> bool:
    """Tell whether the share of a name is worth a line."""
    if of == UNITS:
        return seen
    if of == NAMED_UNITS:
        return seen and bool(result.named[n])
    if not seen:
        formed = result.elements[: result.n_formers]
        return of in formed and bool(result.named[n])
    return bool(result.tally.atoms[:, 0, n, result.elements.index(of)].any()) or bool(
        result.single.atoms[:, 0, n, result.elements.index(of)].any()
    )


def _share(
    name: str, value: float, blocks: FloatArray, reason: str, failure: str, *, curve: str = ""
) -> Quantity:
    if failure:
        return Quantity(name, math.nan, "1", status="unresolved", reason=failure, curve=curve)
    low, high, error = _interval(value, blocks)
    return Quantity(
        name, value, "1", max(low, 0.0), min(high, 1.0), LEVEL, "ok", f"{reason}; {error}", curve
    )


def _interval(value: float, blocks: FloatArray) -> tuple[float, float, str]:
    """Return the limits over blocks of frames, and where they come from."""
    error = _standard_error(blocks)
    if math.isnan(error):
        why = "the same in every block" if len(blocks) > 1 else "a single block"
        return math.nan, math.nan, f"no error estimate, {why}"
    half = float(stats.t.ppf(0.5 + 0.5 * LEVEL, len(blocks) - 1)) * error
    return value - half, value + half, f"error from {len(blocks)} blocks"


def _standard_error(blocks: FloatArray) -> float:
    """Return the standard error of the mean over blocks; nan where they tell none."""
    if len(blocks) < 2 or not np.isfinite(blocks).all() or np.ptp(blocks) == 0:
        return math.nan
    return float(stats.sem(blocks))


def _bonds(result: Speciation) -> list[Quantity]:
    quantities = []
    for k, cutoff in enumerate(result.cutoffs):
        if not set(cutoff.pair.split("-")) <= set(_present(result)):
            continue
        value, blocks = ratio_by_block(result.bonds[:, k], np.ones(len(result.bonds)))
        low, high, error = _interval(float(value), blocks)
        reason = f"bonds in the cell; {result.window.note}; {error}"
        if result.window.persistence_ps > 0:
            reason += f"; in single frames {result.single_bonds[:, k].mean():.4g}"
        name = f"number_of_{cutoff.pair}_bonds"
        quantities.append(Quantity(name, float(value), "1", max(low, 0.0), high, reason=reason))
    return quantities


def _charge(result: Speciation, fleeting: str) -> Quantity:
    name = "formal_charge"
    if fleeting:
        return Quantity(name, math.nan, "e", status="unresolved", reason=fleeting)
    value, blocks = ratio_by_block(result.charge_e, np.ones(len(result.charge_e)))
    low, high, error = _interval(float(value), blocks)
    reason = (
        "oxidation states of all atoms, less what bonds of like atoms take; 0 if the cell is "
        f"neutral; {result.element_charge_e:+g} without these bonds; an atom with a lone pair in "
        f"place of a bond is not told from its highest state; {error}"
    )
    return Quantity(name, float(value), "e", low, high, reason=reason, curve=f"{TOPIC}.csv")


def _cutoffs(result: Speciation) -> list[Quantity]:
    return [
        Quantity(f"bond_cutoff_{cutoff.pair}", cutoff.angstrom, "Angstrom", reason=cutoff.source)
        for cutoff in result.cutoffs
    ]


def _fleeting(result: Speciation) -> str:
    """Return why lasting bonds do not describe the units, or ""."""
    made, lasting = int(result.single_bonds.sum()), int(result.bonds.sum())
    if made == 0 or lasting >= (1.0 - MAX_FLEETING) * made:
        return ""
    return (
        f"{100 * (1 - lasting / made):.0f} % of the bonds of a frame do not last "
        f"{result.window.persistence_ps:g} ps: partners change faster than units can be named; "
        "take a shorter persistence time, single frames, or energy-minimised frames"
    )


def _formulas_of(result: Speciation, name: str) -> str:
    """Return the most frequent formulas of a name that does not tell it."""
    counts = [
        f"{key.removeprefix(name).strip()} {count:.3g}"
        for key, count in result.formulas.items()
        if key.startswith(f"{name} ")
    ]
    if not counts:
        return ""
    rest = ", ..." if len(counts) > SHOWN_FORMULAS else ""
    return f"; per frame {', '.join(counts[:SHOWN_FORMULAS])}{rest}"


def _seen(result: Speciation) -> list[int]:
    """Return the names that occur in any frame, by any of the definitions."""
    tallies = (result.tally, result.single, *result.shifted)
    seen = np.any([tally.units.any(axis=(0, 1)) for tally in tallies], axis=0)
    return np.flatnonzero(seen).tolist()


def _present(result: Speciation) -> list[str]:
    atoms = result.tally.atoms.sum(axis=(0, 1, 2))
    return [element for element, number in zip(result.elements, atoms, strict=True) if number > 0]
