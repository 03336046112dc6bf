"""Endless people of `hunt2025-synthetic`, whose truth is known, and simulations that are wrong to a known degree."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.analyses.common import Compared
from pilotlm.data.sources import load_people
from pilotlm.study import Generated, Study, load_study

MANY = 24_000
RANDOM_SHARE = 0.3
"""The share of the simulations that are wrong whose answers are uniform."""


@cache
def study() -> Study:
    """The study."""
    return load_study("hunt2025-synthetic")


@cache
def everybody() -> pd.DataFrame:
    """So many people that they stand for all."""
    source = Generated(kind="generator", generator="hunt2025", n=MANY, seed=99)
    return load_people(study().model_copy(update={"source": source})).table


@cache
def everybody_wrong() -> pd.DataFrame:
    """Everybody, but a share of them answers uniformly: another distribution, and a known one."""
    rng = np.random.default_rng(98)
    wrong = rng.random(MANY) < RANDOM_SHARE
    table = everybody().copy()
    answers = list(study().answer_columns)
    table.loc[wrong, answers] = uniform_answers(study(), int(wrong.sum()), rng)[answers].to_numpy()
    return table


@cache
def by_treatment() -> list[NDArray[np.int64]]:
    """The rows of `everybody` in each treatment."""
    return [rows.to_numpy() for rows in everybody().groupby("treatment").groups.values()]


def draw(table: pd.DataFrame, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw n people (a multiple of 8) of `everybody` or `everybody_wrong`, as many in each treatment."""
    rows = np.concatenate([rng.choice(rows, n // 8, replace=False) for rows in by_treatment()])
    return table.loc[rows].reset_index(drop=True).assign(participant=np.arange(1, 8 * (n // 8) + 1))


def fresh(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Fresh people, the same number in each of the eight treatments."""
    return draw(everybody(), n, rng)


def arm(name: str, seed: int, simulated: pd.DataFrame, human: pd.DataFrame) -> Compared:
    """A simulation as the analyses take it."""
    return Compared(name, seed, simulated.assign(arm=name, seed=seed), human, None)


def uniform_answers(study: Study, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw answers of n people who find every allowed answer to a question as likely as any other."""
    drawn: dict[str, NDArray[np.int64]] = {}
    for question in study.questions:
        drawn |= dict(zip(question.columns, question.uniform_answers(n, rng).T, strict=True))
    return pd.DataFrame(drawn)
