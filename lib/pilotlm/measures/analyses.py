"""The five analyses: arms and people in, one tidy table out (see `pilotlm.measures.compared.METRIC_COLUMNS`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.measures.coherence import coherence, gap
from pilotlm.measures.compared import Compared, human_rows, tidy
from pilotlm.measures.divergence import Comparison, compare, compare_many, joint_codes, uniform_joint_law
from pilotlm.measures.heterogeneity import (
    entropy_bits,
    expected_unique,
    structures,
    unique_count,
    unique_interval,
    unique_under_uniform,
    variance_ratio_interval,
)
from pilotlm.measures.intervals import subsets
from pilotlm.measures.regression import Fit, fit, human_floor_sign_scores, pooled_sign_scores
from pilotlm.responses import HUMAN, subgroup_of, with_analysis_columns
from pilotlm.study import Allocation, Study, columns_of, values_of

SMALLEST_GROUP = 20
"""A subgroup with fewer people, or fewer simulated ones, is suppressed."""
Rows = list[dict[str, Any]]


def heterogeneity(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How varied belief structures are.

    - ``unique_structures``: the number of different ones at n; floor: what n people give; ceiling: n uniform answers.
    - ``entropy``: of belief structures, in bits, at n; floor and ceiling likewise.
    - ``variance_ratio``: variance within treatments over that of people, mean over beliefs; 1 is people's.

    Parameters
    ----------
    study : Study
        The study.
    compared : sequence of Compared
        The arms.
    people : DataFrame
        All people.
    against : {"held-out", "all"}
        Whom the arms are compared with.
    repeats : int
        Random halves and resamples.

    Returns
    -------
    DataFrame
        A tidy table; people are the arm "human".
    """
    beliefs = list(study.belief_columns)
    everybody = structures(people[beliefs])
    rows: Rows = []
    for one in [human_rows(people), *compared]:
        key = {"arm": one.arm, "seed": one.seed, "item": "beliefs"}
        ours, theirs = structures(one.simulated[beliefs]), structures(one.human[beliefs])
        n = min(len(ours), len(theirs))
        rng = one.generator(study, "heterogeneity")
        count = unique_interval(ours, n, repeats, rng)
        rows.append(
            {**key, "metric": "unique_structures", "estimate": count.value, "low": count.low, "high": count.high,
             "human": unique_count(everybody), "floor": expected_unique(theirs, n),
             "ceiling": unique_under_uniform([grid_size(study, "belief")], n), "n": n}
        )  # fmt: skip
        rows.append({**key, "metric": "entropy", "human": entropy_bits(everybody), "n": n,
                     **_entropy(ours, theirs, n, grid_size(study, "belief"), repeats, rng)})  # fmt: skip
        ratio = variance_ratio_interval(
            one.simulated[beliefs], one.human[beliefs], one.simulated["treatment"], one.human["treatment"], repeats, rng
        )
        rows.append({**key, "metric": "variance_ratio", "estimate": ratio.value, "low": ratio.low, "high": ratio.high,
                     "human": 1.0, "floor": 1.0, "n": ratio.n})  # fmt: skip
    return tidy(study, against, rows)


