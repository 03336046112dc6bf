from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from plain import lively, plain_distribution, plain_logits, plain_logp, random_model, some_tokens

from pilotlm.models.answer_scoring import (
    AnswerTree,
    Choose,
    Distribution,
    FilledForm,
    PiecewiseReader,
    PlainReader,
    fill_form,
    plain_log_probabilities,
)
from pilotlm.models.encoding import Encoder, Tokens
from pilotlm.models.prefix_cache import Reading, attending
from pilotlm.study import Study

LINES = ["fear", "odds_none", "odds_small", "odds_big", "leave"]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> list[dict[str, Any]]:
    return draw_toy_people(5, 3).assign(treatment="alarm").to_dict("records")


def trees_of(encoder: Encoder) -> list[AnswerTree]:
    return [AnswerTree.of(slot.answers) for slot in encoder.slots]


def always(*places: Sequence[int]) -> Choose:
    """Row k answers each line as said, by the places among the answers."""
    return lambda line, distribution, values: np.array([row[line] for row in places])


# The distribution by hand: a reader that knows the probability of each answer, whatever was read.


class Table:
    """Gives each answer of a line a probability that says which state it is asked of."""

    def __init__(self, *lines: list[float]) -> None:
        self.lines, self.asked, self.states = list(lines), 0, [1.0]
        self.told: list[list[int]] = []

    def distribution(self, label: Tokens, tree: AnswerTree) -> Distribution:
        self.asked += 1
        return np.log(np.outer(self.states, self.lines[self.asked - 1]))

    def answer(self, states: Sequence[int], answers: Sequence[Tokens], ways: torch.Tensor) -> None:
        self.told.append(list(states))
        assert len(ways) == len(answers) == len(states)
        self.states = [self.states[state] * 0.5 for state in states]


FEAR, ODDS, LEAVE = [0.1, 0.2, 0.3, 0.2], [0.05, 0.1, 0.15, 0.2, 0.25], [0.3, 0.1, 0.1]


def by_hand(toy: Study, rows: list[list[int]]) -> tuple[FilledForm, Table]:
    encoder = Encoder(toy, lively().tokenizer)
    table = Table(FEAR, ODDS, ODDS, LEAVE)
    return fill_form(encoder, trees_of(encoder), table, np.zeros(len(rows), int), always(*rows)), table


def test_the_form_by_hand(toy: Study) -> None:
    filled, table = by_hand(toy, [[2, 1, 3, 0, 2], [2, 1, 0, 0, 0], [0, 4, 0, 0, 1]])
    # Fear 3; 25 on none, 75 on a small fire, nothing is left. Fear 3; 25, 0, and 75 are left. Fear 1; 100 on none.
    assert filled.values.tolist() == [[3, 25, 75, 0, 2], [3, 25, 0, 75, 0], [1, 100, 0, 0, 1]]
    assert len(filled) == 3
    # What is valid of the first line: 0.8 in all. After each line the table gives every answer half as much.
    mass = [
        [0.8, 0.375, 0.125, np.nan, 0.0625],
        [0.8, 0.375, 0.125, np.nan, 0.0625],
        [0.8, 0.375, 0.0125, np.nan, 0.0625],
    ]
    np.testing.assert_allclose(filled.valid_mass, mass)
    shares = [[3 / 8, 2 / 15, 0.4, 1, 0.2], [3 / 8, 2 / 15, 0.1, 1, 0.6], [1 / 8, 1 / 3, 1, 1, 0.2]]
    np.testing.assert_allclose(np.exp(filled.log_probability), shares)
    # Of three quarters left, a hundred is not valid; of nothing left, only nothing.
    np.testing.assert_allclose(
        np.exp(filled.distributions[2]), [[0.1, 0.2, 0.3, 0.4, 0], [0.1, 0.2, 0.3, 0.4, 0], [1, 0, 0, 0, 0]]
    )
    np.testing.assert_allclose(np.exp(filled.distributions[0]), [[1 / 8, 2 / 8, 3 / 8, 2 / 8]] * 3)
    # A line that follows from others is certain.
    assert np.exp(filled.distributions[3]).tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]]
    # Those who answered alike are one state; the reader is not told of the last line, nor of one that follows.
    assert table.told == [[0, 0], [0, 1], [0, 1, 1]]


# Two readers, one distribution.


def fill(encoder: Encoder, people: list[dict[str, Any]], state_of: Any, choose: Choose, plain: bool) -> FilledForm:
    """The form filled in by participants whose texts are those of some people of one treatment."""
    model = lively().model
    prompts = [encoder.prompt(person) for person in people]
    begun, own = prompts[0].shared + prompts[0].scenario, [prompt.persona for prompt in prompts]
    if plain:
        reader = PlainReader(model, [begun + text for text in own])
        return fill_form(encoder, trees_of(encoder), reader, state_of, choose)
    with attending(model):
        common = Reading(model)
        common.read([begun])
        return fill_form(encoder, trees_of(encoder), PiecewiseReader(model, common.as_shared(), own), state_of, choose)


@pytest.mark.parametrize("seed", range(2))
def test_the_distribution_of_the_plain_reader_is_that_of_the_other(
    toy: Study, people: list[dict[str, Any]], seed: int
) -> None:
    encoder = Encoder(toy, lively().tokenizer)
    rng = np.random.default_rng(seed)
    # Twelve participants in five states; what they answer is drawn once and given to both readers.
    state_of, uniforms = rng.integers(0, 5, 12), rng.random((12, 5))

    def choose(line: int, distribution: Distribution, values: NDArray[np.int64]) -> NDArray[np.int64]:
        # Any valid answer: not the likely ones only.
        return np.array([int(np.flatnonzero(np.isfinite(row))[int(u * np.isfinite(row).sum())])
                         for row, u in zip(distribution, uniforms[:, line], strict=True)])  # fmt: skip

    pieces, plain = (fill(encoder, people, state_of, choose, way) for way in (False, True))
    assert np.array_equal(pieces.values, plain.values)
    assert len(np.unique(pieces.values, axis=0)) > 5
    for a, b in zip(pieces.distributions, plain.distributions, strict=True):
        # A step is normalised in single precision: seven digits of numbers around five.
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    np.testing.assert_allclose(pieces.valid_mass, plain.valid_mass, rtol=1e-5)
    row = int(np.argmax(state_of == 2))
    person = {**people[2], **dict(zip(LINES, pieces.values[row].tolist(), strict=True))}
    for line, wanted in enumerate(plain_distribution(lively(), encoder, person)):
        if wanted is not None:
            slot = encoder.slots[line].slot
            unnormalised = plain.distributions[line][row] + np.log(plain.valid_mass[row, line])
            for value, logp in wanted.items():
                assert unnormalised[slot.values.index(value)] == pytest.approx(logp, abs=1e-9)


def test_the_plain_log_probability_of_parts() -> None:
    model = random_model()
    texts = some_tokens(0, 12, 5, 9)
    starts = [[2, 6, 9], [4], [1, 2]]
    found = plain_log_probabilities(model.model, texts, starts)
    assert [len(parts) for parts in found] == [3, 1, 2]
    for text, begins, parts in zip(texts, starts, found, strict=True):
        for a, b, got in zip(begins, [*begins[1:], len(text)], parts, strict=True):
            assert got == pytest.approx(plain_logp(model, text[:a], text[a:b]), abs=1e-5)
    assert plain_logits(model, texts[0]).abs().max() > 1
