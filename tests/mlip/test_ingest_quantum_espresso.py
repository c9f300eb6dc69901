"""Reading Quantum ESPRESSO: pw.x outputs and cp.x trajectories."""

from __future__ import annotations

import gzip
import re
import shutil

import numpy as np
import pytest
from ingest_variants import fixture, pw_dynamics

from mlip.data.quantum_espresso import read_pw
from mlip.data.quantum_espresso_cp import read_cp
from mlip.data.readers import FORMATS
from mlip.errors import DataError, UnitError

RYDBERG_EV = 13.605693122994
BOHR = 0.529177210903


@pytest.fixture
def cp_run(tmp_path):
    folder = fixture("qe.traj")
    for name in ("in", "pos", "for", "evp"):
        shutil.copy(folder / f"oh-md.{name}", tmp_path / f"oh-md.{name}")
        (tmp_path / f"oh-md.{name}").chmod(0o644)
    return tmp_path / "oh-md.pos"


def test_pw_numbers_of_the_text_come_back():
    frames = read_pw(fixture("qe.scf/01.out"))[0]
    assert "".join(frames.symbols) == "HHHHC"
    np.testing.assert_allclose(frames.energies, [-16.15090531 * RYDBERG_EV])
    np.testing.assert_allclose(frames.cells[0], np.diag([10.0] * 3), atol=1e-6)
    np.testing.assert_allclose(frames.coords[0, 4], [5.19271, 4.55775, 4.43687], atol=1e-5)
    first = np.array([0.01311095, 0.00057353, 0.00635423]) * RYDBERG_EV / BOHR
    np.testing.assert_allclose(frames.forces[0, 0], first, rtol=1e-6)
    # The stress is printed in kbar, positive under compression; 1000 Å^3.
    np.testing.assert_allclose(frames.virials[0, 0, 0], 1.97 / 1.6021766, atol=5e-3)
    np.testing.assert_allclose(frames.virials[0, 2, 2], -1.08 / 1.6021766, atol=5e-3)
    assert frames.unconverged == 0
    assert any("dpdata reads the same" in note for note in frames.notes)


def test_pw_level_holds_functional_cutoffs_and_pseudopotentials():
    level = read_pw(fixture("qe.scf/01.out"))[0].level
    assert level["functional"] == "PBE"
    assert (level["cutoff_rydberg"], level["density_cutoff_rydberg"]) == ("110", "440")
    assert level["conv_thr_rydberg"] == "1e-06"
    assert level["dispersion"] == "none"
    assert level["potential C"] == "C.tm.pbe.UPF a4f27fcb9b24331b00ace8e732a7e062"


def test_pw_dynamics_gives_each_energy_to_the_positions_it_belongs_to(tmp_path):
    path = tmp_path / "md.out"
    path.write_text(pw_dynamics())
    frames = read_pw(path)[0]
    expected = (-16.15090531 + 0.01 * np.arange(3)) * RYDBERG_EV
    np.testing.assert_allclose(frames.energies, expected)
    np.testing.assert_allclose(frames.coords[:, 0, 0], 5.41646 + 0.1 * np.arange(3), atol=1e-5)
    np.testing.assert_allclose(frames.times_ps, [0.001, 0.002, 0.003])


def test_pw_step_that_did_not_converge_is_dropped_and_counted(tmp_path):
    path = tmp_path / "md.out"
    path.write_text(pw_dynamics(unconverged=frozenset({1})))
    frames = read_pw(path)[0]
    assert frames.steps.tolist() == [0, 2]
    assert frames.unconverged == 1
    np.testing.assert_allclose(frames.coords[:, 0, 0], [5.41646, 5.61646], atol=1e-5)


def test_pw_run_that_was_cut_off_keeps_its_whole_steps_and_says_so(tmp_path):
    text = pw_dynamics()
    path = tmp_path / "md.out"
    path.write_text(text[: text.rindex("Forces acting on atoms")])
    frames = read_pw(path)[0]
    assert frames.steps.tolist() == [0, 1]
    assert any("cut off" in note for note in frames.notes)


@pytest.mark.parametrize(
    ("printed", "instead", "message"),
    [
        ("0.083261", "0.166522", "Total force"),
        ("P=    0.77", "P=   -0.77", r"P \(kbar\)"),
    ],
)
def test_pw_sums_that_are_not_of_the_frame_are_refused(tmp_path, printed, instead, message):
    path = tmp_path / "01.out"
    path.write_text(fixture("qe.scf/01.out").read_text().replace(printed, instead))
    with pytest.raises(UnitError, match=message):
        read_pw(path)


def test_pw_without_forces_is_refused_saying_how_to_print_them(tmp_path):
    text = fixture("qe.scf/01.out").read_text()
    begin, end = text.index("     Forces acting"), text.index("     entering subroutine stress")
    path = tmp_path / "01.out"
    path.write_text(text[:begin] + text[end:])
    with pytest.raises(DataError, match="tprnfor"):
        read_pw(path)


