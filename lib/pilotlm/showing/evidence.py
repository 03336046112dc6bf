"""The measures of one study, seeds averaged, as the verdicts and the sentences of the paper read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.analyses.compared import METRIC_COLUMNS, scaled
from pilotlm.arms import Arm, Arms
from pilotlm.measures.seeds import interval_over_seeds
from pilotlm.responses import HUMAN
from pilotlm.study import Study

KEYS = ["study", "arm", "metric", "item", "subgroup", "against"]
UNIT = frozenset({
    "total_variation", "wasserstein", "gap", "gap_independent", "gap_not_applicable", "classifier_auc",
    "estimator_coverage", "plan_right", "wrongly_used", "wrongly_rectified", "wrongly_refused",
})  # fmt: skip
"""Measures that lie between 0 and 1, beside those with an ending of `UNIT_ENDS`."""
UNIT_ENDS = ("_distance", "_share", "sign_f1", "false_positive_rate", "_at_n", "calibration_error")


@dataclass(frozen=True)
class Value:
    """A measure of one arm.

    Attributes
    ----------
    estimate, low, high : float
        The mean over the seeds with its interval; the ends are nan where the measure has none.
    human, floor, ceiling : float
        As in `pilotlm.analyses.compared.METRIC_COLUMNS`.
    n : float
        Rows, the smallest over the seeds.
    """

    estimate: float
    low: float
    high: float
    human: float
    floor: float
    ceiling: float
    n: float

    @property
    def known(self) -> bool:
        """Whether there is an estimate."""
        return not math.isnan(self.estimate)

    @property
    def half(self) -> float:
        """Half the length of the interval; 0 where there is none."""
        return 0.0 if math.isnan(self.high - self.low) else (self.high - self.low) / 2


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that one study's run says.

    Attributes
    ----------
    study : Study
        The study.
    table : DataFrame
        Its rows of `over_seeds`.
    arms : Arms
        The declared arms.
    """

    study: Study
    table: pd.DataFrame
    arms: Arms

    @cached_property
    def _values(self) -> dict[tuple[str, str, str, str], Value]:
        columns = ["arm", "metric", "item", "subgroup"]
        numbers = ["estimate", "low", "high", "human", "floor", "ceiling", "n"]
        keys = self.table[columns].astype(object).fillna("").itertuples(index=False, name=None)
        rows = self.table[numbers].astype(float).itertuples(index=False, name=None)
        return {key: Value(*row) for key, row in zip(keys, rows, strict=True)}

    def value(self, arm: str, metric: str, item: str | None = None, subgroup: str = "") -> Value | None:
        """A measure of an arm; None where it was not taken. Without ``item``, the first one of the metric."""
        if item is not None:
            return self._values.get((arm, metric, item, subgroup))
        return next((v for k, v in self._values.items() if k[:2] == (arm, metric)), None)

    def groups(self, variable: str) -> list[str]:
        """The groups of a variable that were compared, in the order of the table."""
        rows = self.table[(self.table["metric"] == "subgroup_distance") & (self.table["item"] == variable)]
        return list(dict.fromkeys(rows["subgroup"].dropna().astype(str)))

    @cached_property
    def present(self) -> list[Arm]:
        """The arms that were run, in the order in which they are declared."""
        names = set(self.table["arm"]) - {HUMAN}
        return [arm for name, arm in self.arms.arms.items() if name in names]

    @property
    def base(self) -> Arm | None:
        """The base model, if it was run."""
        return next((arm for arm in self.present if arm.name == "base"), None)

    @property
    def tuned(self) -> list[Arm]:
        """The fine-tuned models that were run as the paper runs them: no negative control, no variant of the prompt."""
        return [arm for arm in self.present if arm.is_trained and not arm.is_variant]

    def opponents(self, arm: Arm) -> list[Arm]:
        """The opponents fitted on the same rows as an arm."""
        return [other for other in self.present if other.pilot == arm.pilot and not other.is_model]


