"""The report: one table, one manifest, and verdicts and sentences that follow the numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.data.sources import load_people
from pilotlm.errors import InputError
from pilotlm.profile import load_profile
from pilotlm.records import write_csv, write_json
from pilotlm.report.evidence import over_seeds
from pilotlm.report.published import load_published
from pilotlm.report.run_facts import model_size
from pilotlm.report.runs import collect_metrics, read_manifest, read_metrics, write_report
from pilotlm.report.sentences import variables
from pilotlm.report.wording import slug, unquoted
from pilotlm.stages import ANALYSES
from pilotlm.study import load_study

ARMS = (
    "base", "tuned_all_25", "tuned_all_25_balanced", "tuned_all_25_nopersona",
    "bootstrap_all_25", "marginals_all_25", "logit_all_25", "logit_all_25_balanced",
)  # fmt: skip
TUNED = ARMS[1:4]
GROUPS = ("high school", "some college")
ANALYSIS_OF = {
    "unique_structures": "heterogeneity", "joint_distance": "divergence",
    "marginal_distance": "divergence", "subgroup_distance": "subgroups", "equivalence_balanced": "subgroups",
    "equivalence_nopersona": "subgroups", "gap": "coherence",
    "sign_f1": "regression", "false_positive_rate": "regression", "concordance": "regression", "cv_loss": "accuracy",
}  # fmt: skip
CLAIM_OF = {
    "tuned_all_25_balanced": "equivalence_balanced", "tuned_all_25_nopersona": "equivalence_nopersona",
}  # fmt: skip
LOSSES = {f"{baseline}_{pilot}": loss for baseline, loss in (("marginals", 7.0), ("logit", 6.0))
          for pilot in ("all_25", "all_25_balanced")}  # fmt: skip
"""The logit is the best baseline of both pilots."""
BALANCED = (["tuned_all_25_balanced"], "equivalence_balanced", "educ")
NO_PERSONA = (["tuned_all_25_nopersona"], "equivalence_nopersona", "educ")
MANIFEST = {
    "run": "made", "finished": "2030-01-02T03:04:05+00:00", "model": {"name": "a-model", "revision": "r1"},
    "environment": {
        "git_revision": "0123456789abcdef", "git_dirty": False, "python": "3.11.0", "cores": 2, "system": "Linux",
        "packages": {"torch": "1", "transformers": "2"},
    },
    "totals": {"nodes": 3, "wall_seconds": 600.0, "peak_memory_mib": 900},
    "studies": {"framing": {"data_sha256": "fedcba9876543210", "participants": 265}},
    "records": {
        "framing": {
            "01-prepare": {"stage": "prepare", "parameters": {}, "wall_seconds": 60.0, "peak_memory_mib": 300},
            "03-simulate-base-s4": {
                "stage": "simulate", "parameters": {"seed": 4, "arm": "base"}, "simulated": 100, "wall_seconds": 540.0,
                "peak_memory_mib": 900,
            },
        }
    },
}  # fmt: skip


def line(arm, metric, item, estimate, human_benchmark, half=0.02, subgroup=None, random_benchmark=None, n=100, seed=1):
    """One tidy row with an interval of ``half`` to either side."""
    return {
        "study": "framing", "arm": arm, "seed": seed, "metric": metric, "item": item, "subgroup": subgroup,
        "against": "held-out", "estimate": estimate, "low": estimate - half, "high": estimate + half,
        "human": 1.0, "human_benchmark": human_benchmark, "random_benchmark": random_benchmark, "n": n,
    }  # fmt: skip


def lines_of(arm):
    near = arm != "base"
    rows = [
        line(arm, "unique_structures", "beliefs", 50 if near else 5, 55, half=3),
        line(arm, "joint_distance", "beliefs", 0.55 if near else 0.9, 0.5, random_benchmark=0.95),
        line(arm, "joint_distance", "answers", 0.65 if near else 0.95, 0.6, random_benchmark=1.0),
        line(arm, "marginal_distance", "mean", 0.15 if near else 0.5, 0.1),
        line(arm, "gap", "threshold", 0.36 if near else 0.95, 0.36, half=0.02, random_benchmark=0.55 if near else 0.95),
        line(arm, "sign_f1", "all", 0.5, 0.85, half=0.1),
        line(arm, "false_positive_rate", "all", 0.1, 0.1, half=0.1),
        line(arm, "concordance", "all", 0.5, 0.8, half=0.05, random_benchmark=0.0),
    ]
    distance = 0.2 if near else 0.6
    rows += [line(arm, "subgroup_distance", "educ", distance, 0.15, subgroup=group) for group in GROUPS]
    rows += [line(arm, "cv_loss", "all", LOSSES[arm], float("nan"))] if arm in LOSSES else []
    claim = CLAIM_OF.get(arm)
    return rows + [line(arm, claim, "educ", 0.01, 0.0, subgroup=group) for group in GROUPS if claim]


def metrics(changes=(), arms=ARMS, without=(), more=()):
    """A table as published would have it, with some values changed, (arms, metric, item, {column: value}), and more."""
    people = [
        line("human", "unique_structures", "beliefs", 83, 83, n=265, seed=0),
        line("human", "gap", "threshold", 0.36, 0.36, random_benchmark=0.55, n=265, seed=0),
    ]
    rows = [*people, *(row for arm in arms for row in lines_of(arm)), *more]
    table = pd.DataFrame(rows, columns=list(METRIC_COLUMNS))
    for names, metric, item, values in changes:
        chosen = table["arm"].isin(names) & (table["metric"] == metric) & (table["item"] == item)
        assert chosen.any()
        shift = values.get("estimate", table.loc[chosen, "estimate"]) - table.loc[chosen, "estimate"]
        table.loc[chosen, ["low", "high"]] = table.loc[chosen, ["low", "high"]].add(shift, axis=0)
        table.loc[chosen, list(values)] = list(values.values())
    return table[~table["metric"].isin(without)].reset_index(drop=True)


@pytest.fixture
def framing():
    return {"framing": load_study("framing")}


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


def said_of(table, studies, part="answer", manifest=MANIFEST):
    return {name: unquoted(text) for name, text in variables(table, manifest, studies)[part].items()}


def at(names, metric, item, **values):
    return (names, metric, item, values)


NEARER, BASELINE = (load_published().all[key].holds for key in ("joint_distance", "baselines_distance"))


def test_the_headline_has_one_measure_and_one_baseline(framing):
    said = said_of(metrics(), framing)["headline"]
    assert f"In the one study {NEARER}." in said
    assert f"No study shows that {BASELINE}: in the one study these data cannot tell." in said
    near = at(["logit_all_25", "logit_all_25_balanced"], "joint_distance", "answers", estimate=0.8)
    assert f"In the one study {BASELINE}." in said_of(metrics([near]), framing)["headline"]
    far = at(TUNED, "joint_distance", "answers", estimate=0.99)
    assert "in the one study at least one was farther away" in said_of(metrics([far]), framing)["headline"]
    # No other measure and no other baseline moves it.
    others = [at(ARMS, m, i, estimate=0.42) for m, i in (("gap", "threshold"), ("sign_f1", "all"),
              ("marginal_distance", "mean"))]  # fmt: skip
    others.append(at(["bootstrap_all_25", "marginals_all_25"], "joint_distance", "answers", estimate=0.6))
    assert said_of(metrics(others), framing)["headline"] == said


def test_a_run_that_does_not_say_which_baseline_is_best_says_so(framing):
    said = said_of(metrics(without=["cv_loss"]), framing)["headline"]
    assert "does not say which baseline is the best" in said and NEARER in said


def test_studies_are_counted_and_named_by_verdict():
    studies = {name: load_study("framing").model_copy(update={"name": name, "label": name.upper()}) for name in "abcd"}
    far = at(TUNED, "joint_distance", "answers", estimate=0.99)
    table = pd.concat([metrics([far] if name == "a" else []).assign(study=name) for name in studies])
    said = said_of(table, studies)["headline"]
    assert f"In 3 of 4 real studies {NEARER}; in 1 at least one was farther away." in said
    assert "in 1 at least one was farther away; in 3 these data cannot tell." in said
    assert f"In B, C and D {NEARER}; in A at least one" in said_of(table, studies, "finding")["distance"]


def test_a_synthetic_study_is_never_counted_among_real_ones(framing):
    synthetic = framing["framing"].model_copy(update={"name": "made", "synthetic": True})
    far = metrics([at(TUNED, "joint_distance", "answers", estimate=0.99), at(TUNED, "sign_f1", "all", estimate=0.95)])
    both, studies = pd.concat([metrics(), far.assign(study="made")]), {**framing, "made": synthetic}
    for part in ("point", "finding"):
        assert said_of(both, studies, part) == said_of(metrics(), framing, part)
    alone, beside = said_of(metrics(), framing), said_of(both, studies)
    assert beside["headline"] == alone["headline"] and beside["verdicts"] == alone["verdicts"]
    assert "1 real study" in alone["verdicts"]
    assert "synthetic study" in said_of(far.assign(study="made"), {"made": synthetic})["verdicts"]


def test_the_size_of_a_model_is_read_from_its_name():
    assert [model_size(name) for name in ("smollm2-135m-instruct", "Qwen2.5-7B-Instruct", "tiny-random")] == [
        "135 million parameters", "7 billion parameters", "",
    ]  # fmt: skip


CHANGES = {
    "distance": at(["tuned_all_25"], "joint_distance", "answers", estimate=0.8),
    "variety": at(["tuned_all_25"], "unique_structures", "beliefs", estimate=44),
    "coherence": at(["tuned_all_25"], "gap", "threshold", estimate=0.45),
    "coefficients": at(["tuned_all_25"], "sign_f1", "all", estimate=0.61),
    "persona": at(["tuned_all_25"], "association", "persona", estimate=0.17),
    "likelihood": at(["tuned_all_25"], "nll_over_baseline", "all", estimate=-0.4),
    "controls": at(["tuned_all_25"], "copies", "answers", estimate=0.31),
}
MORE = [
    line("tuned_all_25", "association", "persona", 0.05, 0.3), line("tuned_all_25", "copies", "answers", 0.2, 0.1),
    line("tuned_all_25", "nll_over_baseline", "all", 0.4, float("nan"), half=0.1),
]  # fmt: skip


@pytest.mark.parametrize("paragraph", list(CHANGES))
def test_one_changed_number_changes_the_paragraph_that_states_it(framing, paragraph):
    ours, theirs = (said_of(metrics(one, more=MORE), framing, "finding") for one in ([], [CHANGES[paragraph]]))
    assert {name for name in ours if ours[name] != theirs[name]} == {paragraph}


def test_forecasts_are_told_by_the_side_of_zero_that_an_interval_lies_on(framing):
    for shift, said in ((0.0, "a lower one in Immigration news"), (-0.8, "best baseline in Immigration news (")):
        rows = [line("tuned_all_25", "nll_over_baseline", "all", 0.4 + shift, float("nan"), half=0.1)]
        assert said in said_of(metrics(more=rows), framing, "finding")["likelihood"]


def test_counts_on_pages_are_those_of_the_profile():
    """Seeds and people come from what was run; rows that belong to no seed are not counted as one."""
    root = Path(__file__).resolve().parents[1]
    profile = load_profile("reference")
    manifest = json.loads((root / "results" / "reference" / "manifest.json").read_text())
    studies = {study: load_study(study) for study in profile.studies}
    rows = [
        line("human", "gap", "threshold", 0.3, 0.3, seed=0), line("base", "gap", "threshold", 0.3, 0.3, seed=1),
        line("base", "gap", "threshold", 0.1, 0.3, seed=0),
    ]  # fmt: skip
    table = pd.concat([pd.DataFrame(rows, columns=list(METRIC_COLUMNS)).assign(study=study) for study in studies])
    values = variables(table, manifest, studies)
    numbers = [len(profile.seeds_of(study)) for study in studies]
    said = f"{min(numbers)} to {max(numbers)} seeds a study"
    assert min(numbers) == 3 and said in unquoted(values["run"]["seeds"]) and said in values["answer"]["sure"]
    assert said in values["answer"]["setting"] and "17 to 240 people" in values["answer"]["setting"]
    assert values["run"]["simulated"] == "100 to 400 people"
    for study, part in profile.studies.items():
        ran = {record["simulated"] for record in manifest["records"][study].values() if "simulated" in record}
        # Of framing, pilots of different arms leave over a person more or less.
        assert max(ran) == part.simulated and min(ran) >= part.simulated - (2 if study == "framing" else 0)
        if studies[study].source.kind != "url":  # no test downloads
            assert values["study"][slug(study)]["people"] == str(len(load_people(studies[study]).table))


def test_studies_with_seeds_of_their_own_are_told(framing):
    records = {study: {f"s{seed}": {"parameters": {"seed": seed}, "simulated": 200} for seed in seeds}
               for study, seeds in (("framing", (1, 2, 3)), ("other", (1, 2, 3, 4, 5)))}  # fmt: skip
    values = variables(metrics(), {**MANIFEST, "records": records}, framing)
    assert unquoted(values["run"]["seeds"]) == "3 to 5 seeds a study (1, 2, 3, 4 and 5)"
    assert "3 to 5 seeds a study" in values["answer"]["setting"] and "variation between" in values["answer"]["sure"]


def test_a_model_of_random_weights_and_synthetic_studies_are_announced(framing):
    random = {**MANIFEST, "model": {"name": "tiny-random", "revision": ""}}
    assert "random weights" in variables(metrics(), random, framing)["answer"]["warning"]
    assert variables(metrics(), MANIFEST, framing)["answer"]["warning"] == ""
    synthetic = {"framing": framing["framing"].model_copy(update={"synthetic": True})}
    assert "synthetic" in variables(metrics(), MANIFEST, synthetic)["answer"]["warning"]


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


def test_equal_runs_give_equal_bytes_and_a_manifest_says_how_they_came_to_be(run):
    write_report("made", ["framing"])
    first = (run / "metrics.csv").read_bytes()
    write_report("made", ["framing"])
    assert (run / "metrics.csv").read_bytes() == first
    pd.testing.assert_frame_equal(read_metrics(run), collect_metrics(run, ["framing"]))
    manifest = read_manifest("made")
    assert manifest["model"] == {"name": "a-model", "revision": "r1"}
    assert manifest["totals"] == {"nodes": 2, "wall_seconds": 7.0, "peak_memory_mib": 700}
    assert manifest["studies"]["framing"]["data_sha256"] == "d"
    assert list(manifest["records"]["framing"]) == ["01-prepare", "03-simulate-base-s1"]


def test_an_analysis_that_is_missing_or_has_other_columns_is_named(run):
    table = run / "framing" / "measures" / "coherence.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="other columns"):
        write_report("made", ["framing"])
    table.unlink()
    with pytest.raises(InputError, match="08-coherence"):
        write_report("made", ["framing"])
    assert not (run / "metrics.csv").exists()


def test_a_broken_manifest_is_refused(run):
    (run / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_manifest("made")
