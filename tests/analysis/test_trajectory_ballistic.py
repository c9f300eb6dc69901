"""Every reader on r = v t: an off-by-one shows at every lag, a duplicated frame at the first."""

from __future__ import annotations

import gzip
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from toy_trajectories import (
    IMAGES,
    TRICLINIC,
    XS,
    XSU,
    XU,
    X,
    make_trajectory,
    write_dump,
    write_run,
    write_xdatcar,
)

from analysis.errors import AmbiguousMotionError, AnalysisError, TimeGridError, TrajectoryError
from analysis.motion.msd import mean_squared_displacement
from analysis.reading.foreign import open_foreign
from analysis.reading.runs import open_run
from analysis.reading.universe import open_universe

ORTHOGONAL = np.diag([12.0, 10.0, 9.0])
SPECIES = ["Li"] * 6 + ["S"] * 4
TYPES = [1] * 6 + [2] * 4
N_FRAMES = 50
INTERVAL_PS = 0.1
REPOSITORY = Path(__file__).parents[2]
DATA = (REPOSITORY / os.environ.get("LIPS_MLIP_EXTERNAL_DATA", "../shared/data")).resolve()


@pytest.fixture
def velocities(rng):
    return rng.normal(size=(10, 3)) * 8.0  # Angstrom/ps; up to a fifth of the cell a frame


@pytest.fixture
def positions(rng, velocities):
    times = np.arange(N_FRAMES) * INTERVAL_PS
    return rng.random((10, 3)) * 9.0 + times[:, None, None] * velocities


def extxyz(folder, positions, cell, wrap):
    frames = [Atoms(SPECIES, positions=p, cell=cell, pbc=True) for p in positions]
    for frame in frames:
        frame.wrap() if wrap else None
    path = folder / "md.extxyz"
    # The standard columns are written with eight decimals.
    write(path, frames, format="extxyz")
    return open_foreign(path, frame_interval_fs=100.0)


def xdatcar(folder, positions, cell, wrap):
    path = write_xdatcar(folder / "XDATCAR", positions, cell, SPECIES, wrap=wrap)
    packed = folder / "XDATCAR.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return open_foreign(packed, frame_interval_fs=100.0)


def dump(columns):
    def opened(folder, positions, cell):
        path = write_dump(folder / "md.dump", positions, cell, columns, types=TYPES)
        return open_foreign(path, frame_interval_fs=100.0, species=["Li", "S"])

    return opened


def run(folder, positions, cell):
    segments = [(0, 19, 25, "production"), (20, 49, 30, "production")]
    # The steps of a run directory, 50 of 2 fs, are 0.1 ps apart.
    return open_run(write_run(folder, positions, SPECIES, cell, segments=segments))


