from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reading import plain_law, plain_likelihood, plain_logp, random_model

from pilotlm.answering import sampling
from pilotlm.answering.encoding import Encoder
from pilotlm.answering.models import LanguageModel, load_model
from pilotlm.answering.sampling import (
    AnswerTree,
    check_reading,
    draw_answers,
    given_law,
    log_likelihood,
    row_uniforms,
    simulate,
)
from pilotlm.errors import InputError
from pilotlm.instrument.answers import slots_of
from pilotlm.instrument.sources import load_people
from pilotlm.responses import valid_mass_column
from pilotlm.study import Study, load_study

ANSWERS = ["fear", "odds_none", "odds_small", "odds_big", "leave"]
MASSES = [valid_mass_column(name) for name in ANSWERS if name != "odds_big"]


@pytest.fixture(scope="module")
def tiny(cache: Path) -> LanguageModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_CACHE", str(cache))
        return load_model("tiny-random")


@pytest.fixture(scope="module")
def lively(tiny: LanguageModel) -> LanguageModel:
    """Random weights large enough that what was read moves an answer's probability by nats."""
    made = random_model(tiny)
    return replace(made, model=made.model.double())


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


# The law of whole answers.


@pytest.mark.parametrize("with_persona", [True, False])
def test_whole_answers_have_the_probability_of_their_text(
    lively: LanguageModel, ten: Study, people: pd.DataFrame, with_persona: bool
) -> None:
    encoder = Encoder(ten, lively.tokenizer, with_persona)
    law = given_law(lively, encoder, people)
    assert np.array_equal(law.log_probability, log_likelihood(lively, ten, people, with_persona=with_persona))
    assert np.array_equal(law.values, people[ANSWERS])
    for row in (0, 5, 9):  # both treatments; the answers 1 and 10
        logp, mass = plain_likelihood(lively, encoder, people.iloc[row].to_dict())
        np.testing.assert_allclose(law.log_probability[row], logp, atol=1e-5)
        np.testing.assert_allclose(law.valid_mass[row], mass, rtol=1e-5)
        assert logp[ANSWERS.index("odds_big")] == 0 and np.isnan(mass[ANSWERS.index("odds_big")])
    assert law.log_probability.min() < -1


def test_whole_answers_of_tiny_random(tiny: LanguageModel, ten: Study, people: pd.DataFrame) -> None:
    logp, mass = plain_likelihood(tiny, Encoder(ten, tiny.tokenizer), people.iloc[1].to_dict())
    law = given_law(tiny, Encoder(ten, tiny.tokenizer), people)
    np.testing.assert_allclose(law.log_probability[1], logp, atol=1e-5)
    np.testing.assert_allclose(law.valid_mass[1], mass, rtol=1e-5)


def test_the_tree_of_answers_that_begin_each_other() -> None:
    answers = ((5, 1, 9), (5, 1, 0, 9), (5, 9), (7,))
    tree = AnswerTree.of(answers)
    # A node for what is gone on from; a step for every token of every answer, shared where the way is.
    assert tree.branches.tokens.tolist() == [5, 1, 0] and tree.branches.depth.tolist() == [1, 2, 3]
    assert len(tree.edge_token) == 7
    logits = torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(0))
    logp, steps = tree.log_probabilities(logits), logits.double().log_softmax(-1)
    node = {(): 0, (5,): 1, (5, 1): 2, (5, 1, 0): 3}
    for k, answer in enumerate(answers):
        wanted = sum(steps[:, node[answer[:j]], token] for j, token in enumerate(answer))
        assert torch.allclose(logp[:, k], wanted, atol=1e-5)


def test_a_part_is_conditional_on_what_is_left(lively: LanguageModel, toy: Study, people: pd.DataFrame) -> None:
    spent = people.assign(fear=1, odds_none=100, odds_small=0, odds_big=0)
    logp = log_likelihood(lively, toy, spent)
    assert (logp[:, ANSWERS.index("odds_small")] == 0).all()  # 0 is the only answer left, so it is certain
    assert (logp[:, ANSWERS.index("odds_none")] < 0).all()


