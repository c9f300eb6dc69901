"""How pieces of work share a machine: how many side by side, and what each of them gets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """What each of several pieces of work gets.

    Attributes
    ----------
    at_once : int
        How many run side by side.
    cores, gpus : int
        Of each.
    """

    at_once: int
    cores: int
    gpus: int

    def __str__(self) -> str:
        """Return the share in words."""
        if self.at_once == 1:
            return "one after the other"
        cards = f" and {self.gpus} GPU(s)" if self.gpus else ""
        return f"{self.at_once} side by side, each on {self.cores} core(s){cards}"


def share_out(
    pieces: int,
    *,
    cores: int,
    gpus: int,
    least_cores: int = 1,
    least_gpus: int = 1,
    most_at_once: int | None = None,
) -> Share:
    """Divide a machine among equal pieces of work, as many at once as it has room for.

    Independent pieces do not wait for each other as the ranks of one piece do, so that many are
    done sooner side by side than one after the other. No two share a graphics card.

    Parameters
    ----------
    pieces : int
    cores, gpus : int
        Of the machine.
    least_cores, least_gpus : int
        That a piece needs; of cards only where there are any.
    most_at_once : int, optional
        What memory, or the user, allows.
    """
    room = cores // least_cores
    if gpus:
        room = min(room, gpus // least_gpus)
    at_once = max(1, min(pieces, room, pieces if most_at_once is None else most_at_once))
    return Share(at_once, max(1, cores // at_once), gpus // at_once)
