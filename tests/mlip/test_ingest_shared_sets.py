"""Every labelled set of the shared data: read with the numbers its README gives, or refused."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import numpy as np
import pytest
from ingest_recipes import certified, check_in, read
from ingest_variants import shared

from mlip.data.readers import FORMATS
from mlip.errors import DataError


@dataclass(frozen=True)
class Expected:
    """Numbers of a README: energies in eV an atom, largest force component in eV/Å, frames."""

    atoms: int
    frames: int
    lowest: float
    highest: float
    force: float
    virial: bool


LIPS20 = {
    "beta-Li3PS4": Expected(64, 800, -238.4790, -238.1643, 9.2, True),
    "Li48P16S61": Expected(125, 800, -237.5906, -236.8651, 11.8, True),
    "Li4P2S6": Expected(96, 800, -237.5042, -237.1964, 8.7, True),
    "Li2P2S6": Expected(80, 500, -243.8562, -243.0692, 12.1, True),
    "Li2PS3-hex": Expected(96, 500, -237.3358, -236.6835, 12.1, True),
    "Li7PS6": Expected(56, 500, -234.5205, -234.2431, 8.5, True),
    "Li2S": Expected(96, 500, -229.5482, -229.1853, 5.3, True),
    "P2S5": Expected(28, 500, -249.9122, -249.2036, 11.8, True),
    "P4S3": Expected(56, 250, -221.7447, -220.9968, 9.2, True),
    "Li3P": Expected(64, 250, -197.9115, -197.5777, 5.2, True),
    "Li": Expected(54, 250, -203.3788, -203.0331, 2.7, True),
    "P": Expected(48, 250, -179.1962, -178.8658, 7.4, True),
    "S": Expected(32, 250, -277.9266, -277.2774, 11.3, True),
}
SETS = {
    **{f"lips20_dft/{name}": ("deepmd-npy", entry) for name, entry in LIPS20.items()},
    "lips_glass_dpgen/g67": ("deepmd-npy", Expected(260, 579, -240.10, -239.88, 7.7, True)),
    "lips_glass_dpgen/g70": ("deepmd-npy", Expected(253, 425, -239.83, -239.61, 7.9, True)),
    "lips_li6.75p3s11_520K/lips_0000_0599.extxyz": (
        "extxyz",
        Expected(83, 600, -4.326, -4.288, 4.84, False),
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_set_is_read_with_the_numbers_of_its_readme(name):
    kind, expected = SETS[name]
    frames = FORMATS[kind].read(shared(name), None)[0]
    assert (len(frames.symbols), len(frames)) == (expected.atoms, expected.frames)
    per_atom = frames.energies / len(frames.symbols)
    assert per_atom.min() == pytest.approx(expected.lowest, abs=6e-3)
    assert per_atom.max() == pytest.approx(expected.highest, abs=6e-3)
    assert np.abs(frames.forces).max() == pytest.approx(expected.force, abs=0.06)
    assert (frames.virials is not None) == expected.virial


def test_ligeps_sets_are_read_with_the_numbers_that_their_readme_gives_for_all():
    frames = {
        path.name: FORMATS["deepmd-npy"].read(path, None)[0]
        for path in sorted(shared("ligeps_dpgen_pbe").glob("LiGePS-*"))
    }
    assert [len(f) for f in frames.values()] == [590, 300, 300, 300]
    assert all(len(f.symbols) == 50 for f in frames.values())
    lowest = min(f.energies.min() for f in frames.values()) / 50
    highest = max(f.energies.max() for f in frames.values()) / 50
    assert (lowest, highest) == pytest.approx((-4.31, -4.03), abs=6e-3)
    largest = sorted(float(np.abs(f.forces).max()) for f in frames.values())
    assert (largest[0], largest[-1]) == pytest.approx((3.4, 8.5), abs=0.06)
    without = [name for name, f in frames.items() if f.virials is None]
    assert without == ["LiGePS-init.system"]
    single = [n for n, f in frames.items() if any("single precision" in t for t in f.notes)]
    assert len(single) == 3


def test_lgps_is_read_with_the_numbers_of_its_readme():
    frames = FORMATS["extxyz"].read(shared("lgps_vasp_pbe/lgps_train.extxyz"), None)[0]
    assert (len(frames.symbols), len(frames)) == (50, 678)
    assert np.abs(frames.forces).max() == pytest.approx(5.4, abs=0.06)
    assert np.sqrt((frames.forces**2).mean()) == pytest.approx(0.68, abs=0.01)
    # Tension positive stress grows with volume, so the virial per volume falls.
    pressure = np.trace(frames.virials, axis1=1, axis2=2) / frames.volumes
    assert np.corrcoef(frames.volumes, -pressure)[0, 1] == pytest.approx(0.32, abs=0.02)


# name, sources as (path, format, split, stride), type map, failing checks
VERDICTS = {
    "a crystal and a melt of one level": (
        [
            ("lips20_dft/beta-Li3PS4", "deepmd-npy", "train", 80),
            ("lips20_dft/Li48P16S61", "deepmd-npy", "test", 80),
        ],
        ("Li", "P", "S"),
        set(),
    ),
    "two glasses": (
        [
            ("lips_glass_dpgen/g67", "deepmd-npy", "train", 60),
            ("lips_glass_dpgen/g70", "deepmd-npy", "test", 60),
        ],
        ("Li", "P", "S"),
        set(),
    ),
    "variable cell with stress": (
        [("lgps_vasp_pbe/lgps_train.extxyz", "extxyz", "train", 20)],
        ("Li", "Ge", "P", "S"),
        set(),
    ),
    "shuffled frames without stress": (
        [("lips_li6.75p3s11_520K/lips_0000_0599.extxyz", "extxyz", "train", 20)],
        ("Li", "P", "S"),
        set(),
    ),
    "published split that shares copies": (
        [
            ("li3ps4_pbesol_r2scan/train.xyz", "extxyz", "train", 1),
            ("li3ps4_pbesol_r2scan/val.xyz", "extxyz", "test", 1),
        ],
        ("Li", "P", "S"),
        {"duplicates"},
    ),
    "energy zeros of VASP and of GTH potentials": (
        [
            ("lips_li6.75p3s11_520K/lips_0000_0599.extxyz", "extxyz", "train", 30),
            ("lips20_dft/beta-Li3PS4", "deepmd-npy", "train", 80),
        ],
        ("Li", "P", "S"),
        {"energy zero"},
    ),
    "energy zeros of PBE and of a shifted baseline": (
        [
            ("li3ps4_pbesol_r2scan/train.xyz", "extxyz", "train", 8),
            ("lips20_dft/beta-Li3PS4", "deepmd-npy", "train", 80),
        ],
        ("Li", "P", "S"),
        {"energy zero"},
    ),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict_on_a_set_is_that_of_its_readme(tmp_path, name):
    sources, type_map, failing = VERDICTS[name]
    entries = [
        {"name": f"s{k}", "format": f, "path": str(shared(p)), "split": s, "stride": n}
        for k, (p, f, s, n) in enumerate(sources)
    ]
    certificate = certified(tmp_path, *entries, type_map=type_map)
    found = {check.name for check in certificate.checks if check.verdict == "fail"}
    assert failing <= found
    if not failing:
        assert not found


def test_variable_cell_stress_of_lgps_is_accepted(tmp_path):
    path = shared("lgps_vasp_pbe/lgps_train.extxyz")
    source = {"name": "lgps", "format": "extxyz", "path": str(path), "stride": 10}
    certificate = certified(tmp_path, source, type_map=("Li", "Ge", "P", "S"))
    assert check_in(certificate, "virial unit").number == pytest.approx(1.06, abs=0.1)


def test_trajectories_without_forces_are_refused(tmp_path):
    packed = shared("argyrodite_aimd_xdatcar/Li6PS5I_0p_run1_XDATCAR.gz")
    source = {"name": "x", "format": "vasp-outcar", "path": str(packed)}
    with pytest.raises(DataError, match="does not start like a VASP OUTCAR"):
        read(tmp_path, source, type_map=("Li", "P", "S", "I"))


def test_crystal_structures_are_refused_for_want_of_labels(tmp_path):
    path = shared("crystals_lps/Li3PS4_Pnma_ordered_32atoms.cif")
    with pytest.raises(DataError, match="extended XYZ"):
        read(tmp_path, {"name": "x", "format": "extxyz", "path": str(path)})


def test_elements_of_npy_without_a_type_map_are_not_guessed(tmp_path):
    source = shared("ligeps_dpgen_pbe/LiGePS-init.system")
    folder = tmp_path / "found"
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_bytes((source / "type.raw").read_bytes())
    with pytest.raises(DataError, match=r"no type_map\.raw"):
        read(tmp_path, {"name": "x", "format": "deepmd-npy", "path": "found"})


def test_gzip_of_a_published_file_reads_as_it_was_published(tmp_path):
    path = shared("li3ps4_pbesol_r2scan/val.xyz")
    (tmp_path / "val.xyz.gz").write_bytes(gzip.compress(path.read_bytes()))
    packed = FORMATS["extxyz"].read(tmp_path / "val.xyz.gz", None)
    plain = FORMATS["extxyz"].read(path, None)
    assert [f.energies.tolist() for f in packed] == [f.energies.tolist() for f in plain]
