"""How strongly neutrons and X-rays see each pair of species."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import AnalysisError

# Below this share of the root mean square amplitude the division by <b>^2 only grows errors.
MIN_MEAN_AMPLITUDE = 0.01


def neutron_lengths(
    species: Sequence[str],
    *,
    isotopes: Mapping[str, int] | None = None,
    lengths_fm: Mapping[str, float] | None = None,
) -> FloatArray:
    """Return bound coherent scattering lengths b, fm, for natural abundance unless told.

    Parameters
    ----------
    species : sequence of n str
    isotopes : mapping of str to int, optional
        Mass number of species that are isotopically pure, such as ``{"Li": 7}``.
    lengths_fm : mapping of str to float, optional
        Lengths that replace the table, for enriched samples or another evaluation.

    Returns
    -------
    (n,) float array
        Real parts, from the table of `periodictable` (Rauch and Waschkowski 2003 with later
        measurements). Evaluations differ: b of natural Li is -1.93 there and -1.90 in Sears,
        Neutron News 3, 26 (1992), doi 10.1080/10448639208218770.

    Raises
    ------
    AnalysisError
        If a species named is not in the sample or has no known length.
    """
    from periodictable import elements

    isotopes, lengths_fm = isotopes or {}, lengths_fm or {}
    _refuse_strangers(species, {**isotopes, **lengths_fm})
    both = sorted(set(isotopes) & set(lengths_fm))
    if both:
        raise AnalysisError(
            f"{', '.join(both)}: an isotope and a scattering length are given; name one of them"
        )
    found = []
    for symbol in species:
        length = lengths_fm.get(symbol)
        if length is None:
            try:
                element = elements.symbol(symbol)
                atom = element[isotopes[symbol]] if symbol in isotopes else element
                length = atom.neutron.b_c
            except (KeyError, ValueError) as error:
                raise AnalysisError(
                    f"{symbol}: no such element or isotope ({error}); give `lengths_fm`"
                ) from error
        if length is None:
            raise AnalysisError(f"{symbol}: no neutron scattering length known; give `lengths_fm`")
        found.append(float(length))
    return np.array(found)


def xray_form_factors(
    species: Sequence[str],
    q_inverse_angstrom: FloatArray,
    *,
    charges: Mapping[str, int] | None = None,
) -> FloatArray:
    """Return atomic form factors f(Q), electrons, of neutral atoms unless told.

    Parameters
    ----------
    species : sequence of n str
    q_inverse_angstrom : (Q,) float array
    charges : mapping of str to int, optional
        Charges of species to take as ions, elementary charges, such as ``{"Li": 1}``.

    Returns
    -------
    (n, Q) float array
        Five Gaussians and a constant, Waasmaier and Kirfel, Acta Cryst. A 51, 416 (1995),
        doi 10.1107/S0108767394013292, through `periodictable`; without anomalous dispersion.

    Raises
    ------
    AnalysisError
        If a species named is not in the sample or not in the table.
    """
    from periodictable.cromermann import fxrayatq

    charges = charges or {}
    _refuse_strangers(species, charges)
    found = []
    for symbol in species:
        charge = charges.get(symbol, 0)
        try:
            factor = fxrayatq(symbol, np.asarray(q_inverse_angstrom, dtype=float), charge or None)
        except KeyError as error:
            raise AnalysisError(
                f"{symbol}: no X-ray form factor at charge {charge:+d}; "
                "use an atom or ion of the table of Waasmaier and Kirfel"
            ) from error
        found.append(factor)
    return np.array(found)


def pair_weights(fractions: FloatArray, amplitudes: FloatArray) -> FloatArray:
    """Return c_i c_j b_i b_j / (sum c b)^2, whose sum over i and j is 1 at every Q.

    Parameters
    ----------
    fractions : (n,) float array
        Atomic fractions c.
    amplitudes : (n,) or (n, Q) float array
        Scattering lengths or form factors.

    Returns
    -------
    (n, n) or (n, n, Q) float array
        Unlike pairs appear twice, as ij and ji. Source: Keen, J. Appl. Cryst. 34, 172 (2001),
        doi 10.1107/S0021889800019993, with the normalisation of Faber and Ziman.

    Raises
    ------
    AnalysisError
        If the mean amplitude vanishes, where this normalisation does not exist.
    """
    weighted = (amplitudes.T * fractions).T
    mean = weighted.sum(axis=0)
    size = np.sqrt((weighted * amplitudes).sum(axis=0))
    if np.any(np.abs(mean) < MIN_MEAN_AMPLITUDE * size):
        raise AnalysisError(
            f"the mean scattering amplitude is {np.abs(mean).min():.2g} against a root mean square "
            f"of {np.min(size):.2g}: a null-scattering mixture has no S(Q) normalised by it; use "
            "the partial structure factors"
        )
    return weighted[:, None] * weighted[None] / mean**2


def _refuse_strangers(species: Sequence[str], named: Mapping[str, object]) -> None:
    strangers = sorted(set(named) - set(species))
    if strangers:
        raise AnalysisError(
            f"{', '.join(strangers)}: not in the sample, which holds {', '.join(species)}"
        )
