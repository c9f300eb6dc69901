"""The committee's watch: what LAMMPS writes, compact tables, trust, stopping and picking."""

from __future__ import annotations

import shutil
import uuid

import numpy as np
import pytest
from ase.io import read

from mlip.engines.lammps import lammps_job, pair_lines, setup_lines
from mlip.errors import DataError
from mlip.execution.job import Resources
from mlip.execution.local import run_job
from mlip.md.untrusted import UNTRUSTED, UntrustedFrame, worst_apart, write_untrusted
from mlip.md.watch import (
    compact,
    joined,
    read_compact,
    read_raw,
    severity,
    stop_verdict,
    untrusted_share,
    writes_atoms,
)

SYMBOLS = ["Li", "S", "Li", "P"]
LEVELS = {"Li": 0.2, "P": 0.1, "S": 0.4}


def row(step: int, atoms=(), most: float | None = None) -> str:
    force = max(atoms) if most is None else most
    numbers = [0.03, 0.01, 0.02, force, 0.0, force / 2, *atoms]
    return f"{step:12d}" + "".join(f"{number:19.6e}" for number in numbers) + "\n"


HEAD = "#       step         max_devi_v ... atm_devi_f(N)\n"


def test_each_species_gets_the_largest_of_its_own_atoms(tmp_path):
    (tmp_path / "raw").write_text(HEAD + row(0, (0.1, 0.5, 0.3, 0.2)) + row(10, (0.4, 0, 0, 0)))
    table = read_raw(tmp_path / "raw", SYMBOLS)
    assert table.species == ("Li", "S", "P")
    np.testing.assert_allclose(table.by_species, [[0.3, 0.5, 0.2], [0.4, 0.0, 0.0]])
    np.testing.assert_allclose(table.column("max_force"), [0.5, 0.4])
    np.testing.assert_allclose(table.column("mean_force"), [0.25, 0.2])
    np.testing.assert_allclose(table.column("min_virial"), 0.01)
    assert table.steps.tolist() == [0, 10]


@pytest.mark.parametrize("cut", [1, 5, 40, 100])
def test_a_row_torn_by_a_kill_is_left_out_even_within_its_last_number(tmp_path, cut):
    whole = HEAD + row(0, (0.1, 0.5, 0.3, 0.2)) + row(10, (0.4, 0, 0, 0))
    (tmp_path / "raw").write_text(whole[:-cut])
    assert read_raw(tmp_path / "raw", SYMBOLS).steps.tolist() == [0]


def test_rows_of_another_structure_are_refused(tmp_path):
    (tmp_path / "raw").write_text(row(0, (0.1,) * 5))
    with pytest.raises(DataError, match="another structure"):
        read_raw(tmp_path / "raw", SYMBOLS)


def test_a_missing_or_empty_file_is_an_empty_table(tmp_path):
    assert len(read_raw(tmp_path / "none", SYMBOLS).steps) == 0
    (tmp_path / "raw").write_text(HEAD)
    assert len(compact(tmp_path / "raw", SYMBOLS, tmp_path / "c.csv").steps) == 0
    assert len(read_compact(tmp_path / "c.csv").steps) == 0


def test_compacting_keeps_the_numbers_and_a_second_raw_file_replaces_its_steps(tmp_path):
    raw, path = tmp_path / "raw", tmp_path / "deviation.csv"
    raw.write_text(HEAD + row(0, (0.1, 0.5, 0.3, 0.2)) + row(10, (0.4, 0, 0, 0)))
    first = compact(raw, SYMBOLS, path)
    assert not raw.exists()
    np.testing.assert_allclose(read_compact(path).by_species, first.by_species)
    raw.write_text(row(10, (0.6, 0, 0, 0)) + row(20, (0.7, 0, 0, 0)))
    compact(raw, SYMBOLS, path)
    table = read_compact(path)
    assert table.steps.tolist() == [0, 10, 20]
    np.testing.assert_allclose(table.by_species[:, 0], [0.3, 0.6, 0.7])
    np.testing.assert_allclose(table.column("max_force"), [0.5, 0.6, 0.7])


def test_a_table_with_and_one_without_atoms_join(tmp_path):
    (tmp_path / "a").write_text(row(0, (0.1, 0.5, 0.3, 0.2)))
    (tmp_path / "b").write_text(row(10, most=0.9))
    plain = read_raw(tmp_path / "b", SYMBOLS)
    assert plain.species == ()
    table = joined([read_raw(tmp_path / "a", SYMBOLS), plain])
    assert np.isnan(table.by_species[1]).all()
    # Without atoms the highest level of all elements counts.
    np.testing.assert_allclose(severity(table, LEVELS), [2.0, 0.9 / 0.4])


def test_a_frame_is_judged_by_each_element_s_own_level(tmp_path):
    (tmp_path / "raw").write_text(
        row(0, (0.1, 0.3, 0.1, 0.05)) + row(1, (0.1, 0.3, 0.1, 0.15)) + row(2, (0.3, 0, 0, 0))
    )
    table = read_raw(tmp_path / "raw", SYMBOLS)
    np.testing.assert_allclose(severity(table, LEVELS), [0.75, 1.5, 1.5])
    assert untrusted_share(table, LEVELS) == pytest.approx(2 / 3)
    with pytest.raises(DataError, match="no trust level for P"):
        severity(table, {"Li": 1.0, "S": 1.0})


