"""Reading single CP2K logs."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from ingest_variants import fixture

from mlip.data.cp2k_log import log_files, read_cp2k_log
from mlip.data.libraries import read_with_dpdata
from mlip.errors import DataError

HARTREE, BOHR = 27.211386245988, 0.529177210903


@pytest.fixture
def md_run(tmp_path):
    """The MD log with a position file made of its energies: atom 1 moves by 0.01 Å a step."""
    shutil.copy(fixture("cp2k/aimd_stress/cp2k.log"), tmp_path / "cp2k.log")
    (tmp_path / "cp2k.log").chmod(0o644)
    text = (tmp_path / "cp2k.log").read_text()
    energies = [float(e) for e in re.findall(r"ENERGY\| Total FORCE_EVAL.*:\s+(\S+)", text)]
    atoms = re.findall(r"^ +\d+ +\d ([HC]) +\d +(\S+) +(\S+) +(\S+) +\S+ +\S+$", text, re.MULTILINE)
    out = ""
    for step, energy in enumerate(energies):
        out += f"       5\n i = {step:8d}, time = {0.5 * step:12.3f}, E = {energy:20.10f}\n"
        for k, (symbol, x, y, z) in enumerate(atoms):
            out += f"{symbol} {float(x) + 0.01 * step * (k == 0):.10f} {y} {z}\n"
    (tmp_path / "DPGEN-pos-1.xyz").write_text(out)
    return tmp_path / "cp2k.log"


def test_single_point_numbers_of_the_text_come_back():
    frames = read_cp2k_log(fixture("cp2k/cp2k_normal_output/cp2k_output"))[0]
    assert (frames.symbols.count("Fe"), frames.symbols.count("O")) == (12, 18)
    np.testing.assert_allclose(frames.energies, [-1766.225653832774242 * HARTREE])
    np.testing.assert_allclose(frames.coords[0, 1], [0.0, 0.0, 8.878808])
    force = np.array([0.00021561, 0.00034116, 0.00317438]) * HARTREE / BOHR
    np.testing.assert_allclose(frames.forces[0, 0], force, rtol=1e-9)
    np.testing.assert_allclose(frames.cells[0, 1], [-2.519, 4.363, 0.0], atol=1e-3)
    pressure = frames.virials[0] / frames.volumes[0] * 160.2176634
    np.testing.assert_allclose(pressure[0, :2], [-7.95728223, -0.07686533], atol=1e-8)
    assert frames.unconverged == 0
    assert "read alike from the text and by dpdata" in frames.notes


def test_dpdata_takes_kinds_of_the_fixture_for_elements(tmp_path):
    path = fixture("cp2k/cp2k_normal_output/cp2k_output")
    assert {"Fe1", "Fe2"} <= set(read_with_dpdata(path, "cp2k/output", path).symbols)


def test_level_is_that_of_the_log():
    level = read_cp2k_log(fixture("cp2k/cp2k_normal_output/cp2k_output"))[0].level
    assert (level["functional"], level["dispersion"]) == ("PBE", "DFTD3")
    # Density cutoff 200 a.u. and relative cutoff 30 a.u. are energies in hartree.
    assert (level["cutoff_rydberg"], level["rel_cutoff_rydberg"]) == ("400", "60")
    assert level["basis Fe"] == "DZVP-MOLOPT-SR-GTH"
    assert level["potential O"] == "GTH-PBE-Q6"


def test_md_log_without_its_positions_is_refused_naming_the_file():
    with pytest.raises(DataError, match=r"7 evaluations.*DPGEN-pos-1\.xyz"):
        read_cp2k_log(fixture("cp2k/aimd_stress/cp2k.log"))


def test_md_log_joins_positions_by_energy(md_run):
    frames = read_cp2k_log(md_run)[0]
    assert len(frames) == 7
    assert frames.energies[2] == pytest.approx(-8.071932151161576 * HARTREE, rel=1e-12)
    np.testing.assert_allclose(frames.coords[:, 0, 0], 5.70191 + 0.01 * np.arange(7))
    np.testing.assert_allclose(frames.times_ps, 0.0005 * np.arange(7))
    force = np.array([-0.00533566, 0.00916476, -0.00265874]) * HARTREE / BOHR
    np.testing.assert_allclose(frames.forces[0, 0], force, rtol=1e-9)
    assert frames.virials[0, 0, 0] == pytest.approx(-0.20920635 * 1000 / 160.2176634, rel=1e-8)
    assert [path.name for path in frames.files] == ["cp2k.log", "DPGEN-pos-1.xyz"]
    assert log_files(md_run) == frames.files


def test_input_that_the_log_does_not_name_is_not_believed(md_run):
    # The fixture's input.inp asks for another basis; the log was made by input_2.inp.
    shutil.copy(fixture("cp2k/aimd_stress/input.inp"), md_run.parent / "input.inp")
    frames = read_cp2k_log(md_run)[0]
    assert frames.level["basis C"] == "DZVP-MOLOPT-SR-GTH"
    assert any("no input beside the log" in note for note in frames.notes)


def test_input_that_the_log_names_gives_level_and_exact_cell(md_run):
    text = fixture("cp2k/aimd_stress/input.inp").read_text()
    (md_run.parent / "input_2.inp").write_text(text.replace("A 10.  0.  0.", "A 10.0004 0. 0."))
    frames = read_cp2k_log(md_run)[0]
    assert frames.cells[0, 0, 0] == 10.0004
    assert frames.level["cutoff_rydberg"] == "800"
    (md_run.parent / "input_2.inp").write_text(text.replace("A 10.  0.  0.", "A 10.2 0. 0."))
    with pytest.raises(DataError, match="not the one that the log prints"):
        read_cp2k_log(md_run)


def test_evaluation_that_did_not_converge_is_dropped_and_counted(md_run):
    line = "  *** SCF run converged in    11 steps ***"
    assert md_run.read_text().count(line) == 1
    md_run.write_text(md_run.read_text().replace(line, "  *** SCF run NOT converged ***"))
    frames = read_cp2k_log(md_run)[0]
    assert frames.unconverged == 1
    assert frames.steps.tolist() == [0, 2, 3, 4, 5, 6]


def test_positions_of_another_run_are_refused(md_run):
    xyz = md_run.parent / "DPGEN-pos-1.xyz"
    xyz.write_text(xyz.read_text().replace("-8.0719321512", "-8.0819321512"))
    with pytest.raises(DataError, match=r"step 2 .*not in its place"):
        read_cp2k_log(md_run)


def test_unit_of_the_positions_is_told_by_the_log(md_run):
    xyz = md_run.parent / "DPGEN-pos-1.xyz"
    lines = xyz.read_text().splitlines()
    for k, line in enumerate(lines):
        words = line.split()
        if words[0] in {"H", "C"}:
            lines[k] = " ".join([words[0], *(f"{float(w) / BOHR:.10f}" for w in words[1:])])
    xyz.write_text("\n".join(lines) + "\n")
    np.testing.assert_allclose(read_cp2k_log(md_run)[0].coords[0, 0, 0], 5.70191, atol=1e-6)


def test_moving_cell_is_refused_and_sent_to_the_run_directory(md_run):
    text = md_run.read_text().replace(
        "MD| Ensemble Type" + " " * 59 + "NVT", "MD| Ensemble Type NPT_F"
    )
    assert "NPT_F" in text
    md_run.write_text(text)
    with pytest.raises(DataError, match="format cp2k"):
        read_cp2k_log(md_run)


def test_log_that_was_cut_off_inside_the_forces_is_refused(md_run):
    text = md_run.read_text()
    md_run.write_text(text[: text.rindex("SUM OF ATOMIC FORCES") - 100])
    with pytest.raises(DataError, match="evaluation 6 has forces of"):
        read_cp2k_log(md_run)


def test_log_without_forces_is_refused_saying_how_to_print_them(md_run):
    md_run.write_text(md_run.read_text().replace("ATOMIC FORCES in [a.u.]", "no forces"))
    with pytest.raises(DataError, match="FORCES ON"):
        read_cp2k_log(md_run)


def test_steps_that_a_restart_repeats_are_taken_once_from_the_later_copy(md_run):
    xyz = md_run.parent / "DPGEN-pos-1.xyz"
    text = xyz.read_text()
    for old, new in ((4, 2), (5, 3), (6, 4)):
        text = text.replace(
            f"i = {old:8d}, time = {0.5 * old:12.3f}", f"i = {new:8d}, time = {new}"
        )
    xyz.write_text(text)
    frames = read_cp2k_log(md_run)[0]
    assert frames.steps.tolist() == [0, 1, 2, 3, 4]
    # The copies that count were rows 4, 5 and 6, moved by 0.01 Å a row.
    np.testing.assert_allclose(frames.coords[:, 0, 0], 5.70191 + 0.01 * np.array([0, 1, 4, 5, 6]))
