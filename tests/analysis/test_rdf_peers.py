"""g(r) against other packages on the same frames."""

from __future__ import annotations

import numpy as np
import pytest
from toy_trajectories import make_trajectory

from analysis.pairs.rdf import pair_distributions

LENGTH, BINS, R_MAX = 14.0, 65, 6.5
KINDS = ("Li",) * 24 + ("P",) * 8 + ("S",) * 32
# Peers keep positions in single precision: a pair on the edge of a bin may fall on either side.
PAIRS_ASTRAY = 2


@pytest.fixture
def frames(rng):
    return rng.random((4, len(KINDS), 3)) * LENGTH


def ours(frames):
    trajectory = make_trajectory(frames, species=KINDS, cell=LENGTH)
    pairs = pair_distributions(
        trajectory, r_max_angstrom=R_MAX, bin_angstrom=R_MAX / BINS, stride=1
    )
    return {(pair.i, pair.j): pair for pair in pairs}


def require_same(pair, g):
    """Compare as numbers of pairs, in which rounding is at most a few."""
    apart = (pair.g - g) * pair.expected_pairs
    assert np.abs(apart).max() <= PAIRS_ASTRAY + 1e-3
    assert np.abs(apart).sum() <= 2 * PAIRS_ASTRAY + 1e-2
    assert pair.expected_pairs.sum() > 10 * PAIRS_ASTRAY


def test_g_of_r_is_that_of_mdanalysis_with_an_atom_left_out_of_its_own_surroundings(frames):
    mda = pytest.importorskip("MDAnalysis", reason="MDAnalysis is not installed")
    from MDAnalysis.analysis.rdf import InterRDF

    universe = mda.Universe.empty(len(KINDS), trajectory=True)
    universe.add_TopologyAttr("names", list(KINDS))
    universe.load_new(frames.astype(np.float32), dimensions=[LENGTH] * 3 + [90.0] * 3)
    for (one, other), pair in ours(frames).items():
        groups = [universe.select_atoms(f"name {name}") for name in (one, other)]
        block = (1, 1) if one == other else None
        peer = InterRDF(*groups, BINS, (0.0, R_MAX), exclusion_block=block).run()
        require_same(pair, peer.results.rdf)


def test_g_of_r_is_that_of_freud_with_the_finite_size_correction(frames):
    freud = pytest.importorskip("freud", reason="freud is not installed")
    box = freud.box.Box.cube(LENGTH)
    kinds = np.array(KINDS)
    for (one, other), pair in ours(frames).items():
        mode = "finite_size" if one == other else "exact"
        rdf = freud.density.RDF(BINS, R_MAX, normalization_mode=mode)
        for frame in frames:
            points = frame[kinds == other]
            query = None if one == other else frame[kinds == one]
            rdf.compute((box, points), query, reset=False)
        require_same(pair, rdf.rdf)
