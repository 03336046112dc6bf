"""The report: one table, one manifest, and verdicts and sentences that follow the numbers."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from pilotlm.analyses.compared import METRIC_COLUMNS
from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.records import write_csv, write_json
from pilotlm.showing import published as words
from pilotlm.showing.evidence import over_seeds
from pilotlm.showing.published import RULES, load_published, rule_text
from pilotlm.showing.report import (
    collect_metrics,
    overview_table,
    read_manifest,
    read_metrics,
    variables,
    verdict_table,
    verdicts,
    write_report,
)
from pilotlm.stages import ANALYSES
from pilotlm.study import load_study

ARMS = (
    "base", "tuned_all_25", "tuned_all_25_balanced", "tuned_all_25_nopersona",
    "bootstrap_all_25", "marginals_all_25", "logit_all_25",
)  # fmt: skip
TUNED = ARMS[1:4]
GROUPS = ("high school", "some college")
ANALYSIS_OF = {
    "unique_structures": "heterogeneity", "variance_ratio": "heterogeneity", "joint_distance": "divergence",
    "marginal_distance": "divergence", "subgroup_distance": "subgroups", "equivalence_balanced": "subgroups",
    "equivalence_nopersona": "subgroups", "gap": "coherence",
    "sign_f1": "regression", "false_positive_rate": "regression",
}  # fmt: skip
CLAIM_OF = {
    "tuned_all_25_balanced": "equivalence_balanced", "tuned_all_25_nopersona": "equivalence_nopersona",
}  # fmt: skip
BALANCED = (["tuned_all_25_balanced"], "equivalence_balanced", "educ")
NO_PERSONA = (["tuned_all_25_nopersona"], "equivalence_nopersona", "educ")
MANIFEST = {
    "run": "made", "finished": "2030-01-02T03:04:05+00:00", "model": {"name": "a-model", "revision": "r1"},
    "environment": {
        "git_revision": "0123456789abcdef", "git_dirty": False, "python": "3.11.0", "cores": 2, "system": "Linux",
        "packages": {"torch": "1", "transformers": "2"},
    },
    "totals": {"nodes": 3, "wall_seconds": 600.0, "peak_memory_mib": 900},
    "studies": {"framing": {"data_sha256": "fedcba9876543210"}},
    "records": {
        "framing": {
            "01-prepare": {"stage": "prepare", "parameters": {}, "wall_seconds": 60.0, "peak_memory_mib": 300},
            "03-simulate-base-s4": {
                "stage": "simulate", "parameters": {"seed": 4}, "wall_seconds": 540.0, "peak_memory_mib": 900,
            },
        }
    },
}  # fmt: skip


def line(arm, metric, item, estimate, floor, half=0.02, subgroup=None, ceiling=None, n=100, seed=1):
    """One tidy row with an interval of ``half`` to either side."""
    return {
        "study": "framing", "arm": arm, "seed": seed, "metric": metric, "item": item, "subgroup": subgroup,
        "against": "held-out", "estimate": estimate, "low": estimate - half, "high": estimate + half,
        "human": 1.0, "floor": floor, "ceiling": ceiling, "n": n,
    }  # fmt: skip


def lines_of(arm):
    near = arm != "base"
    rows = [
        line(arm, "unique_structures", "beliefs", 50 if near else 5, 55, half=3),
        line(arm, "variance_ratio", "beliefs", 0.9, 1.0),
        line(arm, "joint_distance", "beliefs", 0.55 if near else 0.9, 0.5),
        line(arm, "joint_distance", "answers", 0.65 if near else 0.95, 0.6),
        line(arm, "marginal_distance", "mean", 0.15 if near else 0.5, 0.1),
        line(arm, "gap", "threshold", 0.36 if near else 0.95, 0.36, half=0.05, ceiling=0.55 if near else 0.95),
        line(arm, "sign_f1", "all", 0.5, 0.85, half=float("nan")),
        line(arm, "false_positive_rate", "all", 0.1, 0.1, half=float("nan")),
    ]
    distance = 0.2 if near else 0.6
    rows += [line(arm, "subgroup_distance", "educ", distance, 0.15, subgroup=group) for group in GROUPS]
    claim = CLAIM_OF.get(arm)
    return rows + [line(arm, claim, "educ", 0.01, 0.0, subgroup=group) for group in GROUPS if claim]


def metrics(changes=(), arms=ARMS, without=()):
    """A table as published would have it, with some values changed: (arms, metric, item, {column: value})."""
    people = [line("human", "unique_structures", "beliefs", 83, 83, n=265, seed=0)]
    table = pd.DataFrame([*people, *(row for arm in arms for row in lines_of(arm))], columns=list(METRIC_COLUMNS))
    for names, metric, item, values in changes:
        chosen = table["arm"].isin(names) & (table["metric"] == metric) & (table["item"] == item)
        assert chosen.any()
        shift = values.get("estimate", 0) - table.loc[chosen, "estimate"] if "estimate" in values else 0
        table.loc[chosen, ["low", "high"]] = table.loc[chosen, ["low", "high"]].add(shift, axis=0)
        for column, value in values.items():
            table.loc[chosen, column] = value
    return table[~table["metric"].isin(without)].reset_index(drop=True)


@pytest.fixture
def framing():
    return {"framing": load_study("framing")}


def verdict(table, studies, key):
    rows = verdicts(table, studies)
    found = rows.loc[rows["key"] == key]
    assert len(found) == 1, f"no verdict on {key}"
    return found.iloc[0]


def at(names, metric, item, **values):
    return (names, metric, item, values)


NOTHING_CALLED = at(["tuned_all_25"], "false_positive_rate", "all", estimate=0.0)
AT_ANY_PRICE = at(["logit_all_25"], "false_positive_rate", "all", estimate=0.4)


@pytest.mark.parametrize(
    ("key", "changes", "expected"),
    [
        ("structures_base", [], words.AS_PUBLISHED),
        ("structures_base", [at(["base"], "unique_structures", "beliefs", estimate=30)], words.WEAKER),
        ("structures_base", [at(["base"], "unique_structures", "beliefs", estimate=54)], words.NOT_SEEN),
        ("structures_base", [at(["base"], "unique_structures", "beliefs", estimate=80)], words.OPPOSITE),
        ("structures_base", [at(["base"], "unique_structures", "beliefs", estimate=float("nan"))], words.UNKNOWN),
        ("structures_tuned", [], words.AS_PUBLISHED),
        ("structures_tuned", [at(TUNED, "unique_structures", "beliefs", estimate=20)], words.WEAKER),
        ("structures_tuned", [at(TUNED[:1], "unique_structures", "beliefs", estimate=4)], words.MIXED),
        ("structures_tuned", [at(TUNED, "unique_structures", "beliefs", estimate=2)], words.OPPOSITE),
        ("joint_distance", [], words.AS_PUBLISHED),
        ("joint_distance", [at(TUNED[:1], "joint_distance", "answers", estimate=0.94)], words.WEAKER),
        ("joint_distance", [at(TUNED[:1], "joint_distance", "answers", estimate=0.999)], words.MIXED),
        (
            "joint_distance",
            [
                at(TUNED, "joint_distance", "answers", estimate=0.95),
                at(TUNED, "marginal_distance", "mean", estimate=0.5),
            ],
            words.NOT_SEEN,
        ),
        (
            "joint_distance",
            [
                at(TUNED, "joint_distance", "answers", estimate=0.99),
                at(TUNED, "marginal_distance", "mean", estimate=0.7),
            ],
            words.OPPOSITE,
        ),
        ("subgroups", [], words.AS_PUBLISHED),
        ("subgroups", [at(TUNED[:1], "subgroup_distance", "educ", estimate=0.4)], words.WEAKER),
        ("subgroups", [at(TUNED, "subgroup_distance", "educ", estimate=0.61)], words.NOT_SEEN),
        ("subgroups", [at(TUNED, "subgroup_distance", "educ", estimate=0.9)], words.OPPOSITE),
        ("subgroups", [at(TUNED, "subgroup_distance", "educ", estimate=0.4, floor=0.39)], words.UNKNOWN),
        ("balanced", [], words.AS_PUBLISHED),
        ("balanced", [at(*BALANCED, estimate=0.2)], words.AS_PUBLISHED),
        ("balanced", [at(*BALANCED, estimate=-0.029)], words.OPPOSITE),
        ("balanced", [at(*BALANCED, estimate=-0.04, high=0.01)], words.UNKNOWN),
        ("persona", [], words.AS_PUBLISHED),
        ("persona", [at(*NO_PERSONA, estimate=-0.2)], words.AS_PUBLISHED),
        ("persona", [at(*NO_PERSONA, estimate=0.1)], words.OPPOSITE),
        ("persona", [at(*NO_PERSONA, estimate=0.01, high=0.06)], words.UNKNOWN),
        ("gap_base", [], words.AS_PUBLISHED),
        ("gap_base", [at(["base"], "gap", "threshold", estimate=0.6)], words.WEAKER),
        ("gap_base", [at(["base"], "gap", "threshold", estimate=0.38)], words.NOT_SEEN),
        ("gap_base", [at(["base"], "gap", "threshold", estimate=0.1)], words.OPPOSITE),
        ("gap_tuned", [], words.AS_PUBLISHED),
        ("gap_tuned", [at(TUNED, "gap", "threshold", estimate=0.45)], words.WEAKER),
        ("gap_tuned", [at(TUNED, "gap", "threshold", ceiling=0.37)], words.NOT_SEEN),
        ("gap_tuned", [at(TUNED[:1], "gap", "threshold", ceiling=0.37)], words.MIXED),
        ("gap_tuned", [at(TUNED, "gap", "threshold", ceiling=0.2)], words.OPPOSITE),
        ("regression", [], words.AS_PUBLISHED),
        ("regression", [at(TUNED[:1], "sign_f1", "all", estimate=0.8)], words.WEAKER),
        ("regression", [at(TUNED[:1], "sign_f1", "all", estimate=0.9)], words.OPPOSITE),
        ("regression", [at(TUNED, "sign_f1", "all", estimate=float("nan"))], words.UNKNOWN),
        ("opponents_distance", [], words.EVEN),
        ("opponents_distance", [at(["tuned_all_25"], "joint_distance", "beliefs", estimate=0.4)], words.MODEL),
        ("opponents_distance", [at(["logit_all_25"], "joint_distance", "beliefs", estimate=0.4)], words.OPPONENT),
        ("opponents_gap", [], words.EVEN),
        ("opponents_gap", [at(ARMS[4:], "gap", "threshold", ceiling=0.37)], words.MODEL),
        ("opponents_gap", [at(["tuned_all_25"], "gap", "threshold", ceiling=0.37)], words.OPPONENT),
        ("opponents_regression", [], words.EVEN),
        ("opponents_regression", [at(["tuned_all_25"], "sign_f1", "all", estimate=0.6)], words.MODEL),
        ("opponents_regression", [at(["logit_all_25"], "sign_f1", "all", estimate=0.6)], words.OPPONENT),
        (
            "opponents_regression",
            [NOTHING_CALLED, at(["tuned_all_25"], "sign_f1", "all", estimate=0.0)],
            words.OPPONENT,
        ),
        ("opponents_regression", [AT_ANY_PRICE, at(["logit_all_25"], "sign_f1", "all", estimate=0.6)], words.EVEN),
    ],
)
def test_each_rule_in_both_directions(framing, key, changes, expected):
    assert verdict(metrics(changes), framing, key)["verdict"] == expected


def test_arms_trained_on_one_treatment_are_judged_where_there_are_no_others(framing):
    table = metrics(arms=["base", "tuned_all_25"]).replace({"arm": {"tuned_all_25": "tuned_one_100"}})
    found = verdict(table, framing, "gap_tuned")
    assert found["verdict"] == words.AS_PUBLISHED and "No arm was trained on every treatment" in found["why"]


def test_a_negative_control_is_no_fine_tuned_model(framing):
    control = "tuned_all_25_shuffled_answers"
    table = metrics(
        [at([control], "joint_distance", "answers", estimate=0.99), at([control], "gap", "threshold", estimate=0.99)],
        arms=(*ARMS, control),
    )
    both = [verdicts(one, framing) for one in (table, metrics())]
    pd.testing.assert_frame_equal(*both)


def test_one_group_that_differs_is_mixed(framing):
    table = metrics()
    chosen = (table["metric"] == "equivalence_balanced") & (table["subgroup"] == GROUPS[0])
    table.loc[chosen, ["estimate", "low", "high"]] = [-0.05, -0.07, -0.03]
    found = verdict(table, framing, "balanced")
    assert found["verdict"] == words.MIXED
    assert GROUPS[0] in found["why"] and GROUPS[1] not in found["why"]


@pytest.mark.parametrize("key", list(RULES))
def test_one_changed_number_changes_what_is_said(framing, key):
    changed = {
        "structures_base": at(["base"], "unique_structures", "beliefs", estimate=6),
        "structures_tuned": at(TUNED, "unique_structures", "beliefs", estimate=49),
        "joint_distance": at(TUNED, "joint_distance", "answers", estimate=0.66),
        "subgroups": at(TUNED, "subgroup_distance", "educ", estimate=0.21),
        "balanced": at(*BALANCED, estimate=0.02),
        "persona": at(*NO_PERSONA, estimate=0.02),
        "gap_base": at(["base"], "gap", "threshold", estimate=0.96),
        "gap_tuned": at(TUNED, "gap", "threshold", estimate=0.37),
        "regression": at(TUNED, "sign_f1", "all", estimate=0.52),
        "opponents_distance": at(["tuned_all_25"], "joint_distance", "beliefs", estimate=0.56),
        "opponents_gap": at(["tuned_all_25"], "gap", "threshold", estimate=0.37),
        "opponents_regression": at(["tuned_all_25"], "sign_f1", "all", estimate=0.52),
    }[key]
    assert verdict(metrics(), framing, key)["ours"] != verdict(metrics([changed]), framing, key)["ours"]


def test_a_count_is_never_said_without_the_joint_distance(framing):
    for key in ("structures_base", "structures_tuned"):
        assert "joint distance" in verdict(metrics(), framing, key)["ours"]


def test_a_gap_is_never_said_without_its_level_under_independence(framing):
    for key in ("gap_base", "gap_tuned"):
        assert "under independence" in verdict(metrics(), framing, key)["ours"]


@pytest.mark.parametrize(
    ("arms", "without", "absent"),
    [
        (["base"], [], {"structures_tuned", "joint_distance", "gap_tuned", "regression", "opponents_distance"}),
        (["tuned_all_25"], [], {"structures_base", "joint_distance", "subgroups", "balanced", "persona"}),
        (["base", "tuned_all_25"], [], {"opponents_distance", "opponents_gap", "opponents_regression"}),
        (ARMS, ["gap"], {"gap_base", "gap_tuned", "opponents_gap"}),
        (ARMS, ["subgroup_distance"], {"subgroups", "balanced", "persona"}),
        (ARMS, ["equivalence_balanced"], {"balanced"}),
        (ARMS, ["sign_f1", "false_positive_rate"], {"regression", "opponents_regression"}),
    ],
)
def test_what_was_not_run_is_not_judged(framing, arms, without, absent):
    table = metrics(arms=arms, without=without)
    assert not absent & set(verdicts(table, framing)["key"])
    assert variables(table, MANIFEST, framing)["answer"]["headline"]
    assert len(overview_table(table)) == len(arms) + 1


def test_an_empty_run_is_said_to_be_empty(framing):
    table = pd.DataFrame(columns=list(METRIC_COLUMNS))
    assert verdicts(table, framing).empty
    assert "no arms" in variables(table, MANIFEST, framing)["answer"]["headline"]


def test_seeds_are_averaged_and_the_interval_is_that_of_the_mean():
    rows = [line("base", "gap", "threshold", 0.3 + 0.01 * k, 0.3, half=0.04, seed=k + 2) for k in (-1, 0, 1)]
    row = over_seeds(pd.DataFrame(rows, columns=list(METRIC_COLUMNS))).iloc[0]
    within, between = (0.04 / 1.959964) ** 2, 0.01**2 / 3
    half = t.ppf(0.975, 2 * (1 + within / between) ** 2) * (within + between) ** 0.5
    assert row["estimate"] == pytest.approx(0.3) and row["seeds"] == 3
    # 1.959964 is rounded, hence the tolerance.
    assert (row["low"], row["high"]) == (pytest.approx(0.3 - half, rel=1e-6), pytest.approx(0.3 + half, rel=1e-6))


def test_tests_of_equivalence_keep_their_level_and_p_values_are_not_averaged():
    rows = [
        line("tuned_all_25", metric, "educ", value, 0.0, half=0.02, subgroup="x", seed=seed)
        for metric in ("equivalence_balanced", "subgroup_gap", "equivalence_balanced_p")
        for seed, value in ((1, 0.01), (2, 0.02))
    ]
    table = over_seeds(pd.DataFrame(rows, columns=list(METRIC_COLUMNS))).set_index("metric")
    length = table["high"] - table["low"]
    within, between = (0.02 / 1.644854) ** 2, 0.00005 / 2
    half = t.ppf(0.95, (1 + within / between) ** 2) * (within + between) ** 0.5
    assert length["equivalence_balanced"] == pytest.approx(2 * half, rel=1e-6)
    assert length["equivalence_balanced"] != pytest.approx(length["subgroup_gap"], rel=1e-3)
    assert np.isnan(table["estimate"]["equivalence_balanced_p"])


def test_the_interval_of_a_share_keeps_to_0_and_1():
    rows = [line("base", "gap", "threshold", value, 0.3, half=0.01, seed=seed) for seed, value in ((1, 0.2), (2, 0.4))]
    row = over_seeds(pd.DataFrame(rows, columns=list(METRIC_COLUMNS))).iloc[0]
    assert (row["low"], row["high"]) == (0, 1)


def test_headline_follows_the_verdicts(framing):
    said = variables(metrics(), MANIFEST, framing)["answer"]["headline"]
    assert "clearly nearer to people in the one study" in said
    far = [at(TUNED, "joint_distance", "answers", estimate=0.95), at(TUNED, "marginal_distance", "mean", estimate=0.5)]
    assert "clearly nearer to people in no study" in variables(metrics(far), MANIFEST, framing)["answer"]["headline"]
    ahead = [at(["logit_all_25"], "joint_distance", "beliefs", estimate=0.4)]
    assert "behind in the one study" in variables(metrics(ahead), MANIFEST, framing)["answer"]["headline"]


def test_a_model_of_random_weights_and_synthetic_studies_are_announced(framing):
    random = {**MANIFEST, "model": {"name": "tiny-random", "revision": ""}}
    assert "random weights" in variables(metrics(), random, framing)["answer"]["warning"]
    assert variables(metrics(), MANIFEST, framing)["answer"]["warning"] == ""
    synthetic = {"framing": framing["framing"].model_copy(update={"synthetic": True})}
    assert "synthetic" in variables(metrics(), MANIFEST, synthetic)["answer"]["warning"]


def test_published_values_and_rules_are_complete():
    published = load_published()
    assert set(published.all) == set(RULES)
    for key, finding in published.all.items():
        assert "{" not in finding.text and "{" not in rule_text(key, finding)
    # The paper says nothing of single forecasts, negative controls and rectification: those are ours alone.
    ours = {"accuracy", "controls", "rectification"}
    assert {finding.analysis for finding in published.findings.values()} == set(ANALYSES) - ours


def test_tables_are_texts(framing):
    table = verdict_table(metrics(), framing)
    assert list(table.columns) == ["Study", "Claim", "Published", "Ours", "Verdict", "Why"]
    overview = overview_table(metrics())
    assert overview["Arm"].tolist()[:2] == ["People", load_arms().arm("base").label]
    assert overview.map(lambda cell: isinstance(cell, str)).all().all()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with measures of one study, written analysis by analysis."""
    monkeypatch.setenv("PILOTLM_RESULTS", str(tmp_path))
    table = metrics()
    for analysis in ANALYSES:
        mine = table[table["metric"].map(ANALYSIS_OF) == analysis]
        write_csv(tmp_path / "made" / "framing" / "measures" / f"{analysis}.csv", mine)
    record = {"stage": "prepare", "wall_seconds": 2.0, "peak_memory_mib": 100, "data_sha256": "d", "prompt_sha256": "p"}
    write_json(tmp_path / "made" / "framing" / "records" / "01-prepare.json", record)
    model = {**record, "model": "a-model", "model_revision": "r1", "wall_seconds": 5.0, "peak_memory_mib": 700}
    write_json(tmp_path / "made" / "framing" / "records" / "03-simulate-base-s1.json", model)
    return tmp_path / "made"


