"""A language model and the logit fitted on the same rows as one answerer.

It is what a practitioner wants, and it asks whether the language model adds anything to the statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.answering.filling import Law
from pilotlm.answering.forms import FormModel, given_codes
from pilotlm.answering.opponents import fit_logit
from pilotlm.answering.pooling import Pool, choose_weight, pooled
from pilotlm.answering.respondent import Respondent
from pilotlm.answering.sampling import Reweigh, given_law
from pilotlm.study import Study


@dataclass(frozen=True)
class PooledAnswerer:
    """The logit of a pilot and the weight at which a language model is pooled with it.

    Attributes
    ----------
    logit : FormModel
        Fitted on the pilot's training part.
    pool : Pool
        The language model's weight, chosen on the validation part.
    """

    logit: FormModel
    pool: Pool

    def over(self, people: pd.DataFrame) -> Reweigh:
        """What makes the law of the pool out of that of the language model, for the rows of some people."""
        columns = [slot.column for slot in self.logit.slots]

        def reweigh(line: int, law: Law, values: NDArray[np.int64], rows: NDArray[np.int64]) -> Law:
            answered = {column: values[:, k] for k, column in enumerate(columns[:line])}
            own = people.iloc[rows].drop(columns=columns, errors="ignore").reset_index(drop=True).assign(**answered)
            return pooled(law, self.logit.line_log_law(line, own), self.pool.weight)

        return reweigh


def pool_with_logit(
    answering: Respondent, study: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> PooledAnswerer:
    """Fit the logit on a pilot, and choose the language model's weight on the pilot's validation part.

    Parameters
    ----------
    answering : Respondent
        The language model, fine-tuned on ``train``.
    study : Study
        The study.
    train, validation : DataFrame
        The two parts of the pilot. Both answerers chose settings on the validation part too, so the weight favours the
        one that fitted it more closely.

    Returns
    -------
    PooledAnswerer
    """
    logit = fit_logit(study, train, validation)
    filled = given_law(answering, validation)
    asked = [line for line, model in enumerate(logit.lines) if model is not None]
    given = given_codes(logit.slots, validation)[:, asked]
    theirs = [logit.line_log_law(line, validation) for line in asked]
    return PooledAnswerer(logit, choose_weight([filled.laws[line] for line in asked], theirs, given))
