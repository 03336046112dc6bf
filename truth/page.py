"""The pages on known truth, ``page.md`` and ``rectified.md``, from what `make truth` wrote: `python -m truth.page`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pilotlm.records import write_text
from pilotlm.report.tables import text_table
from pilotlm.report.wording import number
from pilotlm.stats.estimators import LABELS, LEAST_FREEDOM, NOT_OFFERED, RECTIFIED, enough_people

FOLDER = Path(__file__).resolve().parent

# The measures.

LEAST, MOST = 0.93, 0.97
"""A 95 % interval should cover between these shares; one of 90 % between .88 and .92."""
COVERS, WIDE, NARROW, UNSURE = "as it should", "too wide", "too narrow", "cannot be told"
REASONS_WIDE = {
    "unique_structures": "Where nearly all structures are different the jackknife counts what pairs add twice.",
    "false_positive_rate": "It is a share of few coefficients, so coarse that an interval cannot hold exactly.",
    "false_positive_rate_at_n": "As for the rate at all rows.",
    "concordance": "Why is not known.",
}
"""Why intervals are longer than they need be: claims are rarer than they could be, none is made too easily."""


def read_truth() -> pd.DataFrame:
    """What ``truth/results.json`` holds; empty where `make truth` has not run."""
    return _read("results.json")


def truth_page(lines: pd.DataFrame) -> str:
    """Which intervals cover, which estimators are biased, which tests hold their level, in Markdown."""
    estimates, tests = lines[lines["rejected"].isna()], lines[lines["rejected"].notna()]
    intervals = estimates[estimates["coverage"].notna()]
    said = intervals.apply(coverage_verdict, axis=1)
    counts = said.value_counts()
    words = {
        COVERS: "cover as they should", WIDE: "cover too often and are conservative", NARROW: "cover too rarely",
        UNSURE: "are near a limit and need more replications to decide",
    }  # fmt: skip
    counted = ", ".join(f"{counts.get(verdict, 0)} {text}" for verdict, text in words.items())
    shown, held = (pd.DataFrame([row(line) for _, line in part.iterrows()])
                   for part, row in ((estimates, _estimate), (tests, _test)))  # fmt: skip
    return (
        f"Of {len(said)} kinds of interval (a measure, a size, a distribution), {counted}.\n\n"
        f"## Intervals and estimators\n\n{text_table(shown)}\n\n"
        f"## Where intervals are too narrow\n\n{_worst(intervals[said == NARROW], 'min')}\n\n"
        "## Where intervals are too wide\n\nThey are conservative: a difference that they show exists, but they miss "
        f"some that exist.\n\n{_worst(intervals[said == WIDE], 'max')}\n\n## Tests\n\n{text_table(held)}\n"
    )


def coverage_verdict(line: pd.Series) -> str:
    """Whether an interval covers as often as it says, as far as the replications can tell."""
    shift = 0.05 if line["level"] < 0.95 else 0.0
    if line["coverage_high"] < LEAST - shift or line["coverage"] < LEAST - shift - 0.01:
        return NARROW
    if line["coverage_low"] > MOST - shift or line["coverage"] > MOST - shift + 0.01:
        return WIDE
    return COVERS if LEAST - shift <= line["coverage"] <= MOST - shift else UNSURE


def _read(name: str) -> pd.DataFrame:
    path = FOLDER / name
    return pd.read_json(path, orient="records") if path.is_file() else pd.DataFrame()


def _estimate(line: pd.Series) -> dict[str, str]:
    known = pd.notna(line["coverage"])
    least = f" (least {line['least_coverage']:.3f})" if line["items"] > 1 else ""
    return {
        "Measure": str(line["metric"]).replace("_", " "), "n": f"{line['n']:.0f}", "Distribution":
        str(line["distribution"]),
        "Replications": f"{line['replications']:.0f}", "Coverage": f"{line['coverage']:.3f}{least}" if known else "–",
        "It covers": coverage_verdict(line) if known else "no interval",
        "Bias": _with_error(line["bias"], line["bias_error"]),
        "Benchmark less estimate": _with_error(line["human_benchmark_gap"], line["human_benchmark_error"]),
    }  # fmt: skip


def _test(line: pd.Series) -> dict[str, str]:
    return {
        "Test": str(line["metric"]).replace("_", " "), "n": f"{line['n']:.0f}",
        "Replications": f"{line['replications']:.0f}", "Rejected at 5 %": f"{line['rejected']:.3f}",
        "99 % Monte-Carlo interval": f"{line['rejected_low']:.3f} to {line['rejected_high']:.3f}",
    }  # fmt: skip


def _worst(lines: pd.DataFrame, which: str) -> str:
    worst = lines.groupby("metric", sort=False)["coverage"].agg(which)
    named = [
        f"- {name.replace('_', ' ')}: {coverage:.3f} at worst. {REASONS_WIDE.get(name, 'Why is not known.')}"
        for name, coverage in zip(map(str, worst.index), worst, strict=True)
    ]
    return "\n".join(named) or "Nowhere."


def _with_error(value: float, error: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f} ± {error:.3f}"


# The estimators from people and predictions.

CHECK_TITLES = {
    "scale_mean": "Mean of a scale from 1 to 7",
    "action_share": "Share who act",
    "scale_effect": "Effect of the treatment on the scale",
    "action_effect": "Effect of the treatment on acting",
    "scale_coefficient": "OLS coefficient of a trait, five columns",
    "action_logit": "Logit coefficient of a trait, five columns",
    "scale_level_of": "OLS coefficient of a rare level, scale from 1 to 7, six columns",
    "action_effect_of": "Difference in the share who act between a rare level and everybody else",
    "action_level_of": "Logit coefficient of a rare level, six columns",
}
"""What is estimated, in the order of the page; the last three rest on the few people who hold a level."""


def read_rectified() -> pd.DataFrame:
    """What ``truth/rectified.json`` holds; empty where `make truth` has not run."""
    return _read("rectified.json")


def row_is_offered(row: pd.Series) -> bool:
    """Whether the intervals of a row are offered, in half of the draws at least."""
    return enough_people(row["kind"], row["method"], row["n"]) and bool(row["intervals"] >= 0.5)


def rectified_page(scores: pd.DataFrame) -> str:
    """Which intervals of prediction-powered inference hold, and from how many people on, in Markdown."""
    offered = scores[scores.apply(row_is_offered, axis=1)]
    ours = offered[offered["method"].isin(RECTIFIED) & (offered["holders"] == 0)]
    useless = 100 * (ours[ours["model"] == "useless"]["relative_width"].max() - 1)
    biased = scores[scores["method"].isin(["simulation", "pooling"]) & (scores["model"] == "biased")]
    few, some = (scores[scores["holders"].isin(holders)] for holders in ([2, 3], [6]))
    covers = {kind: _range(few[few["kind"] == kind]["withheld_too"]) for kind in ("coefficient", "effect", "logit")}
    parts = [
        "People are drawn without end from a distribution that is known, and predicted well, with a bias, or not at "
        f"all ({scores['draws'].max():.0f} replications, {scores['others'].iloc[0]:.0f} further people with "
        "predictions). Where they are offered, prediction-powered 95 % intervals cover "
        f"{_range(ours['coverage'])}; with useless predictions they are {max(useless, 0):.0f} % wider than people's "
        "alone at most. Predictions taken for answers, where they are biased, cover "
        f"{biased['coverage'].max():.3f} at best.",
        "A coefficient can rest on few of the people with answers, such as that of a category's rare level. The answer "
        "of the only person who holds a level is fitted exactly, whatever it is, so there is no standard error and no "
        f"interval. Where two or three people hold it an interval covers {covers['coefficient']} for coefficients of "
        f"least squares, {covers['effect']} for differences of shares, since two or three people often answer alike, "
        f"and {covers['logit']} for logits. Such intervals are not offered: they are from "
        f"{LEAST_FREEDOM['coefficient']:.0f} of Bell and McCaffrey's degrees of freedom on "
        f"({LEAST_FREEDOM['effect']:.0f} for an effect, {LEAST_FREEDOM['logit']:.0f} for a logit). Where six hold the "
        f"level and they are offered, they cover {_range(some[some.apply(row_is_offered, axis=1)]['coverage'])}.",
        "Each cell: coverage, then the width over that of people alone. In brackets: intervals that are not offered.",
        "\n".join(f"- {LABELS[method]}: {why}" for method, why in NOT_OFFERED.items()),
    ]
    kind = scores["target"].str.replace(r"_\d+$", "", regex=True)
    parts += [f"### {title}\n\n{text_table(_coverages(scores[kind == name]))}" for name, title in CHECK_TITLES.items()]
    return "\n\n".join(parts) + "\n"


def _range(values: pd.Series) -> str:
    return f"{values.min():.3f} to {values.max():.3f}"


def _coverages(rows: pd.DataFrame) -> pd.DataFrame:
    """A line a group of holders, an estimator and predictions, a column a number of people."""
    sizes, lines = sorted(rows["n"].unique()), []
    order = {method: place for place, method in enumerate(LABELS)}
    groups = rows.groupby(["holders", "method", "model"], sort=False)
    for (holders, method, model), part in sorted(groups, key=lambda group: (group[0][0], order[str(group[0][1])])):
        cells = {row["n"]: _cell(row) for _, row in part.iterrows()}
        held = {"Held by": str(holders)} if holders else {}
        named = {"Estimator": LABELS[str(method)], "Predictions": str(model)}
        lines.append(held | named | {f"{n} people": cells.get(n, "–") for n in sizes})
    return pd.DataFrame(lines)


def _cell(row: pd.Series) -> str:
    """Coverage and width; in brackets where no interval is offered."""
    if pd.isna(row["withheld_too"]):
        return "no interval"
    if row_is_offered(row):
        return f"{row['coverage']:.3f}, {number(row['relative_width'], 2)}"
    return f"({row['withheld_too']:.3f})"


# Known truth: decisions on people with weights, or with several rows each.

KEY_TITLES = {"weight": "survey weights", "participant": "several rows a person"}
INTERVAL_TITLES = {
    "bias": "bias of the predictions", "correlation": "correlation of answers and predictions",
    "people": "people's answers", "tuned": LABELS["tuned"],
}  # fmt: skip


def read_decided() -> pd.DataFrame:
    """What ``truth/decided.json`` holds; empty where `make truth` has not run."""
    return _read("decided.json")


def decided_page(found: pd.DataFrame) -> str:
    """How often a decision's intervals hold where the key is named in the study file, and where it is not."""
    if found.empty:
        return "Nothing has been run here yet: `make truth` writes `truth/decided.json`.\n"
    keys = ["world", "kind", "interval"]
    table = found.groupby([*keys, "named"], sort=False)["coverage"].agg(["mean", "min"]).reset_index()
    cells = table.assign(cell=table["mean"].map("{:.3f}".format) + table["min"].map(" (least {:.3f})".format))
    wide = cells.pivot_table(index=keys, columns="named", values="cell", aggfunc="first", sort=False)
    wide = wide.fillna("not offered").reset_index()
    shown = pd.DataFrame({
        "People have": wide["world"].map(KEY_TITLES), "Target": wide["kind"],
        "Interval of": wide["interval"].map(INTERVAL_TITLES),
        "It should cover": wide["interval"].map(found.groupby("interval")["level"].first()).map("{:.2f}".format),
        "Covers, key named": wide[True], "Covers, not named": wide[False],
    })  # fmt: skip
    return (
        "### Decisions on people with weights, or with several rows\n\nFrom populations that are known, people are "
        "drawn whose chance to be asked depends on what they think, and others who answer several times. Each draw is "
        "a folder of a study that is read, divided into pilot and held-out people and decided on, once with `weight` "
        "or `participant` in the study file and once without. The truth is the population's; the predictions, which no "
        "draw has changed, are too high. Intervals are counted where they are offered: weights leave few people behind "
        f"a logit.\n\n{text_table(shown)}\n"
    )


def write_pages() -> None:
    """Write both pages."""
    write_text(FOLDER / "page.md", truth_page(read_truth()))
    write_text(FOLDER / "rectified.md", f"{rectified_page(read_rectified())}\n{decided_page(read_decided())}")


if __name__ == "__main__":
    write_pages()
