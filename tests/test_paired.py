"""Differences of distances by hand, and intervals against known truth."""

import known_truth
import numpy as np
import pytest

from pilotlm.analyses.common import marginal_codes, sizes
from pilotlm.errors import InputError
from pilotlm.stats.distances import distance_difference


def test_a_difference_by_hand():
    # First gives people's answer, second never: distances 0 and 1 in every half.
    human = np.arange(20) % 2
    found = distance_difference([human], [human + 2], [human], [4], 30, np.random.default_rng(0))
    assert (found.value, found.n) == (-1, 10)
    assert found.standard_error == 0


def test_it_is_antisymmetric_and_nothing_for_the_same_simulation():
    rng = np.random.default_rng(1)
    a, b, human = ([rng.integers(0, 4, 41), rng.integers(0, 3, 41)] for _ in range(3))
    one, other = (distance_difference(x, y, human, [4, 3], 50, np.random.default_rng(2)) for x, y in ((a, b), (b, a)))
    assert one.value == pytest.approx(-other.value, abs=1e-12)
    assert one.standard_error == pytest.approx(other.standard_error, abs=1e-12)
    same = distance_difference(a, a, human, [4, 3], 50, np.random.default_rng(2))
    assert same.value == 0 and same.standard_error == 0


def test_what_does_not_fit():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="2 participants in all tables"):
        distance_difference([np.zeros(5, int)], [np.zeros(4, int)], [np.zeros(5, int)], [1], 9, rng)
    with pytest.raises(InputError, match="1 columns and 2 sizes"):
        distance_difference([np.zeros(5, int)], [np.zeros(5, int)], [np.zeros(5, int)], [1, 1], 9, rng)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "first", "second"), [(32, 1.0, 1.0), (64, 0.5, 0.5), (160, 1.0, 0.3)])
def test_intervals_cover(n, first, second):
    # Both as people, both equally wrong, and one much worse; 150 intervals of 90 %: standard error .024.
    study, rng = known_truth.study(), np.random.default_rng(n)
    values, errors = [], []
    for _ in range(150):
        tables = (known_truth.distorted(n, rng, kept) for kept in (first, second, 1.0))
        codes = [marginal_codes(study, table) for table in tables]
        found = distance_difference(*codes, sizes(study), 60, rng)
        values.append(found.value)
        errors.append(found.standard_error)
    off = np.abs(np.array(values) - np.mean(values)) / np.array(errors)
    assert 0.83 <= np.mean(off < 1.645) <= 0.97
    assert np.mean(off < 1.96) >= 0.90
