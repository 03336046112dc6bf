"""How far answers are from people's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.analyses.answers import (
    between,
    estimated,
    grid_size,
    marginal_codes,
    scale_of,
    sizes,
    uniform_answers,
    uniform_laws,
)
from pilotlm.analyses.compared import Compared, human_rows, tidy
from pilotlm.analyses.features import features_of
from pilotlm.measures.classifier import LEAST, classifier_test
from pilotlm.measures.crossing import JENSEN_SHANNON, TOTAL_VARIATION, wasserstein
from pilotlm.measures.divergence import (
    Halves,
    Spread,
    Tables,
    comparison,
    draw_halves,
    joint_codes,
    mean_spread,
    same_law,
    spread,
    tables_of,
    uniform_joint_law,
)
from pilotlm.measures.heterogeneity import structures
from pilotlm.measures.rarefaction import curve_sizes
from pilotlm.study import Study

JOINT = ("beliefs", "answers")
"""The items that are joint answers: of the belief questions, and of all."""
CLASSIFIER_SPLITS = 6
"""Splits of the classifier test: more cost time and barely change it, as all have the same people."""


def divergence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How far answers are from people's, at equal n.

    Jensen-Shannon distances (square root, base 2):

    - ``marginal_distance``: of each answer column, and their mean (item "mean");
    - ``joint_distance``: of belief structures (item "beliefs") and of all answers together (item "answers");
    - ``conditional_distance``: the same three within treatments, mean over the treatments, all at the n of the
      smallest; none where people had one treatment, or one has fewer than two rows.

    Other measures:

    - ``total_variation``: of the same items as the first two;
    - ``wasserstein``: of each answer column with an order, as a share of its range, and their mean;
    - ``classifier_auc``: how well a classifier tells simulated from real people by all answers, persona and treatment
      (item "answers"); 0.5 is not at all. No estimate where there are too few rows.

    Floor: people against other people at the same n. Ceiling: uniform answers. Parameters and result are as in
    `heterogeneity`; people have no distance to themselves, so there is no arm "human".
    """
    rows = [
        {"arm": one.arm, "seed": one.seed, **row}
        for one in compared
        for rows_of in (_marginal, _joint, _conditional)
        for row in rows_of(study, one, repeats)
    ]
    rows += [{"arm": one.arm, "seed": one.seed, **_classified(study, one)} for one in compared]
    return tidy(study, against, rows)


