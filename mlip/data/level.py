"""The first-principles level of a set: recorded per source, refused if sources differ."""

from __future__ import annotations

from collections.abc import Callable

from mlip.data.check import Check
from mlip.data.split import System
from mlip.errors import DataError

# Another release of the same code gives the same labels to within its convergence.
RECORDED_ONLY = {"version"}
# Values as tight as these or tighter are one level. Those of CP2K change forces by at most
# 1 meV/Å and energies by 0.1 meV an atom (training_data/reference/dft_convergence.md); the other
# codes' are what their manuals call converged energies for forces of MD.
TIGHT_ENOUGH: dict[str, Callable[[float], bool]] = {
    "eps_scf": lambda value: value <= 1e-4,
    "eps_default": lambda value: value <= 1e-9,
    "rel_cutoff_rydberg": lambda value: value >= 40,
    "ediff_ev": lambda value: value <= 1e-4,
    "conv_thr_rydberg": lambda value: value <= 1e-6,
    "scf_thr": lambda value: value <= 1e-6,
}


def _all_tight(key: str, one: str, other: str) -> bool:
    is_tight = TIGHT_ENOUGH.get(key)
    return is_tight is not None and all(is_tight(float(v)) for v in [*one.split(", "), other])


def common_level(systems: list[System]) -> tuple[dict[str, str], Check]:
    """Merge the levels of all sources.

    Parameters
    ----------
    systems : list of System

    Returns
    -------
    level : dict of str to str
        Every setting recorded by any source; several versions are joined by a comma.
    check : Check
        'warn' if some source records nothing.

    Raises
    ------
    DataError
        If two sources record different values; names the keys, values and sources.
    """
    level: dict[str, str] = {}
    owner: dict[str, str] = {}
    faults = []
    for system in systems:
        for key, value in system.frames.level.items():
            if key not in level:
                level[key], owner[key] = value, system.name
            elif level[key] == value:
                continue
            elif key in RECORDED_ONLY or _all_tight(key, level[key], value):
                level[key] = ", ".join(sorted({*level[key].split(", "), value}))
            else:
                faults.append(f"  {key}: {level[key]} in {owner[key]}, {value} in {system.name}")
    if faults:
        raise DataError(
            "The sources are of different first-principles levels; one potential cannot fit "
            "both. These settings differ:\n"
            + "\n".join(dict.fromkeys(faults))
            + "\nMake one set of each level, or label again with one."
        )
    unknown = [system.name for system in systems if not system.frames.level]
    if unknown:
        text = (
            f"not recorded in {', '.join(unknown[:8])}"
            f"{' and more' if len(unknown) > 8 else ''}: that these sources are of one level is "
            "the word of whoever mixed them"
        )
        check = Check(
            "first-principles level",
            float(len(unknown)),
            "sources",
            0.0,
            "undecided" if len(systems) == 1 else "warn",
            (),
            text,
        )
    else:
        check = Check(
            "first-principles level", 0.0, "sources", 0.0, "pass", (), "recorded, and one for all"
        )
    return level, check
