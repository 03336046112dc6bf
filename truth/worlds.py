"""Worlds whose truth is known: endless people, and models that predict them well, with a bias, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import statsmodels.api as sm
from scipy.special import expit

from pilotlm.measures.estimators import Kind, Task
from pilotlm.measures.intervals import FloatArray
from pilotlm.measures.samples import Sample

Model = Literal["good", "biased", "useless"]
MODELS: tuple[Model, ...] = ("good", "biased", "useless")
OTHERS = 500
"""People without answers in each draw."""
_MANY = 1_000_000
_TRUTH_SEED = 20_251_121


@dataclass(frozen=True)
class Target:
    """What is estimated in a world.

    Attributes
    ----------
    name : str
        Its name in tables.
    label : str
        In words.
    kind : {"mean", "effect", "coefficient", "logit"}
    acts : bool
        Of the action (0 or 1), not of the scale (1 to 7).
    """

    name: str
    label: str
    kind: Kind
    acts: bool


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("scale_mean", "Mean of a scale from 1 to 7", "mean", False),
        Target("action_share", "Share who act", "mean", True),
        Target("scale_effect", "Effect of the treatment on the scale", "effect", False),
        Target("action_effect", "Effect of the treatment on acting", "effect", True),
        Target("scale_coefficient", "OLS coefficient of a trait, five columns", "coefficient", False),
        Target("action_logit", "Logit coefficient of a trait, five columns", "logit", True),
    )
}


@dataclass(frozen=True, eq=False)
class People:
    """People of the world.

    Attributes
    ----------
    traits : (n, 3) array
        What is known of them beforehand; the third is skewed.
    treated : (n,) array
        0 or 1, by chance.
    leaning : (n,) array
        What their answers come from; traits and treatment are part of it.
    scale, act : (n,) array
        Their answers: whole numbers from 1 to 7, more spread among the treated, and 0 or 1.
    """

    traits: FloatArray
    treated: FloatArray
    leaning: FloatArray
    scale: FloatArray
    act: FloatArray

    @property
    def columns(self) -> FloatArray:
        """The predictors of a regression: a constant, the treatment, and the traits."""
        return np.column_stack([np.ones(len(self.treated)), self.treated, self.traits])


def people_of_world(n: int, rng: np.random.Generator) -> People:
    """Draw n people."""
    traits = np.column_stack([rng.normal(size=(n, 2)), rng.exponential(size=n) - 1])
    treated = rng.integers(0, 2, size=n).astype(float)
    noise = rng.normal(size=n) * np.where(treated > 0, 1.1, 0.8)
    leaning = 0.5 * traits[:, 0] - 0.3 * traits[:, 1] + 0.2 * traits[:, 2] + 0.4 * treated + noise
    scale = np.clip(np.round(3.5 + 1.3 * leaning), 1, 7)
    act = (rng.random(n) < expit(-0.6 + 1.2 * leaning)).astype(float)
    return People(traits, treated, leaning, scale, act)


def predictions(people: People, model: Model, acts: bool, rng: np.random.Generator) -> FloatArray:
    """What a model predicts of people, without knowing their answers.

    - "good": near to their leaning, a little too high and too narrow.
    - "biased": it knows a little of them, is far too high, and believes that the treatment does the opposite.
    - "useless": noise around a wrong level.

    Returns
    -------
    (n,) array
        Expected answers: 1 to 7, or probabilities of acting.
    """
    noise = rng.normal(size=len(people.treated))
    if model == "good":
        guess = 0.3 + 0.8 * people.leaning + 0.4 * noise
    elif model == "biased":
        guess = 1.2 + 0.35 * people.leaning - 0.8 * people.treated - 0.4 * people.traits[:, 0] + 0.5 * noise
    else:
        guess = 1.0 + 0.8 * noise
    return np.asarray(expit(-0.6 + 1.2 * guess) if acts else np.clip(3.5 + 1.3 * guess, 1, 7))


def task_of(target: Target, model: Model, n: int, rng: np.random.Generator) -> Task:
    """Draw n people with answers and `OTHERS` without, and what the model predicts of both."""
    people = people_of_world(n + OTHERS, rng)
    outcome = people.act if target.acts else people.scale
    predicted, (columns, wanted) = predictions(people, model, target.acts, rng), _design(people, target.kind)
    sample = Sample(outcome[:n], predicted[:n], columns[:n], predicted[n:], columns[n:], wanted)
    known = people.columns[:, 1:]
    return Task(target.kind, sample, known[:n], known[n:])


@cache
def truth_of(target: Target) -> float:
    """The coefficient in a million people: its own error is a hundredth of that of 200."""
    people = people_of_world(_MANY, np.random.default_rng(_TRUTH_SEED))
    outcome = people.act if target.acts else people.scale
    columns, wanted = _design(people, target.kind)
    if target.kind == "logit":
        return float(sm.GLM(outcome, columns, family=sm.families.Binomial()).fit().params[wanted])
    return float(np.linalg.lstsq(columns, outcome, rcond=None)[0][wanted])


def _design(people: People, kind: Kind) -> tuple[FloatArray, int]:
    if kind == "mean":
        return people.columns[:, :1], 0
    if kind == "effect":
        return people.columns[:, :2], 1
    return people.columns, 2
