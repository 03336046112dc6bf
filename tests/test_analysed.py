"""What the analyses of coherence and regressions put in their tables, and how it is shown."""

import known_truth
import numpy as np
import pytest

from pilotlm.analyses.coherence import belief_action_coherence
from pilotlm.analyses.regression import recovery
from pilotlm.analyses.subgroups import CLAIMS, subgroups
from pilotlm.report.tables import claims_table, stated_p
from pilotlm.responses import with_analysis_columns
from pilotlm.stats.coherence import gap
from pilotlm.stats.recovery import sign_scores
from pilotlm.stats.refits import pool_terms
from pilotlm.stats.regressions import fit

ARMS = ("base", "tuned_all_25", "tuned_all_25_balanced", "tuned_all_25_nopersona")


@pytest.fixture(scope="module")
def people():
    return known_truth.fresh(400, np.random.default_rng(1))


@pytest.fixture(scope="module")
def compared(people):
    rng = np.random.default_rng(2)
    return [
        known_truth.arm(name, seed, known_truth.distorted(240, rng, kept), people)
        for name, kept in zip(ARMS, (0.2, 0.7, 0.7, 0.7), strict=True)
        for seed in (1, 2)
    ]


@pytest.fixture(scope="module")
def coherence_table(people, compared):
    return belief_action_coherence(known_truth.study(), compared, people, "all", 30)


@pytest.fixture(scope="module")
def regression_table(people, compared):
    study = known_truth.study()
    few = study.model_copy(update={"regressions": study.regressions[:1]})
    return recovery(few, compared, people, "all", 20)


def one(table, metric, arm, seed=1, item=None):
    rows = table[(table["metric"] == metric) & (table["arm"] == arm) & (table["seed"] == seed)]
    return (rows if item is None else rows[rows["item"] == item]).iloc[0]


def test_an_arm_is_held_against_its_own_participants(people, compared, coherence_table):
    study, rule = known_truth.study(), known_truth.study().coherence
    row = one(coherence_table, "gap", "base")
    ours, theirs = gap(rule, study, compared[0].simulated), gap(rule, study, compared[0].human)
    assert (row["estimate"], row["human_benchmark"], row["n"]) == (ours.value, theirs.value, ours.n)
    assert row["human"] == one(coherence_table, "gap", "human", 0)["estimate"]


def test_a_study_without_rule_or_regressions_has_no_rows(toy, toy_people):
    bare = toy.model_copy(update={"coherence": None, "regressions": ()})
    for analysis in (belief_action_coherence, recovery):
        assert analysis(bare, [known_truth.arm("base", 1, toy_people, toy_people)], toy_people, "all", 20).empty


def test_terms_are_scored_together_and_apart(regression_table):
    for metric in ("sign_f1", "false_positive_rate", "concordance"):
        items = regression_table.loc[regression_table["metric"] == metric, "item"]
        assert list(dict.fromkeys(items)) == ["all", "treatment", "covariates"], "the report takes the first one"
    scores = regression_table[regression_table["metric"].isin(["sign_f1", "concordance"])]
    known = scores[scores["estimate"].notna()]
    assert known[["human_benchmark", "low", "high", "n"]].notna().all(axis=None)
    assert ((known["low"] <= known["estimate"]) & (known["estimate"] <= known["high"])).all()


def test_a_study_without_treatments_has_no_parts(toy, toy_people):
    no_effects = toy.regressions[0].model_copy(update={"treatment_terms": ()})
    bare = toy.model_copy(update={"regressions": (no_effects,)})
    table = recovery(bare, [known_truth.arm("base", 1, toy_people, toy_people)], toy_people, "all", 20)
    assert set(table.loc[table["metric"] == "sign_f1", "item"]) == {"all"}
    assert not (table["metric"] == "concordance").any()  # two terms


def test_people_as_an_arm_agree_with_themselves(people):
    study = known_truth.study()
    few = study.model_copy(update={"regressions": study.regressions[:1]})
    table = recovery(few, [known_truth.arm("base", 1, people, people)], people, "all", 20)
    assert one(table, "concordance", "base", item="all")["estimate"] == pytest.approx(1)


def test_coefficients_and_scores_are_those_of_the_measures(people, compared, regression_table):
    study = known_truth.study()
    tables = [with_analysis_columns(study, table) for table in (compared[0].simulated, people)]
    ours, human = (fit(study.regressions[0], table, tables[1]) for table in tables)
    for k, term in enumerate(human.terms):
        row = one(regression_table, "coefficient", "base", item=f"belief_in_guards_at_b: {term}")
        assert (row["estimate"], row["low"], row["human"]) == (ours.coefficient[k], ours.low[k], human.coefficient[k])
    scores = sign_scores(pool_terms([ours], [human]), pool_terms([human], [human]))
    assert one(regression_table, "sign_f1", "base", item="all")["estimate"] == scores.f1[0]


def test_tables_of_tests(people, compared, coherence_table):
    claims = claims_table(subgroups(known_truth.study(), compared, people, "all", 20))
    assert set(claims["Claim"]) == {claim.says for claim in CLAIMS} and set(claims["Seed"]) == {"1", "2"}
    assert set(claims["Verdict"]) <= {"equivalent", "different", "undecided"}
    assert claims_table(coherence_table).empty
    assert (stated_p(0.0004), stated_p(0.0006), stated_p(0.05), stated_p(float("nan"))) == (
        "< .001", "< .001", "0.050", "–",
    )  # fmt: skip
