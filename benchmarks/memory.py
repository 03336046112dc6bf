"""The peak memory of a simulation, measured in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.measuring import Bar, Row, bar_settings, seconds_of

NAME = "memory"
BAR = Bar(3072, "at most")
ROOT = Path(__file__).resolve().parents[1]


def memory_row(model: str, study: str, scenario_times: int, people: int, threads: int) -> Row:
    """Simulate some people in a new process and say how much memory it needed.

    Parameters
    ----------
    model : str
        The model's name; it is loaded in float32.
    study : str
        The study's name.
    scenario_times : int
        How often the scenario's text is repeated.
    people : int
        How many participants.
    threads : int
        Of torch.

    Returns
    -------
    Row
        ``ours`` is the peak in MiB; there is no peer.
    """
    words = [model, study, str(scenario_times), str(people), str(threads)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Row(NAME, "", None, None, None, "MiB", {"not_run": f"the process failed: {last}", **bar_settings(BAR)})
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    settings = {"precision": "float32", "people": people, "repeats": 1, "seconds_ours": [found["seconds"]]}
    return Row(NAME, "", None, found["mebibytes"], None, "MiB", {**settings, **bar_settings(BAR)})


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
    table = load_people(study).table.head(people)
    longer = with_scenario(study, scenario_times)
    language_model = ours.fresh_model(model, "float32")
    seconds = seconds_of(lambda: ours.fill_forms(language_model, longer, table))
    sys.stdout.write(json.dumps({"mebibytes": peak_mebibytes(), "seconds": seconds}) + "\n")


if __name__ == "__main__":
    name, study_of, *numbers = sys.argv[1:]
    _main(name, study_of, *map(int, numbers))
