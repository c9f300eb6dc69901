"""The non-Gaussian parameter against `compute msd/nongauss` of a real LAMMPS run."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from analysis import open_foreign
from analysis.displacements.displacements import displacements_of
from analysis.displacements.non_gaussian import non_gaussian
from mlip.engines.lammps import lammps_words
from mlip.execution.job import Resources

SCRIPT = """
units metal
atom_style atomic
lattice fcc 5.8
region box block 0 3 0 3 0 3
create_box 1 box
create_atoms 1 box
mass 1 39.948
pair_style lj/cut 8.0
pair_coeff * * 0.0103 3.40
velocity all create 250.0 7 mom no
fix 1 all nve
timestep 0.005
run 200
reset_timestep 0
compute n all msd/nongauss com yes
fix 2 all print 20 "$(step) $(c_n[1]:%.14g) $(c_n[2]:%.14g) $(c_n[3]:%.14g)" file found.txt
dump 1 all custom 20 run.lammpstrj id type xu yu zu
dump_modify 1 sort id format float %.14g
run 800
"""


@pytest.fixture(scope="module")
def argon(tmp_path_factory, one_core):
    folder = tmp_path_factory.mktemp("nongauss")
    (folder / "in.argon").write_text(SCRIPT)
    words = lammps_words(Resources(), ["-in", "in.argon", "-nocite"])
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    return folder


def test_from_one_origin_it_is_that_of_lammps(argon):
    steps, msd, _, parameter = np.loadtxt(argon / "found.txt").T
    table = {round(step): row for step, *row in zip(steps, msd, parameter, strict=True)}
    trajectory = open_foreign(argon / "run.lammpstrj", frame_interval_fs=100.0, species=["Ar"])
    assert trajectory.n_frames == 41
    displacements = displacements_of(trajectory, np.arange(108), max_origins=1)
    (found,) = non_gaussian(displacements)
    assert (found.n_origins == 1).all()
    assert len(found.times_ps) > 8
    for lag, moved, alpha2 in zip(displacements.lag_frames, found.msd, found.alpha2, strict=True):
        assert (moved, alpha2) == pytest.approx(table[20 * lag], rel=1e-6, abs=1e-8)
    # A fluid, so that the values are worth comparing.
    assert found.msd[-1] > 1.0
    assert np.ptp(found.alpha2) > 0.01
