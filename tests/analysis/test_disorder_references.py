"""What a random gas has for F, and F mapped to a crystal and a glass."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_trajectories import make_trajectory

from analysis.disorder.disorder_profile import disorder_profile
from analysis.disorder.measure import DisorderSettings
from analysis.disorder.random_level import equal_pixel_baseline, random_level
from analysis.disorder.references import map_to_references
from analysis.disorder.slab_width import commensurate_slab_width, repeat_mismatch, width_warning
from analysis.errors import AnalysisError, RangeError
from mlip.structures.crystals import conventional_cell, find_crystal

SETTINGS = DisorderSettings(slab_angstrom=8.22)


def test_baseline_of_equal_pixels():
    assert equal_pixel_baseline(5000) == pytest.approx(0.110, abs=5e-4)
    # Simulated once with 5,000 pixels.
    assert random_level(np.ones(5000), "power").mean == pytest.approx(0.112, abs=5e-4)
    for number in (300, 1000, 5000):
        exact = random_level(np.ones(number), "power").mean
        assert equal_pixel_baseline(number) == pytest.approx(exact, rel=0.04)


@pytest.mark.parametrize("form", ["power", "amplitude"])
@pytest.mark.parametrize("sigma", [0.0, 0.5, 2.0])
def test_level_and_noise_of_independent_exponential_pixels(rng, form, sigma):
    means = np.exp(-np.linspace(0, 9, 400) * sigma**2)
    drawn = rng.exponential(1.0, (20_000, 400)) * means
    drawn = drawn if form == "power" else np.sqrt(drawn)
    values = drawn.mean(axis=1) / drawn.max(axis=1)
    level = random_level(means, form)
    assert level.mean == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(20_000))
    noise = values.std() / values.mean()
    assert level.relative_noise == pytest.approx(noise, rel=4 / np.sqrt(2 * 20_000) + 0.02)


def test_two_equal_pixels_have_the_level_known_in_closed_form():
    # min/max of two exponentials is u with density 2/(1 + u)^2: mean of (1 + u)/2 is ln 2.
    level = random_level(np.ones(2), "power")
    assert level.mean == pytest.approx(np.log(2.0), rel=1e-3)
    # The same density gives the mean square of (1 + u)/2 as 1/2.
    noise = np.sqrt(0.5 - np.log(2.0) ** 2) / np.log(2.0)
    assert level.relative_noise == pytest.approx(noise, rel=3e-3)


def trajectory(rng, kind, repeats=(3, 6, 5), frames=2):
    atoms = conventional_cell(find_crystal("beta-Li3PS4")) * repeats
    cell = atoms.cell.array
    shape = (frames, len(atoms), 3)
    if kind == "crystal":
        positions = atoms.positions + rng.normal(0.0, 0.15, shape)
    else:
        positions = rng.random(shape) @ cell
    return make_trajectory(positions, species=atoms.get_chemical_symbols(), cell=cell)


def test_mapped_f_is_0_for_crystal_and_1_for_gas(rng):
    crystal = disorder_profile(trajectory(rng, "crystal"), "b", SETTINGS)
    gas = disorder_profile(trajectory(rng, "gas"), "b", SETTINGS)
    for profile, level in ((crystal, 0.0), (gas, 1.0)):
        mapped = map_to_references(profile, crystal, gas)
        assert mapped.values.mean() == pytest.approx(level, abs=1e-12)
    other = [disorder_profile(trajectory(rng, kind), "b", SETTINGS) for kind in ("crystal", "gas")]
    for profile, level in zip(other, (0.0, 1.0), strict=True):
        mapped = map_to_references(profile, crystal, gas)
        own = mapped.values.std(ddof=1) / np.sqrt(len(mapped.values))
        reference = mapped.glass_error / (mapped.glass_level - mapped.crystal_level)
        assert mapped.values.mean() == pytest.approx(level, abs=4 * np.hypot(own, reference))
        assert (mapped.standard_errors > 0).all()
    # Nothing is clipped: gas slabs scatter on both sides of 1.
    assert mapped.values.max() > 1


def test_error_of_mapped_f_is_that_of_the_slab_and_both_references(rng):
    def planted(values, errors):
        plain = disorder_profile(trajectory(rng, "gas", frames=1), "b", SETTINGS)
        return dataclasses.replace(plain, values=np.array(values), standard_errors=np.array(errors))

    # The error of a reference is that of the mean of its slabs.
    crystal, glass = planted([0.008, 0.012], [0.0, 0.0]), planted([0.07, 0.11], [0.0, 0.0])
    sample = planted([0.01, 0.05, 0.09], [0.003, 0.004, 0.005])
    mapped = map_to_references(sample, crystal, glass)
    assert (mapped.crystal_error, mapped.glass_error) == pytest.approx((0.002, 0.02))
    # Partial derivatives of (F - Fc)/(Fg - Fc) by hand, at 0, half way and 1.
    expected = np.sqrt([0.003**2 + 0.002**2, 0.004**2 + 0.001**2 + 0.01**2, 0.005**2 + 0.02**2])
    np.testing.assert_allclose(mapped.values, [0.0, 0.5, 1.0], atol=1e-12)
    np.testing.assert_allclose(mapped.standard_errors, expected / 0.08, rtol=1e-12)


def test_references_that_do_not_fit_are_refused(rng):
    crystal = disorder_profile(trajectory(rng, "crystal"), "b", SETTINGS)
    gas = disorder_profile(trajectory(rng, "gas"), "b", SETTINGS)
    wide = disorder_profile(trajectory(rng, "gas", (4, 6, 5)), "b", SETTINGS)
    with pytest.raises(RangeError, match=r"glass reference .* plane edge"):
        map_to_references(crystal, crystal, wide)
    for change, words in (
        ({"slab_angstrom": 4.11}, "slab width 4.11 instead of 8.22"),
        ({"sigma_angstrom": 0.4}, "Gaussian width"),
        ({"q_max_per_angstrom": 2.5}, "q cut"),
        ({"form": "amplitude"}, "form amplitude instead of power"),
    ):
        settings = dataclasses.replace(SETTINGS, **change)
        other = disorder_profile(trajectory(rng, "crystal"), "b", settings)
        with pytest.raises(RangeError, match=words):
            map_to_references(gas, other, gas)
    framework = np.flatnonzero(trajectory(rng, "crystal").species != "Li")
    bare = disorder_profile(trajectory(rng, "crystal"), "b", SETTINGS, ids=framework)
    with pytest.raises(RangeError, match=r"density of the atoms .* 0\.03.* instead of 0\.04"):
        map_to_references(gas, bare, gas)
    hot = dataclasses.replace(crystal, temperature_kelvin=900.0)
    with pytest.raises(RangeError, match="temperature 900 instead of 300 K"):
        map_to_references(gas, hot, gas)


def test_references_without_contrast_are_refused(rng):
    kept = dataclasses.replace(SETTINGS, published_form=True)
    first = disorder_profile(trajectory(rng, "gas"), "b", kept)
    second = disorder_profile(trajectory(rng, "gas"), "b", kept)
    with pytest.raises(AnalysisError, match="no contrast"):
        map_to_references(first, first, second)
    crystal = disorder_profile(trajectory(rng, "crystal"), "b", SETTINGS)
    gas = disorder_profile(trajectory(rng, "gas"), "b", SETTINGS)
    with pytest.raises(AnalysisError, match="no contrast"):
        map_to_references(gas, gas, crystal)


def test_commensurate_widths():
    assert commensurate_slab_width(98.64, 8.22, 8.0) == pytest.approx(8.22)
    assert commensurate_slab_width(98.64, 8.22, 15.0) == pytest.approx(16.44)
    # A cell that is no multiple of the repeat: the nearest that fits within 0.02, if any.
    width = commensurate_slab_width(100.0, 8.22, 8.0)
    assert repeat_mismatch(width, 8.22) == pytest.approx(
        min(repeat_mismatch(100.0 / n, 8.22) for n in range(1, 14))
    )
    assert repeat_mismatch(4.11, 8.22) == pytest.approx(0.5)
    assert width_warning(8.22, 98.64, 8.22) == ""
    assert "no width that divides the cell" in width_warning(20.0, 20.0, 8.22)
