from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.typing import NDArray
from plain import lively, log_likelihood, plain_distribution, plain_likelihood, random_model, simulate, tiny_random

from pilotlm.data.prompts import USUAL, Wording, slots_of
from pilotlm.data.sources import load_people
from pilotlm.models.answer_scoring import Distribution
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import load_model
from pilotlm.models.simulate import PlainReadingWarning, Respondent, answer_as, given_distributions
from pilotlm.predictions import expected_column
from pilotlm.responses import valid_mass_column
from pilotlm.study import Study, load_study

ANSWERS = ["fear", "odds_none", "odds_small", "odds_big", "leave"]
MASSES = [valid_mass_column(name) for name in ANSWERS if name != "odds_big"]


@pytest.fixture(scope="module")
def ten(toy_content: dict[str, Any]) -> Study:
    """The toy study with answers of which one is the beginning of another: 1 and 10, leave and leave now."""
    content = copy.deepcopy(toy_content)
    content["questions"][0]["high"] = 10
    content["questions"][2]["options"][2]["answer"] = "leave now"
    return Study.model_validate(content)


@pytest.fixture(scope="module")
def small(toy_content: dict[str, Any]) -> Study:
    """The toy study with short texts and 36 ways to fill in the form."""
    content = copy.deepcopy(toy_content)
    content["instructions"] = content["treatments"][0]["scenario"] = content["treatments"][1]["scenario"] = "x"
    content["persona"], content["subgroups"] = [{"name": "age", "text": "{value}", "range": [18, 80]}], []
    for letter, question in zip("fol", content["questions"], strict=True):
        question["text"], question["form"] = "?", letter
    for letter, part in zip("abc", content["questions"][1]["parts"], strict=True):
        part["text"] = letter
    content["questions"][0]["high"] = 3
    content["questions"][1]["step"] = 50
    content["questions"][2]["options"] = content["questions"][2]["options"][:2]
    return Study.model_validate(content)


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    """Twelve people whose texts differ in length and who give every answer from 1 to 10."""
    drawn = draw_toy_people(12, 3)
    return drawn.assign(fear=np.arange(12) % 10 + 1)


def complete_forms(study: Study, person: pd.DataFrame) -> pd.DataFrame:
    """One person with every valid form."""
    slots = slots_of(study)
    rows = [
        values
        for values in itertools.product(*(slot.values for slot in slots))
        if sum(v for v, slot in zip(values, slots, strict=True) if slot.total) == 100
    ]
    return pd.concat([person] * len(rows), ignore_index=True).assign(
        **{slot.column: [row[k] for row in rows] for k, slot in enumerate(slots)}
    )


# The distribution of whole answers.

WORDINGS = {"usual": USUAL, "no persona": Wording(with_persona=False), "persona first": Wording(persona_first=True)}


@pytest.mark.parametrize("wording", WORDINGS)
def test_whole_answers_have_the_probability_of_their_text(ten: Study, people: pd.DataFrame, wording: str) -> None:
    encoder = Encoder(ten, tiny_random().tokenizer, WORDINGS[wording])
    distribution = given_distributions(Respondent(lively(), encoder), people)
    likelihood = log_likelihood(lively(), ten, people, wording=WORDINGS[wording])
    assert np.array_equal(distribution.log_probability, likelihood)
    assert np.array_equal(distribution.values, people[ANSWERS])
    for row in (0, 5, 9):  # both treatments; the answers 1 and 10
        logp, mass = plain_likelihood(lively(), encoder, people.iloc[row].to_dict())
        # A step is normalised in single precision: seven digits of numbers around five.
        np.testing.assert_allclose(distribution.log_probability[row], logp, atol=1e-5)
        np.testing.assert_allclose(distribution.valid_mass[row], mass, rtol=1e-5)
        assert logp[ANSWERS.index("odds_big")] == 0 and np.isnan(mass[ANSWERS.index("odds_big")])
    assert distribution.log_probability.min() < -1


