"""The estimators that stand side by side, and from how many people on the interval of each is offered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pilotlm.measures.augmented import (
    bootstrapped,
    cross_fitted,
    logit_naive_pooling,
    logit_people_only,
    logit_simulation_only,
    logit_tuned,
)
from pilotlm.measures.intervals import FloatArray
from pilotlm.measures.least_squares import BoolArray, Inference, fitted, squares, stacked
from pilotlm.measures.rectified import naive_pooling, people_only, prediction_powered, simulation_only, tuned
from pilotlm.measures.samples import Sample

Kind = Literal["mean", "effect", "coefficient", "logit"]
SIZES = (20, 30, 50, 100, 200)
"""The numbers of people with answers at which the estimators are scored."""
RESAMPLES = 300
LEAST_OF_EACH = 5
"""An interval of the share of an answer is offered where at least so many people gave it, and so many did not."""
LEAST_FREEDOM: Mapping[str, float] = {"mean": 5.0, "effect": 5.0, "coefficient": 4.0, "logit": 12.0}
"""Bell and McCaffrey's degrees of freedom from which on an interval is offered, by kind of coefficient.

They count the people behind a coefficient: where a level is held by one person there is no error at all, by three
people there are about two. Fewer than four are not to be trusted (Tipton, 2015, Small sample adjustments for robust
variance estimation with meta-regression, Psychological Methods 20, 375-393). Effects need five because their answers
may be 0 or 1: with fewer, all people of a group often answer alike, and intervals on known truth cover less than 93 %.
Those of logits with fewer than twelve cover more than 97 %.
"""
LABELS: Mapping[str, str] = {
    "people": "People only",
    "simulation": "Simulation only",
    "pooling": "Naive pooling",
    "ppi": "Prediction-powered, weight 1",
    "tuned": "Prediction-powered, PPI++",
    "crossfit": "Cross-fitted, no language model",
    "bootstrap": "Prediction-powered, bootstrap",
}
"""The estimators in their order, with their names on figures."""
RECTIFIED = ("ppi", "tuned", "crossfit", "bootstrap")
"""Those that hold whatever the predictions are."""
LEAST_PEOPLE: Mapping[tuple[str, str], int] = {
    **{(kind, name): 20 for kind in ("mean", "effect", "coefficient") for name in ("people", "tuned")},
    **{(kind, "crossfit"): 20 for kind in ("mean", "effect")},
    **{("logit", name): 50 for name in ("people", "tuned")},
}
"""From how many people on an interval is offered, by kind of coefficient and estimator, if enough are behind it.

It follows from the known truth in ``truth/rectified.json`` (1,000 replications, good, biased and useless predictions):
there the rectified intervals listed cover 92 to 97 % from these numbers on, and with useless predictions they are at
most a tenth wider than people's alone. Not offered are: a logit of fewer people, which covers up to 99 %; the
bootstrap, which covers 89 to 95 % up to 200 people; weight 1, a third wider than people alone where the predictions
are useless; and what takes predictions for answers, whose interval says nothing of people.
"""
NOT_OFFERED: Mapping[str, str] = {
    "simulation": "its interval says nothing of people.",
    "pooling": "its interval says nothing of people.",
    "ppi": "useless predictions make its interval wider than people's alone, which tuning avoids.",
    "crossfit": "for a coefficient its interval was not scored.",
    "bootstrap": "its interval covers too rarely with few people.",
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
    "people": people_only, "simulation": simulation_only, "pooling": naive_pooling, "ppi": prediction_powered,
    "tuned": tuned,
}  # fmt: skip
_LOGIT: Mapping[str, _Estimator] = {
    "people": logit_people_only, "simulation": logit_simulation_only, "pooling": logit_naive_pooling,
    "tuned": logit_tuned,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Task:
    """A sample, what kind of coefficient is wanted, and what else is known of the people.

    Attributes
    ----------
    kind : {"mean", "effect", "coefficient", "logit"}
        Of what; a logit is fitted by maximum likelihood, the others by least squares.
    sample : Sample
        Or a stack of them.
    known, known_of_others : (..., n, p) and (..., m, p) array
        What `cross_fitted` may learn from; with no columns there is no cross-fitting.
    """

    kind: Kind
    sample: Sample
    known: FloatArray
    known_of_others: FloatArray

    @property
    def methods(self) -> tuple[str, ...]:
        """The estimators that there are for it."""
        if self.kind == "logit":
            return tuple(name for name in LABELS if name in _LOGIT)
        # The columns of a regression are known beforehand: a ridge regression on them adds nothing to it.
        fits = self.kind != "coefficient" and self.known.shape[-1] > 0
        return tuple(name for name in LABELS if fits or name != "crossfit")

    def wanting(self, column: int) -> Task:
        """The same with another coefficient of the same sample wanted; see `Sample.wanting`."""
        return replace(self, sample=self.sample.wanting(column))


def estimate(task: Task, method: str, rngs: Sequence[np.random.Generator] = ()) -> Inference:
    """The estimate of a task by one of the estimators, with its interval even where that is not offered.

    Parameters
    ----------
    task : Task
    method : str
        One of `Task.methods`.
    rngs : sequence of numpy.random.Generator
        For folds and resamples, one for each sample of the stack; the other estimators need none.

    Returns
    -------
    Inference
    """
    sample = task.sample
    if method in ("crossfit", "bootstrap"):
        rows = zip(sample.each(), task.known, task.known_of_others, rngs, strict=True)
        return stacked([
            cross_fitted(one, known, others, rng) if method == "crossfit" else bootstrapped(one, RESAMPLES, rng)
            for one, known, others, rng in rows
        ])  # fmt: skip
    return (_LOGIT if task.kind == "logit" else _LINEAR)[method](sample)


def enough_people(kind: str, method: str, n: int) -> bool:
    """Whether n people are enough for the interval of an estimator, if enough of them are behind the coefficient."""
    least = LEAST_PEOPLE.get((kind, method))
    return least is not None and n >= least


def why_withheld(task: Task, method: str) -> NDArray[np.str_]:
    """Why the interval of an estimator is not offered.

    Parameters
    ----------
    task : Task
    method : str
        One of `Task.methods`.

    Returns
    -------
    (...) array of str
        A sentence for each sample of the stack; "" where the interval is offered.
    """
    if (task.kind, method) not in LEAST_PEOPLE:
        return np.full(task.sample.stack, NOT_OFFERED[method])
    if not enough_people(task.kind, method, task.sample.n):
        return np.full(task.sample.stack, FEW)
    return _too_few_behind(task)


def is_offered(task: Task, method: str) -> BoolArray:
    """Whether the interval of an estimator is offered, for each sample of the stack; see `why_withheld`."""
    return np.asarray(why_withheld(task, method) == "")


def usable(task: Task, method: str) -> BoolArray:
    """The same whatever the number of people: whether enough are behind the coefficient.

    An interval that takes predictions for answers does not rest on people.
    """
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
    least, sample = float(LEAST_PEOPLE[task.kind, "tuned"]), task.sample
    rare = LEAST_OF_EACH * sample.n / max(int(sample.rarer), 1) if sample.two_valued else 0.0
    return max(least, rare)
