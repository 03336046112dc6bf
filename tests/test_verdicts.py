"""Verdicts: four words, each by a rule on intervals, whatever the finding."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from test_report import ARMS, BALANCED, GROUPS, MANIFEST, NO_PERSONA, TUNED, at, metrics

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.report.evidence import Interval
from pilotlm.report.published import (
    CONTRADICTED,
    FINDING_VERDICTS,
    GENERAL_RULE,
    NOT_TESTABLE,
    SHOWN,
    UNDERPOWERED,
    load_published,
)
from pilotlm.report.sentences import variables
from pilotlm.report.verdicts import Statement, judged, times_as_many, verdicts
from pilotlm.stages import ANALYSES
from pilotlm.study import load_study

NAN = float("nan")
KEYS = list(load_published().all)


@pytest.fixture
def framing():
    return {"framing": load_study("framing")}


def verdict(table, studies, key):
    rows = verdicts(table, studies)
    found = rows.loc[rows["key"] == key]
    assert len(found) == 1, f"no verdict on {key}"
    return found.iloc[0]


PERSONA = [arm for arm in TUNED if "nopersona" not in arm]
BEST = ["logit_all_25", "logit_all_25_balanced"]
NO_INTERVAL = {"low": NAN, "high": NAN}
CASES = {
    "structures_base": {
        SHOWN: [],
        CONTRADICTED: [at(["base"], "unique_structures", "beliefs", estimate=30)],
        UNDERPOWERED: [at(["base"], "unique_structures", "beliefs", estimate=13)],
        NOT_TESTABLE: [at(["base"], "unique_structures", "beliefs", **NO_INTERVAL)],
    },
    "structures_tuned": {
        SHOWN: [],
        CONTRADICTED: [at(TUNED, "unique_structures", "beliefs", estimate=20)],
        UNDERPOWERED: [at(TUNED, "unique_structures", "beliefs", estimate=59)],
        NOT_TESTABLE: [at(TUNED, "unique_structures", "beliefs", **NO_INTERVAL)],
    },
    "joint_distance": {
        SHOWN: [],
        CONTRADICTED: [at(TUNED, "joint_distance", "answers", estimate=0.999)],
        UNDERPOWERED: [at(TUNED, "joint_distance", "answers", estimate=0.94)],
        # As far as random answers are from people, so is another sample of them.
        NOT_TESTABLE: [at([*TUNED, "base"], "joint_distance", "answers", human_benchmark=0.995)],
    },
    "subgroups": {
        SHOWN: [],
        CONTRADICTED: [at(TUNED, "subgroup_distance", "educ", estimate=0.4)],
        UNDERPOWERED: [at(TUNED, "subgroup_distance", "educ", estimate=0.29)],
        NOT_TESTABLE: [at(TUNED, "subgroup_distance", "educ", human_benchmark=0.31)],
    },
    "balanced": {
        SHOWN: [at(*BALANCED, estimate=-0.029)],
        CONTRADICTED: [at(*BALANCED, estimate=-0.09)],
        UNDERPOWERED: [at(*BALANCED, estimate=-0.04)],
        NOT_TESTABLE: [at(*BALANCED, **NO_INTERVAL)],
    },
    "persona": {
        SHOWN: [at(*NO_PERSONA, estimate=0.029)],
        CONTRADICTED: [at(*NO_PERSONA, estimate=0.1)],
        UNDERPOWERED: [at(*NO_PERSONA, estimate=0.04)],
        NOT_TESTABLE: [at(*NO_PERSONA, **NO_INTERVAL)],
    },
    "gap_base": {
        SHOWN: [],
        CONTRADICTED: [at(["base"], "gap", "threshold", estimate=0.6)],
        UNDERPOWERED: [at(["base"], "gap", "threshold", estimate=0.91)],
        NOT_TESTABLE: [at(["human"], "gap", "threshold", random_benchmark=0.37)],
    },
    "gap_tuned": {
        SHOWN: [],
        CONTRADICTED: [at(TUNED, "gap", "threshold", estimate=0.5)],
        UNDERPOWERED: [at(TUNED, "gap", "threshold", estimate=0.4)],
        NOT_TESTABLE: [at(["human"], "gap", "threshold", random_benchmark=0.37)],
    },
    "regression": {
        SHOWN: [],
        CONTRADICTED: [at(TUNED, "sign_f1", "all", human_benchmark=0.2)],
        UNDERPOWERED: [at(TUNED, "sign_f1", "all", estimate=0.8)],
        NOT_TESTABLE: [at(TUNED, "sign_f1", "all", **NO_INTERVAL)],
    },
    "baselines_distance": {
        SHOWN: [at(BEST, "joint_distance", "answers", estimate=0.8)],
        CONTRADICTED: [at(PERSONA, "joint_distance", "answers", estimate=0.8)],
        UNDERPOWERED: [],
        NOT_TESTABLE: [at([*BEST, "marginals_all_25"], "cv_loss", "all", estimate=NAN)],
    },
    "baselines_coherence": {
        SHOWN: [at(BEST, "gap", "threshold", estimate=0.5)],
        CONTRADICTED: [at(PERSONA, "gap", "threshold", estimate=0.5)],
        UNDERPOWERED: [],
        NOT_TESTABLE: [at(["human"], "gap", "threshold", random_benchmark=0.37)],
    },
    "baselines_regression": {
        SHOWN: [at(BEST, "concordance", "all", estimate=0.2)],
        CONTRADICTED: [at(PERSONA, "concordance", "all", estimate=0.2)],
        UNDERPOWERED: [],
        NOT_TESTABLE: [at(BEST, "concordance", "all", **NO_INTERVAL)],
    },
}


def test_every_finding_has_every_verdict_among_the_cases():
    assert set(CASES) == set(KEYS) and all(set(cases) == set(FINDING_VERDICTS) for cases in CASES.values())


@pytest.mark.slow
@pytest.mark.parametrize(("key", "expected"), [(key, word) for key in CASES for word in FINDING_VERDICTS])
def test_each_finding_gets_each_verdict(framing, key, expected):
    found = verdict(metrics(CASES[key][expected]), framing, key)
    assert found["verdict"] == expected
    assert found["why"] or expected != NOT_TESTABLE, "what cannot be tested says why"


@pytest.mark.parametrize("key", KEYS)
def test_an_estimate_on_the_claims_side_is_not_enough(framing, key):
    """Where every interval is long enough to hold both sides, nothing is shown or contradicted."""
    table = metrics(CASES[key][SHOWN])
    arms = table["arm"] != "human"
    table.loc[arms & (table["metric"] != "cv_loss"), ["low", "high"]] += [-0.3, 0.3]
    long = table["metric"].isin(["unique_structures", "concordance"]) & arms
    table.loc[long, ["low", "high"]] = table.loc[long, ["estimate"]].to_numpy() + np.array([[-49.0, 49.0]])
    # On the scale between the two benchmarks there is a place only where they lie farther apart than the interval.
    table.loc[arms & table["metric"].isin(["joint_distance", "gap"]), "random_benchmark"] = 2.0
    table.loc[arms & (table["metric"] == "concordance"), "random_benchmark"] = -90.0
    assert verdict(table, framing, key)["verdict"] == UNDERPOWERED


def interval(low, high):
    return Interval((low + high) / 2, low, high)


ONE = {
    SHOWN: interval(0.1, 0.3), CONTRADICTED: interval(-0.9, -0.7), UNDERPOWERED: interval(-0.1, 0.2),
    NOT_TESTABLE: Interval(0.2, NAN, NAN),
}  # fmt: skip


def test_a_statement_on_several_arms_by_the_stated_rule():
    for words in product(FINDING_VERDICTS, repeat=3):
        found, said = judged([Statement(f"arm {k}", (ONE[word],)) for k, word in enumerate(words)])
        testable = [word for word in words if word != NOT_TESTABLE]
        wanted = (
            NOT_TESTABLE if not testable
            else CONTRADICTED if CONTRADICTED in testable
            else SHOWN if set(testable) == {SHOWN}
            else UNDERPOWERED
        )  # fmt: skip
        assert found == wanted
        for word in set(words):
            assert f"{word} in {words.count(word)}" in said.lower()
        if 0 < words.count(CONTRADICTED) < 3:
            assert f"arm {words.index(CONTRADICTED)}" in said, "the arm that contradicts is named"


def test_both_parts_of_a_statement_are_needed():
    assert judged([Statement("a", (ONE[SHOWN], ONE[SHOWN]))])[0] == SHOWN
    assert judged([Statement("a", (ONE[SHOWN], ONE[UNDERPOWERED]))])[0] == UNDERPOWERED
    assert judged([Statement("a", (ONE[SHOWN], ONE[CONTRADICTED]))])[0] == CONTRADICTED
    assert judged([Statement("a", (ONE[SHOWN], ONE[NOT_TESTABLE]))])[0] == NOT_TESTABLE


def test_one_of_many_contradicts_only_beyond_its_own_interval():
    just = interval(-0.21, -0.01)
    assert judged([Statement("a", (just,))])[0] == CONTRADICTED
    assert judged([Statement("a", (just,)), *(Statement("b", (ONE[SHOWN],)) for _ in range(9))])[0] == UNDERPOWERED


def test_how_many_times_as_many_people_would_tell():
    # Half a length of .2 at an estimate of .1: (2 (1 + .842 / 1.960))^2 = 8.17 times as many.
    close = interval(-0.1, 0.3)
    assert close.times_longer == pytest.approx(8.17, abs=0.01)
    assert times_as_many([Statement("a", (close,))]) == close.times_longer
    # All must be shown: the hardest counts; what is shown already does not.
    harder = interval(-0.2, 0.3)
    assert times_as_many([Statement("a", (close, ONE[SHOWN])), Statement("b", (harder,))]) == harder.times_longer
    # One that points to the wrong side would settle it, among three comparisons.
    against = interval(-0.3, 0.1)
    assert times_as_many([Statement("a", (close, against)), Statement("b", (harder,))]) == against.among(3).times_longer
    assert math.isinf(interval(-0.1, 0.1).times_longer)


@pytest.mark.slow
def test_a_true_statement_on_many_arms_is_seldom_contradicted():
    """At the threshold, the worst case, each of eight arms errs by 2.5 %; together they do so by 2.5 %, not 18 %.

    2,000 runs of three seeds: standard error .35 points.
    """
    rng = np.random.default_rng(1)
    wrong = 0
    for draws in rng.normal(size=(2000, 8, 3)):
        centre, half = draws.mean(axis=1), t.isf(0.025, 2) * draws.std(axis=1, ddof=1) / math.sqrt(3)
        each = [Interval(c, c - h, c + h, degrees=2) for c, h in zip(centre, half, strict=True)]
        wrong += judged([Statement("", (one,)) for one in each])[0] == CONTRADICTED
    assert wrong / 2000 < 0.036


def test_the_interval_of_a_difference_covers():
    """Of two means of skewed counts with their own, lopsided 95 % intervals: 2,000 pairs, standard error .5 points."""
    rng = np.random.default_rng(2)
    inside = 0
    for a, b in rng.poisson([12, 5], size=(2000, 2)):
        one, other = (Interval(x, x + 2 - 1.96 * math.sqrt(x + 1), x + 2 + 1.96 * math.sqrt(x + 1)) for x in (a, b))
        difference = one.minus(other)
        inside += difference.low <= 7 <= difference.high
    assert 0.94 < inside / 2000 < 0.985


def test_a_known_number_only_moves_an_interval_and_a_factor_below_zero_turns_it():
    moved = interval(0.1, 0.5).minus(0.2)
    assert (moved.estimate, moved.low, moved.high) == (pytest.approx(0.1), pytest.approx(-0.1), pytest.approx(0.3))
    turned = moved.times(-2)
    assert (turned.estimate, turned.low, turned.high) == (pytest.approx(-0.2), pytest.approx(-0.6), pytest.approx(0.2))


def test_coherence_is_not_testable_where_people_show_none(framing):
    """As in the insurance study: people's gap is 51.3 % [48.7 %, 54.0 %], their level under independence 51.0 %."""
    people = at(["human"], "gap", "threshold", estimate=0.513, low=0.487, high=0.54, random_benchmark=0.51)
    rows = verdicts(metrics([people]), framing).set_index("key")
    for key in ("gap_base", "gap_tuned", "baselines_coherence"):
        assert rows["verdict"][key] == NOT_TESTABLE and "not even people's" in rows["why"][key]
    said = variables(metrics([people]), MANIFEST, framing)["point"]["coherence"]
    assert "cannot be tested in this run" in said


