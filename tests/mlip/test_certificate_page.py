"""The whole certificate: its file, its page, its figures, and real sets."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from certificate_systems import part_of, single_frame
from ingest_variants import shared
from PIL import Image
from toy_runs import toy_frames

from mlip.data.certificate import certificate_json, certify
from mlip.data.certificate_figures import FIGURES, certificate_figures
from mlip.data.certificate_page import certificate_markdown
from mlip.data.deepmd_npy import read_deepmd
from mlip.data.extxyz import read_extxyz
from mlip.data.frames import select
from mlip.data.thresholds import thresholds
from mlip.recipes.ingest import SplitSettings

OLD_KEYS = {"schema", "verdict", "checks", "dft_level", "notes"}


def certified(*parts):
    systems = list({part.system.name: part.system for part in parts}.values())
    return certify(systems, list(parts), SplitSettings())


def verdicts(certificate) -> dict[str, str]:
    return {check.name: check.verdict for check in certificate.checks}


@pytest.fixture(scope="module")
def parts():
    train = part_of(toy_frames(20, timestep_fs=40.0), temperature_kelvin=300)
    test = part_of(toy_frames(8, seed=4), "test", "held-out", phase="glass|melt")
    return [train, test]


@pytest.fixture(scope="module")
def certificate(parts):
    return certified(*parts)


def test_json_has_every_key_and_survives_a_strict_round_trip(certificate):
    content = certificate_json(certificate)
    assert set(content) >= OLD_KEYS | {
        "coverage",
        "reference_energies",
        "neighbours",
        "smallest_distance_angstrom",
    }
    assert json.loads(json.dumps(content, allow_nan=False)) == json.loads(json.dumps(content))
    assert content["neighbours"]["6.0"].keys() == {"Li", "P", "S"}
    assert all(isinstance(n, int) for n in content["neighbours"]["6.0"].values())
    smallest = content["smallest_distance_angstrom"]
    assert smallest["all"] == min(smallest.values())
    # One composition leaves the energies of three elements open.
    assert content["reference_energies"]["energies_ev"] == {"Li": None, "P": None, "S": None}
    assert content["coverage"][0]["temperature_kelvin"] == 300.0


def test_stored_neighbours_are_those_of_training_frames_only(parts):
    alone = certified(parts[0])
    assert certified(*parts).neighbours == alone.neighbours
    held_only = certified(parts[1])
    assert (held_only.neighbours, held_only.smallest_distance_angstrom) == ({}, {})


def test_page_names_every_check_with_its_verdict_and_links_every_figure(certificate, parts):
    page = certificate_markdown(certificate, parts)
    for check in certificate.checks:
        assert f"| {check.name} | " in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
    for name in FIGURES:
        assert f"](figures/{name})" in page
    assert "| all | | 20 | 0 | 8 | 0 |" in page
    assert r"glass\|melt" in page
    assert "nan" not in page


def test_figures_are_drawn_and_not_empty(tmp_path, parts):
    systems = [part.system for part in parts]
    written = certificate_figures(tmp_path, systems, parts)
    assert [path.name for path in written] == list(FIGURES)
    for path in written:
        pixels = np.asarray(Image.open(path).convert("L"))
        assert pixels.shape[1] > 800
        assert 0.002 < (pixels < 200).mean() < 0.6
    assert set((tmp_path / "figures").iterdir()) == set(written)


def test_a_single_frame_of_one_element_gets_a_certificate_page_and_figures(tmp_path):
    frames = replace(single_frame(), symbols=("S",) * 32, virials=None)
    part = part_of(frames)
    certificate = certified(part)
    found = verdicts(certificate)
    assert "fail" not in found.values()
    assert found["near duplicates"] == found["leakage"] == "undecided"
    assert "| train | toy | S32 | crystal | - |" in certificate_markdown(certificate, [part])
    assert len(certificate_figures(tmp_path, [part.system], [part])) == len(FIGURES)


def test_every_limit_has_a_unit_and_a_reason():
    for name, entry in thresholds().items():
        assert entry.unit, name
        assert len(entry.reason) > 10, name


def test_published_splits_that_share_copies_fail():
    folder = shared("li3ps4_pbesol_r2scan")
    made = [
        part_of(frames, split, f"{split}-{k}")
        for split, name in (("train", "train.xyz"), ("test", "val.xyz"))
        for k, frames in enumerate(read_extxyz(folder / name))
    ]
    found = verdicts(certified(*made))
    assert found["duplicates"] == found["near duplicates across"] == "fail"


def test_sets_of_vasp_and_gth_zero_fail_although_compositions_differ():
    crystal = select(read_deepmd(shared("lips20_dft/beta-Li3PS4"))[0], slice(0, 800, 40))
    path = shared("lips_li6.75p3s11_520K/lips_0000_0599.extxyz")
    other = select(read_extxyz(path)[0], slice(0, 600, 30))
    certificate = certified(part_of(crystal), part_of(other, name="vasp"))
    assert verdicts(certificate)["energy zero"] == "fail"
    assert verdicts(certificate)["electron parity"] == "warn"
    check = next(c for c in certificate.checks if c.name == "energy zero")
    assert "VASP: vasp" in check.text


def test_sulphur_poor_glass_cells_are_flagged_with_their_charge():
    frames = select(read_deepmd(shared("lips_glass_dpgen/g67"))[0], slice(0, 579, 60))
    check = next(c for c in certified(part_of(frames)).checks if c.name == "formal charge")
    assert (check.verdict, check.number) == ("warn", 6.0)


def test_shuffled_frames_leak_between_blocks_of_the_file():
    frames = read_extxyz(shared("lgps_vasp_pbe/lgps_train.extxyz"))[0]
    train, test = select(frames, slice(0, 500)), select(frames, slice(500, None))
    system = part_of(frames).system
    made = [replace(part_of(train), system=system, index=np.arange(500))]
    made.append(replace(part_of(test), system=system, split="test", index=np.arange(500, 678)))
    start = time.process_time()
    found = verdicts(certified(*made))
    assert found["leakage"] in ("warn", "fail")
    assert time.process_time() - start < 30.0
