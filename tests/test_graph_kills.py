"""The graph killed by SIGKILL at random moments, which goes on to the bytes of a run that nobody disturbed.

It takes some minutes, so it runs where ``PILOTLM_KILLS`` says how many kills; ``PILOTLM_KILLS_SEED`` for other moments.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from test_graph import copy_project, environment

KILLS = int(os.environ.get("PILOTLM_KILLS", "0"))
SEED = int(os.environ.get("PILOTLM_KILLS_SEED", "1"))
TARGET = "results/smoke/metrics.csv"
LONGEST = 1800
"""Seconds that one run may take, on a machine that is busy."""
LEAST_FILES = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(KILLS < 1, reason="set PILOTLM_KILLS=20 for that many kills over the whole graph"),
]


def start(project: Path, *words: str) -> subprocess.Popen[str]:
    """Snakemake on the first study of profile smoke, as the head of a process group of its own."""
    command = [
        sys.executable, "-m", "snakemake", TARGET, "--cores", "2", "--rerun-incomplete", "--quiet", "all", *words,
        "--config", "profile=smoke", "study=framing",
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=project, env=environment(project), start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(project: Path, *words: str) -> float:
    """Run to the end; the seconds that it took."""
    since = time.monotonic()
    running = start(project, *words)
    _, errors = running.communicate(timeout=LONGEST)
    assert running.returncode == 0, errors[-3000:]
    return time.monotonic() - since


def kill(running: subprocess.Popen[str], kernels_too: bool) -> None:
    """Kill the process group, and the kernels, which have groups of their own, or leave those to notice it."""
    below = psutil.Process(running.pid).children(recursive=True)
    os.killpg(running.pid, signal.SIGKILL)
    for process in below if kernels_too else []:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    running.communicate()
    # A kernel looks once a second whether its parent is there.
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not alive, f"a kernel outlived its run: {alive}"


def sums(project: Path) -> dict[str, str]:
    folder = project / "results" / "smoke"
    made = [
        *sorted(folder.glob("metrics.csv")),
        *sorted(folder.glob("*/responses/*")),
        *sorted(folder.glob("*/predictions/*")),
    ]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in made}


def finished(project: Path) -> int:
    """The notebooks that have run to their end."""
    return len(list((project / "results").glob("smoke/*/notebooks/[0-9]*.ipynb")))


def await_a_node(project: Path, running: subprocess.Popen[str]) -> None:
    """Wait until one node more is finished than now, or all are."""
    before = finished(project)
    while finished(project) == before and running.poll() is None:
        time.sleep(0.1)


def test_a_graph_that_was_killed_gives_the_same_bytes(tmp_path: Path) -> None:
    undisturbed, killed = (copy_project(tmp_path / name) for name in ("undisturbed", "killed"))
    seconds = finish(undisturbed)
    rng, kills = np.random.default_rng(SEED), 0
    print(f"seed {SEED}; undisturbed: {seconds:.0f} seconds", flush=True)
    for _ in range(KILLS):
        wait = rng.uniform(0, 2 * seconds / (KILLS + 1))
        kernels_too, goes_on = (bool(rng.random() < 0.5) for _ in range(2))
        running = start(killed)
        if goes_on:  # else many kills would all meet the first nodes
            await_a_node(killed, running)
        with suppress(subprocess.TimeoutExpired):
            _, errors = running.communicate(timeout=wait)
            assert running.returncode == 0, errors[-3000:]
            break
        done = finished(killed)
        kill(running, kernels_too)
        kills += 1
        print(f"kill {kills} after {wait:.1f} seconds, {done} nodes done, kernels too: {kernels_too}", flush=True)
        finish(killed, "--unlock")
    print(f"{kills} kills; to the end: {finish(killed):.0f} seconds", flush=True)
    assert kills, "the run ended before it could be killed"
    assert sums(killed) == sums(undisturbed) and len(sums(killed)) >= LEAST_FILES
