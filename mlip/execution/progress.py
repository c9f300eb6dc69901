"""Progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from mlip.execution.job import Progress

PLAIN_INTERVAL_SECONDS = 30.0
SILENT_SECONDS = 2.0


class Reporter(Protocol):
    """Called with the name of a job and how far it is."""

    def __call__(self, name: str, progress: Progress) -> None:
        """Show it."""


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Give a function that shows progress with rate and time left.

    Nothing is shown in the first two seconds: short work stays silent.
    """
    if sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield _plain_lines()


def tell(text: str) -> None:
    """Print one line of information on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _bars() -> Iterator[Reporter]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    started = time.monotonic()
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
        console=Console(stderr=True),
        transient=False,
    )
    tasks: dict[str, tuple[TaskID, float, float]] = {}

    def show(name: str, progress: Progress) -> None:
        now = time.monotonic()
        if now - started < SILENT_SECONDS:
            return
        if name not in tasks:
            task = bars.add_task(name, total=progress.total, rate="", text="")
            tasks[name] = (task, now, progress.done)
        task, begin, first = tasks[name]
        rate = (progress.done - first) / (now - begin) if now > begin else 0.0
        bars.update(
            task,
            completed=progress.done,
            total=progress.total,
            rate=f"{rate:.3g} {progress.unit}/s" if rate > 0 else "",
            text=progress.text,
        )

    with bars:
        yield show


def _plain_lines() -> Reporter:
    began = time.monotonic()
    last: dict[str, tuple[float, float]] = {}
    first: dict[str, tuple[float, float]] = {}

    def show(name: str, progress: Progress) -> None:
        now = time.monotonic()
        start, first_done = first.setdefault(name, (now, progress.done))
        shown_at, shown_done = last.get(name, (began, -1.0))
        complete = progress.done >= progress.total and shown_done < progress.total
        if progress.done == shown_done or (
            now - shown_at < PLAIN_INTERVAL_SECONDS and not (complete and name in last)
        ):
            return
        last[name] = (now, progress.done)
        rate = (progress.done - first_done) / (now - start) if now > start else 0.0
        left = (progress.total - progress.done) / rate if rate > 0 else float("nan")
        eta = f", {left:.0f} s left" if rate > 0 else ""
        tell(
            f"{name}: {progress.done:.0f}/{progress.total:.0f} {progress.unit}"
            f"{f', {rate:.3g}/s' if rate > 0 else ''}{eta}  {progress.text}".rstrip()
        )

    return show
