"""LAMMPS text dumps: every form of positions and boxes, and what is refused."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from toy_trajectories import IMAGES, TRICLINIC, XS, XSU, XU, X, brownian, write_dump

from analysis.errors import AmbiguousMotionError, TimeGridError, TrajectoryError
from analysis.motion.msd import mean_squared_displacement
from analysis.reading.dcd import open_dcd, read_positions
from analysis.reading.foreign import open_foreign

ORTHOGONAL = np.diag([12.0, 10.0, 9.0])
CORNER = (-3.0, 1.5, 0.25)
TYPES = [1] * 8 + [2] * 4
NAMES = ["Li", "S"]
BREATHING = (1.0 + 0.05 * np.sin(np.arange(40)))[:, None, None]
FORMS = [XU, f"{X} {IMAGES}", f"{XS} {IMAGES}", XSU, X, XS, f"{X} {IMAGES} {XU} {XS} {XSU}"]


@pytest.fixture
def positions(rng):
    return brownian(rng, 12, 40, D=0.1) + rng.random((12, 3)) * 9.0


def all_positions(trajectory):
    return np.array([frame.positions for frame in trajectory.frames()])


def open_dump(path, **options):
    options = {"frame_interval_fs": 20.0, "species": NAMES} | options
    return open_foreign(path, **options)


@pytest.mark.parametrize("scale", [np.ones((1, 1, 1)), BREATHING], ids=["fixed", "varying"])
@pytest.mark.parametrize("cell", [ORTHOGONAL, TRICLINIC], ids=["orthogonal", "triclinic"])
def test_all_forms_of_positions_give_the_same_motion(tmp_path, rng, positions, cell, scale):
    cells = np.broadcast_to(cell * scale, (40, 3, 3))
    assert (np.abs(positions @ np.linalg.inv(cells) - 0.5) > 0.5).any(), "no atom leaves the cell"
    curves = []
    for number, columns in enumerate(FORMS):
        path = tmp_path / f"{number}.dump"
        write_dump(path, positions, cells, columns, types=TYPES, corner=CORNER, rng=rng)
        trajectory = open_dump(path)
        np.testing.assert_allclose(trajectory.cells, cells, rtol=0, atol=1e-13)
        difference = (all_positions(trajectory) - positions) @ np.linalg.inv(cells)
        # What is only wrapped starts in the cell: it differs by one lattice vector an atom.
        whole = np.round(difference[0])
        np.testing.assert_allclose(difference, np.broadcast_to(whole, difference.shape), atol=1e-11)
        assert not whole.any() or columns in (X, XS)
        word = "wrapped" if columns in (X, XS) else "unwrapped"
        assert f"({word})" in trajectory.notes[0]
        li = trajectory.ids_of("Li")
        curves.append(mean_squared_displacement(trajectory, li, label="Li").msd)
    np.testing.assert_allclose(curves, np.tile(curves[0], (len(FORMS), 1)), rtol=1e-10, atol=1e-12)


def test_general_triclinic_boxes_are_read_as_they_are(tmp_path, rng, positions):
    # The same crystal turned: a general cell need not have a along x.
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    path = tmp_path / "general.dump"
    write_dump(path, positions @ turn, TRICLINIC @ turn, XU, types=TYPES, box="general")
    trajectory = open_dump(path)
    np.testing.assert_allclose(trajectory.cells[0], TRICLINIC @ turn, atol=1e-13)
    np.testing.assert_allclose(all_positions(trajectory), positions @ turn, atol=1e-11)


def test_packed_dumps_and_unusual_names_are_read(tmp_path, positions):
    plain = write_dump(tmp_path / "md.out", positions, TRICLINIC, XU, types=TYPES)
    packed = tmp_path / "md.lammpstrj.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(all_positions(open_dump(plain)), all_positions(open_dump(packed)))


def test_species_come_from_elements_types_or_atoms(tmp_path, positions):
    by_type = write_dump(tmp_path / "t.dump", positions, ORTHOGONAL, XU, types=TYPES)
    expected = ["Li"] * 8 + ["S"] * 4
    assert open_dump(by_type).species.tolist() == expected
    assert open_dump(by_type, species=["Li", "S", "P"]).species.tolist() == expected
    assert open_dump(by_type, species=["Na"] * 12).species.tolist() == ["Na"] * 12
    named = write_dump(tmp_path / "e.dump", positions, ORTHOGONAL, XU, types=expected)
    trajectory = open_dump(named, species=None, charges={"Li": 1.0, "S": -2.0, "P": 5.0})
    assert trajectory.species.tolist() == expected
    assert trajectory.charges_e.tolist() == [1.0] * 8 + [-2.0] * 4
    with pytest.raises(TrajectoryError, match=r"only types 1 to 2.*foreign\.species="):
        open_dump(by_type, species=None)
    with pytest.raises(TrajectoryError, match="12 atoms of 2 types but `species` names 1"):
        open_dump(by_type, species=["Li"])
    # Per atom, but one missing or too many: not a list of types.
    for names in (["Li"] * 7 + ["S"] * 4, ["Li"] * 8 + ["S"] * 5):
        with pytest.raises(TrajectoryError, match=f"2 types but `species` names {len(names)}"):
            open_dump(by_type, species=names)
    with pytest.raises(TrajectoryError, match="X are no chemical elements"):
        open_dump(by_type, species=["Li", "X"])
    with pytest.raises(TrajectoryError, match="no charge for S"):
        open_dump(by_type, charges={"Li": 1.0})
    with pytest.raises(TrajectoryError, match="12 atoms but `charges` has 2"):
        open_dump(by_type, charges=[1.0, -2.0])


def test_species_that_could_mean_types_or_atoms_are_refused(tmp_path):
    still = np.ones((3, 3, 3)) * np.arange(1.0, 4.0)[:, None]
    path = write_dump(tmp_path / "t.dump", still, ORTHOGONAL, XU, types=[2, 1, 3])
    with pytest.raises(TrajectoryError, match="which differs"):
        open_dump(path, species=["Li", "P", "S"])
    write_dump(path, still, ORTHOGONAL, XU, types=[1, 2, 3])
    assert open_dump(path, species=["Li", "P", "S"]).species.tolist() == ["Li", "P", "S"]


def test_the_default_element_of_lammps_is_not_believed(tmp_path, positions):
    path = write_dump(tmp_path / "c.dump", positions, ORTHOGONAL, XU, types=TYPES)
    rows = [
        row.replace(" ", " C ", 1) if len(row.split()) == 6 and row[0].isdigit() else row
        for row in path.read_text().replace("id type", "id element type").splitlines()
    ]
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(TrajectoryError, match="dump_modify element is not set"):
        open_dump(path, species=None)
    assert set(open_dump(path).species.tolist()) == set(NAMES)


@pytest.mark.parametrize(
    ("columns", "column", "shift"),
    [(f"{X} {XU}", 3, 0.5), (f"{X} {IMAGES} {XU}", 5, 1.0), (f"{XS} {XU}", 3, 0.1)],
    ids=["x-xu", "image-flag", "xs-xu"],
)
def test_columns_that_contradict_each_other_are_refused_with_both_shown(
    tmp_path, positions, columns, column, shift
):
    path = write_dump(tmp_path / "md.dump", positions, TRICLINIC, columns, types=TYPES)
    assert open_dump(path).n_frames == 40
    lines = path.read_text().splitlines()
    start = [n for n, line in enumerate(lines) if line.startswith("ITEM: ATOMS")][17]
    row = lines[start + 4].split()
    row[column] = f"{float(row[column]) + shift:g}" if shift != 1.0 else str(int(row[column]) + 1)
    lines[start + 4] = " ".join(row)
    path.write_text("\n".join(lines) + "\n")
    shown = rf"frame 17 \(step 170\), atom id 4: xu yu zu = .* and {columns.split()[0]} .* = "
    with pytest.raises(TrajectoryError, match=shown):
        open_dump(path)


def test_wrapped_positions_under_the_name_of_unwrapped_ones_are_refused(tmp_path, positions):
    path = write_dump(tmp_path / "md.dump", positions, ORTHOGONAL, X, types=TYPES)
    path.write_text(path.read_text().replace(X, XU))
    with pytest.raises(AmbiguousMotionError, match="every atom lies inside it; they are wrapped"):
        open_dump(path)


def replace_once(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_lost_or_exchanged_atoms_are_refused_with_the_frame(tmp_path, positions):
    path = write_dump(tmp_path / "a.dump", positions[:3], ORTHOGONAL, XU, types=TYPES)
    rest = write_dump(tmp_path / "b.dump", positions[3:, :11], ORTHOGONAL, XU, types=TYPES)
    for step in range(10, 370, 10)[::-1]:
        replace_once(rest, f"TIMESTEP\n{step}\n", f"TIMESTEP\n{step + 30}\n")
    replace_once(rest, "TIMESTEP\n0\n", "TIMESTEP\n30\n")
    path.write_text(path.read_text() + rest.read_text())
    with pytest.raises(TrajectoryError, match=r"frame 3 \(step 30, line 64\) holds 11 atoms"):
        open_dump(path)
    write_dump(path, positions, ORTHOGONAL, XU, types=TYPES)
    lines = path.read_text().splitlines()
    lines[21 * 5 + 9 + 2] = lines[21 * 5 + 9 + 2].replace("3 1 ", "3 2 ", 1)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TrajectoryError, match="frame 5 has other atoms"):
        open_dump(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pp pp pp", "pp pp fs", "frame 0: .*not periodic in three"),
        ("BOX BOUNDS pp pp pp", "BOX BOUNDS", "not periodic in three"),
        ("ATOMS id", "ATOMS mol", "no column `id`"),
        (XU, "fx fy fz", "hold no positions"),
        ("ITEM: TIMESTEP", "ITEM: UNITS\nlj\nITEM: TIMESTEP", "units `lj`"),
        ("TIMESTEP\n30\n", "TIMESTEP\n25\n", None),
        ("TIMESTEP\n10\n", "TIMESTEP\n0\n", None),
    ],
)
def test_dumps_that_cannot_be_used_are_refused_with_the_remedy(
    tmp_path, positions, old, new, message
):
    path = write_dump(tmp_path / "md.dump", positions, ORTHOGONAL, XU, types=TYPES)
    replace_once(path, old, new)
    with pytest.raises(TimeGridError if message is None else TrajectoryError, match=message):
        open_dump(path)


def test_the_frame_interval_is_held_against_steps_and_times_of_the_file(tmp_path, positions):
    path = tmp_path / "md.dump"
    write_dump(path, positions, ORTHOGONAL, XU, types=TYPES, every_steps=100)
    assert "makes a time step of 2 fs" in open_dump(path, frame_interval_fs=200.0).notes[1]
    with pytest.raises(TimeGridError, match=r"makes a time step of 0\.02 fs.*give 100"):
        open_dump(path, frame_interval_fs=2.0)
    times = "ITEM: UNITS\nmetal\nITEM: TIME\n0.{index:04d}"  # 0.1 fs apart
    write_dump(path, positions, ORTHOGONAL, XU, types=TYPES, every_steps=100, extra_items=times)
    assert open_dump(path, frame_interval_fs=0.1).frame_interval_ps == pytest.approx(1e-4)
    with pytest.raises(TimeGridError, match=r"0\.1 fs apart by their ITEM: TIME"):
        open_dump(path, frame_interval_fs=200.0)


LAMMPS_INPUT = """
units metal
atom_style atomic
{box}
mass * 30
pair_style lj/cut 4.0
pair_coeff * * 0.01 2.9
minimize 1e-4 1e-4 50 50
reset_timestep 0
velocity all create 3000 1
fix 1 all {ensemble}
timestep 0.005
dump all all custom 10 all.dump id type x y z ix iy iz xs ys zs xu yu zu xsu ysu zsu
dump_modify all format float %.12g units yes time yes
dump few all custom 10 few.dump id type xu yu zu
dump few_x all custom 10 few_x.dump id type x y z
dump dcd all dcd 10 segment.dcd
dump_modify dcd unwrap yes sort id
{general}
run 300
"""
RESTRICTED_BOX = """
region box prism -2 10 1 12 0 10 2 1 -1.5
create_box 2 box
create_atoms 1 random 20 123 NULL overlap 2.0 maxtry 500
create_atoms 2 random 20 321 NULL overlap 2.0 maxtry 500
"""
GENERAL_BOX = """
lattice custom 4.5 a1 1 0 0 a2 0.3 1.2 0.1 a3 -0.2 0.15 1.1 basis 0 0 0 basis 0.5 0.5 0.5 &
  triclinic/general
