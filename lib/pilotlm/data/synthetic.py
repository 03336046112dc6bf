"""Studies drawn from a known truth: test material for the pipeline, and never evidence about people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]

STATES = ("none", "a", "b", "both")
"""Which beaches have new guards."""
ACTIONS = ("out", "a", "b")
"""Stay out, raid beach A, raid beach B."""
TYPES = ("credulous", "sceptical", "valuation", "uniform")
"""How a participant forms a belief from the statement."""
DESIGN = tuple(product(("a", "both"), ("equal", "unequal"), ("truth", "free")))
"""The eight treatments: where the queen says the guards are, the beaches' values, and the rule that she is under."""
ETHNICITIES = ("White", "Black", "Asian", "Mixed", "Other")
"""The five groups of Prolific."""
VALUES = {"equal": (10.0, 10.0), "unequal": (14.0, 6.0)}
"""What beach A and beach B are worth."""

_GUARDED = {"a": np.array([0.0, 1.0, 0.0, 1.0]), "b": np.array([0.0, 0.0, 1.0, 1.0])}
_CREDULOUS = {"a": (0.08, 0.70, 0.09, 0.13), "both": (0.07, 0.13, 0.13, 0.67)}
_SCEPTICAL = {"a": (0.26, 0.15, 0.38, 0.21), "both": (0.36, 0.24, 0.24, 0.16)}
_VALUATION = {"equal": (0.12, 0.31, 0.31, 0.26), "unequal": (0.11, 0.54, 0.13, 0.22)}


@dataclass(frozen=True)
class Hunt2025Parameters:
    """The truth of the stand-in for the information-disclosure experiment; every value is assumed.

    ``types`` are shares of the four `TYPES` before treatment, age and ethnic group shift them; ``concentration`` is of
    the Dirichlet noise around a type's mean belief, ``steps`` are the grids on which beliefs are reported and
    ``step_weights`` how often each is used; a share of credulous and sceptical people, ``certain``, puts everything on
    one state. A raid succeeds on an unguarded and on a guarded beach with the chances ``open_success`` and
    ``guarded_success``, costs ``repelled`` otherwise, and staying out pays ``stay_out``. The logit choice has a
    ``precision`` per unit of expected pay, the worth of a raid per point of risk taking above 5 (``risk_taste``), and
    people who choose at random (``lapse``).
    """

    types: tuple[float, ...] = (0.42, 0.22, 0.20, 0.16)
    concentration: float = 5.0
    concentration_uniform: float = 12.0
    steps: tuple[int, ...] = (25, 10, 5)
    step_weights: tuple[float, ...] = (0.43, 0.32, 0.21)
    certain: float = 0.10
    open_success: float = 0.70
    guarded_success: float = 0.25
    repelled: float = 1.0
    stay_out: float = 2.5
    precision: float = 1.5
    risk_taste: float = 0.12
    lapse: float = 0.14


DEFAULTS = Hunt2025Parameters()


def hunt2025(n: int, rng: np.random.Generator, parameters: Hunt2025Parameters = DEFAULTS) -> pd.DataFrame:
    """Draw people for the stand-in: a 2 x 2 x 2 design, a belief over four states, and a raid or none.

    Beliefs are reported in steps of 5 at the finest, so that every answer lies on one closed grid. Over the seeds 0 to
    39, 929 people have 337 (standard deviation 11) unique belief structures and a belief-action gap of .234 (.014);
    without lapses and with a precision of 50 the gap is .015, all of it the taste for risk.
    """
    people = _people(n, rng)
    kind = _draw_rows(_type_shares(people, parameters), rng)
    belief = _belief(people, kind, rng, parameters)
    percent = _rounded(belief, kind, rng, parameters)
    action = _action(people, percent, rng, parameters)
    answers = pd.DataFrame(percent, columns=list(STATES))
    return pd.concat(
        [people, answers.assign(type=np.array(TYPES)[kind], action=np.array(ACTIONS)[action])], axis="columns"
    )


def expected_pay(
    percent: Numbers | Codes, value: NDArray[np.str_], parameters: Hunt2025Parameters = DEFAULTS
) -> Numbers:
    """The expected pay of each action under each belief."""
    pay = np.full((len(percent), len(ACTIONS)), parameters.stay_out)
    for place, beach in enumerate("ab"):
        guarded = percent @ _GUARDED[beach] / 100
        success = guarded * parameters.guarded_success + (1 - guarded) * parameters.open_success
        worth = np.array([VALUES[word][place] for word in value])
        pay[:, 1 + place] = success * worth - (1 - success) * parameters.repelled
    return pay


