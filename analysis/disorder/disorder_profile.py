"""The disorder profile F(z): how far the Fourier pattern of each slab is from that of a crystal."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from analysis.blocks import block_mean, half_interval, used_frames
from analysis.constants import FloatArray, IntArray
from analysis.disorder.axis import (
    Axis,
    axis_coordinate,
    divisions,
    mean_height_angstrom,
)
from analysis.disorder.measure import DisorderSettings, disorder_measure
from analysis.disorder.random_level import equal_pixel_baseline, random_level
from analysis.disorder.slab_fourier import pixel_q_squared, pixels_below, slab_intensities
from analysis.disorder.slab_width import (
    commensurate_slab_width,
    repeat_mismatch,
    width_warning,
)
from analysis.errors import AnalysisError
from analysis.results import Curve, Quantity
from analysis.trajectory import Trajectory

SLAB_ANGSTROM = 8.2
LEVEL = 0.95


@dataclass(frozen=True)
class DisorderProfile:
    """F of slabs along an axis, about 0 for a crystal; a random gas has `random_level`.

    Attributes
    ----------
    axis : {"a", "b", "c"}
    settings : DisorderSettings
        As asked for; what was used is below.
    z_angstrom : (S,) float array
        Slab centres at the mean cell, measured from the origin of the cell along the normal of
        the slabs, framework at rest.
    values, standard_errors : (S,) float arrays
        F, mean over frames, and its standard error from blocks. A solid keeps its structure, so
        the error says how well F of this sample is known; between equally disordered slabs F
        scatters by `random_noise` in addition. nan for a slab that is ever empty.
    block_values : (n_blocks, S) float array
    populations : (S,) float array
        Atoms in each slab, mean over frames; fractional, as Gaussians are shared by slabs.
    slab_width_angstrom, height_angstrom : float
        At the mean cell.
    plane_lengths_angstrom : (2,) float array
        Lengths of the in-plane cell vectors.
    plane_angle_degrees : float
        Angle between them.
    n_pixels : int
        Independent Fourier pixels, one of q and -q, zero frequency left out.
    equal_pixel_baseline : float
        1/(ln M + 0.577): F of independent pixels of equal mean, power form.
    random_level, random_noise : float
        F of a random gas under the same Gaussian envelope, and its relative standard deviation
        between slabs; nan for the published form. A glass lies at or below it, as it has
        structure.
    repeat_mismatch : float
        |d/b - nearest whole number| of slab width d and repeat b; nan if no repeat is known.
    warning : str
        Why F may be spoilt, or "".
    n_frames, n_atoms : int
        Used.
    temperature_kelvin : float or None
    """

    axis: Axis
    settings: DisorderSettings
    z_angstrom: FloatArray
    values: FloatArray
    standard_errors: FloatArray
    block_values: FloatArray
    populations: FloatArray
    slab_width_angstrom: float
    height_angstrom: float
    plane_lengths_angstrom: FloatArray
    plane_angle_degrees: float
    n_pixels: int
    equal_pixel_baseline: float
    random_level: float
    random_noise: float
    repeat_mismatch: float
    warning: str
    n_frames: int
    n_atoms: int
    temperature_kelvin: float | None = field(default=None)

    @property
    def density_per_cubic_angstrom(self) -> float:
        """Number density of the atoms that F is of."""
        sine = math.sin(math.radians(self.plane_angle_degrees))
        area = float(self.plane_lengths_angstrom.prod()) * sine
        return self.n_atoms / (area * self.height_angstrom)

    @property
    def description(self) -> str:
        """Settings in words, for reports."""
        form = self.settings.form + (
            ", zero frequency kept" if self.settings.published_form else ""
        )
        return (
            f"F along {self.axis}: {form} form, {len(self.values)} slabs of "
            f"{self.slab_width_angstrom:.3f} Angstrom, Gaussians of "
            f"{self.settings.sigma_angstrom:g} Angstrom, {self.n_pixels} pixels below q "
            f"{self.settings.q_max_per_angstrom:g} 1/Angstrom (exact sum, no grid), "
            f"{self.n_frames} frames of {self.n_atoms} atoms"
        )


def disorder_profile(
    trajectory: Trajectory,
    axis: Axis,
    settings: DisorderSettings | None = None,
    *,
    ids: IntArray | None = None,
    framework_ids: IntArray | None = None,
    stride: int | None = None,
) -> DisorderProfile:
    """Compute F along a cell vector, averaged over frames.

    Parameters
    ----------
    trajectory : Trajectory
    axis : {"a", "b", "c"}
        Slabs are parallel to the other two cell vectors and projected along their normal.
    settings : DisorderSettings, optional
    ids : (n,) int array, optional
        Atoms that make up the density; by default all.
    framework_ids : (n,) int array, optional
        Atoms whose centre of mass is at rest along the axis; by default all.
    stride : int, optional
        Use every `stride`-th frame; by default such that at most 200 are used.

    Raises
    ------
    RangeError
        If a slab is thicker than the cell, or the plane has too few pixels.
    AnalysisError
        If `ids` is empty.

    Notes
    -----
    F = sum_q I(q)/sum_q max(I), I = |A(q)|^2 (power) or |A(q)| (amplitude) of the slab's
    projected Gaussian density (see `slab_intensities`), taken frame by frame; definition after
    Nat. Commun. 16, 1057 (2025), arXiv 2401.05151, which states neither Gaussian width nor grid
    nor slab width. Its zero frequency, the squared number of atoms, is left out here: it exceeds
    every Bragg and every diffuse pixel. F of a crystal falls as one over the number of lattice
    repeats in the plane, since only Bragg pixels count: a few repeats give little contrast. In a
    changing cell the pixels keep their indices, chosen in the mean cell, and q follows the cell.
    """
    settings = settings or DisorderSettings()
    atoms: IntArray | slice = slice(None) if ids is None else ids
    if ids is not None and not len(ids):
        raise AnalysisError(f"{trajectory.path}: F of no atoms; `ids` is empty.")
    coordinate = axis_coordinate(trajectory, axis, framework_ids)
    used = used_frames(trajectory, stride)
    height = mean_height_angstrom(trajectory, coordinate)
    wanted = settings.slab_angstrom
    if wanted is None:
        wanted = min(SLAB_ANGSTROM, height)
        if settings.repeat_angstrom is not None:
            wanted = commensurate_slab_width(height, settings.repeat_angstrom, wanted)
    n_slabs = divisions(trajectory, coordinate, wanted, "slab")
    mean_cell = trajectory.cells[:: used.step].mean(axis=0)
    pixels = pixels_below(mean_cell, coordinate.in_plane, settings.q_max_per_angstrom)

    values = np.empty((len(used), n_slabs))
    populations = np.zeros(n_slabs)
    for n, frame in enumerate(trajectory.frames(used.step)):
        intensities, counts = slab_intensities(
            frame.positions[atoms],
            coordinate.wrapped_fractions(frame)[atoms],
            frame.cell,
            coordinate.index,
            n_slabs,
            settings.sigma_angstrom,
            pixels,
        )
        values[n] = disorder_measure(intensities, counts, settings)
        populations += counts / len(used)

    averaged = block_mean(values)
    width = height / n_slabs
    repeat = settings.repeat_angstrom
    envelope = np.exp(
        -pixel_q_squared(pixels, mean_cell, coordinate.in_plane) * settings.sigma_angstrom**2
    )
    level = random_level(envelope, settings.form)
    lengths, angle = _plane(mean_cell, coordinate.in_plane)
    return DisorderProfile(
        axis=axis,
        settings=settings,
        z_angstrom=(np.arange(n_slabs) + 0.5) * width,
        values=averaged.mean,
        standard_errors=averaged.standard_error,
        block_values=averaged.blocks,
        populations=populations,
        slab_width_angstrom=width,
        height_angstrom=height,
        plane_lengths_angstrom=lengths,
        plane_angle_degrees=angle,
        n_pixels=len(pixels),
        equal_pixel_baseline=equal_pixel_baseline(len(pixels)),
        random_level=math.nan if settings.published_form else level.mean,
        random_noise=math.nan if settings.published_form else level.relative_noise,
        repeat_mismatch=math.nan if repeat is None else repeat_mismatch(width, repeat),
        warning="" if repeat is None else width_warning(width, height, repeat),
        n_frames=len(used),
        n_atoms=trajectory.n_atoms if ids is None else len(ids),
        temperature_kelvin=trajectory.temperature_kelvin,
    )


def disorder_profile_quantities(profile: DisorderProfile, *, curve: str = "") -> list[Quantity]:
    """Return the mean, lowest and highest F, and the level of a random gas.

    The interval of the mean is Student t over slabs, which includes the scatter between equally
    disordered slabs that stays however long a solid is observed.
    """
    axis, text = profile.axis, profile.description
    if profile.warning:
        text += f". Warning: {profile.warning}"
    if np.isnan(profile.values).any():
        reason = f"{int(np.isnan(profile.values).sum())} slabs are empty in some frame; {text}"
        return [
            Quantity(
                f"disorder_mean_{axis}", math.nan, "1", status="unresolved", reason=reason,
                curve=curve,
            )
        ]  # fmt: skip
    values, errors, n_blocks = profile.values, profile.standard_errors, len(profile.block_values)
    n_slabs = len(values)
    scatter = float(values.std(ddof=1) / np.sqrt(n_slabs)) if n_slabs > 1 else math.nan
    half = half_interval(scatter, n_slabs, LEVEL)
    mean = float(values.mean())
    results = [
        Quantity(f"disorder_mean_{axis}", mean, "1", mean - half, mean + half, reason=text,
                 curve=curve)
    ]  # fmt: skip
    for name, slab in (("lowest", int(values.argmin())), ("highest", int(values.argmax()))):
        half = half_interval(float(errors[slab]), n_blocks, LEVEL)
        value = float(values[slab])
        reason = (
            f"slab at {profile.z_angstrom[slab]:.2f} Angstrom, interval over {n_blocks} blocks of "
            "frames"
        )
        results.append(
            Quantity(f"disorder_{name}_{axis}", value, "1", value - half, value + half,
                     reason=reason, curve=curve)
        )  # fmt: skip
    if not profile.settings.published_form:
        results.append(
            Quantity(
                f"disorder_random_level_{axis}",
                profile.random_level,
                "1",
                reason=f"expected F of a random gas at these settings; a single slab scatters by "
                f"{100 * profile.random_noise:.0f} %",
                curve=curve,
            )
        )
    return results


def disorder_profile_curves(profile: DisorderProfile) -> list[Curve]:
    """Return F against the position of the slab, with the level of a random gas."""
    return [
        Curve(
            f"disorder_{profile.axis}",
            {
                "z [Angstrom]": profile.z_angstrom,
                "F [1]": profile.values,
                "standard error of F [1]": profile.standard_errors,
                "F of a random gas [1]": np.full(len(profile.values), profile.random_level),
                "atoms [1]": profile.populations,
            },
        )
    ]


def _plane(cell: FloatArray, in_plane: tuple[int, int]) -> tuple[FloatArray, float]:
    vectors = cell[list(in_plane)]
    lengths = np.linalg.norm(vectors, axis=1)
    cosine = float(vectors[0] @ vectors[1] / lengths.prod())
    return lengths, math.degrees(math.acos(np.clip(cosine, -1.0, 1.0)))
