"""The classifier test: its area and variance against references, and what it can and cannot tell apart."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from pilotlm.errors import InputError
from pilotlm.stats.classifier import FOLDING, INFLATION, LEAST, _of_mean, _shared, auc_with_variance, classifier_test


def test_the_area_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(1)
    for n, m in ((2, 2), (7, 30), (60, 41)):
        first, second = rng.integers(0, 6, n), rng.integers(1, 7, m)
        expected = roc_auc_score(np.repeat([0, 1], [n, m]), np.concatenate([first, second]))
        assert auc_with_variance(first, second)[0] == pytest.approx(expected, abs=1e-12)


def test_the_variance_is_delongs_by_brute_force():
    rng = np.random.default_rng(2)
    first, second = rng.integers(0, 9, 15).astype(float), rng.integers(2, 11, 22).astype(float)
    won = (second > first[:, None]) + 0.5 * (second == first[:, None])
    expected = won.mean(axis=1).var(ddof=1) / 15 + won.mean(axis=0).var(ddof=1) / 22
    assert auc_with_variance(first, second)[1] == pytest.approx(expected, abs=1e-12)


def test_the_interval_of_known_scores_covers():
    rng = np.random.default_rng(3)
    truth = norm.cdf(0.8 / np.sqrt(2))
    inside = []
    for _ in range(1000):
        area, variance = auc_with_variance(rng.normal(size=60), rng.normal(0.8, size=60))
        inside.append(abs(area - truth) <= 1.96 * np.sqrt(variance))
    assert 0.93 <= np.mean(inside) <= 0.97  # 1,000 samples: standard error .007


def test_the_variance_of_a_mean_over_splits_by_hand():
    # Splits without a common row are independent; with the same rows only the folds differ.
    assert _of_mean(0.5, 0.0, 4) == pytest.approx(INFLATION / 4)
    assert _of_mean(0.9, 1.0, 4) == pytest.approx(INFLATION * (1 - FOLDING + FOLDING / 4))
    # Half of the rows in common: a quarter of pairs at one half, a half of single rows far from it.
    near, far = (1 - FOLDING) / 4, (1 - FOLDING) / 2
    assert _of_mean(0.5, 0.5, 6) == pytest.approx(INFLATION * (near + (1 - near) / 6))
    assert _of_mean(0.1, 0.5, 6) == _of_mean(1.0, 0.5, 6) == pytest.approx(INFLATION * (far + (1 - far) / 6))
    assert _of_mean(0.5, 0.5, 6) < _of_mean(0.6, 0.5, 6) < _of_mean(0.7, 0.5, 6)
    assert _shared([np.array([1, 2]), np.array([2, 3])], [np.array([4, 5]), np.array([5, 4])]) == pytest.approx(0.75)
    assert _shared([np.array([1, 2])], [np.array([1, 2])]) == 0


def test_the_interval_of_the_test_covers():
    rng = np.random.default_rng(6)
    found = [classifier_test(*draw(rng, 120, lambda persona, own: 0.6 * own, 40), 3, rng).value for _ in range(40)]
    truth = np.mean([one.value for one in found])
    # 40 samples: standard error .034, three of them. `make truth` has 500.
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.85


def features(persona, answers):
    """Answers, personas and their products."""
    return np.hstack([persona, answers, (persona[:, :, None] * answers[:, None, :]).reshape(len(answers), -1)])


def draw(rng, m, answer, simulated=None):
    """People whose answers follow their persona, simulated ones by ``answer(personas)``, and uniform ones."""
    persona = rng.normal(size=(m, 2))
    own = persona + rng.normal(size=(m, 2))
    ids = rng.permutation(m)[: simulated or m]
    ours = answer(persona[ids], own[ids])
    uniform = rng.uniform(-4, 4, size=(len(ids), 2))
    return features(persona, own), features(persona[ids], ours), features(persona[ids], uniform), np.arange(m), ids


def as_people(rng):
    return lambda persona, own: persona + rng.normal(size=persona.shape)


def test_a_perfect_simulation_cannot_be_told_and_stands_on_the_human_benchmark():
    rng = np.random.default_rng(4)
    found = [classifier_test(*draw(rng, 160, as_people(rng)), 2, rng) for _ in range(15)]
    # One test spreads by about .04: the mean of fifteen by .01.
    assert np.mean([test.value.value for test in found]) == pytest.approx(0.5, abs=0.035)
    assert np.mean([test.human_benchmark.value for test in found]) == pytest.approx(0.5, abs=0.035)
    assert np.mean([test.random_benchmark.value for test in found]) > 0.6
    assert np.mean([test.value.low <= 0.5 <= test.value.high for test in found]) > 0.8
    assert {test.value.n for test in found} == {80}


def test_pairs_do_not_push_the_area_below_one_half():
    # Everybody is simulated with their very own answers: a classifier that trained on one row of a pair and was tested
    # on the other would take it for the other side.
    rng = np.random.default_rng(5)
    found = [classifier_test(*draw(rng, 120, lambda persona, own: own), 2, rng) for _ in range(12)]
    assert np.mean([test.value.value for test in found]) == pytest.approx(0.5, abs=0.04)


def test_the_human_benchmark_is_one_half_whoever_was_simulated():
    # The first 60 of 100 people are simulated; were the others always on the same side, folds would tell them apart.
    rng = np.random.default_rng(10)
    persona = rng.normal(size=(100, 2))
    human = features(persona, persona + rng.normal(size=(100, 2)))
    found = classifier_test(human, human[:60], human[:60], np.arange(100), np.arange(60), 40, rng)
    # Splits of the same people: each spreads by about .06 about one half, so 40 of them by .01.
    assert found.human_benchmark.value == pytest.approx(0.5, abs=0.035)


def test_answers_that_do_not_fit_the_persona_are_told():
    rng = np.random.default_rng(6)
    test = classifier_test(*draw(rng, 300, lambda persona, own: rng.permutation(own)), 2, rng)
    # The margins are people's own; only what goes with what differs.
    assert test.value.low > 0.6 > test.human_benchmark.value


def test_wrong_margins_are_told_and_fewer_may_be_simulated():
    rng = np.random.default_rng(7)
    test = classifier_test(*draw(rng, 300, lambda persona, own: own + 1.5, simulated=60), 2, rng)
    assert test.value.low > 0.7
    assert (test.value.n, test.human_benchmark.n) == (60, 60)


def test_of_several_rows_for_one_person_a_split_takes_one():
    rng = np.random.default_rng(8)
    human, simulated, uniform, ids, ours = draw(rng, 100, as_people(rng))
    twice = (human, np.vstack([simulated] * 2), np.vstack([uniform] * 2), ids, np.tile(ours, 2))
    assert classifier_test(*twice, 1, rng).value.n == 50


def test_it_is_repeatable_and_refuses_what_does_not_fit():
    rng = np.random.default_rng(9)
    human, simulated, uniform, ids, ours = draw(rng, 60, as_people(rng))
    first, second = (
        classifier_test(human, simulated, uniform, ids, ours, 1, np.random.default_rng(1)) for _ in range(2)
    )
    assert first == second
    for wrong in (
        (human[:, :3], simulated, uniform, ids, ours, 1),
        (human, simulated, uniform[:9], ids, ours, 1),
        (human, simulated, uniform, ids, ours + 1, 1),
        (human, simulated, uniform, ids, ours, 0),
        (human[: LEAST + 5], simulated[:9], uniform[:9], ids[: LEAST + 5], np.arange(9), 1),
    ):
        with pytest.raises(InputError):
            classifier_test(*wrong, rng)
