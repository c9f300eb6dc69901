"""Density of ions on a grid, the passes between their sites, and the file for other programs."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io.cube import read_cube
from toy_trajectories import brownian, make_trajectory

from analysis import open_foreign
from analysis.constants import BOLTZMANN_EV_PER_KELVIN
from analysis.density.density_findings import (
    barrier_quantities,
    density_findings,
    volume_quantity,
)
from analysis.density.ion_density import IonDensity, default_spacing, ion_density, volume_share
from analysis.density.percolation import connected_axes, percolation_levels
from analysis.errors import RangeError
from analysis.observables import examine
from analysis.sample import Request

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = (REPOSITORY / os.environ.get("LIPS_MLIP_EXTERNAL_DATA", "../shared/data")).resolve()
TILTED = np.array([[8.0, 0.0, 0.0], [2.0, 7.0, 0.0], [-1.0, 1.5, 6.0]])
STILL = np.zeros((40, 3))


def random_ions(rng, n_frames=40, n_ions=5, cell=TILTED):
    return rng.uniform(-2, 3, (n_frames, n_ions, 3)) @ cell


def counted(positions, cell=TILTED, path=None, **options):
    trajectory = make_trajectory(positions, cell=cell)
    ids = np.arange(positions.shape[1])
    path = np.zeros((len(positions), 3)) if path is None else path
    return ion_density(trajectory, ids, drift_path=path, spacing_angstrom=1.0, **options)


def test_the_density_integrates_to_the_number_of_ions(rng):
    found = counted(random_ions(rng))
    assert found.shape == (8, 8, 7)
    assert found.density.sum() * found.voxel_angstrom3 == pytest.approx(5)
    assert found.counts.sum(axis=(1, 2, 3)).tolist() == [50] * 4


def test_an_ion_is_in_the_voxel_of_its_fractions_wherever_it_is_unwrapped_to():
    fractions = np.array([[0.01, 0.49, 0.99], [-0.99, 3.49, -2.01]])
    found = counted(np.tile(fractions @ TILTED, (40, 1, 1)))
    assert np.argwhere(found.total).tolist() == [[0, 3, 6]]
    assert found.total.sum() == 80


def test_the_grid_follows_the_framework_and_the_cell(rng):
    positions = random_ions(rng)
    path = np.cumsum(rng.normal(size=(40, 3)), axis=0)
    still = counted(positions)
    np.testing.assert_array_equal(
        counted(positions + path[:, None], path=path).counts, still.counts
    )
    breathing = 1.0 + 0.02 * np.sin(np.arange(40))
    breathing /= breathing.mean()
    cells = TILTED * breathing[:, None, None]
    scaled = positions * breathing[:, None, None]
    np.testing.assert_array_equal(counted(scaled, cell=cells).counts, still.counts)


def test_memory_does_not_change_the_counts(rng):
    positions = random_ions(rng)
    np.testing.assert_array_equal(counted(positions, max_bytes=1).counts, counted(positions).counts)


def test_what_cannot_be_counted_is_refused(rng):
    trajectory = make_trajectory(random_ions(rng), cell=TILTED)
    with pytest.raises(RangeError, match="0 ions"):
        ion_density(trajectory, np.array([], dtype=int), drift_path=STILL)
    huge = make_trajectory(random_ions(rng, cell=60 * TILTED), cell=60 * TILTED)
    with pytest.raises(RangeError, match="sites and bottlenecks are one"):
        ion_density(huge, np.arange(5), drift_path=STILL)
    assert default_spacing(TILTED) == 0.3
    assert default_spacing(10 * TILTED) == pytest.approx((336e3 / 5e5) ** (1 / 3))


def test_the_volume_holds_the_wanted_share_of_time():
    even = np.ones((10, 10, 10))
    assert volume_share(even) == pytest.approx(0.95)
    one = np.zeros((10, 10, 10))
    one[3, 3, 3] = 7.0
    assert volume_share(one) == pytest.approx(0.001)
    one[4, 4, 4] = 3.0
    assert volume_share(one, 0.7) == pytest.approx(0.001)
    assert volume_share(one, 0.71) == pytest.approx(0.002)


def line(*voxels, shape=(5, 6, 7)):
    inside = np.zeros(shape, dtype=bool)
    for voxel in voxels:
        inside[voxel] = True
    return inside


def staircase(n=6):
    """Along a + b, sharing faces."""
    inside = np.zeros((n, n, 4), dtype=bool)
    for k in range(n):
        inside[k, k, 1] = inside[(k + 1) % n, k, 1] = True
    return inside


@pytest.mark.parametrize(
    ("inside", "axes"),
    [
        (np.zeros((4, 4, 4), dtype=bool), (False, False, False)),
        (np.ones((4, 4, 4), dtype=bool), (True, True, True)),
        (line(np.s_[:, 2, 3]), (True, False, False)),
        (line(np.s_[:, 2, 3], np.s_[1, 2, :]), (True, False, True)),
        # Two lines that miss each other.
        (line(np.s_[:, 2, 3], np.s_[1, :, 6]), (True, True, False)),
        # Cut once.
        (line(np.s_[:4, 2, 3]), (False, False, False)),
        # Out through one face and back through the same: a loop in the cell.
        (line(np.s_[:2, 1, 3], np.s_[4, 1, 3], np.s_[4, 1:4, 3]), (False, False, False)),
        (staircase(), (True, True, False)),
        # One voxel wide: it touches its own image.
        (np.ones((1, 1, 1), dtype=bool), (True, True, True)),
    ],
    ids=["none", "all", "a", "a and c", "apart", "cut", "loop", "diagonal", "single"],
)
def test_voxels_connect_a_cell_with_its_images(inside, axes, rng):
    assert connected_axes(inside) == axes
    for _ in range(5):
        shift = tuple(rng.integers(0, 7, 3).tolist())
        assert connected_axes(np.roll(inside, shift, axis=(0, 1, 2))) == axes
    assert connected_axes(inside.transpose(2, 0, 1)) == (axes[2], axes[0], axes[1])
    assert connected_axes(np.tile(inside, (2, 1, 3))) == axes


def test_the_level_of_percolation_is_the_density_of_the_bottleneck(rng):
    density = np.full((6, 5, 4), 0.0)
    density[:, 2, 2] = [9.0, 5.0, 3.0, 4.0, 8.0, 7.0]
    density[0, :, 2] = [2.0, 0.5, 9.0, 6.0, 1.0]
    # A way round the bottleneck along a.
    density[1:4, 3, 2] = [5.0, 3.5, 5.0]
    np.testing.assert_array_equal(percolation_levels(density), [3.5, 0.5, 0.0])
    rolled = np.roll(density, (4, 1, 3), axis=(0, 1, 2))
    np.testing.assert_array_equal(percolation_levels(rolled), [3.5, 0.5, 0.0])
    np.testing.assert_array_equal(percolation_levels(7.0 * density), [24.5, 3.5, 0.0])


def channel(temperature_kelvin=600.0, barrier_ev=0.12, n=(20, 8, 8)):
    """Return the probability of each voxel of a channel along a with a pass between its sites."""
    a, b, c = np.meshgrid(*((np.arange(k) + 0.5) / k for k in n), indexing="ij")
    energy = 0.5 * barrier_ev * (1 - np.cos(2 * np.pi * (a - 0.5 / n[0])))
    energy = energy + 0.4 * (1 - np.cos(2 * np.pi * (b - 0.5 / n[1])))
    energy = energy + 4.0 * (1 - np.cos(2 * np.pi * (c - 0.5 / n[2])))
    weight = np.exp(-energy / (BOLTZMANN_EV_PER_KELVIN * temperature_kelvin))
    return weight / weight.sum()


def drawn(rng, probability, visits=40_000):
    counts = np.stack([rng.multinomial(visits, probability.ravel()) for _ in range(4)])
    return IonDensity(counts.reshape(4, *probability.shape), 10.0 * np.eye(3), 4 * visits, 1)


def test_the_barrier_of_a_channel_is_inside_its_interval(rng):
    probability = channel()
    inside = 0
    for _ in range(40):
        along_a, along_b, along_c = barrier_quantities(drawn(rng, probability), 600.0, "Li")
        assert along_a.status == "ok"
        assert along_a.value == pytest.approx(0.12, abs=0.01)
        inside += along_a.low <= 0.12 <= along_a.high
    # Independent visits: four blocks and three degrees of freedom hold 95 %.
    assert inside >= 33
    for closed in (along_b, along_c):
        assert closed.status == "unresolved"
        assert closed.low > 0.3
        assert closed.high == np.inf
    assert "never visited" in along_c.reason


def test_the_volume_needs_frames_enough_to_be_found(rng):
    even = np.full((10, 10, 10), 1e-3)
    known = volume_quantity(drawn(rng, even), "Li")
    assert known.status == "ok"
    # Chance makes some voxels emptier than others, so that fewer hold the time.
    assert known.value == pytest.approx(0.95, abs=0.01)
    assert known.low <= known.value <= known.high
    few = volume_quantity(drawn(rng, even, visits=200), "Li")
    assert few.status == "unresolved"
    assert few.low < 0.8
    assert few.high == 1.0


def test_fewer_visits_of_the_bottleneck_are_a_bound(rng):
    found = drawn(rng, channel(barrier_ev=0.5))
    (along_a, _, _) = barrier_quantities(found, 600.0, "Li")
    assert along_a.status == "unresolved"
    assert 0.35 < along_a.low < 0.5


def framework_and_ions(rng, n_frames=200):
    """A cubic framework that drifts, and ions that go everywhere."""
    sites = np.stack(np.meshgrid(*[np.arange(2) * 4.0] * 3), axis=-1).reshape(-1, 3)
    cage = sites + rng.normal(0, 0.05, (n_frames, 8, 3))
    ions = 4.0 + brownian(rng, 6, n_frames, D=2.0)
    positions = np.concatenate([cage, ions], axis=1) + 0.01 * np.arange(n_frames)[:, None, None]
    return make_trajectory(positions, species=["S"] * 8 + ["Li"] * 6, cell=8.0)


def test_the_cube_file_is_read_by_others_and_holds_the_framework(rng):
    trajectory = framework_and_ions(rng)
    content = density_findings(trajectory, "Li").files["grids/density_Li.cube"]
    found = read_cube(io.StringIO(content.decode()))
    n = 27
    assert found["data"].shape == (n, n, n)
    # ASE leaves values as they are, in 1/bohr^3.
    voxel_bohr3 = np.prod(np.diag(found["spacing"])) / 0.529177210903**3
    assert found["data"].sum() * voxel_bohr3 == pytest.approx(6, rel=1e-4)
    np.testing.assert_allclose(found["origin"], 0.5 * 8 / n, atol=1e-5)
    atoms = found["atoms"]
    np.testing.assert_allclose(atoms.cell.array, 8 * np.eye(3), atol=1e-4)
    assert set(atoms.symbols) == {"S"}
    start = trajectory.source.read(0, 1, slice(0, 8))[0]
    apart = atoms.positions - start
    apart -= 8 * np.round(apart / 8)
    np.testing.assert_allclose(apart, 0, atol=0.2)


def test_an_analysis_has_the_density_unless_the_framework_flows(rng):
    found = examine(framework_and_ions(rng), Request(mobile="Li"))["density"]
    names = {quantity.name for quantity in found.quantities}
    assert names == {"volume_of_95_percent_Li", *(f"free_energy_barrier_Li_{x}" for x in "abc")}
    assert found.figures["density_Li"].startswith(b"\x89PNG")

    melt = make_trajectory(brownian(rng, 12, 200), species=["S"] * 6 + ["Li"] * 6, cell=12.0)
    skipped = examine(melt, Request(mobile="Li"))["density"].skipped
    assert ["flows" in item.reason for item in skipped] == [True]


def test_without_frames_framework_or_temperature_the_reason_is_told(rng):
    trajectory = framework_and_ions(rng)
    few = framework_and_ions(rng, n_frames=60)
    assert "60 frames" in density_findings(few, "Li").skipped[0].reason
    alone = make_trajectory(brownian(rng, 4, 200), cell=9.0)
    assert "every atom is mobile" in density_findings(alone, "Li").skipped[0].reason
    unknown = density_findings(replace(trajectory, temperature_kelvin=None), "Li")
    assert [item.name for item in unknown.skipped] == ["free_energy_barrier_Li"]
    assert [quantity.name for quantity in unknown.quantities] == ["volume_of_95_percent_Li"]


def test_fourteen_picoseconds_of_an_argyrodite_bound_its_passes_and_say_so():
    path = DATA / "argyrodite_aimd_xdatcar" / "Li6PS5Cl_50p_run1_XDATCAR.gz"
    if not path.is_file():
        pytest.skip(f"{path} is absent; set LIPS_MLIP_EXTERNAL_DATA")
    trajectory = open_foreign(path, frame_interval_fs=100.0, temperature_kelvin=500.0)
    found = density_findings(trajectory, "Li")
    assert {quantity.status for quantity in found.quantities} == {"unresolved"}
    barriers = [q for q in found.quantities if q.unit == "eV"]
    assert len(barriers) == 3
    assert all(0.03 < quantity.low < 0.3 for quantity in barriers)
    data = read_cube(io.StringIO(found.files["grids/density_Li.cube"].decode()))
    assert len(data["atoms"]) == trajectory.n_atoms - 192
