"""What is planned from a pilot: whether to go on, and with how many people; and whether that was right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from pilotlm.measures.intervals import FloatArray

SMALLEST_EFFECT = 0.2
"""Standard deviations: the smallest effect of interest; a pilot that sees less is not followed by a study."""
POWER, LEVEL = 0.8, 0.05


@dataclass(frozen=True)
class Planned:
    """How plans made from many pilots turned out.

    Attributes
    ----------
    right : float
        The share that went on where the effect is of interest, in its direction, or stopped where it is not.
    goes_on : float
        The share that went on.
    size : float
        Median people a group that those planned who went on; nan if nobody did.
    power : float
        Mean power of the planned studies against the true effect in the direction seen; nan if nobody went on.
    pilots : int
        How many there were.
    """

    right: float
    goes_on: float
    size: float
    power: float
    pilots: int


def people_a_group(effect: ArrayLike) -> FloatArray:
    """People a group for 80 % power at 5 %, two-sided, for a difference of two means.

    2 ((z(.975) + z(.8)) / effect)², rounded up: the usual normal approximation.

    Parameters
    ----------
    effect : array_like
        In standard deviations, not 0.

    Returns
    -------
    array

    References
    ----------
    Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, 2nd edition, chapter 2.
    """
    both = norm.ppf(1 - LEVEL / 2) + norm.ppf(POWER)
    return np.asarray(np.ceil(2 * np.square(both / np.asarray(effect, dtype=float))))


def power_of(effect: ArrayLike, group: ArrayLike) -> FloatArray:
    """The power of a two-sided test at 5 % with so many people a group, counting the effect's own direction only.

    Parameters
    ----------
    effect : array_like
        In standard deviations, positive where it has the direction that is tested for.
    group : array_like
        People a group.

    Returns
    -------
    array
        0 to 1.
    """
    shift = np.asarray(effect, dtype=float) * np.sqrt(np.asarray(group, dtype=float) / 2)
    return np.asarray(norm.sf(norm.ppf(1 - LEVEL / 2) - shift))


def replayed(seen: ArrayLike, truth: float) -> Planned:
    """Plan a study from each of many pilots, and hold the plans against the truth.

    Parameters
    ----------
    seen : (pilots,) array_like
        The effect that each estimated, in standard deviations; those without an estimate (nan) are left out.
    truth : float
        The effect in all people, in the same unit.

    Returns
    -------
    Planned
    """
    effects = np.asarray(seen, dtype=float)
    effects = effects[np.isfinite(effects)]
    nan = float("nan")
    if not len(effects):
        return Planned(nan, nan, nan, nan, 0)
    going = np.abs(effects) >= SMALLEST_EFFECT
    interesting = abs(truth) >= SMALLEST_EFFECT
    right = going & (np.sign(effects) == np.sign(truth)) if interesting else ~going
    if not going.any():
        return Planned(float(right.mean()), 0.0, nan, nan, len(effects))
    sizes = people_a_group(effects[going])
    power = power_of(truth * np.sign(effects[going]), sizes)
    return Planned(float(right.mean()), float(going.mean()), float(np.median(sizes)), float(power.mean()), len(effects))
