"""Whether actions depend on beliefs given the treatment: participant by participant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from pilotlm.measures.choices import Choices
from pilotlm.measures.intervals import FloatArray, IntArray, normal_quantile

_STEPS = 200
_LONGEST = 2.0
_FAR = 12.0
"""Beyond this a coefficient is taken to be on its way to infinity: half a log odds ratio, so odds of e^24."""


@dataclass(frozen=True, eq=False)
class Association:
    """The conditional association of actions with what beliefs predict; see `association`.

    Attributes
    ----------
    value : float
        A log odds ratio: 0 where actions do not depend on beliefs given the treatment; nan where it is not determined.
    low, high : float
        Its 95 % interval.
    standard_error : float
        Its standard error.
    rows : (m,) int array
        The rows of the answers that it rests on, in order.
    influence : (m,) float array
        What each of them adds to the error of the value, scaled so that the standard error is the root of their sum of
        squares.
    """

    value: float
    low: float
    high: float
    standard_error: float
    rows: IntArray
    influence: FloatArray


def association(choices: Choices, bias_reduced: bool = True) -> Association:
    """The log odds ratio of taking what one's beliefs predict, given the treatment.

    A conditional logit: in stratum s, alternative k is chosen with probability proportional to
    exp(a_sk + b c_ik), c_ik saying whether it agrees with the beliefs of i. How often each alternative is chosen in
    each treatment is thus left free, and b asks only whether the choice follows the beliefs. The value is 2 b: the log
    odds ratio of any two alternatives k and l between those whose beliefs predict k and those whose beliefs predict l.
    With two alternatives it is the coefficient of the prediction in a logit of the action with a dummy a treatment.

    The likelihood is penalised by Jeffreys' prior, as Firth has it, which takes away the part of the bias that goes
    with 1 / n (some 15 % at 100 rows in 8 treatments), so that estimates at different n can be compared, and gives a
    number where the estimate is infinite, because nobody who could contradicts his beliefs.

    The standard error is the larger one of two: the sandwich over rows of the answers (HC0), since one log odds ratio
    for all treatments is only a summary, and several pairs of one participant are not independent; and the inverse
    information, since the sandwich is far too small where few contradict their beliefs. The interval is normal.

    Parameters
    ----------
    choices : Choices
        Of `pilotlm.measures.choices.choices_of`.
    bias_reduced : bool
        Whether to penalise; without, the estimate is that of maximum likelihood.

    Returns
    -------
    Association
        Everything is nan where beliefs or actions do not vary.

    References
    ----------
    McFadden (1974), Conditional logit analysis of qualitative choice behavior, in Zarembka (ed.), Frontiers in
    Econometrics, 105-142; Firth (1993), Bias reduction of maximum likelihood estimates, Biometrika 80, 27-38; White
    (1982), Maximum likelihood estimation of misspecified models, Econometrica 50, 1-25, for the sandwich.
    """
    rows = np.unique(choices.row)
    cells = _cells(choices)
    found = _maximum(cells, bias_reduced) if len(rows) else None
    if found is None:
        nothing = float("nan")
        return Association(nothing, nothing, nothing, nothing, rows, np.full(len(rows), np.nan))
    coefficient, inverse, expected = found
    scores = (cells.predictors - expected[:, None, :]) @ inverse[0]
    influence = np.zeros(len(rows))
    np.add.at(influence, np.searchsorted(rows, choices.row), 2 * scores[cells.cell, choices.chosen])
    sandwich, model = float(np.sqrt(np.square(influence).sum())), float(2 * np.sqrt(inverse[0, 0]))
    error = max(sandwich, model)
    half, value = normal_quantile(0.95) * error, float(2 * coefficient)
    return Association(value, value - half, value + half, error, rows, influence * error / sandwich)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Choices counted by stratum and pattern of coherent alternatives, u cells.

    Attributes
    ----------
    counts : (u, K) float array
    predictors : (u, K, p) float array
        Coherence first, then a dummy for each alternative of each stratum but the first that was ever chosen there.
    possible : (u, K) bool array
        Whether anybody in the stratum chose the alternative; what nobody did has probability 0.
    cell : (c,) int array
        The cell of each choice.
    """

    counts: FloatArray
    predictors: FloatArray
    possible: NDArray[np.bool_]
    cell: IntArray


def _cells(choices: Choices) -> _Cells:
    k = choices.coherent.shape[1]
    patterns, cell = np.unique(np.column_stack([choices.stratum, choices.coherent]), axis=0, return_inverse=True)
    cell = cell.reshape(-1).astype(np.int64)
    counts = np.zeros((len(patterns), k))
    np.add.at(counts, (cell, choices.chosen), 1)
    strata, stratum = np.unique(patterns[:, 0], return_inverse=True)
    chosen = np.zeros((len(strata), k))
    np.add.at(chosen, stratum, counts)
    columns = [(s, a) for s in range(len(strata)) for a in np.flatnonzero(chosen[s])[1:]]
    predictors = np.zeros((len(patterns), k, 1 + len(columns)))
    predictors[:, :, 0] = patterns[:, 1:]
    for column, (s, alternative) in enumerate(columns, start=1):
        predictors[stratum == s, alternative, column] = 1
    return _Cells(counts, predictors, (chosen > 0)[stratum], cell)


def _maximum(cells: _Cells, bias_reduced: bool) -> tuple[float, FloatArray, FloatArray] | None:
    """The coefficient of coherence, the inverse information, and each cell's expected predictors; None without one.

    Newton's method; the penalty adds to the score half of each parameter's derivative of the log determinant of the
    information, which is a third central moment of the predictors (Firth 1993, section 3.2).
    """
    total = cells.counts.sum(axis=1)
    weights = np.zeros(cells.predictors.shape[2])
    for _ in range(_STEPS):
        chance = softmax(np.where(cells.possible, cells.predictors @ weights, -np.inf), axis=1)
        expected = np.einsum("uk,ukp->up", chance, cells.predictors)
        centred = cells.predictors - expected[:, None, :]
        mass = chance * total[:, None]
        information = np.einsum("uk,ukp,ukq->pq", mass, centred, centred)
        values = np.linalg.eigvalsh(information)
        if values[0] < 1e-9 * max(values[-1], 1.0):
            return None
        inverse = np.linalg.inv(information)
        left = cells.counts - mass
        if bias_reduced:
            left = left + mass * np.einsum("ukp,pq,ukq->uk", centred, inverse, centred) / 2
        step = inverse @ np.einsum("uk,ukp->p", left, centred)
        if np.abs(step).max() < 1e-11:
            return float(weights[0]), inverse, expected
        # A long step is cut: far out the likelihood is flat, and Newton's method leaps.
        weights = weights + step / max(1.0, float(np.abs(step).max()) / _LONGEST)
        if abs(weights[0]) > _FAR:
            return None
    return None
