"""The people whose truth is known, and simulations of them that are right for a share."""

from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels

from pilotlm.stats.ppi import Sample
from truth.people import MANY, arm, everybody, fresh, study

__all__ = ["arm", "distorted", "effect_sample", "everybody", "framing", "fresh", "study"]


def framing() -> pd.DataFrame:
    """The experiment on framing (Brader, Valentino & Suhay 2008) that statsmodels holds, a treatment a condition."""
    table = pd.read_csv(Path(statsmodels.__file__).parent / "stats" / "tests" / "results" / "framing.csv")
    return table.assign(treatment="t" + table["cond"].astype(str))


def distorted(n: int, rng: np.random.Generator, kept: float) -> pd.DataFrame:
    """Fresh people of whom only a share answers for itself; the others give the answers of anybody at all."""
    answers = list(study().answer_columns)
    people = fresh(n, rng)
    wrong = rng.random(len(people)) > kept
    people.loc[wrong, answers] = everybody()[answers].to_numpy()[rng.integers(MANY, size=wrong.sum())]
    return people


def effect_sample(outcome, predicted, unlabelled, treated, unlabelled_treated, **people):
    """The sample for a difference of means between two groups."""
    design, theirs = (np.column_stack([np.ones(len(group)), group]) for group in (treated, unlabelled_treated))
    arrays = (np.asarray(a, dtype=float) for a in (outcome, predicted))
    return Sample(*arrays, design, np.asarray(unlabelled, dtype=float), theirs.reshape(-1, 2), 1, **people)
