"""The graph of a run: the code that its nodes depend on, and Snakemake run for a profile or for one study."""

from __future__ import annotations

import ast
import fcntl
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.profile import Profile, load_profile
from pilotlm.records import Places, project_folder, results_folder
from pilotlm.stages import notebook_of
from pilotlm.study import load_study

if TYPE_CHECKING:
    import grimp

MAKES_ROWS = ("prepare", "finetune", "simulate", "baselines")
DYING = 3.0
"""Seconds that a process which was killed may take to let go of its lock."""
KEPT = "what is finished is kept, and the same command goes on from there"


def module_files(*names: str) -> list[Path]:
    """The files of library modules and of all that they import, from the project's folder, in the order of names."""
    graph = _imports()
    found = set(names) | {module for name in names for module in graph.find_upstream_modules(name)}
    paths = [Path("lib", *name.split(".")) for name in sorted(found)]
    inside = project_folder()
    return [path / "__init__.py" if (inside / path).is_dir() else path.with_suffix(".py") for path in paths]


def stage_modules(stage: str) -> list[Path]:
    """The files of the library that a stage's notebook uses, directly or through others, from the project's folder.

    What only shows numbers does not count where rows are made: another format of a table is no reason to fine-tune
    again.
    """
    cells = json.loads((project_folder() / notebook_of(stage)).read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = [line for source in code for line in ast.walk(ast.parse(source)) if isinstance(line, ast.ImportFrom)]
    names = {line.module for line in lines if line.module} & _imports().modules
    if stage in MAKES_ROWS:
        names = {name for name in names if not name.startswith("pilotlm.report.")}
    return module_files(*names)


@cache
def _imports() -> grimp.ImportGraph:
    import grimp

    return grimp.build_graph("pilotlm", cache_dir=None, exclude_type_checking_imports=True)


def decide_study(study: str, profile: str, cores: int, said: Callable[[str], object] | None = None) -> Path:
    """Run what the decision on a study needs, with the arms and settings of a profile's first study; gives the page.

    ``said`` is told beforehand, in sentences, who is taken where not everybody is.

    Raises
    ------
    InputError
        If study or profile do not exist, the study has too few people, another process makes the same run, or a node
        of the graph fails.
    """
    if cores < 1:
        raise InputError(f"At least one process is needed, got {cores}.")
    taken = refuse_too_few_people(load_profile(profile, study), study)
    if said is not None and taken:
        said(taken)
    run = f"{profile}-{study}"
    page = Places(run, study).folder / "decision.html"
    words = [
        "--cores", str(cores), "--rerun-incomplete", "--config",
        *as_texts(profile=profile, study=study, run=run), "--", os.path.relpath(page, project_folder()),
    ]  # fmt: skip
    if run_snakemake(run, words):
        raise InputError(f"The decision on '{study}' was not reached: see the message above; {KEPT}.")
    return page


def run_profile(profile: str, cores: int) -> float | None:
    """Run all of a profile that is not there yet, to its pages; the seconds it took, None if nothing had to be done."""
    if cores < 1:
        raise InputError(f"At least one process is needed, got {cores}.")
    load_profile(profile)
    rendered = results_folder() / profile / "rendered.txt"
    before = rendered.stat().st_mtime_ns if rendered.is_file() else None
    start = time.monotonic()
    words = ["--cores", str(cores), "--rerun-incomplete", "--config", *as_texts(profile=profile)]
    if run_snakemake(profile, words):
        raise InputError(f"The run of profile '{profile}' has stopped: see the message above; {KEPT}.")
    return None if rendered.stat().st_mtime_ns == before else time.monotonic() - start


def refuse_too_few_people(profile: Profile, study: str) -> str:
    """Refuse a study of which no arm could be judged, before any model is loaded; else say whom a run leaves out."""
    from pilotlm.data.pilot import draw_pilot, limited_note, rows_of
    from pilotlm.data.sources import load_people
    from pilotlm.responses import SMALLEST_GROUP, count_people

    specification, arms = load_study(study), load_arms()
    people = load_people(specification).table
    at_most, notes = profile.studies[study].simulated, []
    for name in profile.studies[study].arms:
        arm = arms.arm(name)
        design = arms.pilot(arm.pilot)
        for seed in profile.seeds_of(study):
            pilot = draw_pilot(specification, people, design, arm.draws_pilot_by(seed))
            kept, held_out = (count_people(rows_of(people, part)) for part in (pilot.participants, pilot.held_out))
            notes += [limited_note(specification, people, design)]
            if 0 < at_most < len(pilot.held_out):
                notes += [
                    f"Of the {len(pilot.held_out):,} rows of {held_out:,} held-out people {at_most:,} are simulated."
                ]
            if held_out < SMALLEST_GROUP:
                n, grows = count_people(people), design.share is not None
                enough = math.ceil(SMALLEST_GROUP * n / held_out) if grows else kept + SMALLEST_GROUP
                raise InputError(
                    f"study '{study}' has {n} participants with all answers: '{arm.label}' takes {kept} of "
                    f"them as its fine-tuning sample and leaves {held_out} held out. A decision needs at least "
                    f"{SMALLEST_GROUP} held-out participants, because no interval is offered for fewer: ask about "
                    f"{enough} people in all, or choose a profile whose fine-tuning sample is smaller."
                )
    return " ".join(dict.fromkeys(note for note in notes if note))


def as_texts(**config: str) -> list[str]:
    """Words for Snakemake's ``--config`` in which a text stays a text: else 2024 would be a number, even in quotes."""
    return [f"{name}=!!str {value}" for name, value in config.items()]


def run_snakemake(run: str, words: Sequence[str]) -> int:
    """Run Snakemake in the project's folder, one process at a time for each run, with a line a step on standard error.

    Snakemake's own lock outlives a process that was killed. This one is the system's: it is free as soon as Snakemake
    has ended, however it ended, so the same command goes on by itself.
    """
    with _alone(run) as held:
        command = [sys.executable, "-m", "snakemake", "--nolock", "--logger", "pilotlm", *words]
        return subprocess.run(command, cwd=project_folder(), check=False, pass_fds=held).returncode


@contextmanager
def _alone(run: str) -> Iterator[tuple[int, ...]]:
    """Hold the lock of a run; Snakemake inherits it, because it may outlive the process that started it."""
    path = results_folder() / f".{run}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        until, free = time.monotonic() + DYING, False
        while not free:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free = True
            except BlockingIOError:
                if time.monotonic() > until:
                    there = results_folder() / run
                    what = f"Another process is making {there} just now; wait until it has ended."
                    raise InputError(what) from None
                time.sleep(0.1)
        yield (file.fileno(),)
