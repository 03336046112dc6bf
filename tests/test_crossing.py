"""Distances between all pairs of tables against loops over scipy."""

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance as scipy_wasserstein

from pilotlm.errors import InputError
from pilotlm.measures.crossing import JENSEN_SHANNON, TOTAL_VARIATION, wasserstein
from pilotlm.measures.divergence import js_distance, total_variation

POSITIONS = np.array([-2.0, -1.0, 4.0, 0.5, 1.0, 6.0])


def draw(cells, total, repeats, seed):
    rng = np.random.default_rng(seed)
    return rng.multinomial(total, rng.dirichlet(np.full(cells, 0.5)), size=repeats)


def one_by_one(distance, first, second):
    return np.array([[distance(a, b) for b in second] for a in first])


def scipy_w(p, q):
    return scipy_wasserstein(POSITIONS, POSITIONS, p, q) / np.ptp(POSITIONS)


# All three agree with the reference to 1e-8. The Jensen-Shannon distance is held against our own js_distance, which is
# held against scipy's in test_divergence.py with the reason for its tolerance, and against scipy where they differ.
@pytest.mark.parametrize("cells", [2, 6, 400])
def test_jensen_shannon_of_all_pairs_equals_scipy(cells):
    first, second = draw(cells, 60, 7, 1), draw(cells, 60, 5, 2)
    crossed = JENSEN_SHANNON.crossed(first, second)
    assert crossed == pytest.approx(one_by_one(js_distance, first, second), abs=1e-12)
    assert crossed == pytest.approx(one_by_one(lambda p, q: jensenshannon(p, q, base=2), first, second), abs=1e-8)
    assert JENSEN_SHANNON.paired(first[:5], second) == pytest.approx(np.diag(crossed), abs=1e-12)


def test_equal_tables_are_exactly_zero_apart_and_disjoint_ones_one():
    tables = np.array([[929, 0, 0, 17], [0, 473, 473, 0]])
    for distance in (JENSEN_SHANNON, TOTAL_VARIATION):
        crossed = distance.crossed(tables, tables)
        assert np.diag(crossed).tolist() == [0, 0]
        assert crossed == pytest.approx(np.array([[0, 1], [1, 0]]), abs=1e-12)


@pytest.mark.parametrize("cells", [2, 6, 400])
def test_total_variation_of_all_pairs(cells):
    first, second = draw(cells, 60, 7, 3), draw(cells, 60, 5, 4)
    crossed = TOTAL_VARIATION.crossed(first, second)
    assert crossed == pytest.approx(one_by_one(total_variation, first, second), abs=1e-12)
    assert TOTAL_VARIATION.paired(first[:5], second) == pytest.approx(np.diag(crossed), abs=1e-12)


def test_wasserstein_of_all_pairs_equals_scipy():
    first, second = draw(6, 60, 7, 5), draw(6, 60, 5, 6)
    distance = wasserstein(POSITIONS)
    crossed = distance.crossed(first, second)
    assert crossed == pytest.approx(one_by_one(scipy_w, first, second), abs=1e-8)
    assert distance.paired(first[:5], second) == pytest.approx(np.diag(crossed), abs=1e-12)


def test_wasserstein_by_hand():
    # From 1 to 4 on a scale from 1 to 7: half of the mass moves 3 of 6.
    for first, second, positions, found in (
        ([2, 0, 0], [1, 1, 0], [1, 4, 7], 0.25),
        ([1, 0, 0], [0, 0, 1], [1, 4, 7], 1.0),
        ([0, 2, 0], [1, 1, 0], [4, 1, 7], 0.25),  # the cells in another order
    ):
        assert wasserstein(positions).paired(np.array([first]), np.array([second])) == pytest.approx([found])
    for bad in ([1, 1, 2], [3], [[1, 2]]):
        with pytest.raises(InputError, match="different positions"):
            wasserstein(bad)


def test_all_pairs_are_those_of_a_loop_over_rows():
    first, second = draw(5, 30, 4, 8), draw(5, 30, 3, 9)
    for distance in (JENSEN_SHANNON, TOTAL_VARIATION, wasserstein(range(5))):
        crossed = distance.crossed(first, second)
        for i, j in itertools.product(range(4), range(3)):
            assert crossed[i, j] == pytest.approx(distance.paired(first[[i]], second[[j]])[0], abs=1e-12)
