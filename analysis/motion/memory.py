"""Slope of an MSD once memory has died out, averaged over what that memory may be.

Ions that jump back, rattle or sit in slow cages move faster at short times than at long ones. What
is left of that at the start of a window makes a straight line through it too steep, and the data
often cannot tell. So the slope is averaged over fits without memory, with one relaxation and with
two, each weighted by how well it describes the MSD.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import optimize, special

from analysis.constants import FloatArray, IntArray
from analysis.motion.msd import MeanSquaredDisplacement
from analysis.motion.window import SlopeFit, correlation_between_ions, usable_lags

# Fits start at this fraction of the start of the diffusive window: there memory shows best.
START_RATIO = 4
# Relaxation times go from this fraction of the first lag to this one of the last. A slower
# relaxation cannot be told from diffusion, a faster one is over. Two neighbours make up for one
# between them, so that a finer grid changes nothing.
SHORTEST_RELAXATION = 0.5
LONGEST_RELAXATION = 0.4
RELAXATIONS_PER_DOUBLING = 2
# Neighbouring lags say nearly the same.
LAG_STRIDE = 2
# Relative eigenvalue floors of correlation matrices: of the one that gives the weights of a fit,
# which is a model, and of the one that compares fits, which is measured.
WEIGHT_FLOOR = 1.0e-2
COMPARISON_FLOOR = 1.0e-4


@dataclass(frozen=True)
class AveragedSlope:
    """Slope of the MSD at long times, from fits that differ in the memory they allow.

    Attributes
    ----------
    start_ps, stop_ps : float
        First and last lag fitted.
    slopes, errors : (m,) float arrays
        Slope of each fit that rises and its standard error, Angstrom^2/ps.
    weights : (m,) float array
        Probability of each, of all fits; those left out because they do not rise have the rest.
    memory : (m,) int array
        Relaxations in each fit: 0, 1 or 2.
    degrees_of_freedom : float
        Of the standard errors.
    """

    start_ps: float
    stop_ps: float
    slopes: FloatArray
    errors: FloatArray
    weights: FloatArray
    memory: IntArray
    degrees_of_freedom: float

    @property
    def share_flat(self) -> float:
        """Probability of the fits in which the MSD does not rise at long times."""
        return max(0.0, 1.0 - float(self.weights.sum()))

    @property
    def share_with_memory(self) -> float:
        """Probability of the fits with memory, among those that rise."""
        return float(self.weights[self.memory > 0].sum() / self.weights.sum())

    @property
    def pooled(self) -> float:
        """Mean of ln s weighted by probability and precision, as a slope, Angstrom^2/ps.

        Fits with more memory are less precise. Where they are as probable as others this scatters
        less than the median of the mixture; it is within the interval unless fits contradict.
        """
        precision = self.weights * (self.slopes / self.errors) ** 2
        return float(np.exp(precision @ np.log(self.slopes) / precision.sum()))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the central interval of the slope at `level`, Angstrom^2/ps."""
        tail = 0.5 - 0.5 * level
        return self._quantile(tail), self._quantile(1.0 - tail)

    def _quantile(self, probability: float) -> float:
        # A slope is a scale: its error is proportional to it, so its logarithm is symmetric.
        centres, widths = np.log(self.slopes), self.errors / self.slopes
        share = self.weights / self.weights.sum()

        def excess(x: float) -> float:
            below = special.stdtr(self.degrees_of_freedom, (x - centres) / widths)
            return float(share @ below) - probability

        # At this quantile of every fit the mixture is on one side of the probability.
        reach = special.stdtrit(self.degrees_of_freedom, probability) * widths
        edges = (centres + reach).min(), (centres + reach).max()
        if edges[1] - edges[0] < 1e-12:
            return float(np.exp(edges[0]))
        margin = 1e-9 + 1e-6 * (edges[1] - edges[0])
        found = optimize.brentq(excess, edges[0] - margin, edges[1] + margin, xtol=1e-10)
        return float(np.exp(found))


