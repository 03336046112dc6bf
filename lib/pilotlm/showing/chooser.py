"""A page to choose study, measure and arms: the run's table inside the page, and a small script that draws it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pandas as pd

from pilotlm.arms import Arms
from pilotlm.responses import HUMAN
from pilotlm.showing.labels import labelled
from pilotlm.showing.naming import in_order, kind_of, label_of
from pilotlm.study import Study

CURVES = ("p_value",)
"""Measures that are left out: tests without an interval."""
WORDS = ("study", "metric", "item", "subgroup", "arm")
NUMBERS = ("seed", "estimate", "low", "high", "human", "floor", "ceiling", "n")
_DIGITS = 5
_FORM = """<div id="chooser">
<form>
<div class="chooser-choices">
<label>Study <select name="study"></select></label>
<label>Measure <select name="metric"></select></label>
<label>Item <select name="item"></select></label>
<label>Group <select name="subgroup"></select></label>
</div>
<fieldset><legend>Arms</legend></fieldset>
</form>
<p role="status"></p>
<div class="chooser-plot"></div>
<div class="chooser-table scrolls" tabindex="0" role="region" aria-label="Table"></div>
</div>"""
_STYLE = """<style>
#chooser label { margin: 0 1rem .4rem 0; } #chooser label[hidden] { display: none; }
.chooser-choices { display: flex; flex-wrap: wrap; } .chooser-choices label { display: grid; max-width: 100%; }
.chooser-choices select { max-width: 100%; min-height: 2rem; }
#chooser fieldset { border: 1px solid #bbb; padding: .3rem .8rem; margin: .6rem 0; }
#chooser legend { float: none; width: auto; font-size: 1rem; margin: 0; padding: 0 .3rem; }
#chooser td { text-align: right; } #chooser .scrolls { overflow-x: auto; }
</style>"""


def chooser_page(metrics: pd.DataFrame, studies: Mapping[str, Study], arms: Arms) -> str:
    """The body of the page, as HTML.

    Parameters
    ----------
    metrics : DataFrame
        The run's tidy table.
    studies : mapping of str to Study
        Its studies.
    arms : Arms
        The declared arms.

    Returns
    -------
    str
        A form, the table as JSON in which no text can end its element, and the script.
    """
    data = json.dumps(chooser_data(metrics, studies, arms), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    script = files("pilotlm.showing").joinpath("chooser.js").read_text(encoding="utf-8")
    inert = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("{{", "{ {")
    return "\n".join(
        [
            _STYLE,
            _FORM,
            "<noscript>This page needs JavaScript; the numbers stand in the run's metrics.csv.</noscript>",
            f'<script type="application/json" id="chooser-data">{inert}</script>',
            f"<script>\n{script}</script>",
        ]
    )


def chooser_data(metrics: pd.DataFrame, studies: Mapping[str, Study], arms: Arms) -> dict[str, Any]:
    """What the script draws: texts once each, and a list of numbers a row.

    Parameters
    ----------
    metrics, studies, arms
        As in `chooser_page`.

    Returns
    -------
    dict
        ``columns``; ``rows``, whose texts are places in ``words``; ``arms`` in the order of every figure, with label
        and kind; ``synthetic``, the studies that are; ``seeds``, how many there are.
    """
    kept = metrics[~metrics["metric"].isin(CURVES)]
    names = in_order(arms, kept["arm"].unique().tolist())
    parts = kept[kept["arm"].isin(names)].groupby(["study", "metric"], sort=False)
    kept = pd.concat([kept[:0], *(_in_words(part, studies) for _, part in parts)]).sort_index()
    words = {name: list(dict.fromkeys(kept[name].fillna("").astype(str))) for name in WORDS}
    places = {name: {word: place for place, word in enumerate(found)} for name, found in words.items()}
    coded = [kept[name].fillna("").astype(str).map(places[name]).tolist() for name in WORDS]
    numbers = [[_number(value) for value in kept[name]] for name in NUMBERS]
    return {
        "columns": [*WORDS, *NUMBERS],
        "words": words,
        "rows": [list(row) for row in zip(*coded, *numbers, strict=True)],
        "arms": {
            name: {"label": label_of(arms, name), "kind": kind_of(arms.arm(name) if name != HUMAN else None)}
            for name in names
        },
        "synthetic": [name for name, study in studies.items() if study.synthetic],
        # Rows of seed 0 belong to people, or sum up several seeds.
        "seeds": len(set(kept["seed"]) - {0}),
    }


def _in_words(rows: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """The rows of a measure in one study, what they are about in words."""
    study = studies.get(str(rows["study"].iloc[0]))
    return rows if study is None else labelled(rows, study)


def _number(value: Any) -> float | int | None:
    """A number with five significant digits; None where there is none, since JSON has no such number."""
    if pd.isna(value) or abs(float(value)) == float("inf"):
        return None
    short = float(f"{float(value):.{_DIGITS}g}")
    return int(short) if short.is_integer() else short