@pytest.mark.parametrize(("estimate", "low", "said"), [(0.62, 0.58, True), (0.66, 0.64, False), (0.62, 0.3, True)])
def test_only_what_is_told_from_the_base_model_is_said_to_be_like_people(framing, estimate, low, said):
    near = at(TUNED, "joint_distance", "answers", estimate=estimate, low=low)
    assert ("holds another sample of people" in verdict(metrics([near]), framing, "joint_distance")["why"]) == said
    both = [near, at(TUNED, "joint_distance", "answers", high=0.99, low=0.55), at(["base"], "joint_distance", "answers",
                                                                              estimate=0.7)]  # fmt: skip
    assert "another sample" not in verdict(metrics(both), framing, "joint_distance")["why"]


def test_arms_trained_on_one_treatment_are_judged_where_there_are_no_others(framing):
    table = metrics(arms=["base", "tuned_all_25"]).replace({"arm": {"tuned_all_25": "tuned_one_100"}})
    found = verdict(table, framing, "gap_tuned")
    assert found["verdict"] == SHOWN and "No arm was trained on every treatment" in found["why"]


def test_a_negative_control_is_no_fine_tuned_model(framing):
    control = "tuned_all_25_shuffled_answers"
    table = metrics(
        [at([control], "joint_distance", "answers", estimate=0.99), at([control], "gap", "threshold", estimate=0.99)],
        arms=(*ARMS, control),
    )
    both = [verdicts(one, framing) for one in (table, metrics())]
    pd.testing.assert_frame_equal(*both)