def divergence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How far answers are from people's: Jensen-Shannon distances at equal n.

    - ``marginal_distance``: of each answer column, and of their mean (item "mean").
    - ``joint_distance``: of belief structures (item "beliefs") and of all answers together (item "answers").

    Floor: people against other people at the same n. Ceiling: uniform answers. Parameters and result are as in
    `heterogeneity`; people have no distance to themselves, so there is no arm "human".
    """
    rows: Rows = []
    for one in compared:
        for item, result in _distances(study, one, repeats):
            metric = "joint_distance" if item in ("beliefs", "answers") else "marginal_distance"
            rows.append({"arm": one.arm, "seed": one.seed, "metric": metric, "item": item, **_between(result)})
    return tidy(study, against, rows)


def structure_distances(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """The ``joint_distance`` of belief structures alone, as `divergence` gives it, to stand beside their count."""
    rows = [
        {"arm": one.arm, "seed": one.seed, "metric": "joint_distance", "item": "beliefs",
         **_between(joint_distance(study, one, study.belief_columns, repeats))}
        for one in compared
    ]  # fmt: skip
    return tidy(study, against, rows)


def joint_distance(study: Study, one: Compared, columns: Sequence[str], repeats: int) -> Comparison:
    """The distance of joint answers in some columns; the ceiling is uniform over all answers that are allowed."""
    ours, theirs, size = joint_codes(one.simulated[list(columns)], one.human[list(columns)])
    grid = max(size, grid_size(study, *({"belief"} if set(columns) == set(study.belief_columns) else ())))
    return compare(ours, theirs, size, repeats, one.generator(study, "joint"), uniform_joint_law(size, grid))


def subgroups(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How far each subgroup's answers are from those of its people, all groups of a variable at the same n.

    - ``subgroup_distance``: mean marginal Jensen-Shannon distance over the answer columns; ``item`` is the variable.

    Groups with fewer than `SMALLEST_GROUP` people or simulated rows are left out. Floor: people of the group against
    other people of it. Parameters and result are as in `heterogeneity`.
    """
    rows: Rows = []
    for one in compared:
        for subgroup in study.subgroups:
            for group, n, result in _by_group(study, one, subgroup.variable, repeats):
                rows.append({"arm": one.arm, "seed": one.seed, "metric": "subgroup_distance",
                             "item": subgroup.variable, "subgroup": group, **_between(result), "n": n})  # fmt: skip
    return tidy(study, against, rows)


