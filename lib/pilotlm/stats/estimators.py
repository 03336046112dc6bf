"""The estimators side by side: where the interval of each is offered, and their scores over repeated draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pilotlm.stats.intervals import BoolArray, FloatArray
from pilotlm.stats.linear_models import Inference, fitted, squares
from pilotlm.stats.ppi import (
    Sample,
    as_if_answers,
    logit_people_only,
    logit_tuned,
    people_only,
    prediction_powered,
    tuned,
)

Kind = Literal["mean", "effect", "coefficient", "logit"]
LEAST_OF_EACH = 5
"""An interval of the share of an answer is offered where at least so many people gave it, and so many did not."""
LEAST_FREEDOM: Mapping[str, float] = {"mean": 5.0, "effect": 5.0, "coefficient": 4.0, "logit": 12.0}
"""Bell and McCaffrey's degrees of freedom from which on an interval is offered, by kind of coefficient.

They count the people behind a coefficient; fewer than four are not to be trusted (Tipton 2015, Psychological Methods
20, 375-393). With fewer than five for an effect intervals on known truth cover less than 93 %, with fewer than twelve
for a logit more than 97 %.
"""
LABELS: Mapping[str, str] = {
    "people": "People only",
    "simulation": "Simulation only",
    "pooling": "Naive pooling",
    "ppi": "Prediction-powered, weight 1",
    "tuned": "Prediction-powered, PPI++",
}
"""The estimators in their order, with their names on figures."""
RECTIFIED = ("ppi", "tuned")
"""Those that hold whatever the predictions are."""
LEAST_PEOPLE: Mapping[str, int] = {"mean": 20, "effect": 20, "coefficient": 20, "logit": 50}
"""From how many people on an interval is offered, by kind of coefficient, if enough are behind it.

