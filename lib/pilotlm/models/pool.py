"""A language model pooled log-linearly with the logit fitted on the same pilot.

The pool of distributions p and q with weight w has probabilities proportional to p^w q^(1-w). The weight is the one
under which some people's answers are most likely: 0 says that the language model adds nothing to the logit. The
log-likelihood is concave in it, so there is one best in [0, 1].
See Genest & Zidek (1986), Statistical Science 1, 114-135, and Hinton (2002), Neural Computation 14, 1771-1800.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp

from pilotlm.baselines.fit import fit_logit
from pilotlm.baselines.sequential import FormModel, folded_pilot, given_codes
from pilotlm.data.pilot import Pilot
from pilotlm.models.answer_scoring import Distribution
from pilotlm.models.simulate import Respondent, Reweigh, given_distributions
from pilotlm.responses import count_people
from pilotlm.study import Study

FEWEST_TO_CHOOSE = 20
"""With fewer people in the validation part the weight is one half: they would choose it little better than chance."""


def pooled(log_language_model: Distribution, log_logit: Distribution, weight: float) -> Distribution:
    """The pool of two (rows, answers) log-distributions of one line; what either excludes is excluded."""
    if not 0 <= weight <= 1:
        raise ValueError(f"The weight of a pool must lie in [0, 1], got {weight!r}.")
    first, second = _comparable(log_language_model, log_logit)
    mixed = _mixed(first, second, weight)
    return np.asarray(mixed - logsumexp(mixed, axis=1, keepdims=True))


def choose_weight(
    log_language_model: Sequence[Distribution], log_logit: Sequence[Distribution], given: NDArray[np.int64]
) -> float:
    """The weight under which people's own answers are most likely.

    The two have one (rows, answers) array a line, of people whom neither was fitted on; ``given`` is (rows, lines), the
    place of each person's answer.
    """
    if not len(log_language_model) == len(log_logit) == given.shape[1]:
        counts = f"{len(log_language_model)}, {len(log_logit)} and {given.shape[1]}"
        raise ValueError(f"The distributions and the answers must be of the same lines; there are {counts} of them.")
    pairs = [_comparable(a, b) for a, b in zip(log_language_model, log_logit, strict=True)]
    _check_given(pairs, given)
    return _where_zero(lambda weight: _slope(pairs, given, weight))


def _comparable(first: Distribution, second: Distribution) -> tuple[Distribution, Distribution]:
    """Two distributions with the same answers excluded in both."""
    if first.shape != second.shape:
        raise ValueError(f"The two distributions of a line must have one shape, got {first.shape} and {second.shape}.")
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any(axis=1).all():
        row = int(np.flatnonzero(~both.any(axis=1))[0])
        raise ValueError(f"In row {row} no answer is possible under both distributions.")
    return np.where(both, first, -np.inf), np.where(both, second, -np.inf)


def _mixed(first: Distribution, second: Distribution, weight: float) -> Distribution:
    possible = np.isfinite(first)
    # Zero times minus infinity is not a number, so what is excluded is kept out of the sum.
    kept = weight * np.where(possible, first, 0.0) + (1 - weight) * np.where(possible, second, 0.0)
    return np.where(possible, kept, -np.inf)


def _check_given(pairs: Sequence[tuple[Distribution, Distribution]], given: NDArray[np.int64]) -> None:
    rows = np.arange(len(given))
    for line, (first, _) in enumerate(pairs):
        if len(first) != len(given):
            raise ValueError(
                f"Line {line} has the distributions of {len(first)} people, but {len(given)} gave answers."
            )
        impossible = ~np.isfinite(first[rows, given[:, line]])
        if impossible.any():
            where = f"row {int(np.flatnonzero(impossible)[0])}, line {line}"
            raise ValueError(f"The answer given in {where} is impossible under one of the two distributions.")


def _slope(pairs: Sequence[tuple[Distribution, Distribution]], given: NDArray[np.int64], weight: float) -> float:
    """The derivative of the loss in the weight: how far the pool expects the difference of the logs above the given."""
    rows, total = np.arange(len(given)), 0.0
    for line, (first, second) in enumerate(pairs):
        possible = np.isfinite(first)
        difference = np.where(possible, first, 0.0) - np.where(possible, second, 0.0)
        expected = (np.exp(pooled(first, second, weight)) * difference).sum(axis=1)
        total += float((expected - difference[rows, given[:, line]]).sum())
    return total


def _where_zero(slope: Callable[[float], float]) -> float:
    """Where an increasing function on [0, 1] is zero; the nearer end where it is not."""
    if slope(0.0) >= 0:
        return 0.0
    if slope(1.0) <= 0:
        return 1.0
    return float(brentq(slope, 0.0, 1.0))


@dataclass(frozen=True)
class PooledAnswerer:
    """The logit fitted on the whole pilot, and the language model's weight in the pool, in [0, 1]."""

    logit: FormModel
    weight: float

    def over(self, people: pd.DataFrame) -> Reweigh:
        """What makes the distribution of the pool out of that of the language model, for the rows of some people."""
        columns = [slot.column for slot in self.logit.slots]

        def reweigh(
            line: int, distribution: Distribution, values: NDArray[np.int64], rows: NDArray[np.int64]
        ) -> Distribution:
            answered = {column: values[:, k] for k, column in enumerate(columns[:line])}
            own = people.iloc[rows].drop(columns=columns, errors="ignore").reset_index(drop=True).assign(**answered)
            return pooled(distribution, self.logit.line_log_distribution(line, own), self.weight)

        return reweigh


def pool_with_logit(
    answering: Respondent, study: Study, people: pd.DataFrame, pilot: Pilot, seed: int
) -> PooledAnswerer:
    """Fit the logit on a pilot, and choose the language model's weight on the pilot's validation part.

    Parameters
    ----------
    answering : Respondent
        The language model, fine-tuned on the pilot's training part.
    study, people, pilot, seed
        The study, all participants, whom the two learn from, and the seed that the pilot was drawn by.

    Returns
    -------
    PooledAnswerer
        The logit is the baseline of that name. Its weight is one half where the validation part has fewer than
        `FEWEST_TO_CHOOSE` people. Else it is that under which they are most likely, pooled with a logit that has not
        seen them; the language model's training was stopped on them, so the weight favours it a little.
    """
    rows, folds = folded_pilot(study, people, pilot, seed)
    weight = 0.5
    unseen = rows["participant"].isin(pilot.validation).to_numpy()
    if count_people(rows[unseen]) >= FEWEST_TO_CHOOSE:
        weight = _chosen(answering, fit_logit(study, rows[~unseen], folds[~unseen]), rows[unseen])
    return PooledAnswerer(fit_logit(study, rows, folds), weight)


def _chosen(answering: Respondent, logit: FormModel, validation: pd.DataFrame) -> float:
    """The weight under which some people, whom neither has been fitted on, are most likely."""
    distributions = given_distributions(answering, validation).distributions
    asked = [line for line, model in enumerate(logit.lines) if model is not None]
    theirs = [logit.line_log_distribution(line, validation) for line in asked]
    given = given_codes(logit.slots, validation)[:, asked]
    return choose_weight([distributions[line] for line in asked], theirs, given)
