"""Nested parts of a set, for the error against the amount of data."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.files import read_json, replacing, write_json, write_text
from mlip.training.sets import split_systems, system_size
from mlip.workspace import open_workspace


def nested_order(count: int) -> NDArray[np.int64]:
    """Return the rows of a trajectory in an order whose every beginning is spread evenly.

    The van der Corput sequence in base two (doi:10.1137/1.9781611970081, section 3.1): the
    first k rows are about evenly spaced, and are among the first k + 1.

    Parameters
    ----------
    count : int
        Rows, at least one.

    Returns
    -------
    ndarray, shape (count,)
        A permutation of 0 to count - 1.
    """
    bits = max(1, (count - 1).bit_length())
    reversed_bits = [int(f"{k:0{bits}b}"[::-1], 2) for k in range(2**bits)]
    return np.array([k for k in reversed_bits if k < count], dtype=np.int64)


def rows_of_fraction(count: int, fraction: float) -> NDArray[np.int64]:
    """Return the rows, ascending, of a fraction of a system; at least one."""
    wanted = max(1, round(fraction * count))
    return np.sort(nested_order(count)[:wanted])


def write_subset(data: Path, fraction: float, out: Path) -> None:
    """Make a set of a fraction of the training frames of every system of `data`.

    It holds no test frames. Its certificate is that of the whole: what its checks refuse or
    accept, and how many neighbours there are, holds for a part of it too.

    Parameters
    ----------
    data : Path
        Set directory.
    fraction : float
        Above zero, up to one.
    out : Path
        Set directory to write; left alone if it is finished.
    """
    recipe = {"part_of": data.name, "fraction": fraction}
    with open_workspace(out, kind="set", recipe=recipe, inputs=[data]) as work:
        if work.finished:
            return
        kept: dict[tuple[str, str], NDArray[np.int64]] = {}
        outputs: list[Path] = []
        for split in ("train", "valid"):
            for system in split_systems(data, split):
                frames, _ = system_size(system)
                rows = rows_of_fraction(frames, fraction if split == "train" else 1.0)
                kept[split, system.name] = rows
                outputs += _write_system(system, rows, out / split / system.name)
        write_text(out / "frames.csv", _frames_table(data / "frames.csv", kept))
        write_json(out / "certificate.json", read_json(data / "certificate.json"))
        outputs += [out / "frames.csv", out / "certificate.json"]
        counts = [len(rows) for (split, _), rows in kept.items() if split == "train"]
        work.finish(outputs, {**recipe, "train_frames": sum(counts)})


def _write_system(system: Path, rows: NDArray[np.int64], out: Path) -> list[Path]:
    """Write chosen rows of a DeePMD system; return its files."""
    written = []
    for name in ("type.raw", "type_map.raw"):
        with replacing(out / name) as temporary:
            shutil.copyfile(system / name, temporary)
        written.append(out / name)
    parts = sorted(system.glob("set.*"))
    for name in sorted(path.name for path in parts[0].glob("*.npy")):
        array = np.concatenate([np.load(part / name) for part in parts])[rows]
        target = out / "set.000" / name
        with replacing(target) as temporary, temporary.open("wb") as handle:
            np.save(handle, array)
        written.append(target)
    return written


def _frames_table(source: Path, kept: dict[tuple[str, str], NDArray[np.int64]]) -> str:
    """Return the lines of kept frames, counted anew, in the order of the arrays."""
    with source.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        names = list(reader.fieldnames or [])
        lines = list(reader)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        rows = kept.get((line["split"], line["system"]))
        if rows is None or int(line["row"]) not in rows:
            continue
        writer.writerow({**line, "row": int(np.searchsorted(rows, int(line["row"])))})
    return text.getvalue()
