"""``dp`` for writing TorchScript, with one function of DeePMD-kit in a form that needs less memory.

``python -m mlip.engines.deepmd_script --pt freeze ...``, see `mlip.engines.deepmd.script_command`.

To tell neighbours apart by element, DeePMD-kit 3.2.0 writes down the element of every atom and
ghost once for each atom: 8 bytes times the product of both, in every step of MD. That is 2 GB for
10,000 atoms with 15,000 ghosts and 120 GB for 100,000 with 50,000. Frozen and compressed models
keep the code that they were written with, so it is replaced here, and any LAMMPS gains.
`tests/benchmarks/neighbour_types.py` compares the two.
"""

import sys

import torch


def neighbours_by_type(nlist: torch.Tensor, atype: torch.Tensor, sel: list[int]) -> torch.Tensor:
    """Divide a neighbour list by the type of the neighbours, the same as DeePMD-kit bit by bit.

    Parameters
    ----------
    nlist : Tensor of int64, shape (frames, atoms, neighbours)
        Nearest first; -1 where there is none.
    atype : Tensor of int, shape (frames, atoms and ghosts)
    sel : list of int
        Room for each type.

    Returns
    -------
    Tensor of int64, shape (frames, atoms, sum of `sel`)
    """
    frames, atoms, width = nlist.shape
    absent = nlist == -1
    found = nlist.masked_fill(absent, 0).view(frames, atoms * width)
    types = torch.gather(atype, 1, found).view(frames, atoms, width).masked_fill(absent, -1)
    parts = []
    for kind, room in enumerate(sel):
        # Integers, since truth values cannot be sorted on a card; stable, so nearest stay first.
        mask = (types == kind).to(torch.int32)
        chosen, order = torch.sort(mask, dim=-1, descending=True, stable=True)
        part = torch.gather(nlist, 2, order).masked_fill(chosen == 0, -1)
        parts.append(part[..., :room])
    return torch.concat(parts, dim=-1)


def replace_in_deepmd() -> None:
    """Put `neighbours_by_type` in the place of DeePMD-kit's function, wherever it is named.

    Raises
    ------
    AttributeError
        If this DeePMD-kit has no such function.
    """
    import deepmd.pt.model.model  # noqa: F401, its modules hold names of the function
    from deepmd.pt.utils import nlist

    old = nlist.nlist_distinguish_types
    for module in list(sys.modules.values()):
        if getattr(module, "nlist_distinguish_types", None) is old:
            module.nlist_distinguish_types = neighbours_by_type  # type: ignore[attr-defined]


if __name__ == "__main__":
    from deepmd.main import main

    replace_in_deepmd()
    main()
