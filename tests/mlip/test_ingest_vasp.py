"""Reading VASP: OUTCAR and vasprun.xml, whole, cut, unconverged and partly predicted."""

from __future__ import annotations

import bz2
import gzip
import re

import numpy as np
import pytest
from ingest_recipes import read
from ingest_variants import (
    PREDICTION,
    fixture,
    learning_outcar,
    long_outcar,
    outcar_steps,
    vasprun_parts,
)

from mlip.data.vasp import read_pieces
from mlip.data.vasp_outcar import READERS, read_outcar
from mlip.data.vasp_xml import read_xml
from mlip.errors import DataError, UnitError

BOTH = [(read_outcar, "OUTCAR.h2o.md"), (read_xml, "vasprun.h2o.md.xml")]


@pytest.mark.parametrize(
    ("reader", "name"), [(read_outcar, "OUTCAR.h2o.md"), (read_xml, "vasprun.h2o.md.xml")]
)
def test_vasp_pressure_is_that_of_the_external_pressure_lines(reader, name):
    frames = reader(fixture(f"poscars/{name}"))[0]
    pressure = np.trace(frames.virials, axis1=1, axis2=2) / (3 * frames.volumes) * 1602.1766
    np.testing.assert_allclose(pressure, [-2.65, -1.52, 0.45], atol=0.01)
    assert frames.energies[0] == pytest.approx(-28.38622624, abs=1e-6)
    assert frames.unconverged == 0
    assert frames.level["cutoff_ev"] == "800"
    assert frames.level["functional"] == "PE"


def test_vasp_frames_that_stopped_before_ediff_are_dropped_and_counted(tmp_path):
    text = fixture("poscars/OUTCAR.h2o.md").read_text()
    head, _, tail = text.rpartition("aborting loop because EDIFF is reached")
    path = tmp_path / "OUTCAR"
    path.write_text(f"{head}aborting loop EDIFF was not reached (unconverged){tail}")
    frames = read_outcar(path)[0]
    assert frames.unconverged == 1
    assert frames.steps.tolist() == [1, 2]


def test_vasp_stress_that_dpdata_turns_round_is_refused(tmp_path):
    text = fixture("poscars/OUTCAR.h2o.md").read_text()
    path = tmp_path / "OUTCAR"
    path.write_text(
        text.replace("external pressure =       -2.65", "external pressure =        2.65")
    )
    with pytest.raises(UnitError, match="left-handed"):
        read_outcar(path)


@pytest.mark.parametrize(("reader", "name"), BOTH)
def test_numbers_of_the_text_come_back(reader, name):
    frames = reader(fixture(f"poscars/{name}"))[0]
    assert "".join(frames.symbols) == "OOHHHH"
    # By hand from the file: TOTEN of three steps, POSITION and TOTAL-FORCE of atom 1.
    np.testing.assert_allclose(frames.energies, [-28.38622624, -28.43874406, -28.46658469])
    np.testing.assert_allclose(frames.coords[0, 0], [4.34854, 4.20903, 5.2], atol=1e-5)
    np.testing.assert_allclose(frames.forces[0, 0], [-0.141986, -0.573729, 0.356515], atol=1e-6)
    np.testing.assert_allclose(np.diagonal(frames.cells[0]), 10.0)
    np.testing.assert_allclose(frames.times_ps, [0.0, 1e-3, 2e-3], atol=1e-12)
    # Stress in kB times volume 1000 Å^3: xx -2.15814, zx 2.40095.
    np.testing.assert_allclose(frames.virials[0, 0, 0], -2.15814 / 1.602176621, atol=1e-4)
    np.testing.assert_allclose(frames.virials[0, 0, 2], 2.40095 / 1.602176621, atol=1e-4)


