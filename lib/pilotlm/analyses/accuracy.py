"""How well an arm forecasts the answers of single people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.common import (
    Distributions,
    Predicted,
    correlations_within_treatments,
    estimated,
    human_rows,
    losses_of,
    people_distributions,
    tidy,
    uniform_forecasts,
)
from pilotlm.arms import Arms
from pilotlm.predictions import predictions_of
from pilotlm.randomness import generator
from pilotlm.stats.scoring import mean_score
from pilotlm.study import Study


def best_baseline(metrics: pd.DataFrame, study: str, pilot: str, arms: Arms) -> str | None:
    """The arm of the baseline of a pilot design with the smallest cross-validated loss; None where there is none.

    Of the tidy table only the rows of metric ``cv_loss`` are read: nats a person, inside the pilot. They are averaged
    over the seeds in which every baseline with a loss has one; of several that are equal the first declared is taken.
    The bootstrap has no predictive distribution, hence no loss, and is never the best.
    """
    names = [arm.name for arm in arms.baselines_of(pilot)]
    losses = metrics[(metrics["study"] == study) & (metrics["metric"] == "cv_loss") & metrics["arm"].isin(names)]
    losses = losses.astype({"estimate": float}).dropna(subset=["estimate"])
    by_seed = losses.pivot_table(index="seed", columns="arm", values="estimate").dropna()
    mean = by_seed.mean().reindex([name for name in names if name in by_seed])
    return None if by_seed.empty else str(mean.idxmin())


def accuracy(
    study: Study,
    predicted: Sequence[Predicted],
    cv_losses: Sequence[Mapping[str, Any]],
    people: pd.DataFrame,
    arms: Arms,
    against: str,
    repeats: int,
) -> pd.DataFrame:
    """How well predictive distributions forecast people's own answers, given their own earlier answers.

    - ``nll``: negative log-likelihood in nats, of whole answers (item "all") and of each column asked. Human benchmark:
      the frequencies among all other people of the same treatment, which an arm that uses who answers can pass. Random
      benchmark: uniform answers. The arm "human" is those frequencies on all people.
    - ``nll_over_baseline``: the same less that of the best baseline fitted on the same pilot, person by person: below 0
      the arm is better. The best baseline is named beforehand, inside the pilots (`best_baseline`).
    - ``cv_loss``: of each baseline, the cross-validated loss inside its pilot in nats a person.
    - ``rho_S``: correlation of predicted means and given answers within treatments, of each column that is a number and
      their mean. Given earlier answers: only that of the first column is comparable with arXiv 2609.07987.

    Parameters
    ----------
    predicted : sequence of Predicted
        The arms that have predictive distributions.
    cv_losses : sequence of mapping
        Rows of ``cv_loss`` (`pilotlm.collecting.collect_cv_losses`).
    study, people, arms, against, repeats
        As in `pilotlm.analyses.heterogeneity.heterogeneity`, and the declared arms.
    """
    everybody = human_rows(people)
    people = everybody.human
    others = people_distributions(study, people, people)
    rows = [{"arm": everybody.arm, "seed": everybody.seed, **row} for row in _rows(study, others, others, people)]
    truth = {(row["metric"], row["item"]): row["estimate"] for row in rows}
    inside, by_key = tidy(study, "pilot", cv_losses), {(one.arm, one.seed): one for one in predicted}
    best = {pilot: best_baseline(inside, study.name, pilot, arms) for pilot in {one.pilot for one in predicted}}
    for one in predicted:
        distributions = predictions_of(study, one.predictions, one.human["participant"])
        frequencies = people_distributions(study, people, one.human)
        baseline = by_key.get((best[one.pilot] or "", arms.arm(one.arm).draws_pilot_by(one.seed)))
        found = [
            *_rows(study, distributions, frequencies, one.human),
            *_against_baseline(study, one, baseline),
            *_within_treatments(study, one, distributions, repeats),
        ]
        rows += [
            {"arm": one.arm, "seed": one.seed, "human": truth.get((row["metric"], row["item"])), **row} for row in found
        ]
    return tidy(study, against, [*rows, *({**row, "against": "pilot"} for row in cv_losses)])


def _rows(
    study: Study, distributions: Distributions, frequencies: Distributions, people: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """The losses of an arm beside those of other people's frequencies and of uniform answers."""
    forecasts = distributions, frequencies, uniform_forecasts(study, people)
    ours, theirs, uniform = (losses_of(study, one, people) for one in forecasts)
    for item, score in ours.items():
        beside = {"human_benchmark": float(theirs[item].mean()), "random_benchmark": float(uniform[item].mean())}
        yield {"metric": "nll", "item": item, **estimated(mean_score(score)), **beside}


def _against_baseline(study: Study, one: Predicted, baseline: Predicted | None) -> Iterator[dict[str, Any]]:
    """The paired difference to the best baseline, on the people whom both forecast; none for that one itself."""
    if baseline is None or baseline is one:
        return
    difference = (one.losses(study) - baseline.losses(study)).dropna()
    if len(difference):
        yield {"metric": "nll_over_baseline", "item": "all", **estimated(mean_score(difference.to_numpy()))}


def _within_treatments(
    study: Study, one: Predicted, distributions: Distributions, repeats: int
) -> Iterator[dict[str, Any]]:
    """rho_S, without a human benchmark: there is no other person who could answer in one's place."""
    rng = generator(one.seed, f"{study.name}/{one.arm}/rho_S".encode())
    for item, found in correlations_within_treatments(study, distributions, one.human, repeats, rng).items():
        yield {"metric": "rho_S", "item": item, **estimated(found), "random_benchmark": 0.0}