def test_equal_runs_give_equal_bytes(run):
    write_report("made", ["framing"])
    first = (run / "metrics.csv").read_bytes()
    write_report("made", ["framing"])
    assert (run / "metrics.csv").read_bytes() == first
    pd.testing.assert_frame_equal(read_metrics("made"), collect_metrics("made", ["framing"]))


def test_manifest_says_how_the_numbers_came_to_be(run):
    write_report("made", ["framing"])
    manifest = read_manifest("made")
    assert manifest["model"] == {"name": "a-model", "revision": "r1"}
    assert manifest["totals"] == {"nodes": 2, "wall_seconds": 7.0, "peak_memory_mib": 700}
    assert manifest["studies"]["framing"]["data_sha256"] == "d"
    assert list(manifest["records"]["framing"]) == ["01-prepare", "03-simulate-base-s1"]


def test_a_missing_analysis_names_what_makes_it(run):
    (run / "framing" / "measures" / "coherence.csv").unlink()
    with pytest.raises(InputError, match="08-coherence"):
        write_report("made", ["framing"])
    assert not (run / "metrics.csv").exists()


def test_a_table_with_other_columns_is_refused(run):
    (run / "framing" / "measures" / "coherence.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="other columns"):
        collect_metrics("made", ["framing"])


def test_a_broken_manifest_is_refused(run):
    (run / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_manifest("made")
    (run / "manifest.json").write_text(json.dumps(MANIFEST))
    assert read_manifest("made")["run"] == "made"
