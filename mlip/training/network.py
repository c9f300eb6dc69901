"""The `model` section of DeePMD-kit's input: descriptor, fitting net and repulsion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlip.recipes.descriptors import Dpa3, SeAtten, SeE2A
from mlip.recipes.train import TrainSettings

# DeePMD-kit's default, written out: weights to start from must be of the same.
ACTIVATION = "tanh"


@dataclass(frozen=True)
class NeighbourRoom:
    """How many neighbours the network has room for (`sel`), by element.

    Attributes
    ----------
    pairs : dict of str to int
        Within the cutoff of the descriptor.
    angles : dict of str to int
        Within the cutoff of angles; the same as `pairs` where the descriptor has none.
    """

    pairs: dict[str, int]
    angles: dict[str, int]


def model_section(
    recipe: TrainSettings,
    seed: int,
    elements: list[str],
    room: NeighbourRoom,
    repulsion_table: str = "",
) -> dict[str, Any]:
    """Return the `model` section.

    Parameters
    ----------
    recipe : TrainSettings
    seed : int
        Of the initial weights.
    elements : list of str
        Type map.
    room : NeighbourRoom
    repulsion_table : str
        File of the short-range repulsion, as seen from the member's directory.
    """
    section: dict[str, Any] = {
        "type_map": elements,
        "descriptor": {
            **_descriptor(recipe.descriptor, elements, room),
            "precision": recipe.precision,
            "seed": seed,
        },
        "fitting_net": {
            "neuron": list(recipe.fitting_neurons),
            "activation_function": ACTIVATION,
            "resnet_dt": True,
            "precision": recipe.precision,
            "seed": seed,
        },
    }
    if recipe.short_range_repulsion is not None:
        section |= {
            "use_srtab": repulsion_table,
            "sw_rmin": recipe.short_range_repulsion.inner_angstrom,
            "sw_rmax": recipe.short_range_repulsion.outer_angstrom,
        }
    return section


def _descriptor(
    descriptor: SeE2A | SeAtten | Dpa3, elements: list[str], room: NeighbourRoom
) -> dict[str, Any]:
    if isinstance(descriptor, Dpa3):
        return _dpa3(descriptor, room)
    shared = {
        "type": descriptor.type,
        "rcut": descriptor.cutoff_angstrom,
        "rcut_smth": descriptor.cutoff_smooth_angstrom,
        "neuron": list(descriptor.embedding_neurons),
        "axis_neuron": descriptor.axis_neurons,
        "activation_function": ACTIVATION,
        # One net for each element of the neighbour. A net for every pair of elements takes a
        # fifth more time a step, and after the same 21 minutes had 3 % larger force errors.
        "type_one_side": True,
        "resnet_dt": False,
    }
    if isinstance(descriptor, SeE2A):
        return {**shared, "sel": [room.pairs[element] for element in elements]}
    return {
        **shared,
        "sel": sum(room.pairs.values()),
        "attn_layer": 0,
        # The form that can be compressed.
        "tebd_input_mode": "strip",
        "smooth_type_embedding": True,
    }


def _dpa3(descriptor: Dpa3, room: NeighbourRoom) -> dict[str, Any]:
    net = descriptor.repflow
    return {
        "type": "dpa3",
        "repflow": {
            "n_dim": net.node_dim,
            "e_dim": net.edge_dim,
            "a_dim": net.angle_dim,
            "nlayers": net.layers,
            "e_rcut": net.cutoff_angstrom,
            "e_rcut_smth": net.cutoff_smooth_angstrom,
            "e_sel": sum(room.pairs.values()),
            "a_rcut": net.angle_cutoff_angstrom,
            "a_rcut_smth": net.angle_cutoff_smooth_angstrom,
            "a_sel": sum(room.angles.values()),
            # As the authors train it, but sums over neighbours are normalised by our own `sel`
            # instead of a tenth of a generous one.
            "use_dynamic_sel": True,
            "sel_reduce_factor": 1.0,
            "smooth_edge_update": True,
            "skip_stat": True,
            "a_compress_rate": 1,
            "a_compress_e_rate": 2,
            "a_compress_use_split": True,
        },
        "activation_function": "custom_silu:10.0",
        "use_tebd_bias": False,
        "concat_output_tebd": False,
    }
