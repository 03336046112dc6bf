"""A language model pooled with a baseline fitted on the same pilot, each with weight one half.

The copula is the usual baseline: it was the better partner in pilots of thirty people that were drawn after that had
been supposed (docs/thirty.qmd).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.baselines.fit import FITS
from pilotlm.baselines.pooling import pooled
from pilotlm.baselines.sequential import FormModel, folded_pilot
from pilotlm.data.pilot import Pilot
from pilotlm.models.answer_scoring import Distribution
from pilotlm.models.simulate import Reweigh
from pilotlm.study import Study


@dataclass(frozen=True)
class PooledAnswerer:
    """The baseline fitted on a pilot, which the language model's distributions are pooled with."""

    baseline: FormModel

    def over(self, people: pd.DataFrame) -> Reweigh:
        """What makes the distribution of the pool out of that of the language model, for the rows of some people."""
        columns = [slot.column for slot in self.baseline.slots]

        def reweigh(
            line: int, distribution: Distribution, values: NDArray[np.int64], rows: NDArray[np.int64]
        ) -> Distribution:
            answered = {column: values[:, k] for k, column in enumerate(columns[:line])}
            own = people.iloc[rows].drop(columns=columns, errors="ignore").reset_index(drop=True).assign(**answered)
            return pooled(distribution, self.baseline.line_log_distribution(line, own))

        return reweigh


def pool_with(baseline: str, study: Study, people: pd.DataFrame, pilot: Pilot, seed: int) -> PooledAnswerer:
    """Fit a baseline, a key of `pilotlm.baselines.fit.FITS`, on the pilot that a language model was fine-tuned on.

    ``people`` are all participants, ``seed`` is the one that the pilot was drawn by.
    """
    return PooledAnswerer(FITS[baseline](study, *folded_pilot(study, people, pilot, seed)))
