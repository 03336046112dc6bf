"""Work that is killed by SIGKILL, at moments nobody chose, and goes on to the bytes of work that was not."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

WORK = """
import sys
from pathlib import Path

from pilotlm.models.adapters import save_adapter
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import load_model, set_threads
from pilotlm.models.simulate import respondent
from pilotlm.models.simulate import answer_as
from pilotlm.models.lora import TuningSettings
from pilotlm.models.lora import fine_tune
from pilotlm.data.sources import load_people
from pilotlm.records import write_parquet
from pilotlm.study import load_study

folder = Path(sys.argv[1])
set_threads(1)
study = load_study("framing")
people = load_people(study).table
model = load_model("tiny-random")
settings = TuningSettings(learning_rate=1e-2, epochs=6, least_steps=0, batch=4, rank=2, alpha=4)
print("started", flush=True)
tuned = fine_tune(model, study, people[:16], settings, 1, checkpoint=folder / "work" / "checkpoint")
save_adapter(tuned, folder / "adapter", model, {})
model = load_model("tiny-random")
answering = respondent(model, Encoder(study, model.tokenizer), people)
write_parquet(folder / "answers.parquet", answer_as(answering, people[24:60], 1))
"""


def start(folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-W", "ignore", "-c", WORK, str(folder)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(folder: Path) -> float:
    """Run to the end; the seconds from the first line printed."""
    with start(folder) as process:
        assert process.stdout and process.stdout.readline() == "started\n"
        since = time.monotonic()
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return time.monotonic() - since


def sums(folder: Path) -> dict[str, str]:
    made = [*sorted((folder / "adapter").iterdir()), folder / "answers.parquet"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made}


def test_work_that_was_killed_gives_the_same_bytes(cache: Path, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    seconds = finish(undisturbed)
    kills = 0
    for share in np.random.default_rng(1).uniform(0.05, 0.8, size=3):
        with start(killed) as process:
            assert process.stdout and process.stdout.readline() == "started\n"
            time.sleep(share * seconds)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.communicate()
    assert kills, "no run lived long enough to be killed"
    finish(killed)
    assert sums(killed) == sums(undisturbed)
