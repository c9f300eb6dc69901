"""Voronoi volumes of atoms, plain and radical, and the free volume that spheres leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from analysis.blocks import (
    N_BLOCKS,
    BlockRatio,
    block_ratio,
    ratio_quantity,
    used_frames,
)
from analysis.constants import FloatArray
from analysis.errors import AnalysisError, RangeError
from analysis.figures.order import volume_figure
from analysis.groups import Groups, intersection, species_groups
from analysis.order.tessellation import atomic_volumes, radical_library_missing
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory

Tessellation = Literal["plain", "radical"]
RADII_FILE = Path(__file__).with_name("ionic_radii.yml")
BIN_ANGSTROM3 = 0.5
# 50 frames instead of 100 moved means by less than a tenth of their interval (576 atoms of glass).
MAX_VOLUME_FRAMES = 50
# About 0.2 ms an atom: few frames of a large cell say as much as many of a small one.
MAX_ATOM_FRAMES = 50_000
# Larger volumes, as beside a vacuum, are all counted in the last bin.
MAX_BIN_ANGSTROM3 = 500.0


@dataclass(frozen=True)
class VoronoiVolumes:
    """Voronoi volumes of G groups of atoms; every frame is divided in its own cell.

    Attributes
    ----------
    names : tuple of str
    tessellation : {"plain", "radical"}
    radii_angstrom : dict of str to float
        Radius of the sphere of each species; empty if there are none.
    atoms : (G,) float array
        Atoms a frame.
    volume : BlockRatio of (G,)
        Mean per atom, Angstrom^3.
    spread_angstrom3 : (G,) float array
        Standard deviation over atoms and frames.
    free_volume : BlockRatio of (G,)
        Mean per atom of the volume less that of the sphere, Angstrom^3; nan without radii. It is
        negative where the sphere is larger than the cell.
    free_share : BlockRatio of ()
        Share of the cell that the spheres of all atoms would leave if they did not overlap.
    edges_angstrom3 : (B + 1,) float array
    density : BlockRatio of (G, B)
        Probability per Angstrom^3 of a volume; the last of 1000 bins holds all that are larger.
    sum_error : float
        Largest relative difference of the sum of the volumes from that of the cell.
    n_frames : int
    """

    names: tuple[str, ...]
    tessellation: Tessellation
    radii_angstrom: Mapping[str, float]
    atoms: FloatArray
    volume: BlockRatio
    spread_angstrom3: FloatArray
    free_volume: BlockRatio
    free_share: BlockRatio
    edges_angstrom3: FloatArray
    density: BlockRatio
    sum_error: float
    n_frames: int


def voronoi_volumes(
    trajectory: Trajectory,
    groups: Groups | None = None,
    *,
    tessellation: Tessellation = "plain",
    radii_angstrom: Mapping[str, float] | None = None,
    stride: int | None = None,
) -> VoronoiVolumes:
    """Average the Voronoi volumes of the atoms of each group.

    Parameters
    ----------
    trajectory : Trajectory
    groups : Groups, optional
        By default the species. All atoms of the cell take part in the tessellation.
    tessellation : {"plain", "radical"}
        Plain faces lie halfway between atoms, whatever their size; radical ones by radius.
    radii_angstrom : mapping of str to float, optional
        Radius of each species; by default those of ``ionic_radii.yml``, if it has them all.
    stride : int, optional
        Use every `stride`-th frame; by default at most 50, and at most 50,000 atoms in all
        but no fewer than 5 frames.

    Raises
    ------
    AnalysisError
        As `atomic_volumes`; if a radius is missing of those given, or of any for radical cells.

    Notes
    -----
    Free volume of an atom: its cell less its core, M. H. Cohen and D. Turnbull, J. Chem. Phys. 31,
    1164 (1959), doi 10.1063/1.1730566. Summed over atoms it does not depend on the tessellation
    and is V - sum 4/3 pi R_i^3, so that `free_share` is 1 less the packing density of A. Makishima
    and J. D. Mackenzie, J. Non-Cryst. Solids 12, 35 (1973), doi 10.1016/0022-3093(73)90053-7.
    Spheres of ions in a molecule overlap, so it is a lower bound of the empty space.
    """
    if tessellation not in get_args(Tessellation):
        expected = ", ".join(get_args(Tessellation))
        raise AnalysisError(f"tessellation {tessellation!r}: expected one of {expected}")
    radii = _radii(trajectory, radii_angstrom)
    if tessellation == "radical" and not radii:
        raise AnalysisError(_no_radii(trajectory))
    sizes = np.array([radii.get(kind, np.nan) for kind in trajectory.species.tolist()])
    cores = 4.0 / 3.0 * np.pi * sizes**3
    groups = groups or species_groups(trajectory)
    used = used_frames(trajectory, _stride(trajectory) if stride is None else stride)
    n_blocks, n_groups = min(N_BLOCKS, len(used)), len(groups.names)
    atoms, sums, squares, free = (np.zeros((n_blocks, n_groups)) for _ in range(4))
    empty, space = np.zeros(n_blocks), np.zeros(n_blocks)
    n_bins = round(MAX_BIN_ANGSTROM3 / BIN_ANGSTROM3)
    counts = np.zeros((n_blocks, n_groups, n_bins))
    worst = 0.0
    for n, frame in enumerate(trajectory.frames(used.step)):
        block = n * n_blocks // len(used)
        volumes = atomic_volumes(
            frame.positions, frame.cell, sizes if tessellation == "radical" else None
        )
        whole = abs(float(np.linalg.det(frame.cell)))
        worst = max(worst, abs(float(volumes.sum()) / whole - 1.0))
        group = groups.codes(frame)
        inside = group >= 0
        code, volume = group[inside], volumes[inside]
        atoms[block] += np.bincount(code, minlength=n_groups)
        sums[block] += np.bincount(code, volume, minlength=n_groups)
        squares[block] += np.bincount(code, volume**2, minlength=n_groups)
        free[block] += np.bincount(code, volume - cores[inside], minlength=n_groups)
        # Per frame, not per pooled volume: a share of each cell.
        empty[block] += 1.0 - cores.sum() / whole
        space[block] += 1.0
        bins = np.minimum(volume / BIN_ANGSTROM3, n_bins - 1).astype(np.int64)
        found = np.bincount(code * n_bins + bins, minlength=n_groups * n_bins)
        counts[block] += found.reshape(n_groups, n_bins)
    last = int(np.flatnonzero(counts.any(axis=(0, 1))).max(initial=0)) + 1
    counts = counts[..., :last]
    volume_ratio = block_ratio(sums, atoms)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = squares.sum(axis=0) / atoms.sum(axis=0) - volume_ratio.value**2
    return VoronoiVolumes(
        names=groups.names,
        tessellation=tessellation,
        radii_angstrom=radii,
        atoms=atoms.sum(axis=0) / len(used),
        volume=volume_ratio,
        spread_angstrom3=np.sqrt(np.maximum(variance, 0.0)),
        free_volume=block_ratio(free, atoms),
        free_share=block_ratio(empty, space),
        edges_angstrom3=BIN_ANGSTROM3 * np.arange(last + 1),
        density=block_ratio(counts, atoms[..., None] * BIN_ANGSTROM3),
        sum_error=worst,
        n_frames=len(used),
    )


def voronoi_quantities(result: VoronoiVolumes) -> list[Quantity]:
    """Return volume and free volume per atom of each group, with intervals from blocks.

    They are named such as ``voronoi_volume_Li`` for plain cells, ``radical_volume_Li`` and
    ``free_volume_Li`` for radical ones. Plain cells cut large ions, so that free volumes of single
    species mean nothing in them, and are left out.
    """
    kind = {"plain": "voronoi", "radical": "radical"}[result.tessellation]
    source = f"{result.tessellation} Voronoi cells, {result.n_frames} frames"
    quantities = []
    for g, name in enumerate(result.names):
        curve = f"{_curve_name(result, g)}.csv" if result.atoms[g] else ""
        label, missing = name.replace(" ", "_"), f"no atom is in the group {name!r}"
        quantities.append(
            ratio_quantity(
                f"{kind}_volume_{label}",
                "Angstrom^3",
                float(result.volume.value[g]),
                result.volume.blocks[:, g],
                f"{source}; standard deviation over atoms {result.spread_angstrom3[g]:.3g}",
                missing=missing,
                curve=curve,
            )
        )
        if result.tessellation == "radical":
            quantities.append(
                ratio_quantity(
                    f"free_volume_{label}",
                    "Angstrom^3",
                    float(result.free_volume.value[g]),
                    result.free_volume.blocks[:, g],
                    f"{source}, less spheres of {_radii_text(result)}",
                    missing=missing,
                    curve=curve,
                )
            )
    return quantities


def voronoi_curves(result: VoronoiVolumes) -> list[Curve]:
    """Tabulate the distribution of volumes of each group that has atoms."""
    edges = result.edges_angstrom3
    return [
        Curve(
            _curve_name(result, g),
            {
                "volume [Angstrom^3]": 0.5 * (edges[1:] + edges[:-1]),
                "density [1/Angstrom^3]": result.density.value[g],
                "standard error of density [1/Angstrom^3]": result.density.standard_error[g],
            },
        )
        for g in np.flatnonzero(result.atoms).tolist()
    ]


def voronoi_findings(
    trajectory: Trajectory,
    groups: Groups | None = None,
    *,
    radii_angstrom: Mapping[str, float] | None = None,
    stride: int | None = None,
) -> Findings:
    """Compute, tabulate and draw Voronoi and free volumes by species.

    Parameters
    ----------
    trajectory : Trajectory
    groups : Groups, optional
        Divide the species further, for example by region; the share of the cell is then left to
        the call without groups.
    radii_angstrom, stride
        As in `voronoi_volumes`.
    """
    findings = Findings()
    by = species_groups(trajectory)
    name = "voronoi"
    if groups is not None:
        by, name = intersection(by, groups), f"voronoi_{'_'.join(groups.names)}"
    plain = voronoi_volumes(trajectory, by, radii_angstrom=radii_angstrom, stride=stride)
    results = [plain]
    if not plain.radii_angstrom:
        findings.skipped.append(Skipped("free volume", _no_radii(trajectory)))
    else:
        if groups is None:
            findings.quantities.append(_free_share(plain))
        if missing := radical_library_missing():
            findings.skipped.append(Skipped("radical Voronoi cells", missing))
        else:
            results.append(
                voronoi_volumes(
                    trajectory,
                    by,
                    tessellation="radical",
                    radii_angstrom=plain.radii_angstrom,
                    stride=stride,
                )
            )
    for result in results:
        findings.quantities += voronoi_quantities(result)
        findings.curves += voronoi_curves(result)
    findings.figures[name] = volume_figure(
        [(r.tessellation, r.names, r.edges_angstrom3, r.density) for r in results]
    )
    return findings


@cache
def ionic_radii() -> dict[str, float]:
    """Read the radii of ``ionic_radii.yml``, Angstrom by element."""
    from ruamel.yaml import YAML

    table = YAML(typ="safe", pure=True).load(RADII_FILE.read_text(encoding="utf-8"))
    return {str(element): float(row["radius_angstrom"]) for element, row in table.items()}


def _radii(trajectory: Trajectory, given: Mapping[str, float] | None) -> dict[str, float]:
    """Return the radius of every species, or nothing where the package's table lacks one."""
    kinds = sorted(set(trajectory.species.tolist()))
    table = ionic_radii() if given is None else given
    missing = [kind for kind in kinds if kind not in table]
    if missing and given is not None:
        raise AnalysisError(
            f"{trajectory.path}: no radius of {', '.join(missing)}; `radii_angstrom` names "
            f"{', '.join(sorted(given))}. Give the radius of every species."
        )
    found = {} if missing else {kind: float(table[kind]) for kind in kinds}
    for kind, radius in found.items():
        if not (np.isfinite(radius) and radius >= 0):
            raise RangeError(f"radius {radius:g} Angstrom of {kind}: it must be finite, at least 0")
    return found


def _no_radii(trajectory: Trajectory) -> str:
    unknown = sorted(set(trajectory.species.tolist()) - set(ionic_radii()))
    return f"no radius of {', '.join(unknown)} in {RADII_FILE.name}; give `radii_angstrom`"


def _stride(trajectory: Trajectory) -> int:
    frames = max(N_BLOCKS, min(MAX_VOLUME_FRAMES, MAX_ATOM_FRAMES // trajectory.n_atoms))
    return -(-trajectory.n_frames // frames)


def _free_share(result: VoronoiVolumes) -> Quantity:
    return ratio_quantity(
        "free_volume_share",
        "1",
        float(result.free_share.value),
        result.free_share.blocks,
        f"1 less the packing density of spheres of {_radii_text(result)}, {result.n_frames} frames",
    )


def _radii_text(result: VoronoiVolumes) -> str:
    radii = ", ".join(f"{kind} {radius:g}" for kind, radius in result.radii_angstrom.items())
    return f"{radii} Angstrom"


def _curve_name(result: VoronoiVolumes, group: int) -> str:
    kind = {"plain": "voronoi", "radical": "radical"}[result.tessellation]
    return f"{kind}_volumes_{result.names[group].replace(' ', '_')}"