On known truth (``truth/rectified.json``) the intervals offered cover 92 to 97 % from these numbers on, and with useless
predictions they are at most a tenth wider than people's alone.
"""
NOT_OFFERED: Mapping[str, str] = {
    "simulation": "its interval describes the simulation, not people.",
    "pooling": "its interval describes the simulation, not people.",
    "ppi": "useless predictions make its interval wider than people's alone, which tuning avoids.",
}
"""Why the interval of an estimator is not offered."""
FEW, ONE, SOME, NONE, ALIKE = (
    "There are too few people for an interval that holds.",
    "It rests on one person, so it has no standard error.",
    "It rests on too few people for an interval that holds.",
    "It cannot be estimated here: the answers do not vary, or are predicted perfectly.",
    "Too few people gave one of the two answers for an interval that holds.",
)
"""Why no interval is offered of a coefficient in some people."""
_Estimator = Callable[[Sample], Inference]
_LINEAR: Mapping[str, _Estimator] = {
    "people": people_only,
    "simulation": lambda one: as_if_answers(fitted(one.all_predicted, one.all_columns, one.column)),
    "pooling": lambda one: as_if_answers(fitted(one.pooled, one.all_columns, one.column)),
    "ppi": prediction_powered,
    "tuned": tuned,
}
_LOGIT: Mapping[str, _Estimator] = {
    "people": logit_people_only,
    "simulation": lambda one: as_if_answers(one.everybody_logit.of(one.column)),
    "pooling": lambda one: as_if_answers(one.pooled_logit.of(one.column)),
    "tuned": logit_tuned,
}


@dataclass(frozen=True, eq=False)
class Task:
    """A sample, or a stack of them, and what kind of coefficient is wanted: a logit or one of least squares."""

    kind: Kind
    sample: Sample

    @property
    def methods(self) -> tuple[str, ...]:
        """The estimators that there are for it."""
        return tuple(_LOGIT if self.kind == "logit" else _LINEAR)

    def wanting(self, column: int) -> Task:
        """The same with another coefficient of the same sample wanted; see `Sample.wanting`."""
        return replace(self, sample=self.sample.wanting(column))


def estimate(task: Task, method: str) -> Inference:
    """The estimate by one of `Task.methods`, with its interval even where that is not offered."""
    return (_LOGIT if task.kind == "logit" else _LINEAR)[method](task.sample)


def enough_people(kind: str, method: str, n: int) -> bool:
    """Whether n people are enough for the interval of an estimator, if enough of them are behind the coefficient."""
    return method not in NOT_OFFERED and n >= LEAST_PEOPLE[kind]


def why_withheld(task: Task, method: str) -> NDArray[np.str_]:
    """Why the interval of an estimator is not offered, for each sample of the stack; "" where it is."""
    if method in NOT_OFFERED:
        return np.full(task.sample.stack, NOT_OFFERED[method])
    if not enough_people(task.kind, method, task.sample.n):
        return np.full(task.sample.stack, FEW)
    return _too_few_behind(task)


def usable(task: Task, method: str) -> BoolArray:
    """Whether enough people are behind a coefficient; predictions taken for answers rest on none."""
    rests_on_people = method == "people" or method in RECTIFIED
    return np.asarray((_too_few_behind(task) == "") | (not rests_on_people))


def _too_few_behind(task: Task) -> NDArray[np.str_]:
    sample, column = task.sample, task.sample.column
    found = sample.logit.of(column) if task.kind == "logit" else fitted(sample.outcome, sample.columns, column)
    return np.select(
        [sample.columns.rests_on_one(column), ~(squares(found.parts) > 0),
         np.nan_to_num(found.freedom) < LEAST_FREEDOM[task.kind], sample.two_valued & (sample.rarer < LEAST_OF_EACH)],
        [ONE, NONE, SOME, ALIKE], "",
    )  # fmt: skip


def least_people(task: Task) -> float:
    """From about how many people on a prediction-powered interval would be offered, answers being as common as here."""
    least, sample = float(LEAST_PEOPLE[task.kind]), task.sample
    rare = LEAST_OF_EACH * sample.n / max(int(sample.rarer), 1) if sample.two_valued else 0.0
    return max(least, rare)


@dataclass(frozen=True)
class Score:
    """How an estimator did over ``draws`` of n people, in the unit of the coefficient.

    ``coverage`` and ``width`` are of usable intervals, of which there are the share ``intervals``; ``relative_width``
    is over that of people only, ``effective`` how many people alone would have this mean squared error,
    ``withheld_too`` the coverage of all intervals.
    """

    method: str
    n: int
    draws: int
    bias: float
    rmse: float
    coverage: float
    width: float
    relative_width: float
    effective: float
    intervals: float
    withheld_too: float


def scores(task: Task, found: Mapping[str, Inference], truth: float) -> list[Score]:
    """Score estimates, by estimator, of a stack of draws; people only are among them."""
    table = {method: np.stack([one.value, one.low, one.high], axis=1) for method, one in found.items()}
    people, n = table["people"], task.sample.n
    there = np.isfinite(people[:, 0])
    return [
        _score(method, n, values[there], people[there], usable(task, method)[there], truth)
        for method, values in table.items()
    ]


def _score(method: str, n: int, values: FloatArray, people: FloatArray, may_use: BoolArray, truth: float) -> Score:
    known = np.isfinite(values[:, 0])
    value, low, high = values[known].T
    theirs, their_low, their_high = people[known].T
    every = np.isfinite(low)
    ends = every & may_use[known]
    both = ends & np.isfinite(their_low)
    inside = (low <= truth) & (truth <= high)
    squared = _mean(np.square(value - truth))
    return Score(
        method,
        n,
        draws=len(value),
        bias=_mean(value) - truth,
        rmse=float(np.sqrt(squared)),
        coverage=_mean(inside[ends]),
        width=_mean((high - low)[ends]),
        relative_width=_mean((high - low)[both]) / _mean((their_high - their_low)[both]),
        effective=n * _mean(np.square(theirs - truth)) / squared if squared > 0 else float("nan"),
        intervals=float(ends.mean()) if len(ends) else 0.0,
        withheld_too=_mean(inside[every]),
    )


def _mean(values: FloatArray | BoolArray) -> float:
    return float(values.mean()) if len(values) else float("nan")
