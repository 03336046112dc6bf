from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from plain import random_model

from pilotlm.data.prompts import Slot, slots_of
from pilotlm.errors import InputError
from pilotlm.models.encoding import Encoder
from pilotlm.models.free_text import read_answer, write_answers
from pilotlm.models.loading import LanguageModel
from pilotlm.models.simulate import Respondent, given_distributions
from pilotlm.study import Study

END = 256
"""The token that ends a text of tiny-random."""
SLOT = Slot("x", "Fear", (1, 2, 10), ("1", "2", "10"))


@pytest.mark.parametrize(
    ("text", "left", "value"),
    [("1", None, 1), (" 10 ", None, 10), ("1.", None, None), ("", None, None), ("one", None, None), ("1 0", None, None),
     ("10", 10, 10), ("10", 9, None), ("２", None, None)],
)  # fmt: skip
def test_an_answer_is_read_as_it_is_written_or_not_at_all(text: str, left: int | None, value: int | None) -> None:
    assert read_answer(SLOT, text, left) == value


@pytest.fixture(scope="module")
def brief(short_toy: Study) -> Study:
    """With fewer answers, which a tiny model learns sooner."""
    content = short_toy.model_dump()
    content["questions"][0]["high"] = 2
    content["questions"][1]["step"] = 50
    return Study.model_validate(content)


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    """People of both treatments."""
    return draw_toy_people(24, 3).assign(age=np.tile([8, 33, 104, 61], 6), fear=1)


@pytest.fixture(scope="module")
def writer(cache: Path, brief: Study, people: pd.DataFrame) -> LanguageModel:
    """A tiny model that was taught the form, but not for long: some of what it writes is one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_CACHE", str(cache))
        made = random_model(initializer_range=0.05)
    encoder, rng = Encoder(brief, made.tokenizer), np.random.default_rng(1)
    texts = []
    for person in people.to_dict("records"):
        prompt = encoder.prompt({str(k): v for k, v in person.items()})
        form: list[int] = []
        for encoded in encoder.asked:
            form += [*encoded.label, *encoded.answers[rng.integers(2)]]
        texts.append(([*prompt.shared, *prompt.scenario, *prompt.persona], form))
    width = max(len(prompt) + len(form) for prompt, form in texts)
    tokens, learned = torch.full((len(texts), width), END), torch.full((len(texts), width), -100)
    for row, (prompt, form) in enumerate(texts):
        tokens[row, : len(prompt) + len(form)] = torch.tensor(prompt + form)
        learned[row, len(prompt) : len(prompt) + len(form)] = torch.tensor(form)
    optimiser = torch.optim.Adam(made.model.parameters(), lr=0.01)
    for _ in range(120):
        some = rng.permutation(len(texts))[:8]
        optimiser.zero_grad()
        made.model(input_ids=tokens[some], labels=learned[some]).loss.backward()
        optimiser.step()
    return replace(made, model=made.model.double().eval())


def by(writer: LanguageModel, study: Study) -> Respondent:
    return Respondent(writer, Encoder(study, writer.tokenizer))


def test_answers_are_written_as_often_as_the_model_holds_them_probable(
    writer: LanguageModel, brief: Study, people: pd.DataFrame
) -> None:
    first = brief.model_copy(update={"questions": brief.questions[:1]})
    one, draws = people.head(1), 200
    found = write_answers(by(writer, first), one, 1, draws=draws)
    distribution = given_distributions(by(writer, first), one)
    expected = np.exp(distribution.distributions[0][0]) * distribution.valid_mass[0, 0]
    given = np.array([(found.answers["fear"] == value).mean() * found.kept.mean() for value in (1, 2)])
    assert 0.05 < distribution.valid_mass[0, 0] < 1 and (np.abs(given - expected) < 4 * np.sqrt(0.25 / draws)).all()
    assert found.kept.sum() + len(found.failures) == draws and found.facts()["forms_failed"] == len(found.failures) > 0


def test_a_row_does_not_depend_on_other_rows(writer: LanguageModel, brief: Study, people: pd.DataFrame) -> None:
    people = people.head(10)
    whole = write_answers(by(writer, brief), people, 1, draws=2)
    assert 0 < whole.kept.sum() < len(whole.kept)
    state = torch.get_rng_state()
    last = write_answers(by(writer, brief), people.tail(6), 1, draws=2)
    assert torch.equal(state, torch.get_rng_state())
    assert last.kept.tolist() == whole.kept[-12:].tolist()
    pd.testing.assert_frame_equal(last.answers, whole.answers.tail(len(last.answers)).reset_index(drop=True))
    other = write_answers(by(writer, brief), people, 2, draws=2)
    assert not other.answers.equals(whole.answers)


def test_what_is_read_is_valid(writer: LanguageModel, brief: Study, people: pd.DataFrame) -> None:
    found = write_answers(by(writer, brief), people, 3)
    for slot in slots_of(brief):
        assert set(found.answers[slot.column]) <= set(slot.values)
    assert (found.answers[["odds_none", "odds_small", "odds_big"]].sum(axis=1) == 100).all() and len(found.answers)
    assert set(found.failures["column"]) <= {slot.column for slot in slots_of(brief) if not slot.follows}


def test_at_temperature_0_every_draw_is_the_same(writer: LanguageModel, brief: Study, people: pd.DataFrame) -> None:
    found = write_answers(by(writer, brief), people.head(3), 1, draws=2, temperature=0)
    told = [*found.answers.drop(columns="draw").itertuples(index=False), *found.failures["wrote"]]
    assert [repr(one) for one in told[::2]] == [repr(one) for one in told[1::2]] and len(told) == 6


def test_a_temperature_below_0_is_refused(writer: LanguageModel, brief: Study, people: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="The temperature is -1; allowed: 0"):
        write_answers(by(writer, brief), people, 1, temperature=-1)
