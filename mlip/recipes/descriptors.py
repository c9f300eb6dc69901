"""The descriptors of `mlip train`: how the surroundings of an atom enter its network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from mlip.recipes.base import Recipe

Positive = Annotated[int, Field(gt=0)]

DEFAULT = "se_e2_a"


class _Cutoff(Recipe):
    """Where the surroundings of an atom end.

    Attributes
    ----------
    cutoff_angstrom, cutoff_smooth_angstrom : float
        Neighbours count up to the first; their weight falls to zero from the second on.
    maximum_neighbours : dict of str to int, optional
        Per element. By default 1.3 times the most that the training frames have, since
        melts and compressed frames have more than the data.
    """

    cutoff_angstrom: float = Field(default=6.0, gt=1.0, le=12.0)
    cutoff_smooth_angstrom: float = Field(default=0.5, gt=0.0)
    maximum_neighbours: dict[str, Positive] | None = None

    @model_validator(mode="after")
    def _smooth_inside_cutoff(self) -> _Cutoff:
        if self.cutoff_smooth_angstrom >= self.cutoff_angstrom:
            raise ValueError("cutoff_smooth_angstrom must be smaller than cutoff_angstrom")
        return self


class _Embedding(_Cutoff):
    """The embedding net of a neighbour.

    Attributes
    ----------
    embedding_neurons : tuple of int
        Layers of the embedding net.
    axis_neurons : int
        Columns of the embedding matrix that make the descriptor; it has as many as the last
        layer has neurons.
    """

    embedding_neurons: Annotated[tuple[Positive, ...], Field(min_length=1)] = (25, 50, 100)
    axis_neurons: int = Field(default=16, gt=0)

    @model_validator(mode="after")
    def _axis_inside_embedding(self) -> _Embedding:
        if self.axis_neurons > self.embedding_neurons[-1]:
            raise ValueError(
                f"axis_neurons: found {self.axis_neurons}, expected at most "
                f"{self.embedding_neurons[-1]}, the last of embedding_neurons"
            )
        return self


class SeE2A(_Embedding):
    """Two-body embedding, smooth edition (doi:10.48550/arXiv.1805.09003): for production."""

    type: Literal["se_e2_a"] = "se_e2_a"

    def size(self) -> str:
        """Return the size of the network in a few characters."""
        return "-".join(map(str, self.embedding_neurons))


class SeAtten(_Embedding):
    """Two-body embedding that knows the elements by vectors: DPA-1 without attention layers.

    It can be compressed as `SeE2A`, and unlike it has a form with short-range repulsion
    (doi:10.1038/s41524-024-01278-7).
    """

    type: Literal["se_atten"]

    def size(self) -> str:
        """Return the size of the network in a few characters."""
        return f"atten-{'-'.join(map(str, self.embedding_neurons))}"


class Repflow(Recipe):
    """The message passing of DPA-3: vectors of atoms, pairs and angles, updated layer by layer.

    Attributes
    ----------
    node_dim, edge_dim, angle_dim : int
        Lengths of these vectors.
    layers : int
    cutoff_angstrom, cutoff_smooth_angstrom : float
        Of pairs. The weight of a neighbour falls to zero from the second on.
    angle_cutoff_angstrom, angle_cutoff_smooth_angstrom : float
        Of the two pairs that make an angle.
    """

    node_dim: int = Field(default=128, gt=0)
    edge_dim: int = Field(default=64, gt=0)
    angle_dim: int = Field(default=32, gt=0)
    layers: int = Field(default=6, gt=0)
    cutoff_angstrom: float = Field(default=6.0, gt=1.0, le=12.0)
    cutoff_smooth_angstrom: float = Field(default=5.3, gt=0.0)
    angle_cutoff_angstrom: float = Field(default=4.0, gt=1.0, le=12.0)
    angle_cutoff_smooth_angstrom: float = Field(default=3.5, gt=0.0)

    @model_validator(mode="after")
    def _ordered(self) -> Repflow:
        if self.cutoff_smooth_angstrom >= self.cutoff_angstrom:
            raise ValueError("cutoff_smooth_angstrom must be smaller than cutoff_angstrom")
        if self.angle_cutoff_smooth_angstrom >= self.angle_cutoff_angstrom:
            raise ValueError(
                "angle_cutoff_smooth_angstrom must be smaller than angle_cutoff_angstrom"
            )
        if self.angle_cutoff_angstrom > self.cutoff_angstrom:
            raise ValueError("angle_cutoff_angstrom must not be larger than cutoff_angstrom")
        return self


class Dpa3(Recipe):
    """Graph network with angles (DPA-3, doi:10.48550/arXiv.2506.01686): the accuracy reference.

    It cannot be compressed, and in LAMMPS it runs on one rank.

    Attributes
    ----------
    repflow : Repflow
    maximum_neighbours : dict of str to int, optional
        Per element, within the cutoff of pairs; by default from the data, as in `SeE2A`.
    """

    type: Literal["dpa3"]
    repflow: Repflow = Repflow()
    maximum_neighbours: dict[str, Positive] | None = None

    @property
    def cutoff_angstrom(self) -> float:
        """Return how far an atom sees in one layer."""
        return self.repflow.cutoff_angstrom

    def size(self) -> str:
        """Return the size of the network in a few characters."""
        net = self.repflow
        return f"dpa3-{net.layers}-{net.node_dim}-{net.edge_dim}-{net.angle_dim}"


def _type_of(value: Any) -> str:
    found = value.get("type", DEFAULT) if isinstance(value, dict) else getattr(value, "type", "")
    return str(found)


AnyDescriptor = Annotated[
    Annotated[SeE2A, Tag("se_e2_a")]
    | Annotated[SeAtten, Tag("se_atten")]
    | Annotated[Dpa3, Tag("dpa3")],
    Discriminator(_type_of),
]
