"""Worlds whose truth is known: endless people, and models that predict them well, with a bias, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import statsmodels.api as sm
from scipy.special import expit

from pilotlm.stats.estimators import Kind, Task
from pilotlm.stats.intervals import FloatArray
from pilotlm.stats.ppi import Sample

Model = Literal["good", "biased", "useless"]
MODELS: tuple[Model, ...] = ("good", "biased", "useless")
OTHERS = 500
"""People without answers in each draw."""
LEVELS = (1, 2, 3, 6)
"""How many of the people with answers hold the rare level whose coefficient is wanted; from six on it is offered."""
_OF_OTHERS = 0.05
"""The share of the others who hold it."""
_MANY = 1_000_000
_TRUTH_SEED = 20_251_121


@dataclass(frozen=True)
class Target:
    """What is estimated in a world, of the action (0 or 1) or of the scale (1 to 7).

    ``holders`` is how many of the people with answers hold the rare level whose coefficient is wanted; 0 where another
    is wanted.
    """

    kind: Kind
    acts: bool
    holders: int = 0


TARGETS: Mapping[str, Target] = {
    "scale_mean": Target("mean", False),
    "action_share": Target("mean", True),
    "scale_effect": Target("effect", False),
    "action_effect": Target("effect", True),
    "scale_coefficient": Target("coefficient", False),
    "action_logit": Target("logit", True),
    **{f"scale_level_of_{h}": Target("coefficient", False, h) for h in LEVELS},
    **{f"action_effect_of_{h}": Target("effect", True, h) for h in LEVELS},
    **{f"action_level_of_{h}": Target("logit", True, h) for h in LEVELS},
}
"""By name; in words they are in `truth.page.CHECK_TITLES`."""


@dataclass(frozen=True, eq=False)
class People:
    """People of the world.

    ``traits`` (n, 3) are known of them beforehand, the third is skewed; ``treated`` (n,) is 0 or 1, by chance;
    ``holds`` (n,) is 1 for who holds a rare level. All of them are part of ``leaning`` (n,), from which the answers
    come: ``scale`` (n,), whole numbers from 1 to 7, more spread among the treated, and ``act`` (n,), 0 or 1.
    """

    traits: FloatArray
    treated: FloatArray
    holds: FloatArray
    leaning: FloatArray
    scale: FloatArray
    act: FloatArray

    @property
    def columns(self) -> FloatArray:
        """The predictors of a regression: a constant, the treatment, and the traits."""
        return np.column_stack([np.ones(len(self.treated)), self.treated, self.traits])


def people_of_world(holds: FloatArray, rng: np.random.Generator) -> People:
    """Draw people of whom it is said who holds the rare level."""
    n = len(holds)
    traits = np.column_stack([rng.normal(size=(n, 2)), rng.exponential(size=n) - 1])
    treated = rng.integers(0, 2, size=n).astype(float)
    noise = rng.normal(size=n) * np.where(treated > 0, 1.1, 0.8)
    leaning = 0.5 * traits[:, 0] - 0.3 * traits[:, 1] + 0.2 * traits[:, 2] + 0.4 * treated + noise
    leaning = leaning + 0.5 * holds
    scale = np.clip(np.round(3.5 + 1.3 * leaning), 1, 7)
    act = (rng.random(n) < expit(-0.6 + 1.2 * leaning)).astype(float)
    return People(traits, treated, holds, leaning, scale, act)


def predictions(people: People, model: Model, acts: bool, rng: np.random.Generator) -> FloatArray:
    """What a model predicts of people, without knowing their answers.

    - "good": near to their leaning, a little too high and too narrow.
    - "biased": it knows a little of them, is far too high, and believes that the treatment does the opposite.
    - "useless": noise around a wrong level.

    Given are expected answers (n,): 1 to 7, or probabilities of acting.
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
    people = _people_for(target, n, OTHERS, rng)
    outcome = people.act if target.acts else people.scale
    predicted, (columns, wanted) = predictions(people, model, target.acts, rng), _design(people, target)
    parts = outcome[:n], predicted[:n], columns[:n], predicted[n:], columns[n:], wanted
    sample = Sample(*parts, participants=np.arange(n), pilot=())  # no model has learnt from anybody here
    return Task(target.kind, sample)


def _people_for(target: Target, n: int, others: int, rng: np.random.Generator) -> People:
    """So many people, of the first n of whom so many hold the rare level as the target says."""
    if not target.holders:
        return people_of_world(np.zeros(n + others), rng)
    holds = np.concatenate([np.arange(n) < target.holders, rng.random(others) < _OF_OTHERS])
    return people_of_world(holds.astype(float), rng)


@cache
def truth_of(target: Target) -> float:
    """The coefficient in a million people: its own error is a hundredth of that of 200."""
    people = _people_for(target, 0, _MANY, np.random.default_rng(_TRUTH_SEED))
    outcome = people.act if target.acts else people.scale
    columns, wanted = _design(people, target)
    if target.kind == "logit":
        return float(sm.GLM(outcome, columns, family=sm.families.Binomial()).fit().params[wanted])
    return float(np.linalg.lstsq(columns, outcome, rcond=None)[0][wanted])


def _design(people: People, target: Target) -> tuple[FloatArray, int]:
    """The predictors of a target's regression, and which of them has the coefficient."""
    if target.kind == "mean":
        return people.columns[:, :1], 0
    if target.kind == "effect":
        compared = people.holds if target.holders else people.treated
        return np.column_stack([np.ones(len(compared)), compared]), 1
    if target.holders:
        return np.column_stack([people.columns, people.holds]), people.columns.shape[1]
    return people.columns, 2
