"""The recipe of `mlip ingest`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe

SourceFormat = Literal[
    "vasp-outcar",
    "vasp-xml",
    "cp2k",
    "cp2k-output",
    "qe-pw",
    "qe-cp",
    "abacus",
    "extxyz",
    "deepmd-npy",
]
SplitChoice = Literal["auto", "train", "valid", "test"]


class Source(Recipe):
    """One body of first-principles frames.

    Attributes
    ----------
    name : str
        System name in the set; letters, digits, dot, hyphen, underscore.
    format : str
        vasp-outcar, vasp-xml, cp2k (run directory: trajectory, forces, energies, cells
        and log joined by step), cp2k-output (one log, with the position file of MD beside it),
        qe-pw (output of pw.x), qe-cp (PREFIX.pos of cp.x, its other files beside it), abacus
        (run directory of MD), extxyz, or deepmd-npy. Text files may be compressed (.gz, .bz2,
        .xz).
    path : str
        File, run directory or glob, relative to the recipe; a directory that is no run is
        searched with all below it. Every match is a trajectory of its own.
    phase : str
        For example crystal, melt, glass; kept with every frame.
    temperature_kelvin : float, optional
        Of the simulation, K; kept with every frame.
    frames : tuple of int, optional
        ``[start, stop]``: keep frames start to stop - 1 of each trajectory, counted from 0
        before the stride; for equilibration, or to share out one body by blocks.
    stride : int
        Keep every n-th frame.
    weight : float
        How often a frame of the source is drawn in training relative to others.
    timestep_fs : float, optional
        Time between two steps of the run, fs, where its files do not say (of extxyz and
        deepmd-npy, which number no steps, between two frames). Without a time axis a
        trajectory goes whole to one side, since no purge gap can be measured.
    split : {'auto', 'train', 'valid', 'test'}
        Side of the split; auto cuts long runs into blocks (see `SplitSettings`).
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    format: SourceFormat
    path: str = Field(min_length=1)
    phase: str = Field(min_length=1)
    temperature_kelvin: float | None = Field(default=None, gt=0.0)
    frames: tuple[int, int] | None = None
    stride: int = Field(default=1, ge=1)
    weight: float = Field(default=1.0, gt=0.0)
    timestep_fs: float | None = Field(default=None, gt=0.0)
    split: SplitChoice = "auto"

    @model_validator(mode="after")
    def _frames_in_order(self) -> Source:
        if self.frames is not None and not 0 <= self.frames[0] < self.frames[1]:
            raise ValueError(
                f"frames must be [start, stop] with 0 <= start < stop, found {list(self.frames)}"
            )
        return self


class SplitSettings(Recipe):
    """How frames are shared out: contiguous blocks of long runs, short runs whole.

    Attributes
    ----------
    test_fraction, valid_fraction : float
        Shares of the usable time of a long run.
    purge_ps : float
        Time dropped between blocks, ps: neighbouring frames are nearly copies, so a test
        next to the training block measures memory. At least 0.5.
    whole_run_below_ps : float
        Runs shorter than this, ps, go whole to one side.
    """

    test_fraction: float = Field(default=0.1, ge=0.0, le=0.5)
    valid_fraction: float = Field(default=0.1, ge=0.0, le=0.5)
    purge_ps: float = Field(default=0.5, ge=0.5)
    whole_run_below_ps: float = Field(default=2.0, gt=0.0)

    @model_validator(mode="after")
    def _leaves_training_frames(self) -> SplitSettings:
        if self.test_fraction + self.valid_fraction > 0.8:
            raise ValueError("test_fraction + valid_fraction must leave at least 0.2 for training")
        return self


class IngestRecipe(Recipe):
    """What goes into a set.

    Attributes
    ----------
    type_map : tuple of str
        Chemical symbols in the order that every model trained on the set uses.
    sources : tuple of Source
    split : SplitSettings
    """

    type_map: tuple[str, ...] = Field(min_length=1)
    sources: tuple[Source, ...] = Field(min_length=1)
    split: SplitSettings = SplitSettings()

    @model_validator(mode="after")
    def _unique(self) -> IngestRecipe:
        if len(set(self.type_map)) != len(self.type_map):
            raise ValueError(f"type_map repeats an element: {' '.join(self.type_map)}")
        names = [source.name for source in self.sources]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"sources share a name: {', '.join(repeated)}")
        return self
