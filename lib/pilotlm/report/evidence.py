"""The measures of one study, seeds averaged, with the intervals that verdicts and sentences of the paper rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t

from pilotlm.analyses.accuracy import best_baseline
from pilotlm.analyses.common import METRIC_COLUMNS, scaled
from pilotlm.arms import Arm, Arms
from pilotlm.report.labels import plain_tuned
from pilotlm.responses import HUMAN
from pilotlm.stats.intervals import degrees_over_seeds, interval_over_seeds
from pilotlm.study import Study

EVIDENCE_KEYS = ["study", "arm", "metric", "item", "subgroup", "against"]
PRIMARY = ("joint_distance", "answers")
"""Metric and item of the one measure that the headline and the first figure use, on the scale of `Value.placed`.

It was named before any comparison was made, as was the baseline that it is compared with
(`pilotlm.analyses.accuracy.best_baseline`); the paper's section on methods says so.
"""
PRIMARY_IN_WORDS = (
    "the Jensen-Shannon distance of all answers together to people's, on the scale on which 0 is another sample of "
    "people and 1 is random answers"
)
ROLES = {
    "base": "Base model", "tuned": "Fine-tuned", "pooled": "Fine-tuned and a baseline, pooled",
    "baseline": "Best baseline", "bootstrap": "Resampled pilot",
}  # fmt: skip
"""What stands in the paper's tables and figures: key, name."""
UNIT_ENDS = ("_distance", "_share", "sign_f1", "false_positive_rate", "gap", "gap_independent")
"""How the names of measures end that lie between 0 and 1."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, nan where there is none.

    ``degrees`` are those of the t distribution behind it, ``tail`` is how often each end errs: .025, in tests of
    equivalence .05.
    """

    estimate: float
    low: float
    high: float
    degrees: float = math.inf
    tail: float = 0.025

    @property
    def known(self) -> bool:
        """Whether there is an estimate."""
        return not math.isnan(self.estimate)

    @property
    def half(self) -> float:
        """Half the length of the interval; 0 where there is none."""
        return 0.0 if math.isnan(self.high - self.low) else (self.high - self.low) / 2

    @property
    def detectable(self) -> float:
        """The smallest difference that an interval as long as this would have told with a chance of 80 %."""
        usual, power = (float(t.isf(tail, self.degrees)) for tail in (self.tail, 0.2))
        return self.half * (usual + power) / usual

    def times(self, factor: float) -> Interval:
        """The same in another unit, of which there are ``factor`` in one of this."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Interval(factor * self.estimate, low, high, self.degrees, self.tail)

    def minus(self, other: Interval | float) -> Interval:
        """The difference to a known number, or to another estimate.

        Two estimates are taken as independent, which is cautious where they share their people: the distances of the
        ends from the estimates are added in quadrature, side by side (Zou & Donner 2008, Construction of confidence
        limits about effect measures, Statistics in Medicine 27, 1693-1702).
        """
        less = other if isinstance(other, Interval) else Interval(other, other, other)
        apart = self.estimate - less.estimate
        below = math.hypot(self.estimate - self.low, less.high - less.estimate)
        above = math.hypot(self.high - self.estimate, less.estimate - less.low)
        return Interval(apart, apart - below, apart + above, min(self.degrees, less.degrees), self.tail)

    @property
    def times_longer(self) -> float:
        """How many times as many pilots would tell the estimate from 0 with a chance of 80 %, were it as it is."""
        if not self.estimate or math.isnan(self.low + self.high):
            return math.inf
        usual, power = (float(t.isf(tail, self.degrees)) for tail in (self.tail, 0.2))
        half = self.estimate - self.low if self.estimate > 0 else self.high - self.estimate
        return (half / abs(self.estimate) * (usual + power) / usual) ** 2

    def among(self, comparisons: int) -> Interval:
        """The interval lengthened for the number of comparisons that it is one of (Bonferroni)."""
        wide, usual = (float(t.isf(tail, self.degrees)) for tail in (self.tail / comparisons, self.tail))
        below, above = self.estimate - self.low, self.high - self.estimate
        low, high = self.estimate - below * wide / usual, self.estimate + above * wide / usual
        return Interval(self.estimate, low, high, self.degrees, self.tail)


NOTHING_KNOWN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Value(Interval):
    """A measure of one arm, the mean over the seeds, with its benchmarks; ``n`` rows, the smallest over the seeds."""

    human: float = math.nan
    human_benchmark: float = math.nan
    random_benchmark: float = math.nan
    n: float = math.nan

    @property
    def placed(self) -> Interval:
        """On the scale on which another sample of people is 0 and the random benchmark 1; nan where there is none.

        There is none where the two benchmarks are nearer to each other than half the interval is long, as in
        `pilotlm.analyses.common.scaled`.
        """
        width = self.random_benchmark - self.human_benchmark
        if not self.known or math.isnan(width) or abs(width) <= max(self.half, 1e-9):
            return NOTHING_KNOWN
        return self.minus(self.human_benchmark).times(1 / width)


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that one study's run says: its rows of `over_seeds`, and ``measured``, those of the tidy table."""

    study: Study
    table: pd.DataFrame
    arms: Arms
    measured: pd.DataFrame

    @cached_property
    def _values(self) -> dict[tuple[str, str, str, str], Value]:
        columns = ["arm", "metric", "item", "subgroup"]
        numbers = ["estimate", "low", "high", "degrees", "tail", "human", "human_benchmark", "random_benchmark", "n"]
        keys = self.table[columns].astype(object).fillna("").itertuples(index=False, name=None)
        rows = self.table[numbers].astype(float).itertuples(index=False, name=None)
        return {key: Value(*row) for key, row in zip(keys, rows, strict=True)}

    def value(self, arm: str, metric: str, item: str | None = None, subgroup: str = "") -> Value | None:
        """A measure of an arm; None where it was not taken. Without ``item``, that of the study's rule of coherence."""
        rule = self.study.coherence.kind if self.study.coherence else ""
        return self._values.get((arm, metric, rule if item is None else item, subgroup))

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

    @cached_property
    def main(self) -> dict[str, Arm]:
        """The arms that stand in the paper's tables and figures, by their role (`ROLES`), as far as they were run."""
        tuned = plain_tuned(self.arms, [arm.name for arm in self.present])
        pilot = (tuned or self.base or next(iter(self.arms.arms.values()))).pilot
        found = {
            "base": self.base,
            "tuned": tuned,
            "pooled": next((a for a in self.present if a.answerer == "pooled" and a.pilot == pilot), None),
            "baseline": self.baseline(tuned) if tuned else None,
            "bootstrap": next((a for a in self.present if a.answerer == "bootstrap" and a.pilot == pilot), None),
        }
        return {role: arm for role, arm in found.items() if arm is not None}

    @cached_property
    def _baselines(self) -> dict[str, str | None]:
        pilots = {arm.pilot for arm in self.present}
        return {pilot: best_baseline(self.measured, self.study.name, pilot, self.arms) for pilot in pilots}

    def baseline(self, arm: Arm) -> Arm | None:
        """The best baseline fitted on an arm's pilot; None where the run does not say which one that is."""
        name = self._baselines[arm.pilot]
        return next((other for other in self.present if other.name == name), None)