def scores(evidence: Evidence, arms: Sequence[Arm]) -> dict[str, tuple[Value, Value]]:
    """F1 and false-positive rate of each arm that has them."""
    f1 = values_of(evidence, arms, "sign_f1", "all")
    rate = values_of(evidence, arms, "false_positive_rate", "all")
    return {name: (f1[name], rate[name]) for name in f1 if name in rate}


def values_of(evidence: Evidence, arms: Sequence[Arm], metric: str, item: str | None = None) -> dict[str, Value]:
    """A measure of each arm that has it."""
    values = {arm.name: evidence.value(arm.name, metric, item) for arm in arms}
    return {name: value for name, value in values.items() if value is not None}


def clear_sign(larger: Value, smaller: Value) -> int:
    """1 where the first is clearly larger than the second, -1 where it is clearly smaller, else 0.

    Clear is a difference beyond the intervals of both, half lengths added in quadrature. Intervals that share their
    people are treated as independent, which makes a clear difference rarer.
    """
    difference = larger.estimate - smaller.estimate
    clear = abs(difference) > math.hypot(larger.half, smaller.half)
    return int(math.copysign(1, difference)) if clear else 0


def over_seeds(metrics: pd.DataFrame) -> pd.DataFrame:
    """Average the seeds of each arm.

    The estimate is the mean over the seeds; its interval holds what differs between seeds, that is pilot draw, training
    and sampling, beside what the interval of a seed holds (`pilotlm.measures.seeds.interval_over_seeds`), at the level
    of the seeds' own: 90 % in tests of equivalence, else 95 %. Shares, rates and distances keep to 0 and 1. p-values
    are not averaged: of several seeds there is none.

    Parameters
    ----------
    metrics : DataFrame
        A tidy table.

    Returns
    -------
    DataFrame
        One row an arm and measure, with the columns of the table but ``seed``, and ``seeds``, how many there are;
        ``scaled`` is that of the means.
    """
    if metrics.empty:
        return pd.DataFrame(columns=[*(c for c in METRIC_COLUMNS if c != "seed"), "seeds"])
    sides = metrics.assign(below=metrics["estimate"] - metrics["low"], above=metrics["high"] - metrics["estimate"])
    groups = sides.groupby(KEYS, sort=False, dropna=False)
    table = groups.agg(
        estimate=("estimate", "mean"), below=("below", "mean"), above=("above", "mean"), human=("human", "first"),
        floor=("floor", "mean"), ceiling=("ceiling", "mean"), n=("n", "min"), seeds=("seed", "nunique"),
        variance=("estimate", "var"),
    ).reset_index()  # fmt: skip
    tests = table["metric"].str.contains("equivalence").to_numpy()
    low, high = np.where(tests, _ends(table, 0.90), _ends(table, 0.95))
    within = (table["metric"].isin(UNIT) | table["metric"].str.endswith(UNIT_ENDS)).to_numpy()
    # A mean of p-values is none.
    averaged = table["metric"].str.endswith(("_p", "p_value")) & (table["seeds"] > 1)
    table["estimate"] = table["estimate"].mask(averaged)
    table["low"], table["high"] = np.where(within, low.clip(0, 1), low), np.where(within, high.clip(0, 1), high)
    return table.assign(scaled=scaled(table)).drop(columns=["below", "above", "variance"])


def _ends(table: pd.DataFrame, level: float) -> NDArray[np.float64]:
    """(2, rows): the ends of the intervals of means over seeds."""
    sides = (table["below"], table["above"])
    return np.array(interval_over_seeds(table["estimate"], *sides, table["variance"], table["seeds"], level))


def gather(metrics: pd.DataFrame, studies: Mapping[str, Study], arms: Arms) -> list[Evidence]:
    """The evidence of each study that has any, in the order of ``studies``."""
    table = over_seeds(metrics)
    present: Sequence[Any] = table["study"].unique().tolist()
    return [Evidence(study, table[table["study"] == name], arms) for name, study in studies.items() if name in present]
