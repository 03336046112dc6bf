"""The estimators from people and predictions on known truth: which intervals hold, and from how many people on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pilotlm.measures.estimators import LABELS, LEAST_FREEDOM, NOT_OFFERED, RECTIFIED, enough_people
from pilotlm.records import project_folder
from pilotlm.showing.staged import table_of

NONE_YET = "Nothing has been run here yet: `make truth` writes `truth/rectified.json`."
TITLES = {
    "scale_mean": "Mean of a scale from 1 to 7",
    "action_share": "Share who act",
    "scale_effect": "Effect of the treatment on the scale",
    "action_effect": "Effect of the treatment on acting",
    "scale_coefficient": "OLS coefficient of a trait, five columns",
    "action_logit": "Logit coefficient of a trait, five columns",
}
"""What is estimated, in the order of the page."""
LEVELS = {
    "scale_level_of_{}": "OLS coefficient of a rare level, scale from 1 to 7, six columns",
    "action_effect_of_{}": "Difference in the share who act between a rare level and everybody else",
    "action_level_of_{}": "Logit coefficient of a rare level, six columns",
}
"""The same where few people are behind it; the number of those who hold the level stands in the braces."""


def rectified_path() -> Path:
    """Where `make truth` writes the scores."""
    return project_folder() / "truth" / "rectified.json"


def read_rectified() -> pd.DataFrame | None:
    """What `make truth` wrote; None where it has not run."""
    path = rectified_path()
    return pd.read_json(path, orient="records") if path.is_file() else None


def rectified_page(scores: pd.DataFrame | None) -> str:
    """The part of the page on known truth.

    Parameters
    ----------
    scores : DataFrame or None
        What ``truth/rectified.json`` holds; None where it does not exist.

    Returns
    -------
    str
        Markdown that Quarto and nbconvert both read.
    """
    if scores is None or scores.empty:
        return NONE_YET + "\n"
    rows = scores[scores.apply(is_offered, axis=1)]
    ours = rows[rows["method"].isin(RECTIFIED) & (rows["holders"] == 0)]
    useless = ours[ours["model"] == "useless"]["relative_width"].max()
    biased = scores[scores["method"].isin(["simulation", "pooling"]) & (scores["model"] == "biased")]
    opening = (
        "People are drawn without end from a distribution that is known, and predicted well, with a bias, or not at "
        f"all ({scores['draws'].max():.0f} replications, {scores['others'].iloc[0]:.0f} further people with "
        "predictions). "
        f"Where they are offered, rectified 95 % intervals cover {_range(ours['coverage'])}; with useless predictions "
        f"they are {_percent(useless)} at most. Predictions taken for answers, where they are biased, cover "
        f"{biased['coverage'].max():.3f} at best."
    )
    reasons = "\n".join(f"- {LABELS[method]}: {why}" for method, why in NOT_OFFERED.items())
    tables = [f"### {title}\n\n{_table(scores[scores['target'] == name])}" for name, title in TITLES.items()]
    brackets = f"In brackets: intervals that are not offered, as those of a logit of fewer people.\n\n{reasons}"
    return "\n\n".join([opening, brackets, *tables, _levels(scores)]) + "\n"


def is_offered(row: pd.Series) -> bool:
    """Whether the intervals of a row are offered, in half of the draws at least."""
    return enough_people(row["kind"], row["method"], row["n"]) and bool(row["intervals"] >= 0.5)


def _range(values: pd.Series) -> str:
    return f"{values.min():.3f} to {values.max():.3f}"


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):.0f} % wider than people's alone" if ratio >= 1 else "no wider than people's alone"


def _table(rows: pd.DataFrame) -> str:
    sizes = sorted(rows["n"].unique())
    cells = []
    for method, label in LABELS.items():
        for model in dict.fromkeys(rows["model"]):
            mine = rows[(rows["method"] == method) & (rows["model"] == model)].set_index("n", drop=False)
            if len(mine):
                cells.append([label, model, *(_cell(mine.loc[n]) if n in mine.index else "–" for n in sizes)])
    return table_of(["Estimator", "Predictions", *(f"{n} people" for n in sizes)], cells, (26, 12, *[12] * len(sizes)))


def _levels(scores: pd.DataFrame) -> str:
    """Where few of the people with answers are behind a coefficient."""
    shown = scores[scores["method"].isin(["people", "tuned"])]
    rows = shown[shown["holders"] > 0]
    offered = rows[rows.apply(is_offered, axis=1)]
    one, few = rows[rows["holders"] == 1], rows[rows["holders"].isin([2, 3])]
    covers = {kind: _range(few[few["kind"] == kind]["withheld_too"]) for kind in ("coefficient", "effect", "logit")}
    text = (
        "A coefficient can rest on few of the people with answers, such as that of a category's rare level. The answer "
        "of the only person who holds a level is fitted exactly, whatever it is, so that nothing is known of the "
        f"error: no standard error, no interval ({100 * one['intervals'].max():.0f} % of the draws have one). Where "
        "two or three people hold it there is one, shown in brackets: it covers "
        f"{covers['coefficient']} for coefficients of least squares, {covers['effect']} for differences of shares, "
        f"since two or three people often answer alike, and {covers['logit']} for logits where they exist. Such "
        f"intervals are not offered. They are from {LEAST_FREEDOM['coefficient']:.0f} of Bell and McCaffrey's degrees "
        f"of freedom on ({LEAST_FREEDOM['effect']:.0f} for an effect, {LEAST_FREEDOM['logit']:.0f} for a logit), which "
        "count the people behind a coefficient; where six hold the level and they are offered, they cover "
        f"{_range(offered['coverage'])}."
    )
    tables = [
        f"#### {title}\n\n{_levels_table(rows[rows['target'].isin([name.format(h) for h in set(rows['holders'])])])}"
        for name, title in LEVELS.items()
    ]
    heading = "### Coefficients that rest on few people"
    return "\n\n".join([heading, text, _changed(shown[shown["holders"] == 0]), *tables])


def _changed(rows: pd.DataFrame) -> str:
    """Which of the other coverages the rule can change."""
    most = rows[rows.apply(is_offered, axis=1)].sort_values("intervals").iloc[0]
    share = 100 * (1 - most["intervals"])
    return (
        "No coverage above is of such a level. They change with this rule only where it withholds the interval of a "
        f"draw in which few people are behind the coefficient: in {share:.1f} % of the draws at most "
        f"({TITLES[most['target']]}, {most['n']} people)."
    )


def _levels_table(rows: pd.DataFrame) -> str:
    sizes, cells = sorted(rows["n"].unique()), []
    for holders, part in rows.groupby("holders"):
        for method, model in (("people", "good"), *(("tuned", model) for model in dict.fromkeys(part["model"]))):
            mine = part[(part["method"] == method) & (part["model"] == model)].set_index("n", drop=False)
            told = [_cell(mine.loc[n]) if n in mine.index else "–" for n in sizes]
            cells.append([str(holders), LABELS[method], "–" if method == "people" else model, *told])
    heading = ["Held by", "Estimator", "Predictions", *(f"{n} people" for n in sizes)]
    return table_of(heading, cells, (8, 26, 12, *[12] * len(sizes)))


def _cell(row: pd.Series) -> str:
    """Coverage and width; in brackets where no interval is offered."""
    if pd.isna(row["withheld_too"]):
        return "no interval"
    if not is_offered(row) and row["intervals"] < 0.5:
        return f"({row['withheld_too']:.3f})"
    width = "" if pd.isna(row["relative_width"]) else f", {row['relative_width']:.2f}"
    text = f"{row['coverage']:.3f}{width}"
    return text if is_offered(row) else f"({text})"
