"""Belief-action coherence: how often actions contradict stated beliefs, and how often they would by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.errors import InputError, nearest
from pilotlm.measures.divergence import counts
from pilotlm.measures.intervals import Estimate, FloatArray, IntArray, central, wilson
from pilotlm.study import (
    Allocation,
    CoherenceRule,
    MaximisesExpectedPay,
    NearestOption,
    SignAgreement,
    Study,
    Threshold,
    columns_of,
)

TIE = 1e-9
"""Differences in expected pay up to this are ties."""


@dataclass(frozen=True)
class CoherenceResult:
    """The belief-action gap of one arm beside its level under independence; read the two together.

    Attributes
    ----------
    gap, low, high : float
        Share of incoherent rows among those to which the rule applies, with Wilson's 95 % interval.
    independent, independent_low, independent_high : float
        The gap expected if the arm's beliefs and actions were paired at random within treatments, with its 95 %
        percentile bootstrap interval.
    n : int
        Number of rows to which the rule applies.
    not_applicable : float
        Share of all rows to which it does not apply (ties, missing answers), in [0, 1].
    """

    gap: float
    low: float
    high: float
    independent: float
    independent_low: float
    independent_high: float
    n: int
    not_applicable: float


def belief_columns(rule: CoherenceRule, study: Study) -> tuple[str, ...]:
    """The answer columns that a rule takes as beliefs."""
    if isinstance(rule, NearestOption):
        names: tuple[str, ...] = (rule.position, *rule.options.values())
    elif isinstance(rule, SignAgreement):
        names = tuple(belief for belief, _ in rule.pairs)
    else:
        names = (rule.belief,)
    return _columns(names, study)


def action_columns(rule: CoherenceRule, study: Study) -> tuple[str, ...]:
    """The answer columns that a rule takes as actions."""
    names = tuple(action for _, action in rule.pairs) if isinstance(rule, SignAgreement) else (rule.action,)
    return _columns(names, study)


def incoherent(rule: CoherenceRule, study: Study, answers: pd.DataFrame) -> FloatArray:
    """Whether each row's action contradicts its beliefs.

    - ``MaximisesExpectedPay``: another action has a higher expected pay, by more than 1e-9, under the stated shares
      and the pay of the row's treatment; any action among the best is coherent.
    - ``NearestOption``: another option is placed nearer to oneself than the chosen one. It does not apply where two
      options are nearest, nor to an action that is none of the options.
    - ``Threshold``: (belief >= ``at_least``) differs from (action == ``acts``).
    - ``SignAgreement``: in any pair belief and action have strictly opposite signs; zero agrees with everything.

    Parameters
    ----------
    rule : MaximisesExpectedPay, NearestOption, Threshold or SignAgreement
        The rule, for example ``study.coherence``.
    study : Study
        The study whose questions the rule names.
    answers : (n rows) DataFrame
        Responses: the columns of the rule's questions and ``treatment``.

    Returns
    -------
    (n,) float array
        1 incoherent, 0 coherent, nan where the rule does not apply or an answer that it needs is missing.

    Raises
    ------
    InputError
        If a column is missing, is both belief and action, or a treatment has no pay.
    """
    needed = [*belief_columns(rule, study), *action_columns(rule, study)]
    if len(set(needed)) < len(needed):
        raise InputError(f"The coherence rule takes the same column as belief and as action: {', '.join(needed)}.")
    for column in ["treatment", *needed]:
        if column not in answers.columns:
            raise InputError(f"Coherence needs the column '{column}'; {nearest(column, map(str, answers.columns))}.")
    if isinstance(rule, MaximisesExpectedPay):
        result = _below_best_pay(rule, study, answers)
    elif isinstance(rule, NearestOption):
        result = _not_nearest(rule, answers)
    elif isinstance(rule, Threshold):
        result = _against_threshold(rule, answers)
    else:
        result = _opposite_signs(rule, answers)
    return np.where(answers[needed].isna().any(axis=1), np.nan, result)


def gap(rule: CoherenceRule, study: Study, answers: pd.DataFrame, level: float = 0.95) -> Estimate:
    """Belief-action gap: the share of incoherent rows among those to which the rule applies, Wilson interval.

    Parameters
    ----------
    rule, study, answers
        As in `incoherent`.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        In [0, 1]; ``n`` is the number of rows to which the rule applies, and value and interval are nan if it is 0.

    Raises
    ------
    InputError
        As in `incoherent`.
    """
    flags = incoherent(rule, study, answers)
    applies = ~np.isnan(flags)
    return wilson(int(np.nansum(flags)), int(applies.sum()), level)


def gap_under_independence(rule: CoherenceRule, study: Study, answers: pd.DataFrame) -> float:
    """The gap expected if beliefs and actions were paired at random within treatments.

    Within each treatment every row's beliefs are taken with every row's action (n² pairs, a row with itself too), so
    this is exactly the mean over all shufflings of the actions. Over treatments t it is
    sum n_t P_t(incoherent) / sum n_t P_t(applies), n_t being the number of rows: pairs to which the rule does not
    apply count in neither. For a pure association measure compare `gap` with it: equal means that the action says
    nothing about the beliefs given the treatment, however high or low the gap.

    Parameters
    ----------
    rule, study, answers
        As in `incoherent`; rows with a missing answer are left out.

    Returns
    -------
    float
        In [0, 1]; nan if the rule applies to no pair.

    Raises
    ------
    InputError
        As in `incoherent`.
    """
    return float(_expected_gap([_whole(arm) for arm in _pairings(rule, study, answers)])[0])


def independence_interval(
    rule: CoherenceRule,
    study: Study,
    answers: pd.DataFrame,
    repeats: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> Estimate:
    """`gap_under_independence` with a percentile bootstrap interval; rows are resampled within treatments.

    Parameters
    ----------
    rule, study, answers
        As in `incoherent`.
    repeats : int
        Number of resamples, at least 2.
    rng : numpy.random.Generator
        Source of randomness.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        ``n`` is the number of rows without a missing answer.

    Raises
    ------
    InputError
        As in `incoherent`, or if repeats or level is out of range.
    """
    if repeats < 2:
        raise InputError(f"A bootstrap needs 2 repeats or more, got {repeats}.")
    pairings = _pairings(rule, study, answers)
    draws = _expected_gap([_resampled(pairing, repeats, rng) for pairing in pairings])
    ends = central(draws, level)
    value = float(_expected_gap([_whole(pairing) for pairing in pairings])[0])
    return Estimate(value, ends.low, ends.high, sum(len(pairing.belief) for pairing in pairings))


def coherence(
    rule: CoherenceRule, study: Study, answers: pd.DataFrame, repeats: int, rng: np.random.Generator
) -> CoherenceResult:
    """`gap` and `independence_interval` together, at 95 %.

    Parameters
    ----------
    rule, study, answers
        As in `incoherent`.
    repeats : int
        Number of resamples for the interval under independence, at least 2.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    CoherenceResult

    Raises
    ------
    InputError
        As in `incoherent`, or if repeats is out of range.
    """
    observed = gap(rule, study, answers)
    independent = independence_interval(rule, study, answers, repeats, rng)
    return CoherenceResult(
        gap=observed.value,
        low=observed.low,
        high=observed.high,
        independent=independent.value,
        independent_low=independent.low,
        independent_high=independent.high,
        n=observed.n,
        not_applicable=1 - observed.n / len(answers) if len(answers) else float("nan"),
    )


def _columns(names: tuple[str, ...], study: Study) -> tuple[str, ...]:
    columns = [column for name in names for column in columns_of(study.question(name))]
    return tuple(dict.fromkeys(columns))


def _below_best_pay(rule: MaximisesExpectedPay, study: Study, answers: pd.DataFrame) -> FloatArray:
    question = study.question(rule.belief)
    assert isinstance(question, Allocation), "Study checks this when it is made"
    shares = answers[list(columns_of(question))].to_numpy(dtype=float) / question.total
    action = answers[rule.action].to_numpy(dtype=float)
    treatment = answers["treatment"].to_numpy()
    result = np.full(len(answers), np.nan)
    for name in pd.unique(answers["treatment"]):
        if name not in rule.pay:
            raise InputError(f"No pay is given for the treatment '{name}'; {nearest(str(name), rule.pay)}.")
        here = treatment == name
        actions = np.array(list(rule.pay[name]), dtype=float)
        expected = shares[here] @ np.array(list(rule.pay[name].values()), dtype=float).T
        chosen = np.where(action[here, None] == actions, expected, np.nan)
        short = expected.max(axis=1) - _the_number(chosen)
        result[here] = np.where(np.isnan(short), np.nan, short > TIE)
    return result


def _not_nearest(rule: NearestOption, answers: pd.DataFrame) -> FloatArray:
    position = answers[rule.position].to_numpy(dtype=float)
    places = answers[list(rule.options.values())].to_numpy(dtype=float)
    distance = np.abs(places - position[:, None])
    least = distance.min(axis=1)
    tied = (distance == least[:, None]).sum(axis=1) > 1
    is_chosen = answers[rule.action].to_numpy(dtype=float)[:, None] == np.array(list(rule.options), dtype=float)
    chosen = _the_number(np.where(is_chosen, distance, np.nan))
    return np.where(tied | np.isnan(chosen), np.nan, chosen > least)


def _against_threshold(rule: Threshold, answers: pd.DataFrame) -> FloatArray:
    believes = answers[rule.belief].to_numpy(dtype=float) >= rule.at_least
    acts = answers[rule.action].to_numpy(dtype=float) == rule.acts
    return np.asarray(believes != acts, dtype=float)


def _opposite_signs(rule: SignAgreement, answers: pd.DataFrame) -> FloatArray:
    beliefs = answers[[belief for belief, _ in rule.pairs]].to_numpy(dtype=float)
    actions = answers[[action for _, action in rule.pairs]].to_numpy(dtype=float)
    return np.asarray((np.sign(beliefs) * np.sign(actions) < 0).any(axis=1), dtype=float)


def _the_number(values: FloatArray) -> FloatArray:
    """The one number in each row of nans; nan where there is none."""
    known = ~np.isnan(values)
    return np.where(known.any(axis=1), np.where(known, values, 0.0).sum(axis=1), np.nan)


@dataclass(frozen=True, eq=False)
class _Pairing:
    """The rows of one treatment, and what each different belief with each different action comes to.

    Attributes
    ----------
    belief, action : (n,) int arrays
        The number of each row's beliefs and of its action among the different ones.
    incoherent, applies : (u, v) float arrays
        0 or 1 for each pair of different beliefs and different actions.
    """

    belief: IntArray
    action: IntArray
    incoherent: FloatArray
    applies: FloatArray


@dataclass(frozen=True, eq=False)
class _Weighted:
    """Expected numbers of incoherent and of applicable rows in one treatment: (repeats,) arrays."""

    incoherent: FloatArray
    applies: FloatArray


def _pairings(rule: CoherenceRule, study: Study, answers: pd.DataFrame) -> list[_Pairing]:
    incoherent(rule, study, answers.iloc[:0])  # refuses missing columns before they are used
    complete = answers.dropna(subset=[*belief_columns(rule, study), *action_columns(rule, study)])
    treatments = complete.groupby("treatment", sort=True, observed=True)
    return [_pairing(rule, study, rows, name) for name, rows in treatments]


def _pairing(rule: CoherenceRule, study: Study, rows: pd.DataFrame, treatment: Any) -> _Pairing:
    belief_names, action_names = list(belief_columns(rule, study)), list(action_columns(rule, study))
    beliefs, belief = _different(rows[belief_names])
    actions, action = _different(rows[action_names])
    u, v = len(beliefs), len(actions)
    every_pair = np.hstack([np.repeat(beliefs, v, axis=0), np.tile(actions, (u, 1))])
    table = pd.DataFrame(every_pair, columns=[*belief_names, *action_names]).assign(treatment=treatment)
    flags = incoherent(rule, study, table).reshape(u, v)
    return _Pairing(belief, action, np.nan_to_num(flags), (~np.isnan(flags)).astype(float))


def _different(rows: pd.DataFrame) -> tuple[NDArray[np.float64], IntArray]:
    unique, codes = np.unique(rows.to_numpy(dtype=float), axis=0, return_inverse=True)
    return unique, codes.reshape(-1).astype(np.int64)


def _whole(pairing: _Pairing) -> _Weighted:
    return _weighted(pairing, np.arange(len(pairing.belief))[None, :])


def _resampled(pairing: _Pairing, repeats: int, rng: np.random.Generator) -> _Weighted:
    n = len(pairing.belief)
    return _weighted(pairing, rng.integers(0, n, size=(repeats, n)))


def _weighted(pairing: _Pairing, rows: IntArray) -> _Weighted:
    """Sum over all pairs of rows, divided by n: n times the share of pairs."""
    beliefs = counts(pairing.belief[rows], pairing.incoherent.shape[0]).astype(float)
    actions = counts(pairing.action[rows], pairing.incoherent.shape[1]).astype(float)
    n = rows.shape[1]
    return _Weighted(
        ((beliefs @ pairing.incoherent) * actions).sum(axis=1) / n,
        ((beliefs @ pairing.applies) * actions).sum(axis=1) / n,
    )


def _expected_gap(treatments: list[_Weighted]) -> FloatArray:
    if not treatments:
        return np.array([np.nan])
    wrong = np.sum([treatment.incoherent for treatment in treatments], axis=0)
    applies = np.sum([treatment.applies for treatment in treatments], axis=0)
    return np.asarray(np.divide(wrong, applies, out=np.full_like(wrong, np.nan), where=applies > 0))
