"""Exact distributions, and what is made of them: tempered, pooled with the logit, renormalised token by token."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plain import plain_logp, random_model

from pilotlm.baselines.fit import FITS
from pilotlm.baselines.sequential import codes_of, folded_pilot
from pilotlm.data.pilot import Pilot
from pilotlm.data.prompts import slots_of
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import LanguageModel
from pilotlm.models.pool import pool_with
from pilotlm.models.simulate import Respondent, answer_as, given_distributions, predictive_distributions, tempered
from pilotlm.predictions import asked_columns, expected_answers, predictions_of
from pilotlm.study import Study


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return random_model()


@pytest.fixture(scope="module")
def small(short_toy: Study) -> Study:
    """The short toy study with 36 ways to fill in the form, one answer the beginning of another."""
    content = short_toy.model_dump()
    content["questions"][0]["high"] = 3
    content["questions"][1]["step"] = 50
    content["questions"][2]["options"] = content["questions"][2]["options"][:2]
    content["questions"][2]["options"][1]["answer"] = "stay on"
    return Study.model_validate(content)


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    drawn = draw_toy_people(40, 3)
    halves = np.array([(0, 0, 100), (50, 0, 50), (0, 50, 50), (50, 50, 0), (100, 0, 0)])[np.arange(40) % 5]
    return drawn.assign(
        fear=np.arange(40) % 3 + 1, odds_none=halves[:, 0], odds_small=halves[:, 1], odds_big=halves[:, 2],
        leave=np.arange(40) // 3 % 2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def answering(model: LanguageModel, small: Study) -> Respondent:
    return Respondent(model, Encoder(small, model.tokenizer))


def joint(answering: Respondent, study: Study, person: pd.DataFrame) -> pd.DataFrame:
    """Every valid form of a person with its probability, from the likelihood of whole forms."""
    slots = slots_of(study)
    ways = [
        way for way in itertools.product(*(slot.values for slot in slots))
        if sum(v for v, slot in zip(way, slots, strict=True) if slot.total) == 100
    ]  # fmt: skip
    rows = pd.concat([person] * len(ways), ignore_index=True)
    rows = rows.assign(**{slot.column: [way[k] for way in ways] for k, slot in enumerate(slots)})
    return rows.assign(distribution=np.exp(given_distributions(answering, rows).log_probability.sum(axis=1)))


def test_the_table_of_distributions_is_that_of_people_s_own_answers(
    answering: Respondent, small: Study, people: pd.DataFrame
) -> None:
    table = predictive_distributions(answering, people)
    distributions, filled = predictions_of(small, table, people["participant"]), given_distributions(answering, people)
    for line, slot in enumerate(slots_of(small)):
        if not slot.follows:
            own = distributions[slot.column][np.arange(len(people)), codes_of(slot, people)]
            np.testing.assert_allclose(np.log(own), filled.log_probability[:, line], atol=1e-9)


def test_a_temperature_divides_and_normalises() -> None:
    distribution = np.log([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0 + 1e-300]])
    cold = np.exp(tempered(distribution, 0.5))
    np.testing.assert_allclose(cold[0], np.array([0.25, 0.09, 0.04]) / 0.38)
    np.testing.assert_allclose(np.exp(tempered(distribution, 1.0)), np.exp(distribution), atol=1e-15)
    assert tempered(np.array([[0.0, -np.inf]]), 0.7).tolist() == [[0.0, -np.inf]]


# Token by token.


def constrained(answering: Respondent, people: pd.DataFrame, line: int) -> np.ndarray[Any, Any]:
    """The distribution of constrained decoding, by hand: at each token what is allowed is divided by its sum."""
    encoder = answering.encoder
    encoded = encoder.slots[line]
    rows = []
    for person in people.to_dict("records"):
        prompt = encoder.prompt(person)
        context = prompt.shared + prompt.scenario + prompt.persona
        for earlier in encoder.slots[:line]:
            if not earlier.slot.follows:
                context += earlier.label + earlier.answers[encoder.answer_index(earlier, person[earlier.slot.column])]
        context += encoded.label
        distribution = []
        for answer in encoded.answers:
            total = 0.0
            for k, token in enumerate(answer):
                choices = {other[k] for other in encoded.answers if other[:k] == answer[:k]}
                logs = {
                    choice: plain_logp(answering.language_model, context + answer[:k], (choice,)) for choice in choices
                }
                total += logs[token] - np.logaddexp.reduce(list(logs.values()))
            distribution.append(total)
        rows.append(distribution)
    return np.array(rows)


@pytest.mark.parametrize("plain", [False, True])
def test_token_by_token_is_constrained_decoding(
    model: LanguageModel, small: Study, people: pd.DataFrame, plain: bool
) -> None:
    some = people.iloc[:3]
    answering = Respondent(model, Encoder(small, model.tokenizer), plain=plain, token_by_token=True)
    distributions = given_distributions(answering, some).distributions
    for line in (0, 4):
        np.testing.assert_allclose(distributions[line], constrained(answering, some, line), atol=1e-4)
    whole = given_distributions(Respondent(model, answering.encoder), some).distributions
    assert np.abs(np.exp(distributions[4]) - np.exp(whole[4])).max() > 1e-3, (
        "the two distributions must differ for this to be a test"
    )


def test_token_by_token_keeps_to_what_is_left(model: LanguageModel, small: Study, people: pd.DataFrame) -> None:
    answering = Respondent(model, Encoder(small, model.tokenizer), token_by_token=True)
    drawn = answer_as(answering, people, 1, draws=20)
    assert (drawn[["odds_none", "odds_small", "odds_big"]].sum(axis=1) == 100).all()
    spent = given_distributions(answering, people.assign(odds_none=100, odds_small=0, odds_big=0)).distributions[2]
    np.testing.assert_allclose(np.exp(spent), np.tile([1.0, 0.0, 0.0], (40, 1)), atol=1e-12)


# Pooled with the logit.


def first(people: int) -> Pilot:
    """The first people as a pilot."""
    numbers = tuple(range(1, 41))
    return Pilot(numbers[:people], numbers[people:], ("calm", "alarm"))


@pytest.mark.parametrize("name", ["logit", "copula"])
def test_what_is_pooled_with_is_the_baseline_of_the_whole_pilot(small: Study, people: pd.DataFrame, name: str) -> None:
    pilot = first(26)
    baseline = FITS[name](small, *folded_pilot(small, people, pilot, 1))
    rest = people[people["participant"].isin(pilot.held_out)]
    pool = pool_with(name, small, people, pilot, 1)
    for column, distribution in baseline.distributions(rest).items():
        np.testing.assert_array_equal(pool.baseline.distributions(rest)[column], distribution)


@pytest.mark.slow
def test_the_pool_is_drawn_from_the_pooled_distribution(
    answering: Respondent, small: Study, people: pd.DataFrame
) -> None:
    pool = pool_with("logit", small, people, first(26), 1)
    rest = people.iloc[26:]
    distributions = predictions_of(
        small, predictive_distributions(answering, rest, reweigh=pool.over(rest)), rest["participant"]
    )
    alone = given_distributions(answering, rest).distributions
    for line, slot in enumerate(slots_of(small)):
        if slot.follows:
            continue
        mixed = np.sqrt(np.exp(alone[line]) * pool.baseline.line_distribution(line, rest))
        mixed /= mixed.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(distributions[slot.column], mixed, atol=1e-9)
    drawn = answer_as(answering, rest.iloc[[0]], 1, draws=4000, batch=500, reweigh=pool.over(rest.iloc[[0]]))
    seen = drawn["fear"].value_counts(normalize=True).sort_index().reindex([1, 2, 3], fill_value=0.0)
    # Four standard errors of a share.
    assert np.abs(seen.to_numpy() - distributions["fear"][0]).max() < 4 * 0.5 / np.sqrt(4000)


# What is expected of an answer before it is drawn.


def test_expected_answers_are_the_means_of_the_distributions(
    answering: Respondent, small: Study, people: pd.DataFrame
) -> None:
    some = people.iloc[:3]
    drawn = answer_as(answering, some, 1, draws=300, batch=500)
    by_person = np.arange(len(drawn)) // 300
    wholes = [joint(answering, small, some.iloc[[row]]) for row in range(3)]
    first, second = ([np.average(w[name], weights=w["distribution"]) for w in wholes] for name in ("fear", "odds_none"))
    # Nothing is answered before the first question, so each draw has its exact mean.
    np.testing.assert_allclose(drawn["expected_fear"], np.repeat(first, 300), atol=1e-6)
    means = drawn["expected_odds_none"].groupby(by_person).mean()
    # Four standard errors of a mean of 300 numbers between 0 and 100, with a standard deviation of 50 at most.
    assert np.abs(means - second).max() < 4 * 50 / np.sqrt(300)
    assert drawn["fear"].std() > 0.1, "the draws must differ for this to be a test"
    likeliest = answer_as(answering, some, 1, temperature=0)
    assert (likeliest["expected_leave"] == likeliest["leave"]).all()


def test_what_has_no_order_has_chances(small: Study, people: pd.DataFrame) -> None:
    content = small.model_dump()
    content["questions"][2]["options"] += ({"code": 7, "raw": 7, "text": "maybe", "answer": "m"},)
    three = Study.model_validate(content)
    distributions = {
        column: np.full((2, len(values)), 1 / len(values)) for column, values in asked_columns(three).items()
    }
    expected = expected_answers(three, distributions)
    chances = ["expected_leave_is_0", "expected_leave_is_1", "expected_leave_is_7"]
    assert list(expected) == ["expected_fear", "expected_odds_none", "expected_odds_small", *chances]
    assert expected["expected_fear"].tolist() == [2, 2] and np.allclose(expected[chances], 1 / 3)
