"""The generator's known truth: the design, the grid of beliefs, and a gap that comes only from what was put in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pilotlm.data import synthetic
from pilotlm.data.synthetic import ACTIONS, DEFAULTS, DESIGN, STATES, expected_pay, hunt2025

N = 929
SEEDS = range(40)


def gap(people: pd.DataFrame, parameters: synthetic.Hunt2025Parameters = DEFAULTS) -> float:
    """Share of actions that do not maximise expected pay; ties are coherent."""
    pay = expected_pay(people[list(STATES)].to_numpy(), people["value"].to_numpy(dtype=str), parameters)
    chosen = people["action"].map({action: code for code, action in enumerate(ACTIONS)}).to_numpy()
    return float((pay[np.arange(len(pay)), chosen] < pay.max(axis=1) - 1e-9).mean())


@pytest.fixture(scope="module")
def draws() -> list[pd.DataFrame]:
    """One draw a seed."""
    return [hunt2025(N, np.random.default_rng(seed)) for seed in SEEDS]


def test_the_published_aggregates_are_met_on_average(draws: list[pd.DataFrame]) -> None:
    # 340 and 24.7 % were published. The means of 40 draws have standard errors of 1.8 and .002; the tolerances are the
    # spread of a single draw.
    structures = [len(people[list(STATES)].drop_duplicates()) for people in draws]
    assert np.mean(structures) == pytest.approx(340, abs=11)
    assert np.mean([gap(people) for people in draws]) == pytest.approx(0.24, abs=0.014)


def test_beliefs_lie_on_the_grid_and_sum_to_100(draws: list[pd.DataFrame]) -> None:
    beliefs = pd.concat(draws)[list(STATES)].to_numpy()
    assert (beliefs.sum(axis=1) == 100).all()
    assert (beliefs % 5 == 0).all() and (beliefs >= 0).all()


def test_the_eight_treatments_are_balanced(draws: list[pd.DataFrame]) -> None:
    cells = draws[0].groupby(["statement", "value", "rule"]).size()
    assert sorted(cells.index) == sorted(DESIGN)
    assert set(cells) == {116, 117}


def test_without_noise_in_the_choice_the_gap_closes() -> None:
    exact = replace(DEFAULTS, lapse=0.0, precision=50.0, risk_taste=0.0)
    people = hunt2025(N, np.random.default_rng(3), exact)
    assert gap(people, exact) < 0.01


def test_the_lapse_alone_gives_two_thirds_of_itself() -> None:
    # A lapse picks one of three actions at random, so two in three of them are wrong.
    lapses = replace(DEFAULTS, lapse=0.3, precision=500.0, risk_taste=0.0)
    people = hunt2025(20_000, np.random.default_rng(4), lapses)
    assert gap(people, lapses) == pytest.approx(0.2, abs=0.01)


def test_the_rule_moves_the_credulous(draws: list[pd.DataFrame]) -> None:
    people = pd.concat(draws)
    share = people["type"].eq("credulous").groupby(people["rule"]).mean()
    assert share["truth"] - share["free"] > 0.15


def test_expected_pay_of_a_certain_belief() -> None:
    certain = np.eye(4, dtype=int) * 100
    pay = expected_pay(certain, np.array(["unequal"] * 4))
    expected = [[2.5, 9.5, 3.9], [2.5, 2.75, 3.9], [2.5, 9.5, 0.75], [2.5, 2.75, 0.75]]
    np.testing.assert_allclose(pay, expected)


def test_a_seed_gives_the_same_people() -> None:
    first, again, other = (hunt2025(50, np.random.default_rng(seed)) for seed in (7, 7, 8))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)