def test_pw_with_two_final_energies_in_a_step_is_refused(tmp_path):
    text = fixture("qe.scf/01.out").read_text()
    line = re.search(r"!    total energy.*\n", text).group(0)
    path = tmp_path / "01.out"
    path.write_text(text.replace(line, line * 2))
    with pytest.raises(DataError, match="2 final energies"):
        read_pw(path)


def test_pw_input_of_another_structure_is_refused_showing_both_readings(tmp_path):
    shutil.copy(fixture("qe.scf/01.out"), tmp_path / "01.out")
    text = fixture("qe.scf/01.in").read_text()
    (tmp_path / "01.in").write_text(text.replace("5.41646", "5.51646"))
    with pytest.raises(DataError, match=r"(?s)position of atom.*dpdata .*ASE "):
        read_pw(tmp_path / "01.out")


def test_pw_input_that_is_compared_is_among_the_files():
    given = fixture("qe.scf/01.in")
    assert FORMATS["qe-pw"].files(given.with_suffix(".out")) == (given.with_suffix(".out"), given)
    assert read_pw(given.with_suffix(".out"))[0].files[1] == given


def test_pw_of_another_program_is_refused(tmp_path):
    path = tmp_path / "01.out"
    path.write_text("Program CP v.6\n")
    with pytest.raises(DataError, match="Program PWSCF"):
        read_pw(path)


def test_cp_numbers_of_the_text_come_back():
    frames = read_cp(fixture("qe.traj") / "oh-md.pos")[0]
    assert (frames.symbols.count("O"), frames.symbols.count("H")) == (64, 127)
    np.testing.assert_allclose(
        frames.energies, np.array([-1100.03076389, -1100.03189493]) * 2 * RYDBERG_EV
    )
    first = np.array([32.121827416246, 17.164743320147, -3.6182564198624])
    np.testing.assert_allclose(frames.coords[0, 0], first * BOHR, atol=1e-9)
    force = np.array([0.13954951037786e-1, -0.71245774482717e-2, -0.31334018926055e-2])
    np.testing.assert_allclose(frames.forces[0, 0], force * 2 * RYDBERG_EV / BOHR, rtol=1e-9)
    np.testing.assert_allclose(frames.cells[0], np.diag([23.517 * BOHR] * 3), atol=1e-8)
    np.testing.assert_allclose(frames.times_ps, [0.00943365, 0.00967554])
    assert frames.steps.tolist() == [195, 200]
    assert frames.virials is None
    assert frames.level["functional"] == "SCAN"


def test_compressed_cp_files_read_as_plain_ones(cp_run):
    plain = read_cp(cp_run)[0]
    for ending in ("pos", "for"):
        file = cp_run.with_suffix(f".{ending}")
        with gzip.open(f"{file}.gz", "wb") as handle:
            handle.write(file.read_bytes())
        file.unlink()
    packed = read_cp(cp_run.with_suffix(".pos.gz"))[0]
    np.testing.assert_array_equal(packed.forces, plain.forces)


def test_missing_cp_file_is_named(cp_run):
    cp_run.with_suffix(".for").unlink()
    with pytest.raises(DataError, match=r"no oh-md\.for"):
        read_cp(cp_run)


def test_cp_trajectory_that_was_cut_off_is_refused(cp_run):
    file = cp_run.with_suffix(".for")
    file.write_text("\n".join(file.read_text().splitlines()[:-3]) + "\n")
    with pytest.raises(DataError, match="not whole blocks"):
        read_cp(cp_run)


def test_cp_atoms_that_cp_would_sort_are_refused(cp_run):
    file = cp_run.with_suffix(".in")
    head, _, tail = file.read_text().partition("ATOMIC_POSITIONS {bohr}\n")
    rows = tail.splitlines()
    rows[0], rows[-1] = (
        next(r for r in rows if r.split()[:1] == ["H"]),
        rows[-1],
    )
    file.write_text(head + "ATOMIC_POSITIONS {bohr}\n" + "\n".join(rows))
    with pytest.raises(DataError, match="not grouped"):
        read_cp(cp_run)


def test_cp_lattice_that_dpdata_would_replace_by_a_unit_matrix_is_refused(cp_run):
    file = cp_run.with_suffix(".in")
    file.write_text(file.read_text().replace("ibrav     = 1", "ibrav     = 4"))
    with pytest.raises(DataError, match="ibrav = 4"):
        read_cp(cp_run)


def test_cp_moving_cell_without_cell_file_is_refused(cp_run):
    file = cp_run.with_suffix(".in")
    file.write_text(file.read_text().replace("'cp-wf'", "'vc-cp'"))
    with pytest.raises(DataError, match=r"cell moves"):
        read_cp(cp_run)


def test_cp_energy_columns_of_another_version_are_refused(cp_run):
    file = cp_run.with_suffix(".evp")
    rows = [line.split() for line in file.read_text().splitlines()]
    file.write_text("".join(" ".join([r[0], *r[2:]]) + "\n" for r in rows))
    with pytest.raises(DataError, match="columns of another version"):
        read_cp(cp_run)
