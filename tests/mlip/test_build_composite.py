"""Glass-ceramics: slab, nanograin, marked regions; the push-off that they share."""

from __future__ import annotations

import gzip
import json
import shutil

import ase
import ase.io
import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from build_recipes import apart, built, counts, crystal

from mlip.cli import main
from mlip.errors import DataError, InputError, RecipeError
from mlip.recipes.base import validated
from mlip.recipes.build import BuildRecipe
from mlip.structures.bodies import find_bodies
from mlip.structures.phases import phase_file
from mlip.structures.push import push_apart
from mlip.structures.slab import lateral_strain
from mlip.structures.units import contact_radius


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A crystal, a packed glass of nearly its lateral vectors, and a shaken box."""
    folder = tmp_path_factory.mktemp("parts")
    a, b, _ = crystal("beta-Li3PS4").cell.lengths()
    built(folder, "crystal", crystal="beta-Li3PS4", supercell=[1, 1, 5])
    cell = [1.01 * a, 0.99 * b, 27.5]
    built(folder, "glass", packing={"li2s_fraction": 0.75, "atoms": 144, "density_g_cm3": 1.75,
                                    "cell": cell})  # fmt: skip
    shaken = {"amplitude_angstrom": 0.3}
    built(folder, "box", crystal="beta-Li3PS4", supercell=[2, 3, 4], rattle=shaken)
    return folder


def slab(parts, tmp_path, name="slab", seed=1, **keys):
    content = {"crystal": str(parts / "crystal"), "glass": str(parts / "glass"), **keys}
    return built(tmp_path, name, slab=content, seed=seed)


def grain(parts, tmp_path, name="grain", seed=1, **keys):
    content = {"crystal": str(parts / "crystal"), "glass": str(parts / "box"), **keys}
    content = {"volume_fraction": 0.1, **content}
    return built(tmp_path, name, nanograin=content, seed=seed)


def read(parts, name: str) -> ase.Atoms:
    return ase.io.read(parts / name / "structure.extxyz")


def require_contacts(atoms: ase.Atoms) -> None:
    """No atom of one origin is in contact with one of the other; every P has four S."""
    origin = atoms.arrays["origin"]
    first, second, distance = neighbor_list("ijd", atoms, 3.2)
    radii = np.array([contact_radius(symbol, 2.0) for symbol in atoms.symbols])
    between = origin[first] != origin[second]
    assert between.any()
    assert (distance >= radii[first] + radii[second] - 1e-6)[between].all()
    symbols = np.array(atoms.get_chemical_symbols())
    bonds = (symbols[first] == "P") & (symbols[second] == "S") & (distance < 2.6)
    found = np.bincount(first[bonds], minlength=len(atoms))[symbols == "P"]
    assert set(found.tolist()) == {4}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_slab_keeps_the_composition_the_crystal_and_the_thicknesses(parts, tmp_path, seed):
    manifest, atoms = slab(parts, tmp_path, seed=seed)
    solid, glass = read(parts, "crystal"), read(parts, "glass")
    assert counts(atoms) == counts(solid) + counts(glass)
    n = len(solid)
    assert atoms.arrays["origin"].tolist() == ["crystal"] * n + ["glass"] * len(glass)
    assert atoms.get_chemical_symbols()[:n] == solid.get_chemical_symbols()
    # The crystal is as it was, and the lateral vectors are its own.
    shift = atoms.positions[:n] - solid.positions
    scaled = shift @ np.linalg.inv(solid.cell.array)
    np.testing.assert_allclose(scaled[:, :2], np.rint(scaled[:, :2]), atol=1e-7)
    np.testing.assert_allclose(atoms.cell.array[:2], solid.cell.array[:2], atol=1e-7)
    summary = manifest.summary
    c, g = solid.cell.lengths()[2], glass.cell.lengths()[2]
    gap = summary["gap_angstrom"]
    assert summary["thickness_crystal_angstrom"] == pytest.approx(c)
    assert summary["thickness_glass_angstrom"] == pytest.approx(g)
    assert atoms.cell.lengths()[2] == pytest.approx(c + g + 2 * gap, abs=1e-6)
    assert summary["crystal_fraction"] == pytest.approx(c / (c + g + 2 * gap))
    strain = summary["glass_strain"]
    ratio = solid.cell.lengths() / glass.cell.lengths() - 1
    assert (strain["xx"], strain["yy"]) == pytest.approx(ratio[:2].tolist(), abs=1e-9)
    assert strain["xy"] == pytest.approx(0.0, abs=1e-12)
    assert summary["formal_charge_e"] == 0
    assert summary["units_unchanged"]
    require_contacts(atoms)


def test_the_normal_of_a_slab_may_be_any_axis(parts, tmp_path):
    # The crystal as its own glass: nothing is strained, along a triclinic axis either.
    built(tmp_path, "seven", crystal="Li7P3S11", supercell=[2, 1, 1])
    part = str(tmp_path / "seven")
    one = crystal("Li7P3S11", (2, 1, 1))
    for k, axis in enumerate("abc"):
        _, atoms = built(
            tmp_path,
            f"slab{axis}",
            slab={"crystal": part, "glass": part, "axis": axis, "minimum_thickness_angstrom": 9},
        )
        lateral = [n for n in range(3) if n != k]
        np.testing.assert_allclose(atoms.cell.lengths()[lateral], one.cell.lengths()[lateral])
        width = [1.0 / np.linalg.norm(np.asarray(a.cell.reciprocal())[k]) for a in (atoms, one)]
        assert width[0] >= 2 * width[1] - 1e-6
        cell = atoms.cell.array
        assert abs(cell[[0, 0, 1], [1, 2, 2]]).max() == 0.0
        assert (np.diag(cell) > 0).all()
        require_contacts(atoms)


def test_the_registry_and_the_seed_fix_the_slab(parts, tmp_path):
    one, first = slab(parts, tmp_path, "one", seed=4)
    _, again = slab(parts, tmp_path, "again", seed=4)
    np.testing.assert_array_equal(first.positions, again.positions)
    registry = one.summary["registry"]
    assert slab(parts, tmp_path, "other", seed=5)[0].summary["registry"] != registry
    given = [registry["a"], registry["b"]]
    _, same = slab(parts, tmp_path, "same", seed=9, registry=given)
    np.testing.assert_allclose(apart(first, same), 0.0, atol=1e-6)


def test_the_crystal_is_repeated_to_the_fraction_asked_for(parts, tmp_path):
    summary = slab(parts, tmp_path, crystal_fraction=0.7)[0].summary
    assert summary["crystal_repeats"] == 2
    assert summary["crystal_fraction"] == pytest.approx(0.69, abs=0.02)


def test_strain_is_free_of_rotation():
    stretch = np.array([[1.02, 0.01], [0.01, 0.97]])
    turn = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    np.testing.assert_allclose(lateral_strain(stretch @ turn), stretch - np.eye(2), atol=1e-12)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"minimum_thickness_angstrom": 29.0}, r"the glass is 2\d\.\d\d Å thick along c.*melt"),
        ({"minimum_thickness_angstrom": 40.0}, "crystal is 30.62 Å thick.*Repeat it 2 times"),
        ({"largest_strain": 0.01}, r"strained by [12]\.\d\d %.*build it, repeated 1 time"),
        ({"axis": "a", "minimum_thickness_angstrom": 9}, r"strained by \d+\.\d\d %"),
    ],
)
def test_phases_that_do_not_fit_are_refused_with_what_would_do(parts, tmp_path, keys, message):
    with pytest.raises(DataError, match=message):
        slab(parts, tmp_path, **keys)
    assert not (tmp_path / "slab").exists()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_nanograin_replaces_as_many_atoms_of_each_element(parts, tmp_path, seed):
    manifest, atoms = grain(parts, tmp_path, seed=seed)
    box, summary = read(parts, "box"), manifest.summary
    assert counts(atoms) == counts(box)
    np.testing.assert_allclose(atoms.cell.array, box.cell.array, atol=1e-6)
    origin = atoms.arrays["origin"]
    inside = origin == "crystal"
    units = summary["grain_formula_units"]
    # 96 formula units in all, of one density.
    assert units == round(0.1 * 96)
    assert summary["crystal_fraction"] == pytest.approx(units / 96)
    assert counts(atoms[inside]) == {"Li": 3 * units, "P": units, "S": 4 * units}
    assert (np.flatnonzero(inside) == np.arange(inside.sum())).all()
    assert summary["formal_charge_e"] == 0
    assert summary["anions"] == {"PS4": 96}
    require_contacts(atoms)
    # It lies around the middle of the box.
    middle = np.exp(2j * np.pi * atoms.get_scaled_positions()[inside]).mean(axis=0)
    np.testing.assert_allclose(np.angle(middle) / (2 * np.pi) % 1.0, 0.5, atol=0.06)


def test_the_core_of_a_grain_is_the_crystal_turned_as_asked(parts, tmp_path):
    center = [0.4, 0.5, 0.6]
    manifest, atoms = grain(
        parts, tmp_path, volume_fraction=0.2, rotation_degree=[0, 0, 30], center=center
    )
    assert manifest.summary["grain_units_held"] >= 3
    np.testing.assert_allclose(manifest.summary["grain_rotation_degree"], [0, 0, 30], atol=1e-9)
    held = atoms[atoms.arrays["origin"] == "crystal"]
    bodies = find_bodies(atoms)
    core = np.argsort(np.linalg.norm(bodies.centres - np.array(center) @ atoms.cell.array, axis=1))[
        :3
    ]
    rows = np.flatnonzero(np.isin(bodies.body, core))
    assert (rows < len(held)).all()
    angle = np.radians(30.0)
    back = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    # Differences of positions, turned back (row vectors), are differences in the crystal.
    big = crystal("beta-Li3PS4", (3, 4, 5))
    kinds = np.array(big.get_chemical_symbols())
    found = (bodies.positions[rows] - bodies.positions[rows[0]]) @ back
    best = np.inf
    for origin in big.positions[kinds == atoms.symbols[rows[0]]]:
        scaled = (big.positions[None] - origin - found[:, None]) @ np.linalg.inv(big.cell.array)
        scaled -= np.rint(scaled)
        best = min(best, np.linalg.norm(scaled @ big.cell.array, axis=2).min(axis=1).max())
    assert best < 1e-5


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"volume_fraction": 0.4}, DataError, "less than 6 Å would part it"),
        ({"volume_fraction": 0.02}, RecipeError, "volume_fraction"),
        ({"glass": "absent"}, InputError, "neither final.extxyz nor structure.extxyz"),
    ],
)
def test_grains_that_cannot_be_are_refused(parts, tmp_path, keys, error, message):
    with pytest.raises(error, match=message):
        grain(parts, tmp_path, **keys)
    assert not (tmp_path / "grain").exists()


def test_a_crystal_of_units_that_the_glass_lacks_is_refused(parts, tmp_path):
    built(tmp_path, "seven", crystal="Li7P3S11")
    with pytest.raises(DataError, match=r"no whole units of the glass.*composition"):
        grain(parts, tmp_path, crystal=str(tmp_path / "seven"), volume_fraction=0.2)


@pytest.mark.parametrize("part", ["slab", "nanograin"])
def test_a_composite_is_not_repeated_or_disturbed(part):
    content = {part: {"crystal": "a", "glass": "b", "volume_fraction": 0.1}, "rattle": {
        "amplitude_angstrom": 0.1}}  # fmt: skip
    if part == "slab":
        del content[part]["volume_fraction"]
    with pytest.raises(RecipeError, match="rattle would undo"):
        validated(content, BuildRecipe, "recipe")
    del content["rattle"]
    assert validated({**content, "seed": 3}, BuildRecipe, "recipe").seed == 3


def test_marking_moves_nothing_and_keeps_units_whole(tmp_path):
    plain = crystal("beta-Li3PS4", (1, 1, 4))
    for name, where in (
        ("slab", {"axis": "c", "low": 0.4, "high": 0.9}),
        ("ball", {"radius_angstrom": 6.0, "center": [0.5, 0.5, 0.1]}),
    ):
        manifest, atoms = built(
            tmp_path, name, crystal="beta-Li3PS4", supercell=[1, 1, 4], mark_glass=where
        )
        np.testing.assert_allclose(atoms.positions, plain.positions, atol=1e-8)
        glass = atoms.arrays["origin"] == "glass"
        assert 0 < glass.sum() < len(atoms)
        assert manifest.summary["atoms_origin_glass"] == glass.sum()
        assert manifest.summary["atoms_origin_crystal"] == (~glass).sum()
        body = find_bodies(atoms).body
        share = np.bincount(body, weights=glass) / np.bincount(body)
        assert set(share.tolist()) == {0.0, 1.0}
    centre = np.array([0.5, 0.5, 0.1]) @ atoms.cell.array
    distance = ase.geometry.get_distances(centre, atoms.positions, cell=atoms.cell, pbc=True)[1][0]
    lithium = np.array([s == "Li" for s in atoms.get_chemical_symbols()])
    np.testing.assert_array_equal(glass[lithium], distance[lithium] < 6.0)


def test_push_off_ends_at_the_contacts_with_units_rigid_and_as_little_motion_as_needed():
    two = ase.Atoms("Li2", [[5.0, 5.0, 5.0], [5.0, 5.0, 6.0]], cell=[10] * 3, pbc=True)
    pushed = push_apart(two, np.arange(2))
    gap = pushed.positions[1] - pushed.positions[0]
    assert pushed.shortest is None
    np.testing.assert_allclose(gap, [0, 0, 2.0], atol=0.03)
    np.testing.assert_allclose(pushed.positions.mean(axis=0), two.positions.mean(axis=0))
    held = push_apart(two, np.arange(2), held=np.array([True, False]))
    np.testing.assert_array_equal(held.positions[0], two.positions[0])
    assert held.shortest is None

    box = crystal("beta-Li3PS4", (1, 2, 2))
    bodies = find_bodies(box)
    rng = np.random.default_rng(0)
    box.positions = bodies.positions + rng.normal(0, 0.6, (len(bodies.names), 3))[bodies.body]
    pushed = push_apart(box, bodies.body)
    assert pushed.shortest is None
    radii = np.array([contact_radius(symbol, 2.0) for symbol in box.symbols])
    moved = ase.Atoms(box.symbols, pushed.positions, cell=box.cell, pbc=True)
    first, second, distance = neighbor_list("ijd", moved, 3.0)
    other = bodies.body[first] != bodies.body[second]
    assert (distance >= radii[first] + radii[second] - 1e-9)[other].all()
    for number in np.flatnonzero(np.bincount(bodies.body) > 1):
        rows = np.flatnonzero(bodies.body == number)
        shapes = [ase.Atoms(box.symbols[rows], p[rows]).get_all_distances()
                  for p in (box.positions, pushed.positions)]  # fmt: skip
        np.testing.assert_allclose(*shapes, atol=1e-9)


def test_push_off_says_which_pair_stays_too_near():
    full = ase.Atoms("Li2", [[0, 0, 0], [0.7, 0, 0]], cell=[1.5, 1.5, 1.5], pbc=True)
    pushed = push_apart(full, np.arange(2))
    assert pushed.shortest is not None
    assert pushed.shortest[2] < pushed.shortest[3] == 2.0


@pytest.mark.parametrize(
    ("fraction", "formula"),
    [
        (0.5, "LiPS3"),
        (2 / 3, "Li4P2S7"),
        (0.7, "Li7P3S11"),
        (0.75, "Li3PS4"),
        (0.8, "Li8P2S9"),
    ],
)
def test_a_packing_by_fraction_has_the_composition_and_is_neutral(tmp_path, fraction, formula):
    summary = built(
        tmp_path, packing={"li2s_fraction": fraction, "atoms": 110, "density_g_cm3": 1.5}
    )[0].summary
    assert summary["formula"] == formula
    assert summary["li2s_fraction"] == pytest.approx(fraction, abs=1e-9)
    assert summary["formal_charge_e"] == 0
    assert abs(summary["atoms"] - 110) <= 20


def test_the_lever_rule_gives_whole_units_of_the_two_neighbouring_compositions():
    from mlip.structures.composition import fraction_of, units_by_fraction

    for fraction in np.linspace(0.5, 0.95, 31):
        units = units_by_fraction(float(fraction), 2000)
        atoms = {"PS4": 5, "P2S7": 9, "P2S6_edge": 8, "S": 1, "Li": 1}
        assert sum(atoms[name] * count for name, count in units.items()) == pytest.approx(
            2000, rel=0.06
        )
        assert fraction_of(units) == pytest.approx(fraction, abs=2e-3)
        assert units["Li"] == sum(
            {"PS4": 3, "P2S7": 4, "P2S6_edge": 2, "S": 2, "Li": 0}[name] * count
            for name, count in units.items()
        )
    # 70:30 is half of either by P2S7 + PS4: n(PS4) = 2a - 4b, n(P2S7) = 3b - a of a:b = 7:3.
    units = units_by_fraction(0.7, 21 * 20)
    assert units["PS4"] == units["P2S7"] == 20


def test_the_command_line_stacks_and_says_so(parts, tmp_path, capsys):
    (tmp_path / "slab.yml").write_text(
        f"slab: {{crystal: '{parts / 'crystal'}', glass: '{parts / 'glass'}'}}\nseed: 2\n"
    )
    command = ["build", str(tmp_path / "slab.yml"), "--out", str(tmp_path / "out")]
    assert main([*command, "--dry-run"]) == 0
    assert "build slab of crystal and glass:" in capsys.readouterr().out
    assert main(command) == 0
    said = capsys.readouterr().out
    for key in ("crystal_fraction", "registry", "seed", "closest_Li-S", "glass_strain"):
        assert key in said
    assert main(command) == 0
    assert "already done" in capsys.readouterr().out


def test_of_a_run_its_final_unwrapped_structure_is_taken(parts, tmp_path):
    _, plain = slab(parts, tmp_path, "plain")
    run = tmp_path / "run"
    run.mkdir()
    glass = read(parts, "glass")
    (run / "structure.extxyz").write_text("the start of the run\n")
    far = glass.copy()
    far.positions += np.array([[1, 0, -2]] * 5 + [[0, 3, 0]] * (len(glass) - 5)) @ glass.cell.array
    far.set_array("velocities_angstrom_per_ps", np.ones((len(far), 3)))
    ase.io.write(run / "final.extxyz", far, format="extxyz")
    manifest, atoms = slab(parts, tmp_path, glass=str(run))
    np.testing.assert_allclose(apart(plain, atoms), 0.0, atol=1e-5)
    assert any(name.endswith("run/final.extxyz") for name in manifest.inputs)
    (run / "final.extxyz").write_text("12\ntorn\n")
    with pytest.raises(DataError, match=r"final\.extxyz: cannot be read as extxyz"):
        slab(parts, tmp_path, "torn", glass=str(run))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"status": "running"}, "run: is not finished"),
        ({"kind": "run"}, "run: this run has no dynamics"),
    ],
)
def test_a_run_without_its_end_gives_no_phase(parts, tmp_path, state, message):
    run = tmp_path / "run"
    shutil.copytree(parts / "crystal", run)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | state))
    with pytest.raises(DataError, match=message):
        slab(parts, tmp_path, crystal=str(run))


def test_a_slab_of_files_is_the_slab_of_their_directories(parts, tmp_path):
    text = "slab: {{crystal: '{0}', glass: '{1}'}}\nseed: 2\n"
    named = {"directories": [parts / "crystal", parts / "glass"], "files": []}
    for part in named["directories"]:
        file = tmp_path / f"{part.name}.extxyz.gz"
        file.write_bytes(gzip.compress(phase_file(part).read_bytes()))
        named["files"].append(file)
    for name, paths in named.items():
        (tmp_path / f"{name}.yml").write_text(text.format(*paths))
        assert main(["build", str(tmp_path / f"{name}.yml"), "--out", str(tmp_path / name)]) == 0
    one, other = (ase.io.read(tmp_path / name / "structure.extxyz") for name in named)
    assert one == other
