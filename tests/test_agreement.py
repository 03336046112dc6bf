"""Concordance and equivalence of coefficients by hand, and their intervals against known truth."""

import known_truth
import numpy as np
import pytest

from pilotlm.analyses.regression import recovery
from pilotlm.stats.recovery import concordance, concordance_interval, standard_units, with_spread
from pilotlm.stats.refits import Refits
from pilotlm.stats.regressions import design_of, fit
from pilotlm.study import Regression

TERMS = ("a", "b", "c")


def lines(coefficient, error=0.1):
    values = np.atleast_2d(np.array(coefficient, dtype=float))
    errors = np.where(np.isnan(values), np.nan, error)
    ends, freedom = (values - 1.96 * errors, values + 1.96 * errors), np.full(values.shape, np.inf)
    return Refits(TERMS[: values.shape[1]], values, errors, errors, *ends, freedom)


def test_concordance_is_correlation_times_accuracy():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=12), rng.normal(1, 2, size=12)
    scale, shift = np.std(x) / np.std(y), (x.mean() - y.mean()) / np.sqrt(np.std(x) * np.std(y))
    accuracy = 2 / (scale + 1 / scale + shift**2)  # Lin (1989), equation 2
    assert concordance(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1] * accuracy, abs=1e-12)


def test_concordance_by_hand_and_at_its_ends():
    assert concordance([1, 2, 3], [1, 2, 3]) == 1 and concordance([1, 2, 3], [3, 2, 1]) == -1
    assert concordance([1, 2, 3], [2, 3, 4]) == pytest.approx(4 / 7)  # 2 (2/3) / (2/3 + 2/3 + 1)
    assert np.isnan(concordance([1], [1])) and np.isnan(concordance([2, 2], [2, 2]))
    assert concordance([[0, 0], [1, 3]], [1, 3]).tolist() == [0, 1]


def test_standard_units_are_those_of_standardised_variables():
    rng = np.random.default_rng(2)
    table = known_truth.everybody()[:300].assign(y=rng.normal(2, 5, 300), z=lambda t: 1 * (t["risk"] > 5))
    for family, outcome, unit in (
        ("linear", "y", np.std(table["y"])),
        ("logit", "z", np.pi / 3**0.5),
        ("probit", "z", 1),
    ):
        regression = Regression(name="r", label="r", formula=f"{outcome} ~ age + C(sex)", family=family)
        found = standard_units([regression], [design_of(regression, table, None)])
        assert found == pytest.approx([np.std(table["sex"] == 1) / unit, np.std(table["age"]) / unit])
    standard = table.assign(**{c: (table[c] - table[c].mean()) / np.std(table[c]) for c in ("y", "age", "risk")})
    linear = Regression(name="r", label="r", formula="y ~ age + risk", family="linear")
    units = standard_units([linear], [design_of(linear, table, None)])
    assert fit(linear, table).coefficient * units == pytest.approx(fit(linear, standard).coefficient, abs=1e-10)


def test_a_coefficient_that_cannot_be_estimated_counts_as_no_effect():
    human, units = lines([[1.0, -1.0, 0.5]]), np.ones(3)
    whole = concordance_interval(lines([[1.0, -1.0, np.nan]]), human, units, lines(np.eye(3)), lines(np.eye(3)), 50)
    assert whole.value == pytest.approx(concordance([1, -1, 0], [1, -1, 0.5]))
    assert whole.low < whole.value < whole.high and whole.n == 50
    nothing = concordance_interval(lines([[np.nan] * 3]), human, units, lines(np.eye(3)), lines(np.eye(3)), 50)
    assert nothing.value == 0


def test_spread_intervals_stay_in_range():
    found = with_spread(0.9, np.array([0.5, 0.7, np.nan, 0.9]), 10)
    assert (found.value, found.high) == (0.9, 1.0)
    assert found.low == pytest.approx(0.9 - 1.959964 * 0.2, rel=1e-6)
    assert np.isnan(with_spread(0.9, np.array([0.5]), 10).low)


def recoveries(samples, kept, seed):
    """Recovery by simulations that are right for a share of 200 people, with fresh people each time."""
    study, rng = known_truth.study(), np.random.default_rng(seed)
    # A linear model, which has no separated draws, with strong and absent effects of treatments and covariates.
    quick = study.regressions[2].model_copy(update={"family": "linear", "covariance": "robust"})
    few = study.model_copy(update={"regressions": (quick,)})
    tables = []
    for sample in range(samples):
        people = known_truth.fresh(304, rng)
        one = known_truth.arm("tuned_all_25", sample, known_truth.distorted(200, rng, kept), people)
        tables.append(recovery(few, [one], people, "all", 20).query("arm != 'human'").set_index(["metric", "item"]))
    return tables


@pytest.fixture(scope="module")
def wrong():
    return recoveries(40, 0.6, 3)


@pytest.fixture(scope="module")
def right():
    return recoveries(40, 1.0, 4)


def column(tables, metric, item, name):
    return np.array([float(table.loc[(metric, item), name]) for table in tables])


# Of single signs, few in a part of the terms, no interval says much: those of their scores are looked at for all terms.
CASES = [("concordance", part) for part in ("all", "treatment", "covariates")]


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "part"), [*CASES, ("sign_f1", "all"), ("false_positive_rate", "all")])
def test_intervals_cover_the_mean_over_samples(wrong, metric, part):
    estimate, low, high = (column(wrong, metric, part, name) for name in ("estimate", "low", "high"))
    # 40 samples: standard error .034. The interval of F1 takes people's signs as the truth, which here change, too.
    least = 0.75 if metric == "sign_f1" else 0.86
    assert np.mean((low <= estimate.mean()) & (estimate.mean() <= high)) >= least


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["concordance", "sign_f1", "false_positive_rate"])
def test_human_benchmarks_are_what_fresh_people_score(right, metric):
    estimate, human_benchmark = (column(right, metric, "all", name) for name in ("estimate", "human_benchmark"))
    apart = estimate - human_benchmark
    # Four standard errors of the mean of 40: .02 and .04 for agreement, .033 and .042 for signs.
    assert abs(apart.mean()) < 4 * apart.std(ddof=1) / np.sqrt(40)


@pytest.mark.slow
def test_a_simulation_that_is_wrong_scores_below_its_human_benchmark(wrong):
    estimate, human_benchmark = (column(wrong, "concordance", "all", name) for name in ("estimate", "human_benchmark"))
    assert estimate.mean() < human_benchmark.mean() - 0.03
