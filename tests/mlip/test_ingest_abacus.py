"""Reading ABACUS MD runs."""

from __future__ import annotations

import gzip
import shutil

import numpy as np
import pytest
from ingest_recipes import run
from ingest_variants import fixture

from mlip.data.abacus import read_abacus
from mlip.errors import DataError

BOHR = 0.529177210903


@pytest.fixture
def abacus_run(tmp_path):
    shutil.copytree(fixture("abacus.md"), tmp_path / "run")
    for path in (tmp_path / "run").rglob("*"):
        path.chmod(0o755)
    return tmp_path / "run"


def test_numbers_of_the_text_come_back():
    frames = read_abacus(fixture("abacus.md"))[0]
    assert frames.symbols == ("H", "H", "O")
    assert frames.steps.tolist() == [0, 5, 10, 15, 20]
    # `final etot is` number 0, 5, 10, 15 and 20 of the log.
    expected = [-466.692851174, -466.699290513689, -466.698298260896]
    np.testing.assert_allclose(frames.energies[:3], expected, atol=1e-9)
    np.testing.assert_allclose(frames.energies[-1], -466.697608297566, atol=1e-9)
    first = np.array([15.953212941138, 18.765586146743, 8.395247471322]) * BOHR
    np.testing.assert_allclose(frames.coords[0, 0], first, atol=1e-9)
    np.testing.assert_allclose(
        frames.forces[0, 2], [-0.662377757533, -0.024871174127, 1.917943306741]
    )
    np.testing.assert_allclose(frames.cells[0], np.diag([28 * BOHR] * 3), atol=1e-9)
    volume = (28 * BOHR) ** 3
    assert frames.virials[0, 0, 1] == pytest.approx(-0.250611694353 * volume / 1602.1766, rel=1e-5)
    np.testing.assert_allclose(frames.times_ps, np.arange(5) * 5e-4)


def test_virial_is_told_to_be_the_potential_part_by_the_log():
    assert "kinetic term apart" in read_abacus(fixture("abacus.md"))[0].virial_origin


def test_level_holds_functional_cutoff_basis_and_pseudopotentials():
    level = read_abacus(fixture("abacus.md"))[0].level
    assert level["functional"] == "PBE"
    assert level["cutoff_rydberg"] == "50"
    assert level["scf_thr"] == "0.01"
    assert level["potential O"] == "O_ONCV_PBE-1.0.upf"
    assert level["basis O"] == "O_gga_7au_60Ry_2s2p1d.orb"


def test_compressed_files_read_as_plain_ones(abacus_run):
    for name in ("MD_dump", "running_md.log"):
        file = abacus_run / "OUT.abacus" / name
        with gzip.open(f"{file}.gz", "wb") as handle:
            handle.write(file.read_bytes())
        file.unlink()
    np.testing.assert_array_equal(
        read_abacus(abacus_run)[0].forces, read_abacus(fixture("abacus.md"))[0].forces
    )


def test_step_that_did_not_converge_is_dropped_and_counted(abacus_run):
    log = abacus_run / "OUT.abacus" / "running_md.log"
    line = " final etot is -466.699290513689 eV"
    assert line in log.read_text()
    log.write_text(log.read_text().replace(line, " !! convergence has not been achieved"))
    frames = read_abacus(abacus_run)[0]
    assert frames.unconverged == 1
    assert frames.steps.tolist() == [0, 10, 15, 20]


def test_dump_of_another_frequency_than_the_input_is_refused(abacus_run):
    settings = abacus_run / "INPUT"
    settings.write_text(settings.read_text().replace("md_dumpfreq          5", "md_dumpfreq 4"))
    with pytest.raises(DataError):
        read_abacus(abacus_run)


def test_dump_that_was_cut_off_is_refused_naming_the_frame(abacus_run):
    dump = abacus_run / "OUT.abacus" / "MD_dump"
    text = dump.read_text().rstrip()
    dump.write_text(text[: text.rindex("\n") + 40])
    with pytest.raises(DataError, match="frame 4 is incomplete"):
        read_abacus(abacus_run)


def test_log_that_was_cut_off_is_refused(abacus_run):
    log = abacus_run / "OUT.abacus" / "running_md.log"
    text = log.read_text()
    log.write_text(text[: text.index("STEP OF MOLECULAR DYNAMICS : 10")])
    with pytest.raises(DataError, match="cut off"):
        read_abacus(abacus_run)


def test_dump_of_another_run_is_refused_by_the_virial_term_of_the_log(abacus_run):
    dump = abacus_run / "OUT.abacus" / "MD_dump"
    dump.write_text(dump.read_text().replace("0.476228570252", "0.976228570252", 1))
    with pytest.raises(DataError, match="Virial Term"):
        read_abacus(abacus_run)


def test_other_calculations_are_refused_by_name(abacus_run):
    settings = abacus_run / "INPUT"
    text = settings.read_text()
    settings.write_text(text.replace("calculation             md", "calculation  relax"))
    with pytest.raises(DataError, match="calculation relax"):
        read_abacus(abacus_run)


def test_run_directory_becomes_a_set(tmp_path, abacus_run):
    source = {"name": "water", "format": "abacus", "path": "run", "split": "train"}
    manifest = run(tmp_path, source, type_map=("H", "O"))
    assert manifest.summary["train_frames"] == 5
