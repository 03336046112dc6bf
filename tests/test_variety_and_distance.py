"""The analyses of heterogeneity and divergence: every measure between people and noise, on people and on noise."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare

from pilotlm.analyses.common import METRIC_COLUMNS, Compared, scaled, tidy, uniform_distributions
from pilotlm.analyses.divergence import divergence, structure_distances
from pilotlm.analyses.heterogeneity import heterogeneity
from pilotlm.report.evidence import over_seeds
from pilotlm.responses import check_responses
from truth.people import uniform_answers

NAMES = ["estimate", "human_benchmark", "random_benchmark"]


@pytest.fixture(scope="module")
def people(draw_toy_people):
    return draw_toy_people(400, 1)


@pytest.fixture(scope="module")
def tables(toy, people, draw_toy_people):
    """Both analyses of an arm that is other people, and of one that is noise."""
    noise = people.assign(**uniform_answers(toy, len(people), np.random.default_rng(2)))
    arms = [
        Compared("base", 1, draw_toy_people(400, 3), people, None),
        Compared("tuned_all_25", 1, noise, people, None),
    ]
    return heterogeneity(toy, arms, people, "held-out", 60), divergence(toy, arms, people, "held-out", 60)


@pytest.fixture(scope="module")
def both(tables):
    return pd.concat(tables, ignore_index=True)


def test_the_measures(tables):
    variety, distance = tables
    assert set(variety["metric"]) == {"unique_structures"}
    assert set(distance["metric"]) == {"marginal_distance", "joint_distance"}
    assert list(variety.columns) == list(distance.columns) == list(METRIC_COLUMNS)
    keys = ["arm", "seed", "metric", "item"]
    assert not pd.concat(tables).duplicated(keys).any()


def test_every_value_has_interval_human_benchmark_random_benchmark_and_n(tables):
    table = pd.concat(tables)
    assert table[["estimate", "low", "high", "human_benchmark", "random_benchmark"]].notna().all(axis=None)
    # Of five or ten rows, and on a single answer that people spread nearly evenly, people differ about as much as noise
    # does: there is no scale between the two.
    unscaled = table[table["scaled"].isna()]
    assert set(unscaled["metric"]) <= {"marginal_distance"}
    assert len(unscaled) < len(table) / 10
    assert ((table["low"] <= table["estimate"]) & (table["estimate"] <= table["high"])).all()
    assert (table["n"] >= 5).all()


def test_other_people_stand_on_the_human_benchmark(both):
    people = both[both["arm"] == "base"]
    # Two samples of 400: values vary about the human benchmark by a fifth of the way to noise, coarse answers more.
    assert people["scaled"].abs().max() < 0.45
    assert people["scaled"].abs().mean() < 0.12
    inside = (people["low"] <= people["human_benchmark"]) & (people["human_benchmark"] <= people["high"])
    assert inside.mean() > 0.85


def test_noise_stands_on_the_random_benchmark(both):
    noise = both[both["arm"] == "tuned_all_25"]
    # Of a single column with four values people are half as far as noise is, so that 200 rows tell the two apart badly.
    assert (noise["scaled"] - 1).abs().max() < 0.7
    assert (noise["scaled"] - 1).abs().mean() < 0.15
    inside = (noise["low"] <= noise["random_benchmark"]) & (noise["random_benchmark"] <= noise["high"])
    assert inside.mean() > 0.85


def test_a_count_ranks_noise_above_people_and_the_distance_does_not(tables):
    variety, distance = tables
    count = variety[variety["metric"] == "unique_structures"].set_index("arm")["estimate"]
    joint = distance[(distance["metric"] == "joint_distance") & (distance["item"] == "beliefs")].set_index("arm")
    assert count["tuned_all_25"] > count["base"] and count["tuned_all_25"] > count["human"]
    assert joint["estimate"]["tuned_all_25"] > joint["high"]["base"]


def test_people_are_their_own_human_benchmark(toy, people, tables):
    own = tables[0][tables[0]["arm"] == "human"].set_index(["metric", "item"])
    assert own["estimate"].to_numpy() == pytest.approx(own["human_benchmark"].to_numpy())
    assert (own["scaled"] == 0).all()


def test_the_distance_beside_the_count_is_that_of_the_table(toy, people, tables):
    arm = Compared(
        "tuned_all_25", 1, people.assign(**uniform_answers(toy, 400, np.random.default_rng(2))), people, None
    )
    [beside] = structure_distances(toy, [arm], people, "held-out", 60)[NAMES].to_numpy()
    rows = tables[1].set_index(["arm", "metric", "item"])
    assert beside == pytest.approx(rows.loc[("tuned_all_25", "joint_distance", "beliefs"), NAMES].astype(float))


def test_fewer_simulated_are_compared_at_their_number(toy, people):
    few = Compared("base", 1, people.iloc[:30], people, None)
    variety, distance = (analysis(toy, [few], people, "held-out", 20) for analysis in (heterogeneity, divergence))
    mine = variety[(variety["arm"] == "base")]
    assert set(mine["n"]) == {30}
    rows = distance.set_index(["metric", "item"])
    assert rows["n"]["joint_distance", "answers"] == 15


def test_no_result_depends_on_the_other_arms(toy, people, draw_toy_people):
    first, second = (Compared(name, 1, draw_toy_people(60, 5), people, None) for name in ("base", "tuned_all_25"))
    alone = divergence(toy, [second], people, "held-out", 20)
    together = divergence(toy, [first, second], people, "held-out", 20)
    mine = together[together["arm"] == "tuned_all_25"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, mine)


def test_scaled_by_hand():
    table = pd.DataFrame(
        [(3, 1, 5), (1, 1, 5), (9, 1, 5), (0.2, 0.4, 0.1), (1, 1, 1), (2, np.nan, 3), (1 + 1e-15, 1, 2)], columns=NAMES
    ).assign(low=np.nan, high=np.nan)
    assert scaled(table).tolist() == pytest.approx([0.5, 0, 2, 2 / 3, np.nan, np.nan, 0], nan_ok=True)


def test_nothing_is_scaled_between_human_benchmark_and_random_benchmark_that_the_interval_spans():
    """Floor 1 and random benchmark 1.5 either way: a scale with half an interval of .4, none with one of .5 or more."""
    rows = [(1.2, 1.2 - half, 1.2 + half, *ends) for half in (0.4, 0.5, 0.6) for ends in ((1, 1.5), (1.5, 1))]
    found = scaled(pd.DataFrame(rows, columns=["estimate", "low", "high", "human_benchmark", "random_benchmark"]))
    assert found.tolist() == pytest.approx([0.4, 0.6, *[np.nan] * 4], nan_ok=True)


def test_a_scaled_value_is_not_wild():
    """Known truth: people and noise that are alike, so that a share of their difference would be anything at all."""
    rng = np.random.default_rng(7)
    values = rng.normal(size=(2000, 3))
    table = pd.DataFrame(values, columns=NAMES).assign(
        low=lambda t: t["estimate"] - 1.96, high=lambda t: t["estimate"] + 1.96
    )
    plain = scaled(table.assign(low=np.nan, high=np.nan))
    kept = scaled(table)
    # Human and random benchmark differ by 1.96 or more in 17 % of pairs; what is left is of the size of the
    # estimate's error.
    assert plain.abs().max() > 100 and kept.abs().max() < 4
    assert kept.notna().mean() == pytest.approx(0.166, abs=0.03)


def test_every_tidy_table_is_scaled(toy):
    row = {"arm": "base", "seed": 1, "metric": "m", "estimate": 3.0, "human_benchmark": 1.0, "random_benchmark": 5.0}
    assert tidy(toy, "all", [row])["scaled"].tolist() == [0.5]
    assert np.isnan(tidy(toy, "all", [{**row, "random_benchmark": None}])["scaled"][0])
    assert list(tidy(toy, "all", []).columns) == list(METRIC_COLUMNS)


def test_seeds_are_averaged_before_they_are_scaled(toy):
    key = {"arm": "base", "metric": "m", "item": "i", "low": 2.0, "high": 6.0, "n": 5}
    rows = [{**key, "seed": 1, "estimate": 3.0, "human_benchmark": 1.0, "random_benchmark": 5.0},
            {**key, "seed": 2, "estimate": 5.0, "human_benchmark": 2.0, "random_benchmark": 7.0}]  # fmt: skip
    assert over_seeds(tidy(toy, "all", rows))["scaled"].tolist() == pytest.approx([(4 - 1.5) / (6 - 1.5)])


def test_uniform_answers_follow_their_distributions(toy):
    drawn = uniform_answers(toy, 6000, np.random.default_rng(6))
    distributions = uniform_distributions(toy)
    for column, distribution in distributions.items():
        assert distribution.sum() == pytest.approx(1, abs=1e-12)
        observed = (drawn[column].to_numpy()[:, None] == list(toy.question_of(column).values)).sum(axis=0)
        # One in 10,000 such tests fails by chance; there are five, with a fixed seed.
        assert chisquare(observed, 6000 * distribution).pvalue > 1e-4
    # Three parts of four steps: 15 allocations, of which five leave the first part empty.
    assert distributions["odds_none"][0] == pytest.approx(5 / 15)
    together = drawn[["odds_none", "odds_small", "odds_big"]].value_counts()
    assert len(together) == 15 and chisquare(together).pvalue > 1e-4


def test_uniform_answers_are_valid(toy, people):
    check_responses(toy, people.assign(**uniform_answers(toy, 400, np.random.default_rng(7))), "uniform")
