"""One node of the graph: a notebook run by papermill, whole or not at all."""

from __future__ import annotations

import ast
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import papermill
import yaml
from filelock import FileLock, Timeout
from papermill.exceptions import PapermillExecutionError

from pilotlm.errors import InputError, nearest
from pilotlm.records import whole_file

KERNEL_ARGUMENTS = ["--IPKernelApp.log_level=50", "--InlineBackend.figure_formats={'png', 'svg'}"]
"""A kernel of one's own warns each time that it talks over this machine's loopback; errors are in the notebook. Figures
are kept as drawings for the website and the PDF, and as pictures for the formats that cannot show a drawing."""


def run_notebook(source: Path, output: Path, parameters: Mapping[str, str]) -> None:
    """Run a notebook with parameters, whole or not at all; one that fails is left beside ``output`` as ``failed-...``.

    A value stays a text where the notebook's own is one, so that a study may be called 2024 or on; else it is read as a
    number or a truth value.
    """
    if not source.is_file():
        there = [path.name for path in source.parent.glob("*.ipynb")]
        raise InputError(f"There is no notebook {source}; {nearest(source.name, there)}.")
    try:
        known = papermill.inspect_notebook(str(source))
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError, nbformat.ValidationError) as error:
        raise InputError(f"{source} is not a notebook that can be run: {' '.join(str(error).split())[:200]}") from None
    for name in parameters:
        if name not in known:
            raise InputError(f"{source.name} has no parameter '{name}'; {nearest(name, known)}.")
    values = {name: _value(word, str(known[name]["default"])) for name, word in parameters.items()}
    failed = output.with_name(f"failed-{output.name}")
    with _alone(output), whole_file(output) as temporary:
        failed.unlink(missing_ok=True)
        try:
            papermill.execute_notebook(
                str(source), str(temporary), values, kernel_name="python3", progress_bar=False, log_output=False,
                extra_arguments=KERNEL_ARGUMENTS,
            )  # fmt: skip
        except PapermillExecutionError as error:
            os.replace(temporary, failed)
            what = f"{error.ename}: {error.evalue}"
            raise InputError(f"{source.name} failed: {what} (the notebook with the error: {failed})") from None
        except KeyboardInterrupt:
            # The cell that was interrupted ends when its kernel is gone, and asyncio would log the traceback of that.
            logging.getLogger("asyncio").disabled = True
            raise


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Let one process at a time write a notebook; the system frees the lock of a process that was killed."""
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(output.with_name(f".{output.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"Another process is making {output} just now; wait until it has ended.") from None
    # What a killed process left of its notebook: nobody else writes there.
    for left in output.parent.glob(f".{output.name}.*{output.suffix}"):
        left.unlink(missing_ok=True)
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def parse_parameters(words: list[str]) -> dict[str, str]:
    """Read ``name=value`` words."""
    for word in words:
        if word.find("=") < 1:
            raise InputError(f"A parameter is written name=value, got '{word}'.")
    return dict(word.split("=", 1) for word in words)


def _value(word: str, default: str) -> str | int | float | bool:
    """What a word means in the place of a notebook's own value, given as Python."""
    with suppress(ValueError, SyntaxError):
        if isinstance(ast.literal_eval(default), str):
            return word
    try:
        read = yaml.safe_load(word)
    except yaml.YAMLError:
        return word
    return read if isinstance(read, str | int | float | bool) else word
