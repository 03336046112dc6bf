"""People whose answers are known beside people whose answers are only predicted, and who may be among the former."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from pilotlm.errors import InputError
from pilotlm.measures.intervals import FloatArray, IntArray
from pilotlm.measures.least_squares import BoolArray, Columns, columns
from pilotlm.measures.logits import FittedLogit, fit_logit


@dataclass(frozen=True, eq=False)
class Sample:
    """What an estimator of a coefficient works on; a mean is the coefficient of a column of ones.

    It may be a stack of samples of one size, such as many pilots drawn from the same people: every array then has
    leading dimensions, shown as (...), and every estimator answers for each sample of the stack.

    Attributes
    ----------
    outcome : (..., n) float array
        What n people answered.
    predicted : (..., n) float array
        What was predicted of the same people, by somebody who has not seen their answers.
    predictors : (..., n, k) float array
        The columns of a regression of the answers, the constant among them; known of everybody beforehand.
    unlabelled : (..., m) float array
        What was predicted of m other people, in the same way.
    unlabelled_predictors : (..., m, k) float array
        Their columns.
    column : int
        Which of the k coefficients is wanted.
    participants : (..., n) int array
        Who the people with answers are.
    pilot : collection of int
        The participants whose answers were used to fit, tune or choose what predicts; empty if nobody's were. They
        may not be among the people with answers: see `refuse_pilot`.
    """

    outcome: FloatArray
    predicted: FloatArray
    predictors: FloatArray
    unlabelled: FloatArray
    unlabelled_predictors: FloatArray
    column: int = 0
    participants: IntArray = field(kw_only=True)
    pilot: Collection[int] = field(kw_only=True)

    def __post_init__(self) -> None:
        refuse_pilot(self.participants, self.pilot)
        *stack, n = self.outcome.shape
        m, k = self.unlabelled.shape[-1], self.predictors.shape[-1]
        shapes = tuple(a.shape[len(stack) :] for a in (self.predicted, *self._others))
        stacks = {a.shape[: len(stack)] for a in (self.outcome, self.predicted, *self._others)}
        fits = shapes == ((n,), (n, k), (m,), (m, k)) and self.participants.shape == self.outcome.shape
        if not fits or len(stacks) > 1 or not 0 <= self.column < k:
            raise InputError(
                f"A sample of {n} answers and {m} other people needs {n} predictions and participants, {n} and {m} "
                f"rows of as many predictors, and one of those as its column; got the shapes {shapes}, participants of "
                f"the shape {self.participants.shape} and the column {self.column}."
            )
        if not all(np.isfinite(a).all() for a in (self.outcome, self.predicted, *self._others)):
            raise InputError("A sample must not have missing or infinite values; leave out the people who have them.")

    @property
    def _others(self) -> tuple[FloatArray, ...]:
        return self.predictors, self.unlabelled, self.unlabelled_predictors

    @property
    def stack(self) -> tuple[int, ...]:
        """The leading dimensions; () for one sample."""
        return self.outcome.shape[:-1]

    def each(self) -> Iterator[Sample]:
        """The samples of a stack of one leading dimension."""
        rows = zip(self.outcome, self.predicted, *self._others, self.participants, strict=True)
        return (
            Sample(y, f, x, others, theirs, self.column, participants=who, pilot=self.pilot)
            for y, f, x, others, theirs, who in rows
        )

    @property
    def n(self) -> int:
        """The number of people whose answers are known."""
        return int(self.outcome.shape[-1])

    @cached_property
    def columns(self) -> Columns:
        """The predictors of those people, ready for fitting."""
        return columns(self.predictors)

    @cached_property
    def other_columns(self) -> Columns:
        """Those of the others."""
        return columns(self.unlabelled_predictors)

    @cached_property
    def all_columns(self) -> Columns:
        """Those of all n + m people, those with answers first."""
        return columns(self.all_predictors)

    @cached_property
    def all_predictors(self) -> FloatArray:
        """The same as they are, (..., n + m, k)."""
        return np.concatenate([self.predictors, self.unlabelled_predictors], axis=-2)

    @cached_property
    def all_predicted(self) -> FloatArray:
        """What was predicted of all n + m people, (..., n + m)."""
        return np.concatenate([self.predicted, self.unlabelled], axis=-1)

    @cached_property
    def pooled(self) -> FloatArray:
        """The answers of those who gave them and the predictions of the others, (..., n + m)."""
        return np.concatenate([self.outcome, self.unlabelled], axis=-1)

    @cached_property
    def logit(self) -> FittedLogit:
        """The logit of the answers of those who gave them."""
        return fit_logit(self.outcome, self.predictors)

    @cached_property
    def predicted_logit(self) -> FittedLogit:
        """The logit of what was predicted of the same people."""
        return fit_logit(self.predicted, self.predictors)

    @cached_property
    def everybody_logit(self) -> FittedLogit:
        """The logit of what was predicted of all n + m people."""
        return fit_logit(self.all_predicted, self.all_predictors)

    @cached_property
    def pooled_logit(self) -> FittedLogit:
        """The logit of `pooled`."""
        return fit_logit(self.pooled, self.all_predictors)

    def wanting(self, column: int) -> Sample:
        """The same people with another coefficient wanted; what has been fitted on them is not fitted again."""
        other = replace(self, column=column)
        vars(other).update(vars(self) | {"column": column})
        return other

    @property
    def two_valued(self) -> BoolArray:
        """Whether the outcome is 0 or 1, (...)."""
        return np.asarray(((self.outcome == 0) | (self.outcome == 1)).all(axis=-1))

    @property
    def rarer(self) -> IntArray:
        """How many people gave the rarer of two answers, where the outcome is 0 or 1, (...)."""
        ones = self.outcome.sum(axis=-1).astype(np.int64)
        return np.asarray(np.minimum(ones, self.n - ones))


def stack_samples(samples: Sequence[Sample]) -> Sample:
    """Samples of one size and column as a stack of one leading dimension."""
    return Sample(
        np.stack([one.outcome for one in samples]),
        np.stack([one.predicted for one in samples]),
        np.stack([one.predictors for one in samples]),
        np.stack([one.unlabelled for one in samples]),
        np.stack([one.unlabelled_predictors for one in samples]),
        samples[0].column,
        participants=np.stack([one.participants for one in samples]),
        pilot=set().union(*(one.pilot for one in samples)),
    )


def mean_sample(
    outcome: ArrayLike, predicted: ArrayLike, unlabelled: ArrayLike, *, participants: ArrayLike, pilot: Collection[int]
) -> Sample:
    """The sample for a mean.

    Parameters
    ----------
    outcome, predicted : (n,) array_like
        Answers and predictions of the same people.
    unlabelled : (m,) array_like
        Predictions of others.
    participants : (n,) array_like of int
        Who the people with answers are.
    pilot : collection of int
        The participants whose answers were used to fit, tune or choose what predicts; empty if nobody's were.

    Returns
    -------
    Sample
        Whose one column is of ones.

    Raises
    ------
    InputError
        If anybody with answers is of the pilot, or the arrays do not fit together.
    """
    y, f, others = (np.asarray(a, dtype=float) for a in (outcome, predicted, unlabelled))
    columns_of_ones = np.ones((len(y), 1)), others, np.ones((len(others), 1))
    return Sample(y, f, *columns_of_ones, participants=np.asarray(participants), pilot=pilot)


def effect_sample(
    outcome: ArrayLike,
    predicted: ArrayLike,
    unlabelled: ArrayLike,
    treated: ArrayLike,
    unlabelled_treated: ArrayLike,
    *,
    participants: ArrayLike,
    pilot: Collection[int],
) -> Sample:
    """The sample for a difference of means between two groups.

    Parameters
    ----------
    outcome, predicted, unlabelled, participants, pilot
        As in `mean_sample`.
    treated, unlabelled_treated : (n,) and (m,) array_like
        1 in the group whose mean is diminished by that of the other, 0 in the other.

    Returns
    -------
    Sample
        With the columns 1 and ``treated``; the wanted coefficient is that of the second.
    """
    y, f, others, t, u = (np.asarray(a, dtype=float) for a in (outcome, predicted, unlabelled, treated,
                                                               unlabelled_treated))  # fmt: skip
    design, theirs = (np.column_stack([np.ones(len(group)), group]) for group in (t, u))
    return Sample(y, f, design, others, theirs, 1, participants=np.asarray(participants), pilot=pilot)


def refuse_pilot(labelled: Collection[int] | IntArray, pilot: Collection[int], where: str = "") -> None:
    """Refuse people whom predictions were fitted on where held-out people are needed.

    Of people whom it was fitted on a model knows more than of others: what it gets wrong on them says too little of
    what it gets wrong on those who were not asked, and every interval would be too short and in the wrong place.

    Parameters
    ----------
    labelled : collection of int, or int array
        The participants whose answers shall be held against predictions, or correct them.
    pilot : collection of int
        The participants whose answers were used to fit, tune or choose what predicts.
    where : str
        What comes before the message.

    Raises
    ------
    InputError
        If anybody is among both.
    """
    both = sorted({int(who) for who in np.unique(np.asarray(labelled))} & {int(who) for who in pilot})
    if both:
        shown = ", ".join(map(str, both[:5])) + (", ..." if len(both) > 5 else "")
        raise InputError(
            f"{where}{len(both)} of the people whose answers shall be held against predictions, or correct them, were "
            f"used for fitting what predicts (participants {shown}). Take held-out people only: keep some away from "
            "the pilot, ask more, or simulate anew if the pilot has changed since."
        )