def belief_action_coherence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How often actions contradict the beliefs stated, beside how often they would if the two were independent.

    - ``gap``: floor: the gap of the people compared with; ceiling: the arm's own level under independence.
    - ``gap_independent``: that level, with its interval.
    - ``gap_not_applicable``: the share of rows to which the rule does not apply.

    Parameters and result are as in `heterogeneity`.
    """
    if study.coherence is None:
        return tidy(study, against, [])
    rule = study.coherence
    rows: Rows = []
    truth = None
    for one in [human_rows(people), *compared]:
        result = coherence(rule, study, one.simulated, repeats, one.generator(study, "coherence"))
        truth = truth or result
        key = {"arm": one.arm, "seed": one.seed, "item": rule.kind, "n": result.n}
        floor = gap(rule, study, one.human).value
        rows += [
            {**key, "metric": "gap", "estimate": result.gap, "low": result.low, "high": result.high,
             "human": truth.gap, "floor": floor, "ceiling": result.independent},
            {**key, "metric": "gap_independent", "estimate": result.independent, "low": result.independent_low,
             "high": result.independent_high, "human": truth.independent},
            {**key, "metric": "gap_not_applicable", "estimate": result.not_applicable, "human": truth.not_applicable,
             "n": len(one.simulated)},
        ]  # fmt: skip
    return tidy(study, against, rows)


def grid_size(study: Study, *roles: str) -> int:
    """How many joint answers the questions allow.

    Parameters
    ----------
    study : Study
        The study.
    *roles : str
        Only the questions with these roles; all when none is given.

    Returns
    -------
    int
    """
    size = 1
    for question in study.questions:
        if roles and question.role not in roles:
            continue
        if isinstance(question, Allocation):
            steps, parts = question.total // question.step, len(question.parts)
            size *= math.comb(steps + parts - 1, parts - 1)
        else:
            size *= len(values_of(question))
    return size


def recovery(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """Whether the study's regressions come out as they do in people.

    - ``coefficient`` and ``p_value``: of each term; ``item`` is "regression: term"; ``human`` is in all people.
    - ``sign_f1``: F1 of significant signs at 5 %; ``false_positive_rate``: the share of people's null coefficients
      that the simulation calls significant. Floor: what a fresh draw of as many people scores against all people.

    Parameters and result are as in `heterogeneity`; ``repeats`` beyond 100 are not used for the floor.
    """
    everybody = with_analysis_columns(study, people)
    truth = [fit(regression, everybody) for regression in study.regressions]
    rows: Rows = []
    floors: dict[int, Any] = {}
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
            rows += [{**key, **row} for row in _scores(list(zip(fits, truth, strict=True)), floors[n], n)]
    return tidy(study, against, rows)


def _entropy(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], n: int, grid: int, repeats: int, rng: np.random.Generator
) -> dict[str, float]:
    """Entropy at n rows: plug-in entropy is biased downwards, so people are brought to the same n."""
    draws = [entropy_bits(theirs[rows]) for rows in subsets(len(theirs), n, min(repeats, 50), rng)]
    uniform = [entropy_bits(rng.integers(grid, size=n)) for _ in range(min(repeats, 50))]
    resampled = np.array([entropy_bits(ours[rows]) for rows in subsets(len(ours), n, min(repeats, 50), rng)])
    halves = [entropy_bits(ours[rows]) for rows in subsets(len(ours), max(1, len(ours) // 2), repeats, rng)]
    centre, spread = float(resampled.mean()), 1.96 * float(np.std(halves, ddof=1))
    return {"estimate": centre, "low": max(0.0, centre - spread), "high": centre + spread,
            "floor": float(np.mean(draws)), "ceiling": float(np.mean(uniform))}  # fmt: skip


def _distances(study: Study, one: Compared, repeats: int) -> Iterator[tuple[str, Comparison]]:
    ours, theirs, sizes = _marginal_codes(study, one.simulated), _marginal_codes(study, one.human), _sizes(study)
    for k, column in enumerate(study.answer_columns):
        yield column, compare(ours[k], theirs[k], sizes[k], repeats, one.generator(study, column))
    yield "mean", compare_many(ours, theirs, sizes, repeats, one.generator(study, "mean"))
    yield "beliefs", joint_distance(study, one, study.belief_columns, repeats)
    yield "answers", joint_distance(study, one, study.answer_columns, repeats)


def _by_group(study: Study, one: Compared, variable: str, repeats: int) -> Iterator[tuple[str, int, Comparison]]:
    ours, theirs = subgroup_of(study, one.simulated, variable), subgroup_of(study, one.human, variable)
    sizes = {str(group): min(int((ours == group).sum()), int(count)) for group, count in theirs.value_counts().items()}
    shown = {group: size for group, size in sizes.items() if size >= SMALLEST_GROUP}
    at = min(shown.values(), default=0) // 2
    order = one.human[variable].groupby(theirs.astype(object)).min().sort_values().index
    for group in [group for group in order if group in shown]:
        result = compare_many(
            _marginal_codes(study, one.simulated[ours == group]),
            _marginal_codes(study, one.human[theirs == group]),
            _sizes(study), repeats, one.generator(study, f"{variable}={group}"), at=at,
        )  # fmt: skip
        yield str(group), at, result


def _marginal_codes(study: Study, table: pd.DataFrame) -> list[NDArray[np.int64]]:
    """Each answer column as the place of its value among those allowed."""
    codes = []
    for question in study.questions:
        place = {value: k for k, value in enumerate(values_of(question))}
        codes += [np.array([place[v] for v in table[column]], dtype=np.int64) for column in columns_of(question)]
    return codes


def _sizes(study: Study) -> list[int]:
    return [len(values_of(question)) for question in study.questions for _ in columns_of(question)]


def _between(result: Comparison) -> dict[str, float]:
    return {"estimate": result.value, "low": result.low, "high": result.high, "floor": result.floor,
            "ceiling": result.ceiling, "n": result.n}  # fmt: skip


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


def _scores(pairs: list[tuple[Fit, Fit]], floor: Any, n: int) -> Iterator[dict[str, Any]]:
    scores = pooled_sign_scores(pairs)
    yield {"metric": "sign_f1", "item": "all", "estimate": scores.f1, "human": 1.0, "floor": floor.f1.value, "n": n}
    yield {"metric": "false_positive_rate", "item": "all", "estimate": scores.false_positive_rate, "human": 0.0,
           "floor": floor.false_positive_rate.value, "n": n}  # fmt: skip
