"""Belief-action coherence: how often actions contradict beliefs, and how often they would by chance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import t

from pilotlm.errors import InputError, nearest
from pilotlm.responses import as_numbers
from pilotlm.stats.intervals import Estimate, FloatArray, IntArray, wilson
from pilotlm.study import CoherenceRule, MaximisesExpectedPay, NearestOption, SignAgreement, Study, Threshold

TIE = 1e-9
"""Differences in expected pay up to this are ties."""


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

    - ``MaximisesExpectedPay``: another action has a higher expected pay, by more than 1e-9, under the stated shares and
      the pay of the row's treatment; any action among the best is coherent.
    - ``NearestOption``: another option is placed nearer to oneself than the chosen one. It does not apply where two
      options are nearest, nor to an action that is none of the options.
    - ``Threshold``: (belief >= ``at_least``) differs from (action == ``acts``).
    - ``SignAgreement``: in any pair belief and action have strictly opposite signs; zero agrees with everything.

    Places, thresholds and signs are of numbers (`pilotlm.responses.as_numbers`), actions are named by their codes.

    Parameters
    ----------
    rule : CoherenceRule
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
        result = _not_nearest(rule, answers, as_numbers(study, answers))
    elif isinstance(rule, Threshold):
        result = _against_threshold(rule, answers, as_numbers(study, answers))
    else:
        result = _opposite_signs(rule, as_numbers(study, answers))
    return np.where(answers[needed].isna().any(axis=1), np.nan, result)


def gap(rule: CoherenceRule, study: Study, answers: pd.DataFrame) -> Estimate:
    """Belief-action gap: the share of incoherent rows among those to which the rule applies, Wilson interval."""
    flags = incoherent(rule, study, answers)
    applies = ~np.isnan(flags)
    return wilson(int(np.nansum(flags)), int(applies.sum()))


def gap_under_independence(rule: CoherenceRule, study: Study, answers: pd.DataFrame) -> Estimate:
    """The gap expected if beliefs and actions were paired at random within treatments, with a jackknife interval.

    Within each treatment every row's beliefs are taken with every other row's action: a U-statistic. Over treatments t
    it is sum n_t P_t(incoherent) / sum n_t P_t(applies). Rows with a missing answer, and a treatment with a single row,
    are left out. The interval is on the logistic scale, with t on the rows less treatments; no width at 0 and 1.

    Source: Arvesen (1969), Annals of Mathematical Statistics 40, 2076-2100.
    """
    incoherent(rule, study, answers.iloc[:0])  # refuses missing columns before they are used
    complete = answers.dropna(subset=[*belief_columns(rule, study), *action_columns(rule, study)])
    treatments = complete.groupby("treatment", sort=True, observed=True)
    found = [_pairings(rule, study, rows, name) for name, rows in treatments if len(rows) > 1]
    n = len(complete)
    wrong, applies = (sum(both[k][0] for both in found) for k in (0, 1))
    value = float(wrong / applies) if applies > 0 else float("nan")
    if not 0 < value < 1:
        return Estimate(value, value, value, n)
    variance = 0.0
    for (incoherent_here, incoherent_without), (applies_here, applies_without) in found:
        with np.errstate(divide="ignore", invalid="ignore"):
            without = (wrong - incoherent_here + incoherent_without) / (applies - applies_here + applies_without)
        # As for the variance ratio, deviations from the whole make up for what the jackknife misses in small groups.
        variance += float(np.square(without - value).sum()) * (len(without) - 1) / len(without)
    freedom = max(sum(len(without) - 1 for (_, without), _ in found), 1)
    half = float(t.ppf(0.975, freedom)) * math.sqrt(variance) / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-half, half]))
    return Estimate(value, float(low), float(high), n)


def _columns(names: tuple[str, ...], study: Study) -> tuple[str, ...]:
    columns = [column for name in names for column in study.question(name).columns]
    return tuple(dict.fromkeys(columns))


def _below_best_pay(rule: MaximisesExpectedPay, study: Study, answers: pd.DataFrame) -> FloatArray:
    question = study.question(rule.belief)
    assert question.total is not None, "Study checks this when it is made"
    shares = answers[list(question.columns)].to_numpy(dtype=float) / question.total
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


def _not_nearest(rule: NearestOption, answers: pd.DataFrame, numbers: pd.DataFrame) -> FloatArray:
    position = numbers[rule.position].to_numpy(dtype=float)
    places = numbers[list(rule.options.values())].to_numpy(dtype=float)
    distance = np.abs(places - position[:, None])
    least = distance.min(axis=1)
    tied = (distance == least[:, None]).sum(axis=1) > 1
    is_chosen = answers[rule.action].to_numpy(dtype=float)[:, None] == np.array(list(rule.options), dtype=float)
    chosen = _the_number(np.where(is_chosen, distance, np.nan))
    return np.where(tied | np.isnan(chosen), np.nan, chosen > least)


def _against_threshold(rule: Threshold, answers: pd.DataFrame, numbers: pd.DataFrame) -> FloatArray:
    believes = numbers[rule.belief].to_numpy(dtype=float) >= rule.at_least
    acts = answers[rule.action].to_numpy(dtype=float) == rule.acts
    return np.asarray(believes != acts, dtype=float)


def _opposite_signs(rule: SignAgreement, numbers: pd.DataFrame) -> FloatArray:
    beliefs = numbers[[belief for belief, _ in rule.pairs]].to_numpy(dtype=float)
    actions = numbers[[action for _, action in rule.pairs]].to_numpy(dtype=float)
    return np.asarray((np.sign(beliefs) * np.sign(actions) < 0).any(axis=1), dtype=float)


def _the_number(values: FloatArray) -> FloatArray:
    """The one number in each row of nans; nan where there is none."""
    known = ~np.isnan(values)
    return np.where(known.any(axis=1), np.where(known, values, 0.0).sum(axis=1), np.nan)


def _pairings(rule: CoherenceRule, study: Study, rows: pd.DataFrame, treatment: Any) -> list[tuple[float, FloatArray]]:
    """`_summed` of the pairs that are incoherent and of those to which the rule applies, in one treatment."""
    belief_names, action_names = list(belief_columns(rule, study)), list(action_columns(rule, study))
    beliefs, belief = _different(rows[belief_names])
    actions, action = _different(rows[action_names])
    u, v = len(beliefs), len(actions)
    every_pair = np.hstack([np.repeat(beliefs, v, axis=0), np.tile(actions, (u, 1))])
    table = pd.DataFrame(every_pair, columns=[*belief_names, *action_names]).assign(treatment=treatment)
    flags = incoherent(rule, study, table).reshape(u, v)
    return [_summed(belief, action, flagged) for flagged in (np.nan_to_num(flags), (~np.isnan(flags)).astype(float))]


def _different(rows: pd.DataFrame) -> tuple[NDArray[np.float64], IntArray]:
    unique, codes = np.unique(rows.to_numpy(dtype=float), axis=0, return_inverse=True)
    return unique, codes.reshape(-1).astype(np.int64)


def _summed(belief: IntArray, action: IntArray, flags: FloatArray) -> tuple[float, FloatArray]:
    """The number of rows n times the share of pairs that are flagged, and the same without each row."""
    n = len(belief)
    beliefs, actions = np.bincount(belief), np.bincount(action)
    with_actions, with_beliefs = flags @ actions, beliefs @ flags
    itself = flags[belief, action]
    # The pairs that a row is in, with the others: its beliefs with their actions, its action with their beliefs.
    takes_part = with_actions[belief] + with_beliefs[action] - 2 * itself
    others = float(beliefs @ with_actions - itself.sum())
    return others / (n - 1), (others - takes_part) / max(n - 2, 1)
