"""May predictions take the place of people, stand beside them, or neither? Rules for one coefficient, stated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from pilotlm.errors import InputError
from pilotlm.measures.augmented import logit_difference
from pilotlm.measures.ceilings import Ceiling, ceiling_of, correlations, least_correlation, sizes_of, worth
from pilotlm.measures.estimators import Task, least_people, why_withheld
from pilotlm.measures.intervals import Estimate, FloatArray, IntArray
from pilotlm.measures.least_squares import least_squares

Verdict = Literal["use", "use with rectification", "do not use"]
VERDICTS: tuple[Verdict, ...] = ("use", "use with rectification", "do not use")
Place = Literal["inside", "outside", "open"]
MARGIN = 0.2
"""Standard deviations of an answer by which predictions may miss people and still take their place."""
LEVEL = 0.05
POWER = 0.8
"""The chance at least with which as many people as are named would settle whether a bias lies within the margin."""
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
    place : {"inside", "outside", "open"}
        Where the interval of the bias lies: wholly within the margin, wholly outside of it, or neither; "open" too
        where no interval is offered. Predictions are shown to mislead only where it is "outside".
    to_settle : float
        About how many held-out people would settle that, of `people_to_settle`; as many as there are where it is
        settled, nan where their number tells nothing.
    """

    bias: Estimate
    ceiling: Ceiling
    worth: Estimate
    people: int
    needed: float
    verdict: Verdict
    withheld: str = ""
    place: Place = "open"
    to_settle: float = float("nan")


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
    why, estimate = str(withheld), _estimate(bias, n)
    place = "open" if why else _place(estimate, margin)
    settled = float(n) if place != "open" else people_to_settle(estimate, margin, least_people(task))
    return Judgement(
        estimate, ceiling_of(correlation, n), _estimate(value, n), n + teaching,
        least_correlation(n + teaching, teaching, others), VERDICTS[int(verdict)], why, place, settled,
    )  # fmt: skip


def _place(bias: Estimate, margin: float) -> Place:
    if -margin < bias.low and bias.high < margin:
        return "inside"
    return "outside" if bias.low > margin or bias.high < -margin else "open"


def people_to_settle(bias: Estimate, margin: float, least: float = 2) -> float:
    """About how many held-out people would show whether a bias lies within the margin.

    (1.64 + 1.28)² s² / (margin - |bias|)², s being the standard error of the bias times the root of its n. If the bias
    is as it was found, the 90 % interval from so many people lies on its side of the margin with a chance of at least
    `POWER` (1.28 is the normal quantile of (1 + `POWER`) / 2, because both ends of the interval may cross).

    Parameters
    ----------
    bias : Estimate
        In standard deviations of the answer, with its 90 % interval.
    margin : float
        In standard deviations of the answer.
    least : float
        From how many people on an interval is offered.

    Returns
    -------
    float
        Infinite where the bias lies on the margin, nan where nothing is known of the bias or its error.

    References
    ----------
    Chow, Shao & Wang (2008), Sample Size Calculations in Clinical Research, 2nd edition, section 3.1, for the test of
    equivalence.
    """
    if not np.isfinite([bias.value, bias.low, bias.high]).all():
        return float("nan")
    away = abs(margin - abs(bias.value))
    half = (bias.high - bias.low) / 2
    if away == 0:
        return float("inf")
    needed = bias.n * np.square(half / away * (1 + ndtri((1 + POWER) / 2) / ndtri(1 - LEVEL)))
    return float(max(needed, least))


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
    # Of answers that never vary there is no standard deviation, however well they are predicted.
    same = (sample.outcome == sample.predicted).all(axis=-1) & (np.ptp(sample.outcome, axis=-1) > 0)
    return np.where(same, 0.0, scaled)
