"""Reading CP2K logs. The fixture is the first step of our own Li24P8S32 run, trimmed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from mlip.engines.cp2k import PROGRAMS, abort_message, explain, read_result, single_point_job
from mlip.engines.cp2k_output import read_scf, read_single_point
from mlip.engines.single_point import Failed
from mlip.errors import EngineError
from mlip.execution.job import Outcome, Resources

LOG = (Path(__file__).parents[1] / "fixtures" / "cp2k_2023_beta_frame0.out").read_text()
VOLUME = 12.81900024 * 8.22000027 * 12.24699974
HARTREE, BOHR = 27.211386245988, 0.529177210903


def newer_layout(log: str) -> str:
    """Write the same numbers as versions from 2025 do: FORCES| rows, stress in bar."""
    rows = re.findall(r"^ +(\d+) +\d+ +[A-Z][a-z]? +(\S+) +(\S+) +(\S+)$", log, re.MULTILINE)
    forces = [" FORCES| Atomic forces [hartree/bohr]", " FORCES|   Atom  x  y  z  |f|"]
    for index, *xyz in rows:
        values = [float(value) for value in xyz]
        numbers = " ".join(f"{value:.8E}" for value in [*values, float(np.linalg.norm(values))])
        forces.append(f" FORCES|  {index} {numbers}")
    forces += [" FORCES| Sum  1.0E-05 1.0E-05 1.0E-05", " FORCES| Total atomic force  2.0E-05"]
    log = re.sub(
        r" ATOMIC FORCES in.*?SUM OF ATOMIC FORCES[^\n]*",
        lambda match: "\n".join(forces),
        log,
        flags=re.DOTALL,
    )
    head, mark, tail = log.partition("STRESS| Analytical stress tensor [GPa]\n")
    tail = re.sub(r"-?\d\.\d+E[+-]\d+", lambda match: f"{1e4 * float(match.group()):.11E}", tail)
    log = head + mark.replace("GPa", "bar") + tail
    return log.replace("energy [a.u.]: ", "energy [hartree]")


def test_energy_and_forces_of_a_real_log_are_converted_to_ev_and_angstrom():
    point = read_single_point(LOG, 64, VOLUME)
    assert point.energy_ev == pytest.approx(-561.137519329 * HARTREE, abs=1e-7)
    # First and last atom as the force file of the same step has them, in hartree/bohr.
    expected = np.array([-0.0000944534, -0.0028051866, 0.0060257757]) * HARTREE / BOHR
    np.testing.assert_allclose(point.forces[0], expected, atol=1e-6)
    assert point.forces.shape == (64, 3)
    np.testing.assert_allclose(
        point.forces[63], np.array([0.00583693, -0.01603417, 0.01171155]) * HARTREE / BOHR
    )


def test_virial_is_plus_volume_times_the_pressure_of_the_log():
    point = read_single_point(LOG, 64, VOLUME)
    pressure_gpa = np.trace(point.virial) / (3 * VOLUME) * 160.21766339999998
    assert pressure_gpa == pytest.approx(-1.04652402414, rel=1e-9)
    assert point.virial[0, 2] == pytest.approx(1.37010580490e-01 * VOLUME / 160.2176634)
    np.testing.assert_array_equal(point.virial, point.virial.T)


def test_iterations_of_all_inner_loops_and_the_ranks_are_counted():
    point = read_single_point(LOG, 64, VOLUME)
    assert point.iterations == 29
    assert point.ranks == 2
    assert point.version == "2023.1"
    assert np.isnan(point.gap_ev)  # this run did not print it


def test_the_layout_of_versions_from_2025_gives_the_same_numbers():
    old = read_single_point(LOG, 64, VOLUME)
    text = newer_layout(LOG)
    assert "[bar]" in text
    assert "ATOMIC FORCES in" not in text
    new = read_single_point(text, 64, VOLUME)
    assert new.energy_ev == old.energy_ev
    np.testing.assert_allclose(new.forces, old.forces, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(new.virial, old.virial, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.partition("PROGRAM ENDED")[0], "cut off"),
        (lambda t: t + "*** WARNING in qs_scf.F:601 :: SCF run NOT converged ***", "not converge"),
        (lambda t: t.replace("tensor [GPa]", "tensor [atm]"), "stress in atm"),
        (lambda t: t + t, "2 total energies"),
        (lambda t: t.partition(" STRESS|")[0] + "PROGRAM ENDED AT", "0 analytical stress"),
    ],
)
def test_a_log_that_is_not_one_whole_converged_frame_is_refused(change, message):
    with pytest.raises(EngineError, match=message):
        read_single_point(change(LOG), 64, VOLUME)


def test_a_log_with_another_number_of_atoms_is_refused():
    with pytest.raises(EngineError, match="forces of 64 atoms, expected 32"):
        read_single_point(LOG, 32, VOLUME)


def test_an_outer_loop_that_failed_is_not_converged_even_if_an_inner_one_was():
    failed = LOG.replace("outer SCF loop converged in   2", "outer SCF loop FAILED to converge  2")
    assert not read_scf(failed).converged


def test_the_abort_box_is_read_as_a_sentence_with_its_remedy():
    log = """
 *******************************************************************************
 *   ___                                                                       *
 *  /   \\                                                                      *
 * [ABORT]                                                                     *
 *  \\___/  The requested atomic potential <GTH-PBE-q9> for element <H> was not *
 *    |                found in the potential file <GTH_POTENTIALS>            *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \\                                  subsys/external_potential_types.F:2324 *
 *******************************************************************************

 ===== Routine Calling Stack =====