def test_the_probabilities_of_all_forms_sum_to_one(lively: LanguageModel, small: Study, people: pd.DataFrame) -> None:
    forms = complete_forms(small, people.iloc[[2]])
    assert len(forms) == 36
    assert np.exp(log_likelihood(lively, small, forms).sum(axis=1)).sum() == pytest.approx(1, abs=1e-9)


def test_the_valid_mass_is_the_plain_sum(lively: LanguageModel, ten: Study, people: pd.DataFrame) -> None:
    answers = simulate(lively, ten, people, 1)
    assert list(answers.columns) == [*ANSWERS, *MASSES, "draw"]
    encoder = Encoder(ten, lively.tokenizer)
    for row in (0, 3):
        person = {**people.iloc[row].to_dict(), **answers.iloc[row].to_dict()}
        for encoded, law in zip(encoder.slots, plain_law(lively, encoder, person), strict=True):
            if law is not None:
                mass = answers[valid_mass_column(encoded.slot.column)].iloc[row]
                assert mass == pytest.approx(np.exp(list(law.values())).sum(), rel=1e-5)
    assert ((answers[MASSES] > 0) & (answers[MASSES] <= 1)).all(axis=None)


# Draws.


def crowd_of_one(person: pd.DataFrame, n: int) -> pd.DataFrame:
    """One person under many numbers: as many draws from one law."""
    return pd.concat([person] * n, ignore_index=True).assign(participant=np.arange(n))


@pytest.fixture
def encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "_encode", functools.cache(Encoder._encode))


@pytest.mark.usefixtures("encoded_once")
def test_draws_follow_the_law(tiny: LanguageModel, small: Study, people: pd.DataFrame) -> None:
    n = 20_000
    model = random_model(tiny, hidden_size=16, num_hidden_layers=1)
    forms = complete_forms(small, people.iloc[[2]])
    forms["law"] = np.exp(log_likelihood(model, small, forms).sum(axis=1))
    drawn = simulate(model, small, crowd_of_one(people.iloc[[2]], n), 5, batch=1000)
    for asked in (ANSWERS, ["fear"], ["odds_none", "odds_small"], ["leave"]):
        law = forms.groupby(asked)["law"].sum()
        seen = drawn.groupby(asked).size().reindex(law.index, fill_value=0)
        assert seen.sum() == n
        rare = law * n < 5
        counts, expected = [*seen[~rare], seen[rare].sum()], [*law[~rare] * n, law[rare].sum() * n]
        if expected[-1] == 0:
            counts, expected = counts[:-1], expected[:-1]
        assert len(counts) > 1
        assert scipy.stats.chisquare(counts, expected, sum_check=False).pvalue > 1e-3


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_rows_do_not_depend_on_the_batch_or_the_order(
    lively: LanguageModel, toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame], batch: int
) -> None:
    crowd = draw_toy_people(40, 3)
    wanted = simulate(lively, toy, crowd, 1, batch=16, temperature=5)
    assert wanted.groupby(ANSWERS).ngroups > 10
    order = np.random.default_rng(0).permutation(len(crowd))
    for table, rows in ((crowd, np.arange(len(crowd))), (crowd.iloc[order], order)):
        got = simulate(lively, toy, table, 1, batch=batch, temperature=5)
        pd.testing.assert_frame_equal(got[ANSWERS], wanted[ANSWERS].iloc[rows].reset_index(drop=True))
        np.testing.assert_allclose(got[MASSES], wanted[MASSES].iloc[rows], rtol=1e-6)


def test_a_row_depends_on_seed_participant_and_draw_alone(
    tiny: LanguageModel, toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame]
) -> None:
    crowd = draw_toy_people(30, 3)
    three = simulate(tiny, toy, crowd, 1, draws=3)
    assert three["draw"].tolist() == [0] * 30 + [1] * 30 + [2] * 30
    some = [3, 4, 29]
    alone = simulate(tiny, toy, crowd.iloc[some], 1, draws=3)
    wanted = three.iloc[[30 * number + row for number in range(3) for row in some]]
    pd.testing.assert_frame_equal(alone[[*ANSWERS, "draw"]], wanted[[*ANSWERS, "draw"]].reset_index(drop=True))
    first = three[ANSWERS].iloc[:30]
    others = {
        "draw": three[ANSWERS].iloc[30:60].reset_index(drop=True),
        "seed": simulate(tiny, toy, crowd, 2)[ANSWERS],
        "participant": simulate(tiny, toy, crowd.assign(participant=crowd["participant"] + 100), 1)[ANSWERS],
    }
    assert not [what for what, table in others.items() if (table == first).all(axis=1).mean() > 0.5]


