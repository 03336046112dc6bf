"""Counts and rarefaction against references, brute force and simulated coverage."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlm.errors import InputError
from pilotlm.stats.diversity import expected_unique, structures, unique_interval, unique_under_uniform


def unique_count(codes):
    return len(set(np.asarray(codes).tolist()))


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 1)), min_size=1, max_size=30))
def test_structures_are_equal_where_rows_are(rows):
    codes = structures(rows)
    for i, j in itertools.combinations(range(len(rows)), 2):
        assert (codes[i] == codes[j]) == (rows[i] == rows[j])
    assert unique_count(codes) == len(set(rows)) == codes.max() + 1


def test_structures_refuse_what_they_cannot_number():
    with pytest.raises(InputError, match="missing"):
        structures([[1, np.nan]])
    with pytest.raises(InputError, match="table"):
        structures([1, 2])


def test_rarefaction_equals_all_subsets():
    codes = [0, 0, 0, 1, 1, 2, 3]
    subsets = list(itertools.combinations(codes, 3))
    assert expected_unique(codes, 3) == pytest.approx(np.mean([len(set(s)) for s in subsets]), abs=1e-12)


def test_rarefaction_is_exact_for_thousands_of_rows():
    codes = np.random.default_rng(0).zipf(1.5, 4000) % 700
    _, frequencies = np.unique(codes, return_counts=True)
    exact = sum(1 - math.comb(4000 - int(f), 929) / math.comb(4000, 929) for f in frequencies)
    assert expected_unique(codes, 929) == pytest.approx(exact, rel=1e-9)
    assert expected_unique(codes, 4000) == pytest.approx(unique_count(codes))
    assert expected_unique(codes, 1) == pytest.approx(1)
    with pytest.raises(InputError, match="there are 4000"):
        expected_unique(codes, 4001)


# Samples: 400; the standard error of a share of .95 is .011, three of them below .95. The distributions:
# heavy-tailed, nearly
# all different, and few common ones, where the count takes few values and an interval is coarse (wider band). Where
# nearly all are different the jackknife counts what pairs add twice, so that the interval is too long.
@pytest.mark.parametrize(
    ("distribution", "n", "size", "lowest"),
    [
        (1 / np.arange(1, 3001), 400, 400, 0.917),
        (1 / np.arange(1, 3001), 400, 150, 0.917),
        (1 / np.arange(1, 301), 48, 5, 0.917),
        (1 / np.arange(1, 301), 48, 15, 0.917),
        (1 / np.arange(1, 301), 48, 48, 0.917),
        (np.ones(5000), 400, 400, 0.90),
        (0.9 ** np.arange(200), 265, 265, 0.90),
    ],
)
def test_the_interval_of_a_count_covers(distribution, n, size, lowest):
    rng = np.random.default_rng(1)
    distribution = distribution / distribution.sum()
    truth = np.sum(1 - (1 - distribution) ** size)
    drawn = [unique_interval(rng.choice(len(distribution), n, p=distribution), size) for _ in range(400)]
    assert (
        lowest
        <= np.mean([e.low <= truth <= e.high for e in drawn])
        <= (0.988 if distribution[0] > 3 * distribution[-1] else 1)
    )


def test_the_interval_of_a_count_has_the_right_width():
    rng = np.random.default_rng(2)
    distribution = 1 / np.arange(1, 3001) ** 0.8
    distribution /= distribution.sum()
    samples = [rng.choice(3000, 600, p=distribution) for _ in range(500)]
    width = np.mean([(e.high - e.low) / 3.92 for e in (unique_interval(s, 600) for s in samples)])
    # A standard deviation of 500 counts has a relative error of 3 %. The jackknife is a tenth too long, where plain
    # half-sampling gives half the width.
    assert 0.93 < width / np.std([unique_count(s) for s in samples]) < 1.2


def test_the_interval_of_a_count_stays_possible():
    same = unique_interval(np.zeros(50, int), 50)
    assert (same.value, same.low, same.high, same.n) == (1, 1, 1, 50)
    different = unique_interval(np.arange(50), 50)
    # None of 50 rows repeats another: exp(-3.689) = .025 is how rare that is where 3.689 pairs are expected to.
    assert (different.value, different.low, different.high) == pytest.approx((50, 50 - 3.688879, 50))
    fewer = unique_interval(np.arange(50), 10)  # 45 of 1,225 pairs
    assert (fewer.low, fewer.high) == pytest.approx((10 - 3.688879 * 45 / 1225, 10))
    few = unique_interval([0] * 49 + [1], 50)
    assert few.low == 1 < few.value == 2 < few.high < 50
    for codes, size in (([1], 1), ([1, 2], 3), ([1, 2], 0)):
        with pytest.raises(InputError):
            unique_interval(codes, size)


def test_uniform_structures_by_brute_force():
    every = list(itertools.product(range(6), repeat=4))  # all ways that 4 people answer 6 structures
    assert unique_under_uniform(6, 4) == pytest.approx(np.mean([len(set(e)) for e in every]), abs=1e-12)
    assert unique_under_uniform(1, 5) == 1
    assert unique_under_uniform(7, 0) == 0
    # S = 1e20: the expected loss n(n-1)/2S is far below rounding, so the number is n itself.
    assert unique_under_uniform(10**20, 929) == pytest.approx(929, rel=1e-12)


# 400 samples: the standard error of a share of .95 is .011. On few and on many cells, on sparse tables a little long.
