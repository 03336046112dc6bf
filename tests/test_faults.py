"""What goes wrong outside the program: a full disk, a second process, Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from pilotlm.errors import InputError
from pilotlm.execution import run_notebook

SMALL = 2000
"""Bytes that a file may have where the disk is full."""


# A full disk.

WRITERS = """
import resource, sys
from pathlib import Path
import pandas as pd
from pilotlm.records import write_csv, write_json, write_parquet, write_text

path, limit = Path(sys.argv[1]), int(sys.argv[2])
table = pd.DataFrame({"a": [f"{n} people" for n in range(5000)]})
writers = {
    ".csv": lambda: write_csv(path, table),
    ".json": lambda: write_json(path, table["a"].tolist()),
    ".parquet": lambda: write_parquet(path, table),
    ".txt": lambda: write_text(path, "x" * 10000),
}
writers[path.suffix]()
whole = path.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    writers[path.suffix]()
except OSError:
    assert path.read_bytes() == whole and [p.name for p in path.parent.iterdir()] == [path.name]
    print("refused")
"""


@pytest.mark.parametrize("ending", [".csv", ".json", ".parquet", ".txt"])
def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, ending: str) -> None:
    words = [sys.executable, "-c", WRITERS, str(tmp_path / "out" / f"file{ending}"), str(SMALL)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "refused\n", done.stderr


def pilotlm(*words: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pilotlm.cli", *map(str, words)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(command, **options)  # type: ignore[call-overload, no-any-return]


def full() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))


def test_a_full_disk_ends_a_command_in_a_sentence(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "my.csv"
    data.write_text("age,sex,likes,buys\n" + "".join(f"{20 + n % 50},{n % 2},{n % 5},{n % 2}\n" for n in range(400)))
    _, err = (done := pilotlm("new-study", "mine", "--data", data, preexec_fn=full)).communicate()
    assert (done.returncode, err.count("\n")) == (1, 1) and err.startswith("pilotlm: a file could not be"), err
    assert not list((project / "data").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_what_is_printed_on_a_full_disk_is_not_lost_in_silence() -> None:
    with Path("/dev/full").open("w") as nowhere:
        _, err = (done := pilotlm("check", "framing", stdout=nowhere)).communicate()
    assert done.returncode == 1
    assert err == "pilotlm: a file could not be read or written: No space left on device\n"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc, where nobody may write")
def test_a_folder_that_nobody_may_write_to_is_named(notebook: Path) -> None:
    _, err = (done := pilotlm("execute", notebook, "/proc/none/out.ipynb")).communicate()
    assert (done.returncode, err.count("\n")) == (1, 1) and "/proc/none" in err, err


# Two processes, and Ctrl-C.


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook that says that it has begun, and waits as long as it is told."""
    begun = str(tmp_path / "begun")
    cells = [
        nbformat.v4.new_code_cell("seconds = 0", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(f"import time\nopen({begun!r}, 'w').close()\ntime.sleep(seconds)"),
    ]
    kernel = {"name": "python3", "display_name": "Python", "language": "python"}
    path = tmp_path / "wait.ipynb"
    nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": kernel}, cells=cells), path)
    return path


def await_file(folder: Path, pattern: str) -> None:
    until = time.monotonic() + 60
    while not list(folder.glob(pattern)):
        assert time.monotonic() < until, f"nothing was made in {folder}"
        time.sleep(0.05)


def hears_ctrl_c() -> None:
    """A terminal's programs do; those that a script starts in the background ignore the signal, as does it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_one_process_at_a_time_and_an_interruption_leaves_nothing(notebook: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "done.ipynb"
    working = pilotlm("execute", notebook, output, "seconds=120", start_new_session=True, preexec_fn=hears_ctrl_c)
    try:
        await_file(output.parent, ".done.ipynb.*.ipynb")
        with pytest.raises(InputError, match=r"Another process is making .*done.ipynb just now; wait"):
            run_notebook(notebook, output, {})
        await_file(tmp_path, "begun")  # before it, the signal may meet a kernel that is just starting
        os.killpg(working.pid, signal.SIGINT)
        out, err = working.communicate(timeout=60)
    finally:
        working.kill()
    assert (working.returncode, out, err) == (130, "", "pilotlm: stopped\n")
    assert list(output.parent.iterdir()) == []


def test_an_interrupted_cell_that_ends_later_says_nothing(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def cell() -> None:
        raise RuntimeError("the kernel died")

    def interrupted(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    async def wait() -> None:
        ending = asyncio.ensure_future(cell())
        await asyncio.sleep(0)
        with pytest.raises(KeyboardInterrupt):
            run_notebook(notebook, tmp_path / "out" / "done.ipynb", {})
        del ending
        gc.collect()

    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", False)
    monkeypatch.setattr("papermill.execute_notebook", interrupted)
    asyncio.run(wait())
    assert caplog.text == "" and list((tmp_path / "out").iterdir()) == []


def test_nothing_of_a_killed_process_stays(notebook: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "done.ipynb"
    working = pilotlm("execute", notebook, output, "seconds=120", start_new_session=True)
    await_file(output.parent, ".done.ipynb.*.ipynb")
    os.killpg(working.pid, signal.SIGKILL)
    working.communicate()
    assert (output.parent / ".done.ipynb.lock").exists() and list(output.parent.glob(".done.ipynb.*.ipynb"))
    run_notebook(notebook, output, {})
    assert [path.name for path in output.parent.iterdir()] == ["done.ipynb"]