def test_the_uniforms_of_a_row_are_its_own() -> None:
    wanted = row_uniforms(3, np.array([1, 2, 7]), 0, 5)
    assert np.array_equal(row_uniforms(3, np.array([7]), 0, 5)[0], wanted[2])
    assert np.array_equal(row_uniforms(3, np.array([7, 1]), 0, 2), wanted[[2, 0], :2])
    sets = [row_uniforms(seed, np.arange(20), draw, 4) for seed in (0, 1) for draw in (0, 1)]
    assert len(np.unique(np.stack(sets))) == 4 * 20 * 4


def test_near_temperature_zero_the_likeliest_answer_is_given(
    lively: LanguageModel, ten: Study, people: pd.DataFrame
) -> None:
    answers = simulate(lively, ten, people, 1, temperature=1e-6)
    pd.testing.assert_frame_equal(answers, simulate(lively, ten, people, 2, temperature=1e-6))
    encoder = Encoder(ten, lively.tokenizer)
    for row in (0, 1):
        person = {**people.iloc[row].to_dict(), **answers.iloc[row].to_dict()}
        for encoded, law in zip(encoder.slots, plain_law(lively, encoder, person), strict=True):
            if law is not None:
                assert person[encoded.slot.column] == max(law, key=lambda value: law[value])


@pytest.mark.usefixtures("encoded_once")
def test_the_temperature_divides_the_log_probabilities(tiny: LanguageModel, small: Study, people: pd.DataFrame) -> None:
    model = random_model(tiny, hidden_size=16, num_hidden_layers=1)
    form = complete_forms(small, people.iloc[[2]]).iloc[:1]
    law = plain_law(model, Encoder(small, tiny.tokenizer), form.iloc[0].to_dict())[0]
    assert law is not None
    weights = np.exp(np.array(list(law.values())) / 0.5)
    cold = simulate(model, small, crowd_of_one(form, 3000), 5, batch=1000, temperature=0.5)["fear"]
    seen, expected = cold.value_counts().sort_index(), 3000 * weights / weights.sum()
    assert expected.min() > 5 and scipy.stats.chisquare(seen, expected, sum_check=False).pvalue > 1e-3


def test_every_row_is_counted(tiny: LanguageModel, toy: Study, people: pd.DataFrame) -> None:
    done: list[int] = []
    simulate(tiny, toy, people, 1, draws=2, batch=4, progress=done.append)
    assert sum(done) == 24 and max(done) <= 4


# Drawing from given weights.

BELOW_ONE = float(np.nextafter(1, 0))
WEIGHTS = st.lists(st.just(-np.inf) | st.floats(-800, 50), min_size=1, max_size=8).filter(lambda w: max(w) > -np.inf)
UNIFORMS = st.sampled_from([0.0, 5e-324, 0.5, BELOW_ONE]) | st.floats(0, 1, exclude_max=True)


def draw(law: list[float], uniform: float) -> int:
    return int(draw_answers(np.array([law]), np.array([uniform]))[0])


@given(WEIGHTS, UNIFORMS)
def test_what_has_no_weight_is_never_drawn(law: list[float], uniform: float) -> None:
    chosen = draw(law, uniform)
    assert 0 <= chosen < len(law) and np.exp(law[chosen] - max(law)) > 0


@given(WEIGHTS, UNIFORMS)
def test_a_draw_inverts_the_distribution_function(law: list[float], uniform: float) -> None:
    weights = np.exp(np.array(law) - max(law))
    chosen, share = draw(law, uniform), weights / weights.sum()
    assert share[:chosen].sum() <= uniform + 1e-12
    assert share[: chosen + 1].sum() >= uniform - 1e-12
    assert draw([weight - 700 for weight in law], uniform) == chosen or np.isclose(
        np.abs(np.cumsum(share) - uniform).min(), 0, atol=1e-9
    )


