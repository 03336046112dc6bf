"""Negative controls and leakage: what shuffled pilots lose, and whether simulated people are copies of the pilot's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.common import Compared, Predicted, estimated, human_rows, tidy
from pilotlm.arms import Arms
from pilotlm.data.pilot import draw_pilot, rows_of
from pilotlm.responses import as_numbers
from pilotlm.stats.intervals import Estimate, FloatArray, wilson
from pilotlm.stats.linear_models import explained
from pilotlm.stats.scoring import mean_score
from pilotlm.study import Study


def controls(
    study: Study,
    compared: Sequence[Compared],
    predicted: Sequence[Predicted],
    people: pd.DataFrame,
    arms: Arms,
    against: str,
    repeats: int,
) -> pd.DataFrame:
    """What shuffled pilots lose, and whether simulated people are copies of the pilot's.

    - ``association``: the share of variance of the answers, mean over columns, that goes with the treatment (item
      "treatment"), and with the persona beyond it (item "persona"): adjusted R². Human benchmark: the people compared
      with; random benchmark: 0. An arm fine-tuned on shuffled personas must lose the second, one fine-tuned on shuffled
      answers both.
    - ``nll_over_unshuffled``: of a negative control, its negative log-likelihood less that of the arm whose pilot is as
      it was, in nats a person; where both have predictive distributions.
    - ``copies``: the share of rows of people outside the pilot whose answers are exactly those of somebody in it. Human
      benchmark: those people themselves; random benchmark: 1, a bootstrap of the pilot.

    Parameters and result are as in `pilotlm.analyses.accuracy.accuracy`; ``compared`` are all arms.
    """
    rows: list[dict[str, Any]] = []
    truth: dict[str, float] = {}
    for one in [human_rows(people), *compared]:
        key = {"arm": one.arm, "seed": one.seed}
        for item, ours, theirs in _associations(study, one, repeats):
            truth.setdefault(item, ours.value)
            rows.append({**key, "metric": "association", "item": item, **estimated(ours), "human": truth[item],
                         "human_benchmark": theirs, "random_benchmark": 0.0})  # fmt: skip
    for one in compared:
        key = {"arm": one.arm, "seed": one.seed}
        rows += [{**key, **row} for row in _lost(study, one, predicted, arms)]
        rows += [{**key, **row} for row in _copied(study, one, people, arms)]
    return tidy(study, against, rows)


def _associations(study: Study, one: Compared, repeats: int) -> Iterator[tuple[str, Estimate, float]]:
    """For treatment and persona the association in an arm, and in the people compared with."""
    rng = one.generator(study, "association")
    ours, theirs = (
        (_answers(study, table), _treatments(study, table), _persona(study, table))
        for table in (one.simulated, one.human)
    )
    if ours[1].shape[1]:
        found = explained(ours[0], ours[1], None, repeats, rng)
        yield "treatment", found, explained(theirs[0], theirs[1], None, 2, rng).value
    found = explained(ours[0], ours[2], ours[1], repeats, rng)
    yield "persona", found, explained(theirs[0], theirs[2], theirs[1], 2, rng).value


def _answers(study: Study, table: pd.DataFrame) -> FloatArray:
    """Answers as numbers where they are in an order, else an indicator of each option but the first, (rows, p)."""
    columns: list[pd.Series] = []
    numbers = as_numbers(study, table)
    for question in study.questions:
        if question.ordered:
            columns += [numbers[column] for column in question.columns]
        else:
            columns += [table[question.name] == value for value in question.values[1:]]
    return np.stack(columns, axis=1).astype(float)


def _persona(study: Study, table: pd.DataFrame) -> FloatArray:
    """The same of the persona, (rows, p)."""
    columns: list[pd.Series] = []
    numbers = as_numbers(study, table)
    for field in study.persona:
        if field.levels is None or field.ordered:
            columns.append(numbers[field.name])
        else:
            columns += [table[field.name] == level.code for level in field.levels[1:]]
    return np.array(columns, dtype=float).reshape(len(columns), len(table)).T


def _treatments(study: Study, table: pd.DataFrame) -> FloatArray:
    """An indicator of each treatment but the first, (rows, p)."""
    columns = [table["treatment"] == treatment.name for treatment in study.treatments[1:]]
    return np.array(columns, dtype=float).reshape(len(columns), len(table)).T


def _lost(study: Study, one: Compared, predicted: Sequence[Predicted], arms: Arms) -> Iterator[dict[str, Any]]:
    original = arms.unshuffled(arms.arm(one.arm))
    found = {(p.arm, p.seed): p for p in predicted}
    control = found.get((one.arm, one.seed))
    if original is None or control is None or (original.name, one.seed) not in found:
        return
    difference = (control.losses(study) - found[original.name, one.seed].losses(study)).dropna().to_numpy()
    if len(difference):
        yield {"metric": "nll_over_unshuffled", "item": "all", **estimated(mean_score(difference))}


def _copied(study: Study, one: Compared, people: pd.DataFrame, arms: Arms) -> Iterator[dict[str, Any]]:
    arm = arms.arm(one.arm)
    drawn = draw_pilot(study, people, arms.pilot(arm.pilot), arm.draws_pilot_by(one.seed))
    ours = one.simulated[one.simulated["participant"].isin(drawn.held_out)]
    if ours.empty:
        return
    answers = list(study.answer_columns)
    pilot, theirs = (rows_of(people, who)[answers] for who in (drawn.participants, tuple(ours["participant"])))
    benchmarks = {"human_benchmark": copied_share(theirs, pilot).value, "random_benchmark": 1.0}
    yield {"metric": "copies", "item": "answers", **estimated(copied_share(ours[answers], pilot)), **benchmarks}


def copied_share(rows: pd.DataFrame, known: pd.DataFrame) -> Estimate:
    """The share of rows that equal a known row in every column."""
    there = set(known.itertuples(index=False, name=None))
    return wilson(sum(row in there for row in rows.itertuples(index=False, name=None)), len(rows))
