"""How much nearer to people an arm is than the best baseline fitted on the same people."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from pilotlm.arms import Arm
from pilotlm.report.evidence import PRIMARY, Evidence, Interval, Value

Advantage = Callable[[Evidence, Arm, Arm], Interval | None]
"""By how much an arm is nearer to people than a baseline; None where it cannot be told.

Each is put on the scale on which another sample of people is 0 and the random benchmark 1
(`pilotlm.report.evidence.Value.placed`). The advantage is the baseline's place less the arm's: above 0 the arm is
nearer to people; 1 is the whole way from the random benchmark to people. The interval takes the two as independent;
they share their people, which makes it too long rather than too short.
"""


def _of(metric: str, item: str | None, either_side: bool = False) -> Advantage:
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
    return replace(place, estimate=abs(place.estimate), low=0.0 if place.holds(0) else low, high=high)


primary_advantage = _of(*PRIMARY)
"""The advantage in the primary measure."""
coherence_advantage = _of("gap", None, either_side=True)
"""In the gap, from people's (0) to the arm's own level under independence (1); it can miss people's on either side."""
coefficients_advantage = _of("concordance", "all")
"""In the concordance of the regressions' coefficients with people's."""