@given(st.lists(st.tuples(WEIGHTS, UNIFORMS), min_size=1, max_size=5).filter(lambda rows: rows))
def test_rows_are_drawn_one_by_one(rows: list[tuple[list[float], float]]) -> None:
    width = max(len(law) for law, _ in rows)
    laws = np.full((len(rows), width), -np.inf)
    for k, (law, _) in enumerate(rows):
        laws[k, : len(law)] = law
    together = draw_answers(laws, np.array([uniform for _, uniform in rows]))
    assert together.tolist() == [draw(law, uniform) for law, uniform in rows]


@pytest.mark.parametrize(
    ("weights", "uniform", "wanted"),
    [
        ([0, 1, 1, 0], 0.0, 1),
        ([0, 1, 1, 0], BELOW_ONE, 2),
        ([0, 1, 0, 1, 0], 0.5, 3),
        ([1, 1], 0.5, 1),
        ([1, 1], float(np.nextafter(0.5, 0)), 0),
        ([0, 0, 5], 0.0, 2),
        ([5, 0, 0], BELOW_ONE, 0),
        ([1] * 49, BELOW_ONE, 48),
        ([7], 0.3, 0),
    ],
)
def test_draws_at_the_edges(weights: list[float], uniform: float, wanted: int) -> None:
    with np.errstate(divide="ignore"):
        assert draw(list(np.log(weights)), uniform) == wanted


@settings(max_examples=20)
@given(st.integers(2, 12))
def test_equal_weights_share_the_line_equally(answers: int) -> None:
    middles = (np.arange(answers) + 0.5) / answers
    assert draw_answers(np.zeros((answers, answers)), middles).tolist() == list(range(answers))


# The refusal of models that are not themselves when read in pieces; see also the architectures in test_reading.


class Faulty(torch.nn.Module):
    """A model to which something is done before it reads a piece, or after."""

    def __init__(self, model: Any, before: Callable[[Any], Any] = dict, after: Callable[[Any], Any] = id) -> None:
        super().__init__()
        self.inner, self.before, self.after = model, before, after
        self.config, self.device, self.dtype = model.config, model.device, model.dtype

    def forward(self, **given: Any) -> Any:
        if given.get("past_key_values") is None:
            return self.inner(**given)
        output = self.inner(**self.before(given))
        self.after(output.logits)
        return output


def without(*names: str) -> Callable[[Any], Any]:
    return lambda given: {name: value for name, value in given.items() if name not in names}


def of_the_longest_row(name: str) -> Callable[[Any], Any]:
    """The row that is not padded stands for all."""
    return lambda given: {**given, name: given[name][-1:].expand_as(given[name])}


FAULTS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "the mask is not heeded": {"before": without("attention_mask")},
    "the places are not heeded": {"before": without("position_ids")},
    "padding is seen": {"before": of_the_longest_row("attention_mask")},
    "padding takes places": {"before": of_the_longest_row("position_ids")},
    "other logits are given": {"before": without("logits_to_keep")},
    "nothing is remembered": {"before": without("past_key_values", "attention_mask")},
    "no number": {"after": lambda logits: logits.fill_(torch.nan)},
    "infinity": {"after": lambda logits: logits[..., 0].fill_(torch.inf)},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_model_that_does_not_heed_is_refused(
    lively: LanguageModel, toy: Study, people: pd.DataFrame, fault: str
) -> None:
    model: Any = Faulty(lively.model, **FAULTS[fault])
    faulty = replace(lively, model=model, name="owner/faulty")
    some = people.assign(fear=1)
    for refused in (lambda: simulate(faulty, toy, some, 1), lambda: log_likelihood(faulty, toy, some)):
        with pytest.raises(InputError, match="owner/faulty") as error:
            refused()
        assert "\n" not in str(error.value)


def test_a_model_that_heeds_everything_is_not(tiny: LanguageModel, toy: Study, people: pd.DataFrame) -> None:
    model: Any = Faulty(tiny.model)
    check_reading(replace(tiny, model=model), Encoder(toy, tiny.tokenizer), people)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounding_is_no_reason_to_refuse(tiny: LanguageModel, toy: Study, people: pd.DataFrame, dtype: str) -> None:
    made = random_model(tiny)
    rounded = replace(made, model=made.model.to(getattr(torch, dtype)))
    check_reading(rounded, Encoder(toy, tiny.tokenizer), people)


