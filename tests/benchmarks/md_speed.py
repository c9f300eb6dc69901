"""Speed and memory of MD with a potential, by size and layout, on processors or graphics cards.

    .venv/bin/python tests/benchmarks/md_speed.py MODEL [--atoms 1000 10000 100000] [--rounds 3]

beta-Li3PS4 repeated to each size, at constant energy from 300 K. Every layout that `mlip md`
would try (ranks, threads, cards) is measured in every round, in turn, so that a drifting machine
speed hits all; 30 steps after 5 that warm up, or as many as 20 s allow. Medians over the rounds.
Memory is the resident memory of all ranks; on a card also the most that `nvidia-smi` saw in use
above what was in use before. Run it on an idle machine; `DEVICE=cpu` hides the cards.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import tempfile
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mlip.engines.lammps_layout import Layout, candidates, probe_layouts
from mlip.errors import EngineError
from mlip.execution.local import visible_gpus
from mlip.md.start import write_start
from mlip.model_directory import read_model_directory
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.structures.geometry import repeats_for, supercell

MIB_IN_GIB = 1024.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Row:
    """One size in one layout.

    Attributes
    ----------
    layout : Layout
        With the median speed and the largest resident memory.
    card_gib : float or None
        Largest memory in use on the cards; None without cards.
    """

    layout: Layout
    card_gib: float | None


def main() -> None:
    """Measure and print one row a size and layout."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("--atoms", type=int, nargs="+", default=[1000, 10_000, 100_000])
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    print(f"{device()}; {given.model.name}, driving member; {datetime.now(UTC):%Y-%m-%d}\n")
    print("| atoms | layout | steps/s | atom-steps/s | ns/day at 1 fs | memory GiB | card GiB |")
    print("|---|---|---|---|---|---|---|")
    for atoms in given.atoms:
        for row in measure(given.model, atoms, given.rounds):
            kept, speed = row.layout, row.layout.steps_per_second
            card = "-" if row.card_gib is None else f"{row.card_gib:.2f}"
            print(
                f"| {kept.atoms} | {kept} | {speed:.3g} | {speed * kept.atoms:.3g} | "
                f"{speed * 86400e-6:.3g} | {kept.memory_gib:.2f} | {card} |",
                flush=True,
            )


def measure(model: Path, atoms: int, rounds: int) -> list[Row]:
    """Return the rows of one size, the fastest first; layouts that cannot run are left out."""
    directory = read_model_directory(model)
    driver, elements = directory.fastest[0].resolve(), directory.type_map
    cell = conventional_cell(find_crystal("beta-Li3PS4"))
    crystal = supercell(cell, repeats_for(cell, atoms))
    found: dict[str, list[tuple[Layout, float | None]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="md-speed-") as folder:
        write_start(Path(folder), crystal, elements)
        data = Path(folder) / "structure.data"
        for _ in range(rounds):
            for resources in candidates(len(crystal)):
                try:
                    with card_memory() as card:
                        layout = probe_layouts(
                            [resources], [driver], elements, data, uuid.uuid4().hex
                        )
                except EngineError as error:
                    print(f"left out: {error}", flush=True)
                    continue
                found[str(layout)].append((layout, card[0] if visible_gpus() else None))
    rows = []
    for measured in found.values():
        layouts = [layout for layout, _ in measured]
        cards = [card for _, card in measured if card is not None]
        typical = replace(
            layouts[0],
            steps_per_second=statistics.median(layout.steps_per_second for layout in layouts),
            memory_gib=max(layout.memory_gib for layout in layouts),
        )
        rows.append(Row(typical, max(cards, default=None)))
    return sorted(rows, key=lambda row: -row.layout.steps_per_second)


@contextmanager
def card_memory() -> Iterator[list[float]]:
    """Watch the memory in use on the visible cards; the list holds the growth at most, GiB."""
    most = [0.0]
    if not visible_gpus():
        yield most
        return
    before, ended = memory_in_use(), threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            most[0] = max(most[0], memory_in_use() - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def memory_in_use() -> float:
    """Return the memory in use on the visible cards, GiB."""
    query = ["nvidia-smi", "--query-gpu=index,memory.used", "--format=csv,noheader,nounits"]
    listing = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    used = dict(tuple(map(float, line.split(","))) for line in listing.splitlines())
    return sum(used[card] for card in visible_gpus()) / MIB_IN_GIB


def device() -> str:
    """Return the names of the cards, or of the processor."""
    if not visible_gpus():
        return f"no GPU, {platform.machine()}"
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    names = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    return ", ".join(sorted({name.strip() for name in names}))


if __name__ == "__main__":
    main()