def universe_of(positions, cell, *, dt=INTERVAL_PS):
    mda = pytest.importorskip("MDAnalysis", reason="MDAnalysis is not installed here")
    universe = mda.Universe.empty(positions.shape[1])
    lengths = np.linalg.norm(cell, axis=1)
    cosines = [cell[i] @ cell[j] / lengths[i] / lengths[j] for i, j in ((1, 2), (0, 2), (0, 1))]
    box = np.concatenate([lengths, np.degrees(np.arccos(cosines))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe.load_new(positions.astype("f4"), dimensions=box, dt=dt)
    return universe


def universe(wrapped):
    def opened(folder, positions, cell):
        fractional = positions @ np.linalg.inv(cell)
        stored = (fractional % 1.0) @ cell if wrapped else positions
        return open_universe(universe_of(stored, cell), species=SPECIES, wrapped=wrapped)

    return opened


# The relative error that the digits of each format leave in an MSD.
READERS = {
    "memory": (lambda f, p, c: make_trajectory(p, cell=c, frame_interval_ps=0.1), 1e-10),
    "xu": (dump(XU), 1e-10),
    "x-ix": (dump(f"{X} {IMAGES}"), 1e-10),
    "xs-ix": (dump(f"{XS} {IMAGES}"), 1e-10),
    "xsu": (dump(XSU), 1e-10),
    "x": (dump(X), 1e-10),
    "xs": (dump(XS), 1e-10),
    "extxyz-wrapped": (lambda f, p, c: extxyz(f, p, c, True), 1e-6),
    "extxyz-unwrapped": (lambda f, p, c: extxyz(f, p, c, False), 1e-6),
    "xdatcar-wrapped": (lambda f, p, c: xdatcar(f, p, c, True), 1e-10),
    "xdatcar-unwrapped": (lambda f, p, c: xdatcar(f, p, c, False), 1e-10),
    "run": (run, 1e-4),
    "universe-wrapped": (universe(True), 1e-4),
    "universe-unwrapped": (universe(False), 1e-4),
}


@pytest.mark.parametrize("cell", [ORTHOGONAL, TRICLINIC], ids=["orthogonal", "triclinic"])
@pytest.mark.parametrize("reader", READERS)
def test_ballistic_motion_is_v2t2_at_every_lag(tmp_path, positions, velocities, cell, reader):
    opened, tolerance = READERS[reader]
    trajectory = opened(tmp_path, positions, cell)
    assert trajectory.n_frames == N_FRAMES
    no_drift = np.zeros((N_FRAMES, 3))
    result = mean_squared_displacement(trajectory, np.arange(10), label="all", drift_path=no_drift)
    assert len(result.msd) == N_FRAMES  # the last lag is F - 1
    expected = (velocities**2).sum(axis=1).mean() * (np.arange(N_FRAMES) * INTERVAL_PS) ** 2
    np.testing.assert_allclose(result.msd[1:], expected[1:], rtol=tolerance)
    np.testing.assert_allclose(result.times_ps, np.arange(N_FRAMES) * INTERVAL_PS, rtol=1e-12)


@pytest.mark.parametrize("name", ["xu", "x", "xdatcar-wrapped"])
def test_fixed_fractional_coordinates_in_a_breathing_cell_do_not_move(tmp_path, rng, name):
    cells = TRICLINIC * (1.0 + 0.03 * np.sin(np.arange(N_FRAMES)))[:, None, None]
    positions = rng.random((10, 3)) @ cells
    trajectory = READERS[name][0](tmp_path, positions, cells)
    np.testing.assert_allclose(trajectory.cells, cells, atol=1e-12)
    ids = np.arange(10)
    no_drift = np.zeros((N_FRAMES, 3))
    still = mean_squared_displacement(trajectory, ids, label="all", drift_path=no_drift).msd
    assert np.abs(still).max() < 1e-20
    assert np.ptp(trajectory.volumes) > 50.0


def test_xdatcars_of_vasp_are_read_as_ase_reads_them():
    path = DATA / "argyrodite_aimd_xdatcar" / "Li6PS5Cl_50p_run1_XDATCAR.gz"
    if not path.is_file():
        pytest.skip(f"{path} is absent; set LIPS_MLIP_EXTERNAL_DATA")
    ours = open_foreign(path, frame_interval_fs=100.0)
    theirs = read(path, index=":", format="vasp-xdatcar")
    assert ours.n_frames == len(theirs)
    assert ours.species.tolist() == theirs[0].get_chemical_symbols()
    for frame, atoms in zip(ours.frames(), theirs, strict=True):
        np.testing.assert_allclose(frame.cell, atoms.cell[:], atol=1e-12)
        difference = (frame.positions - atoms.positions) @ np.linalg.inv(frame.cell)
        np.testing.assert_allclose(difference, np.round(difference), atol=1e-9)


def test_a_universe_is_read_lazily_and_left_where_it_was(positions):
    universe = universe_of(positions, ORTHOGONAL)
    universe.add_TopologyAttr("elements", SPECIES)
    universe.add_TopologyAttr("charges", np.arange(10.0))
    universe.trajectory[7]
    trajectory = open_universe(universe, wrapped=False, temperature_kelvin=500.0)
    assert trajectory.species.tolist() == SPECIES
    np.testing.assert_array_equal(trajectory.charges_e, np.arange(10.0))
    assert trajectory.temperature_kelvin == 500.0
    blocks = list(trajectory.atom_blocks(np.array([1, 4, 9]), max_bytes=2 * N_FRAMES * 24))
    joined = np.concatenate([part for _, part in blocks], axis=1)
    np.testing.assert_array_equal(joined, positions.astype("f4")[:, [1, 4, 9]])
    assert universe.trajectory.frame == 7


def test_a_universe_that_does_not_say_enough_is_refused(positions):
    wrapped = (positions @ np.linalg.inv(ORTHOGONAL) % 1.0) @ ORTHOGONAL
    with pytest.raises(AmbiguousMotionError, match="open the universe with wrapped=True"):
        open_universe(universe_of(wrapped, ORTHOGONAL), species=SPECIES, wrapped=False)
    with pytest.raises(TrajectoryError, match="names no elements"):
        open_universe(universe_of(wrapped, ORTHOGONAL), wrapped=True)
    with pytest.raises(TrajectoryError, match="10 atoms but `species` names 2"):
        open_universe(universe_of(wrapped, ORTHOGONAL), species=["Li", "S"], wrapped=True)
    with pytest.raises(TimeGridError, match="give frame_interval_ps"):
        open_universe(universe_of(wrapped, ORTHOGONAL, dt=1.0), species=SPECIES, wrapped=True)
    known = open_universe(
        universe_of(wrapped, ORTHOGONAL, dt=1.0),
        species=SPECIES,
        wrapped=True,
        frame_interval_ps=1.0,
    )
    assert known.frame_interval_ps == 1.0
    without_cell = universe_of(wrapped, ORTHOGONAL)
    without_cell.trajectory.dimensions_array[:] = 0.0
    with pytest.raises(AnalysisError, match="frame 0 has no cell"):
        open_universe(without_cell, species=SPECIES, wrapped=True)
