"""What an arm's predictions are worth for estimating what a researcher wants to know, and how often that is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.compared import Compared, tidy
from pilotlm.analyses.targets import Known, known, targets
from pilotlm.arms import Arms
from pilotlm.measures.decisions import Judgement, judge, known_of, verdicts
from pilotlm.measures.estimators import Task, estimate
from pilotlm.measures.intervals import score_interval
from pilotlm.measures.planning import Planned, replayed
from pilotlm.measures.trials import Score, scores
from pilotlm.study import Study

ASKED = (20, 50, 100)
"""People with answers, of whom there is a pilot in each draw."""
OTHERS = 500
"""People with predictions only, beside them."""
LEAST_PEOPLE = 60
"""Fewer people compared are no population to draw pilots from."""
MOST_DRAWS = 100
"""More draws of each target would change the third digit of what is averaged over targets."""
METHODS = ("people", "simulation", "pooling", "ppi", "tuned")
WRONG = ("wrongly used", "wrongly rectified", "wrongly refused")


def rectification(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, arms: Arms, against: str, repeats: int
) -> pd.DataFrame:
    """What predictions are worth, and what becomes of pilots that are augmented with them.

    For each arm and target (`pilotlm.analyses.targets.targets`; ``item``), from all people compared:

    - ``answer_correlation``: of answers and predictions, as far as they matter for the target, and ``gain``, the bound
      1 / (1 - correlation²) on the people that one with answer is worth.
    - ``equivalence_of_target``: the target in predictions less that in the answers of the same people, in standard
      deviations of the answer, with the 90 % interval of two one-sided tests.

    For the arms that are neither variants nor opponents other than the logit, from repeated draws of pilots, the people
    compared being the population and their value the truth (``item`` is the kind of target or the target, ``subgroup``
    the estimator, ``n`` the people with answers in each pilot):

    - ``estimator_coverage`` of 95 % intervals, ``estimator_width`` over that of people alone, ``estimator_effective``,
      the people alone that would have the same mean squared error, over n; means over targets.
    - ``plan_right``, ``plan_goes_on`` and ``plan_power``: of a study planned from each pilot's estimate of an effect
      (`pilotlm.measures.planning`); means over effects.
    - ``wrongly_used``, ``wrongly_rectified``, ``wrongly_refused``: the share of pilots whose verdict
      (`pilotlm.measures.decisions.judge`) is wrong in that way by what is true of all people compared.

    Pilots are drawn with replacement, so that the truth is known and intervals need no correction for a small
    population. Coefficients of one regression share theirs, and count as one target in the intervals of these shares.
    The people whom an arm learnt from are never among them.

    Parameters
    ----------
    study : Study
        The study.
    compared : sequence of Compared
        The arms.
    people : DataFrame
        All people.
    arms : Arms
        The declared arms.
    against : {"held-out", "all"}
        Of the comparison; among "all" there are people whom arms learnt from, so nothing is estimated.
    repeats : int
        Pilots drawn; no more than `MOST_DRAWS` are.

    Returns
    -------
    DataFrame
        Columns `pilotlm.analyses.compared.METRIC_COLUMNS`.
    """
    rows: list[dict[str, Any]] = []
    for one in compared if against == "held-out" else ():
        arm = arms.arm(one.arm)
        numbers = known(study, targets(study, one.human), one)
        teaching = len(people) - len(one.human)
        found = [*_ceilings(numbers, teaching)]
        enough = bool(numbers) and len(numbers[0].outcome) >= LEAST_PEOPLE
        if enough and not arm.is_variant and (arm.is_model or arm.answerer == "logit"):
            found += _pilots(study, one, numbers, teaching, min(repeats, MOST_DRAWS))
        rows += [{"arm": one.arm, "seed": one.seed, **row} for row in found]
    return tidy(study, against, rows)


def judgements(numbers: Sequence[Known], teaching: int, others: float, margin: float) -> list[Judgement]:
    """The verdict on each target from all people that it is known of."""
    return [judge(_everybody(one), teaching, others, margin) for one in numbers]


def _everybody(one: Known) -> Task:
    rows = np.arange(len(one.outcome))
    return one.task(rows, rows[:0])


def _ceilings(numbers: Sequence[Known], teaching: int) -> Iterator[dict[str, Any]]:
    for one, judged in zip(numbers, judgements(numbers, teaching, OTHERS, 1.0), strict=True):
        for metric, value in (
            ("answer_correlation", judged.ceiling.correlation), ("gain", judged.ceiling.gain),
            ("equivalence_of_target", judged.bias),
        ):  # fmt: skip
            yield {"metric": metric, "item": one.target.name, "estimate": value.value, "low": value.low,
                   "high": value.high, "n": value.n}  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Replay:
    """What became of the pilots of one target.

    Attributes
    ----------
    scores : list of Score
        Of the estimators.
    wrong : list of str
        How the verdict of each pilot is wrong; "" where it is right.
    plans : mapping of str to Planned
        What is planned from the estimates of each estimator; none unless the target is an effect.
    """

    scores: list[Score]
    wrong: list[str]
    plans: Mapping[str, Planned]


def _pilots(
    study: Study, arm: Compared, numbers: Sequence[Known], teaching: int, repeats: int
) -> Iterator[dict[str, Any]]:
    kinds = dict.fromkeys(one.target.kind for one in numbers)
    for kind in kinds:
        mine = [_Truth.of(one, teaching) for one in numbers if one.target.kind == kind]
        there = [one for one in mine if one is not None]
        for n in ASKED if there else ():
            drawn = {one.known.target.fit: one.known for one in there}
            pilots = {
                fit: _drawn(known, n, repeats, arm.generator(study, f"pilots {n} {fit}"))
                for fit, known in drawn.items()
            }
            every = []
            for one in there:
                # Each from the one before it, which has what was fitted.
                pilots[one.known.target.fit] = pilots[one.known.target.fit].wanting(one.known.column)
                every.append(_replay(one, pilots[one.known.target.fit], teaching))
            alike = len(drawn) / len(there)
            for row in (*_averaged([one.scores for one in every], repeats * alike), *_verdicts(every, alike),
                        *_plans(every)):  # fmt: skip
                yield {**row, "item": kind, "n": n}


@dataclass(frozen=True, eq=False)
class _Truth:
    """A target that people have a value of which an estimator can be held against, and what is true of all of them."""

    known: Known
    value: float
    judged: Judgement

    @classmethod
    def of(cls, known: Known, teaching: int) -> _Truth | None:
        if not len(known.outcome) or np.ptp(known.outcome) == 0:
            return None
        everybody = _everybody(known)
        value = float(estimate(everybody, "people").value)
        return cls(known, value, judge(everybody, teaching, OTHERS)) if np.isfinite(value) else None


def _drawn(known: Known, n: int, repeats: int, rng: np.random.Generator) -> Task:
    """Pilots of n people, as a stack."""
    rows = len(known.outcome)
    return known.task(rng.integers(rows, size=(repeats, n)), rng.integers(rows, size=(repeats, OTHERS)))


def _replay(one: _Truth, pilots: Task, teaching: int) -> _Replay:
    n = pilots.sample.n
    found = {method: estimate(pilots, method) for method in METHODS if method in pilots.methods}
    truth, plans = known_of(one.judged, n, teaching, OTHERS), {}
    if one.known.target.kind == "effect":
        unit = float(one.known.outcome.std(ddof=1))
        plans = {method: replayed(seen.value / unit, one.value / unit) for method, seen in found.items()}
    wrong = [truth.wrong(said) for said in verdicts(pilots, teaching, OTHERS)]
    return _Replay(scores(pilots, found, one.value), wrong, plans)


def _averaged(scored: Sequence[Sequence[Score]], repeats: float) -> Iterator[dict[str, Any]]:
    """Means over targets, each of which counts for so many replications."""
    for method in METHODS:
        mine = [score for scores in scored for score in scores if score.method == method and score.draws]
        if not mine:
            continue
        covered = np.array([score.coverage for score in mine])
        if np.isfinite(covered).any():
            share, there = float(np.nanmean(covered)), int(np.isfinite(covered).sum())
            ends = score_interval(share, repeats * there)
            yield {"metric": "estimator_coverage", "subgroup": method, "estimate": share, "low": ends.low,
                   "high": ends.high, "human": 0.95}  # fmt: skip
            yield {"metric": "estimator_coverage_least", "subgroup": method, "estimate": float(np.nanmin(covered))}
            yield {"metric": "estimator_width", "subgroup": method, "human": 1.0,
                   "estimate": float(np.nanmean([score.relative_width for score in mine]))}  # fmt: skip
        effective = np.array([score.effective / score.n for score in mine])
        # A ratio: its mean is taken of logarithms, so that twice and half cancel.
        yield {"metric": "estimator_effective", "subgroup": method, "human": 1.0,
               "estimate": float(np.exp(np.nanmean(np.log(effective))))}  # fmt: skip


def _verdicts(every: Sequence[_Replay], alike: float) -> Iterator[dict[str, Any]]:
    """How often a pilot's verdict is not that of all people, for as many who teach and rectify."""
    found = [wrong for one in every for wrong in one.wrong]
    for how in WRONG:
        share = found.count(how) / len(found)
        ends = score_interval(share, len(found) * alike)
        yield {"metric": how.replace(" ", "_"), "estimate": share, "low": ends.low, "high": ends.high}


def _plans(every: Sequence[_Replay]) -> Iterator[dict[str, Any]]:
    """What is planned from each pilot, by estimator; means over effects."""
    for method in METHODS:
        plans = (one.plans.get(method) for one in every)
        found = [plan for plan in plans if plan is not None and plan.pilots]
        if not found:
            continue
        share = float(np.nanmean([plan.right for plan in found]))
        ends = score_interval(share, sum(plan.pilots for plan in found))
        yield {"metric": "plan_right", "subgroup": method, "estimate": share, "low": ends.low, "high": ends.high}
        for metric, values in (("plan_goes_on", [p.goes_on for p in found]), ("plan_power", [p.power for p in found])):
            if np.isfinite(values).any():
                yield {"metric": metric, "subgroup": method, "estimate": float(np.nanmean(values))}
