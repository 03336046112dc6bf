"""Seconds, ratios and rows: how a comparison is timed, and how it is written down."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Task = Callable[[], object]


@dataclass(frozen=True)
class Bar:
    """What a row is held against: the ratio, or our own value where a row has no ratio."""

    value: float
    kind: Literal["at least", "at most"]


@dataclass(frozen=True)
class Row:
    """A line of ``benchmarks/results.json``.

    Attributes
    ----------
    name : str
        What was measured.
    peer : str
        What ours is held against.
    ratio, ours, theirs : float or None
        ``ours / theirs`` and both values, in ``unit``; None where there is none, or where it was not run.
    unit : str
        Of ``ours`` and ``theirs``.
    settings : dict
        Under which conditions, with every raw second, and the bar.
    """

    name: str
    peer: str
    ratio: float | None
    ours: float | None
    theirs: float | None
    unit: str
    settings: dict[str, Any] = field(default_factory=dict)

    def under(self, settings: Mapping[str, Any]) -> Row:
        """The same row with further settings; its own go first."""
        return Row(**{**asdict(self), "settings": {**settings, **self.settings}})

    @property
    def value(self) -> float | None:
        """What the bar speaks of: the ratio, or our own value where there is no ratio."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without a bar. What was not run has not met its bar."""
        if "bar" not in self.settings:
            return None
        if self.value is None:
            return False
        bar = float(self.settings["bar"])
        return self.value >= bar if self.settings["bar_kind"] == "at least" else self.value <= bar


def seconds_of(task: Task) -> float:
    """The wall time of a task, in seconds."""
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def interleaved(tasks: Sequence[Task], repeats: int) -> list[list[float]]:
    """For each task the seconds of every repeat, timed in turn, because the load of a machine changes."""
    rounds = [[seconds_of(task) for task in tasks] for _ in range(repeats)]
    return [list(seconds) for seconds in zip(*rounds, strict=True)]


def middle(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Of the values of the same repeats the pair whose ratio is the median of all ratios; the lower one of two.

    Both are of one repeat, so that their ratio is the ratio that is reported.
    """
    pairs = list(zip(ours, theirs, strict=True))
    wanted = statistics.median_low([a / b for a, b in pairs])
    return next(pair for pair in pairs if pair[0] / pair[1] == wanted)


def faster(
    name: str,
    peer: str,
    unit: str,
    ours: tuple[Sequence[float], int],
    theirs: tuple[Sequence[float], int],
    bar: Bar | None,
    settings: Mapping[str, Any],
) -> Row:
    """A row that says how many times as fast ours is; the unit is a rate.

    ``ours`` and ``theirs`` are the seconds of every repeat, and how many units were done in each.
    """
    rates = [[count / second for second in seconds] for seconds, count in (ours, theirs)]
    mine, other = middle(*rates)
    raw = {
        "repeats": len(ours[0]),
        "seconds_ours": list(ours[0]),
        "seconds_theirs": list(theirs[0]),
        "done_ours": ours[1],
        "done_theirs": theirs[1],
    }
    return Row(name, peer, mine / other, mine, other, unit, {**settings, **raw, **bar_settings(bar)})


def bar_settings(bar: Bar | None) -> dict[str, Any]:
    """A bar as settings."""
    return {} if bar is None else {"bar": bar.value, "bar_kind": bar.kind}


def not_run(name: str, peer: str, unit: str, why: str, bar: Bar | None = None) -> Row:
    """A row for a peer that could not be run, which says why."""
    return Row(name, peer, None, None, None, unit, {"not_run": why, **bar_settings(bar)})
