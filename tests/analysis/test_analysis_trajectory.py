from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from toy_trajectories import TRICLINIC, brownian, write_dcd, write_run

from analysis import open_foreign, open_run
from analysis.errors import AmbiguousMotionError, AnalysisError, TimeGridError, TrajectoryError
from analysis.motion.msd import mean_squared_displacement
from analysis.reading.dcd import open_dcd, read_cells, read_positions

ORTHOGONAL = np.diag([12.0, 10.0, 9.0])
REPOSITORY = Path(__file__).parents[2]
DATA = (REPOSITORY / os.environ.get("LIPS_MLIP_EXTERNAL_DATA", "../shared/data")).resolve()


@pytest.fixture
def positions(rng):
    return brownian(rng, 12, 40, D=0.02) + rng.random((12, 3)) * 9.0


SPECIES = ["Li"] * 8 + ["S"] * 4


def all_positions(trajectory):
    return np.array([frame.positions for frame in trajectory.frames()])


def write_extxyz(path, positions, cell, *, wrap):
    frames = [Atoms(SPECIES, positions=p, cell=cell, pbc=True) for p in positions]
    for frame in frames:
        if wrap:
            frame.wrap()
    write(path, frames, format="extxyz")


@pytest.mark.parametrize("cell", [ORTHOGONAL, TRICLINIC], ids=["orthorhombic", "triclinic"])
def test_wrapped_and_unwrapped_files_give_the_same_msd(tmp_path, positions, cell):
    results = []
    for wrap in (False, True):
        path = tmp_path / f"{wrap}.extxyz"
        write_extxyz(path, positions, cell, wrap=wrap)
        trajectory = open_foreign(path, frame_interval_fs=100.0)
        ids = trajectory.ids_of("Li")
        results.append(mean_squared_displacement(trajectory, ids, label="Li").msd)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-9)


def test_foreign_trajectory_keeps_its_wrapped_positions(tmp_path, positions):
    path = tmp_path / "md.extxyz"
    write_extxyz(path, positions, TRICLINIC, wrap=True)
    trajectory = open_foreign(path, frame_interval_fs=100.0)
    expected = [frame.get_scaled_positions() for frame in read(path, index=":")]
    found = all_positions(trajectory) @ np.linalg.inv(TRICLINIC)
    difference = found - np.array(expected)
    np.testing.assert_allclose(difference, np.round(difference), atol=1e-9)


@pytest.mark.parametrize("step", [0.39, 0.41, 0.45])
def test_a_step_above_0_4_of_the_box_is_refused_not_guessed(tmp_path, step):
    fractional = np.zeros((3, len(SPECIES), 3)) + np.arange(3)[:, None, None] * [0.0, step, 0.0]
    path = tmp_path / "fast.extxyz"
    write_extxyz(path, fractional @ TRICLINIC, TRICLINIC, wrap=True)
    if step < 0.4:
        assert open_foreign(path, frame_interval_fs=1.0).n_frames == 3
        return
    with pytest.raises(AmbiguousMotionError, match=r"frames 0 and 1 atom 0 moves by 0\.4"):
        open_foreign(path, frame_interval_fs=1.0)


def test_compressed_file_and_given_species_are_read(tmp_path, positions):
    plain = tmp_path / "md.extxyz"
    write_extxyz(plain, positions, ORTHOGONAL, wrap=True)
    packed = tmp_path / "md.extxyz.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    trajectory = open_foreign(
        packed, frame_interval_fs=50.0, species=["Na"] * 12, temperature_kelvin=500.0
    )
    assert trajectory.frame_interval_ps == pytest.approx(0.05)
    assert set(trajectory.species) == {"Na"}
    np.testing.assert_allclose(trajectory.masses, 22.98976928)


def test_foreign_files_that_cannot_be_read_are_refused_with_the_remedy(tmp_path, positions):
    with pytest.raises(TrajectoryError, match="no such file"):
        open_foreign(tmp_path / "absent.extxyz", frame_interval_fs=1.0)
    path = tmp_path / "md.extxyz"
    write_extxyz(path, positions, ORTHOGONAL, wrap=True)
    with pytest.raises(TimeGridError, match="must be positive"):
        open_foreign(path, frame_interval_fs=0.0)
    with pytest.raises(TrajectoryError, match="12 atoms but `species` names 2"):
        open_foreign(path, frame_interval_fs=1.0, species=["Li", "S"])
    other = tmp_path / "md.traj"
    other.write_text("")
    with pytest.raises(TrajectoryError, match="ase convert"):
        open_foreign(other, frame_interval_fs=1.0)
    write(path, Atoms("Li2", positions=[[0, 0, 0], [1, 0, 0]]), format="extxyz")
    with pytest.raises(TrajectoryError, match="not periodic"):
        open_foreign(path, frame_interval_fs=1.0)


