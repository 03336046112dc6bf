"""How well an arm forecasts the answers of single people, and whether its probabilities are right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.analyses.answers import estimated
from pilotlm.analyses.best_baseline import best_baseline
from pilotlm.analyses.compared import Compared, human_rows, tidy
from pilotlm.analyses.forecasts import (
    Laws,
    Predicted,
    given_answers,
    over_people,
    people_laws,
    uniform_laws,
)
from pilotlm.arms import Arms
from pilotlm.laws import laws_of
from pilotlm.measures.accuracy import (
    Calibration,
    brier_scores,
    calibration,
    log_losses,
    mean_score,
    ranked_probability_scores,
    top_answers,
)
from pilotlm.measures.intervals import Estimate
from pilotlm.study import Study

Scores = dict[tuple[str, str], NDArray[np.float64]]
"""Metric and item, then a score a person."""


def accuracy(
    study: Study,
    predicted: Sequence[Predicted],
    cv_losses: Sequence[Mapping[str, Any]],
    people: pd.DataFrame,
    arms: Arms,
    against: str,
    repeats: int,
) -> pd.DataFrame:
    """How well laws forecast people's own answers, given their own earlier answers; smaller is better.

    - ``nll``: negative log-likelihood in nats, of whole answers (item "all") and of each column asked.
    - ``nll_over_people``, ``nll_over_baseline``: the same less that of other people's frequencies, and less that of
      the best baseline fitted on the same pilot, person by person: below 0 the arm is better. The intervals are paired;
      that over people allows for the frequencies, which would be others with other people. Which baseline is the best
      is named beforehand, inside the pilots (`pilotlm.analyses.best_baseline`); it has no such row itself.
    - ``cv_loss``: of each baseline, the cross-validated loss inside its pilot in nats a person; n is the pilot's
      people, and ``against`` is "pilot".
    - ``brier``: Brier's score of each column asked and their mean.
    - ``rps``: ranked probability score of each column whose answers have an order, and their mean.
    - ``calibration_error``: expected calibration error of the most probable answers, all columns together. Floor: what
      it would be if every probability were right. Not of the arm "human".
    - ``calibration``: the curve behind it; ``item`` is the bin, the estimate is the share that came true, the floor
      the mean probability, n the number of forecasts.

    For scores the floor is that of the frequencies among all other people of the same treatment, on the same people,
    and the ceiling that of uniform answers. An arm that uses who answers, or earlier answers, can pass the floor. The
    arm "human" is those frequencies on all people.

    Parameters
    ----------
    study : Study
        The study.
    predicted : sequence of Predicted
        The arms that have laws.
    cv_losses : sequence of mapping
        Rows of ``cv_loss`` (`pilotlm.collecting.collect_cv_losses`).
    people : DataFrame
        All people.
    arms : Arms
        The declared arms.
    against : {"held-out", "all"}
        Whom the arms are compared with.
    repeats : int
        Resamples of people.

    Returns
    -------
    DataFrame
        A tidy table.
    """
    everybody = human_rows(people)
    generator = everybody.generator(study, "accuracy")
    others = people_laws(study, people, people)
    rows = [
        {"arm": everybody.arm, "seed": everybody.seed, **row}
        for row in _rows(study, others, others, people, people, repeats, generator)
    ]
    truth = {(row["metric"], row["item"]): row["estimate"] for row in rows}
    inside, by_key = tidy(study, "pilot", cv_losses), {(one.arm, one.seed): one for one in predicted}
    best = {pilot: best_baseline(inside, study.name, pilot, arms) for pilot in {one.pilot for one in predicted}}
    for one in predicted:
        rng = Compared(one.arm, one.seed, one.human, one.human, None).generator(study, "accuracy")
        laws, floor = laws_of(study, one.laws, one.human["participant"]), people_laws(study, people, one.human)
        baseline = by_key.get((best[one.pilot] or "", arms.arm(one.arm).draws_pilot_by(one.seed)))
        found = [
            *_rows(study, laws, floor, people, one.human, repeats, rng),
            *_against_baseline(study, one, baseline),
        ]
        rows += [
            {"arm": one.arm, "seed": one.seed, "human": truth.get((row["metric"], row["item"])), **row} for row in found
        ]
    return tidy(study, against, [*rows, *({**row, "against": "pilot"} for row in cv_losses)])


def _rows(
    study: Study,
    laws: Laws,
    floor: Laws,
    everybody: pd.DataFrame,
    people: pd.DataFrame,
    repeats: int,
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    ours, theirs = _scores(study, laws, people), _scores(study, floor, people)
    uniform = _scores(study, uniform_laws(study, people), people)
    for key, score in ours.items():
        beside = {"floor": float(theirs[key].mean()), "ceiling": float(uniform[key].mean())}
        yield _row(*key, mean_score(score)) | beside
    if laws is floor:
        # Frequencies that leave a person out are the lower for that person's answer; where two answers are about as
        # frequent the top one is then too often the other, and calibration would look wrong when it is right.
        return
    difference = ours["nll", "all"] - theirs["nll", "all"]
    yield _row("nll_over_people", "all", over_people(study, everybody, people, difference))
    yield from _calibrated(_calibration(study, laws, people, repeats, rng))


def _against_baseline(study: Study, one: Predicted, baseline: Predicted | None) -> Iterator[dict[str, Any]]:
    """The paired difference to the best baseline, on the people whom both forecast; nothing for that one itself."""
    if baseline is None or baseline is one:
        return
    difference = (one.losses(study) - baseline.losses(study)).dropna()
    if len(difference):
        yield _row("nll_over_baseline", "all", mean_score(difference.to_numpy()))


def _row(metric: str, item: str, mean: Estimate) -> dict[str, Any]:
    return {"metric": metric, "item": item, **estimated(mean)}


def _scores(study: Study, laws: Laws, people: pd.DataFrame) -> Scores:
    given = given_answers(study, people)
    losses = {column: log_losses(law, given[column]) for column, law in laws.items()}
    brier = {column: brier_scores(law, given[column]) for column, law in laws.items()}
    ordered = [column for column in _ordered(study) if column in laws]
    ranked = {column: ranked_probability_scores(laws[column], given[column]) for column in ordered}
    scores: Scores = {("nll", "all"): np.sum(list(losses.values()), axis=0)}
    scores |= {("nll", column): loss for column, loss in losses.items()}
    for metric, parts in (("brier", brier), ("rps", ranked)):
        if parts:
            scores[metric, "mean"] = np.mean(list(parts.values()), axis=0)
        scores |= {(metric, column): score for column, score in parts.items()}
    return scores


def _ordered(study: Study) -> list[str]:
    """The answer columns whose values have an order."""
    return [column for question in study.questions if question.ordered for column in question.columns]


def _calibration(study: Study, laws: Laws, people: pd.DataFrame, repeats: int, rng: np.random.Generator) -> Calibration:
    given = given_answers(study, people)
    pairs = [top_answers(law, given[column]) for column, law in laws.items()]
    forecast, hit = (np.stack(part, axis=1) for part in zip(*pairs, strict=True))
    return calibration(forecast, hit, repeats, rng)


def _calibrated(result: Calibration) -> Iterator[dict[str, Any]]:
    error = result.error
    yield {"metric": "calibration_error", "item": "all", "estimate": error.value, "low": error.low, "high": error.high,
           "floor": result.if_right, "n": error.n}  # fmt: skip
    for one in result.bins:
        seen = one.observed
        yield {"metric": "calibration", "item": f"{one.low:g} to {one.high:g}", "estimate": seen.value,
               "low": seen.low, "high": seen.high, "floor": one.forecast, "n": seen.n}  # fmt: skip
