"""A language model and the logit fitted on the same pilot as one answerer.

It is what a practitioner wants, and it asks whether the language model adds anything to the statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.answering.filling import Law
from pilotlm.answering.forms import FormModel, folded_pilot, given_codes
from pilotlm.answering.opponents import fit_logit
from pilotlm.answering.pooling import choose_weight, pooled
from pilotlm.answering.respondent import Respondent
from pilotlm.answering.sampling import Reweigh, given_law
from pilotlm.instrument.pilot import Pilot
from pilotlm.study import Study

FEWEST_TO_CHOOSE = 20
"""With fewer people in the validation part the weight is one half: they would choose it little better than chance."""


@dataclass(frozen=True)
class PooledAnswerer:
    """The logit of a pilot and the weight at which a language model is pooled with it.

    Attributes
    ----------
    logit : FormModel
        Fitted on the whole pilot.
    weight : float
        The language model's, in [0, 1].
    """

    logit: FormModel
    weight: float

    def over(self, people: pd.DataFrame) -> Reweigh:
        """What makes the law of the pool out of that of the language model, for the rows of some people."""
        columns = [slot.column for slot in self.logit.slots]

        def reweigh(line: int, law: Law, values: NDArray[np.int64], rows: NDArray[np.int64]) -> Law:
            answered = {column: values[:, k] for k, column in enumerate(columns[:line])}
            own = people.iloc[rows].drop(columns=columns, errors="ignore").reset_index(drop=True).assign(**answered)
            return pooled(law, self.logit.line_log_law(line, own), self.weight)

        return reweigh


def pool_with_logit(
    answering: Respondent, study: Study, people: pd.DataFrame, pilot: Pilot, seed: int
) -> PooledAnswerer:
    """Fit the logit on a pilot, and choose the language model's weight on the pilot's validation part.

    Parameters
    ----------
    answering : Respondent
        The language model, fine-tuned on the pilot's training part.
    study : Study
        The study.
    people : DataFrame
        All participants.
    pilot : Pilot
        Whom the two learn from.
    seed : int
        The seed that the pilot was drawn by.

    Returns
    -------
    PooledAnswerer
        The logit is the baseline of that name. Its weight is one half where the validation part has fewer than
        `FEWEST_TO_CHOOSE` people. Else it is that under which they are most likely, pooled with a logit that has not
        seen them; the language model's training was stopped on them, so the weight favours it a little.
    """
    rows, folds = folded_pilot(study, people, pilot, seed)
    weight = 0.5
    if len(pilot.validation) >= FEWEST_TO_CHOOSE:
        unseen = rows["participant"].isin(pilot.validation).to_numpy()
        weight = _chosen(answering, fit_logit(study, rows[~unseen], folds[~unseen]), rows[unseen])
    return PooledAnswerer(fit_logit(study, rows, folds), weight)


def _chosen(answering: Respondent, logit: FormModel, validation: pd.DataFrame) -> float:
    """The weight under which some people, whom neither has been fitted on, are most likely."""
    laws = given_law(answering, validation).laws
    asked = [line for line, model in enumerate(logit.lines) if model is not None]
    theirs = [logit.line_log_law(line, validation) for line in asked]
    given = given_codes(logit.slots, validation)[:, asked]
    return choose_weight([laws[line] for line in asked], theirs, given).weight
