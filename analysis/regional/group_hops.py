"""Net hops that start in a group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.hops.net_hops import NetHops
from analysis.motion.membership import Membership


def hops_from_group(
    hops: NetHops, membership: Membership, group: int, frame_interval_ps: float
) -> NetHops:
    """Return the net hops of the ions of a group.

    Parameters
    ----------
    hops : NetHops
        Of the ions of the membership, in the same order.
    membership : Membership
    group : int
        Index of the names of the membership.
    frame_interval_ps : float

    Returns
    -------
    NetHops
        Hops of ions that were in the group in the middle of the averaging interval before the hop;
        `n_ions` is the mean number of ions in the group, rounded down so that rates are not
        underestimated, at least 1.
    """
    before = np.floor(hops.times_ps / frame_interval_ps + 1e-9).astype(np.int64)
    before -= round(hops.averaging_ps / frame_interval_ps) // 2
    started = membership.codes[np.maximum(before, 0), hops.ions] == group
    number = (membership.codes == group).sum() / len(membership.codes)
    return replace(
        hops,
        times_ps=hops.times_ps[started],
        lengths_angstrom=hops.lengths_angstrom[started],
        ions=hops.ions[started],
        starts_angstrom=hops.starts_angstrom[started],
        ends_angstrom=hops.ends_angstrom[started],
        n_ions=max(1, int(number)),
    )