def test_one_group_that_differs_is_named_and_counted(framing):
    table = metrics()
    chosen = (table["metric"] == "equivalence_balanced") & (table["subgroup"] == GROUPS[0])
    table.loc[chosen, ["estimate", "low", "high"]] = [-0.15, -0.17, -0.13]
    found = verdict(table, framing, "balanced")
    assert found["verdict"] == CONTRADICTED
    assert found["why"] == f"Shown in 1 of 2 groups, contradicted in 1. Contradicted: {GROUPS[0]}."


@pytest.mark.parametrize("key", KEYS)
def test_what_is_said_follows_the_numbers(framing, key):
    cases = [verdict(metrics(CASES[key][word]), framing, key) for word in (SHOWN, CONTRADICTED)]
    assert cases[0]["ours"] != cases[1]["ours"]
    # A count is never said without the joint distance, nor a gap without its level under independence.
    beside = {"structures": "joint distance", "gap": "under independence"}.get(key.partition("_")[0], "")
    assert all(beside in case["ours"] for case in cases)


@pytest.mark.parametrize(
    ("arms", "without", "missing"),
    [
        (["base"], [], {"structures_tuned", "joint_distance", "gap_tuned", "regression", "baselines_distance"}),
        (["tuned_all_25"], [], {"structures_base", "joint_distance", "subgroups", "balanced", "persona", "gap_base"}),
        (["base", "tuned_all_25"], [], {"baselines_distance", "baselines_coherence", "baselines_regression"}),
        (ARMS, ["gap"], {"gap_base", "gap_tuned", "baselines_coherence"}),
        (ARMS, ["subgroup_distance"], {"subgroups", "balanced", "persona"}),
        (ARMS, ["equivalence_balanced"], {"balanced"}),
        (ARMS, ["sign_f1", "false_positive_rate"], {"regression"}),
        (ARMS, ["cv_loss"], {"baselines_distance", "baselines_coherence", "baselines_regression"}),
    ],
)
def test_what_was_not_run_is_not_testable_and_says_why(framing, arms, without, missing):
    rows = verdicts(metrics(arms=arms, without=without), framing).set_index("key")
    assert set(rows.index) == set(KEYS), "every finding has a line"
    for key in missing:
        assert rows["verdict"][key] == NOT_TESTABLE and rows["why"][key].endswith(".")