def test_unequally_spaced_frames_are_refused(tmp_path, positions):
    path = tmp_path / "log.extxyz"
    frames = [Atoms(SPECIES, positions=p, cell=ORTHOGONAL, pbc=True) for p in positions[:4]]
    for frame, time in zip(frames, (0, 1, 2, 4), strict=True):
        frame.info["time"] = float(time)
    write(path, frames, format="extxyz")
    with pytest.raises(TimeGridError, match="frame 3"):
        open_foreign(path, frame_interval_fs=1.0)


@pytest.mark.parametrize("cell", [ORTHOGONAL, TRICLINIC], ids=["orthorhombic", "triclinic"])
def test_run_directory_is_read_back(tmp_path, positions, cell):
    write_run(tmp_path, positions, SPECIES, cell, segments=[(0, 39, 40, "production")])
    trajectory = open_run(tmp_path)
    assert trajectory.n_frames == 40
    assert trajectory.frame_interval_ps == pytest.approx(0.1)
    assert trajectory.temperature_kelvin == 1000.0
    np.testing.assert_allclose(trajectory.cells, np.tile(cell, (40, 1, 1)), atol=1e-12)
    np.testing.assert_array_equal(all_positions(trajectory), positions.astype("f4"))
    assert [frame.index for frame in trajectory.frames(15)] == [0, 15, 30]


