"""Torn tails and corrupt frames: named with the frame, and what is before them stays usable."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from toy_trajectories import XU, brownian, write_dump, write_run, write_xdatcar

from analysis.errors import TimeGridError, TrajectoryError
from analysis.reading.dcd import open_dcd
from analysis.reading.foreign import open_foreign
from analysis.reading.runs import open_run

CELL = np.diag([12.0, 10.0, 9.0])
SPECIES = ["Li"] * 4 + ["S"] * 3
N_FRAMES = 9
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def positions(rng):
    return brownian(rng, 7, N_FRAMES, D=0.02) + rng.random((7, 3)) * 9.0


def write_extxyz(path, positions):
    frames = [Atoms(SPECIES, positions=p, cell=CELL, pbc=True) for p in positions]
    write(path, frames, format="extxyz")
    return path


WRITERS = {
    "md.extxyz": write_extxyz,
    "XDATCAR": lambda path, p: write_xdatcar(path, p, CELL, SPECIES),
    "md.dump": lambda path, p: write_dump(path, p, CELL, XU, types=SPECIES),
}
# The line with which a frame of each format begins, and lines it has.
BEGINS = {
    "md.extxyz": (b"7\n", 9),
    "XDATCAR": (b"Direct configuration=", 8),
    "md.dump": (b"ITEM: TIMESTEP", 16),
}


def frame_starts(content, name):
    starts = [0] if content.startswith(BEGINS[name][0]) else []
    at = content.find(b"\n" + BEGINS[name][0])
    while at >= 0:
        starts.append(at + 1)
        at = content.find(b"\n" + BEGINS[name][0], at + 1)
    return starts


def opened(path, **options):
    return open_foreign(path, frame_interval_fs=100.0, **options)


def kept_frames(trajectory):
    return np.array([frame.positions for frame in trajectory.frames()])


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_cut_anywhere_is_named_and_usable_before_the_cut(tmp_path, rng, positions, name):
    path = WRITERS[name](tmp_path / name, positions)
    whole = kept_frames(opened(path))
    content = path.read_bytes()
    starts = frame_starts(content, name)
    assert len(starts) == N_FRAMES
    cuts = [*rng.integers(starts[2], len(content), 25).tolist(), len(content) - 1, starts[3] + 1]
    for cut in cuts:
        path.write_bytes(content[:cut])
        frame = sum(start < cut for start in starts) - 1
        if cut in starts:  # nothing is torn
            assert opened(path).n_frames == frame + 1
            continue
        with pytest.raises(TrajectoryError, match=rf"frame {frame} is damaged: .*until_damage"):
            opened(path)
        trajectory = opened(path, until_damage=True)
        np.testing.assert_array_equal(kept_frames(trajectory), whole[:frame])
        assert f"frame {frame} is damaged" in trajectory.notes[-1]
        assert f"only the {frame} frames before it" in trajectory.notes[-1]


@pytest.mark.parametrize("name", WRITERS)
def test_a_torn_packed_file_is_usable_before_the_tear(tmp_path, positions, name):
    path = WRITERS[name](tmp_path / name, positions)
    whole = kept_frames(opened(path))
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes())[:-400])
    with pytest.raises(TrajectoryError, match="packed file is torn after line"):
        opened(packed)
    kept = kept_frames(opened(packed, until_damage=True))
    assert 0 < len(kept) < N_FRAMES
    np.testing.assert_array_equal(kept, whole[: len(kept)])


FAULTS = {
    "letters": lambda row: row[:-1] + b"?",
    "zeros": lambda row: b"\0" * len(row),
    "lost value": lambda row: row.rsplit(b" ", 1)[0],
    "lost line": lambda row: None,
    "not a number": lambda row: row[: row.rstrip().rfind(b" ") + 1] + b"nan",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", WRITERS)
def test_a_corrupt_line_is_named_and_frames_before_it_are_usable(tmp_path, positions, name, fault):
    path = WRITERS[name](tmp_path / name, positions)
    if name == "md.dump":  # the last column is not read, the one before it is a coordinate
        path.write_text(path.read_text().replace(" vx\n", "\n").replace(" 0.5\n", "\n"))
    whole = kept_frames(opened(path))
    content = path.read_bytes()
    start = frame_starts(content, name)[5]
    lines = content.split(b"\n")
    number = content[:start].count(b"\n") + BEGINS[name][1] - 3
    damaged = FAULTS[fault](lines[number])
    lines[number : number + 1] = [] if damaged is None else [damaged]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(TrajectoryError, match="frame 5 is damaged") as error:
        opened(path)
    if fault in ("letters", "zeros", "lost value") and name != "md.extxyz":
        assert f"line {number + 1} has" in str(error.value)
    np.testing.assert_array_equal(kept_frames(opened(path, until_damage=True)), whole[:5])


def test_a_blank_comment_is_no_damage_of_an_xdatcar_with_a_cell_a_frame(tmp_path, positions):
    cells = CELL * (1 + 0.01 * np.arange(N_FRAMES))[:, None, None]
    path = write_xdatcar(tmp_path / "XDATCAR", positions, cells, SPECIES)
    whole = kept_frames(opened(path))
    path.write_text(path.read_text().replace("toy\n", " \n"))
    trajectory = opened(path)
    np.testing.assert_array_equal(trajectory.cells, cells)
    np.testing.assert_array_equal(kept_frames(trajectory), whole)


@pytest.mark.parametrize("value", ["2024-03-01", np.array([1.0, 2.0])], ids=["date", "list"])
def test_what_is_no_number_is_no_time_of_an_extxyz(tmp_path, positions, value):
    frames = [Atoms(SPECIES, positions=p, cell=CELL, pbc=True) for p in positions]
    for index, frame in enumerate(frames):
        frame.info |= {"time": value, "step": index if index < 5 else index + 1}
    write(tmp_path / "md.extxyz", frames[:5], format="extxyz")
    assert opened(tmp_path / "md.extxyz").n_frames == 5
    write(tmp_path / "md.extxyz", frames, format="extxyz")
    with pytest.raises(TimeGridError, match="frame 5 follows after 2"):
        opened(tmp_path / "md.extxyz")


def test_a_file_damaged_in_its_first_frame_is_refused_either_way(tmp_path, positions):
    path = write_dump(tmp_path / "md.dump", positions, CELL, XU, types=SPECIES)
    path.write_bytes(path.read_bytes()[:200])
    for until_damage in (False, True):
        with pytest.raises(TrajectoryError, match=r"frame 0 is damaged.*write it again"):
            opened(path, until_damage=until_damage)


def test_a_run_is_opened_before_its_damage(tmp_path, positions):
    segments = [(0, 4, 5, "production"), (5, 8, 4, "production")]
    write = lambda: write_run(tmp_path, positions, SPECIES, CELL, segments=segments)  # noqa: E731
    write()
    whole = kept_frames(open_run(tmp_path))
    assert open_run(tmp_path, until_damage=True).notes == ()
    first, second = (tmp_path / f"stages/02_produce/segment.{n}.dcd" for n in (0, 1))

    def check(frames):
        trajectory = open_run(tmp_path, until_damage=True)
        np.testing.assert_array_equal(kept_frames(trajectory), whole[:frames])
        assert f"only the {frames} frames before it are used" in trajectory.notes[0]

    second.write_bytes(second.read_bytes()[:-20])
    with pytest.raises(TrajectoryError, match=r"frame 3 \(step 400\).*until_damage=True"):
        open_run(tmp_path)
    check(8)
    second.unlink()
    with pytest.raises(TrajectoryError, match="open the 5 frames of earlier files"):
        open_run(tmp_path)
    check(5)
    write()
    layout = open_dcd(first)
    start = layout.header_bytes + 2 * layout.frame_dtype.itemsize
    intact = first.read_bytes()
    first.write_bytes(intact[:start] + b"\0" * 60 + intact[start + 60 :])
    check(2)
    not_a_number = np.array([np.nan], "<f4").tobytes()
    first.write_bytes(intact[: start + 60] + not_a_number + intact[start + 64 :])
    check(2)
    first.write_bytes(intact[: layout.header_bytes + 30])
    with pytest.raises(TrajectoryError, match=r"frame 0 \(step 0\)"):
        open_run(tmp_path, until_damage=True)


@pytest.mark.parametrize(("field", "value"), [(0, np.nan), (0, 0.0), (1, 5.0)])
def test_a_frame_of_a_run_without_a_cell_is_damaged(tmp_path, positions, field, value):
    write_run(tmp_path, positions, SPECIES, CELL, segments=[(0, 8, 9, "production")])
    file = tmp_path / "stages/02_produce/segment.0.dcd"
    layout, intact = open_dcd(file), file.read_bytes()
    start = layout.header_bytes + 3 * layout.frame_dtype.itemsize + 4 + 8 * field
    file.write_bytes(intact[:start] + np.array([value], "<f8").tobytes() + intact[start + 8 :])
    with pytest.raises(TrajectoryError, match=r"frame 3 \(step 150\) has a cell without volume"):
        open_run(tmp_path)
    assert open_run(tmp_path, until_damage=True).n_frames == 3
    file.write_bytes(b"")
    with pytest.raises(TrajectoryError, match="ends inside its header; no frame was written"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda stream: stream.pop("name"), "malformed"),
        (lambda stream: stream.pop("segments"), "malformed"),
        (lambda stream: stream.update(segments=[1]), "malformed"),
        (lambda stream: stream["segments"][0].update(first_step="0"), "not whole numbers"),
        (lambda stream: stream["segments"][0].update(every_steps=50.0), "not whole numbers"),
        (lambda stream: stream["segments"][0].update(timestep_fs=0), "must be positive"),
    ],
)
def test_a_malformed_record_of_a_run_is_refused(tmp_path, positions, change, said):
    write_run(tmp_path, positions, SPECIES, CELL, segments=[(0, 8, 9, "production")])
    record = json.loads((tmp_path / "trajectory.json").read_text())
    change(record["streams"][0])
    (tmp_path / "trajectory.json").write_text(json.dumps(record))
    with pytest.raises(TrajectoryError, match=rf"trajectory\.json: .*{said}"):
        open_run(tmp_path)


def test_origin_of_atoms_comes_from_the_structure_of_a_run(tmp_path, positions):
    segments = [(0, 8, 9, "production")]
    write_run(tmp_path, positions, SPECIES, CELL, segments=segments)
    path = tmp_path / "structure.extxyz"
    whole = path.read_text()
    lines = whole.splitlines()
    lines[3] = lines[3].replace("crystal", "glass")
    path.write_text("\n".join(lines) + "\n")
    origin = open_run(tmp_path).origin
    assert origin.tolist() == ["crystal", "glass"] + ["crystal"] * 5
    path.write_text(whole.replace("crystal", "moon", 1))
    with pytest.raises(TrajectoryError, match=r"`origin` holds moon; expected crystal, glass"):
        open_run(tmp_path)
    plain = "\n".join(line.replace(" crystal", "") for line in whole.splitlines()) + "\n"
    path.write_text(plain.replace(":origin:S:1", ""))
    assert open_run(tmp_path).origin is None


MEASURE = """
import json, sys
from pathlib import Path
from analysis.reading.foreign import open_foreign
def peak_mb():  # of this program alone; getrusage also counts the one that started it
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return int(line.split()[1]) / 1024
open_foreign(sys.argv[1], frame_interval_fs=10.0, species=["Li"])
before = peak_mb()
trajectory = open_foreign(sys.argv[2], frame_interval_fs=10.0, species=["Li"])
total = sum(frame.positions[0, 0] for frame in trajectory.frames())
print(json.dumps({"frames": trajectory.n_frames, "growth_mb": peak_mb() - before}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read in /proc")
def test_memory_does_not_grow_with_the_length_of_a_dump(tmp_path, rng):
    n_atoms, n_frames = 2000, 300
    short = np.repeat(rng.random((1, n_atoms, 3)) * 9.0, 2, axis=0)
    write_dump(tmp_path / "two.dump", short, CELL, XU, types=[1] * n_atoms)
    frame = (tmp_path / "two.dump").read_text().split("ITEM: TIMESTEP\n")[1]
    long = tmp_path / "long.dump"
    with long.open("w") as stream:
        for step in range(n_frames):
            stream.write(f"ITEM: TIMESTEP\n{step}" + frame[1:])
    assert long.stat().st_size > 35e6
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "two.dump"), str(long)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    measured = json.loads(result.stdout)
    print(measured)
    assert measured["frames"] == n_frames
    assert measured["growth_mb"] < 10.0
