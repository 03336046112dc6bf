"""Styles of answering by hand, by theory and by simulated coverage."""

import numpy as np
import pytest

from pilotlm.errors import InputError
from pilotlm.measures.styles import extreme_share, modal_share, modal_share_under_uniform, straightlining


def test_straightlining_by_hand():
    assert straightlining([[1, 1, 1], [1, 1, 2], [0, 0, 0]]).tolist() == [1, 0, 1]
    for bad, message in (([[1]], "2 questions"), ([[1, np.nan]], "without missing"), ([1, 1], "table")):
        with pytest.raises(InputError, match=message):
            straightlining(bad)


def test_chance_straightlines_as_theory_says():
    rng = np.random.default_rng(1)
    # 20,000 rows: standard error .0014 about 1 / 25.
    assert straightlining(rng.integers(0, 5, (20000, 3))).mean() == pytest.approx(5.0**-2, abs=0.005)


def test_extreme_share_by_hand():
    answers = [[1, 0], [4, 100], [7, 55], [7, 100]]
    assert extreme_share(answers, [1, 0], [7, 100]).tolist() == [1, 0.5, 0.5, 1]
    for lows, highs in (([1], [7]), ([1, 0], [7])):
        with pytest.raises(InputError, match="ends of scales"):
            extreme_share(answers, lows, highs)


def test_modal_share_by_hand():
    rng = np.random.default_rng(2)
    codes, groups = [3, 3, 8, 8, 8, 9], list("aaabbb")
    # Group a: 2 of 3; group b: 2 of 3.
    both = modal_share(codes, groups, {"a": 3, "b": 3}, 1, rng)
    assert (both.value, both.n) == (pytest.approx(4 / 6), 6)
    # One row has all of itself; two of a's three rows are alike once in three draws.
    assert modal_share(codes, groups, {"a": 1}, 50, rng).value == 1
    assert modal_share(codes, groups, {"a": 2}, 4000, rng).value == pytest.approx(1 / 3 + 2 / 3 / 2, abs=0.02)
    same = modal_share([5] * 20, ["a"] * 20, {"a": 20}, 1, rng)
    assert same.value == same.high == 1 > same.low
    with pytest.raises(InputError, match="one group"):
        modal_share(codes, groups, {}, 1, rng)
    with pytest.raises(InputError, match="cannot be drawn"):
        modal_share(codes, groups, {"a": 4}, 1, rng)


def test_modal_share_under_uniform_by_brute_force():
    rng = np.random.default_rng(3)
    # Three people, two codes: all alike in 2 of 8 ways, two of three in 6.
    assert modal_share_under_uniform(2, {"a": 3}, 20000, rng) == pytest.approx((2 + 6 * 2 / 3) / 8, abs=0.005)
    # Among a million nobody is like another: 1 of 10, and 1 of 30.
    assert modal_share_under_uniform(10**6, {"a": 10, "b": 30}, 20, rng) == pytest.approx(2 / 40, abs=0.005)


# 400 samples: standard error .011. The interval is right where one code stands out and long where several tie.
@pytest.mark.parametrize(
    ("law", "highest"), [(np.r_[0.5, np.full(50, 0.01)], 0.983), (1 / np.arange(1, 301), 1.0), (np.ones(2000), 1.0)]
)
def test_the_interval_of_a_modal_share_covers(law, highest):
    rng = np.random.default_rng(4)
    law, sizes = law / law.sum(), {"a": 40, "b": 60}
    truth = sum(rng.multinomial(size, law, 4000).max(axis=1).mean() for size in sizes.values()) / 100
    groups = np.repeat(["a", "b"], [40, 60])
    inside = []
    for _ in range(400):
        estimate = modal_share(rng.choice(len(law), 100, p=law), groups, sizes, 1, rng)
        inside.append(estimate.low <= truth <= estimate.high)
    assert 0.917 <= np.mean(inside) <= highest