def averaged_slope(msd: MeanSquaredDisplacement, window: SlopeFit) -> AveragedSlope:
    """Average the long-time slope over fits with and without memory.

    Parameters
    ----------
    msd : MeanSquaredDisplacement
    window : SlopeFit
        Straight line in a diffusive window.

    Notes
    -----
    Fits are s t + c - sum_k A_k exp(-t / tau_k) with no, one or two relaxation times from a
    logarithmic grid: overdamped motion that obeys detailed balance has an MSD of this form. Each is
    a linear combination of MSD values, hence a mean over ions, and its error is their observed
    scatter. A fit has the probability exp(-AIC / 2), AIC = chi^2 + 2 parameters (Jay and Neil,
    Phys. Rev. D 103, 114502 (2021), doi 10.1103/PhysRevD.103.114502, there for the same problem in
    correlation functions); grid points of one kind of fit share its probability. The interval is
    that of the mixture of their Student distributions in ln s. A larger cost of memory makes the
    interval of Brownian motion narrower and misses slow cages.
    """
    usable = usable_lags(msd)
    lags = msd.sample_lags[usable]
    chosen = usable[START_RATIO * lags >= window.lags[0]][::-LAG_STRIDE][::-1]
    times = msd.sample_lags[chosen] * msd.frame_interval_ps
    atoms = msd.atom_msd[:, chosen]
    n_atoms, n_lags = atoms.shape
    first = int(np.searchsorted(msd.sample_lags, window.lags[0]))
    enlargement = correlation_between_ions(msd, first)
    observed = np.cov(atoms, rowvar=False) / n_atoms * enlargement
    model = _model_covariance(times, msd.variance[chosen], msd.n_independent[chosen])
    # Weights must not follow the noise of the data they weigh, so they come from the model.
    weighing = _inverse(model, WEIGHT_FLOOR)
    # With few ions the observed correlation is noise; the model's share follows their number.
    deviations = np.sqrt(np.outer(np.diag(observed), np.diag(observed)))
    scale = np.sqrt(np.outer(np.diag(model), np.diag(model)))
    share = n_lags / (n_lags + n_atoms)
    blended = deviations * (
        (1 - share) * observed / np.maximum(deviations, 1e-300) + share * model / scale
    )
    comparing = _inverse(blended, COMPARISON_FLOOR)

    mean = atoms.mean(axis=0)
    found, criteria, kinds = [], [], []
    for designs in _designs(times, window.start_ps):
        n_parameters = designs.shape[2]
        if n_parameters > max(n_lags - 1, 2):
            continue
        found.append(_solve(designs, weighing)[:, 0])
        left = mean - np.einsum("mkp,mpl,l->mk", designs, _solve(designs, comparing), mean)
        criteria.append(np.einsum("mk,kl,ml->m", left, comparing, left) + 2 * n_parameters)
        kinds.append(np.full(len(designs), n_parameters - 2))
    memory, criterion, weights = (np.concatenate(parts) for parts in (kinds, criteria, found))
    probability = np.exp(-0.5 * (criterion - criterion.min())) / np.bincount(memory)[memory]
    probability /= probability.sum()
    slopes = weights @ mean
    errors = np.sqrt(np.maximum(np.einsum("mi,ij,mj->m", weights, observed, weights), 0.0))
    rises = (slopes > 0) & (errors > 0)
    return AveragedSlope(
        start_ps=float(times[0]),
        stop_ps=float(times[-1]),
        slopes=slopes[rises],
        errors=errors[rises],
        weights=probability[rises],
        memory=memory[rises],
        degrees_of_freedom=max(n_atoms / enlargement - 1.0, 1.0),
    )


def _designs(times: FloatArray, window_start_ps: float) -> list[FloatArray]:
    """Return the columns of all fits with no, one and two relaxations, each (m, lags, columns)."""
    shortest = SHORTEST_RELAXATION * times[0]
    longest = max(window_start_ps, LONGEST_RELAXATION * times[-1])
    number = max(2, round(RELAXATIONS_PER_DOUBLING * float(np.log2(longest / shortest))) + 1)
    grid = np.geomspace(shortest, longest, number)
    line = np.stack([times, np.ones_like(times)], axis=1)
    decays = -np.exp(-times[:, None] / grid)
    designs: list[FloatArray] = []
    for relaxations in (0, 1, 2):
        chosen = list(combinations(range(number), relaxations))
        columns = np.empty((len(chosen), len(times), 2 + relaxations))
        columns[:, :, :2] = line
        for place in range(relaxations):
            columns[:, :, 2 + place] = decays[:, [choice[place] for choice in chosen]].T
        designs.append(columns)
    return designs


def _model_covariance(
    times: FloatArray, variance: FloatArray, n_independent: IntArray
) -> FloatArray:
    """Return var(r^2)_i / n_j for lags i <= j, with the variance smoothed to a power of time."""
    # Long lags are few and skewed: where their MSD is low by chance so is their variance, and
    # weights that follow it make the slope too low.
    positive = np.maximum(variance, 1e-12 * max(float(variance.max()), 1e-300))
    power = np.polyfit(np.log(times), np.log(positive), 1, w=np.sqrt(n_independent))
    smooth = np.exp(np.polyval(power, np.log(times)))
    order = np.arange(len(times))
    shorter = np.minimum(order[:, None], order[None, :])
    longer = np.maximum(order[:, None], order[None, :])
    return np.asarray(smooth[shorter] / n_independent[longer])


def _inverse(covariance: FloatArray, floor: float) -> FloatArray:
    """Invert a covariance matrix with a floor under the eigenvalues of its correlation matrix."""
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    values = np.maximum(values, floor * values.max())
    return np.asarray((vectors / values) @ vectors.T / np.outer(scale, scale))


def _solve(designs: FloatArray, inverse: FloatArray) -> FloatArray:
    """Return the matrices (m, columns, lags) that turn data into least squares parameters."""
    # Columns differ by orders of magnitude; scaled, the normal matrix is well conditioned.
    size = np.linalg.norm(designs, axis=1)
    scaled = designs / size[:, None, :]
    projected = np.swapaxes(scaled, 1, 2) @ inverse
    return np.asarray(np.linalg.solve(projected @ scaled, projected) / size[:, :, None])
