"""Distances against scipy and hand-worked cases; comparisons against brute force and simulated coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon

from pilotlm.errors import InputError
from pilotlm.stats.comparisons import CROSSED, compare_many, comparison, draw_halves, mean_spread, spread
from pilotlm.stats.distances import counts, joint_codes, js_distance, uniform_joint


def compare(simulated, human, size, repeats, rng, random_benchmark=None, at=None):
    """One column."""
    return compare_many(
        [simulated], [human], [size], repeats, rng, None if random_benchmark is None else [random_benchmark], at
    )


tables = st.integers(1, 8).flatmap(
    lambda k: st.tuples(*[arrays(int, k, elements=st.integers(0, 50)).filter(lambda a: a.sum() > 0)] * 3)
)


def zipf(k, power=1.0):
    weights = 1 / np.arange(1, k + 1) ** power
    return weights / weights.sum()


@given(tables)
def test_js_distance_equals_scipy(drawn):
    p, q, _ = drawn
    # scipy's form cancels for nearly equal distributions: an error of 1e-16 in the divergence is 1e-8 in its root.
    assert js_distance(p, q) == pytest.approx(np.nan_to_num(jensenshannon(p, q, base=2)), abs=3e-8)


@given(tables)
def test_js_distance_is_a_metric_in_the_unit_interval(drawn):
    p, q, r = drawn
    assert js_distance(p, p) == 0
    assert 0 <= js_distance(p, q) <= 1
    assert js_distance(p, q) == pytest.approx(js_distance(q, p), abs=1e-12)
    assert js_distance(p, r) <= js_distance(p, q) + js_distance(q, r) + 1e-12


def test_js_distance_by_hand():
    # m = (3/4, 1/4): KL(p||m) = log2(4/3), KL(q||m) = log2(2/3)/2 + log2(2)/2.
    by_hand = np.sqrt((np.log2(4 / 3) + 0.5 * np.log2(2 / 3) + 0.5) / 2)
    assert js_distance([1, 0], [0.5, 0.5]) == pytest.approx(by_hand, abs=1e-12)
    assert js_distance([1, 0], [0, 1]) == 1
    assert js_distance([3, 0, 9], [1, 0, 3]) == 0  # counts are normalised, cells empty in both do not matter


def test_js_distance_does_not_lose_small_differences():
    # With t = ±e in the two cells the divergence is 2 e² / 4 nats up to e⁴; scipy gives 0 or 1e-8 here.
    e = 1e-9
    assert js_distance([0.5 + e, 0.5 - e], [0.5, 0.5]) == pytest.approx(e / np.sqrt(2 * np.log(2)), rel=1e-6)


def test_distances_are_vectorised():
    rng = np.random.default_rng(0)
    p, q = rng.random((3, 4, 5)), rng.random((4, 5))
    assert js_distance(p, q).shape == (3, 4)
    assert js_distance(p, q)[2, 1] == pytest.approx(jensenshannon(p[2, 1], q[1], base=2), abs=1e-12)


@pytest.mark.parametrize("bad", [[0, 0], [-1, 2], [np.nan, 1], [np.inf, 1]])
def test_distances_refuse_what_is_no_distribution(bad):
    with pytest.raises(InputError):
        js_distance(bad, [1, 1])


def test_counts():
    codes = np.array([[0, 2, 2], [1, 1, 1]])
    assert counts(codes, 4).tolist() == [[1, 0, 2, 0], [0, 3, 0, 0]]
    assert counts([1, 1, 0], 2).tolist() == [1, 2]
    for bad in ([0, 4], [-1], [0.5]):
        with pytest.raises(InputError):
            counts(bad, 4)


def test_compare_estimates_the_distance_at_its_own_n():
    rng = np.random.default_rng(1)
    p, q = zipf(300), zipf(300)[::-1]
    drawn = [
        compare(rng.choice(300, 400, p=p), rng.choice(300, 400, p=q), 300, 40, rng, random_benchmark=np.ones(300))
        for _ in range(60)
    ]

    def expected(first, second):
        return js_distance(rng.multinomial(200, first, 4000), rng.multinomial(200, second, 4000)).mean()

    # The mean of 60 comparisons has a standard error of about .0015.
    assert np.mean([c.value for c in drawn]) == pytest.approx(expected(p, q), abs=0.006)
    assert np.mean([c.human_benchmark for c in drawn]) == pytest.approx(expected(q, q), abs=0.006)
    assert np.mean([c.random_benchmark for c in drawn]) == pytest.approx(expected(np.full(300, 1 / 300), q), abs=0.006)
    assert {c.n for c in drawn} == {200}


# Coverage is taken over 300 samples (standard error .013 at .95): three of them about 95 %, and a little more for what
# the docstring of `distance_ends` says.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("p", "q", "n", "m", "lowest", "highest"),
    [
        (zipf(7, 0.5), zipf(7, 1.0)[::-1], 100, 400, 0.91, 0.98),
        (np.array([0.7, 0.3]), np.array([0.3, 0.7]), 60, 400, 0.91, 0.98),
        (zipf(300), zipf(300, 1.5), 400, 400, 0.91, 0.98),
        (zipf(7), zipf(7), 60, 300, 0.90, 0.98),
        (zipf(2), zipf(2), 200, 200, 0.90, 0.98),
        (np.full(500, 1 / 500), np.full(500, 1 / 500), 24, 24, 0.91, 0.99),
    ],
)
def test_the_interval_of_the_value_covers(p, q, n, m, lowest, highest):
    rng = np.random.default_rng(3)
    k, h = len(p), min(n, m) // 2
    truth = js_distance(rng.multinomial(h, p, 10000), rng.multinomial(h, q, 10000)).mean()
    drawn = [compare(rng.choice(k, n, p=p), rng.choice(k, m, p=q), k, 100, rng) for _ in range(300)]
    assert lowest <= np.mean([c.low <= truth <= c.high for c in drawn]) <= highest


def test_a_mean_over_columns_needs_the_same_rows():
    rng = np.random.default_rng(15)
    answers = [rng.integers(0, 4, (2, 30)) for _ in range(2)]
    spreads = [spread(x, y, 4, draw_halves(30, 30, 20, rng), rng) for x, y in answers]
    with pytest.raises(InputError, match="same rows"):
        mean_spread(spreads)


def test_a_spread_needs_the_answers_that_were_drawn_from():
    rng = np.random.default_rng(16)
    with pytest.raises(InputError, match="of 9 and 8, the answers"):
        spread(np.zeros(8, int), np.zeros(8, int), 2, draw_halves(9, 8, 3, rng), rng)


# For k cells that many rows fall into, the divergence times 4 n ln 2 is chi-squared with k - 1 degrees of freedom:
# Menendez et al. (1997), The Jensen-Shannon divergence, Journal of the Franklin Institute 334, 307-318.
@pytest.mark.parametrize("k", [2, 7, 21])
def test_the_human_benchmark_is_what_theory_says(k):
    rng = np.random.default_rng(17)
    n, distribution = 4000, np.full(k, 1 / k)
    squared = js_distance(rng.multinomial(n, distribution, 3000), rng.multinomial(n, distribution, 3000)) ** 2
    # The relative error of a mean of 3,000 chi-squared is sqrt(2 / (3000 (k - 1))), 2.6 % for k = 2: four of them.
    assert squared.mean() == pytest.approx((k - 1) / (4 * n * np.log(2)), rel=0.11 / np.sqrt(k - 1))
    codes = rng.integers(0, k, 2 * n)
    human_benchmark = compare(codes, codes, k, 100, rng).human_benchmark
    # The mean of a root of chi-squared over k - 1; splits of one set of people vary about it by some 5 %.
    chi = np.sqrt(rng.chisquare(k - 1, 20000)).mean()
    assert human_benchmark == pytest.approx(chi / np.sqrt(4 * n * np.log(2)), rel=0.2)


def test_compare_many_is_the_mean_over_columns():
    rng = np.random.default_rng(5)
    human, simulated = rng.integers(0, 4, (2, 500))
    once = compare(simulated, human, 4, 50, np.random.default_rng(6))
    twice = compare_many([simulated, simulated], [human, human], [4, 4], 50, np.random.default_rng(6))
    assert (twice.value, twice.low, twice.human_benchmark) == pytest.approx(
        (once.value, once.low, once.human_benchmark)
    )
    same = compare_many([simulated, human], [human, human], [4, 4], 50, np.random.default_rng(6))
    assert same.human_benchmark == pytest.approx(once.human_benchmark)


def test_compare_takes_the_distance_of_js_distance():
    rng = np.random.default_rng(12)
    human, simulated = np.repeat([0, 1, 2], [500, 3, 2]), np.full(505, 3)
    result = compare(simulated, human, 4, 20, rng)
    assert (result.value, result.low, result.high) == (1, 1, 1)
    still = compare(np.zeros(9, int), np.zeros(9, int), 4, 20, rng, random_benchmark=[1, 1, 0, 0])
    assert (still.value, still.low, still.human_benchmark) == (0, 0, 0)
    # Three of four equal people and one other, two against two: always one against none of the other.
    known = compare([0] * 4, [0, 0, 0, 1], 2, 50, rng)
    assert known.human_benchmark == pytest.approx(js_distance([2, 0], [1, 1]), abs=1e-12)


def test_compare_at_a_given_size():
    rng = np.random.default_rng(7)
    human, simulated = rng.integers(0, 40, (2, 400))
    small, large = (compare(simulated, human, 40, 100, rng, at=at) for at in (40, None))
    assert (small.n, large.n) == (40, 200)
    assert small.human_benchmark > large.human_benchmark + 0.1  # sparser tables are farther apart
    with pytest.raises(InputError, match="1 to 200 rows"):
        compare(simulated, human, 40, 100, rng, at=201)


def test_the_value_is_the_mean_over_all_pairs_of_halves():
    rng = np.random.default_rng(20)
    simulated, human = rng.integers(0, 5, (2, 40))
    halves = draw_halves(40, 40, 6, rng)
    loop = [
        js_distance(np.bincount(simulated[s], minlength=5), np.bincount(human[b], minlength=5))
        for s in [*halves.s, *halves.apart]
        for b in [*halves.b[:3], *halves.a[:3]]
    ]
    result = comparison(spread(simulated, human, 5, halves, rng))
    assert result.value == pytest.approx(np.mean(loop), abs=1e-12)


def test_many_repeats_do_not_cross_without_end():
    rng = np.random.default_rng(21)
    codes = rng.integers(0, 3, 30)
    crossed = spread(codes, codes, 3, draw_halves(30, 30, CROSSED + 50, rng), rng)
    assert crossed.crossed.shape == (CROSSED, CROSSED)
    assert crossed.human_benchmark.shape == (CROSSED + 50,)


def test_joint_codes_share_their_numbers():
    simulated, human = [[1, 2], [3, 4], [9, 9]], [[3, 4], [1, 2], [1, 4], [1, 2]]
    s, h, size = joint_codes(simulated, human)
    assert size == 4
    assert s[0] == h[1] == h[3] and s[1] == h[0]
    assert len({*s, *h}) == 4
    with pytest.raises(InputError, match="same columns"):
        joint_codes([[1, 2]], [[1]])
    with pytest.raises(InputError, match="missing"):
        joint_codes([[1, np.nan]], [[1, 2]])


def test_uniform_joint_equals_brute_force_on_the_whole_grid():
    rng = np.random.default_rng(10)
    size, grid, n = 12, 60, 40
    human = rng.multinomial(n, zipf(size), 4000)
    whole = rng.multinomial(n, np.full(grid, 1 / grid), 4000)
    on_grid = js_distance(whole, np.pad(human, ((0, 0), (0, grid - size))))
    joined = np.hstack([whole[:, :size], whole[:, size:].sum(axis=1, keepdims=True)])
    assert js_distance(joined, np.pad(human, ((0, 0), (0, 1)))) == pytest.approx(on_grid, abs=1e-12)

    codes = rng.choice(size, 2 * n, p=zipf(size))
    random_benchmark = compare(codes, codes, size, 4000, rng, uniform_joint(size, grid)).random_benchmark
    b = counts(codes[rng.permuted(np.tile(np.arange(2 * n), (4000, 1)), axis=1)[:, :n]], size)
    # Both are means of 4,000 draws with a standard deviation of about .03.
    assert random_benchmark == pytest.approx(
        js_distance(whole, np.pad(b, ((0, 0), (0, grid - size)))).mean(), abs=0.003
    )


def test_uniform_joint_is_a_distribution():
    assert uniform_joint(3, 10).tolist() == pytest.approx([0.1, 0.1, 0.1, 0.7])
    assert uniform_joint(3, 10**30).sum() == pytest.approx(1)
    with pytest.raises(InputError, match="allow only 2"):
        uniform_joint(3, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"simulated": [0]},
        {"simulated": [0, 3]},
        {"size": 1},
        {"repeats": 1},
        {"random_benchmark": [1.0]},
        {"random_benchmark": [-1.0, 2.0, 0.0]},
        {"at": 0},
    ],
)
def test_compare_refuses(wrong):
    given = {"simulated": [0, 1, 1, 2], "human": [2, 1, 0, 0], "size": 3, "repeats": 5, **wrong}
    with pytest.raises(InputError):
        compare(rng=np.random.default_rng(0), **given)