def test_atom_blocks_hold_the_same_positions_as_frames(tmp_path, positions):
    write_run(tmp_path, positions, SPECIES, TRICLINIC, segments=[(0, 39, 40, "production")])
    trajectory = open_run(tmp_path)
    for ids in (np.arange(12), np.array([1, 4, 5, 11])):
        blocks = list(trajectory.atom_blocks(ids, max_bytes=2 * 40 * 24))
        assert [len(block) for block, _ in blocks] == [2] * (len(ids) // 2)
        joined = np.concatenate([part for _, part in blocks], axis=1)
        np.testing.assert_array_equal(joined, all_positions(trajectory)[:, ids])


def test_superseded_frames_are_never_read_and_purposes_are_kept_apart(tmp_path, positions):
    poisoned = positions.copy()
    segments = [(0, 9, 10, "equilibration"), (10, 19, 17, "production"), (20, 39, 20, "production")]
    write_run(tmp_path, poisoned, SPECIES, ORTHOGONAL, segments=segments)
    # What the first production file holds beyond its last step is not what really happened.
    file = tmp_path / "stages/02_produce/segment.1.dcd"
    frames = poisoned[10:27].copy()
    frames[10:] += 1000.0
    write_dcd(file, frames, ORTHOGONAL, first_step=500, every_steps=50)
    np.testing.assert_array_equal(all_positions(open_run(tmp_path)), positions[10:].astype("f4"))
    np.testing.assert_array_equal(
        all_positions(open_run(tmp_path, purpose="equilibration")), positions[:10].astype("f4")
    )


def test_a_segment_may_start_inside_its_file(tmp_path, positions):
    write_run(tmp_path, positions, SPECIES, ORTHOGONAL, segments=[(0, 39, 40, "production")])
    record = json.loads((tmp_path / "trajectory.json").read_text())
    record["streams"][0]["segments"][0]["first_step"] = 5 * 50
    (tmp_path / "trajectory.json").write_text(json.dumps(record))
    np.testing.assert_array_equal(all_positions(open_run(tmp_path)), positions[5:].astype("f4"))


def truncate(path, n_bytes):
    path.write_bytes(path.read_bytes()[:-n_bytes])


def test_a_torn_frame_beyond_the_last_step_is_ignored(tmp_path, positions):
    write_run(tmp_path, positions, SPECIES, ORTHOGONAL, segments=[(0, 29, 31, "production")])
    truncate(tmp_path / "stages/02_produce/segment.0.dcd", 20)
    assert open_run(tmp_path).n_frames == 30


def test_a_torn_or_missing_frame_within_the_segment_is_an_error_naming_it(tmp_path, positions):
    write_run(tmp_path, positions, SPECIES, ORTHOGONAL, segments=[(0, 39, 40, "production")])
    file = tmp_path / "stages/02_produce/segment.0.dcd"
    truncate(file, 20)
    with pytest.raises(TrajectoryError, match=r"segment\.0\.dcd: frame 39 \(step 1950\)"):
        open_run(tmp_path)
    file.unlink()
    with pytest.raises(TrajectoryError, match=r"segment\.0\.dcd: no such file"):
        open_run(tmp_path)


def test_damaged_frames_are_errors_naming_them(tmp_path, positions):
    write_run(tmp_path, positions, SPECIES, ORTHOGONAL, segments=[(0, 39, 40, "production")])
    file = tmp_path / "stages/02_produce/segment.0.dcd"
    intact = file.read_bytes()
    dcd = open_dcd(file)
    start = dcd.header_bytes + 7 * dcd.frame_dtype.itemsize
    file.write_bytes(intact[:start] + b"\0" * 60 + intact[start + 60 :])
    with pytest.raises(TrajectoryError, match=r"frame 7 \(step 350\) has damaged record markers"):
        open_run(tmp_path)
    not_a_number = np.array([np.nan], "<f4").tobytes()
    file.write_bytes(intact[: start + 60] + not_a_number + intact[start + 64 :])
    with pytest.raises(TrajectoryError, match=r"frame 7 .* not finite"):
        all_positions(open_run(tmp_path))


@pytest.mark.parametrize(
    ("second", "kind"),
    [((21, 39, 19, "production"), "a gap"), ((19, 39, 21, "production"), "duplicate frames")],
)
def test_segments_with_gap_or_duplicate_are_refused(tmp_path, positions, second, kind):
    segments = [(0, 19, 20, "production"), second]
    write_run(tmp_path, positions, SPECIES, ORTHOGONAL, segments=segments)
    with pytest.raises(TrajectoryError, match=f"{kind} between .*segment.0.dcd"):
        open_run(tmp_path)


def edit_segment(directory, number, **changes):
    path = directory / "trajectory.json"
    record = json.loads(path.read_text())
    record["streams"][0]["segments"][number] |= changes
    path.write_text(json.dumps(record))


def test_inconsistent_records_are_refused(tmp_path, positions):
    segments = [(0, 19, 20, "production"), (20, 39, 20, "production")]
    make = lambda: write_run(tmp_path, positions, SPECIES, ORTHOGONAL, segments=segments)  # noqa: E731
    make()
    edit_segment(tmp_path, 1, timestep_fs=1.0)
    with pytest.raises(TimeGridError, match=r"timestep_fs changes from 2\.0"):
        open_run(tmp_path)
    make()
    edit_segment(tmp_path, 1, temperature_kelvin=900.0)
    with pytest.raises(TrajectoryError, match="temperature_kelvin changes"):
        open_run(tmp_path)
    make()
    edit_segment(tmp_path, 1, stage="again")
    with pytest.raises(TrajectoryError, match=r"2 production stages \(produce, again\)"):
        open_run(tmp_path)
    assert open_run(tmp_path, stage="again").n_frames == 20
    make()
    edit_segment(tmp_path, 0, first_step=25)
    with pytest.raises(TrajectoryError, match="multiple"):
        open_run(tmp_path)
    with pytest.raises(TrajectoryError, match="no equilibration frames"):
        make() and open_run(tmp_path, purpose="equilibration")


def test_files_of_different_runs_and_absent_files_are_refused(tmp_path, positions):
    write_run(tmp_path, positions, SPECIES, ORTHOGONAL, segments=[(0, 39, 40, "production")])
    file = tmp_path / "stages/02_produce/segment.0.dcd"
    write_dcd(file, positions[:, :5], ORTHOGONAL, first_step=0, every_steps=50)
    with pytest.raises(TrajectoryError, match=r"holds 5 atoms but .* has 12"):
        open_run(tmp_path)
    write_dcd(file, positions, ORTHOGONAL, first_step=0, every_steps=10)
    with pytest.raises(TrajectoryError, match="written every 10 steps"):
        open_run(tmp_path)
    file.write_text("not a trajectory at all, but long enough to hold a header " * 3)
    with pytest.raises(TrajectoryError, match="not a little-endian DCD"):
        open_run(tmp_path)
    (tmp_path / "trajectory.json").write_text("{")
    with pytest.raises(TrajectoryError, match="not valid JSON"):
        open_run(tmp_path)
    with pytest.raises(TrajectoryError, match="not a run directory"):
        open_run(tmp_path / "absent")
    assert TrajectoryError.exit_code == AnalysisError.exit_code == 2


LAMMPS_INPUT = """
units metal
atom_style atomic
region box prism 0 12 0 11 0 10 {tilt}
create_box 1 box
create_atoms 1 random 40 123 NULL overlap 2.0 maxtry 500
mass 1 40
pair_style lj/cut 4.5
pair_coeff 1 1 0.01 3.4
minimize 1e-4 1e-4 50 50
reset_timestep 200
velocity all create 3000 1
fix 1 all nve
timestep 0.005
dump dcd all dcd 10 segment.dcd
dump_modify dcd unwrap yes sort id
dump text all custom 10 reference.txt id xu yu zu
dump_modify text sort id format float %.9g
run 400
"""


@pytest.mark.parametrize("tilt", ["0 0 0", "2 1 -1.5"], ids=["orthogonal", "triclinic"])
def test_dcd_written_by_lammps_is_read_as_its_text_dump(tmp_path, tilt):
    lmp = shutil.which("lmp", path=f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if lmp is None:
        pytest.skip("no `lmp` on PATH or beside the interpreter")
    (tmp_path / "in.lj").write_text(LAMMPS_INPUT.format(tilt=tilt))
    subprocess.run(
        [lmp, "-in", "in.lj", "-log", "none", "-screen", "none"],
        cwd=tmp_path,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    dcd = open_dcd(tmp_path / "segment.dcd")
    assert (dcd.n_atoms, dcd.n_frames, dcd.first_step, dcd.every_steps) == (40, 41, 200, 10)
    xy, xz, yz = (float(number) for number in tilt.split())
    cell = np.array([[12.0, 0, 0], [xy, 11.0, 0], [xz, yz, 10.0]])
    np.testing.assert_allclose(read_cells(dcd, 0, 41), np.tile(cell, (41, 1, 1)), atol=1e-10)
    lines = (tmp_path / "reference.txt").read_text().splitlines()
    rows = [line.split() for line in lines]
    reference = np.array([row[1:] for row in rows if len(row) == 4 and row[0].isdigit()], float)
    reference = reference.reshape(41, 40, 3)
    np.testing.assert_allclose(read_positions(dcd, 0, 41), reference, atol=2e-6, rtol=1e-6)
    fractional = reference @ np.linalg.inv(cell)
    assert np.abs(fractional - 0.5).max() > 0.5, "no atom left the cell: unwrapping is untested"


ARGYRODITES = [
    ("Li6PS5Cl_0p_run1", 4.78, 6.65, 0.32),
    ("Li6PS5Cl_100p_run1", 5.35, 8.32, 0.34),
    ("Li6PS5Cl_50p_run1", 5.11, 8.93, 0.33),
    ("Li6PS5I_0p_run1", 1.79, 2.51, 0.20),
]


@pytest.mark.parametrize(("name", "li_50", "li_100", "rest_100"), ARGYRODITES)
def test_msd_of_argyrodite_aimd_matches_the_reference(name, li_50, li_100, rest_100):
    path = DATA / "argyrodite_aimd_xdatcar" / f"{name}_XDATCAR.gz"
    if not path.is_file():
        pytest.skip(f"{path} is absent; set LIPS_MLIP_EXTERNAL_DATA")
    trajectory = open_foreign(path, frame_interval_fs=100.0, temperature_kelvin=500.0)
    assert trajectory.n_frames == 140
    li = mean_squared_displacement(trajectory, trajectory.ids_of("Li"), label="Li")
    rest_ids = np.flatnonzero(trajectory.species != "Li")
    rest = mean_squared_displacement(trajectory, rest_ids, label="rest")
    found = [li.msd[50], li.msd[100], rest.msd[100]]
    np.testing.assert_allclose(found, [li_50, li_100, rest_100], atol=0.0051)