@pytest.mark.parametrize(("reader", "name"), BOTH)
@pytest.mark.parametrize(("suffix", "packer"), [(".gz", gzip), (".bz2", bz2)])
def test_compressed_file_reads_as_the_plain_one(tmp_path, reader, name, suffix, packer):
    packed = tmp_path / f"{name}{suffix}"
    packed.write_bytes(packer.compress(fixture(f"poscars/{name}").read_bytes()))
    plain = reader(fixture(f"poscars/{name}"))[0]
    np.testing.assert_array_equal(reader(packed)[0].forces, plain.forces)
    packed.write_bytes(packed.read_bytes()[:-2000])
    with pytest.raises(DataError, match="cannot be read"):
        reader(packed)


def test_run_that_was_cut_off_keeps_its_whole_steps_and_says_so(tmp_path):
    head, steps, _ = outcar_steps()
    path = tmp_path / "OUTCAR"
    path.write_text(head + steps[0] + steps[1] + steps[2][:-3000])
    frames = read_outcar(path)[0]
    assert frames.steps.tolist() == [1, 2]
    assert any("cut off" in note for note in frames.notes)


def test_vasprun_that_was_cut_off_keeps_its_whole_steps_and_says_so(tmp_path):
    head, calculations, _ = vasprun_parts()
    path = tmp_path / "vasprun.xml"
    path.write_text(head + calculations[0] + calculations[1][:2000])
    frames = read_xml(path)[0]
    assert frames.energies.tolist() == [-28.38622624]
    assert any("cut off" in note for note in frames.notes)


@pytest.mark.parametrize("reader", [read_outcar, read_xml])
def test_file_without_a_whole_step_is_refused(tmp_path, reader):
    head, steps, _ = outcar_steps() if reader is read_outcar else vasprun_parts()
    path = tmp_path / "file"
    path.write_text(head + steps[0][:1500])
    with pytest.raises(DataError, match="no complete ionic step"):
        reader(path)


def test_torn_numbers_inside_a_step_are_refused(tmp_path):
    text = fixture("poscars/OUTCAR.h2o.md").read_text()
    path = tmp_path / "OUTCAR"
    path.write_text(text.replace("4.34854      4.20903", "4.34854      *******", 1))
    with pytest.raises(DataError):
        read_outcar(path)


def test_steps_predicted_by_the_force_field_of_vasp_6_are_left_out_and_counted(tmp_path):
    path = tmp_path / "OUTCAR"
    path.write_text(learning_outcar())
    frames = read_outcar(path)[0]
    assert frames.steps.tolist() == [1, 3, 6]
    np.testing.assert_allclose(frames.energies, [-28.38622624, -28.43874406, -28.46658469])
    np.testing.assert_allclose(frames.times_ps, [0.0, 0.002, 0.005], atol=1e-12)
    assert np.abs(frames.forces).max() < 3.0  # the predicted forces are 9 eV/Å
    assert any("4 steps predicted" in note for note in frames.notes)


def test_libraries_alone_would_not_agree_on_a_file_of_on_the_fly_learning(tmp_path):
    lines = learning_outcar().splitlines(keepends=True)
    with pytest.raises(DataError):
        read_pieces([lines], READERS, tmp_path / "OUTCAR")


def test_run_of_predicted_steps_only_is_refused_saying_so(tmp_path):
    head, _, tail = outcar_steps()
    path = tmp_path / "OUTCAR"
    path.write_text(head + PREDICTION.format(rows="      5.0 5.0 5.0 9.0 9.0 9.0\n" * 6) * 4 + tail)
    with pytest.raises(DataError, match="all 4 steps were predicted by the force field"):
        read_outcar(path)


def test_predicted_forces_in_an_unknown_layout_are_refused(tmp_path):
    path = tmp_path / "OUTCAR"
    path.write_text(learning_outcar().replace("ML FORCE on cell", "ML STRESS of cell"))
    with pytest.raises(DataError, match="cannot be told apart"):
        read_outcar(path)


