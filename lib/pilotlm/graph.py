"""The graph of a run: what of it would run, and the part for one study, from its data to its decision page."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pilotlm.errors import InputError
from pilotlm.profile import load_profile
from pilotlm.records import Places, project_folder, results_folder

KEPT = "what is finished is kept, and the same command goes on from there"


def decide_study(study: str, profile: str, cores: int) -> Path:
    """Run what the decision on a study needs, and write its page.

    Parameters
    ----------
    study : str
        A study under ``data/``.
    profile : str
        A profile; the arms and settings of its first study are used.
    cores : int
        Processes at a time, at least 1.

    Returns
    -------
    Path
        The page, ``results/<profile>-<study>/<study>/decision.html``.

    Raises
    ------
    InputError
        If study or profile do not exist, or a node of the graph fails.
    """
    if cores < 1:
        raise InputError(f"At least one process is needed, got {cores}.")
    load_profile(profile, study)
    run = f"{profile}-{study}"
    page = Places(run, study).folder / "decision.html"
    words = [
        "--cores", str(cores), "--rerun-incomplete", "--config",
        f"profile={profile}", f"study={study}", f"run={run}", "--", os.path.relpath(page, project_folder()),
    ]  # fmt: skip
    if run_snakemake(run, words):
        raise InputError(f"The decision on '{study}' was not reached: see the message above; {KEPT}.")
    return page


def run_profile(profile: str, cores: int) -> float | None:
    """Run all of a profile that is not there yet, to its rendered pages.

    Parameters
    ----------
    profile : str
        A profile; the run has its name.
    cores : int
        Processes at a time, at least 1.

    Returns
    -------
    float or None
        The seconds that it took, None where nothing had to be done. What was found and where the pages are stands in
        ``results/<profile>/rendered.txt``.

    Raises
    ------
    InputError
        If the profile does not exist, or a step of the graph fails.
    """
    if cores < 1:
        raise InputError(f"At least one process is needed, got {cores}.")
    load_profile(profile)
    rendered = results_folder() / profile / "rendered.txt"
    before = rendered.stat().st_mtime_ns if rendered.is_file() else None
    start = time.monotonic()
    words = ["--cores", str(cores), "--rerun-incomplete", "--config", f"profile={profile}"]
    if run_snakemake(profile, words):
        raise InputError(f"The run of profile '{profile}' has stopped: see the message above; {KEPT}.")
    return None if rendered.stat().st_mtime_ns == before else time.monotonic() - start


def run_snakemake(run: str, words: Sequence[str]) -> int:
    """Run Snakemake in the project's folder, with a line a step on standard error.

    Parameters
    ----------
    run : str
        The folder under ``results`` that is written to.
    words : sequence of str
        What follows ``snakemake``.

    Returns
    -------
    int
        Its exit status.
    """
    command = [sys.executable, "-m", "snakemake", "--logger", "pilotlm", *words]
    return subprocess.run(command, cwd=project_folder(), check=False).returncode


def dry_run(profile: str, cores: int) -> str:
    """What Snakemake says that it would run for a profile, and why.

    Parameters
    ----------
    profile : str
        A profile.
    cores : int
        Processes at a time, at least 1.

    Returns
    -------
    str
        Its text.

    Raises
    ------
    InputError
        If the profile does not exist, or Snakemake refuses.
    """
    if cores < 1:
        raise InputError(f"At least one process is needed, got {cores}.")
    load_profile(profile)
    words = [
        sys.executable, "-m", "snakemake", "--cores", str(cores), "--rerun-incomplete", "--dry-run", "--nocolor",
        "--config", f"profile={profile}",
    ]  # fmt: skip
    done = subprocess.run(
        words, cwd=project_folder(), check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise InputError(f"Snakemake refuses to plan profile '{profile}': {' '.join(done.stdout.split())[-400:]}")
    return done.stdout