def _people(n: int, rng: np.random.Generator) -> pd.DataFrame:
    cell = rng.permutation(np.resize(np.arange(len(DESIGN)), n))
    design = pd.DataFrame([DESIGN[index] for index in cell], columns=["statement", "value", "rule"])
    return design.assign(
        age=np.clip(np.round(rng.gamma(7.0, 4.0, n) + 13), 18, 80).astype(np.int64),
        sex=rng.choice(["female", "male"], n),
        college=rng.choice(["no", "yes"], n, p=[0.43, 0.57]),
        ethnicity=rng.choice(ETHNICITIES, n, p=[0.70, 0.13, 0.08, 0.06, 0.03]),
        risk=np.clip(np.round(rng.normal(5.0, 2.2, n)), 0, 10).astype(np.int64),
    )


def _type_shares(people: pd.DataFrame, parameters: Hunt2025Parameters) -> Numbers:
    """The share of each type, shifted on the log scale: above all by the rule and the values."""
    shift = np.zeros((len(people), len(TYPES)))
    truth, unequal = (people["rule"] == "truth").to_numpy(), (people["value"] == "unequal").to_numpy()
    shift[:, 0] += np.where(truth, 0.55, -0.45)
    shift[:, 1] += np.where(truth, -0.55, 0.45)
    shift[:, 2] += np.where(unequal, 0.35, -0.25)
    shift[:, 0] += 0.010 * (people["age"].to_numpy(dtype=float) - 41)
    shift[:, 1] += np.where(people["ethnicity"] == "White", 0.0, 0.30)
    weights = np.array(parameters.types) * np.exp(shift)
    shares: Numbers = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _belief(people: pd.DataFrame, kind: Codes, rng: np.random.Generator, parameters: Hunt2025Parameters) -> Numbers:
    """Dirichlet noise around the mean belief of each person's type, as shares."""
    statement, value = people["statement"].to_numpy(), people["value"].to_numpy()
    means = np.full((len(people), len(STATES)), 1 / len(STATES))
    for row in range(len(people)):
        if kind[row] < 3:
            means[row] = (_CREDULOUS[statement[row]], _SCEPTICAL[statement[row]], _VALUATION[value[row]])[kind[row]]
    concentration = np.where(kind == 3, parameters.concentration_uniform, parameters.concentration)
    noise = rng.standard_gamma(means * concentration[:, None])
    shares: Numbers = noise / noise.sum(axis=1, keepdims=True)
    return shares


def _rounded(shares: Numbers, kind: Codes, rng: np.random.Generator, parameters: Hunt2025Parameters) -> Codes:
    """Whole percentages on the grid that each person uses, everything on one state for those who are certain."""
    n = len(shares)
    weights = np.array(parameters.step_weights) / sum(parameters.step_weights)
    units = 100 // rng.choice(np.array(parameters.steps), n, p=weights)
    certain = (rng.random(n) < parameters.certain) & (kind < 2)
    units = np.where(certain, 1, units)
    exact = shares * units[:, None]
    whole = np.floor(exact)
    # Largest remainders, so that the parts sum to the total.
    left = units - whole.sum(axis=1)
    rank = np.argsort(np.argsort(whole - exact, axis=1), axis=1)
    percent: Codes = ((whole + (rank < left[:, None])) * (100 // units)[:, None]).astype(np.int64)
    return percent


def _action(people: pd.DataFrame, percent: Codes, rng: np.random.Generator, parameters: Hunt2025Parameters) -> Codes:
    """Logit choice on expected pay and a taste for risk, with lapses."""
    worth = expected_pay(percent, people["value"].to_numpy(dtype=str), parameters)
    worth[:, 1:] += parameters.risk_taste * (people["risk"].to_numpy(dtype=float) - 5)[:, None]
    strength = parameters.precision * (worth - worth.max(axis=1, keepdims=True))
    chance = np.exp(strength)
    chance /= chance.sum(axis=1, keepdims=True)
    return _draw_rows((1 - parameters.lapse) * chance + parameters.lapse / len(ACTIONS), rng)


def _draw_rows(chance: Numbers, rng: np.random.Generator) -> Codes:
    """One column a row, with that row's chances."""
    drawn = rng.random(len(chance))[:, None] > np.cumsum(chance, axis=1)
    column: Codes = np.minimum(drawn.sum(axis=1), chance.shape[1] - 1).astype(np.int64)
    return column


GENERATORS: dict[str, Callable[[int, np.random.Generator], pd.DataFrame]] = {"hunt2025": hunt2025}
"""The generators that a study file may name."""
