"""Make the structures whose DFT labels the physics of a potential is held against.

    python training_data/reference/make_physics_structures.py crystal gamma-Li3PS4 \
        --cell relaxed.extxyz --phonon-supercell 2 2 2 --out structures/gamma-Li3PS4.extxyz
    python training_data/reference/make_physics_structures.py path beta-Li-4b-4c \
        --start relaxed.extxyz --move 9 0.01 0.75 0.115 --out structures/beta-Li-4b-4c.extxyz
    mlip label --set ... structures/*.extxyz --out labels

Each frame is named SUBJECT/SET/POINT in ``config_type``, which the labels keep. ``--cell`` is the
cell relaxed with DFT (``relax_with_dft.py``); without it the shipped, measured cell is taken, and
nothing is called relaxed. A path moves an ion and takes none away, so the cell stays neutral;
``--band`` takes the images that a potential relaxed (``bands/*.extxyz`` of its validation).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ase import Atoms

from mlip.errors import InputError, MlipError
from mlip.labelling.frames import read_frames
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.structures.geometry import inspect
from mlip.validation.physics.barriers import FEWEST_IMAGES, image_names, interpolated_images
from mlip.validation.physics.elastic import strained_frames
from mlip.validation.physics.equation_of_state import volume_frames
from mlip.validation.physics.frames import write_named
from mlip.validation.physics.phonons import displaced_frames

VOLUMES = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)


def crystal_frames(arguments: argparse.Namespace) -> list[tuple[str, Atoms]]:
    """Return the named frames of one crystal; those of several sets are written once."""
    if arguments.cell is None:
        cell = conventional_cell(find_crystal(arguments.name))
        named = []
    else:
        cell = read_frames([arguments.cell])[-1].atoms
        named = [("relaxed/cell", cell)]
    if not arguments.without_equation_of_state:
        named += [(f"eos/{point}", atoms) for point, atoms in volume_frames(cell, VOLUMES)]
    if arguments.elastic_strain:
        strains = strained_frames(cell, arguments.elastic_strain)
        named += [(f"elastic/{point}", atoms) for point, atoms in strains]
    if arguments.phonon_supercell:
        a, b, c = arguments.phonon_supercell
        displaced = displaced_frames(cell, (a, b, c), arguments.displacement_angstrom)
        named += [(f"phonon/{point}", atoms) for point, atoms in displaced]
    return [(f"{arguments.name}/{name}", atoms) for name, atoms in named]


def path_frames(arguments: argparse.Namespace) -> list[tuple[str, Atoms]]:
    """Return the named images of one path: those given, or interpolated between two ends."""
    images = [frame.atoms for frame in read_frames([arguments.band])] if arguments.band else []
    count = len(images) if arguments.band else arguments.images
    if count < FEWEST_IMAGES:
        raise InputError(f"{count} images: a path takes at least {FEWEST_IMAGES}.")
    if not images:
        start = read_frames([arguments.start])[0].atoms
        end = read_frames([arguments.end])[0].atoms if arguments.end else start.copy()
        if arguments.move:
            ion, *site = arguments.move
            if ion not in range(1, len(end) + 1):
                raise InputError(
                    f"--move {ion:g}: expected the number of an atom, 1 to {len(end)}."
                )
            end.positions[int(ion) - 1] = site @ end.cell.array
        inspect(end, f"{arguments.name}, end")
        images = interpolated_images(start, end, arguments.images, arguments.name)
    points = image_names(len(images))
    return [
        (f"{arguments.name}/barrier/{point}", atoms)
        for point, atoms in zip(points, images, strict=True)
    ]


def main() -> int:
    """Write the frames of one crystal or path."""
    parser = argparse.ArgumentParser(description="Structures for DFT references.")
    kinds = parser.add_subparsers(required=True)
    crystal = kinds.add_parser("crystal")
    crystal.add_argument("name", help="a shipped crystal, or the subject of --cell")
    crystal.add_argument("--cell", type=Path, help="cell relaxed with DFT")
    crystal.add_argument("--without-equation-of-state", action="store_true")
    crystal.add_argument("--elastic-strain", type=float, nargs="*", default=[0.01])
    crystal.add_argument("--phonon-supercell", type=int, nargs=3, choices=range(1, 11))
    crystal.add_argument("--displacement-angstrom", type=float, default=0.015)
    crystal.set_defaults(make=crystal_frames)
    path = kinds.add_parser("path")
    path.add_argument("name")
    path.add_argument("--start", type=Path)
    path.add_argument("--end", type=Path)
    path.add_argument(
        "--move",
        type=float,
        nargs=4,
        metavar=("ION", "X", "Y", "Z"),
        help="number of the atom, from 1, and the fractional coordinates that it goes to",
    )
    path.add_argument("--images", type=int, default=7)
    path.add_argument("--band", type=Path, help="all images, instead of --start and --end")
    path.set_defaults(make=path_frames)
    for kind in (crystal, path):
        kind.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.make is path_frames:
        has_ends = arguments.start and (arguments.end or arguments.move)
        if not (arguments.band or has_ends):
            parser.error("a path needs --band, or --start with --end or --move")
    try:
        count = write_named(arguments.out, arguments.make(arguments))
    except MlipError as error:
        print(error)
        return error.exit_code
    print(f"{arguments.out}: {count} frames to label")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