def test_whole_answers_of_tiny_random(ten: Study, people: pd.DataFrame) -> None:
    encoder = Encoder(ten, tiny_random().tokenizer)
    logp, mass = plain_likelihood(tiny_random(), encoder, people.iloc[1].to_dict())
    distribution = given_distributions(Respondent(tiny_random(), encoder), people)
    np.testing.assert_allclose(distribution.log_probability[1], logp, atol=1e-5)
    np.testing.assert_allclose(distribution.valid_mass[1], mass, rtol=1e-5)


def test_a_part_is_conditional_on_what_is_left(toy: Study, people: pd.DataFrame) -> None:
    spent = people.assign(fear=1, odds_none=100, odds_small=0, odds_big=0)
    logp = log_likelihood(lively(), toy, spent)
    assert (logp[:, ANSWERS.index("odds_small")] == 0).all()  # 0 is the only answer left, so it is certain
    assert (logp[:, ANSWERS.index("odds_none")] < 0).all()


def test_the_probabilities_of_all_forms_sum_to_one(small: Study, people: pd.DataFrame) -> None:
    forms = complete_forms(small, people.iloc[[2]])
    assert len(forms) == 36
    assert np.exp(log_likelihood(lively(), small, forms).sum(axis=1)).sum() == pytest.approx(1, abs=1e-9)


def test_the_valid_mass_is_the_plain_sum(ten: Study, people: pd.DataFrame) -> None:
    answers = simulate(lively(), ten, people, 1)
    expected = [*map(expected_column, ["fear", "odds_none", "odds_small"]), expected_column("leave", 0)]
    assert list(answers.columns)[: len(ANSWERS) + len(MASSES) + 4] == [*ANSWERS, *MASSES, *expected]
    encoder = Encoder(ten, tiny_random().tokenizer)
    for row in (0, 3):
        person = {**people.iloc[row].to_dict(), **answers.iloc[row].to_dict()}
        for encoded, distribution in zip(encoder.slots, plain_distribution(lively(), encoder, person), strict=True):
            if distribution is not None:
                mass = answers[valid_mass_column(encoded.slot.column)].iloc[row]
                assert mass == pytest.approx(np.exp(list(distribution.values())).sum(), rel=1e-5)
    assert ((answers[MASSES] > 0) & (answers[MASSES] <= 1)).all(axis=None)


# Draws.


def crowd_of_one(person: pd.DataFrame, n: int) -> pd.DataFrame:
    """One person under many numbers: as many draws from one distribution."""
    return pd.concat([person] * n, ignore_index=True).assign(participant=np.arange(n))


@pytest.fixture
def encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "_encode", functools.cache(Encoder._encode))


@pytest.mark.slow
@pytest.mark.usefixtures("encoded_once")
def test_draws_follow_the_distribution(small: Study, people: pd.DataFrame) -> None:
    n = 20_000
    model = random_model(hidden_size=16, num_hidden_layers=1)
    forms = complete_forms(small, people.iloc[[2]])
    # Every form's probability, from the ordinary pass of the model.
    plainly = given_distributions(Respondent(model, Encoder(small, model.tokenizer), plain=True), forms)
    forms["distribution"] = np.exp(plainly.log_probability.sum(axis=1))
    drawn = simulate(model, small, crowd_of_one(people.iloc[[2]], n), 5, batch=1000)
    # The whole form; a scale; two parts of an allocation, each alone and both; a choice.
    for asked in (ANSWERS, ["fear"], ["odds_none"], ["odds_small"], ["odds_none", "odds_small"], ["leave"]):
        distribution = forms.groupby(asked)["distribution"].sum()
        seen = drawn.groupby(asked).size().reindex(distribution.index, fill_value=0)
        assert seen.sum() == n
        rare = distribution * n < 5
        counts, expected = [*seen[~rare], seen[rare].sum()], [*distribution[~rare] * n, distribution[rare].sum() * n]
        if expected[-1] == 0:
            counts, expected = counts[:-1], expected[:-1]
        assert len(counts) > 1
        # The seed is fixed: one in a thousand would be bad luck once, not on every run.
        assert scipy.stats.chisquare(counts, expected, sum_check=False).pvalue > 1e-3


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_rows_do_not_depend_on_the_batch_or_the_order(
    toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame], batch: int
) -> None:
    model = random_model()  # of single precision
    crowd = draw_toy_people(40, 3)
    wanted = simulate(model, toy, crowd, 1, batch=16, temperature=5)
    assert wanted.groupby(ANSWERS).ngroups > 10
    order = np.random.default_rng(0).permutation(len(crowd))
    for table, rows in ((crowd, np.arange(len(crowd))), (crowd.iloc[order], order)):
        got = simulate(model, toy, table, 1, batch=batch, temperature=5)
        pd.testing.assert_frame_equal(got[ANSWERS], wanted[ANSWERS].iloc[rows].reset_index(drop=True))
        # The order of additions differs, by some units of the seventh digit of each logit.
        np.testing.assert_allclose(got[MASSES], wanted[MASSES].iloc[rows], rtol=1e-4)