def test_calculations_without_electronic_loop_are_predicted_if_the_run_learns(tmp_path):
    head, calculations, tail = vasprun_parts()
    bare = re.sub(r"<scstep>[\s\S]*</scstep>", "", calculations[1])
    text = head + calculations[0] + bare + calculations[2] + tail
    path = tmp_path / "vasprun.xml"
    path.write_text(text)
    with pytest.raises(DataError, match="step 2 has no electronic iteration"):
        read_xml(path)
    switch = '<incar>\n  <i type="logical" name="ML_LMLFF"> T  </i>'
    path.write_text(text.replace("<incar>", switch, 1))
    frames = read_xml(path)[0]
    np.testing.assert_allclose(frames.energies, [-28.38622624, -28.46658469])
    assert frames.times_ps is None
    assert any("1 steps predicted" in note for note in frames.notes)


def test_outcar_joined_from_two_runs_is_refused(tmp_path):
    head, steps, tail = outcar_steps()
    path = tmp_path / "OUTCAR"
    path.write_text(head + "".join(steps) + tail + head + "".join(steps) + tail)
    with pytest.raises(DataError, match="step 1 follows step 3"):
        read_outcar(path)


def test_frames_across_pieces_keep_order_and_number(tmp_path):
    path = tmp_path / "OUTCAR"
    path.write_text(long_outcar(60))
    frames = read_outcar(path)[0]
    assert frames.steps.tolist() == list(range(1, 61))
    three = [-28.38622624, -28.43874406, -28.46658469]
    np.testing.assert_allclose(frames.energies, three * 20)


def test_external_pressure_less_pstress_is_understood(tmp_path):
    text = fixture("poscars/OUTCAR.h2o.md").read_text()

    def shifted(match):
        pressure = float(match.group(1)) - 5.0
        return f"external pressure = {pressure:11.2f} kB  Pullay stress =        5.00 kB"

    text = re.sub(r"external pressure =\s+(\S+) kB\s+Pullay stress =\s+\S+ kB", shifted, text)
    path = tmp_path / "OUTCAR"
    path.write_text(text)
    assert len(read_outcar(path)[0]) == 3


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("   IVDW      =     12", "dispersion", "12"),
        ("   METAGGA=      R2SCAN", "metagga", "R2SCAN"),
        ("   LHFCALC =     T    Hartree Fock is set to", "hybrid", "T"),
        ("   LUSE_VDW=     T", "nonlocal_vdw", "T"),
    ],
)
def test_level_holds_dispersion_metagga_hybrid_and_nonlocal_vdw(tmp_path, line, key, value):
    head, steps, tail = outcar_steps()
    for name in ("METAGGA=      F    non-selfconsistent MetaGGA calc.", "LHFCALC =     F"):
        head = head.replace(name, "")
    path = tmp_path / "OUTCAR"
    path.write_text(f"{head}{line}\n{''.join(steps)}{tail}")
    assert read_outcar(path)[0].level[key] == value


def test_fixture_without_dispersion_says_so():
    assert read_outcar(fixture("poscars/OUTCAR.h2o.md"))[0].level["dispersion"] == "none"


def test_directory_of_outcars_makes_a_system_of_each(tmp_path):
    text = fixture("poscars/OUTCAR.h2o.md").read_text()
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "OUTCAR").write_text(text)
    source = {"name": "water", "format": "vasp-outcar", "path": "runs", "split": "train"}
    systems = read(tmp_path, source, type_map=("O", "H"))
    assert [(system.name, len(system.frames)) for system in systems] == [
        ("water-000", 3),
        ("water-001", 3),
    ]


@pytest.mark.parametrize(("reader", "name"), BOTH)
def test_spin_polarisation_is_recorded(tmp_path, reader, name):
    text = fixture(f"poscars/{name}").read_text()
    path = tmp_path / name
    path.write_text(re.sub(r"(ISPIN(  =|\">)) +1", r"\1     2", text))
    assert reader(fixture(f"poscars/{name}"))[0].level["spin_polarised"] == "False"
    assert reader(path)[0].level["spin_polarised"] == "True"
