"""Speed and memory: what is read from LAMMPS and what is made of it."""

from __future__ import annotations

import numpy as np
import pytest

from mlip.engines.lammps_speed import Timing, read_timings, speed_script
from mlip.errors import EngineError
from mlip.execution.job import Resources
from mlip.validation.speed import repeats_for, speed_of

SCREEN = """Loop time of 9.9 on 1 procs for 5 steps with 64 atoms
99.0% CPU use with 1 MPI tasks x 1 OpenMP threads
Loop time of 2.0 on 1 procs for 20 steps with 64 atoms
98.0% CPU use with 1 MPI tasks x 1 OpenMP threads
Maximum resident set size: 700 Mbyte
Loop time of 9.9 on 1 procs for 5 steps with 256 atoms
97.0% CPU use with 1 MPI tasks x 1 OpenMP threads
Loop time of 8.0 on 1 procs for 20 steps with 256 atoms
50.0% CPU use with 1 MPI tasks x 1 OpenMP threads
Maximum resident set size: 892 Mbyte
"""


def test_the_timed_runs_are_read_and_the_warm_ones_left_out(tmp_path):
    (tmp_path / "screen").write_text(SCREEN)
    assert read_timings(tmp_path / "screen") == [
        Timing(64, 20, 2.0, 0.98, 700.0),
        Timing(256, 20, 8.0, 0.5, 892.0),
    ]


@pytest.mark.parametrize("text", ["", SCREEN.replace("Maximum", "Some"), SCREEN[:60]])
def test_another_output_is_refused(tmp_path, text):
    (tmp_path / "screen").write_text(text)
    with pytest.raises(EngineError, match="speed_atoms: 0"):
        read_timings(tmp_path / "screen")


def test_speed_counts_the_larger_cell_and_memory_the_growth_to_it():
    timings = [Timing(64, 20, 2.0, 0.98, 700.0), Timing(256, 20, 8.0, 0.5, 892.0)]
    found = speed_of("m.pth", timings, Resources(ranks=2))
    assert found.atom_steps_per_second == pytest.approx(256 * 20 / 8.0)
    # Two ranks, each half a core: one core's worth of time.
    assert found.core_use == pytest.approx(0.5)
    assert found.atom_steps_per_core_second == pytest.approx(256 * 20 / 8.0)
    assert found.memory_mebibyte == pytest.approx(2 * 892)
    assert found.memory_kibibyte_per_atom == pytest.approx(2 * 1024.0)


def test_threads_share_the_processor_time_of_their_rank():
    found = speed_of("m.pth", [Timing(100, 10, 1.0, 1.5, 500.0)] * 2, Resources(threads=2))
    assert found.core_use == pytest.approx(0.75)
    assert found.atom_steps_per_core_second == pytest.approx(1000 / 1.5)
    assert found.memory_kibibyte_per_atom is None


def test_no_share_of_cores_is_told_of_a_graphics_card():
    found = speed_of("m.pth", [Timing(100, 10, 1.0, 0.3, 500.0)], Resources(gpus=1))
    assert (found.gpu, found.core_use, found.atom_steps_per_core_second) == (True, None, None)
    assert found.device.startswith("1 GPU")


@pytest.mark.parametrize(
    ("edges", "atoms", "expected"),
    [
        ([10.0, 10.0, 10.0], 1, (1, 1, 1)),
        ([10.0, 10.0, 10.0], 256, (2, 2, 1)),
        ([30.0, 10.0, 10.0], 64 * 9, (1, 3, 3)),
    ],
)
def test_a_cell_is_repeated_along_its_shortest_edge_until_large_enough(edges, atoms, expected):
    assert repeats_for(np.array(edges), 64, atoms) == expected


def test_each_cell_of_the_script_starts_anew_and_is_warmed_up(tmp_path):
    script = speed_script(
        tmp_path / "d", tmp_path / "m", ("Li", "S"), [(1, 1, 1), (2, 1, 1)], steps=20
    )
    assert script.count("clear\n") == script.count("info memory") == 2
    assert script.count("run 5\nrun 20\n") == 2
    assert "replicate 2 1 1" in script
    assert script.count("pair_coeff * * Li S") == 2
