"""The estimators that stand side by side, and from how many people on the interval of each is offered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pilotlm.measures.augmented import (
    bootstrapped,
    cross_fitted,
    logit_naive_pooling,
    logit_people_only,
    logit_simulation_only,
    logit_tuned,
)
from pilotlm.measures.intervals import FloatArray
from pilotlm.measures.least_squares import Inference, stacked
from pilotlm.measures.rectified import naive_pooling, people_only, prediction_powered, simulation_only, tuned
from pilotlm.measures.samples import Sample

Kind = Literal["mean", "effect", "coefficient", "logit"]
SIZES = (20, 30, 50, 100, 200)
"""The numbers of people with answers at which the estimators are scored."""
RESAMPLES = 300
LEAST_OF_EACH = 5
"""An interval of the share of an answer is offered where at least so many people gave it, and so many did not."""
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
"""From how many people on an interval is offered, by kind of coefficient and estimator.

It follows from the known truth in ``truth/rectified.json`` (1,000 replications, good, biased and useless predictions):
there the rectified intervals listed cover 93 to 97 % from these numbers on, and with useless predictions they are at
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
    """The estimate of a task by one of the estimators, its interval whatever the number of people.

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
        Without interval where the outcome is 0 or 1 and fewer than `LEAST_OF_EACH` people gave one of the two answers.
    """
    sample = task.sample
    if method in ("crossfit", "bootstrap"):
        rows = zip(sample.each(), task.known, task.known_of_others, rngs, strict=True)
        found = stacked([
            cross_fitted(one, known, others, rng) if method == "crossfit" else bootstrapped(one, RESAMPLES, rng)
            for one, known, others, rng in rows
        ])  # fmt: skip
    else:
        found = (_LOGIT if task.kind == "logit" else _LINEAR)[method](sample)
    rests_on_people = method == "people" or method in RECTIFIED
    return found.without_interval(rests_on_people & sample.two_valued & (sample.rarer < LEAST_OF_EACH))


def is_offered(kind: str, method: str, n: int) -> bool:
    """Whether n people are enough for the interval of an estimator."""
    least = LEAST_PEOPLE.get((kind, method))
    return least is not None and n >= least


def least_people(kind: str) -> int:
    """From how many people on the prediction-powered interval of a kind of coefficient is offered."""
    return LEAST_PEOPLE[kind, "tuned"]
