"""The peak memory and the time of a simulation, measured in a process of its own; and how both grow with the people."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measuring import Bar, Row, bar_settings, not_run, seconds_of

NAME, GROWN, SECONDS = "memory", "memory, people", "growth, people"
BAR = Bar(3072, "at most")
GROWN_BAR = Bar(1.5, "at most")
SECONDS_BAR = Bar(1.1, "at most")
ROOT = Path(__file__).resolve().parents[1]


def memory_row(model: str, study: str, scenario_times: int, people: int, threads: int) -> Row:
    """Simulate some people in a new process and say how much memory it needed.

    The model is loaded in float32, and the scenario's text repeated ``scenario_times``. ``ours`` is the peak in MiB;
    there is no peer.
    """
    found = _measured(model, study, scenario_times, people, threads)
    if isinstance(found, str):
        return not_run(NAME, "", "MiB", found, BAR)
    settings = {"precision": "float32", "people": people, "repeats": 1, "seconds_ours": [found["seconds"]]}
    return Row(NAME, "", None, found["mebibytes"], None, "MiB", {**settings, **bar_settings(BAR)})


def grown_rows(model: str, study: str, people: Sequence[int], threads: int) -> list[Row]:
    """How seconds an answer and peak memory grow with the number of people, each in a process of its own.

    Two rows for each of the rising numbers of ``people``, held against the first one; a study with fewer people has
    each of them several times.
    """
    rows: list[Row] = []
    first: dict[str, float] = {}
    for count in people:
        found = _measured(model, study, 1, count, threads)
        if isinstance(found, str):
            return [*rows, not_run(GROWN, "", "MiB", found, GROWN_BAR)]
        each = {
            SECONDS: ("s/answer", found["seconds"] / count, SECONDS_BAR),
            GROWN: ("MiB", found["mebibytes"], GROWN_BAR),
        }
        for name, (unit, value, bar) in each.items():
            against = first.setdefault(name, value)
            held = bar_settings(bar) if count != people[0] else {}
            facts = {"precision": "float32", "model": model, "people": count, "size": count, "repeats": 1}
            rows.append(Row(name, f"ours at {people[0]:,}", value / against, value, against, unit, facts | held))
    return rows


def _measured(model: str, study: str, scenario_times: int, people: int, threads: int) -> dict[str, float] | str:
    """The peak in MiB and the seconds of a process of its own, or why there are none."""
    words = [model, study, str(scenario_times), str(people), str(threads)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"the process failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak_mebibytes() -> float:
    """The most memory that this process has held.

    Linux counts what a parent held before it started this program into ``ru_maxrss``, but not into ``VmHWM``.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def _main(model: str, study_name: str, scenario_times: int, people: int, threads: int) -> None:
    from benchmarks import ours
    from benchmarks.prompts import with_scenario
    from pilotlm.data.sources import load_people
    from pilotlm.models.loading import set_threads
    from pilotlm.study import load_study

    set_threads(threads)
    study = load_study(study_name)
    table = load_people(study).table
    table = table.iloc[np.arange(people) % len(table)].assign(participant=np.arange(1, people + 1))
    longer = with_scenario(study, scenario_times)
    language_model = ours.fresh_model(model, "float32")
    seconds = seconds_of(lambda: ours.fill_forms(language_model, longer, table))
    sys.stdout.write(json.dumps({"mebibytes": peak_mebibytes(), "seconds": seconds}) + "\n")


if __name__ == "__main__":
    name, study_of, *numbers = sys.argv[1:]
    _main(name, study_of, *map(int, numbers))
