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

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from pilotlm.answering.features import Features
from pilotlm.answering.forms import FormModel, Law, LineModel, codes_of, fit_lines
from pilotlm.answering.opponents import fit_marginals
from pilotlm.instrument.answers import Slot
from pilotlm.study import Study

LEAVES = (3.0, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Candidates for the smallest number of training people in a leaf."""


def fit_trees(study: Study, train: pd.DataFrame, validation: pd.DataFrame) -> FormModel:
    """A classification tree for each line, its smallest leaf chosen on the validation part.

    Parameters
    ----------
    study : Study
        The study.
    train, validation : DataFrame
        The two parts of the pilot.

    Returns
    -------
    FormModel
    """
    features = Features.of(study, train)
    base = fit_marginals(study, train, validation).by_column

    def fit(slot: Slot, rows: pd.DataFrame, leaf: float) -> LineModel:
        return _Tree.fit(slot, rows, leaf, features, base[slot.column])

    return fit_lines(study, train, validation, LEAVES, fit)


@dataclass(frozen=True)
class _Tree:
    tree: DecisionTreeClassifier
    seen: NDArray[np.int64]
    leaf: float
    base: LineModel
    features: Features
    earlier: tuple[str, ...]

    @classmethod
    def fit(cls, slot: Slot, rows: pd.DataFrame, leaf: float, features: Features, base: LineModel) -> _Tree:
        earlier, codes = features.before(slot.column), codes_of(slot, rows)
        # Equally good splits are settled by the generator; a fixed one makes the tree depend on the rows alone.
        tree = DecisionTreeClassifier(criterion="entropy", min_samples_leaf=int(leaf), random_state=0)
        tree.fit(features.matrix(rows, earlier), codes)
        return cls(tree, np.unique(codes), leaf, base, features, earlier)

    def law(self, rows: pd.DataFrame) -> Law:
        known = self.features.matrix(rows, self.earlier)
        people = self.tree.tree_.n_node_samples[self.tree.apply(known)][:, None]
        base = self.base.law(rows)
        frequencies = np.zeros_like(base)
        frequencies[:, self.seen] = self.tree.predict_proba(known)
        return np.asarray((people * frequencies + self.leaf * base) / (people + self.leaf))
