"""Known truth: the replications, what they come to, and the page that shows it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from truth import page
from truth.gathered import COLUMNS, FEWEST, gathered
from truth.replications import Drawn, Size, analyse, file_of, replicate
from truth.summary import read

SIZE = Size(48, ("heterogeneity",))


def test_a_replication_is_kept_and_not_run_again(tmp_path):
    replicate(SIZE, 1, 20, tmp_path)
    path = file_of(tmp_path, 48, "heterogeneity", 1)
    first, changed = path.read_bytes(), path.stat().st_mtime_ns
    replicate(SIZE, 1, 20, tmp_path)
    assert path.read_bytes() == first and path.stat().st_mtime_ns == changed


def test_a_replication_is_the_analysis_itself_on_people_of_its_own(tmp_path):
    for number in (1, 2):
        replicate(SIZE, number, 20, tmp_path)
    table = read(tmp_path, 48, "heterogeneity", 2)
    again = analyse("heterogeneity", Drawn.of(48, 2), 20)
    second = table[table["replication"] == 2].reset_index(drop=True)
    np.testing.assert_array_equal(second["estimate"], again["estimate"])
    assert not Drawn.of(48, 1).human.equals(Drawn.of(48, 2).human)  # other people
    assert set(table["distribution"]) == {"same", "other"}


def line(metric="gap", item="", coverage=0.95, mean=0.5, truth=0.5, replications=500, **more):
    return {
        "n": 48, "distribution": "same", "metric": metric, "item": item, "subgroup": "", "replications": replications,
        "truth_from": "everybody", "truth": truth, "truth_error": 0.0, "mean": mean, "mean_error": 0.01,
        "level": 0.95, "intervals": replications, "coverage": coverage, "coverage_low": coverage - 0.02,
        "coverage_high": coverage + 0.02, "human_benchmark_gap": 0.02, "human_benchmark_error": 0.01, "rejected":
        np.nan, **more,
    }  # fmt: skip


def test_items_are_put_together_and_the_largest_bias_is_kept():
    found = gathered(pd.DataFrame([line(item="a", coverage=0.9), line(item="b", coverage=1.0, mean=0.47)])).iloc[0]
    assert (found["items"], found["intervals"], found["coverage"]) == (2, 1000, pytest.approx(0.95))
    assert found["least_coverage"] == 0.9
    assert found["bias"] == pytest.approx(-0.03) and found["human_benchmark_gap"] == pytest.approx(0.02)


def test_few_replications_say_nothing_and_forecasts_have_no_human_benchmark():
    rows = [line(replications=FEWEST - 1), line("nll"), line("x_p", rejected=0.04, rejected_low=0.02)]
    found = gathered(pd.DataFrame(rows)).set_index("metric")
    assert list(found.index) == ["nll", "x_p"] and np.isnan(found.loc["nll", "human_benchmark_gap"])
    assert found.loc["x_p", "rejected"] == 0.04


@pytest.mark.parametrize(
    ("coverage", "half", "level", "said"),
    [
        (0.95, 0.02, 0.95, page.COVERS),
        (0.93, 0.02, 0.95, page.COVERS),
        (0.925, 0.02, 0.95, page.UNSURE),
        (0.90, 0.01, 0.95, page.NARROW),
        (0.90, 0.02, 0.90, page.COVERS),
        (0.85, 0.02, 0.90, page.NARROW),
        (0.995, 0.004, 0.95, page.WIDE),
    ],
)
def test_what_is_said_of_a_coverage(coverage, half, level, said):
    found = pd.Series(
        {"coverage": coverage, "coverage_low": coverage - half, "coverage_high": coverage + half, "level": level}
    )
    assert page.coverage_verdict(found) == said


# What is shipped.


@pytest.fixture(scope="module")
def shipped() -> pd.DataFrame:
    return page.read_truth()


def test_the_shipped_table_is_whole(shipped):
    assert set(shipped.columns) == set(COLUMNS) and shipped["replications"].min() >= FEWEST
    metrics = set(shipped["metric"])
    assert {"joint_distance", "unique_structures", "gap", "subgroup_distance", "coefficient"} <= metrics


def test_no_interval_that_is_offered_is_too_narrow(shipped):
    intervals = shipped[shipped["coverage"].notna()]
    assert not (intervals.apply(page.coverage_verdict, axis=1) == page.NARROW).any()


def test_an_interval_that_is_too_narrow_is_named_on_the_page(shipped):
    narrow = shipped.copy()
    gap = narrow["metric"] == "gap"
    narrow.loc[gap, ["coverage", "coverage_low", "coverage_high"]] = [0.85, 0.82, 0.88]
    text = page.truth_page(narrow)
    named = text[text.index("## Where intervals are too narrow") : text.index("## Where intervals are too wide")]
    assert "- gap: 0.850 at worst." in named


def test_every_interval_that_is_too_wide_is_explained(shipped):
    intervals = shipped[shipped["coverage"].notna()]
    wide = set(intervals.loc[intervals.apply(page.coverage_verdict, axis=1) == page.WIDE, "metric"])
    assert wide <= set(page.REASONS_WIDE)
    assert f"- {sorted(wide)[0].replace('_', ' ')}: " in page.truth_page(shipped)


@pytest.mark.parametrize(
    "metric",
    [
        "sign_f1",
        "gap_independent",
        "nll",
        "rho_S",
        "coefficient",
        "marginal_distance",
        "joint_distance",
        "subgroup_distance",
    ],
)
def test_what_was_repaired_covers_at_both_sizes(shipped, metric):
    rows = shipped[(shipped["metric"] == metric) & shipped["coverage"].notna()]
    verdicts = rows.apply(page.coverage_verdict, axis=1)
    assert len(rows) and set(verdicts) <= {page.COVERS, page.UNSURE}


def test_human_benchmarks_are_what_people_score(shipped):
    rows = shipped[shipped["metric"].isin(["unique_structures", "gap"])]
    known = rows.dropna(subset=["human_benchmark_gap"])
    # Three Monte-Carlo errors; the largest of several items may be a little beyond them.
    assert len(known) >= 4 and (known["human_benchmark_gap"].abs() <= 3.5 * known["human_benchmark_error"]).all()


def test_human_benchmarks_of_regression_scores_are_near_what_people_score(shipped):
    # They are made from people's coefficients, which are estimates: see `as_fresh_people` for the size of their bias.
    rows = shipped[shipped["metric"].isin(["concordance", "sign_f1", "false_positive_rate"])]
    known = rows.dropna(subset=["human_benchmark_gap"])
    assert len(known) >= 3 and (known["human_benchmark_gap"].abs() <= 0.04).all()


@pytest.mark.parametrize("metric", ["joint_distance", "marginal_distance", "gap", "subgroup_distance"])
def test_what_the_verdicts_lean_on_covers_at_200_people(shipped, metric):
    rows = shipped[(shipped["metric"] == metric) & (shipped["n"] == 200) & shipped["coverage"].notna()]
    assert len(rows) and (rows["coverage"] >= page.LEAST).all()


def test_tests_between_equal_distributions_hold_their_level(shipped):
    rows = shipped[shipped["rejected"].notna() & shipped["distribution"].isin(["same", "again"])]
    # The lower end of a 99 % Monte-Carlo interval.
    assert not set(rows.loc[rows["rejected_low"] > 0.05, "metric"])


def test_the_committed_pages_are_those_of_the_committed_results(shipped):
    """After `make truth`, or by itself: `python -m truth.page`."""
    assert (page.FOLDER / "page.md").read_text(encoding="utf-8") == page.truth_page(shipped)
    rectified, decided = page.rectified_page(page.read_rectified()), page.decided_page(page.read_decided())
    assert (page.FOLDER / "rectified.md").read_text(encoding="utf-8") == f"{rectified}\n{decided}"
