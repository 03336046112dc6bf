"""Intervals of means over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from pilotlm.errors import InputError
from pilotlm.stats.intervals import interval_over_seeds

REPEATS = 20_000


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("people", "sampling", "training"), [(1, 1, 0), (1, 1, 1), (1, 1, 5), (0, 1, 3)])
def test_it_covers_whatever_the_seeds_share(seeds, people, sampling, training):
    rng = np.random.default_rng(seeds)
    shared = rng.normal(0, people**0.5, (REPEATS, 1))
    values = shared + rng.normal(0, (sampling + training) ** 0.5, (REPEATS, seeds))
    side = np.full(REPEATS, 1.959964 * (people + sampling) ** 0.5)
    low, high = interval_over_seeds(
        values.mean(axis=1), side, side, values.var(axis=1, ddof=1), np.full(REPEATS, seeds)
    )
    # What a seed's own interval holds of sampling is counted twice, so it covers too often rather than too rarely. The
    # degrees of freedom are an approximation, which is at its worst with two seeds (.941): hence .93.
    assert ((low <= 0) & (high >= 0)).mean() > 0.93


def test_intervals_of_one_seed_alone_would_not_cover():
    rng = np.random.default_rng(0)
    values, side = rng.normal(0, 2, REPEATS), np.full(REPEATS, 1.959964)
    low, high = interval_over_seeds(values, side, side, np.full(REPEATS, np.nan), np.ones(REPEATS))
    assert ((low <= 0) & (high >= 0)).mean() < 0.75


def test_a_single_seed_keeps_its_own_interval_and_its_sides():
    low, high = interval_over_seeds([1.0, 1.0], [0.1, np.nan], [0.3, np.nan], [np.nan, np.nan], [1, 1])
    assert (low[0], high[0]) == (pytest.approx(0.9), pytest.approx(1.3))
    assert np.isnan(low[1]) and np.isnan(high[1])


def test_seeds_without_intervals_of_their_own_use_t_of_what_they_differ_by():
    low, high = interval_over_seeds([0.5, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 3.0], [3, 3])
    assert (low[0], high[0]) == (0.5, 0.5)
    assert high[1] == pytest.approx(4.302653, rel=1e-6) and low[1] == -high[1]  # t at 97.5 % with 2 degrees of freedom


def test_no_seed_is_refused():
    with pytest.raises(InputError, match="needs a seed"):
        interval_over_seeds([0.0], [0.1], [0.1], [0.0], [0])
