"""What the speciation reports: names, intervals, reasons, tables, figure, omissions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from toy_trajectories import make_trajectory

from analysis.anions.speciation import speciation
from analysis.anions.speciation_findings import speciation_findings, speciation_quantities
from analysis.groups import static_groups
from analysis.pairs.rdf import pair_distributions
from analysis.writer import curve_to_csv

BOND = 2.05
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
PS4 = np.vstack([np.zeros(3), BOND * TETRAHEDRON])
LITHIUM = 10.0 + 3.0 * np.array([[x, y, 0] for x in range(3) for y in range(2)])


def tetrahedra(broken_frames=(), n_frames=10, interval_ps=1.0, lithium=6):
    """Two PS4 and six Li; in some frames one S of the second tetrahedron is away."""
    positions = np.vstack([PS4 + 4.0, PS4 + 20.0, LITHIUM[:lithium]])
    positions = np.tile(positions, (n_frames, 1, 1))
    for index in broken_frames:
        positions[index, 6] += 2.0 * TETRAHEDRON[0]
    species = ["P", *"SSSS"] * 2 + ["Li"] * lithium
    return make_trajectory(positions, species=species, cell=26.0, frame_interval_ps=interval_ps)


def by_name(findings):
    found = {quantity.name: quantity for quantity in findings.quantities}
    assert len(found) == len(findings.quantities), "a name is there twice"
    return found


def test_intervals_are_student_t_over_blocks_of_frames():
    found = by_name(speciation_findings(tetrahedra(broken_frames=[5, 7, 8, 9])))
    share = found["anion_share_of_P_PS4"]
    blocks = [1, 1, 0.75, 0.75, 0.5]
    half = stats.t.ppf(0.975, 4) * np.std(blocks, ddof=1) / np.sqrt(5)
    assert share.value == pytest.approx(0.8, rel=1e-12)
    assert share.low == pytest.approx(0.8 - half, rel=1e-10)
    assert share.high == 1.0, "no share is above 1"
    assert "more than the 0.5 ps" in share.reason
    assert "0.8 at -0.1 Angstrom, 0.8 at +0.1 Angstrom" in share.reason
    assert found["anion_share_of_units_S"].value == pytest.approx(4 / 24, rel=1e-12)
    assert found["share_of_S_free"].value == pytest.approx(4 / 80, rel=1e-12)
    assert found["share_of_S_terminal"].value == pytest.approx(76 / 80, rel=1e-12)
    assert found["number_of_P-S_bonds"].value == pytest.approx(7.6, rel=1e-12)
    assert "per frame PS3 0.4" in found["anion_share_of_P_other"].reason


def test_frames_that_do_not_differ_give_no_error_estimate():
    for n_frames, why in ((10, "the same in every block"), (1, "a single block")):
        found = by_name(speciation_findings(tetrahedra(n_frames=n_frames)))
        share = found["anion_share_of_P_PS4"]
        assert share.value == 1
        assert math.isnan(share.low)
        assert math.isnan(share.high)
        assert share.reason.endswith(f"no error estimate, {why}")
        # What was looked for and not found is said, once.
        assert found["anion_share_of_P_P2S7"].value == 0
        assert "anion_share_of_units_P2S7" not in found


@pytest.mark.parametrize(("lithium", "charge"), [(6, 0.0), (5, -1.0)])
def test_a_cell_that_is_not_neutral_says_so(lithium, charge):
    found = by_name(speciation_findings(tetrahedra(lithium=lithium)))
    assert found["formal_charge"].value == pytest.approx(charge, abs=1e-12)
    assert found["formal_charge"].unit == "e"


def test_flicker_is_smoothed_and_reported_beside():
    trajectory = tetrahedra(broken_frames=[20, 21, 33], n_frames=60, interval_ps=0.1)
    found = by_name(speciation_findings(trajectory))
    assert found["anion_share_of_P_PS4"].value == 1
    assert "bonds count that last 0.5 ps" in found["anion_share_of_P_PS4"].reason
    single = found["anion_share_of_P_PS4_single_frames"]
    assert single.value == pytest.approx(1 - 3 / 100, rel=1e-12)
    assert "of each frame alone" in single.reason
    minimised = by_name(speciation_findings(trajectory, minimised=True))
    assert "anion_share_of_P_PS4_single_frames" not in minimised
    assert "energy-minimised frames" in minimised["anion_share_of_P_PS4"].reason


def test_bonds_that_change_too_fast_to_name_units_leave_them_unresolved():
    # Every third frame only is the bond of one S in place: half of two atoms' bonds do not last.
    positions = tetrahedra(n_frames=60).source.positions
    for atom in (6, 7, 8):
        away = np.arange(60) % 3 != atom % 3
        positions[away, atom] += 2.0 * TETRAHEDRON[atom - 6]
    species = ["P", *"SSSS"] * 2 + ["Li"] * 6
    trajectory = make_trajectory(positions, species=species, cell=26.0, frame_interval_ps=0.1)
    findings = speciation_findings(trajectory)
    found = by_name(findings)
    share = found["anion_share_of_P_PS4"]
    assert share.status == "unresolved"
    assert "17 % of the bonds of a frame do not last 0.5 ps" in share.reason
    assert found["formal_charge"].status == "unresolved"
    assert found["anion_share_of_P_PS4_single_frames"].status == "ok"
    assert found["number_of_P-S_bonds"].value == 5
    assert "in single frames 6" in found["number_of_P-S_bonds"].reason
    assert findings.curves
    assert findings.figures


def test_regions_are_reported_by_name():
    trajectory = tetrahedra(broken_frames=range(5, 10))
    regions = static_groups(np.array(["crystal"] * 5 + ["glass"] * 5 + [""] * 6))
    findings = speciation_findings(trajectory, regions=regions)
    found = by_name(findings)
    assert found["anion_share_of_P_PS4_crystal"].value == 1
    assert found["anion_share_of_P_PS4_glass"].value == 0.5
    # The six atoms of no region are lone ions, so that nothing is outside.
    assert not [name for name in found if name.endswith("_outside")]
    assert findings.figures["anions"].startswith(b"\x89PNG")


def test_tables_hold_the_course_and_the_dependence_on_cutoffs():
    trajectory = tetrahedra(broken_frames=[5])
    findings = speciation_findings(trajectory, pair_distributions(trajectory))
    curves = {curve.name: curve.columns for curve in findings.curves}
    course = curves["anions"]
    assert course["time [ps]"].tolist() == list(range(10))
    assert course["PS4 [share of P]"].tolist() == [1.0] * 5 + [0.5] + [1.0] * 4
    assert course["PS4 [units]"].tolist() == [2.0] * 5 + [1.0] + [2.0] * 4
    cutoffs = curves["anions_cutoffs"]
    assert cutoffs["change of cutoffs [Angstrom]"].tolist() == [-0.1, 0.0, 0.1]
    assert cutoffs["PS4 [share of P]"] == pytest.approx([0.95] * 3, rel=1e-12)
    assert cutoffs["standard error of PS4 [share of P]"] == pytest.approx([0.05] * 3, rel=1e-10)
    assert curves["anions_formulas"]["other PS3 [units per frame]"] == pytest.approx([0.1])
    for curve in findings.curves:
        assert len(curve_to_csv(curve).splitlines()) == 1 + len(next(iter(curve.columns.values())))
    assert "first minimum" in by_name(findings)["bond_cutoff_P-S"].reason


def test_what_cannot_be_named_is_left_out_with_the_reason():
    germanium = make_trajectory(np.zeros((2, 2, 3)), species=["Ge", "S"])
    (skipped,) = speciation_findings(germanium).skipped
    assert "no anion rule for Ge" in skipped.reason
    lithium = make_trajectory(np.zeros((2, 1, 3)), species="Li")
    findings = speciation_findings(lithium)
    assert not findings.quantities
    assert "only lone ions (Li)" in findings.skipped[0].reason
    (skipped,) = speciation_findings(tetrahedra()).skipped
    assert skipped.name == "anions_lasting_bonds"
    assert "1 ps apart" in skipped.reason


def test_a_trajectory_of_ligands_alone_is_reported():
    positions = np.array([[[0, 0, 0], [2.0, 0, 0], [8, 8, 8], [5, 5, 0]]], float)
    trajectory = make_trajectory(positions, species=["S", "S", "S", "Li"], cell=12.0)
    findings = speciation_findings(trajectory)
    found = by_name(findings)
    assert found["anion_share_of_units_S-S"].value == 0.5
    assert found["anion_share_of_S_S-S"].value == pytest.approx(2 / 3, rel=1e-12)
    assert not any("_of_P_" in name for name in found)
    assert found["number_of_S-S_bonds"].value == 1
    assert found["formal_charge"].value == -3
    assert findings.figures


def test_an_interval_is_never_wider_than_all(rng):
    positions = rng.uniform(0, 9, (12, 24, 3))
    trajectory = make_trajectory(positions, species=["P"] * 8 + ["S"] * 16, cell=9.0)
    for quantity in speciation_quantities(speciation(trajectory)):
        if "share" in quantity.name and quantity.status == "ok":
            assert not quantity.low < 0
            assert not quantity.high > 1
