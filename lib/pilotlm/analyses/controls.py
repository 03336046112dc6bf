"""Negative controls and leakage: what shuffled pilots lose, and whether simulated people are copies of the pilot's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.analyses.compared import Compared, human_rows, tidy
from pilotlm.analyses.forecasts import Predicted
from pilotlm.answering.features import Features
from pilotlm.answering.opponents import bootstrap_answers
from pilotlm.arms import Arms
from pilotlm.instrument.pilot import draw_pilot, rows_of, seed_of
from pilotlm.measures.accuracy import mean_score
from pilotlm.measures.explained import explained
from pilotlm.measures.intervals import Estimate
from pilotlm.measures.leakage import copied_share, nearest_distances
from pilotlm.responses import as_numbers
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
    """What shuffled pilots lose, and how near simulated people are to the pilot's.

    - ``association``: the share of variance of the answers, mean over columns, that goes with the treatment (item
      "treatment"), and with the persona beyond it (item "persona"): adjusted R². Floor: that of the people compared
      with. Ceiling: 0, no association. An arm fine-tuned on shuffled personas must lose the second, one fine-tuned on
      shuffled answers both.
    - ``nll_over_unshuffled``: of a negative control, its negative log-likelihood less that of the arm whose pilot is
      as it was, in nats a person; where both have laws.
    - ``copies``: the share of rows whose answers are exactly those of somebody in the pilot. Floor: that of people
      outside the pilot. Ceiling: 1, a bootstrap of the pilot.
    - ``nearest_distance``: the mean distance to the nearest pilot row in answers (item "answers"), and in answers and
      persona (item "answers and persona"). Floor: that of people outside the pilot; ceiling: that of a bootstrap.

    Copies and distances are of rows whose person is not in the pilot, whomever the arms are compared with.

    Parameters
    ----------
    study : Study
        The study.
    compared : sequence of Compared
        The arms.
    predicted : sequence of Predicted
        Those of them that have laws.
    people : DataFrame
        All people.
    arms : Arms
        The declared arms, for their pilots.
    against : {"held-out", "all"}
        Whom the arms are compared with.
    repeats : int
        Random halves and resamples.

    Returns
    -------
    DataFrame
        A tidy table.
    """
    features = Features.of(study, people)
    rows: list[dict[str, Any]] = []
    truth: dict[str, float] = {}
    for one in [human_rows(people), *compared]:
        key = {"arm": one.arm, "seed": one.seed}
        for item, ours, theirs in _associations(study, features, one, repeats):
            truth.setdefault(item, ours.value)
            rows.append({**key, "metric": "association", "item": item, **_told(ours), "human": truth[item],
                         "floor": theirs, "ceiling": 0.0})  # fmt: skip
    for one in compared:
        key = {"arm": one.arm, "seed": one.seed}
        rows += [{**key, **row} for row in _lost(study, one, predicted, arms, repeats)]
        rows += [{**key, **row} for row in _leaked(study, one, people, arms, repeats)]
    return tidy(study, against, rows)


def _told(estimate: Estimate) -> dict[str, Any]:
    return {"estimate": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _associations(
    study: Study, features: Features, one: Compared, repeats: int
) -> Iterator[tuple[str, Estimate, float]]:
    """For treatment and persona the association in an arm, and in the people compared with."""
    rng = one.generator(study, "association")
    ours, theirs = (_parts(study, features, table) for table in (one.simulated, one.human))
    if ours[1].shape[1]:
        found = explained(ours[0], ours[1], None, repeats, rng)
        yield "treatment", found, explained(theirs[0], theirs[1], None, 2, rng).value
    found = explained(ours[0], ours[2], ours[1], repeats, rng)
    yield "persona", found, explained(theirs[0], theirs[2], theirs[1], 2, rng).value


def _parts(study: Study, features: Features, table: pd.DataFrame) -> tuple[NDArray[np.float64], ...]:
    """Answers, treatment and persona as numbers; an answer without an order as an indicator of each option but one."""
    known = features.matrix(table, ())
    treatments = len(features.treatments) - 1
    answers, numbers = [], as_numbers(study, table)
    for question in study.questions:
        if question.ordered:
            answers += [numbers[column].to_numpy(float) for column in question.columns]
        else:
            answers += [(table[question.name] == value).to_numpy(float) for value in question.values[1:]]
    return np.column_stack(answers), known[:, :treatments], known[:, treatments:]


def _lost(
    study: Study, one: Compared, predicted: Sequence[Predicted], arms: Arms, repeats: int
) -> Iterator[dict[str, Any]]:
    original = arms.unshuffled(arms.arm(one.arm))
    laws = {(p.arm, p.seed): p for p in predicted}
    control = laws.get((one.arm, one.seed))
    if original is None or control is None or (original.name, one.seed) not in laws:
        return
    difference = (control.losses(study) - laws[original.name, one.seed].losses(study)).dropna().to_numpy()
    if len(difference):
        mean = mean_score(difference)
        yield {"metric": "nll_over_unshuffled", "item": "all", **_told(mean)}


def _leaked(study: Study, one: Compared, people: pd.DataFrame, arms: Arms, repeats: int) -> Iterator[dict[str, Any]]:
    arm = arms.arm(one.arm)
    name, seed = arm.pilot, arm.draws_pilot_by(one.seed)
    drawn = draw_pilot(study, people, arms.pilot(name), seed)
    pilot = rows_of(people, drawn.participants)
    ours = one.simulated[one.simulated["participant"].isin(drawn.held_out)].reset_index(drop=True)
    if ours.empty:
        return
    theirs = rows_of(people, tuple(ours["participant"]))
    # One bootstrap a pilot, so that arms of the same pilot and people stand beside the same one.
    again = bootstrap_answers(study, pilot, ours, seed_of(seed, study.name, name, "leakage").random(len(ours)))
    copied = ours.assign(**{column: again[column] for column in study.answer_columns})
    answers, spans = list(study.answer_columns), _spans(study)
    share = copied_share(ours[answers], pilot[answers])
    yield {"metric": "copies", "item": "answers", **_told(share), "ceiling": 1.0,
           "floor": copied_share(theirs[answers], pilot[answers]).value}  # fmt: skip
    for item, columns in (("answers", answers), ("answers and persona", list(spans))):
        near = [_nearest(study, table, pilot, columns, spans) for table in (ours, theirs, copied)]
        mean = mean_score(near[0])
        yield {"metric": "nearest_distance", "item": item, **_told(mean), "floor": float(near[1].mean()),
               "ceiling": float(near[2].mean())}  # fmt: skip


def _nearest(
    study: Study, table: pd.DataFrame, pilot: pd.DataFrame, columns: list[str], spans: dict[str, float]
) -> NDArray[np.float64]:
    rows, known = (as_numbers(study, part)[columns] for part in (table, pilot))
    return nearest_distances(rows, known, [spans[column] for column in columns])


def _spans(study: Study) -> dict[str, float]:
    """The largest possible difference of each answer and persona field; 0 where there is no order."""
    spans: dict[str, float] = {}
    for question in study.questions:
        span = float(max(question.numbers) - min(question.numbers)) if question.ordered else 0.0
        spans |= dict.fromkeys(question.columns, span)
    for field in study.persona:
        ends = field.range or tuple(level.number for level in field.levels or ())
        spans[field.name] = float(max(ends) - min(ends)) if field.range or field.ordered else 0.0
    return spans
