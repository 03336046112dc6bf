"""Sequential trees: a classification tree for one line of the form after the other, on the same columns as the logit.

That is how synthetic data are most often made without a language model. A leaf's frequencies are shrunk towards the
marginal law (`pilotlm.answering.opponents.fit_marginals`), which counts as many people as the smallest leaf allowed:
one setting says how fine the tree is and how far it is trusted, and no answer is impossible.

References
----------
Reiter (2005), Using CART to generate partially synthetic public use microdata, Journal of Official Statistics 21,
441-462; Nowok, Raab & Dibben (2016), synthpop: bespoke creation of synthetic data in R, Journal of Statistical
Software 74(11).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from pilotlm.answering.features import Features
from pilotlm.answering.forms import Folds, FormModel, Law, LineModel, codes_of, fit_lines
from pilotlm.answering.opponents import marginal_line
from pilotlm.instrument.answers import Slot
from pilotlm.study import Study

LEAVES = (3.0, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Candidates for the smallest number of people in a leaf."""


def fit_trees(study: Study, pilot: pd.DataFrame, folds: Folds) -> FormModel:
    """A classification tree for each line, its smallest leaf chosen by cross-validation.

    Parameters
    ----------
    study : Study
        The study.
    pilot : DataFrame
        The pilot's people.
    folds : (people,) int array
        The fold of each (`pilotlm.answering.forms.draw_folds`).

    Returns
    -------
    FormModel
    """
    features = Features.of(study, pilot)

    def fit(slot: Slot, rows: pd.DataFrame, folds: Folds, candidates: tuple[float, ...]) -> list[_Tree]:
        earlier, codes = features.before(slot.column), codes_of(slot, rows)
        known, base = features.matrix(rows, earlier), marginal_line(slot, rows, folds)
        return [
            _Tree(_grown(known, codes, leaf), np.unique(codes), leaf, base, features, earlier) for leaf in candidates
        ]

    return fit_lines(study, pilot, folds, LEAVES, fit)


@dataclass(frozen=True)
class _Tree:
    tree: DecisionTreeClassifier
    seen: NDArray[np.int64]
    leaf: float
    base: LineModel
    features: Features
    earlier: tuple[str, ...]

    def law(self, rows: pd.DataFrame) -> Law:
        known = self.features.matrix(rows, self.earlier)
        people = self.tree.tree_.n_node_samples[self.tree.apply(known)][:, None]
        base = self.base.law(rows)
        frequencies = np.zeros_like(base)
        frequencies[:, self.seen] = self.tree.predict_proba(known)
        return np.asarray((people * frequencies + self.leaf * base) / (people + self.leaf))


def _grown(known: NDArray[np.float64], codes: NDArray[np.int64], leaf: float) -> DecisionTreeClassifier:
    # Equally good splits are settled by the generator; a fixed one makes the tree depend on the rows alone.
    tree = DecisionTreeClassifier(criterion="entropy", min_samples_leaf=int(leaf), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nearly as many answers as people
        return tree.fit(known, codes)
