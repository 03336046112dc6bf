"""Whether a study's regressions come out as they do in people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.compared import Compared, human_rows, tidy
from pilotlm.measures.regression import (
    Fit,
    SignFloor,
    fit,
    human_floor_sign_scores,
    pooled_sign_scores,
    resampled_sign_scores,
)
from pilotlm.responses import HUMAN, with_analysis_columns
from pilotlm.study import Study


def recovery(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """Whether the study's regressions come out as they do in people.

    - ``coefficient`` and ``p_value``: of each term; ``item`` is "regression: term"; ``human`` is in all people.
    - ``sign_f1``: F1 of significant signs at 5 %; ``false_positive_rate``: the share of people's null coefficients
      that the simulation calls significant; intervals are over simulated rows drawn anew. Floor: what a fresh draw
      of as many people scores against all people.

    Parameters and result are as in `heterogeneity`; ``repeats`` beyond 100 are not used for the scores.
    """
    everybody = with_analysis_columns(study, people)
    truth = [fit(regression, everybody) for regression in study.regressions]
    rows: list[dict[str, Any]] = []
    floors: dict[int, SignFloor] = {}
    for one in [human_rows(people), *compared]:
        table = with_analysis_columns(study, one.simulated)
        fits = truth if one.arm == HUMAN else [fit(r, table, everybody) for r in study.regressions]
        key = {"arm": one.arm, "seed": one.seed}
        for ours, theirs in zip(fits, truth, strict=True):
            rows += [{**key, **row} for row in _coefficients(ours, theirs)]
        if one.arm != HUMAN and truth:
            n = len(table)
            if n not in floors:
                rng = np.random.default_rng([n, *study.name.encode()])
                floors[n] = human_floor_sign_scores(study.regressions, everybody, n, min(repeats, 100), rng)
            own = resampled_sign_scores(
                study.regressions, table, everybody, min(repeats, 100), one.generator(study, "signs")
            )
            pairs = list(zip(fits, truth, strict=True))
            rows += [{**key, **row} for row in _scores(pairs, floors[n], own, n)]
    return tidy(study, against, rows)


def _coefficients(ours: Fit, theirs: Fit) -> Iterator[dict[str, Any]]:
    place = {term: k for k, term in enumerate(ours.terms)}
    for k, term in enumerate(theirs.terms):
        j = place.get(term)
        item = {"item": f"{theirs.name}: {term}", "n": ours.n}
        if j is None:
            yield {**item, "metric": "coefficient", "estimate": math.nan, "human": theirs.coefficient[k]}
            continue
        yield {**item, "metric": "coefficient", "estimate": ours.coefficient[j], "low": ours.low[j],
               "high": ours.high[j], "human": theirs.coefficient[k]}  # fmt: skip
        yield {**item, "metric": "p_value", "estimate": ours.p_value[j], "human": theirs.p_value[k]}


def _scores(pairs: list[tuple[Fit, Fit]], floor: SignFloor, own: SignFloor, n: int) -> Iterator[dict[str, Any]]:
    scores = pooled_sign_scores(pairs)
    told = (
        ("sign_f1", scores.f1, 1.0, own.f1, floor.f1),
        ("false_positive_rate", scores.false_positive_rate, 0.0, own.false_positive_rate, floor.false_positive_rate),
    )
    for metric, value, human, drawn, people in told:
        # The range is of resampled rows; the score itself belongs to it whatever the draws were.
        low, high = np.fmin(drawn.low, value), np.fmax(drawn.high, value)
        yield {
            "metric": metric,
            "item": "all",
            "estimate": value,
            "low": low,
            "high": high,
            "human": human,
            "floor": people.value,
            "n": n,
        }
