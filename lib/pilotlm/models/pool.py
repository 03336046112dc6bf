"""A language model pooled with the logit fitted on the same pilot, each with weight one half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.baselines.fit import fit_logit
from pilotlm.baselines.pooling import pooled
from pilotlm.baselines.sequential import FormModel, folded_pilot
from pilotlm.data.pilot import Pilot
from pilotlm.models.answer_scoring import Distribution
from pilotlm.models.simulate import Reweigh
from pilotlm.study import Study


@dataclass(frozen=True)
class PooledAnswerer:
    """The logit fitted on a pilot, which the language model's distributions are pooled with."""

    logit: FormModel

    def over(self, people: pd.DataFrame) -> Reweigh:
        """What makes the distribution of the pool out of that of the language model, for the rows of some people."""
        columns = [slot.column for slot in self.logit.slots]

        def reweigh(
            line: int, distribution: Distribution, values: NDArray[np.int64], rows: NDArray[np.int64]
        ) -> Distribution:
            answered = {column: values[:, k] for k, column in enumerate(columns[:line])}
            own = people.iloc[rows].drop(columns=columns, errors="ignore").reset_index(drop=True).assign(**answered)
            return pooled(distribution, self.logit.line_log_distribution(line, own))

        return reweigh


def pool_with_logit(study: Study, people: pd.DataFrame, pilot: Pilot, seed: int) -> PooledAnswerer:
    """Fit the logit, the baseline of that name, on the pilot that a language model was fine-tuned on.

    Parameters
    ----------
    study, people, pilot, seed
        The study, all participants, whom the two learn from, and the seed that the pilot was drawn by.

    Returns
    -------
    PooledAnswerer
    """
    return PooledAnswerer(fit_logit(study, *folded_pilot(study, people, pilot, seed)))
