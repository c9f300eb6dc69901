"""Velocities of foreign trajectories: columns, units, order of atoms, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from ase.units import fs

from analysis import open_foreign
from analysis.errors import TrajectoryError

FRAMES, ATOMS, CELL = 5, 6, 10.0


def dump(path, velocities, *, rng, columns="vx vy vz", units="", lacking=()):
    places = rng.uniform(0.0, CELL, (ATOMS, 3))
    lines = []
    for frame in range(FRAMES):
        lines += ["ITEM: UNITS", units] if units and frame == 0 else []
        lines += ["ITEM: TIMESTEP", str(10 * frame), "ITEM: NUMBER OF ATOMS", str(ATOMS)]
        lines += ["ITEM: BOX BOUNDS pp pp pp", *[f"0 {CELL}"] * 3]
        named = "" if frame in lacking else columns
        lines.append(f"ITEM: ATOMS id type xu yu zu {named}".rstrip())
        for i in rng.permutation(ATOMS):
            row = [*places[i], *([] if frame in lacking else velocities[frame, i])]
            row = row[: 3 + len(named.split())]
            lines.append(f"{i + 1} 1 " + " ".join(f"{x:.10g}" for x in row))
    path.write_text("\n".join(lines) + "\n")
    return path


def opened(path, **options):
    return open_foreign(path, frame_interval_fs=10.0, **options)


@pytest.fixture
def velocities(rng):
    return rng.normal(0.0, 5.0, (FRAMES, ATOMS, 3))


@pytest.mark.parametrize(
    ("options", "units", "factor"),
    [
        ({}, "", 1.0),
        ({}, "metal", 1.0),
        ({}, "real", 1000.0),
        ({"velocity_unit": "angstrom/fs"}, "", 1000.0),
        ({"velocity_unit": "angstrom/ps"}, "", 1.0),
    ],
)
def test_velocities_of_a_dump(tmp_path, rng, velocities, options, units, factor):
    path = dump(tmp_path / "a.dump", velocities, rng=rng, units=units)
    trajectory = opened(path, species=["Li"], **options)
    everything = trajectory.velocities.read(0, FRAMES, slice(None))
    np.testing.assert_allclose(everything, factor * velocities, rtol=1e-8)
    some = trajectory.velocities.read(1, 3, np.array([4, 2]))
    np.testing.assert_allclose(some, factor * velocities[1:3][:, [4, 2]], rtol=1e-8)
    unit = "angstrom/fs" if factor == 1000.0 else "angstrom/ps"
    assert f"velocities from vx vy vz, taken as {unit}" in trajectory.notes


def test_a_unit_against_that_of_the_file_is_refused(tmp_path, rng, velocities):
    path = dump(tmp_path / "a.dump", velocities, rng=rng, units="real")
    with pytest.raises(TrajectoryError, match="angstrom/fs, but velocity_unit is angstrom/ps"):
        opened(path, species=["Li"], velocity_unit="angstrom/ps")
    with pytest.raises(TrajectoryError, match="expected one of angstrom/ps"):
        opened(path, species=["Li"], velocity_unit="m/s")


def test_a_dump_with_two_components_has_no_velocities(tmp_path, rng, velocities):
    path = dump(tmp_path / "a.dump", velocities, rng=rng, columns="vx vy")
    trajectory = opened(path, species=["Li"])
    assert trajectory.velocities is None
    assert not any("velocities" in note for note in trajectory.notes)


def test_a_frame_without_velocities_is_named(tmp_path, rng, velocities):
    path = dump(tmp_path / "a.dump", velocities, rng=rng, lacking=(3,))
    with pytest.raises(TrajectoryError, match="frame 3 has velocities from no column"):
        opened(path, species=["Li"])


def test_velocities_that_are_not_finite_are_damage(tmp_path, rng, velocities):
    velocities[2, 1, 0] = np.nan
    path = dump(tmp_path / "a.dump", velocities, rng=rng)
    with pytest.raises(TrajectoryError, match="frame 2 is damaged: holds velocities"):
        opened(path, species=["Li"])
    assert opened(path, species=["Li"], until_damage=True).n_frames == 2


def frames_of(rng, velocities, name):
    images = []
    for frame in velocities:
        atoms = Atoms("Li4P2", rng.uniform(0.0, CELL, (ATOMS, 3)) * 0.1, cell=[CELL] * 3, pbc=True)
        if name == "momenta":
            atoms.set_velocities(frame * 1e-3 / fs)
        else:
            atoms.set_array(name, frame)
        images.append(atoms)
    return images


def test_momenta_of_extxyz_are_in_the_unit_of_ase(tmp_path, rng, velocities):
    path = tmp_path / "a.extxyz"
    write(path, frames_of(rng, velocities, "momenta"), format="extxyz")
    trajectory = opened(path)
    found = trajectory.velocities.read(0, FRAMES, slice(None))
    np.testing.assert_allclose(found, velocities, rtol=1e-5, atol=1e-5)
    assert "velocities from momenta, taken as ase" in trajectory.notes
    with pytest.raises(TrajectoryError, match="leave it out"):
        opened(path, velocity_unit="angstrom/ps")


@pytest.mark.parametrize("name", ["vel", "velo"])
def test_velocity_columns_of_extxyz(tmp_path, rng, velocities, name):
    path = tmp_path / "a.extxyz"
    write(path, frames_of(rng, velocities, name), format="extxyz")
    by_default = opened(path).velocities.read(0, FRAMES, slice(None))
    # One unit of time of ASE is 10.18 fs, https://wiki.fysik.dtu.dk/ase/ase/units.html.
    np.testing.assert_allclose(by_default, 98.22694788 * velocities, rtol=1e-5, atol=1e-4)
    told = opened(path, velocity_unit="angstrom/fs")
    np.testing.assert_allclose(
        told.velocities.read(0, FRAMES, slice(None)), 1e3 * velocities, rtol=1e-5, atol=1e-4
    )
    assert f"velocities from {name}, taken as angstrom/fs" in told.notes


def test_positions_are_the_same_with_and_without_velocities(tmp_path, velocities):
    with_them = dump(tmp_path / "a.dump", velocities, rng=np.random.default_rng(1))
    without = dump(tmp_path / "b.dump", velocities, rng=np.random.default_rng(1), columns="")
    one, other = (opened(path, species=["Li"]) for path in (with_them, without))
    assert other.velocities is None
    np.testing.assert_array_equal(
        one.source.read(0, FRAMES, slice(None)), other.source.read(0, FRAMES, slice(None))
    )
