"""What a run says: a line a step with the time left, which step failed, and four lines at its end."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from pilotlm import cli, graph
from pilotlm.errors import InputError
from snakemake_logger_plugin_pilotlm import LogHandler, Progress, step_name

ROOT = Path(__file__).resolve().parents[1]


def test_the_time_left_is_that_of_the_steps_of_each_stage() -> None:
    now = [0.0]
    progress = Progress(clock=lambda: now[0])
    progress.plan({"prepare": 2, "baselines_one_25": 1, "baselines_all_25": 3, "report": 1})
    assert (progress.total, progress.done, progress.left()) == (7, 0, "time left not known yet")
    for job, rule, seconds in ((1, "prepare", 10), (2, "baselines_all_25", 100)):
        progress.start(job, rule)
        now[0] += seconds
        progress.finish(job)
    # One more to prepare, three more baselines, and a report as long as the mean of what has ended.
    assert progress.done == 2 and progress.left() == "about 6 minutes left"  # 10 + 300 + 55
    progress.start(3, "baselines_one_25")
    now[0] += 60
    assert progress.left() == "about 5 minutes left"  # 60 less
    progress.start(4, "prepare")  # two at a time from now on
    assert progress.left() == "about 3 minutes left"  # (10 + 300 + 55 - 60) / 2
    now[0] += 1e6
    assert progress.left() == "about 2 minutes left"  # two more baselines and the report, (200 + 55) / 2


def test_a_step_that_takes_long_is_told_before_one_has_ended() -> None:
    now = iter([0.0, 12.0])
    progress = Progress(clock=lambda: next(now))
    progress.plan({"prepare": 1, "finetune": 1, "simulate": 2})
    progress.start(1, "prepare")
    progress.finish(1)
    assert progress.left() == "about 16 minutes left"  # 12 s times 40 + 20 + 20


def test_a_step_has_its_stage_study_arm_and_seed() -> None:
    assert step_name("simulate", {"study": "framing", "arm": "base", "seed": "2"}) == "simulate framing base, seed 2"
    assert step_name("baselines_all_25", {"study": "framing", "seed": "1"}) == "baselines all_25 framing, seed 1"
    assert step_name("report", {}) == "report"


def said(capsys: pytest.CaptureFixture[str], *records: dict[str, object]) -> list[str]:
    handler = LogHandler(SimpleNamespace(), None)  # type: ignore[arg-type]
    for facts in records:
        record = logging.LogRecord("snakemake", int(facts.pop("level", logging.INFO)), "", 0, "", (), None)  # type: ignore[call-overload]
        record.msg = facts.pop("msg", "noise")  # type: ignore[assignment]
        record.__dict__.update(facts)
        handler.emit(record)
    return capsys.readouterr().err.splitlines()


def test_only_what_a_person_needs_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "02-finetune.ipynb"
    page.with_name("failed-02-finetune.ipynb").touch()
    step = {"jobid": 4, "rule_name": "finetune", "wildcards": {"study": "framing", "arm": "tuned", "seed": "1"}}
    failure = {
        "event": LogEvent.JOB_ERROR, "level": logging.ERROR, "jobid": 4, "rule_name": "finetune",
        "output": ["card.json", str(page)], "log": [],
    }  # fmt: skip
    lines = said(
        capsys,
        {"msg": "Select jobs to execute..."},
        {"event": LogEvent.RUN_INFO, "stats": {"finetune": 2, "all": 1, "total": 3}},
        {"event": LogEvent.JOB_INFO, **step},
        {"event": LogEvent.JOB_FINISHED, "job_id": 9},
        {"event": LogEvent.PROGRESS, "done": 0, "total": 3},
        {**failure},
        {"msg": "Exiting because a job execution failed. Look below for error messages", "level": logging.ERROR},
        {**failure},
        {"msg": "The disk is nearly full.", "level": logging.WARNING},
        {"msg": "There is no rule that makes x.", "level": logging.ERROR, "event": LogEvent.ERROR},
    )
    assert lines == [
        "2 steps to run.",
        "[0 of 2 done, time left not known yet] finetune framing tuned, seed 1",
        "This step failed: finetune framing tuned, seed 1; the message above says why; "
        f"the notebook with the error is {page.with_name('failed-02-finetune.ipynb')}.",
        "The disk is nearly full.",
        "There is no rule that makes x.",
    ]


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    path = tmp_path / "results" / "smoke" / "rendered.txt"
    path.parent.mkdir(parents=True)
    path.write_text("It was found that it works.\nThe website is x.html.\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("again", [True, False])
def test_a_run_ends_with_four_lines(
    rendered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], again: bool
) -> None:
    def snakemake(run: str, words: list[str]) -> int:
        assert run == "smoke" and words[:2] == ["--cores", "3"]
        if again:
            rendered.unlink()
            rendered.write_text("It was found that it works.\nThe website is x.html.\n", encoding="utf-8")
        return 0

    monkeypatch.setattr(graph, "run_snakemake", snakemake)
    assert cli.main(["run", "smoke", "--cores", "3"]) == 0
    found, where, took, following = capsys.readouterr().out.splitlines()
    assert (found, where) == ("It was found that it works.", "The website is x.html.")
    assert took == ("It took 0 seconds." if again else "Nothing had to be done.")
    assert re.match(r"Next: read the page, .*pilotlm new-study", following)


def test_a_run_that_fails_says_what_to_do(rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "run_snakemake", lambda run, words: 1)
    with pytest.raises(InputError, match=r"'smoke' has stopped: see the message above; what is finished is kept"):
        graph.run_profile("smoke", 1)


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "pilotlm", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "new-study" in done.stdout and done.stdout.startswith("usage: pilotlm ")


def test_make_says_which_python_it_needs_before_it_creates_anything(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "requirements-gpu.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    old, bare = tmp_path / "old", tmp_path / "bare"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.10.12" || exit 1\n')
    bare.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n')
    old.chmod(0o755)
    bare.chmod(0o755)
    before = sorted(path.name for path in tmp_path.iterdir())
    for python, first, what in (
        (old, f"Python 3.11 or newer is needed, and {old} is Python 3.10.12.", "make test PYTHON=python3.12"),
        (tmp_path / "none", f"Python 3.11 or newer is needed, and {tmp_path}/none is not there.", "conda"),
        (bare, f"{bare} cannot make an environment without its venv package: apt install python3-venv", "apt"),
    ):
        command = ["make", "--no-print-directory", "test", f"PYTHON={python}", "VIRTUAL_ENV=", "CONDA_DEFAULT_ENV="]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode and not done.stdout
        assert done.stderr.splitlines()[0] == first and what in done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == before
