"""Work that is killed by SIGKILL, at moments nobody chose, and goes on to the bytes of work that was not."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pilotlm.answering.blocks import Kept, block_by_block

WORK = """
import sys
from functools import partial
from pathlib import Path

from pilotlm.answering import checkpoints
from pilotlm.answering.adapting import save_adapter
from pilotlm.answering.blocks import Kept, block_by_block
from pilotlm.answering.encoding import Encoder
from pilotlm.answering.models import fingerprint, load_model, set_threads
from pilotlm.answering.respondent import respondent
from pilotlm.answering.sampling import answer_as
from pilotlm.answering.settings import TuningSettings
from pilotlm.answering.tuning import fine_tune
from pilotlm.instrument.sources import load_people
from pilotlm.records import write_parquet
from pilotlm.study import load_study

folder = Path(sys.argv[1])
set_threads(1)
checkpoints.SECONDS_BETWEEN = 0
study = load_study("framing")
people = load_people(study).table
model = load_model("tiny-random")
settings = TuningSettings(learning_rates=(1e-3, 1e-2), epochs=3, least_steps=0, batch=4, rank=2, alpha=4)
print("started", flush=True)
tuned = fine_tune(model, study, people[:16], people[16:24], settings, 1, checkpoint=folder / "work" / "checkpoint")
save_adapter(tuned, folder / "adapter", model, {})
model = load_model("tiny-random")
answering = respondent(model, Encoder(study, model.tokenizer), people)
kept = Kept(folder / "work" / "blocks", fingerprint(model, 1))
write_parquet(folder / "answers.parquet", block_by_block(people[24:60], partial(answer_as, answering, seed=1), kept, 6))
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


def test_what_was_finished_is_not_done_again(tmp_path: Path) -> None:
    people = pd.DataFrame({"participant": range(10)})
    done: list[int] = []
    skipped: list[int] = []
    again = False

    def work(some: pd.DataFrame) -> pd.DataFrame:
        if len(done) == 2 and not again:
            raise KeyboardInterrupt
        done.append(int(some["participant"].iloc[0]))
        return some.assign(double=2 * some["participant"])

    kept = Kept(tmp_path / "work" / "blocks", "a" * 64)
    with pytest.raises(KeyboardInterrupt):
        block_by_block(people, work, kept, 4)
    assert done == [0, 4] and len(list(kept.folder.iterdir())) == 2
    again = True
    table = block_by_block(people, work, kept, 4, skipped.append)
    assert done == [0, 4, 8] and skipped == [4, 4]
    pd.testing.assert_frame_equal(table, people.assign(double=2 * people["participant"]))
    # Blocks of other work are not taken.
    block_by_block(people, work, Kept(kept.folder, "b" * 64), 4)
    assert done == [0, 4, 8, 0, 4, 8]
    kept.remove()
    assert not (tmp_path / "work").exists()
