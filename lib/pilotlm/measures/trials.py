"""Estimators scored over repeated draws of people, against a truth that is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pilotlm.measures.estimators import LABELS, Task, estimate, usable
from pilotlm.measures.intervals import FloatArray
from pilotlm.measures.least_squares import BoolArray, Inference
from pilotlm.measures.samples import stack_samples

Draw = Callable[[np.random.Generator], Task]


@dataclass(frozen=True)
class Score:
    """How an estimator did over repeated draws.

    Attributes
    ----------
    method : str
        The estimator.
    n : int
        People with answers in each draw.
    draws : int
        Draws in which it gave an estimate.
    bias, rmse : float
        Mean error and root of the mean squared error, in the unit of the coefficient.
    coverage : float
        The share of usable intervals (`pilotlm.measures.estimators.usable`) that hold the truth, in [0, 1]; nan where
        there was none.
    width : float
        Their mean width.
    relative_width : float
        The same over that of people only in the same draws.
    effective : float
        How many people alone would have this mean squared error: n times that of people only over this one.
    intervals : float
        The share of draws with a usable interval.
    withheld_too : float
        The coverage of all intervals, usable or not; nan where there was none.
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


def trials(
    draw: Draw,
    truth: float,
    repeats: int,
    rng: np.random.Generator,
    methods: Sequence[str] = (),
) -> list[Score]:
    """Score estimators over repeated draws.

    Parameters
    ----------
    draw : callable
        Gives a task, of as many people each time.
    truth : float
        What is to be estimated.
    repeats : int
        Draws, at least 2.
    rng : numpy.random.Generator
        Source of randomness.
    methods : sequence of str
        The estimators, people only first; all that the task has when empty.

    Returns
    -------
    list of Score
        An estimator each. Draws without an estimate by people only, such as those of a separated logit, are left out
        for all estimators.
    """
    # Generators of their own, so that a score does not depend on which other estimators are scored.
    spawned = [rng.spawn(1 + len(LABELS)) for _ in range(repeats)]
    tasks = [draw(drawing) for drawing, *_ in spawned]
    task = Task(
        tasks[0].kind,
        stack_samples([one.sample for one in tasks]),
        np.stack([one.known for one in tasks]),
        np.stack([one.known_of_others for one in tasks]),
    )
    found: dict[str, Inference] = {}
    for method in methods or task.methods:
        place = 1 + list(LABELS).index(method)
        found[method] = estimate(task, method, [every[place] for every in spawned])
    return scores(task, found, truth)


def scores(task: Task, found: Mapping[str, Inference], truth: float) -> list[Score]:
    """Score estimates of the same draws.

    Parameters
    ----------
    task : Task
        What was estimated: a stack of (draws,) samples.
    found : mapping of str to Inference
        By estimator, people only among them; each has (draws,) arrays.
    truth : float
        What was to be estimated.

    Returns
    -------
    list of Score
        As in `trials`.
    """
    table = {method: np.stack([one.value, one.low, one.high], axis=1) for method, one in found.items()}
    people, n = table["people"], task.sample.n
    there = np.isfinite(people[:, 0])
    return [
        _score(method, n, values[there], people[there], usable(task, method)[there], truth)
        for method, values in table.items()
    ]


def _score(method: str, n: int, values: FloatArray, people: FloatArray, may_use: BoolArray, truth: float) -> Score:
    known = np.isfinite(values[:, 0])
    values, people, may_use = values[known], people[known], may_use[known]
    if not len(values):
        nan = float("nan")
        return Score(method, n, 0, nan, nan, nan, nan, nan, nan, 0.0, nan)
    value, low, high = values.T
    squared, theirs = np.square(value - truth).mean(), np.square(people[:, 0] - truth).mean()
    every = np.isfinite(low)
    ends, both = every & may_use, every & may_use & np.isfinite(people[:, 1])
    inside = (low <= truth) & (truth <= high)
    return Score(
        method,
        n,
        len(values),
        float(value.mean() - truth),
        float(np.sqrt(squared)),
        float(inside[ends].mean()) if ends.any() else float("nan"),
        float((high - low)[ends].mean()) if ends.any() else float("nan"),
        float((high - low)[both].mean() / (people[:, 2] - people[:, 1])[both].mean()) if both.any() else float("nan"),
        float(n * theirs / squared) if squared > 0 else float("nan"),
        float(ends.mean()),
        float(inside[every].mean()) if every.any() else float("nan"),
    )
