"""May predictions take the place of people, stand beside them, or neither? Rules for one coefficient, stated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from pilotlm.errors import InputError
from pilotlm.measures.augmented import logit_difference
from pilotlm.measures.ceilings import Ceiling, ceiling_of, correlations, least_correlation, sizes_of, worth
from pilotlm.measures.estimators import Task, why_withheld
from pilotlm.measures.intervals import Estimate, FloatArray, IntArray
from pilotlm.measures.least_squares import least_squares

Verdict = Literal["use", "use with rectification", "do not use"]
VERDICTS: tuple[Verdict, ...] = ("use", "use with rectification", "do not use")
MARGIN = 0.2
"""Standard deviations of an answer by which predictions may miss people and still take their place."""
LEVEL = 0.05
_LOGISTIC = np.pi / np.sqrt(3)
"""The standard deviation of the logistic distribution: what a log-odds is divided by to be read as one of an answer."""


@dataclass(frozen=True)
class Judgement:
    """What is to be done with the predictions of one coefficient.

    Attributes
    ----------
    bias : Estimate
        Coefficient in predictions less that in the answers of the same people, in standard deviations of the answer,
        with the 90 % interval of two one-sided tests at 5 %.
    ceiling : Ceiling
        How answers and predictions go together.
    worth : Estimate
        How many people with answers alone the people are worth, those included whom the model learnt from; with the
        interval of the correlation.
    people : int
        How many there are: asked and taught.
    needed : float
        The correlation at which they are worth just their number.
    verdict : {"use", "use with rectification", "do not use"}
        "use" where the interval of the bias lies inside the margin; else "use with rectification" where they are worth
        more than their number at the lower end of the interval; else "do not use", as where no interval is offered
        (`pilotlm.measures.estimators.is_offered`).
    withheld : str
        Why no interval is offered, in a sentence; "" where one is.
    """

    bias: Estimate
    ceiling: Ceiling
    worth: Estimate
    people: int
    needed: float
    verdict: Verdict
    withheld: str = ""

    @property
    def why(self) -> str:
        """The rule that decided, in a sentence."""
        if self.verdict == "use":
            return "The predictions miss people by less than the margin."
        if self.verdict == "use with rectification":
            return "The people are worth more than their number, even at the lower end of the correlation."
        if self.withheld:
            return self.withheld
        if np.isnan(self.bias.value):
            return "The predictions cannot be held against people here."
        if np.isnan(self.worth.value):
            return "The predictions do not vary, so nothing can be gained from them, and they may miss people."
        return "The predictions may miss people, and fewer people rectified are worth less than all asked."


def judge(task: Task, teaching: int, others: float, margin: float = MARGIN) -> Judgement:
    """Judge the predictions of one coefficient by people whom what predicts has not learnt from.

    Parameters
    ----------
    task : Task
        Its people with answers; others are not needed.
    teaching : int
        How many further people the predictions were fitted on: they cost as much as those who rectify, and would have
        been asked in their place.
    others : float
        How many people would be simulated.
    margin : float
        In standard deviations of the answer, above 0.

    Returns
    -------
    Judgement
        "do not use" where there is nothing to judge from.

    Raises
    ------
    InputError
        If the margin is not above 0.

    References
    ----------
    Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680, for the two one-sided tests;
    `pilotlm.measures.ceilings` for what people are worth.
    """
    n = task.sample.n
    bias, correlation, value, withheld, verdict = _judged(task, teaching, others, margin)
    return Judgement(
        _estimate(bias, n), ceiling_of(correlation, n), _estimate(value, n), n + teaching,
        least_correlation(n + teaching, teaching, others), VERDICTS[int(verdict)], str(withheld),
    )  # fmt: skip


def verdicts(task: Task, teaching: int, others: float, margin: float = MARGIN) -> list[Verdict]:
    """The verdict of `judge` on each sample of a stack of one leading dimension."""
    return [VERDICTS[code] for code in _judged(task, teaching, others, margin)[-1]]


def _judged(
    task: Task, teaching: int, others: float, margin: float
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.str_], IntArray]:
    """Bias, correlation and worth with intervals, (3, ...); why none is offered, and the verdict's place, (...)."""
    if not margin > 0:
        raise InputError(f"The margin must be above 0, got {margin!r}.")
    n = task.sample.n
    bias, correlation = _standardised(task), correlations(task.sample)
    sizes = np.stack([np.abs(correlation[0]), *sizes_of(correlation[1], correlation[2])])
    value = np.where(np.isnan(sizes), np.nan, worth(n + teaching, teaching, sizes, others))
    inside, pays = (bias[1] > -margin) & (bias[2] < margin), value[1] > n + teaching
    withheld = why_withheld(task, "tuned")
    offered = withheld == ""
    return bias, correlation, value, withheld, np.select([inside & offered, pays & offered], [0, 1], 2)


def _estimate(ends: FloatArray, n: int) -> Estimate:
    value, low, high = (float(end) for end in ends)
    return Estimate(value, low, high, n)


@dataclass(frozen=True)
class Known:
    """What is true of the predictions of a coefficient, where all people are known.

    Attributes
    ----------
    may_use : bool
        They miss people by less than the margin.
    pays : bool
        So many people who teach and rectify are worth more than their number.
    """

    may_use: bool
    pays: bool

    def wrong(self, said: Verdict) -> str:
        """How a verdict is wrong: "wrongly used", "wrongly rectified", "wrongly refused", or "" where it is right."""
        if said == "use":
            return "" if self.may_use else "wrongly used"
        if said == "use with rectification":
            return "" if self.pays else "wrongly rectified"
        return "wrongly refused" if self.may_use or self.pays else ""


def known_of(judged: Judgement, asked: int, teaching: int, others: float, margin: float = MARGIN) -> Known:
    """What is true where the people judged are everybody, for a pilot of ``asked`` people and ``teaching`` others."""
    value = float(worth(asked + teaching, teaching, judged.ceiling.correlation.value, others))
    return Known(bool(abs(judged.bias.value) < margin), bool(value > asked + teaching))


def people_to_pay(correlation: float, teaching: float) -> float:
    """From how many people for rectification on those who teach are made up for, with endless people simulated.

    Parameters
    ----------
    correlation : float
        Of answers and predictions, -1 to 1.
    teaching : float
        People whom the predictions are fitted on.

    Returns
    -------
    float
        n at which n / (1 - correlation²) = n + teaching; infinite at a correlation of 0.
    """
    squared = correlation**2
    return float(teaching * (1 - squared) / squared) if squared > 0 else float("inf")


def _standardised(task: Task) -> FloatArray:
    """The bias of the predicted coefficient in standard deviations of the answer, with its 90 % interval, (3, ...)."""
    sample = task.sample
    if task.kind == "logit":
        found, unit = logit_difference(sample), np.full(sample.stack, _LOGISTIC)
    else:
        found = least_squares(sample.predicted - sample.outcome, sample.columns, sample.column)
        unit = sample.outcome.std(axis=-1, ddof=1) if sample.n > 1 else np.zeros(sample.stack)
    half = stdtrit(found.freedom, 1 - LEVEL) * found.error
    ends = np.stack([found.value, found.value - half, found.value + half])
    scaled = np.where(unit > 0, ends / np.where(unit > 0, unit, 1.0), np.nan)
    same = (sample.outcome == sample.predicted).all(axis=-1)
    return np.where(same, 0.0, scaled)
