"""What beliefs predict of an action, alternative by alternative: a coherence rule read as a choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.measures.coherence import incoherent
from pilotlm.measures.intervals import FloatArray, IntArray
from pilotlm.responses import as_numbers
from pilotlm.study import CoherenceRule, MaximisesExpectedPay, NearestOption, SignAgreement, Study, Threshold

SIGNS = (-1, 0, 1)
"""The alternatives of a pair of `SignAgreement`."""


@dataclass(frozen=True, eq=False)
class Choices:
    """Choices among K alternatives, c of them; a row of answers makes one, or one a pair of `SignAgreement`.

    Attributes
    ----------
    coherent : (c, K) float array
        1 where the alternative would agree with the beliefs, else 0.
    chosen : (c,) int array
        Which alternative was taken.
    stratum : (c,) int array
        The treatment, and the pair where there are several, numbered from 0 in the order of the study.
    row : (c,) int array
        Which row of the answers it belongs to.
    """

    coherent: FloatArray
    chosen: IntArray
    stratum: IntArray
    row: IntArray


def choices_of(rule: CoherenceRule, study: Study, answers: pd.DataFrame) -> Choices:
    """Read answers as choices; rows to which the rule does not apply are left out.

    - ``MaximisesExpectedPay``: the alternatives are the actions; those with the highest expected pay are coherent.
    - ``NearestOption``: the alternatives are the options; the nearest one is coherent.
    - ``Threshold``: the alternatives are not to act and to act.
    - ``SignAgreement``: in each pair, the alternatives are a negative, a zero and a positive action; those without the
      opposite sign of the belief are coherent.

    Parameters
    ----------
    rule, study, answers
        As in `pilotlm.measures.coherence.incoherent`.

    Returns
    -------
    Choices

    Raises
    ------
    InputError
        As in `pilotlm.measures.coherence.incoherent`.
    """
    flags = incoherent(rule, study, answers)
    treatment = _numbered(answers["treatment"], [t.name for t in study.treatments])
    if isinstance(rule, SignAgreement):
        return _pairs(rule, as_numbers(study, answers), treatment, ~np.isnan(flags))
    action = answers[rule.action].to_numpy(dtype=float)
    if isinstance(rule, Threshold):
        acts = action == rule.acts
        coherent_if_acts = np.where(acts, 1 - flags, flags)
        coherent = np.column_stack([1 - coherent_if_acts, coherent_if_acts])
        chosen = acts.astype(np.int64)
    else:
        codes = _alternatives(rule)
        coherent = np.column_stack(
            [1 - incoherent(rule, study, answers.assign(**{rule.action: code})) for code in codes]
        )
        chosen = (action[:, None] == np.array(codes)).argmax(axis=1)
    kept = np.flatnonzero(~np.isnan(flags))
    return Choices(coherent[kept], chosen[kept], treatment[kept], kept)


def _alternatives(rule: MaximisesExpectedPay | NearestOption) -> list[int]:
    if isinstance(rule, NearestOption):
        return list(rule.options)
    return sorted({code for pay in rule.pay.values() for code in pay})


def _pairs(rule: SignAgreement, numbers: pd.DataFrame, treatment: IntArray, applies: NDArray[np.bool_]) -> Choices:
    rows = np.flatnonzero(applies)
    coherent, chosen, stratum = [], [], []
    for k, (belief, action) in enumerate(rule.pairs):
        signs = [np.sign(numbers[column].to_numpy(dtype=float)[rows]) for column in (belief, action)]
        coherent.append((signs[0][:, None] * np.array(SIGNS) >= 0).astype(float))
        chosen.append((signs[1] + 1).astype(np.int64))
        stratum.append(treatment[rows] * len(rule.pairs) + k)
    return Choices(np.vstack(coherent), np.concatenate(chosen), np.concatenate(stratum), np.tile(rows, len(rule.pairs)))


def _numbered(values: pd.Series, names: list[str]) -> IntArray:
    place = {name: k for k, name in enumerate(names)}
    return np.array([place[value] for value in values], dtype=np.int64)
