"""Counts, rarefaction, entropy and variances against references, brute force and simulated coverage."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pilotlm.errors import InputError
from pilotlm.measures.heterogeneity import (
    entropy_bits,
    entropy_interval,
    entropy_under_uniform,
    expected_entropy,
    expected_unique,
    structures,
    unique_count,
    unique_interval,
    unique_under_uniform,
)
from pilotlm.measures.variances import (
    variance_ratio,
    variance_ratio_between_halves,
    variance_ratio_interval,
    variance_ratio_of_laws,
)

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


# Samples: 400; the standard error of a share of .95 is .011. The laws: heavy-tailed, nearly all different, and few
# common ones, where the count takes few values and a normal interval is coarse (wider band).
@pytest.mark.parametrize(
    ("law", "n", "size", "lowest"),
    [
        (1 / np.arange(1, 3001), 400, 400, 0.92),
        (1 / np.arange(1, 3001), 400, 150, 0.92),
        (np.ones(5000), 400, 400, 0.90),
        (0.9 ** np.arange(200), 265, 265, 0.90),
    ],
)
def test_the_interval_of_a_count_covers(law, n, size, lowest):
    rng = np.random.default_rng(1)
    law = law / law.sum()
    truth = np.sum(1 - (1 - law) ** size)
    drawn = [unique_interval(rng.choice(len(law), n, p=law), size, 30, rng) for _ in range(400)]
    assert lowest <= np.mean([e.low <= truth <= e.high for e in drawn]) <= 0.985


def test_the_interval_of_a_count_has_the_right_width():
    rng = np.random.default_rng(2)
    law = 1 / np.arange(1, 3001) ** 0.8
    law /= law.sum()
    samples = [rng.choice(3000, 600, p=law) for _ in range(500)]
    width = np.mean([(e.high - e.low) / 3.92 for e in (unique_interval(s, 600, 10, rng) for s in samples)])
    # A standard deviation of 500 counts has a relative error of 3 %; plain half-sampling gives half the width.
    assert width == pytest.approx(np.std([unique_count(s) for s in samples]), rel=0.12)


def test_the_interval_of_a_count_stays_possible():
    rng = np.random.default_rng(3)
    same = unique_interval(np.zeros(50, int), 50, 20, rng)
    assert (same.value, same.low, same.high, same.n) == (1, 1, 1, 50)
    different = unique_interval(np.arange(50), 50, 20, rng)
    assert (different.value, different.low, different.high) == pytest.approx((50, 50, 50))
    few = unique_interval([0] * 49 + [1], 50, 20, rng)
    assert few.low == 1 < few.value == 2 < few.high < 50
    for codes, size in (([1], 1), ([1, 2], 3), ([1, 2], 0)):
        with pytest.raises(InputError):
            unique_interval(codes, size, 20, rng)


def test_uniform_structures_by_brute_force():
    every = list(itertools.product(range(6), repeat=4))  # all ways that 4 people answer 2 x 3 structures
    assert unique_under_uniform([2, 3], 4) == pytest.approx(np.mean([len(set(e)) for e in every]), abs=1e-12)
    assert unique_under_uniform([1, 1], 5) == 1
    assert unique_under_uniform([7], 0) == 0
    # S = 1e20: the expected loss n(n-1)/2S is far below rounding, so the number is n itself.
    assert unique_under_uniform([10**10, 10**10], 929) == pytest.approx(929, rel=1e-12)
    with pytest.raises(InputError):
        unique_under_uniform([0], 3)


@given(code_lists)
def test_entropy_equals_scipy(codes):
    _, frequencies = np.unique(codes, return_counts=True)
    assert entropy_bits(codes) == pytest.approx(scipy.stats.entropy(frequencies, base=2), abs=1e-12)
    assert 0 <= entropy_bits(codes) <= np.log2(len(codes)) + 1e-12


def test_entropy_of_nothing_is_refused():
    with pytest.raises(InputError):
        entropy_bits([])


def test_expected_entropy_equals_all_subsets():
    codes = [0, 0, 0, 1, 1, 2, 3]
    for n in (1, 3, 6, 7):
        every = [entropy_bits(subset) for subset in itertools.combinations(codes, n)]
        assert expected_entropy(codes, n) == pytest.approx(np.mean(every), abs=1e-12)
    with pytest.raises(InputError, match="there are 7"):
        expected_entropy(codes, 8)


def test_uniform_entropy_by_brute_force():
    every = list(itertools.product(range(6), repeat=4))  # all ways that 4 people choose one of 6 structures
    assert entropy_under_uniform(6, 4) == pytest.approx(np.mean([entropy_bits(e) for e in every]), abs=1e-12)
    assert entropy_under_uniform(1, 9) == 0
    # Nobody shares a structure when there are 1e15 of them.
    assert entropy_under_uniform(10**15, 256) == pytest.approx(8, abs=1e-9)
    with pytest.raises(InputError):
        entropy_under_uniform(0, 3)


def test_the_error_of_an_entropy_is_the_jackknife_by_brute_force():
    codes = np.array([0, 0, 0, 0, 1, 1, 1, 2, 3, 3, 4])
    for size in (11, 5):
        without = [expected_entropy(np.delete(codes, i), min(size, 10)) for i in range(11)]
        error = np.sqrt(10 / 11 * np.sum((without - np.mean(without)) ** 2))
        estimate = entropy_interval(codes, size, level=0.5)
        assert estimate.value == pytest.approx(expected_entropy(codes, size), abs=1e-12)
        half = scipy.stats.norm.ppf(0.75) * error
        assert estimate.value - estimate.low == pytest.approx(half, abs=1e-8)
        assert estimate.high == pytest.approx(min(np.log2(size), estimate.value + half), abs=1e-8)


# 400 samples: the standard error of a share of .95 is .011. On few and on many cells, on sparse tables a little long.
@pytest.mark.parametrize(
    ("law", "n", "size", "lowest", "highest"),
    [
        (1 / np.arange(1, 8), 300, 300, 0.917, 0.983),
        (1 / np.arange(1, 301), 400, 400, 0.917, 0.983),
        (1 / np.arange(1, 301), 400, 120, 0.917, 0.983),
        (np.ones(5000), 400, 400, 0.95, 1.0),
    ],
)
def test_the_interval_of_an_entropy_covers(law, n, size, lowest, highest):
    rng = np.random.default_rng(6)
    law = law / law.sum()
    truth = np.mean([entropy_bits(rng.choice(len(law), size, p=law)) for _ in range(1500)])
    drawn = [entropy_interval(rng.choice(len(law), n, p=law), size) for _ in range(400)]
    assert lowest <= np.mean([e.low <= truth <= e.high for e in drawn]) <= highest


def test_halves_of_people_have_the_ratio_of_an_f_distribution():
    rng = np.random.default_rng(7)
    groups = np.repeat([0, 1], 22)
    found = [variance_ratio_between_halves(rng.normal(size=(44, 1)), groups, 4, rng) for _ in range(400)]
    # Halves of 22 in two groups have 20 degrees of freedom: 20 / 18. One ratio spreads by .5, the mean of 1,600 by .02
    # at most; splits of the same people are not independent.
    assert np.mean(found) == pytest.approx(20 / 18, abs=0.06)
    assert np.isnan(variance_ratio_between_halves([[1.0], [2], [3]], [0, 0, 0], 5, rng))
    assert np.isnan(variance_ratio_between_halves(np.ones((8, 1)), [0] * 8, 5, rng))


def test_variance_ratio_of_laws_by_hand():
    # People (1, 3), (10, 14) have 5 within groups; the second column does not vary and is left out.
    people = [[1, 7], [3, 7], [10, 7], [14, 7]]
    assert variance_ratio_of_laws([2.5, 9.0], people, list("aabb")) == pytest.approx(0.5)
    with pytest.raises(InputError, match="same columns"):
        variance_ratio_of_laws([1.0], people, list("aabb"))


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


def test_variance_ratio_interval_covers():
    rng = np.random.default_rng(5)
    groups = np.repeat([0, 1], 60)
    inside = []
    for _ in range(200):
        simulated, people = rng.normal(size=(120, 1)), 2 * rng.normal(size=(120, 1))
        estimate = variance_ratio_interval(simulated, people, groups, groups, 100, rng)
        inside.append(estimate.low <= 0.25 <= estimate.high)
    # 200 samples: standard error .015; the percentile interval of a variance at n = 120 is about two points short.
    assert 0.885 <= np.mean(inside) <= 0.99


def test_variance_ratio_interval_is_that_of_resampled_rows():
    rng = np.random.default_rng(8)
    groups = np.repeat([0, 1, 2], [20, 30, 25])
    simulated, people = rng.normal(size=(75, 3)), rng.gamma(2, size=(75, 3))
    estimate = variance_ratio_interval(simulated, people, groups, groups, 3000, rng)
    draws = []
    for _ in range(1500):
        i, j = (
            np.concatenate([rng.choice(np.flatnonzero(groups == g), (groups == g).sum()) for g in range(3)])
            for _ in "xy"
        )
        draws.append(variance_ratio(simulated[i], people[j], groups[i], groups[j]))
    # Quantiles of 1,500 draws err by about a tenth of their spread.
    assert (estimate.low, estimate.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.25 * np.std(draws))
    still = variance_ratio_interval(np.ones((75, 3)) * 0.1, people, groups, groups, 20, rng)
    assert (still.value, still.low, still.high) == (0, 0, 0)
