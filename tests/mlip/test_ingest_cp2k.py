"""Reading CP2K run directories."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_runs import toy_frames, write_cp2k

from mlip.data.cp2k import read_cp2k
from mlip.errors import DataError, UnitError

REPOSITORY = Path(__file__).resolve().parents[2]
OWN = REPOSITORY / "training_data" / "raw" / "li3ps4_cp2k_aimd"


def own_run(name: str) -> Path:
    return OWN / name


@pytest.fixture(scope="module")
def frames():
    return toy_frames(12)


def test_every_array_comes_back_in_angstrom_and_ev(tmp_path, frames):
    read = read_cp2k(write_cp2k(tmp_path, frames))[0]
    assert read.symbols == frames.symbols
    np.testing.assert_allclose(read.coords, frames.coords, atol=1e-9)
    np.testing.assert_allclose(read.energies, frames.energies, atol=2e-8)
    np.testing.assert_allclose(read.forces, frames.forces, atol=5e-9)
    np.testing.assert_allclose(read.cells, frames.cells, atol=1e-9)
    np.testing.assert_allclose(read.times_ps, frames.times_ps, atol=1e-9)


def test_virial_is_volume_times_log_stress_and_positive_under_compression(tmp_path, frames):
    read = read_cp2k(write_cp2k(tmp_path, frames))[0]
    np.testing.assert_allclose(read.virials, frames.virials, atol=1e-6)
    assert "agrees" in read.virial_origin


def test_stress_in_bar_gives_the_same_virial_as_in_gpa(tmp_path, frames):
    read = read_cp2k(write_cp2k(tmp_path, frames, stress_unit="bar"))[0]
    np.testing.assert_allclose(read.virials, frames.virials, atol=1e-6)


def test_gzip_files_read_as_plain_ones(tmp_path, frames):
    read = read_cp2k(write_cp2k(tmp_path, frames, compress=True))[0]
    np.testing.assert_allclose(read.forces, frames.forces, atol=5e-9)


def test_repeated_steps_of_a_restart_keep_the_later_copy(tmp_path, frames):
    order = [*range(8), *range(5, 12)]
    read = read_cp2k(write_cp2k(tmp_path, frames, order=order))[0]
    assert read.steps.tolist() == list(range(12))
    np.testing.assert_allclose(read.energies, frames.energies, atol=2e-8)
    assert any("3 repeated steps" in note for note in read.notes)


def test_steps_that_share_an_energy_find_their_own_place_in_the_log(tmp_path, frames):
    energies = frames.energies.copy()
    energies[9] = energies[2]
    stress = frames.virials / frames.volumes[:, None, None]
    read = read_cp2k(write_cp2k(tmp_path, replace(frames, energies=energies)))[0]
    np.testing.assert_allclose(read.virials[2] / read.volumes[2], stress[2], atol=1e-8)
    np.testing.assert_allclose(read.virials[9] / read.volumes[9], stress[9], atol=1e-8)


def test_different_step_sets_are_refused_naming_file_and_step(tmp_path, frames):
    write_cp2k(tmp_path, frames, lacking={"frc-1.xyz": {7}})
    with pytest.raises(DataError, match=r"toy-frc-1\.xyz lacks 1 of 12 steps \(7\)"):
        read_cp2k(tmp_path)


def test_unconverged_frames_are_dropped_and_counted(tmp_path, frames):
    read = read_cp2k(write_cp2k(tmp_path, frames, unconverged={2, 9}))[0]
    assert read.unconverged == 2
    assert read.steps.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 10, 11]


def test_stress_file_that_misses_the_kinetic_part_is_a_unit_error(tmp_path, frames):
    write_cp2k(tmp_path, frames, table_scale=0.1)
    with pytest.raises(UnitError, match="2 E_kin"):
        read_cp2k(tmp_path)


def test_without_a_log_there_is_no_virial_because_the_stress_file_is_the_total(tmp_path, frames):
    read = read_cp2k(write_cp2k(tmp_path, frames, log=False))[0]
    assert read.virials is None
    assert read.unconverged is None


def test_log_of_another_run_is_refused(tmp_path, frames):
    write_cp2k(tmp_path, frames)
    other = write_cp2k(tmp_path / "other", toy_frames(12, seed=5))
    (tmp_path / "toy.out").write_text((other / "toy.out").read_text())
    with pytest.raises(DataError, match="not in its place in the log"):
        read_cp2k(tmp_path)


def test_truncated_log_is_refused(tmp_path, frames):
    write_cp2k(tmp_path, frames)
    text = (tmp_path / "toy.out").read_text()
    (tmp_path / "toy.out").write_text(text[: text.rindex("ENERGY|")])
    with pytest.raises(DataError, match="step 11"):
        read_cp2k(tmp_path)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_torn_gzip_file_is_refused(tmp_path, frames, kept):
    path = write_cp2k(tmp_path, frames, compress=True) / "toy-pos-1.xyz.gz"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match="cannot be read"):
        read_cp2k(tmp_path)


def test_truncated_trajectory_is_refused_naming_the_frame(tmp_path, frames):
    write_cp2k(tmp_path, frames)
    path = tmp_path / "toy-pos-1.xyz"
    path.write_text("\n".join(path.read_text().splitlines()[:-5]) + "\n")
    with pytest.raises(DataError, match="frame 11 is incomplete"):
        read_cp2k(tmp_path)


def test_number_too_wide_for_its_column_is_refused_with_the_line(tmp_path, frames):
    write_cp2k(tmp_path, frames)
    path = tmp_path / "toy-1.ener"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace(lines[3].split()[4], "*********")
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 4"):
        read_cp2k(tmp_path)


def test_table_in_an_unknown_unit_is_refused(tmp_path, frames):
    write_cp2k(tmp_path, frames)
    path = tmp_path / "toy-1.ener"
    path.write_text(path.read_text().replace("Pot.[a.u.]", "Pot.[kcalmol]"))
    with pytest.raises(UnitError, match="kcalmol"):
        read_cp2k(tmp_path)


def test_position_unit_is_taken_from_the_input(tmp_path, frames):
    write_cp2k(tmp_path, frames, position_unit="\n      UNIT bohr")
    read = read_cp2k(tmp_path)[0]
    np.testing.assert_allclose(read.coords, frames.coords * 0.529177210903, atol=1e-9)


def test_missing_input_says_where_units_come_from(tmp_path, frames):
    write_cp2k(tmp_path, frames)
    (tmp_path / "toy.inp").unlink()
    with pytest.raises(DataError, match="units"):
        read_cp2k(tmp_path)


def test_missing_forces_are_named(tmp_path, frames):
    write_cp2k(tmp_path, frames)
    (tmp_path / "toy-frc-1.xyz").unlink()
    with pytest.raises(DataError, match=r"toy-frc-1\.xyz"):
        read_cp2k(tmp_path)


def test_reftraj_takes_its_times_from_the_given_trajectory(tmp_path, frames):
    write_cp2k(tmp_path, replace(frames, steps=frames.steps + 1), ensemble="REFTRAJ")
    given = "".join(f"1\n i = {k}, time = {1000.0 + 200 * k}\nLi 0 0 0\n" for k in range(14))
    (tmp_path / "given.xyz").write_text(given)
    read = read_cp2k(tmp_path)[0]
    np.testing.assert_allclose(read.times_ps, 1.0 + 0.2 * np.arange(12))
    np.testing.assert_allclose(read.virials, frames.virials, atol=1e-6)


def test_reftraj_without_times_has_no_time_axis(tmp_path, frames):
    assert read_cp2k(write_cp2k(tmp_path, frames, ensemble="REFTRAJ"))[0].times_ps is None


def test_level_holds_functional_cutoff_and_basis(tmp_path, frames):
    level = read_cp2k(write_cp2k(tmp_path, frames, cutoff="4.0E+02"))[0].level
    assert level["functional"] == "PBE"
    assert level["cutoff_rydberg"] == "400"
    assert level["basis Li"] == "DZVP-MOLOPT-SR-GTH"
    assert level["dispersion"] == "none"
    assert level["version"] == "2023.1"


@pytest.mark.parametrize(("name", "kelvin"), [("beta_600K", 709.0), ("melt_1500K", 1722.0)])
def test_own_runs_hold_25_frames_and_their_kinetic_pressure_is_explained(name, kelvin):
    read = read_cp2k(own_run(name))[0]
    assert len(read) == 25
    assert read.symbols.count("Li") == 24
    assert read.unconverged == 0
    # N kB T / V of 63 thermal atoms, in GPa, is what the reader found in the stress file.
    pressure = 63 * 8.617333e-5 * kelvin / read.volumes[0] * 160.2176634
    stated = float(re.search(r"\(([\d.]+) GPa\)", read.virial_origin).group(1))
    assert stated == pytest.approx(pressure, rel=3e-3)


def test_own_crystal_first_frame_has_the_logged_stress():
    read = read_cp2k(own_run("beta_600K"))[0]
    pressure = read.virials[0] / read.volumes[0] * 160.2176634
    assert pressure[0, 0] == pytest.approx(-0.686172991867, abs=1e-9)
    assert read.energies[0] / 64 == pytest.approx(-238.583, abs=2e-3)


def edited(directory: Path, section: str, lines: str) -> Path:
    """Add lines at the beginning of a section of the input."""
    path = directory / "toy.inp"
    path.write_text(path.read_text().replace(f"&{section}\n", f"&{section}\n{lines}\n", 1))
    return directory


@pytest.mark.parametrize(
    ("lines", "polarised"),
    [("LSD", "True"), ("UKS", "True"), ("UKS .T.", "True"), ("UKS OFF", "False"), ("", "False")],
)
def test_spin_polarisation_is_read_as_cp2k_reads_switches(tmp_path, frames, lines, polarised):
    read = read_cp2k(edited(write_cp2k(tmp_path, frames), "DFT", lines))[0]
    assert read.level["spin_polarised"] == polarised


def test_charge_and_nonlocal_dispersion_are_recorded(tmp_path, frames):
    write_cp2k(tmp_path, frames)
    assert "charge" not in read_cp2k(tmp_path)[0].level
    edited(tmp_path, "DFT", "CHARGE -1")
    nonlocal_ = "&VDW_POTENTIAL\n&NON_LOCAL\nTYPE RVV10\n&END\n&END"
    level = read_cp2k(edited(tmp_path, "XC", nonlocal_))[0].level
    assert (level["charge"], level["dispersion"]) == ("-1", "RVV10")


def test_repeated_unit_cell_without_a_cell_file_is_refused(tmp_path, frames):
    write_cp2k(tmp_path, frames, log=False)
    (tmp_path / "toy-1.cell").unlink()
    edited(tmp_path, "SUBSYS", "&CELL\nABC 4. 8. 8.\nMULTIPLE_UNIT_CELL 2 1 1\n&END")
    with pytest.raises(DataError, match="MULTIPLE_UNIT_CELL"):
        read_cp2k(tmp_path)


def test_reftraj_of_variable_volume_without_a_cell_file_is_refused(tmp_path, frames):
    moved = replace(frames, steps=frames.steps + 1)
    write_cp2k(tmp_path, moved, ensemble="REFTRAJ", log=False)
    (tmp_path / "toy-1.cell").unlink()
    edited(tmp_path, "SUBSYS", "&CELL\nABC 8. 8. 8.\n&END")
    np.testing.assert_allclose(read_cp2k(tmp_path)[0].cells[0], np.diag([8.0] * 3))
    edited(tmp_path, "REFTRAJ", "VARIABLE_VOLUME")
    with pytest.raises(DataError, match="changes the cell"):
        read_cp2k(tmp_path)
