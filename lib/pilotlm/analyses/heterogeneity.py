"""How varied belief structures are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.answers import estimated, grid_size, uniform_laws
from pilotlm.analyses.compared import Compared, human_rows, tidy
from pilotlm.analyses.styles import style_rows
from pilotlm.laws import is_nominal
from pilotlm.measures.heterogeneity import (
    entropy_interval,
    entropy_under_uniform,
    expected_entropy,
    expected_unique,
    structures,
    unique_interval,
    unique_under_uniform,
)
from pilotlm.measures.rarefaction import curve_sizes, rarefaction_curve
from pilotlm.measures.variance_ratio import (
    variance_ratio_interval,
    variance_ratio_of_laws,
)
from pilotlm.responses import HUMAN, as_numbers
from pilotlm.study import Study


def heterogeneity(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How varied belief structures are.

    - ``unique_structures``: the number of different ones at n; floor: what n people give; ceiling: n uniform answers.
    - ``rarefaction``: the same among fewer rows; the item says how many.
    - ``entropy``: of belief structures, in bits, at n; floor and ceiling likewise.
    - ``modal_share``: the share of rows with the most frequent structure of their treatment, at as many rows in each
      treatment; floor and ceiling likewise.
    - ``straightlining``: the share of rows with one answer to all questions of a battery, mean over the batteries of
      `pilotlm.analyses.answers.batteries`; no row in a study without one.
    - ``extreme_share``: the share of belief answers at either end of an ordered scale; no row in a study without one.
    - ``variance_ratio``: variance within treatments over that of people, mean over the beliefs whose answers are
      numbers or in order, its bias taken off; no row in a study without one. Floor: 1, which other people of any number
      give; ceiling: uniform answers.

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
    rows: list[dict[str, Any]] = []
    for one in [human_rows(people), *compared]:
        key = {"arm": one.arm, "seed": one.seed, "item": "beliefs"}
        rows += [{**key, **row} for row in _rows(study, one, repeats)]
        rows += [{**key, **row} for row in _curve(study, one, people)]
    return tidy(study, against, _with_human(rows))


def _rows(study: Study, one: Compared, repeats: int) -> Iterator[dict[str, Any]]:
    beliefs, grid = list(study.belief_columns), grid_size(study, "belief")
    rng = one.generator(study, "heterogeneity")
    ours, theirs = structures(one.simulated[beliefs]), structures(one.human[beliefs])
    n = min(len(ours), len(theirs))
    yield {"metric": "unique_structures", **estimated(unique_interval(ours, n)),
           "floor": expected_unique(theirs, n), "ceiling": unique_under_uniform([grid], n)}  # fmt: skip
    yield {"metric": "entropy", **estimated(entropy_interval(ours, n)),
           "floor": expected_entropy(theirs, n), "ceiling": entropy_under_uniform(grid, n)}  # fmt: skip
    if numbers := [column for column in beliefs if not is_nominal(study, column)]:
        yield {"metric": "variance_ratio", **_variance_ratio(study, one, numbers)}
    yield from style_rows(study, one, repeats, rng)


def _variance_ratio(study: Study, one: Compared, columns: list[str]) -> dict[str, float]:
    """Of the beliefs that are numbers: the codes of options in no order have neither mean nor variance."""
    ours, theirs = (as_numbers(study, table)[columns] for table in (one.simulated, one.human))
    here, there = one.simulated["treatment"], one.human["treatment"]
    laws = uniform_laws(study)
    found = estimated(variance_ratio_interval(ours, theirs, here, there))
    if one.arm == HUMAN and found["estimate"] > 0:
        # The ratio of people to themselves is 1 and has no bias; other people would vary about it as much.
        found |= {name: found[name] / found["estimate"] for name in ("estimate", "low", "high")}
    return {**found, "floor": 1.0,
            "ceiling": variance_ratio_of_laws([laws[c].variance for c in columns], theirs, there),
            }  # fmt: skip


def _curve(study: Study, one: Compared, people: pd.DataFrame) -> Iterator[dict[str, Any]]:
    ours, theirs, everybody = (
        structures(table[list(study.belief_columns)]) for table in (one.simulated, one.human, people)
    )
    sizes = curve_sizes(min(len(ours), len(theirs)))
    for count in rarefaction_curve(ours, sizes):
        yield {"metric": "rarefaction", "item": str(count.n), **estimated(count),
               "human": expected_unique(everybody, count.n), "floor": expected_unique(theirs, count.n),
               "ceiling": unique_under_uniform([grid_size(study, "belief")], count.n)}  # fmt: skip


def _with_human(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put people's own estimate, that of the first arm, beside every estimate of the same measure."""
    human = {row["metric"]: row["estimate"] for row in rows if row["arm"] == rows[0]["arm"]}
    return [{"human": human[row["metric"]], **row} for row in rows]