@pytest.mark.parametrize("atoms", [(0.3, 0.5, 0.3, 0.2), ()])
def test_only_a_whole_series_of_bad_frames_stops_a_run(tmp_path, atoms):
    raw = tmp_path / "raw"
    good = row(0, [value / 10 for value in atoms], most=0.05) * 200
    bad = [row(step, atoms, most=0.9) for step in range(10, 15)]
    raw.write_text(HEAD + good + "".join(bad[:4]))
    assert not stop_verdict(raw, SYMBOLS, LEVELS, frames=5).stop
    # The fifth is being written: not yet counted.
    raw.write_text(HEAD + good + "".join(bad)[:-3])
    assert not stop_verdict(raw, SYMBOLS, LEVELS, frames=5).stop
    raw.write_text(HEAD + good + "".join(bad))
    verdict = stop_verdict(raw, SYMBOLS, LEVELS, frames=5)
    assert verdict.stop
    assert "steps 10 to 14" in verdict.reason
    assert not stop_verdict(raw, SYMBOLS, {}, frames=5).stop
    assert not stop_verdict(tmp_path / "none", SYMBOLS, LEVELS, frames=5).stop


def frame(time_ps: float, beyond: float) -> UntrustedFrame:
    return UntrustedFrame("s", int(time_ps * 1000), time_ps, beyond, beyond, 300.0)


def test_the_worst_frames_are_picked_apart_in_time():
    picked = worst_apart([frame(0.0, 2.0), frame(0.3, 5.0), frame(0.8, 3.0), frame(9.0, 1.1)])
    assert [entry.time_ps for entry in picked] == [0.3, 0.8, 9.0]
    assert len(worst_apart([frame(float(n), 2.0) for n in range(50)])) == 20


def test_species_are_watched_only_where_the_text_stays_small():
    assert writes_atoms(1000)
    assert not writes_atoms(100_000)


def test_offending_stored_frames_are_written_with_their_provenance(tmp_path, tiny_run):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    assert write_untrusted(run, dict.fromkeys(("Li", "P", "S"), 1e6)) == []
    assert not (run / UNTRUSTED).exists()
    chosen = write_untrusted(run, dict.fromkeys(("Li", "P", "S"), 1e-6))
    # The whole run is shorter than the least separation.
    assert len(chosen) == 1
    image = read(run / UNTRUSTED)
    assert image.info["step"] == chosen[0].step
    assert image.info["run"] == str(run.resolve())
    assert image.info["max_force_deviation_ev_per_angstrom"] == pytest.approx(
        chosen[0].deviation_ev_per_angstrom
    )
    assert image.info["temperature_kelvin"] > 0
    from analysis.reading.runs import open_run

    purpose = "production" if chosen[0].stage == "produce" else "equilibration"
    trajectory = open_run(run, purpose=purpose, stage=chosen[0].stage)
    first = {"produce": 20, "equilibrate": 0}[chosen[0].stage]
    frames = list(trajectory.frames())
    wanted = frames[(chosen[0].step - first) // 2]
    shift = image.get_scaled_positions() - wanted.positions @ np.linalg.inv(wanted.cell)
    assert np.abs(shift - np.round(shift)).max() < 1e-5
    assert image.get_chemical_symbols() == trajectory.species.tolist()


def test_lammps_writes_the_atoms_in_the_order_of_their_ids(tmp_path, tiny_model, tiny_structure):
    atoms = read(tiny_structure / "structure.extxyz")
    generator = np.random.default_rng(3)
    atoms.positions += generator.normal(0.0, 0.08, atoms.positions.shape)
    elements = ["Li", "P", "S"]
    members = [(tiny_model / f"model_{n}.pth").resolve() for n in (0, 1)]
    orders = {1: np.arange(len(atoms)), 2: generator.permutation(len(atoms))}
    tables = {}
    for ranks, order in orders.items():
        folder = tmp_path / str(ranks)
        folder.mkdir()
        a, b, c = atoms.cell.lengths()
        head = [f"{len(atoms)} atoms", "3 atom types", f"0 {a} xlo xhi", f"0 {b} ylo yhi"]
        head += [f"0 {c} zlo zhi", "", "Masses", "", "1 6.94", "2 30.97", "3 32.06", ""]
        body = [
            f"{n + 1} {elements.index(atoms[n].symbol) + 1} {x} {y} {z}"
            for n in order
            for x, y, z in [atoms.positions[n]]
        ]
        text = "\n".join(["cell", "", *head, "Atoms # atomic", "", *body]) + "\n"
        (folder / "cell.data").write_text(text)
        pair = pair_lines(members, elements, folder / "raw", 1)
        pair[0] += " atomic"
        script = folder / "in.lmp"
        lines = [*setup_lines(1.0), "read_data cell.data", *pair, "fix m all nve", "run 1"]
        script.write_text("\n".join(lines) + "\n")
        job = lammps_job("d", folder, script, folder / "log", resources=Resources(ranks=ranks))
        run_job(job, uuid.uuid4().hex)
        line = (folder / "raw").read_text().splitlines()[1]
        tables[ranks] = np.array(line.split(), dtype=float)
    by_atom = tables[1][7:]
    assert by_atom.std() > 0.01
    np.testing.assert_allclose(tables[2][7:], by_atom, atol=1e-5)
    table = read_raw(tmp_path / "2" / "raw", atoms.get_chemical_symbols())
    lithium = by_atom[[symbol == "Li" for symbol in atoms.get_chemical_symbols()]]
    assert table.by_species[0, table.species.index("Li")] == pytest.approx(lithium.max(), abs=1e-5)
    assert table.column("max_force")[0] == pytest.approx(by_atom.max(), abs=1e-5)
