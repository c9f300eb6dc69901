"""Partial structure factors by the transform of g(r), and their join to the direct sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import AnalysisError
from analysis.pairs.rdf import PairDistribution
from analysis.scattering.partials import StructureFactors, mean_density, sampling_variance
from analysis.trajectory import Trajectory

# Root mean square over partials, weighted by c_a c_b, by which the two routes may differ at the
# join; a few frames of a glass of 250 atoms reach 0.05, a crystal stays above 1.
MAX_DISAGREEMENT = 0.1

Window = Literal["lorch", "none"]


@dataclass(frozen=True)
class Join:
    """Where the direct sum gives way to the transform.

    Attributes
    ----------
    q_inverse_angstrom : float
        nan where the two routes have no range in common.
    disagreement : float
        Upper limit (two standard errors) of the root mean square difference of the partials
        there, weighted by c_a c_b, beyond the noise of the direct sum.
    agreed : bool
        Whether the disagreement is small enough to join.
    reason : str
    """

    q_inverse_angstrom: float
    disagreement: float
    agreed: bool
    reason: str


def transformed_structure_factors(
    trajectory: Trajectory,
    pairs: Sequence[PairDistribution],
    q_inverse_angstrom: FloatArray,
    *,
    window: Window = "none",
    closed_cell: bool = False,
) -> StructureFactors:
    """Transform the pair distributions of a trajectory; resolution 2 pi / r_max.

    Parameters
    ----------
    trajectory : Trajectory
    pairs : sequence of PairDistribution
        Of all pairs of species, on the same bins.
    q_inverse_angstrom : (Q,) float array
        Above zero, ascending, at least two.
    window : {"lorch", "none"}
        Lorch: sin(pi r / r_max) / (pi r / r_max) (J. Phys. C 2, 229 (1969),
        doi 10.1088/0022-3719/2/2/305), against the ripples of the cut at r_max; it broadens
        peaks by half as much again and weakens the first shells, so it is for g(r) that has
        not decayed.
    closed_cell : bool
        Give what the direct sum over this cell gives, to compare or join the two: S_aa - 1 is
        less by 1 / N_a, because an atom is not its own neighbour. Weighted for neutrons this
        may be several percent of a few hundred atoms.

    Returns
    -------
    StructureFactors

    Raises
    ------
    AnalysisError
        If a pair is missing, the pairs differ in bins or blocks, or there are fewer than two wave
        vectors.

    Notes
    -----
    S_ab(Q) = 1 + rho int 4 pi r^2 (g_ab - 1) sin(Qr) / (Qr) dr (Keen, J. Appl. Cryst. 34, 172
    (2001), doi 10.1107/S0021889800019993), divided by the transform of one bin of the histogram.
    """
    if window not in get_args(Window):
        raise AnalysisError(f"window {window!r} is unknown; expected 'lorch' or 'none'")
    if len(q_inverse_angstrom) < 2:
        raise AnalysisError(
            f"S(Q) at {len(q_inverse_angstrom)} values of Q has no width of its points; give at "
            "least two"
        )
    kinds, numbers = np.unique(trajectory.species, return_counts=True)
    table = {(pair.i, pair.j): pair for pair in pairs}
    r, edges, n_blocks = _common_grid(pairs)
    kernel = (
        np.diff(edges**3) * 4.0 / 3.0 * np.pi * np.sinc(np.outer(q_inverse_angstrom, r) / np.pi)
    )
    if window == "lorch":
        kernel *= np.sinc(r / edges[-1])
    density = mean_density(trajectory)
    kernel *= density / np.sinc(q_inverse_angstrom * (edges[1] - edges[0]) / (2 * np.pi))[:, None]
    s = np.ones((len(kinds), len(kinds), len(q_inverse_angstrom)))
    blocks = np.ones((n_blocks, *s.shape))
    for a, one in enumerate(kinds):
        for b in range(a, len(kinds)):
            if a == b and numbers[a] == 1:
                continue  # A single atom has no like partner: exactly 1.
            share = 1.0 - 1.0 / numbers[a] if closed_cell and a == b else 1.0
            pair = table.get((str(one), str(kinds[b])))
            if pair is None:
                raise AnalysisError(
                    f"{trajectory.path}: no pair distribution of {one}-{kinds[b]} among "
                    f"{', '.join(p.label for p in pairs)}; compute all pairs"
                )
            s[a, b] = s[b, a] = 1.0 + share * (kernel @ (pair.g - 1.0))
            blocks[:, a, b] = blocks[:, b, a] = 1.0 + share * ((pair.g_blocks - 1.0) @ kernel.T)
    name = "Lorch window" if window == "lorch" else "no window"
    return StructureFactors(
        species=tuple(str(kind) for kind in kinds),
        numbers=numbers,
        density_per_cubic_angstrom=density,
        q_inverse_angstrom=q_inverse_angstrom,
        q_width_inverse_angstrom=np.gradient(q_inverse_angstrom),
        s=s,
        s_blocks=blocks,
        n_vectors=np.zeros(len(q_inverse_angstrom), dtype=np.int64),
        n_frames=pairs[0].n_frames,
        route=f"transform of g(r) to {edges[-1]:.4g} Angstrom, {name}; {pairs[0].n_frames} frames",
    )


def find_join(
    direct: StructureFactors, transformed: StructureFactors, r_max_angstrom: float
) -> Join:
    """Find where the two routes agree best, over a window of the resolution 2 pi / r_max.

    Parameters
    ----------
    direct, transformed : StructureFactors
        At the same wave vectors; the transform for the closed cell.
    r_max_angstrom : float
        Range of the pair distributions.

    Returns
    -------
    Join
    """
    q = direct.q_inverse_angstrom
    resolution = 2.0 * np.pi / r_max_angstrom
    weights = np.outer(direct.fractions, direct.fractions)[..., None]
    noise = (weights * sampling_variance(direct)).sum(axis=(0, 1))
    excess = (weights * (direct.s - transformed.s) ** 2).sum(axis=(0, 1)) - noise
    # Between two bins, so that neither route has the other's share of an integral.
    middle = 0.5 * (q[1:] + q[:-1])
    candidates = middle[(middle >= 1.5 * resolution) & (middle <= q[-1] - 0.5 * resolution)]
    if not len(candidates):
        return Join(
            np.nan,
            np.nan,
            False,
            f"the direct sum to {q[-1]:.3g} 1/Angstrom and the transform of g(r) to "
            f"{r_max_angstrom:.3g} Angstrom, resolution {resolution:.3g} 1/Angstrom, overlap too "
            "little to be compared",
        )
    limits = []
    for centre in candidates:
        near = np.abs(q - centre) <= 0.5 * resolution
        # Squares of noise scatter by sqrt(2) of their mean, less for several partials.
        scatter = np.sqrt(2.0 / near.sum()) * noise[near].mean()
        limits.append(max(float(excess[near].mean()), 0.0) + 2.0 * scatter)
    best = int(np.argmin(limits))
    at, found = float(candidates[best]), float(np.sqrt(limits[best]))
    agreed = found <= MAX_DISAGREEMENT
    return Join(
        at,
        found,
        agreed,
        f"upper limit of the rms difference of direct sum and transform of g(r) to "
        f"{r_max_angstrom:.3g} Angstrom within {0.5 * resolution:.2g} of {at:.3g} 1/Angstrom, "
        f"weighted by c_a c_b, is {found:.2g}; at most {MAX_DISAGREEMENT} to join them",
    )


def joined_structure_factors(
    direct: StructureFactors, transformed: StructureFactors, join: Join
) -> StructureFactors:
    """Take the direct sum below the join and the transform above.

    Raises
    ------
    AnalysisError
        If the two do not agree at the join, or differ in species or number of blocks.
    """
    if not join.agreed:
        raise AnalysisError(f"the two routes cannot be joined: {join.reason}")
    if direct.species != transformed.species or len(direct.s_blocks) != len(transformed.s_blocks):
        raise AnalysisError(
            f"direct sum of {', '.join(direct.species)} in {len(direct.s_blocks)} blocks and "
            f"transform of {', '.join(transformed.species)} in {len(transformed.s_blocks)}; "
            "compute both from one trajectory in as many blocks"
        )
    low = direct.q_inverse_angstrom < join.q_inverse_angstrom
    high = transformed.q_inverse_angstrom > join.q_inverse_angstrom
    return StructureFactors(
        species=direct.species,
        numbers=direct.numbers,
        density_per_cubic_angstrom=direct.density_per_cubic_angstrom,
        q_inverse_angstrom=np.concatenate(
            [direct.q_inverse_angstrom[low], transformed.q_inverse_angstrom[high]]
        ),
        q_width_inverse_angstrom=np.concatenate(
            [direct.q_width_inverse_angstrom[low], transformed.q_width_inverse_angstrom[high]]
        ),
        s=np.concatenate([direct.s[..., low], transformed.s[..., high]], axis=-1),
        s_blocks=np.concatenate(
            [direct.s_blocks[..., low], transformed.s_blocks[..., high]], axis=-1
        ),
        n_vectors=np.concatenate([direct.n_vectors[low], transformed.n_vectors[high]]),
        n_frames=direct.n_frames,
        route=f"{direct.route}; above {join.q_inverse_angstrom:.3g} 1/Angstrom {transformed.route}",
    )


def _common_grid(pairs: Sequence[PairDistribution]) -> tuple[FloatArray, FloatArray, int]:
    if not pairs:
        raise AnalysisError("no pair distribution was given; there is nothing to transform")
    first = pairs[0]
    for pair in pairs:
        same = np.array_equal(pair.edges_angstrom, first.edges_angstrom)
        if not same or len(pair.g_blocks) != len(first.g_blocks):
            raise AnalysisError(
                f"{pair.label} and {first.label} differ in bins or blocks; "
                "compute all pairs in one call"
            )
    return first.r_angstrom, first.edges_angstrom, len(first.g_blocks)
