"""What the analyses compare: each arm's responses beside the people whom they are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.measures.samples import refuse_pilot
from pilotlm.randomness import generator
from pilotlm.responses import HUMAN, PILOT
from pilotlm.study import Study

METRIC_COLUMNS = (
    "study", "arm", "seed", "metric", "item", "subgroup", "against",
    "estimate", "low", "high", "human", "floor", "ceiling", "scaled", "n",
)  # fmt: skip
"""The columns of every tidy table of measures.

``human`` is the value in all people of the study; ``floor`` is what people themselves score at the n of the row,
``ceiling`` what a trivial opponent scores at it. ``scaled`` is `scaled` of the estimate: 0 is as other people, 1 as
the trivial opponent, for every measure, whichever way it counts. Empty where a measure has none.
"""


@dataclass(frozen=True, eq=False)
class Compared:
    """One arm and seed beside people.

    Attributes
    ----------
    arm : str
        The arm.
    seed : int
        Its seed.
    simulated : DataFrame
        Its responses, those that are compared.
    human : DataFrame
        The people they are compared with: held out from this arm, or all.
    pilot : tuple of int or None
        The participants whose answers the arm was fitted on, who may not be among those people; None where it is
        compared with all people whoever they are, so that nothing may be rectified.

    Raises
    ------
    InputError
        If the arm was fitted on answers of people it is compared with, by ``pilot`` or by what its responses say.
    """

    arm: str
    seed: int
    simulated: pd.DataFrame
    human: pd.DataFrame
    pilot: tuple[int, ...] | None

    def __post_init__(self) -> None:
        if self.pilot is not None:
            where = f"Arm '{self.arm}', seed {self.seed}: "
            refuse_pilot(self.human["participant"], {*self.pilot, *fitted_on(self.simulated)}, where)

    def generator(self, study: Study, purpose: str) -> np.random.Generator:
        """A generator for one measure of this arm: no result depends on which other arms are analysed."""
        return generator(self.seed, f"{study.name}/{self.arm}/{purpose}".encode())


def fitted_on(simulated: pd.DataFrame) -> set[int]:
    """The participants of whom responses say that the arm was fitted on their answers."""
    return set(simulated.loc[simulated[PILOT].astype(bool), "participant"].tolist())


def human_rows(people: pd.DataFrame) -> Compared:
    """All people as an arm of their own."""
    return Compared(HUMAN, 0, people, people, None)


def same_participants(first: pd.DataFrame, *others: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """The rows of the participants who are in every table, row by row the same; of several draws the first is taken.

    Parameters
    ----------
    first, *others : DataFrame
        Each with a column ``participant``.

    Returns
    -------
    tuple of DataFrame
        One for each table, in the order of the first, rows numbered from 0.
    """
    tables = [t.drop_duplicates("participant").set_index("participant", drop=False) for t in (first, *others)]
    everywhere = [p for p in tables[0].index if all(p in table.index for table in tables[1:])]
    return tuple(table.loc[everywhere].reset_index(drop=True) for table in tables)


def scaled(table: pd.DataFrame) -> pd.Series:
    """Where estimates lie between what people score and what a trivial opponent scores at the same n.

    Parameters
    ----------
    table : DataFrame
        Columns ``estimate``, ``low``, ``high``, ``floor`` and ``ceiling``.

    Returns
    -------
    Series of float
        (estimate - floor) / (ceiling - floor): 0 for another sample of people, 1 for the trivial opponent; below 0 and
        above 1 where an estimate lies outside them. A measure that people exceed the opponent in (their ceiling is then
        below their floor) goes the same way. Missing where one of the three is, and where floor and ceiling are no
        further apart than half the interval of the estimate: the floor, another sample's value at the same n, is known
        no better than that, so their difference is not clearly above 0 and a share of it would be noise. A row without
        an interval needs floor and ceiling that differ by more than rounding.
    """
    estimate, floor, ceiling = (table[name].astype(float) for name in ("estimate", "floor", "ceiling"))
    # What is only rounding tells nothing: it is no width, and no difference from people.
    rounding = 1e-9 * np.maximum(floor.abs(), ceiling.abs())
    width, above = ceiling - floor, estimate - floor
    half = ((table["high"].astype(float) - table["low"].astype(float)) / 2).fillna(0.0)
    share = above / width.where(width.abs() > np.maximum(rounding, half))
    return share.where(share.isna() | (above.abs() > rounding), 0.0).astype(float)


def tidy(study: Study, against: str, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Put rows of measures in the columns that all tables of measures have.

    Parameters
    ----------
    study : Study
        The study.
    against : {"held-out", "all"}
        The people of the comparison.
    rows : sequence of mapping
        Each with ``arm``, ``seed``, ``metric`` and ``estimate`` at least.

    Returns
    -------
    DataFrame
        Columns `METRIC_COLUMNS`; ``scaled`` is worked out here.
    """
    # People as an arm of their own are all people, whoever the other arms are compared with.
    whom = [{"against": "all" if row["arm"] == HUMAN else against, **row} for row in rows]
    table = pd.DataFrame([{"study": study.name, **row} for row in whom])
    table = table.reindex(columns=list(METRIC_COLUMNS)).astype({"item": object, "subgroup": object})
    return table.assign(scaled=scaled(table))