def test_a_row_depends_on_seed_participant_and_draw_alone(
    toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame]
) -> None:
    model, crowd = tiny_random(), draw_toy_people(30, 3)
    three = simulate(model, toy, crowd, 1, draws=3)
    # The draws of a participant stand together.
    assert three["draw"].tolist() == [0, 1, 2] * 30
    some = [3, 4, 29]
    alone = simulate(model, toy, crowd.iloc[some], 1, draws=3)
    wanted = three.iloc[[3 * row + draw for row in some for draw in range(3)]]
    pd.testing.assert_frame_equal(alone[[*ANSWERS, "draw"]], wanted[[*ANSWERS, "draw"]].reset_index(drop=True))
    first, second = (three.query("draw == @number")[ANSWERS].reset_index(drop=True) for number in (0, 1))
    others = {
        "draw": second,
        "seed": simulate(model, toy, crowd, 2)[ANSWERS],
        "participant": simulate(model, toy, crowd.assign(participant=crowd["participant"] + 100), 1)[ANSWERS],
    }
    assert not [what for what, table in others.items() if (table == first).all(axis=1).mean() > 0.5]


def test_many_draws_are_those_of_separate_calls_and_share_what_is_read(
    toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame]
) -> None:
    model, crowd = random_model(), draw_toy_people(10, 3)
    answering = Respondent(model, Encoder(toy, model.tokenizer))
    read: list[int] = []
    model.model.register_forward_pre_hook(
        lambda module, args, given: read.append(given["input_ids"].numel()), with_kwargs=True
    )
    five, size = answer_as(answering, crowd, 1, draws=5, batch=50, temperature=2), sum(read)
    for fewer in (1, 2):
        read.clear()
        got = answer_as(Respondent(model, answering.encoder), crowd, 1, draws=fewer, batch=3, temperature=2)
        wanted = five[five["draw"] < fewer].reset_index(drop=True)
        pd.testing.assert_frame_equal(got[[*ANSWERS, "draw"]], wanted[[*ANSWERS, "draw"]])
    assert five.groupby(ANSWERS).ngroups > 10
    # With nothing shared, five draws would take two and a half times the tokens of two.
    assert size < 2 * sum(read)


# Temperature.


@pytest.mark.parametrize("temperature", [0, 1e-6])
def test_at_temperature_zero_the_likeliest_answer_is_given(
    ten: Study, people: pd.DataFrame, temperature: float
) -> None:
    answers = simulate(lively(), ten, people, 1, temperature=temperature)
    pd.testing.assert_frame_equal(answers, simulate(lively(), ten, people, 2, temperature=temperature))
    encoder = Encoder(ten, tiny_random().tokenizer)
    for row in (0, 1):
        person = {**people.iloc[row].to_dict(), **answers.iloc[row].to_dict()}
        for encoded, distribution in zip(encoder.slots, plain_distribution(lively(), encoder, person), strict=True):
            if distribution is not None:
                assert person[encoded.slot.column] == max(distribution, key=lambda value: distribution[value])


