"""Log-linear pooling."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from pilotlm.models.pool import choose_weight, pooled

Distribution = NDArray[np.float64]


def drawn(distribution: Distribution, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.array([rng.choice(distribution.shape[1], p=row) for row in distribution])


def some_distributions(rows: int, answers: int, rng: np.random.Generator) -> tuple[Distribution, Distribution]:
    return rng.dirichlet(np.ones(answers), rows), rng.dirichlet(np.ones(answers), rows)


def test_the_pool_worked_out_by_hand() -> None:
    # sqrt(.8 * .2) = .4 on both answers; then .64^.5 = .8 against .36^.5 = .6 with a flat second distribution: 4/7
    # and 3/7.
    first, second = np.array([[0.8, 0.2], [0.64, 0.36]]), np.array([[0.2, 0.8], [0.5, 0.5]])
    distribution = np.exp(pooled(np.log(first), np.log(second), 0.5))
    np.testing.assert_allclose(distribution, [[0.5, 0.5], [4 / 7, 3 / 7]], rtol=1e-12)


def test_the_ends_are_the_two_distributions() -> None:
    first, second = some_distributions(6, 4, np.random.default_rng(0))
    np.testing.assert_allclose(np.exp(pooled(np.log(first), np.log(second), 1.0)), first, rtol=1e-12)
    np.testing.assert_allclose(np.exp(pooled(np.log(first), np.log(second), 0.0)), second, rtol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_an_answer_that_is_not_valid_stays_so(weight: float) -> None:
    barred = np.array([0, 0, -np.inf])
    log_first = np.log([[0.5, 0.25, 0.25]]) + barred
    log_second = np.log([[0.2, 0.3, 0.5]]) + barred
    distribution = np.exp(pooled(log_first, log_second, weight))
    assert (
        distribution[0, 2] == 0
        and distribution.sum() == pytest.approx(1, abs=1e-12)
        and (distribution[0, :2] > 0).all()
    )


def test_the_weight_is_that_of_a_search_over_the_whole_interval() -> None:
    rng = np.random.default_rng(3)
    distributions = [some_distributions(80, k, rng) for k in (2, 5, 7)]
    truth = [np.exp(pooled(np.log(a), np.log(b), 0.35)) for a, b in distributions]
    given = np.stack([drawn(distribution, rng) for distribution in truth], axis=1)
    logs = [np.log(a) for a, _ in distributions], [np.log(b) for _, b in distributions]

    def loss(weight: float) -> float:
        return -float(
            np.mean(
                sum(
                    pooled(a, b, weight)[np.arange(80), given[:, k]] for k, (a, b) in enumerate(zip(*logs, strict=True))
                )
            )
        )

    found = choose_weight(*logs, given)
    reference = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    # Near the minimum the loss is flat to the root of the rounding error, hence 1e-5.
    assert found == pytest.approx(reference.x, abs=1e-5)
    assert loss(found) == pytest.approx(reference.fun, abs=1e-12) and loss(found) < min(loss(0), loss(1))


@pytest.mark.parametrize("true_weight", [0.0, 0.2, 0.7, 1.0])
def test_a_known_weight_is_recovered(true_weight: float) -> None:
    # 4,000 answers: the standard error of the weight is about .025 (from its Fisher information), .1 is four.
    rng = np.random.default_rng(5)
    first, second = some_distributions(4000, 5, rng)
    given = drawn(np.exp(pooled(np.log(first), np.log(second), true_weight)), rng)[:, None]
    assert choose_weight([np.log(first)], [np.log(second)], given) == pytest.approx(true_weight, abs=0.1)


def test_a_language_model_that_knows_nothing_gets_no_weight() -> None:
    rng = np.random.default_rng(1)
    truth = rng.dirichlet([5, 1, 1], 300)
    noise = rng.dirichlet([1, 1, 1], 300)
    given = drawn(truth, rng)[:, None]
    assert choose_weight([np.log(noise)], [np.log(truth)], given) < 0.1
    assert choose_weight([np.log(truth)], [np.log(noise)], given) > 0.9
    # The same distribution twice: any weight is best, and the language model is given none.
    assert choose_weight([np.log(truth)], [np.log(truth)], given) == 0


def test_mistakes_are_named() -> None:
    distribution = np.log(np.full((2, 3), 1 / 3))
    given = np.zeros((2, 1), dtype=np.int64)
    with pytest.raises(ValueError, match=r"\[0, 1\], got 1\.2"):
        pooled(distribution, distribution, 1.2)
    with pytest.raises(ValueError, match="one shape"):
        pooled(distribution, distribution[:, :2], 0.5)
    barred = np.where([[True, True, True], [True, False, False]], -np.inf, distribution)
    with pytest.raises(ValueError, match="row 0 no answer"):
        pooled(distribution, barred, 0.5)
    with pytest.raises(ValueError, match="2, 1 and 1"):
        choose_weight([distribution, distribution], [distribution], given)
    with pytest.raises(ValueError, match="Line 0 has the distributions of 2 people, but 3"):
        choose_weight([distribution], [distribution], np.zeros((3, 1), dtype=np.int64))
    with pytest.raises(ValueError, match="row 1, line 0 is impossible"):
        choose_weight([distribution], [np.where([[False] * 3, [True, False, False]], -np.inf, distribution)], given)
