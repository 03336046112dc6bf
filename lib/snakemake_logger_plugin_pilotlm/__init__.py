"""What `snakemake --logger pilotlm` says while a run goes on: a line a step, with the steps done and the time left."""

from __future__ import annotations

import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from pilotlm.showing.wording import duration

_SAID_OTHERWISE = ("Shutting down", "Exiting because a job execution failed", "Complete log", "Removing output files")


@dataclass
class Progress:
    """Which steps there are, which run and which have ended.

    Attributes
    ----------
    clock : callable
        Seconds from any start.
    """

    clock: Callable[[], float] = time.monotonic
    _to_run: dict[str, int] = field(default_factory=dict)
    _running: dict[int, tuple[str, float]] = field(default_factory=dict)
    _took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _at_a_time: int = 1

    @property
    def total(self) -> int:
        """The steps of this run."""
        return sum(self._to_run.values())

    @property
    def done(self) -> int:
        """The steps that have ended."""
        return sum(map(len, self._took.values()))

    def plan(self, counts: Mapping[str, int]) -> None:
        """Take the number of steps of each rule; the rules of one stage take about equally long."""
        for rule, count in counts.items():
            self._to_run[_stage(rule)] = self._to_run.get(_stage(rule), 0) + count

    def start(self, job: int, rule: str) -> None:
        """A step has begun."""
        self._running[job] = (_stage(rule), self.clock())
        self._at_a_time = max(self._at_a_time, len(self._running))

    def finish(self, job: int) -> None:
        """A step has ended."""
        if job in self._running:
            stage, since = self._running.pop(job)
            self._took[stage].append(self.clock() - since)

    def left(self) -> str:
        """The time left as far as finished steps tell: a lower bound while a stage has no finished step."""
        if not self._took:
            return "time left unknown yet"
        means = {stage: sum(took) / len(took) for stage, took in self._took.items()}
        work = sum(means[stage] * (self._to_run.get(stage, 0) - len(took)) for stage, took in self._took.items())
        gone = sum(min(self.clock() - since, means.get(stage, 0.0)) for stage, since in self._running.values())
        bound = "about" if self._to_run.keys() <= means.keys() else "at least"
        return f"{bound} {duration(max(work - gone, 0.0) / self._at_a_time)} left"


def _stage(rule: str) -> str:
    return rule.partition("_")[0]


def step_name(rule: str, wildcards: Mapping[str, Any]) -> str:
    """A step in words: stage, study, arm or pilot, seed."""
    words = [rule.replace("_", " ", 1)]
    words += [str(wildcards[name]) for name in ("study", "arm") if name in wildcards]
    return " ".join(words) + (f", seed {wildcards['seed']}" if "seed" in wildcards else "")


class LogHandler(LogHandlerBase):
    """Writes the lines to standard error; what Snakemake warns of is passed on."""

    writes_to_stream, writes_to_file = True, False
    has_filter, has_formatter, needs_rulegraph = True, False, False

    def __post_init__(self) -> None:
        """Begin with no step."""
        self._progress = Progress()
        self._failed: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Say what a record tells, if a person needs it."""
        line = self._line(getattr(record, "event", None), record)
        if line:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def _line(self, event: LogEvent | None, record: Any) -> str:
        progress = self._progress
        if event == LogEvent.RUN_INFO and not progress.total:
            progress.plan({rule: count for rule, count in record.stats.items() if rule not in ("total", "all")})
            return f"{progress.total} steps to run."
        if event == LogEvent.JOB_INFO and record.rule_name != "all":
            progress.start(record.jobid, record.rule_name)
            name = step_name(record.rule_name, record.wildcards)
            return f"[{progress.done} of {progress.total} done, {progress.left()}] {name}"
        if event == LogEvent.JOB_FINISHED:
            progress.finish(record.job_id)
        elif event == LogEvent.JOB_ERROR and record.jobid not in self._failed:
            self._failed.add(record.jobid)
            return _failure(record)
        elif event in (None, LogEvent.ERROR) and record.levelno >= logging.WARNING:
            text = self.format(record)
            return "" if text.startswith(_SAID_OTHERWISE) else text
        return ""


def _failure(record: Any) -> str:
    failed = [path.with_name(f"failed-{path.name}") for path in map(Path, record.output)]
    notebooks = [f"the notebook with the error is {path}" for path in failed if path.is_file()]
    why = "; ".join(["the message above says why", *notebooks, *(f"its log is {path}" for path in record.log)])
    made = record.output[0] if record.output else record.rule_name
    return f"This step failed: {step_name(record.rule_name, {})}, which makes {made}; {why}."