def test_the_longest_text_is_the_one_that_is_checked(tiny: LanguageModel, toy: Study, people: pd.DataFrame) -> None:
    encoder = Encoder(toy, tiny.tokenizer)
    sizes = [len(encoder.text(person)) for person in people.to_dict("records")]
    read: list[int] = []
    model: Any = Faulty(tiny.model)
    model.register_forward_pre_hook(
        lambda module, args, given: read.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    check_reading(replace(tiny, model=model), encoder, people)
    form = sum(len(s.label) + max(map(len, s.answers)) for s in encoder.asked)
    assert max(sizes) < max(read) <= max(sizes) + form  # a token is a character here


def test_the_check_goes_down_the_branch_that_stands_last() -> None:
    answers = ((5, 1, 9), (7,), (5, 9), (5, 2, 9))
    assert sampling._ranks(answers).tolist() == [2, 0, 1, 3]
    assert AnswerTree.of(answers).branches.tokens.tolist()[-1] == 2


def test_the_check_is_made_once(
    tiny: LanguageModel, toy: Study, people: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(sampling, "check_reading", lambda *given: calls.append(1))
    simulate(tiny, toy, people, 1, draws=3, batch=2)
    assert len(calls) == 1
    log_likelihood(tiny, toy, people.assign(fear=1), batch=2)
    assert len(calls) == 2


# The embedded model.


@pytest.fixture(scope="module")
def embedded(cache: Path) -> LanguageModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_CACHE", str(cache))
        return load_model()


@pytest.fixture(scope="module")
def framing() -> tuple[Study, pd.DataFrame]:
    study = load_study("framing")
    return study, load_people(study).table


@pytest.mark.embedded
def test_the_embedded_model_answers_validly(embedded: LanguageModel, framing: tuple[Study, pd.DataFrame]) -> None:
    study, everybody = framing
    people = everybody.head(6)
    answers = simulate(embedded, study, people, 1)
    for slot in slots_of(study):
        assert answers[slot.column].isin(slot.values).all()
        assert answers[valid_mass_column(slot.column)].between(0, 1, inclusive="neither").all()
    assert Encoder(study, embedded.tokenizer).reads_as_joined(people.iloc[0].to_dict())


@pytest.mark.embedded
def test_the_embedded_model_read_in_pieces_is_the_model(
    embedded: LanguageModel, framing: tuple[Study, pd.DataFrame]
) -> None:
    study, everybody = framing
    people = everybody.head(2)
    encoder = Encoder(study, embedded.tokenizer)
    law = given_law(embedded, encoder, people)
    person = people.iloc[0].to_dict()
    prompt = encoder.prompt(person)
    before, form = prompt.shared + prompt.scenario + prompt.persona, ()
    places = []
    for encoded in encoder.slots:
        answer = encoded.answers[encoder.answer_index(encoded, person[encoded.slot.column])]
        places.append(slice(len(form) + len(encoded.label), len(form) + len(encoded.label) + len(answer)))
        form += encoded.label + answer
    with torch.inference_mode():
        steps = embedded.model(torch.tensor([before + form])).logits[0, len(before) - 1 : -1].double().log_softmax(-1)
    own = steps[torch.arange(len(form)), torch.tensor(form)]
    # The unnormalised log-probability of every answer, from one pass over the whole text.
    wanted = [float(own[place].sum()) for place in places]
    np.testing.assert_allclose(law.log_probability[0] + np.log(law.valid_mass[0]), wanted, atol=1e-4)
    last = encoder.slots[-1]
    context = before + form[: places[-1].start]
    law_of_last = [plain_logp(embedded, context, answer) for answer in last.answers]
    assert law.valid_mass[0, -1] == pytest.approx(np.exp(law_of_last).sum(), rel=1e-4)
    assert law.log_probability[0, -1] == pytest.approx(wanted[-1] - np.logaddexp.reduce(law_of_last), abs=1e-4)
