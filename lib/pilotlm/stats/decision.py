"""May predictions take the place of people, stand beside them, or neither? The bound, and rules for one coefficient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from pilotlm.errors import InputError
from pilotlm.stats.estimators import Task, least_people, why_withheld
from pilotlm.stats.intervals import Estimate, FloatArray, IntArray
from pilotlm.stats.linear_models import fitted, least_squares, squares
from pilotlm.stats.ppi import Sample, logit_difference

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


def correlations(sample: Sample) -> FloatArray:
    """How answers and predictions go together, with the ends of a 95 % interval, (3, ...), for each sample of a stack.

    For a mean it is their correlation (of people's sums where they have several rows, of weighted answers where those
    have weights); for another coefficient that of the parts which answers and predictions, each less what the
    predictors say of them, add to it. Fisher's z with the jackknife's standard error and t; nan where one does not
    vary.

    Source: Angelopoulos, Duchi & Zrnic (2023), arXiv 2311.01453, section 4; Fisher (1921), Metron 1; Miller (1974).
    """
    ours, theirs = (fitted(values, sample.columns, sample.column) for values in (sample.outcome, sample.predicted))
    a, b = ours.influence, theirs.influence
    sums = np.stack([a * a, b * b, a * b])
    total = sums.sum(axis=-1)
    flat = np.minimum(total[0], total[1]) <= 1e-20 * np.maximum(1.0, squares(sample.predicted))
    value, without = _correlation(total), _correlation(total[..., None] - sums)
    z, each = (np.arctanh(np.clip(one, -1 + 1e-9, 1 - 1e-9)) for one in (value, without))
    n, k = sample.n, sample.predictors.shape[-1]
    error = np.sqrt((n - 1) / n * squares(each - each.mean(axis=-1, keepdims=True)))
    half = stdtrit(max(n - k - 1, 1), 0.975) * error
    return np.where(flat | np.isnan(value), np.nan, np.stack([value, np.tanh(z - half), np.tanh(z + half)]))


def sizes_of(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The weakest and the strongest correlation, without sign, of intervals from low to high, (...) each."""
    a, b = np.abs(low), np.abs(high)
    return np.where((low <= 0) & (high >= 0), 0.0, np.minimum(a, b)), np.maximum(a, b)


def bound(correlation: ArrayLike, n: float = 1, others: float = float("inf")) -> FloatArray:
    """How many people with answers alone a person with both is worth at most: 1 / (1 - ρ² m / (n + m)).

    ``n`` have answers; predictions of m others, not of endless ones, leave an error of their own.
    """
    share = 1.0 if np.isinf(others) else others / (n + others)
    left = 1 - np.square(np.asarray(correlation, dtype=np.float64)) * share
    return np.where(left <= 0, np.inf, 1 / np.where(left <= 0, 1.0, left))


def worth(people: float, teaching: float, correlation: ArrayLike, others: float) -> FloatArray:
    """The effective sample size of people with answers, ``teaching`` of whom are the fine-tuning sample.

    Below their number the people are better used without a model.
    """
    rest = people - teaching
    return rest * bound(correlation, rest, others) if rest > 0 else np.zeros(np.shape(correlation))


def least_correlation(people: float, teaching: float, others: float) -> float:
    """The correlation at which `worth` is just the number of people; nan where none is enough."""
    rest = people - teaching
    if rest <= 0:
        return float("nan")
    squared = (teaching / people) * (rest + others) / others
    return float(np.sqrt(squared)) if squared <= 1 else float("nan")


def _correlation(sums: FloatArray) -> FloatArray:
    return np.asarray(sums[2] / np.sqrt(np.maximum(sums[0] * sums[1], 1e-300)))


@dataclass(frozen=True)
class Judgement:
    """What is to be done with the predictions of one coefficient.

    ``bias`` is the coefficient in predictions less that in the answers of the same people, in standard deviations of
    the answer, with its 90 % interval; ``correlation`` is of `correlations`, ``worth``
    the effective sample size of all ``people``, the fine-tuning sample included, ``needed`` the correlation at which
    that is just their number.

    The verdict is "use" where the interval of the bias lies inside the margin; else "use with rectification" where
    people are worth more than their number at the lower end of the correlation's interval; else "do not use", as where
    no interval is offered, for the reason in ``withheld``. ``place`` says where the interval of the bias lies
    (predictions are shown to mislead only where it is "outside"), ``to_settle`` about how many held-out people would
    settle that.
    """

    bias: Estimate
    correlation: Estimate
    worth: Estimate
    people: int
    needed: float
    verdict: Verdict
    withheld: str = ""
    place: Place = "open"
    to_settle: float = float("nan")


