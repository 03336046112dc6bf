"""How belief questions are answered whatever they ask: what most answer, one answer all along, the ends of a scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.answers import batteries, estimated, grid_size, scale_of, uniform_laws
from pilotlm.analyses.compared import Compared
from pilotlm.measures.heterogeneity import structures
from pilotlm.measures.intervals import FloatArray, mean_share
from pilotlm.measures.styles import extreme_share, modal_share, modal_share_under_uniform, straightlining
from pilotlm.responses import as_numbers
from pilotlm.study import Study

FEW = 50
"""Draws for values that are means over them: the error is then a seventh of one draw's spread."""


def style_rows(study: Study, one: Compared, repeats: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """The measures ``modal_share``, ``straightlining`` and ``extreme_share`` of one arm.

    Parameters
    ----------
    study : Study
        The study.
    one : Compared
        The arm.
    repeats : int
        Random subsets; beyond `FEW` they are not used.
    rng : numpy.random.Generator
        Source of randomness.

    Yields
    ------
    dict
        Columns of a tidy table. The latter two are means over rows, which do not grow or shrink with n, so people's
        own are their floor at any n.
    """
    yield {"metric": "modal_share", **_modal(study, one, min(repeats, FEW), rng)}
    if batteries(study):
        yield {"metric": "straightlining", **_shares(_straight(study, one.simulated), _straight(study, one.human)),
               "ceiling": _straight_by_chance(study)}  # fmt: skip
    if _scales(study):
        yield {"metric": "extreme_share", **_shares(_extreme(study, one.simulated), _extreme(study, one.human)),
               "ceiling": _extreme_by_chance(study)}  # fmt: skip


def _modal(study: Study, one: Compared, draws: int, rng: np.random.Generator) -> dict[str, float]:
    """At the number of rows in each treatment that both sides have."""
    ours, theirs = (structures(table[list(study.belief_columns)]) for table in (one.simulated, one.human))
    here, there = one.simulated["treatment"], one.human["treatment"]
    rows = pd.concat([here.value_counts(), there.value_counts()], axis=1, join="inner").min(axis=1)
    sizes = {str(treatment): int(size) for treatment, size in rows.sort_index().items()}
    return {**estimated(modal_share(ours, here, sizes, draws, rng)),
            "floor": modal_share(theirs, there, sizes, draws, rng).value,
            "ceiling": modal_share_under_uniform(grid_size(study, "belief"), sizes, draws, rng)}  # fmt: skip


def _shares(ours: FloatArray, theirs: FloatArray) -> dict[str, float]:
    return {**estimated(mean_share(ours)), "floor": float(theirs.mean())}


def _straight(study: Study, table: pd.DataFrame) -> FloatArray:
    return np.asarray(np.mean([straightlining(table[list(battery)]) for battery in batteries(study)], axis=0))


def _straight_by_chance(study: Study) -> float:
    """With q values and k questions, chance gives one answer to all with probability q^(1 - k)."""
    laws = uniform_laws(study)
    return float(np.mean([len(laws[battery[0]].values) ** float(1 - len(battery)) for battery in batteries(study)]))


def _scales(study: Study) -> list[str]:
    return [column for column in study.belief_columns if scale_of(study, column)]


def _extreme(study: Study, table: pd.DataFrame) -> FloatArray:
    scales = [scale_of(study, column) or () for column in _scales(study)]
    numbers = as_numbers(study, table)[_scales(study)]
    return extreme_share(numbers, [min(scale) for scale in scales], [max(scale) for scale in scales])


def _extreme_by_chance(study: Study) -> float:
    laws = uniform_laws(study)
    return float(np.mean([laws[column].at_the_ends for column in _scales(study)]))
