"""Counts, rarefaction and variances against references, brute force and simulated coverage."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlm.errors import InputError
from pilotlm.stats.diversity import (
    expected_unique,
    structures,
    unique_interval,
    unique_under_uniform,
    variance_ratio,
    variance_ratio_interval,
    variance_ratio_of_known,
)


def unique_count(codes):
    return len(set(np.asarray(codes).tolist()))


code_lists = st.lists(st.integers(0, 8), min_size=1, max_size=40)


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


@given(code_lists, st.data())
def test_rarefaction_equals_the_binomial_formula(codes, data):
    n = data.draw(st.integers(0, len(codes)))
    total = len(codes)
    exact = sum(1 - math.comb(total - codes.count(c), n) / math.comb(total, n) for c in set(codes))
    assert expected_unique(codes, n) == pytest.approx(exact, abs=1e-9)


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
    every = list(itertools.product(range(6), repeat=4))  # all ways that 4 people answer 2 x 3 structures
    assert unique_under_uniform([2, 3], 4) == pytest.approx(np.mean([len(set(e)) for e in every]), abs=1e-12)
    assert unique_under_uniform([1, 1], 5) == 1
    assert unique_under_uniform([7], 0) == 0
    # S = 1e20: the expected loss n(n-1)/2S is far below rounding, so the number is n itself.
    assert unique_under_uniform([10**10, 10**10], 929) == pytest.approx(929, rel=1e-12)
    with pytest.raises(InputError):
        unique_under_uniform([0], 3)


# 400 samples: the standard error of a share of .95 is .011. On few and on many cells, on sparse tables a little long.


def test_variance_ratio_of_known_by_hand():
    # People (1, 3), (10, 14) have 5 within groups; the second column does not vary and is left out.
    people = [[1, 7], [3, 7], [10, 7], [14, 7]]
    # With either of the first two left out the variance is 8, with either of the last two it is 2: the ratio .5 becomes
    # .3125 or 1.25, and the jackknife's bias, relative to it, is 2 (1 / 2) (-.375) + 2 (1 / 2) 1.5 = 1.125.
    assert variance_ratio_of_known([2.5, 9.0], people, list("aabb")) == pytest.approx(0.5 * np.exp(-1.125))
    with pytest.raises(InputError, match="same columns"):
        variance_ratio_of_known([1.0], people, list("aabb"))


def test_variance_ratio_by_hand():
    # Within groups: people (1, 3), (10, 14): (2 + 8) / 2 = 5; simulated (0, 2), (5, 5): (2 + 0) / 2 = 1.
    people, simulated = [[1], [3], [10], [14]], [[0], [2], [5], [5]]
    groups = ["a", "a", "b", "b"]
    assert variance_ratio(simulated, people, groups, groups) == pytest.approx(1 / 5)
    # Samples of different sizes: (0, 1, 2, 5, 5) has (2 + 0) / 3.
    assert variance_ratio([[0], [1], [2], [5], [5]], people, list("aaabb"), groups) == pytest.approx(2 / 15)


def test_variance_ratio_equals_the_anova_residual():
    rng = np.random.default_rng(4)
    groups = rng.integers(0, 3, 90)
    simulated, people = rng.normal(size=(90, 2)) + groups[:, None], 2 * rng.normal(size=(90, 2))

    def residual(values):
        parts = [values[groups == g] for g in range(3)]
        return sum(np.var(part, axis=0, ddof=1) * (len(part) - 1) for part in parts) / 87

    expected = (residual(simulated) / residual(people)).mean()
    assert variance_ratio(simulated, people, groups, groups) == pytest.approx(expected, rel=1e-12)


def test_variance_ratio_with_constant_columns():
    groups = [0, 0, 1, 1]
    people = np.array([[1, 0.1], [3, 0.1], [5, 0.7], [7, 0.7]])  # second column: no variation within groups
    still = np.array([[2.0, 5], [2, 9], [2, 5], [2, 9]])
    assert variance_ratio(still, people, groups, groups) == 0
    assert np.isnan(variance_ratio(people[:, :1], people[:, 1:], groups, groups))


def test_variance_ratio_refuses():
    with pytest.raises(InputError, match="same columns"):
        variance_ratio(np.ones((4, 1)), np.ones((4, 2)), [0] * 4, [0] * 4)
    with pytest.raises(InputError, match="one group a row"):
        variance_ratio(np.ones((4, 1)), np.ones((4, 1)), [0] * 3, [0] * 4)
    with pytest.raises(InputError, match="more rows than groups"):
        variance_ratio(np.ones((2, 1)), np.ones((2, 1)), [0, 1], [0, 0])


@pytest.mark.slow
@pytest.mark.parametrize("size", [6, 25])
@pytest.mark.parametrize("distribution", ["normal", "skewed", "flat"])
def test_the_interval_of_a_variance_ratio_covers_and_its_value_has_no_bias(distribution, size):
    rng = np.random.default_rng(5)
    draw = {
        "normal": lambda shape: rng.normal(size=shape),
        "skewed": lambda shape: rng.binomial(10, 0.1, size=shape).astype(float),
        "flat": lambda shape: rng.integers(0, 5, size=shape).astype(float),
    }[distribution]
    groups = np.repeat(np.arange(8), size)
    found = [variance_ratio_interval(draw((8 * size, 3)) / 2, draw((8 * size, 3)), groups, groups) for _ in range(600)]
    # 600 samples: standard error .009; the bar is .93 to .97. Three independent columns are as hard as it gets.
    assert 0.92 <= np.mean([one.low <= 0.25 <= one.high for one in found]) <= 0.98
    values = np.array([one.value for one in found])
    # Without the correction the bias is 3 to 8 % with six rows a group.
    assert values.mean() == pytest.approx(0.25, abs=4 * values.std() / np.sqrt(600))


def test_the_interval_of_a_variance_ratio_where_rows_are_few_or_equal():
    groups = np.repeat([0, 1, 2], [20, 30, 25])
    people = np.random.default_rng(8).gamma(2, size=(75, 3))
    still = variance_ratio_interval(np.ones((75, 3)) * 0.1, people, groups, groups)
    assert (still.value, still.low, still.high) == (0, 0, 0)
    # One row that differs: without it people do not vary, so nothing says how well their variance is known.
    lone = variance_ratio_interval(people[:, :1], np.eye(75)[:, :1], groups, groups)
    assert lone.value > 0 and np.isnan([lone.low, lone.high]).all()
    # A row that is all of its group says nothing of the variance within groups.
    more = variance_ratio_interval(np.vstack([people, [[99.0] * 3]]), people, [*groups, 3], groups)
    assert more.value == pytest.approx(variance_ratio_interval(people, people, groups, groups).value)
