from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from series_runs import KELVINS, D, bounded, ladder, on_line, published_beta, run_at
from toy_trajectories import brownian, lattice_hops, make_trajectory, ornstein_uhlenbeck

from analysis.errors import AnalysisError
from analysis.motion.transport import transport
from analysis.results import Findings, Quantity
from analysis.series.conclusions import run_statements
from analysis.series.material import material_series
from analysis.series.series_findings import series_findings
from analysis.writer import read_record, read_results, write_analysis


def cage(rng, *, msd, n_ions=60, frames=1001):
    """Ions in harmonic cages whose MSD levels off at `msd` (Angstrom^2)."""
    return ornstein_uhlenbeck(rng, n_ions, frames, 2, math.sqrt(msd / 6))


def statements_of(positions, kelvin=300.0):
    """What is said of a run of 1 ns, one frame a ps."""
    trajectory = make_trajectory(positions, temperature_kelvin=kelvin)
    findings = transport(trajectory, "Li").findings
    found = run_statements(findings, atoms={"Li": positions.shape[1]}, temperature_kelvin=kelvin)
    return found, {quantity.name: quantity for quantity in findings.quantities}


@pytest.mark.parametrize("msd", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("hopping", [0, 2], ids=["no hop", "few hops"])
def test_a_cage_at_300_kelvin_is_said_to_be_unresolved_with_both_bounds(rng, msd, hopping):
    positions = cage(rng, msd=msd)
    positions[400:, :hopping, 0] += 3.0
    (sentence,), found = statements_of(positions)
    assert sentence.startswith("At 300 K D of Li is unresolved: the mean ion moved")
    bounds = [found[f"diffusion_coefficient_{which}_bound_Li"].high for which in ("msd", "hop")]
    assert f"{bounds[0]:.2g} cm^2/s (MSD/(6 t), which includes vibration)" in sentence
    assert f"{bounds[1]:.2g} cm^2/s (net hops)" in sentence
    assert "it does not measure it" in sentence
    distance, time = re.search(r"moved (\S+) Angstrom\^2 in (\S+) ps", sentence).groups()
    assert float(time) == 500.0
    # 400 of the 501 origins of 500 ps see the hop.
    assert float(distance) == pytest.approx(msd + 9.0 * hopping / 60 * 0.8, rel=0.15)
    hops = float(re.search(r"(\S+) net hops an ion", sentence).group(1))
    assert hops == pytest.approx(found["net_hops_Li"].value / 60, rel=0.05)
    assert "100 net hops would take at least" in sentence


def test_time_for_enough_hops_is_the_poisson_limit(rng):
    (sentence,), found = statements_of(cage(rng, msd=0.1))
    assert found["net_hops_Li"].value == 0.0
    # None seen in 1 ns: at most 3.0 expected, so 100 take at least 33 ns.
    needed = float(re.search(r"at least (\S+) ns", sentence).group(1))
    assert needed == pytest.approx(100 / -math.log(0.05), rel=0.01)


def test_resolved_diffusion_is_said_with_its_interval_and_what_one_run_cannot_tell(rng):
    (sentence,), found = statements_of(brownian(rng, 60, 600), kelvin=900.0)
    quantity = found["diffusion_coefficient_Li"]
    assert sentence.startswith(f"At 900 K D of Li is {quantity.value:.2g} cm^2/s")
    assert f"{quantity.low:.2g} to {quantity.high:.2g}" in sentence
    assert "one sample" in sentence


def test_a_moving_framework_is_said_to_be_a_melt(rng):
    positions = np.concatenate([brownian(rng, 20, 200), lattice_hops(rng, 20, 200, 0.2)], axis=1)
    trajectory = make_trajectory(positions, species=["Li"] * 20 + ["P"] * 20)
    findings = transport(trajectory, "Li").findings
    found = run_statements(findings, atoms={"Li": 20, "P": 20}, temperature_kelvin=None)
    assert "this is a melt or a decomposition" in found[0]


@pytest.mark.parametrize(
    ("frozen", "melted", "said"),
    [(1.0, 0.0, ""), (0.0, 1.0, "melt or a decomposition"), (0.0, 0.0, "anions that turn")],
)
def test_anions_that_turn_are_told_from_a_melt(frozen, melted, said):
    findings = Findings(
        [
            Quantity("framework_mean_squared_displacement_P", 4.0, "Angstrom^2", reason="moves"),
            Quantity("framework_frozen", frozen, "1", reason="so"),
            Quantity("framework_melted", melted, "1", reason="so"),
        ]
    )
    found = run_statements(findings, atoms={"Li": 20}, temperature_kelvin=None)
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_nothing_is_said_where_nothing_diffuses():
    assert run_statements(Findings(), atoms={"P": 4}, temperature_kelvin=300.0) == []


def glass_and_crystal(rng):
    glass = []
    for n in range(3):
        glass += ladder(
            rng, kelvins=(400, 450, 500, 550), sample=f"quench {n}", offset=0.3 * rng.normal()
        )
        glass.append(run_at(300, bounded(1e-11), sample=f"quench {n}"))
        glass.append(run_at(900, on_line(900, 0.2), sample=f"quench {n}", framework=40.0))
    return {"glass": glass, "crystal": ladder(rng, energy_ev=0.5, kelvins=(700, 800, 900))}


def test_series_of_two_materials_names_samples_melts_bounds_and_extrapolation(rng):
    findings = series_findings(glass_and_crystal(rng))
    found = {q.name: q for topic in findings.values() for q in topic.quantities}
    energy = found["activation_energy_diffusion_Li_glass"]
    assert energy.low < 0.35 < energy.high
    assert "3 independent samples, Student t of 2" in energy.reason
    assert "ln D against 1/T, 400 to 550 K" in energy.reason
    assert "one sample" in found["activation_energy_diffusion_Li_crystal"].reason
    assert found["diffusion_coefficient_Li_300K_glass"].status == "unresolved"
    assert found["prefactor_diffusion_Li_glass"].low < 1e-3
    text = "\n".join(findings["arrhenius"].statements)
    assert "glass: At 900 K the framework moves: a melt" in text
    assert "glass: 3 independent samples: enough for an interval, few for a claim" in text
    assert "unresolved at 300 K, where the runs give upper bounds only" in text
    # The planted line is 1.3e-9 at 300 K, the bound 1e-11.
    assert "lies above the bound 1e-11 cm^2/s, with its whole prediction interval" in text
    assert "times below it: the line cannot hold down to there" in text
    assert "crystal: All runs are of one sample" in text
    assert "Nothing was measured or bounded at 300 K" in text


def test_published_beta_is_called_curved_and_its_300_kelvin_value_off_the_line():
    findings = series_findings({"beta": published_beta()})["arrhenius"]
    text = "\n".join(findings.statements)
    assert "the points curve" in text
    ratio = re.search(r"lies ([\d,]+) times above it", text).group(1)
    assert float(ratio.replace(",", "")) == pytest.approx(4.392e-11 / 2.86e-14, rel=5e-3)
    assert "One line does not describe both: do not extrapolate." in text
    (energy,) = [q for q in findings.quantities if q.name == "activation_energy_diffusion_Li"]
    assert energy.value == pytest.approx(0.494, abs=5e-4)


def test_two_temperatures_and_fewer_have_no_energy(rng):
    two = series_findings({"a": ladder(rng, kelvins=(500, 600))})["arrhenius"]
    (energy,) = [q for q in two.quantities if q.name.startswith("activation")]
    assert energy.status == "unresolved"
    assert re.search(r"2 temperatures give 0\.\d+ eV without an interval", energy.reason)
    (extrapolated,) = [q for q in two.quantities if q.name.startswith("extrapolated_diffusion")]
    assert extrapolated.status == "unresolved"
    text = "\n".join(two.statements)
    assert "The line of 500 to 600 K is not continued to 300 K for D" in text
    assert "an extrapolation" not in text
    runs = [run_at(500, bounded(1e-9)), run_at(400, bounded(1e-10))]
    none = series_findings({"a": runs})["arrhenius"]
    (energy,) = none.quantities
    assert "0 of 2 temperatures resolved" in energy.reason
    words = "unresolved at all temperatures (400, 500 K): below 1e-10 at 400 K, 1e-09 at 500 K"
    assert words in none.statements[0]
    one = series_findings({"a": ladder(rng, kelvins=(500,))})["arrhenius"]
    assert one.skipped[0].reason == "one temperature, 500 K"


def test_members_that_differ_are_said_to_be_what_limits(rng):
    apart = ladder(rng, kelvins=KELVINS) + ladder(rng, energy_ev=0.5, member="1")
    text = "\n".join(series_findings({"a": apart})["arrhenius"].statements)
    assert "2 potentials drove runs: they differ by more than the statistical errors" in text
    alike = [*ladder(rng, error=1e-9)]
    alike += [run_at(k, on_line(k), 0.1, member="1") for k in KELVINS]
    alike += [run_at(k, on_line(k), 0.1, member="2") for k in KELVINS]
    findings = series_findings({"a": alike})
    assert "differ by no more than" in "\n".join(findings["arrhenius"].statements)
    spreads = findings["committee"].quantities
    assert f"committee_spread_{D}_500K" in {spread.name for spread in spreads}
    assert all("does not exceed" in spread.reason for spread in spreads)


def test_of_layers_the_value_along_them_stands_for_the_refused_isotropic_one(rng):
    runs = []
    for run in ladder(rng):
        along = replace(run.quantities[D], name="diffusion_coefficient_parallel_Li")
        glass = replace(along, name="diffusion_coefficient_Li_glass")
        refused = Quantity(D, math.nan, "cm^2/s", status="refused", reason="layers")
        found = {each.name: each for each in (refused, along, glass)}
        runs.append(replace(run, quantities={**run.quantities, **found}))
    assert material_series("slab", runs).main("diffusion_coefficient_") == along.name
    assert material_series("bulk", ladder(rng)).main("diffusion_coefficient_") == D


def test_curve_and_figure_of_a_series(rng, tmp_path):
    findings = series_findings(glass_and_crystal(rng))
    write_analysis(tmp_path, findings, provenance={})
    path = tmp_path / "curves" / f"arrhenius_{D}_glass.csv"
    table = np.genfromtxt(path, delimiter=",", names=True, deletechars="", replace_space=" ")
    assert table.dtype.names[:3] == ("temperature [K]", "1000/T [1/K]", "value [cm^2/s]")
    np.testing.assert_allclose(table["1000/T [1/K]"], 1000 / table["temperature [K]"], rtol=1e-6)
    assert table["upper bound [cm^2/s]"][0] == pytest.approx(1e-11)
    assert math.isnan(table["value [cm^2/s]"][0])
    assert table["melt [1]"].tolist() == [0.0] * 5 + [1.0]
    assert table["samples [1]"].tolist() == [3.0] * 6
    assert np.all(table["line low [cm^2/s]"] < table["line [cm^2/s]"])
    image = imread(tmp_path / "figures" / "arrhenius.png")
    assert 0.005 < (image[..., :3] < 0.9).any(axis=-1).mean() < 0.5


def test_statements_are_written_and_older_results_are_still_read(tmp_path):
    findings = Findings([Quantity("a", 1.0, "1")], statements=["One.", "Two."])
    write_analysis(tmp_path, {"x": findings, "y": Findings(statements=["Three."])}, provenance={})
    path = tmp_path / "results.json"
    record = json.loads(path.read_text())
    assert record["schema"] == 3
    assert record["statements"] == ["One.", "Two.", "Three."]
    del record["statements"]
    path.write_text(json.dumps(record | {"schema": 2}))
    assert [quantity.value for quantity in read_results(path)] == [1.0]
    assert read_record(path)["statements"] == []
    path.write_text("[]")
    with pytest.raises(AnalysisError, match="expected a JSON object"):
        read_record(path)
    path.write_text(json.dumps(record | {"schema": 4}))
    with pytest.raises(AnalysisError, match="schema 4"):
        read_record(path)