@pytest.mark.usefixtures("encoded_once")
def test_the_temperature_divides_the_log_probabilities(small: Study, people: pd.DataFrame) -> None:
    model = random_model(hidden_size=16, num_hidden_layers=1)
    form = complete_forms(small, people.iloc[[2]]).iloc[:1]
    distribution = plain_distribution(model, Encoder(small, model.tokenizer), form.iloc[0].to_dict())[0]
    assert distribution is not None
    weights = np.exp(np.array(list(distribution.values())) / 0.5)
    cold = simulate(model, small, crowd_of_one(form, 3000), 5, batch=1000, temperature=0.5)["fear"]
    seen, expected = cold.value_counts().sort_index(), 3000 * weights / weights.sum()
    assert expected.min() > 5 and scipy.stats.chisquare(seen, expected, sum_check=False).pvalue > 1e-3


# Changed distributions, counts, and models that are read plainly.


def test_the_distribution_is_changed_before_an_answer_is_drawn(toy: Study, people: pd.DataFrame) -> None:
    told: list[int] = []

    def reweigh(
        line: int, distribution: Distribution, values: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Distribution:
        """The scale is answered as it was by the person whose number is told; the choice by what was drawn for it."""
        told.extend(rows if line == 0 else [])
        wanted = own[rows] if line == 0 else values[:, 0] % 3 if line == 4 else None
        if wanted is None:
            return distribution
        return np.where(np.arange(distribution.shape[1]) == wanted[:, None], distribution, -np.inf)

    own = np.arange(12) * 5 % 4
    answering = Respondent(lively(), Encoder(toy, tiny_random().tokenizer))
    answers = answer_as(answering, people, 1, draws=2, batch=5, reweigh=reweigh)
    assert sorted(told) == sorted([*range(12)] * 2)
    assert answers["fear"].tolist() == np.repeat(own + 1, 2).tolist()
    assert answers["leave"].tolist() == (answers["fear"] % 3).tolist()
    # The valid mass is of the model's own distribution.
    usual = answer_as(answering, people, 1, draws=2)
    np.testing.assert_allclose(answers[MASSES[0]], usual[MASSES[0]], rtol=1e-6)


def test_every_row_is_counted(toy: Study, people: pd.DataFrame) -> None:
    done: list[int] = []
    simulate(tiny_random(), toy, people, 1, draws=2, batch=4, progress=done.append)
    assert sum(done) == 24 and max(done) <= 4


def test_a_model_that_is_read_plainly_answers_by_its_distribution(toy: Study, people: pd.DataFrame) -> None:
    model, some = random_model("Mistral", sliding_window=64), people.head(3)
    encoder = Encoder(toy, model.tokenizer)
    with pytest.warns(PlainReadingWarning, match="'Mistral' is read plainly"):
        likeliest = simulate(model, toy, some, 1, temperature=0, batch=2)
    with pytest.warns(PlainReadingWarning):
        drawn = simulate(model, toy, some, 1, draws=2, batch=4)
    for answers, row in ((likeliest, 2), (drawn, 3)):
        person = {**some.iloc[row if len(answers) == 3 else row // 2].to_dict(), **answers.iloc[row].to_dict()}
        for encoded, distribution in zip(encoder.slots, plain_distribution(model, encoder, person), strict=True):
            if distribution is not None:
                mass = answers[valid_mass_column(encoded.slot.column)].iloc[row]
                assert mass == pytest.approx(np.exp(list(distribution.values())).sum(), rel=1e-4)
                if answers is likeliest:
                    assert person[encoded.slot.column] == max(distribution, key=lambda value: distribution[value])


# The embedded model.


@pytest.mark.slow
@pytest.mark.embedded
def test_the_embedded_model_answers_validly(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLM_CACHE", str(cache))
    embedded, study = load_model(), load_study("framing")
    people = load_people(study).table.head(3)
    # In pieces: a warning that it is read plainly would be an error here.
    answers = simulate(embedded, study, people, 1)
    for slot in slots_of(study):
        assert answers[slot.column].isin(slot.values).all()
        assert answers[valid_mass_column(slot.column)].between(0, 1, inclusive="neither").all()
    assert Encoder(study, embedded.tokenizer).reads_as_joined(people.iloc[0].to_dict())
