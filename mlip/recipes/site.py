"""The site file: how this machine or cluster starts LAMMPS, kept apart from every recipe."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from mlip.recipes.base import Recipe, load_recipe

VARIABLE = "LIPS_MLIP_SITE"


class Site(Recipe):
    """What a machine needs beyond a plain installation; all keys are optional.

    Attributes
    ----------
    lammps_command : tuple of str
        Words that start LAMMPS, for example ``[/opt/lammps/bin/lmp]``. LIPS_MLIP_LAMMPS in the
        environment goes before it.
    launcher : tuple of str
        Words that start several ranks, for example ``[srun, -n, "{ranks}"]``; ``{threads}`` is
        known too. It is then used for one rank as well.
    prologue : tuple of str
        Lines of bash run before, for example ``[source /etc/profile, module load lammps]``.
    ranks, threads : int, optional
        Force this layout instead of the fastest that short probes find.
    runs_at_once : int, optional
        Force how many runs of one `mlip md` go side by side instead of what cores, cards and
        memory allow.
    scratch : str, optional
        Directory for short-lived files; the system's temporary directory by default.
    """

    lammps_command: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    ranks: int | None = Field(default=None, gt=0)
    threads: int | None = Field(default=None, gt=0)
    runs_at_once: int | None = Field(default=None, gt=0)
    scratch: str | None = None

    @field_validator("lammps_command", "launcher", "prologue", mode="before")
    @classmethod
    def _a_list(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError("expected a list of words or lines, for example [srun, -n, '4']")
        return value

    @model_validator(mode="after")
    def _usable(self) -> Site:
        if self.launcher and not any("{ranks}" in word for word in self.launcher):
            raise ValueError("launcher must hold the word {ranks}, for example -n '{ranks}'")
        if self.threads is not None and self.ranks is None:
            raise ValueError("threads is forced together with ranks only; set both")
        return self

    def launch(self, ranks: int, threads: int) -> tuple[str, ...]:
        """Return the launcher's words for a number of ranks and threads per rank."""
        return tuple(
            word.replace("{ranks}", str(ranks)).replace("{threads}", str(threads))
            for word in self.launcher
        )


def site_file() -> Path | None:
    """Return the site file in use: named by LIPS_MLIP_SITE, else the user's own, else None."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    own = Path(base) / "lips-mlip" / "site.yml"
    return own if own.is_file() else None


def read_site() -> Site:
    """Read the site file; without one all is default.

    Raises
    ------
    InputError
        If the named file is missing.
    RecipeError
        If it has an unknown key or an impossible value.
    """
    path = site_file()
    return Site() if path is None else load_recipe(path, Site)
