from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from plain import lively, plain_logits, plain_logp, random_model, some_tokens

from pilotlm.models.answer_scoring import (
    AnswerTree,
    Choose,
    Distribution,
    FilledForm,
    fill_form,
    plain_log_probabilities,
)
from pilotlm.models.encoding import Encoder, Tokens
from pilotlm.study import Study


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
    table, trees = Table(FEAR, ODDS, ODDS, LEAVE), [AnswerTree.of(slot.answers) for slot in encoder.slots]
    return fill_form(encoder, trees, table, np.zeros(len(rows), int), always(*rows)), table


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


def test_the_plain_log_probability_of_parts() -> None:
    model = random_model()
    texts = some_tokens(0, 12, 5, 9)
    starts = [[2, 6, 9], [4], [1, 2]]
    with torch.inference_mode():
        found = plain_log_probabilities(model.model, texts, starts)
    assert [len(parts) for parts in found] == [3, 1, 2]
    for text, begins, parts in zip(texts, starts, found, strict=True):
        for a, b, got in zip(begins, [*begins[1:], len(text)], parts, strict=True):
            assert got == pytest.approx(plain_logp(model, text[:a], text[a:b]), abs=1e-5)
    assert plain_logits(model, texts[0]).abs().max() > 1
