"""Numbers, tails, reference energies and charges of a certificate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from certificate_systems import frames_of, named, single_frame, system_of
from toy_runs import toy_frames

from mlip.data.charge_checks import electron_parity, formal_charge, formal_charges
from mlip.data.numbers import finite, stored_precision
from mlip.data.reference_energies import energy_zero, reference_energies
from mlip.data.tails import energy_tails, force_tails, robust_score

GTH = {"Li": -203.2, "P": -179.0, "S": -277.6}
VASP = {"Li": -1.9, "P": -5.4, "S": -4.1}


def lips(symbols: str, elements: dict[str, float], name: str, formation: float = -0.5):
    made = named(symbols, 0.0, name)
    listed = made.frames.symbols
    mean = sum(elements[symbol] for symbol in listed) / len(listed)
    return named(symbols, mean + formation, name)


def zero_of(*systems):
    return energy_zero(list(systems), reference_energies(list(systems)))


def test_finite_double_precision_numbers_pass():
    assert finite([system_of(toy_frames(4))]).verdict == "pass"


def test_a_nan_fails_and_names_its_frame():
    frames = toy_frames(6)
    frames.forces[4, 2, 1] = np.nan
    check = finite([system_of(frames)])
    assert (check.verdict, check.number, check.frames) == ("fail", 1.0, ("toy:4",))


def test_single_precision_arrays_fail_as_another_type():
    frames = toy_frames(3)
    check = finite([system_of(replace(frames, coords=frames.coords.astype(np.float32)))])
    assert check.verdict == "fail"
    assert "positions float32" in check.text


def test_energies_stored_in_single_precision_are_seen_and_large_ones_warn():
    frames = toy_frames(10)
    assert stored_precision([system_of(frames)]).number == 0.0
    shifted = frames.energies - 240.0 * len(frames.symbols)
    small = replace(frames, energies=shifted.astype(np.float32).astype(np.float64))
    check = stored_precision([system_of(small)])
    assert check.number == pytest.approx(2.0**-11 / 32)
    assert check.verdict == "pass"
    large = replace(frames, energies=(64.0 * shifted).astype(np.float32).astype(np.float64))
    assert stored_precision([system_of(large)]).verdict == "warn"


def test_robust_score_of_a_normal_sample_is_its_standard_deviations():
    values = np.random.default_rng(1).normal(5.0, 2.0, 40_000)
    scores = robust_score(np.append(values, 205.0), 1e-9)
    assert scores[:-1].std() == pytest.approx(1.0, abs=0.02)
    assert scores[-1] == pytest.approx(100.0, rel=0.02)


def test_thermal_energies_and_forces_have_no_tails():
    systems = [system_of(toy_frames(30))]
    assert energy_tails(systems).verdict == "pass"
    assert force_tails(systems).verdict == "pass"


def test_one_high_energy_warns_and_names_its_frame_even_among_other_compositions():
    frames = toy_frames(30)
    frames.energies[17] += 0.5 * 32
    other = replace(toy_frames(30), symbols=("Li",) * 32)
    other = replace(other, energies=other.energies - 200.0 * 32)
    check = energy_tails([system_of(frames), system_of(other, "other")])
    assert (check.verdict, check.frames) == ("warn", ("toy:17",))


def test_one_large_force_warns_and_names_frame_and_element():
    frames = toy_frames(30)
    frames.forces[5, 1] = [60.0, 0.0, 0.0]
    check = force_tails([system_of(frames)])
    assert (check.verdict, check.frames) == ("warn", ("toy:5 (P)",))


def test_conditions_are_judged_apart_so_a_melt_is_no_tail_of_a_cold_crystal():
    cold = toy_frames(40)
    hot = replace(toy_frames(12, seed=3), forces=40.0 * toy_frames(12, seed=3).forces)
    apart = [system_of(cold), system_of(hot, "hot", phase="melt", temperature_kelvin=2000)]
    together = [system_of(cold), system_of(hot, "hot")]
    assert force_tails(apart).verdict == "pass"
    assert force_tails(together).verdict == "warn"


def test_tails_of_a_single_frame_are_undecided():
    assert energy_tails([system_of(single_frame())]).verdict == "undecided"
    assert force_tails([system_of(single_frame())]).verdict == "undecided"


def test_reference_energies_of_ideal_mixtures_come_back():
    systems = [lips(s, GTH, s.replace(" ", ""), 0.0) for s in ("Li2 S", "P2 S5", "Li3 P S4", "S2")]
    fitted = reference_energies(systems)
    assert fitted.rank == 3
    np.testing.assert_allclose(fitted.energies_ev, [GTH[e] for e in fitted.elements], atol=1e-8)
    np.testing.assert_allclose(fitted.residuals_ev_per_atom, 0.0, atol=1e-8)
    assert zero_of(*systems).verdict == "pass"


def test_energies_that_the_compositions_leave_open_are_said_to_be():
    # Sulphur by itself is determined; lithium and phosphorus only together.
    systems = [lips("S2", GTH, "s", 0.0), lips("Li3 P S4", GTH, "lps", 0.0)]
    fitted = reference_energies(systems)
    found = dict(zip(fitted.elements, fitted.energies_ev, strict=True))
    assert found["S"] == pytest.approx(GTH["S"])
    assert np.isnan(found["Li"])
    assert np.isnan(found["P"])
    check = zero_of(*systems)
    assert check.verdict == "pass"
    assert "independent compositions: 2, which leaves the energies of Li, P open" in check.text


def test_one_element_has_its_own_energy():
    fitted = reference_energies([lips("Li4", GTH, "metal", 0.0)])
    assert fitted.energies_ev == pytest.approx([-203.2])


def test_two_zeros_of_different_compositions_fail_where_a_fit_would_absorb_them():
    check = zero_of(lips("Li3 P S4", GTH, "ours"), lips("Li7 P3 S11", VASP, "theirs"))
    assert check.verdict == "fail"
    assert check.number > 200.0
    assert "GTH pseudopotentials (CP2K): ours; VASP: theirs" in check.text


def test_a_minority_with_an_unknown_zero_is_named_among_many_compositions():
    formulas = ("Li2 S", "P2 S5", "Li3 P S4", "Li7 P S6", "Li4 P2 S6", "P4 S3")
    systems = [lips(s, GTH, s.replace(" ", "")) for s in formulas]
    assert zero_of(*systems).verdict == "pass"
    shifted = {element: energy + 40.0 for element, energy in GTH.items()}
    check = zero_of(*systems, lips("Li7 P3 S11", shifted, "odd"))
    assert check.verdict == "fail"
    assert "another zero: odd" in check.text


def test_pseudopotentials_at_the_edge_of_a_known_zero_are_one_zero():
    # Phosphorus alone is beyond the limit from the table, its compounds are not.
    own = {"Li": -202.7, "P": -182.5, "S": -278.6}
    systems = [lips(s, own, s.replace(" ", ""), 0.0) for s in ("S8", "P4", "Li3 P S4", "Li2 S")]
    assert zero_of(*systems).verdict == "pass"
    check = zero_of(systems[0], systems[1], systems[3])
    assert check.verdict == "fail"
    # Distance of phosphorus from the table less that of sulphur and lithium sulphide.
    assert check.number == pytest.approx(3.5 - 0.5, abs=0.01)


def test_a_minority_is_named_without_a_table_of_its_elements():
    own = {"Na": -40.0, "Cl": -400.0}
    systems = [lips(f"Na{n} Cl{m}", own, f"s{n}{m}", 0.0) for n, m in ((1, 1), (2, 1), (1, 3))]
    other = lips("Na3 Cl1", {"Na": -60.0, "Cl": -420.0}, "odd", 0.0)
    check = zero_of(*systems, other)
    assert check.verdict == "fail"
    assert "fits all but odd" in check.text
    assert zero_of(*systems).verdict == "pass"


def test_one_composition_of_unknown_elements_is_undecided():
    assert zero_of(named("Na Cl", -3.0, "salt")).verdict == "undecided"


@pytest.mark.parametrize(
    ("symbols", "charge"),
    [("Li3 P S4", 0), ("Li4 P2 S6", 2), ("Li82 P40 S138", 6), ("Li3 P", 0), ("Li27 P12 S44", -1)],
)
def test_formal_charge_is_the_sum_of_oxidation_states(symbols, charge):
    assert formal_charge(named(symbols, 0.0, "x").frames.symbols) == charge


def test_balanced_cells_pass_and_unbalanced_ones_are_named_with_their_imbalance():
    good = named("Li3 P S4", 0.0, "good")
    assert formal_charges([good]).verdict == "pass"
    check = formal_charges([good, named("Li82 P40 S138", 0.0, "glass")])
    assert (check.verdict, check.number, check.frames) == ("warn", 6.0, ("glass:0",))
    assert "Li82P40S138 +6" in check.text


def test_a_recorded_charge_of_the_cell_balances_it():
    ion = named("P S4", 0.0, "ion")
    charged = replace(ion, frames=replace(ion.frames, level={"charge": "-3"}))
    assert formal_charges([ion]).verdict == "warn"
    assert formal_charges([charged]).verdict == "pass"
    assert (electron_parity([ion]).verdict, electron_parity([charged]).verdict) == ("warn", "pass")


def test_one_composition_with_two_charges_is_judged_by_the_worse():
    ion = named("P S4", 0.0, "ion")
    charged = named("P S4", 0.0, "charged")
    charged = replace(charged, frames=replace(charged.frames, level={"charge": "-3"}))
    check = formal_charges([ion, charged])
    assert (check.verdict, check.number, check.frames) == ("warn", -3.0, ("ion:0",))


def test_untabled_elements_beside_balanced_ones_are_not_called_balanced():
    check = formal_charges([named("Li3 P S4", 0.0, "a"), named("Cu3 P S4", 0.0, "b")])
    assert check.verdict == "undecided"
    assert "Cu" in check.text


def test_elements_alone_and_untabled_ones_have_no_formal_charge():
    assert formal_charges([named("Li4", 0.0, "metal")]).verdict == "undecided"
    check = formal_charges([named("Li Xe", 0.0, "x")])
    assert check.verdict == "undecided"
    assert "Xe" in check.text


def test_an_odd_number_of_electrons_is_flagged():
    assert electron_parity([named("Li3 P S4", 0.0, "even")]).verdict == "pass"
    check = electron_parity([named("Li27 P12 S44", 0.0, "odd")])
    assert (check.verdict, check.frames) == ("warn", ("odd:0",))


def test_an_odd_number_of_polarised_electrons_is_a_state():
    odd = named("Li27 P12 S44", 0.0, "odd")
    polarised = replace(odd, frames=replace(odd.frames, level={"spin_polarised": "True"}))
    assert electron_parity([polarised, named("Li3 P S4", 0.0, "even")]).verdict == "pass"
    check = electron_parity([polarised, replace(odd, name="bare")])
    assert (check.verdict, check.number, check.frames) == ("warn", 1.0, ("bare:0",))


def test_identical_frames_have_no_tails():
    frames = frames_of(["S"] * 2, np.tile([[0.0, 0, 0], [3, 0, 0]], (12, 1, 1)), 9.0 * np.eye(3))
    assert energy_tails([system_of(frames)]).number == 0.0
