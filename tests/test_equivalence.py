"""Equivalence tests and Holm's adjustment against statsmodels, verdicts, and that tests hold their level."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW, ztost

from pilotlm.errors import InputError
from pilotlm.stats.intervals import holm, two_one_sided, verdict


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.6])
def test_two_one_sided_tests_are_those_of_statsmodels(shift):
    x = np.random.default_rng(1).normal(shift, 1, 80)
    described = DescrStatsW(x)
    found = two_one_sided(described.mean, described.std_mean, 0.3)
    assert float(found.equivalence_p) == pytest.approx(ztost(x, -0.3, 0.3)[0], abs=1e-10)
    assert float(found.difference_p) == pytest.approx(described.ztest_mean(0)[1], abs=1e-10)
    assert (float(found.low), float(found.high)) == pytest.approx(described.zconfint_mean(0.1), abs=1e-10)


def test_the_interval_lies_within_the_margin_exactly_where_the_tests_reject():
    rng = np.random.default_rng(2)
    found = two_one_sided(rng.normal(0, 0.1, 500), rng.uniform(0.01, 0.1, 500), 0.1)
    within = (found.low > -0.1) & (found.high < 0.1)
    assert np.array_equal(within, found.equivalence_p < 0.05)
    assert 50 < within.sum() < 450


def test_no_error_and_no_estimate():
    found = two_one_sided([0.0, 0.5, np.nan], [0.0, 0.0, 1.0], 0.1)
    assert found.equivalence_p[:2].tolist() == [0, 1] and found.difference_p[:2].tolist() == [1, 0]
    assert np.isnan([found.equivalence_p[2], found.difference_p[2], found.low[2]]).all()


def test_the_tests_hold_their_level_on_the_margin_and_at_no_difference():
    # 4000 samples: standard error .0034, so three of them are .0105.
    rng = np.random.default_rng(3)
    for truth, name in ((0.2, "equivalence_p"), (-0.2, "equivalence_p"), (0.0, "difference_p")):
        found = two_one_sided(rng.normal(truth, 0.05, 4000), np.full(4000, 0.05), 0.2)
        assert np.mean(getattr(found, name) < 0.05) == pytest.approx(0.05, abs=0.0105)


def test_a_margin_that_makes_no_sense():
    with pytest.raises(InputError, match="margin above 0"):
        two_one_sided(0, 1, 0)


def test_holm_leaves_out_what_was_not_tested():
    found = holm([0.01, np.nan, 0.03, np.nan])
    assert found[[0, 2]] == pytest.approx(multipletests([0.01, 0.03], method="holm")[1], abs=1e-12)
    assert np.isnan(found[[1, 3]]).all()
    assert np.isnan(holm([np.nan])).all() and holm([]).shape == (0,)


def test_verdicts():
    assert verdict(0.01, 0.9) == "equivalent"
    assert verdict(0.01, 0.001) == "equivalent"  # not 0, but smaller than matters
    assert verdict(0.9, 0.001) == "different"
    assert verdict(0.05, 0.05) == verdict(float("nan"), float("nan")) == "undecided"