def test_a_study_without_a_rule_has_no_coherence_and_no_other_measure_in_its_place(framing):
    """Another analysis has a measure of the same name; it must not be taken for that of beliefs and actions."""
    study = framing["framing"].model_copy(update={"coherence": None})
    table = metrics().replace({"item": {"threshold": "treatment"}})
    rows = verdicts(table, {"framing": study}).set_index("key")
    assert set(rows.loc[["gap_base", "gap_tuned", "baselines_coherence"], "verdict"]) == {NOT_TESTABLE}


def test_an_empty_run_has_no_verdicts(framing):
    table = pd.DataFrame(columns=list(METRIC_COLUMNS))
    assert verdicts(table, framing).empty
    assert "no arms" in variables(table, MANIFEST, framing)["answer"]["headline"]


def test_published_values_and_rules_are_complete():
    published = load_published()
    for finding in published.all.values():
        assert "{" not in finding.text and "{" not in finding.tested
        assert finding.tested.count(". ") == 0, "a rule is one sentence"
    assert all(word in GENERAL_RULE.lower() for word in FINDING_VERDICTS)
    # The paper says nothing of single forecasts, negative controls and rectification: those are ours alone.
    ours = {"accuracy", "controls", "rectification"}
    assert {finding.analysis for finding in published.findings.values()} == set(ANALYSES) - ours
