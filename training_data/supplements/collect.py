"""Join labels to learn from: NAME.extxyz beside this script for each frames/NAME.extxyz.

    mlip label training_data/supplements/frames/*.extxyz --set execution.max_scf=30 \
        --out training_data/supplements/labels
    python training_data/supplements/collect.py

As `mlip explore` does it, frames without a gap are left out and counted.
"""

from __future__ import annotations

from pathlib import Path

import ase.io

from mlip.explore.pool import labelled_frames, write_labelled
from mlip.manifest import read_manifest
from mlip.recipes.label import LabelRecipe

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Write one file for each file of frames."""
    labels = HERE / "labels"
    recipe = LabelRecipe.model_validate(read_manifest(labels).recipe)
    for frames in sorted((HERE / "frames").glob("*.extxyz")):
        asked = ase.io.read(frames, ":")
        found = labelled_frames(recipe, asked, labels)
        write_labelled(HERE / frames.name, found)
        print(f"{frames.name}: {len(found)} of {len(asked)} frames")


if __name__ == "__main__":
    main()
