"""What `snakemake --logger pilotlm` says while a run goes on: a line a step, with the steps done and the time left."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from pilotlm.report.wording import duration

_SAID_OTHERWISE = (
    "Shutting down", "Exiting because a job execution failed", "returned non-zero exit status 1.",
    "At least one job did not complete", "Removing output files",
)  # fmt: skip
"""What Snakemake says of a failed step beside its event; the step itself has said why it failed."""
_LONGER: Mapping[str, int] = {"finetune": 40, "simulate": 20, "rectification": 8, "divergence": 4}
"""How many times as long as others the steps of some stages about take, before one of them has ended."""


@dataclass
class Progress:
    """Which steps there are, which run and which have ended; ``clock`` gives seconds from any start."""

    clock: Callable[[], float] = time.monotonic
    _to_run: dict[str, int] = field(default_factory=dict)
    _running: dict[int, tuple[str, float]] = field(default_factory=dict)
    _took: dict[str, list[float]] = field(default_factory=dict)
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
            self._took.setdefault(stage, []).append(self.clock() - since)

    def left(self) -> str:
        """The time left as finished steps tell, those of other stages for a stage that has none."""
        if not self._took:
            return "time left not known yet"
        usual = sum(map(sum, self._took.values())) / sum(
            _LONGER.get(s, 1) * len(took) for s, took in self._took.items()
        )
        means = {
            stage: mean(self._took[stage]) if stage in self._took else usual * _LONGER.get(stage, 1)
            for stage in self._to_run
        }
        work = sum(means[stage] * (count - len(self._took.get(stage, ()))) for stage, count in self._to_run.items())
        gone = sum(min(self.clock() - since, means[stage]) for stage, since in self._running.values())
        return f"about {duration(max(work - gone, 0.0) / self._at_a_time)} left"


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
        self._names: dict[int, str] = {}

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
            self._names[record.jobid] = step_name(record.rule_name, record.wildcards)
            return f"[{progress.done} of {progress.total} done, {progress.left()}] {self._names[record.jobid]}"
        if event == LogEvent.JOB_FINISHED:
            progress.finish(record.job_id)
        elif event == LogEvent.JOB_ERROR and record.jobid in self._names:  # Snakemake says it twice
            return f"This step failed: {self._names.pop(record.jobid)}; {_reasons(record)}."
        elif event in (None, LogEvent.ERROR) and record.levelno >= logging.WARNING:
            text = self.format(record)
            return "" if any(words in text for words in _SAID_OTHERWISE) else text
        return ""


def _reasons(record: Any) -> str:
    """Where it is said why a step failed."""
    failed = [path.with_name(f"failed-{path.name}") for path in map(Path, record.output)]
    notebooks = [f"the notebook with the error is {path}" for path in failed if path.is_file()]
    return "; ".join(["the message above says why", *notebooks, *(f"its log is {path}" for path in record.log)])
