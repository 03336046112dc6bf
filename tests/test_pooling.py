"""Log-linear pooling."""

from __future__ import annotations

import numpy as np
import pytest

from pilotlm.baselines.pooling import pooled


def test_the_pool_worked_out_by_hand() -> None:
    # sqrt(.8 * .2) = .4 on both answers; then .64^.5 = .8 against .36^.5 = .6 with a flat second distribution: 4/7
    # and 3/7.
    first, second = np.array([[0.8, 0.2], [0.64, 0.36]]), np.array([[0.2, 0.8], [0.5, 0.5]])
    distribution = np.exp(pooled(np.log(first), np.log(second)))
    np.testing.assert_allclose(distribution, [[0.5, 0.5], [4 / 7, 3 / 7]], rtol=1e-12)


def test_a_distribution_pooled_with_itself_or_an_even_one() -> None:
    first, second = np.random.default_rng(0).dirichlet(np.ones(4), (2, 6))
    np.testing.assert_allclose(np.exp(pooled(np.log(first), np.log(first))), first, rtol=1e-12)
    np.testing.assert_allclose(pooled(np.log(first), np.log(second)), pooled(np.log(second), np.log(first)))
    even = np.exp(pooled(np.log(first), np.log(np.full((6, 4), 0.25))))
    assert (even.max(axis=1) < first.max(axis=1)).all()


def test_an_answer_that_is_not_valid_stays_so() -> None:
    barred = np.array([0, 0, -np.inf])
    log_first = np.log([[0.5, 0.25, 0.25]]) + barred
    log_second = np.log([[0.2, 0.3, 0.5]]) + barred
    distribution = np.exp(pooled(log_first, log_second))
    assert distribution[0, 2] == 0 and (distribution[0, :2] > 0).all()
    assert distribution.sum() == pytest.approx(1, abs=1e-12)


def test_mistakes_are_named() -> None:
    distribution = np.log(np.full((2, 3), 1 / 3))
    with pytest.raises(ValueError, match="one shape"):
        pooled(distribution, distribution[:, :2])
    barred = np.where([[True, True, True], [True, False, False]], -np.inf, distribution)
    with pytest.raises(ValueError, match="row 0 no answer"):
        pooled(distribution, barred)