"""
    assert abort_message(log) == (
        "The requested atomic potential <GTH-PBE-q9> for element <H> was not found in the "
        "potential file <GTH_POTENTIALS>"
    )
    assert "correct `species` in the recipe" in explain(log)


def aborted(said: str, *, steps: int) -> str:
    """Return a log that ends in an abort box after some steps of self-consistency."""
    step = "{:6d} Broy./Diag. 0.40E+00    3.1     0.00{}117      -560.910 -9.57E-05\n"
    return (
        "".join(step.format(k + 1, k) for k in range(steps))
        + f" * [ABORT]      *\n *  \\___/  {said} *\n *    |    somewhere.F:12 *\n *****\n"
    )


needs_cp2k = pytest.mark.skipif(
    not any(shutil.which(program) for program in PROGRAMS),
    reason="CP2K is not installed (apt-get install cp2k cp2k-data)",
)


@needs_cp2k
@pytest.mark.parametrize(
    ("said", "steps", "cause"),
    [
        ("Cholesky decomposition failed. Matrix ill conditioned ?", 0, "aborted"),
        ("Something nobody has seen before", 4, "aborted"),
        ("Something nobody has seen before", 0, "environment"),
        ("No space left on device", 4, "environment"),
    ],
)
def test_a_failure_is_the_structures_own_only_if_others_would_not_fail_alike(
    tmp_path, said, steps, cause
):
    job = single_point_job("label x", tmp_path, Resources())
    job.log.write_text(aborted(said, steps=steps))
    outcome = Outcome(job, exit_code=1, seconds=1.0, failure="label x: ended with exit code 1.")
    failed = read_result(job, outcome, 2, 216.0)
    assert isinstance(failed, Failed)
    assert (failed.cause, failed.iterations) == (cause, steps)


@needs_cp2k
def test_a_log_that_just_ends_is_nobodys_structure(tmp_path):
    job = single_point_job("label x", tmp_path, Resources())
    job.log.write_text(LOG.partition("ENERGY|")[0])
    failed = read_result(job, None, 64, VOLUME)
    assert isinstance(failed, Failed)
    assert failed.cause == "environment"
