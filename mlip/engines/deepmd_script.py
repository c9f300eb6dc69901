"""``dp`` for writing TorchScript, with two functions of DeePMD-kit in a form that costs less.

Used by ``python -m mlip.engines.deepmd_calls --script``, see `mlip.engines.deepmd.script_command`.
Frozen and compressed models keep the code that they were written with, so any LAMMPS gains;
`tests/benchmarks/deepmd_script.py` compares them with those that plain ``dp`` writes.

To tell neighbours apart by element, DeePMD-kit 3.2.0 writes down the element of every atom and
ghost once for each atom: 8 bytes times the product of both, in every step of MD. That is 2 GB for
10,000 atoms with 15,000 ghosts and 120 GB for 100,000 with 50,000. And it evaluates the fitting net
of every element for all atoms, to keep one of the results.
"""

import sys
from typing import no_type_check

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


@no_type_check  # TorchScript wants a bare `self`
def fit_by_type(
    self,  # noqa: ANN001
    descriptor: torch.Tensor,
    atype: torch.Tensor,
    gr: torch.Tensor | None = None,
    g2: torch.Tensor | None = None,
    h2: torch.Tensor | None = None,
    fparam: torch.Tensor | None = None,
    aparam: torch.Tensor | None = None,
    return_atomic_feature: bool = False,
) -> dict[str, torch.Tensor]:
    """Evaluate the fitting net of each element for the atoms of that element alone.

    In the place of ``GeneralFitting._forward_common``, for the nets that `mlip train` trains: one
    an element or one for all that is told the element in the descriptor, of nothing else.

    Parameters
    ----------
    descriptor : Tensor, shape (frames, atoms, width)
    atype : Tensor of int, shape (frames, atoms)
        -1 for atoms that do not count.
    gr, g2, h2, fparam, aparam
        Unused; what DeePMD-kit passes.
    return_atomic_feature : bool
        Return the last hidden layer too, as ``atomic_feature``.

    Returns
    -------
    dict of str to Tensor, shape (frames, atoms, outputs)

    Raises
    ------
    ValueError
        If the net is of another kind.
    """
    if (
        self.numb_fparam + self.numb_aparam + self.dim_case_embd > 0
        or self.remove_vaccum_contribution is not None
    ):
        raise ValueError("expected a fitting net of the descriptor alone")
    frames, atoms, width = descriptor.shape
    flat = descriptor.to(self.prec).reshape(frames * atoms, width)
    types = atype.reshape(frames * atoms)
    outputs = self._net_out_dim()
    fitted = torch.zeros((frames * atoms, outputs), dtype=self.prec, device=descriptor.device)
    features = flat
    if self.mixed_types:
        fitted = self.filter_layers.networks[0](flat) + self.bias_atom_e[types].to(self.prec)
        if return_atomic_feature:
            features = self.filter_layers.networks[0].call_until_last(flat)
    else:
        for kind, net in enumerate(self.filter_layers.networks):
            own = torch.nonzero(types == kind).view(-1)
            inputs = flat.index_select(0, own)
            part = net(inputs) + self.bias_atom_e[kind].to(self.prec)
            fitted = fitted.index_add(0, own, part)
            if return_atomic_feature:
                part = net.call_until_last(inputs)
                if kind == 0:
                    features = torch.zeros(
                        (frames * atoms, part.shape[1]), dtype=part.dtype, device=part.device
                    )
                features = features.index_add(0, own, part)
    counted = self.emask(atype).to(torch.bool)
    fitted = fitted.view(frames, atoms, outputs)
    found = {self.var_name: torch.where(counted[:, :, None], fitted, 0.0)}
    if return_atomic_feature:
        found["atomic_feature"] = features.view(frames, atoms, features.shape[1])
    return found


def replace_in_deepmd() -> None:
    """Put the functions of this module in the place of DeePMD-kit's.

    Raises
    ------
    AttributeError
        If this DeePMD-kit has no such functions.
    """
    import deepmd.pt.model.model  # noqa: F401, its modules hold names of the functions
    from deepmd.pt.model.task.fitting import GeneralFitting
    from deepmd.pt.utils import nlist

    if not hasattr(GeneralFitting, "_forward_common"):
        raise AttributeError("GeneralFitting._forward_common")
    # TorchScript compiles a method under the name of the function.
    fit_by_type.__name__ = "_forward_common"
    GeneralFitting._forward_common = fit_by_type

    old = nlist.nlist_distinguish_types
    for module in list(sys.modules.values()):
        if getattr(module, "nlist_distinguish_types", None) is old:
            module.nlist_distinguish_types = neighbours_by_type  # type: ignore[attr-defined]