def values_of(evidence: Evidence, arms: Sequence[Arm], metric: str, item: str | None = None) -> dict[Arm, Value]:
    """A measure of each arm that has it."""
    values = {arm: evidence.value(arm.name, metric, item) for arm in arms}
    return {arm: value for arm, value in values.items() if value is not None}


Advantage = Callable[[Evidence, Arm, Arm], Interval | None]
"""By how much an arm is nearer to people than a baseline; None where it cannot be told.

It is the baseline's place less the arm's on the scale of `Value.placed`: above 0 the arm is nearer to people; 1 is the
whole way from the random benchmark to people. The interval takes the two as independent; they share their people, which
makes it too long rather than too short.
"""


def _advantage(metric: str, item: str | None, either_side: bool = False) -> Advantage:
    def advantage(evidence: Evidence, arm: Arm, baseline: Arm) -> Interval | None:
        ours, theirs = (_place(evidence.value(one.name, metric, item), either_side) for one in (arm, baseline))
        return None if ours is None or theirs is None else theirs.minus(ours)

    return advantage


def _place(value: Value | None, either_side: bool) -> Interval | None:
    if value is None or math.isnan(value.placed.low):
        return None
    place = value.placed
    if not either_side:
        return place
    low, high = sorted(abs(end) for end in (place.low, place.high))
    return replace(place, estimate=abs(place.estimate), low=0.0 if place.low <= 0 <= place.high else low, high=high)


