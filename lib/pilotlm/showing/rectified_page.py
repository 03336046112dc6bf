"""The estimators from people and predictions on known truth: which intervals hold, and from how many people on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pilotlm.measures.estimators import LABELS, NOT_OFFERED, RECTIFIED, is_offered
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
    rows = scores[scores.apply(lambda row: is_offered(row["kind"], row["method"], row["n"]), axis=1)]
    ours = rows[rows["method"].isin(RECTIFIED)]
    useless = ours[ours["model"] == "useless"]["relative_width"].max()
    biased = scores[scores["method"].isin(["simulation", "pooling"]) & (scores["model"] == "biased")]
    opening = (
        f"People are drawn without end from a distribution that is known, and predicted well, with a bias, or not at "
        f"all ({scores['draws'].max():.0f} replications, {scores['others'].iloc[0]:.0f} further people with "
        f"predictions). Where they are offered, rectified 95 % intervals cover {ours['coverage'].min():.3f} to "
        f"{ours['coverage'].max():.3f}; with useless predictions they are {_percent(useless)} at most. Predictions "
        f"taken for answers, where they are biased, cover {biased['coverage'].max():.3f} at best."
    )
    reasons = "\n".join(f"- {LABELS[method]}: {why}" for method, why in NOT_OFFERED.items())
    tables = [f"### {title}\n\n{_table(scores[scores['target'] == name])}" for name, title in TITLES.items()]
    brackets = f"In brackets: intervals that are not offered, as those of a logit of fewer people.\n\n{reasons}"
    return "\n\n".join([opening, brackets, *tables]) + "\n"


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


def _cell(row: pd.Series) -> str:
    """Coverage and width; in brackets where no interval is offered."""
    width = "" if pd.isna(row["relative_width"]) else f", {row['relative_width']:.2f}"
    text = f"{row['coverage']:.3f}{width}"
    return text if is_offered(row["kind"], row["method"], row["n"]) else f"({text})"