def judge(task: Task, teaching: int, others: float, margin: float = MARGIN) -> Judgement:
    """Judge the predictions of one coefficient by the people with answers, whom what predicts has not learnt from.

    ``teaching`` is how many further people the predictions were fitted on, who would have been asked in their place,
    ``others`` how many people would be simulated; ``margin`` is in standard deviations of the answer, above 0. Source:
    Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680, for the two one-sided tests.
    """
    n = task.sample.n
    bias, correlation, value, withheld, verdict = _judged(task, teaching, others, margin)
    why, estimate = str(withheld), _estimate(bias, n)
    place = "open" if why else _place(estimate, margin)
    settled = float(n) if place != "open" else people_to_settle(estimate, margin, least_people(task))
    needed = least_correlation(n + teaching, teaching, others)
    found = _estimate(correlation, n), _estimate(value, n), n + teaching, needed, VERDICTS[int(verdict)]
    return Judgement(estimate, *found, why, place, settled)


def _place(bias: Estimate, margin: float) -> Place:
    if -margin < bias.low and bias.high < margin:
        return "inside"
    return "outside" if bias.low > margin or bias.high < -margin else "open"


def people_to_settle(bias: Estimate, margin: float, least: float = 2) -> float:
    """About how many held-out people would show whether a bias lies within the margin, at least ``least``.

    (1.64 + 1.28)² s² / (margin - |bias|)², s being the standard error of the bias times the root of its n: if the bias
    is as it was found, the 90 % interval then lies on its side of the margin with a chance of at least `POWER`.
    Infinite where the bias lies on the margin. Source: Chow, Shao & Wang (2008), Sample Size Calculations in Clinical
    Research, section 3.1.
    """
    if not np.isfinite([bias.value, bias.low, bias.high]).all():
        return float("nan")
    away = abs(margin - abs(bias.value))
    half = (bias.high - bias.low) / 2
    if away == 0:
        return float("inf")
    needed = bias.n * np.square(half / away * (1 + ndtri((1 + POWER) / 2) / ndtri(1 - LEVEL)))
    return float(max(needed, least))


def verdicts_of(task: Task, teaching: int, others: float, margin: float = MARGIN) -> list[Verdict]:
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
class TruthOfTask:
    """What is true where all people are known: predictions miss them by less than the margin; correcting pays."""

    may_use: bool
    pays: bool

    def wrong(self, said: Verdict) -> str:
        """How a verdict is wrong: "wrongly used", "wrongly rectified", "wrongly refused", or "" where it is right."""
        if said == "use":
            return "" if self.may_use else "wrongly used"
        if said == "use with rectification":
            return "" if self.pays else "wrongly rectified"
        return "wrongly refused" if self.may_use or self.pays else ""


def known_of(judged: Judgement, asked: int, teaching: int, others: float, margin: float = MARGIN) -> TruthOfTask:
    """What is true where the people judged are everybody, for a pilot of ``asked`` people and ``teaching`` others."""
    value = float(worth(asked + teaching, teaching, judged.correlation.value, others))
    return TruthOfTask(bool(abs(judged.bias.value) < margin), bool(value > asked + teaching))


def people_to_pay(correlation: float, teaching: float) -> float:
    """From how many people for correction on those who teach are made up for: n / (1 - correlation²) = n + teaching."""
    squared = correlation**2
    return float(teaching * (1 - squared) / squared) if squared > 0 else float("inf")


def _standardised(task: Task) -> FloatArray:
    """The bias of the predicted coefficient in standard deviations of the answer, with its 90 % interval, (3, ...)."""
    sample = task.sample
    if task.kind == "logit":
        found, unit = logit_difference(sample), np.full(sample.stack, _LOGISTIC)
    else:
        found = least_squares(sample.predicted - sample.outcome, sample.columns, sample.column)
        unit = sample.deviation
    half = stdtrit(found.freedom, 1 - LEVEL) * found.error
    ends = np.stack([found.value, found.value - half, found.value + half])
    scaled = np.where(unit > 0, ends / np.where(unit > 0, unit, 1.0), np.nan)
    # Of answers that never vary there is no standard deviation, however well they are predicted.
    same = (sample.outcome == sample.predicted).all(axis=-1) & (np.ptp(sample.outcome, axis=-1) > 0)
    return np.where(same, 0.0, scaled)