primary_advantage = _advantage(*PRIMARY)
"""The advantage in the primary measure."""
coherence_advantage = _advantage("gap", None, either_side=True)
"""In the gap, from people's (0) to the arm's own level under independence (1); it can miss people's on either side."""
coefficients_advantage = _advantage("concordance", "all")
"""In the concordance of the regressions' coefficients with people's."""


def over_seeds(metrics: pd.DataFrame) -> pd.DataFrame:
    """Average the seeds of each arm.

    The estimate is the mean over the seeds; its interval holds what differs between seeds, that is pilot draw, training
    and sampling, beside what the interval of a seed holds (`pilotlm.stats.intervals.interval_over_seeds`), at the
    level of the seeds' own: 90 % in tests of equivalence, else 95 %. Shares, rates and distances keep to 0 and 1.
    p-values are not averaged: of several seeds there is none.

    Returns
    -------
    DataFrame
        One row an arm and measure, with the columns of the tidy table but ``seed``, and ``seeds``, how many there are,
        ``degrees`` and ``tail`` as in `Interval`; ``scaled`` is that of the means.
    """
    if metrics.empty:
        return pd.DataFrame(columns=[*(c for c in METRIC_COLUMNS if c != "seed"), "seeds", "degrees", "tail"])
    sides = metrics.assign(below=metrics["estimate"] - metrics["low"], above=metrics["high"] - metrics["estimate"])
    groups = sides.groupby(EVIDENCE_KEYS, sort=False, dropna=False)
    table = groups.agg(
        estimate=("estimate", "mean"), below=("below", "mean"), above=("above", "mean"), human=("human", "first"),
        human_benchmark=("human_benchmark", "mean"), random_benchmark=("random_benchmark", "mean"), n=("n", "min"),
        seeds=("estimate", "count"),
        variance=("estimate", "var"),
    ).reset_index()  # fmt: skip
    # A seed without an estimate is no part of a mean; where none has one, the row stays as it is.
    table["seeds"] = table["seeds"].clip(lower=1)
    tests = table["metric"].str.contains("equivalence").to_numpy()
    low, high, degrees = np.where(tests, _ends(table, 0.90), _ends(table, 0.95))
    table = table.assign(degrees=degrees, tail=np.where(tests, 0.05, 0.025))
    within = table["metric"].str.endswith(UNIT_ENDS).to_numpy()
    # A mean of p-values is none.
    averaged = table["metric"].str.endswith(("_p", "p_value")) & (table["seeds"] > 1)
    table["estimate"] = table["estimate"].mask(averaged)
    table["low"], table["high"] = np.where(within, low.clip(0, 1), low), np.where(within, high.clip(0, 1), high)
    return table.assign(scaled=scaled(table)).drop(columns=["below", "above", "variance"])


def _ends(table: pd.DataFrame, level: float) -> NDArray[np.float64]:
    """(3, rows): the ends of the intervals of means over seeds, and their degrees of freedom."""
    spread = (table["below"], table["above"], table["variance"], table["seeds"], level)
    return np.array([*interval_over_seeds(table["estimate"], *spread), degrees_over_seeds(*spread)])


def gather(metrics: pd.DataFrame, studies: Mapping[str, Study], arms: Arms) -> list[Evidence]:
    """The evidence of each study that has any, in the order of ``studies``."""
    table = over_seeds(metrics)
    return [
        Evidence(study, table[table["study"] == name], arms, metrics[metrics["study"] == name])
        for name, study in studies.items()
        if name in set(table["study"])
    ]
