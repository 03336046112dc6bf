"""Distances between all pairs of tables against loops over scipy."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from pilotlm.stats.distances import js_crossed, js_distance, js_paired


def draw(cells, total, repeats, seed):
    rng = np.random.default_rng(seed)
    return rng.multinomial(total, rng.dirichlet(np.full(cells, 0.5)), size=repeats)


def one_by_one(distance, first, second):
    return np.array([[distance(a, b) for b in second] for a in first])


# Held against our own js_distance, which is held against scipy's in test_divergence.py, and against scipy to 1e-8.
@pytest.mark.parametrize("cells", [2, 6, 400])
def test_jensen_shannon_of_all_pairs_equals_scipy(cells):
    first, second = draw(cells, 60, 7, 1), draw(cells, 60, 5, 2)
    crossed = js_crossed(first, second)
    assert crossed == pytest.approx(one_by_one(js_distance, first, second), abs=1e-12)
    assert crossed == pytest.approx(one_by_one(lambda p, q: jensenshannon(p, q, base=2), first, second), abs=1e-8)
    assert js_paired(first[:5], second) == pytest.approx(np.diag(crossed), abs=1e-12)


def test_equal_tables_are_exactly_zero_apart_and_disjoint_ones_one():
    tables = np.array([[929, 0, 0, 17], [0, 473, 473, 0]])
    crossed = js_crossed(tables, tables)
    assert np.diag(crossed).tolist() == [0, 0]
    assert crossed == pytest.approx(np.array([[0, 1], [1, 0]]), abs=1e-12)