create_box 2 NULL 0 2 0 2 0 2
create_atoms 1 box basis 2 2
"""


def run_lammps(folder, text):
    lmp = shutil.which("lmp", path=f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if lmp is None:
        pytest.skip("no `lmp` on PATH or beside the interpreter")
    (folder / "in.lj").write_text(text)
    command = [lmp, "-in", "in.lj", "-log", "none", "-screen", "none"]
    subprocess.run(command, cwd=folder, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


@pytest.mark.parametrize("ensemble", ["nve", "npt temp 3000 3000 0.1 tri 0 0 0.5"])
def test_dumps_of_lammps_agree_with_its_dcd_and_with_themselves(tmp_path, ensemble):
    general = "dump gen all custom 10 general.dump id type xu yu zu x y z\n"
    general += "dump_modify gen triclinic/general yes format float %.12g"
    box = GENERAL_BOX
    if ensemble != "nve":
        box, general = RESTRICTED_BOX, ""
    run_lammps(tmp_path, LAMMPS_INPUT.format(box=box, ensemble=ensemble, general=general))
    names = {"species": ["Li", "S"], "frame_interval_fs": 50.0}
    whole = open_foreign(tmp_path / "all.dump", **names)
    assert whole.n_frames == 31
    assert whole.notes[0].startswith("positions from xu")
    moved = all_positions(whole)
    fractional = moved @ np.linalg.inv(whole.cells)
    assert np.abs(fractional - 0.5).max() > 0.5, "no atom left the cell: unwrapping is untested"
    # The same numbers with six digits, and followed by the minimum image.
    few = all_positions(open_foreign(tmp_path / "few.dump", **names))
    np.testing.assert_allclose(few, moved, atol=2e-4)
    followed = all_positions(open_foreign(tmp_path / "few_x.dump", **names))
    shift = (followed - moved) @ np.linalg.inv(whole.cells)
    np.testing.assert_allclose(shift, np.broadcast_to(np.round(shift[0]), shift.shape), atol=1e-4)
    stored = read_positions(open_dcd(tmp_path / "segment.dcd"), 0, 31)
    offset = stored - moved  # the corner of the box, which DCD does not hold
    assert np.ptp(offset, axis=1).max() < 1e-5
    if general:
        turned = open_foreign(tmp_path / "general.dump", **names)
        assert abs(turned.cells[0, 1, 2]) > 0.1
        np.testing.assert_allclose(
            all_positions(turned) @ np.linalg.inv(turned.cells), fractional, atol=1e-9
        )


@pytest.mark.parametrize("cell", [ORTHOGONAL, TRICLINIC], ids=["orthogonal", "triclinic"])
def test_peers_read_the_same_dump_alike_where_they_read_it_right(tmp_path, rng, positions, cell):
    path = write_dump(
        tmp_path / "md.lammpsdump", positions, cell, f"{X} {IMAGES}", types=TYPES, corner=CORNER,
        rng=rng,
    )  # fmt: skip
    ours = all_positions(open_dump(path))
    wrapped = np.array(
        [
            atoms.positions - atoms.get_celldisp().ravel()
            for atoms in read(path, index=":", format="lammps-dump-text", specorder=NAMES)
        ]
    )
    difference = (ours - wrapped) @ np.linalg.inv(cell)
    np.testing.assert_allclose(difference, np.round(difference), atol=1e-10)

    mda = pytest.importorskip("MDAnalysis", reason="MDAnalysis is a peer, not installed here")
    options = {"format": "LAMMPSDUMP", "topology_format": "LAMMPSDUMP"}
    write_dump(path, positions, cell, XU, types=TYPES, corner=CORNER, rng=rng)
    universe = mda.Universe(str(path), **options)
    theirs = np.array([step.positions.copy() for step in universe.trajectory])
    np.testing.assert_allclose(theirs, all_positions(open_dump(path)), atol=5e-6)
    # With x and xu both there, the peer reads the wrapped ones and says nothing.
    write_dump(path, positions, cell, f"{X} {XU}", types=TYPES)
    universe = mda.Universe(str(path), **options)
    theirs = np.array([step.positions.copy() for step in universe.trajectory])
    ours = all_positions(open_dump(path))
    np.testing.assert_allclose(ours, positions, atol=1e-11)
    assert np.abs(theirs - ours).max() > 5.0
