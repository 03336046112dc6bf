"""The decision on augmenting a pilot: a verdict on each target from stated rules, and one on the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pilotlm.analyses.common import Compared
from pilotlm.analyses.rectification import Target, judgements, known, targets
from pilotlm.arms import Arms
from pilotlm.errors import InputError
from pilotlm.responses import count_people
from pilotlm.stats.decision import VERDICTS, Judgement, Place, Verdict, people_to_pay, worth
from pilotlm.stats.intervals import FloatArray
from pilotlm.study import Study

SPLITS = 49
"""Places on a curve of allocations."""


@dataclass(frozen=True, eq=False)
class Decision:
    """What may be done with the predictions of one arm and seed: its targets, a judgement each, and the rules' numbers.

    ``teaching`` are in the fine-tuning sample, ``asked`` are held-out people with simulated answers of all
    ``held_out``; ``margin`` is in standard deviations of an answer, ``others`` how many people would be simulated.
    """

    arm: str
    seed: int
    targets: tuple[Target, ...]
    judged: tuple[Judgement, ...]
    teaching: int
    asked: int
    held_out: int
    margin: float
    others: int

    @property
    def verdict(self) -> Verdict:
        """The verdict on the study.

        "use" where that is the verdict on every target: whoever takes simulated people for people does so for all; "use
        with rectification" where at least half of the targets have that verdict or "use"; else "do not use".
        """
        said = [one.verdict for one in self.judged]
        if said and all(one == "use" for one in said):
            return "use"
        gains = sum(one != "do not use" for one in said)
        return "use with rectification" if said and 2 * gains >= len(said) else "do not use"

    def counted(self, verdict: Verdict) -> int:
        """How many targets have a verdict."""
        return sum(one.verdict == verdict for one in self.judged)

    def at(self, place: Place) -> list[Target]:
        """The targets whose interval of the bias lies there."""
        return [target for target, one in zip(self.targets, self.judged, strict=True) if one.place == place]

    @property
    def to_settle(self) -> float:
        """About how many held-out people would settle whether simulated people may stand for people; nan if unknown.

        That needs every target to be within the margin: one that is shown to be outside settles it, of those that seem
        to be outside the one that needs the fewest people; where none seems to be, all must be shown to be inside.
        """
        needed = self._needed
        if self.at("outside") or not needed:
            return float(self.asked)
        beyond = self.seems_outside
        return needed[beyond.name] if beyond else float(np.max(list(needed.values())))

    @property
    def seems_outside(self) -> Target | None:
        """The open target with its bias beyond the margin that needs the fewest people; None where there is none."""
        beyond = {t.name: t for t, one in self._open if abs(one.bias.value) > self.margin}
        known = {name: people for name, people in self._needed.items() if name in beyond and np.isfinite(people)}
        return beyond[min(known, key=lambda name: known[name])] if known else None

    @property
    def _open(self) -> list[tuple[Target, Judgement]]:
        return [pair for pair in zip(self.targets, self.judged, strict=True) if pair[1].place == "open"]

    @property
    def _needed(self) -> dict[str, float]:
        """About how many held-out people would settle each open target: an effect has those of two treatments only."""
        return {target.name: one.to_settle * self.asked / max(one.bias.n, 1) for target, one in self._open}

    @property
    def correlation(self) -> float:
        """The median over targets of the absolute correlation of answers and predictions; nan without one."""
        return self._median([abs(one.correlation.value) for one in self.judged])

    @property
    def worth(self) -> float:
        """The median over targets of the effective sample size of all people."""
        return self._median([one.worth.value for one in self.judged])

    @property
    def people_needed(self) -> float:
        """From how many held-out people on the fine-tuning sample is made up for, at the median correlation."""
        return people_to_pay(self.correlation, self.teaching)

    @staticmethod
    def _median(values: Sequence[float]) -> float:
        there = [value for value in values if np.isfinite(value)]
        return float(np.median(there)) if there else float("nan")


def decide(study: Study, one: Compared, people: pd.DataFrame, others: int, margin: float) -> Decision:
    """Judge the predictions of an arm by the people held out from it; of all people the rest are what it learnt from.

    ``others`` is how many people would be simulated, ``margin`` in standard deviations of an answer, above 0. An
    `InputError` says that people whom the arm learnt from are among those compared.
    """
    teaching = count_people(people) - count_people(one.human)
    if teaching <= 0:
        raise InputError("A decision needs people whom the arm has not learnt from; compare with those held out.")
    wanted = targets(study, one.human)
    numbers = known(study, wanted, one)
    judged = judgements(numbers, teaching, others, margin)
    asked = max((number.people for number in numbers), default=0)
    sizes = teaching, asked, count_people(one.human)
    return Decision(one.arm, one.seed, tuple(wanted), tuple(judged), *sizes, margin, others)


@dataclass(frozen=True, eq=False)
class Split:
    """The effective sample size of people by how many are the fine-tuning sample, (k,), and the correlation needed."""

    people: int
    teaching: FloatArray
    worth: FloatArray
    needed: FloatArray


def allocation(people: int, correlation: float, others: float) -> Split:
    """The curve of allocations of people, for a correlation that does not depend on the fine-tuning sample."""
    shares = np.arange(SPLITS) / (SPLITS + 1)
    teaching = shares * people
    value = np.array([float(worth(people, t, correlation, others)) for t in teaching])
    rest = people - teaching
    squared = shares * (rest + others) / others
    return Split(people, teaching, value, np.where(squared <= 1, np.sqrt(np.minimum(squared, 1)), np.nan))


def candidates(compared: Sequence[Compared], arms: Arms) -> list[Compared]:
    """The arms that a pilot may be augmented with: every fine-tuned model, alone or pooled, that is not a variant.

    Where nothing was fine-tuned, the logit fitted on the pilot: the page then says what plain statistics are worth.
    """
    every = [(one, arms.arm(one.arm)) for one in compared]
    tuned = [one for one, arm in every if arm.answerer in ("tuned", "pooled") and not arm.is_variant]
    return tuned or [one for one, arm in every if arm.answerer == "logit"]


def least_favourable(decisions: Sequence[Decision]) -> Verdict:
    """The verdict on a study over arms and seeds of one kind: no better than that of any of them."""
    return max((one.verdict for one in decisions), key=VERDICTS.index, default="do not use")