def structure_distances(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """The ``joint_distance`` of belief structures alone, as `divergence` gives it, to stand beside their count."""
    rows = [
        {"arm": one.arm, "seed": one.seed, "metric": "joint_distance", "item": "beliefs",
         **between(comparison([spread(_joint_tables(study, one, "beliefs", repeats))]))}
        for one in compared
    ]  # fmt: skip
    return tidy(study, against, rows)


def same_law_distances(study: Study, people: pd.DataFrame, repeats: int) -> pd.DataFrame:
    """How far apart two samples of people's own law are: what a distance is when there is no difference at all.

    Parameters
    ----------
    study : Study
        The study.
    people : DataFrame
        All people; both samples are drawn from them with replacement.
    repeats : int
        Pairs of samples.

    Returns
    -------
    DataFrame
        ``item`` ("mean" over single answers, "beliefs", "answers"), ``n`` rows in each sample, the mean Jensen-Shannon
        distance ``estimate``, and ``low`` to ``high``, which hold 95 % of the pairs.
    """
    columns: dict[str, tuple[list[NDArray[np.int64]], list[int]]] = {
        "mean": (marginal_codes(study, people), sizes(study))
    }
    for item, names in (("beliefs", study.belief_columns), ("answers", study.answer_columns)):
        codes = structures(people[list(names)])
        columns[item] = ([codes], [int(codes.max()) + 1])
    rng = human_rows(people).generator(study, "same law")
    return pd.DataFrame(
        {"item": item, **estimated(same_law(codes, cells, n, repeats, rng))}
        for item, (codes, cells) in columns.items()
        for n in curve_sizes(len(people))[1:]
    )


def _marginal(study: Study, one: Compared, repeats: int) -> Iterator[dict[str, Any]]:
    rng = one.generator(study, "marginal")
    halves = draw_halves(len(one.simulated), len(one.human), repeats, rng)
    tables = dict(zip(study.answer_columns, _marginal_tables(study, one, halves, rng), strict=True))
    scales = {column: scale for column in study.answer_columns if (scale := scale_of(study, column))}
    distances = {
        "marginal_distance": {column: spread(table, JENSEN_SHANNON) for column, table in tables.items()},
        "total_variation": {column: spread(table, TOTAL_VARIATION) for column, table in tables.items()},
        "wasserstein": {column: spread(tables[column], wasserstein(scale)) for column, scale in scales.items()},
    }
    for metric, spreads in distances.items():
        for column, one_column in spreads.items():
            yield {"metric": metric, "item": column, **between(comparison([one_column]))}
        if spreads:
            yield {"metric": metric, "item": "mean", **between(comparison([mean_spread(list(spreads.values()))]))}


def _joint(study: Study, one: Compared, repeats: int) -> Iterator[dict[str, Any]]:
    for item in JOINT:
        tables = _joint_tables(study, one, item, repeats)
        for metric, distance in (("joint_distance", JENSEN_SHANNON), ("total_variation", TOTAL_VARIATION)):
            yield {"metric": metric, "item": item, **between(comparison([spread(tables, distance)]))}


def _conditional(study: Study, one: Compared, repeats: int) -> Iterator[dict[str, Any]]:
    strata = _strata(study, one)
    smallest = min((min(len(s.simulated), len(s.human)) for s in strata), default=0)
    if len(strata) < 2 or smallest < 2:
        return
    rng = one.generator(study, "conditional")
    drawn = [draw_halves(len(s.simulated), len(s.human), repeats, rng, smallest // 2) for s in strata]
    by_item: dict[str, list[Spread]] = {"mean": [], **{item: [] for item in JOINT}}
    for stratum, halves in zip(strata, drawn, strict=True):
        by_item["mean"].append(mean_spread([spread(t) for t in _marginal_tables(study, stratum, halves, rng)]))
        for item in JOINT:
            by_item[item].append(spread(_counted_jointly(study, stratum, item, halves, rng)))
    for item, spreads in by_item.items():
        yield {"metric": "conditional_distance", "item": item, **between(comparison(spreads))}


def _strata(study: Study, one: Compared) -> list[Compared]:
    """The arm and its people, treatment by treatment, as far as there are people."""
    parts = [
        (one.simulated[one.simulated["treatment"] == t.name], one.human[one.human["treatment"] == t.name])
        for t in study.treatments
    ]
    return [Compared(one.arm, one.seed, ours, theirs, one.pilot) for ours, theirs in parts if len(theirs)]


def _marginal_tables(study: Study, one: Compared, halves: Halves, rng: np.random.Generator) -> list[Tables]:
    ours, theirs, laws = marginal_codes(study, one.simulated), marginal_codes(study, one.human), uniform_laws(study)
    return [
        tables_of(x, y, size, halves, rng, laws[column].probabilities)
        for x, y, size, column in zip(ours, theirs, sizes(study), study.answer_columns, strict=True)
    ]


def _joint_tables(study: Study, one: Compared, item: str, repeats: int) -> Tables:
    rng = one.generator(study, f"joint {item}")
    halves = draw_halves(len(one.simulated), len(one.human), repeats, rng)
    return _counted_jointly(study, one, item, halves, rng)


def _counted_jointly(study: Study, one: Compared, item: str, halves: Halves, rng: np.random.Generator) -> Tables:
    """Joint answers are counted among those observed; the ceiling is uniform over all that are allowed."""
    columns = list(study.belief_columns if item == "beliefs" else study.answer_columns)
    ours, theirs, size = joint_codes(one.simulated[columns], one.human[columns])
    grid = max(size, grid_size(study, *(["belief"] if item == "beliefs" else [])))
    return tables_of(ours, theirs, size, halves, rng, uniform_joint_law(size, grid))


def _classified(study: Study, one: Compared) -> dict[str, Any]:
    rng = one.generator(study, "classifier")
    ids, ours = one.human["participant"], one.simulated["participant"]
    key = {"metric": "classifier_auc", "item": "answers"}
    if min(ours.nunique(), len(ids) // 2) < LEAST:
        return {**key, "estimate": float("nan"), "n": min(ours.nunique(), len(ids) // 2)}
    drawn = uniform_answers(study, len(ours), rng)
    uniform = one.simulated.assign(**{column: drawn[column].to_numpy() for column in study.answer_columns})
    human, simulated, chance = features_of(study, [one.human, one.simulated, uniform])
    test = classifier_test(human, simulated, chance, ids, ours, CLASSIFIER_SPLITS, rng)
    return {**key, **estimated(test.value), "floor": test.floor.value, "ceiling": test.ceiling.value}
