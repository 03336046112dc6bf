"""The interval of a Jensen-Shannon distance from half-samples, against their distances in a loop over scipy.

Run from the project's folder: ``python -m benchmarks.statistics``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from pilotlm.stats.comparisons import comparison, draw_halves, spread

PEOPLE, CELLS, REPEATS = 929, 21, 200
"""As many people as in the paper's experiment, a slider in steps of 5 from 0 to 100, and the notebooks' repeats."""

Codes = NDArray[np.int64]


def half_sampling(rounds: int = 3, seed: int = 1) -> dict[str, Any]:
    """Time the value and the interval of one answer column's distance, ours and with a loop over scipy calls.

    Either draws 200 halves of 929 simulated rows and 200 of 929 people and takes the distance of each of the one to
    each of the other, 40,000 in all, which is what `pilotlm.stats.comparisons.compare` makes its interval of. Ours
    also gives the human benchmark and the random benchmark, and its interval takes more of the table into account.
    The loop draws each half with ``Generator.permutation``, counts it with ``numpy.bincount`` and calls
    ``scipy.spatial.distance.jensenshannon`` once a pair.

    The gain is in the distances, not in the draws: with each half held against one other only, drawing rows is most of
    the work for both, and ours is less than twice as fast. Without crossing, an interval whose length is as well known
    needs almost three times as many draws.

    Parameters
    ----------
    rounds : int
        How often each is timed, one after the other; the fastest counts.
    seed : int
        Of the answers and of all draws.

    Returns
    -------
    dict
        ``name``, ``peer``, ``ratio`` (theirs over ours, larger is better), ``ours`` and ``theirs`` in ``unit``, and
        ``settings``, with ``largest_difference`` between the distances of both on the same halves.

    Raises
    ------
    ArithmeticError
        If the two disagree by more than 1e-8: then a time means nothing.
    """
    simulated, human = _answers(seed)
    difference = _largest_difference(simulated, human, seed)
    if difference > 1e-8:
        raise ArithmeticError(f"Ours and scipy's distances differ by {difference:g}.")
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_seconds(lambda: _ours(simulated, human, np.random.default_rng(seed))))
        theirs.append(_seconds(lambda: _theirs(simulated, human, np.random.default_rng(seed))))
    return {
        "name": "half-sampling of a Jensen-Shannon distance",
        "peer": "a loop over scipy.spatial.distance.jensenshannon",
        "ratio": min(theirs) / min(ours),
        "ours": min(ours),
        "theirs": min(theirs),
        "unit": "seconds",
        "settings": {
            "people": PEOPLE, "cells": CELLS, "halves": REPEATS, "distances": REPEATS**2, "rounds": rounds,
            "seed": seed, "largest_difference": difference,
        },
    }  # fmt: skip


def _answers(seed: int) -> tuple[Codes, Codes]:
    rng = np.random.default_rng(seed)
    distributions = rng.dirichlet(np.full(CELLS, 0.5), size=2)
    simulated, human = (rng.choice(CELLS, size=PEOPLE, p=distribution) for distribution in distributions)
    return simulated, human


def _ours(simulated: Codes, human: Codes, rng: np.random.Generator) -> None:
    halves = draw_halves(len(simulated), len(human), REPEATS, rng)
    comparison(spread(simulated, human, CELLS, halves, rng))


def _theirs(simulated: Codes, human: Codes, rng: np.random.Generator) -> None:
    h = min(len(simulated), len(human)) // 2
    halves = [[rng.permutation(len(codes))[:h] for _ in range(REPEATS)] for codes in (simulated, human)]
    distances = _loop(simulated, human, halves[0], halves[1])
    rows, columns = distances.mean(axis=1), distances.mean(axis=0)
    spread_of_mean = np.sqrt(rows.var(ddof=1) + columns.var(ddof=1))
    distances.mean() - 1.96 * spread_of_mean, distances.mean() + 1.96 * spread_of_mean


def _loop(simulated: Codes, human: Codes, ours: Any, theirs: Any) -> NDArray[np.float64]:
    first = [np.bincount(simulated[rows], minlength=CELLS) for rows in ours]
    second = [np.bincount(human[rows], minlength=CELLS) for rows in theirs]
    return np.array([[jensenshannon(a, b, base=2) for b in second] for a in first])


def _largest_difference(simulated: Codes, human: Codes, seed: int) -> float:
    rng = np.random.default_rng(seed)
    halves = draw_halves(len(simulated), len(human), 50, rng)
    crossed = spread(simulated, human, CELLS, halves, rng).crossed
    pairs = len(halves.s)
    ours, theirs = [*halves.s, *halves.apart], [*halves.b[:pairs], *halves.a[:pairs]]
    return float(np.abs(crossed - _loop(simulated, human, ours, theirs)).max())


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(half_sampling(), indent=2)}\n")
