"""Errors against steps, from what DeePMD-kit writes while it trains."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from mlip.training.training_curve import running_median, write_training_curve

HEADING = "# step rmse_trn rmse_e_trn rmse_f_trn rmse_v_trn lr"


def member(directory, errors):
    directory.mkdir()
    lines = [f"{100 * k + 1} 9.0 {e / 10:g} {e:g} 0.1 1e-3" for k, e in enumerate(errors)]
    (directory / "lcurve.out").write_text("\n".join([HEADING, *lines]) + "\n")
    return directory


def test_every_batch_of_every_member_is_in_the_table(tmp_path):
    members = [member(tmp_path / f"member_{n}", [0.8 + n, 0.4 + n, 0.2 + n]) for n in range(2)]
    files = write_training_curve(tmp_path, members)
    assert [path.name for path in files] == ["training_curve.csv", "training_curve.png"]
    with files[0].open() as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["member"], row["step"]) for row in rows] == [
        (str(n), str(step)) for n in range(2) for step in (1, 101, 201)
    ]
    assert float(rows[4]["force_rmse_ev_per_angstrom"]) == pytest.approx(1.4)
    assert float(rows[4]["energy_rmse_ev_per_atom"]) == pytest.approx(0.14)
    assert files[1].read_bytes().startswith(b"\x89PNG")


def test_the_running_median_passes_over_single_bad_batches():
    errors = np.ones(200)
    errors[[50, 120]] = 100.0
    assert running_median(errors).max() == 1.0
    falling = np.linspace(2.0, 1.0, 101)
    assert running_median(falling)[20:80] == pytest.approx(falling[20:80])
    assert (np.diff(running_median(falling)) < 1e-12).all()
    assert running_median(np.array([3.0])) == pytest.approx([3.0])
