"""Large files: peak memory of reading grows with the frames, not with the text."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ingest_variants import fixture, outcar_steps, pw_dynamics, shared, vasprun_parts

MEGABYTE = 1_000_000
READ = """
import resource, sys
from pathlib import Path
from mlip.data.readers import FORMATS
read = FORMATS[sys.argv[1]].read
read(Path(sys.argv[2]), None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
frames = read(Path(sys.argv[3]), None)[0]
arrays = [frames.coords, frames.forces, frames.cells, frames.energies, frames.virials]
print(
    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
    sum(a.nbytes for a in arrays if a is not None) // 1024,
    len(frames),
)
"""


def large_outcar(path: Path, size: int) -> None:
    head, steps, tail = outcar_steps()
    with path.open("w") as handle:
        handle.write(head)
        number = 0
        while handle.tell() < size:
            number += 1
            handle.write(re.sub(r"Iteration +\d+\(", f"Iteration {number:7d}(", steps[number % 3]))
        handle.write(tail)


def large_vasprun(path: Path, size: int) -> None:
    head, calculations, tail = vasprun_parts()
    repeat(path, head, "".join(calculations), tail, size)


def large_pw(path: Path, size: int) -> None:
    text = pw_dynamics()
    begin, end = text.index("ATOMIC_POSITIONS"), text.rindex("ATOMIC_POSITIONS")
    repeat(path, text[:begin], text[begin:end], "", size)


def large_extxyz(path: Path, size: int) -> None:
    repeat(path, "", shared("lgps_vasp_pbe/lgps_train.extxyz").read_text(), "", size)


def repeat(path: Path, head: str, body: str, tail: str, size: int) -> None:
    with path.open("w") as handle:
        handle.write(head)
        while handle.tell() < size:
            handle.write(body)
        handle.write(tail)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "small", "make"),
    [
        ("vasp-outcar", "poscars/OUTCAR.h2o.md", large_outcar),
        ("vasp-xml", "poscars/vasprun.h2o.md.xml", large_vasprun),
        ("qe-pw", "qe.scf/01.out", large_pw),
        ("extxyz", None, large_extxyz),
    ],
)
def test_reading_takes_the_arrays_twice_and_one_piece_of_the_text(tmp_path, kind, small, make):
    large = tmp_path / "large"
    make(large, 40 * MEGABYTE)
    first = fixture(small) if small else shared("lgps_vasp_pbe/lgps_train.extxyz")
    done = subprocess.run(
        [sys.executable, "-c", READ, kind, str(first), str(large)],
        capture_output=True,
        text=True,
        check=True,
    )
    grown, arrays, frames = (int(word) for word in done.stdout.split())
    size = large.stat().st_size / 1024
    print(f"{kind}: {frames} frames, {size / 1024:.0f} MiB of text, {grown / 1024:.0f} MiB grown")
    # While pieces are joined, each array is there twice; a piece and its parsing are below 20 MiB.
    assert grown < 2.5 * arrays + 20 * 1024
    assert grown < 2 * size
