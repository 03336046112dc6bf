from __future__ import annotations

import numpy as np

from pilotlm.data.prompts import slots_of
from pilotlm.study import Study


def test_one_line_a_question_and_one_a_part(toy: Study) -> None:
    slots = slots_of(toy)
    assert [slot.column for slot in slots] == list(toy.answer_columns)
    assert [slot.label for slot in slots] == ["fear", "no fire", "a small fire", "a big fire", "leave"]
    assert [slot.follows for slot in slots] == [False, False, False, True, False]


def test_texts_stand_for_values_in_order(toy: Study) -> None:
    fear, *parts, leave = slots_of(toy)
    assert (fear.values, fear.texts) == ((1, 2, 3, 4), ("1", "2", "3", "4"))
    assert all(part.values == (0, 25, 50, 75, 100) for part in parts)
    assert (leave.values, leave.texts) == ((0, 1, 2), ("stay", "leave", "call"))


def test_a_part_may_take_what_the_earlier_ones_left(toy: Study) -> None:
    _, none, small, big, leave = slots_of(toy)
    assert (none.spent, small.spent, big.spent) == ((), ("odds_none",), ("odds_none", "odds_small"))
    left = np.array([100, 25, 0])
    assert small.allowed(left, 3).sum(axis=1).tolist() == [5, 2, 1]
    assert leave.allowed(None, 2).all()
    assert leave.total is None and small.total == 100
