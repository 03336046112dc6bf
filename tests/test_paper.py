"""The paper's tables: plain names, the same few arms, and numbers that are those of metrics.csv."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from test_report import ARMS, MANIFEST, line, metrics

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.arms import load_arms
from pilotlm.report.decision_page import VERDICT_WORDS
from pilotlm.report.labels import study_label
from pilotlm.report.paper import (
    FIGURES,
    ROBUSTNESS_MEASURES,
    decision_table,
    distance_table,
    paper_figure,
    plain_of,
    power_table,
    robustness_table,
    signs_table,
    studies_in_order,
    studies_table,
    verdict_matrix,
)
from pilotlm.report.published import load_published
from pilotlm.report.runs import read_metrics
from pilotlm.report.verdicts import verdicts
from pilotlm.study import Study, load_study

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference"


@pytest.fixture
def framing() -> dict[str, Study]:
    return {"framing": load_study("framing")}


def test_the_front_table_by_hand(framing: dict[str, Study]) -> None:
    changes = [([arm], "joint_distance", "answers", {"estimate": value})
               for arm, value in (("base", 0.94), ("tuned_all_25", 0.66), ("logit_all_25", 0.7))]  # fmt: skip
    (row,) = distance_table(studies_in_order(metrics(changes), framing), MANIFEST).to_dict("records")
    # Of the way from .6 to 1; half lengths .02 / .4.
    assert row == {
        "Study": "Immigration news", "Pilot": "25 % of all", "Base model": "0.85 [0.80, 0.90]",
        "Fine-tuned": "0.15 [0.10, 0.20]", "Best baseline": "0.25 [0.20, 0.30] (logit)", "Pool": "–",
    }  # fmt: skip


def test_main_arms_of_a_study(framing: dict[str, Study]) -> None:
    (evidence,) = studies_in_order(metrics(), framing)
    assert {role: arm.name for role, arm in evidence.main.items()} == {
        "base": "base", "tuned": "tuned_all_25", "baseline": "logit_all_25", "bootstrap": "bootstrap_all_25",
    }  # fmt: skip
    (without,) = studies_in_order(metrics(arms=[a for a in ARMS if "logit" not in a], without=["cv_loss"]), framing)
    assert "baseline" not in without.main


def test_real_studies_come_first_and_synthetic_ones_are_marked(framing: dict[str, Study]) -> None:
    made = framing["framing"].model_copy(update={"name": "made", "synthetic": True})
    both = pd.concat([metrics().assign(study="made"), metrics()])
    studies = {"made": made, **framing}
    gathered = studies_in_order(both, studies)
    assert [study_label(one.study) for one in gathered] == ["Immigration news", "Immigration news (synthetic)"]
    matrix = verdict_matrix(verdicts(both, studies), studies)
    assert list(matrix.columns)[2:] == ["Immigration news", "Immigration news (synthetic)"]
    assert len(matrix) == len(load_published().all) and set(matrix["Immigration news"]) <= {"yes", "no", "?", "–"}
    assert studies_table(studies, MANIFEST)["People"].tolist() == ["265", "generated"]


def test_every_figure_of_the_paper_can_be_drawn_of_any_run(framing: dict[str, Study]) -> None:
    for table in (metrics(), metrics(arms=["base"])):
        for name in FIGURES:
            assert paper_figure(studies_in_order(table, framing), name).axes


def test_power_by_hand(framing: dict[str, Study]) -> None:
    (row,) = power_table(studies_in_order(metrics(), framing)).to_dict("records")
    # Places .05 to either side, so differences .0707; times (1.960 + .842) / 1.960. The gap: .02 times that.
    assert row["Distance, against the base model"] == row["Distance, against the best baseline"] == "0.10"
    assert (row["Gap, against chance"], row["F1 of as many people"], row["People compared"]) == ("0.03", "0.85", "100")
    assert signs_table([]).empty


def test_decisions_have_plain_verdicts_and_error_rates(framing: dict[str, Study]) -> None:
    record = {"arms": {"tuned_all_25": {"verdict": "use with rectification", "seeds": {
        "1": {"targets": {"a": "use", "b": "do not use"}, "outside": ["b"]}, "2": {"targets": {"a": "use"}},
    }}}}  # fmt: skip
    wrong = [
        {"study": "framing", "arm": "tuned_all_25", "seed": seed, "metric": "wrongly_used", "item": "mean",
         "against": "held-out", "estimate": rate}
        for seed, rate in ((1, 0.01), (2, 0.03))
    ]  # fmt: skip
    table = pd.concat([metrics(), pd.DataFrame(wrong)], ignore_index=True)
    (row,) = decision_table(studies_in_order(table, framing), {"framing": record}).to_dict("records")
    assert row["Verdict"] == VERDICT_WORDS["use with rectification"] and row["Wrongly used"] == "2.0 %"
    assert (row["Targets"], row["Shown to mislead"], row["Wrongly refused"]) == ("3", "1", "–")


# Variants beside their plain arms.


@pytest.mark.parametrize(
    ("variant", "plain"),
    [
        ("base_t07", "base"),
        ("base_free", "base"),
        ("shown_8", "base"),
        ("tuned_all_25_tokens", "tuned_all_25"),
        ("tuned_all_25_reversed", "tuned_all_25"),
    ],
)
def test_a_variant_is_held_against_the_arm_that_it_varies(variant: str, plain: str) -> None:
    arms = load_arms()
    assert plain_of(arms.arm(variant), arms) == arms.arm(plain)


def test_every_arm_that_is_asked_in_another_way_has_a_plain_arm_and_no_other_arm_has_one() -> None:
    arms = load_arms()
    for arm in arms.arms.values():
        plain = plain_of(arm, arms)
        asked = arm.is_variant and not arm.shuffled and arm.pilot_seed is None
        assert (plain is not None) == asked and plain != arm


def test_differences_to_the_plain_arm_by_hand(framing: dict[str, Study]) -> None:
    distances = {"base": (0.5, 0.03), "base_t0": (0.7, 0.04), "tuned_all_25_t0": (0.6, 0.04)}
    rows = [line(arm, "joint_distance", "answers", estimate, 0.1, half) for arm, (estimate, half) in distances.items()]
    whole = pd.DataFrame(rows, columns=list(METRIC_COLUMNS))
    table = robustness_table(studies_in_order(whole, framing))
    # The fine-tuned variant has no plain arm in this run.
    assert table["Variant"].tolist() == [load_arms().arm("base_t0").label]
    assert table["Joint distance"].tolist() == ["0.20 [0.15, 0.25]"]
    assert table["Gap"].tolist() == ["–"] and set(ROBUSTNESS_MEASURES) < set(table.columns)
    assert robustness_table(studies_in_order(whole[:1], framing)).empty


# The numbers of the reference run, computed without the library.


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.concat(pd.read_csv(path, keep_default_na=True) for path in REFERENCE.glob("*/measures/*.csv"))


def shown(label: str) -> list[list[str]]:
    cells = nbformat.read(REFERENCE / "report.ipynb", as_version=4).cells
    (cell,) = [cell for cell in cells if f"label: {label}\n" in cell.source]
    lines = cell.outputs[0]["data"]["text/markdown"].replace("\\", "").splitlines()
    return [[part.strip() for part in row.strip("|").split("|")] for row in [lines[0], *lines[2:]]]


def test_the_distances_of_the_report_are_those_of_the_metrics(rows: pd.DataFrame) -> None:
    heads, *lines = shown("tbl-distance")
    names = {study_label(load_study(name)): name for name in rows["study"].unique()}
    primary = rows[(rows["metric"] == "joint_distance") & (rows["item"] == "answers")]
    checked = 0
    for cells in (dict(zip(heads, row, strict=True)) for row in lines):
        study = names[cells["Study"]]
        there = set(rows.loc[rows["study"] == study, "arm"])
        tuned = next(arm for arm in ("tuned_n_60", "tuned_n_240", "tuned_all_25") if arm in there)
        pilot = tuned.removeprefix("tuned_")
        loss = rows[(rows["study"] == study) & (rows["metric"] == "cv_loss") & rows["arm"].str.endswith(f"_{pilot}")]
        best = loss.groupby("arm")["estimate"].mean().idxmin()
        assert cells["Best baseline"].endswith(f"({best.split('_')[0]})")
        for head, arm in (("Base model", "base"), ("Fine-tuned", tuned), ("Best baseline", best),
                          ("Pool", f"pooled_{pilot}")):  # fmt: skip
            mine = primary[(primary["study"] == study) & (primary["arm"] == arm)]
            if cells[head] == "–":
                assert mine.empty
                continue
            means = mine[["estimate", "human_benchmark", "random_benchmark"]].mean()
            way = means["random_benchmark"] - means["human_benchmark"]
            assert cells[head].split()[0] == f"{(means['estimate'] - means['human_benchmark']) / way:z.2f}"
            checked += 1
    assert checked >= 16


def test_the_signs_of_the_report_are_those_of_the_metrics(rows: pd.DataFrame) -> None:
    heads, *lines = shown("tbl-signs")
    names = {study_label(load_study(name)): name for name in rows["study"].unique()}
    base = [dict(zip(heads, row, strict=True)) for row in lines if "Base model" in row]
    assert len(base) == len(names)
    for cells in base:
        mine = rows[(rows["study"] == names[cells["Study"]]) & (rows["arm"] == "base") & (rows["item"] == "all")]
        means = mine.groupby("metric")[["estimate", "human_benchmark"]].mean()
        assert cells["F1"].split()[0] == f"{means.loc['sign_f1', 'estimate']:z.2f}"
        assert cells["F1 of people"] == f"{means.loc['sign_f1', 'human_benchmark']:z.2f}"
        assert cells["False positives"].split()[0] == f"{means.loc['false_positive_rate', 'estimate']:z.2f}"


def test_the_report_that_is_kept_is_that_of_the_notebook() -> None:
    """A changed notebook must be executed again on the kept run."""
    kept, source = (
        nbformat.read(path, as_version=4).cells
        for path in (REFERENCE / "report.ipynb", ROOT / "notebooks" / "14-report.ipynb")
    )
    # Papermill puts a cell of parameters in.
    sources = [cell.source for cell in kept if "injected-parameters" not in cell.metadata.get("tags", [])]
    assert sources == [cell.source for cell in source]
    manifest = json.loads((REFERENCE / "manifest.json").read_text(encoding="utf-8"))
    studies = {name: load_study(name) for name in manifest["studies"]}
    table = distance_table(studies_in_order(read_metrics(REFERENCE), studies), manifest)
    cells = [re.sub(r"\s+", " ", str(cell)) for cell in table.to_numpy().ravel()]
    assert sorted(cells) == sorted(cell for row in shown("tbl-distance")[1:] for cell in row)
