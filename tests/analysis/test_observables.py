"""What `examine` runs on bulk cells and on stacks of crystal and glass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_disorder_interfaces import sandwich
from toy_trajectories import make_trajectory

from analysis import observables
from analysis.errors import AnalysisError
from analysis.observables import OBSERVABLES, examine
from analysis.results import gather
from analysis.sample import Request
from mlip.structures.crystals import conventional_cell, find_crystal

LAYERS = (30.6, 73.0)


@pytest.fixture(scope="module")
def slab():
    """Two frames of beta-Li3PS4 with a layer of random atoms, which the structure names."""
    trajectory = sandwich(np.random.default_rng(5), LAYERS, 2)
    (frame, *_) = trajectory.frames()
    height = frame.positions[:, 1] % frame.cell[1, 1]
    inside = (height > LAYERS[0]) & (height < LAYERS[1])
    return replace(trajectory, origin=np.where(inside, "glass", "crystal"))


@pytest.fixture(scope="module")
def found(slab):
    return gather(examine(slab, Request(mobile="Li")))


def names(findings):
    return {quantity.name for quantity in findings.quantities}


def test_a_stack_is_divided_into_regions_along_its_longest_axis(found):
    assert {"interface_position_b_1", "glass_share_b"} <= names(found)
    by_region = {name for name in names(found) if name.endswith(("_glass", "_crystal"))}
    for start in ("coordination_number_P-S", "anion_share_of_P_PS4", "voronoi_volume"):
        assert any(name.startswith(start) for name in by_region), start
    figures = {"disorder_b", "rdf_by_region", "rdf", "anions", "angles", "crystallinity"}
    assert figures <= found.figures.keys()


def test_the_crystal_keeps_its_anions_and_the_random_layer_has_none(found):
    values = {quantity.name: quantity.value for quantity in found.quantities}
    assert values["coordination_number_P-S_crystal"] > 3.5
    assert values["coordination_number_P-S_glass"] < 3.0
    shares = {
        region: values[f"anion_share_of_P_PS4_single_frames_{region}"]
        if f"anion_share_of_P_PS4_single_frames_{region}" in values
        else values[f"anion_share_of_P_PS4_{region}"]
        for region in ("crystal", "glass")
    }
    assert shares["crystal"] > 0.9
    assert shares["glass"] < 0.2


def test_names_of_all_results_are_unique(found):
    quantities = [quantity.name for quantity in found.quantities]
    curves = [curve.name for curve in found.curves]
    assert len(set(quantities)) == len(quantities)
    assert len(set(curves)) == len(curves)
    assert {q.curve for q in found.quantities} - {""} <= {f"{name}.csv" for name in curves}


def test_a_bulk_crystal_has_no_regions_and_says_what_was_left_out(rng):
    cell = conventional_cell(find_crystal("gamma-Li3PS4")) * (2, 2, 2)
    positions = cell.positions + rng.normal(0.0, 0.05, (3, len(cell), 3))
    trajectory = make_trajectory(
        positions, species=cell.get_chemical_symbols(), cell=cell.cell.array
    )
    found = gather(examine(trajectory, Request(mobile="Li")))
    assert not any(name.endswith("_glass") for name in names(found))
    reasons = {item.name: item.reason for item in found.skipped}
    assert "name the axis" in reasons["disorder"]
    assert "3 frames" in reasons["msd"]
    assert reasons["rdf_by_anion"] == "all atoms are of one anion"
    (cn,) = [q for q in found.quantities if q.name == "coordination_number_P-S"]
    assert cn.value == pytest.approx(4.0, abs=1e-9)


def test_an_observable_that_refuses_does_not_stop_the_others(monkeypatch, rng):
    def refuses(sample):
        raise AnalysisError("not with these atoms")

    rows = [(name, refuses if name == "angles" else row) for name, row in OBSERVABLES]
    monkeypatch.setattr(observables, "OBSERVABLES", rows)
    trajectory = make_trajectory(rng.random((2, 30, 3)) * 12.0, cell=12.0)
    topics = examine(trajectory, Request())
    assert list(topics) == [name for name, _ in OBSERVABLES]
    found = gather(topics)
    assert ("angles", "not with these atoms") in [(s.name, s.reason) for s in found.skipped]
    assert any(name.startswith("rdf_first_peak") for name in names(found))
