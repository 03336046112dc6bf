"""One node of the graph: a notebook run by papermill, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import papermill
import yaml
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from pilotlm.errors import InputError, nearest
from pilotlm.records import whole_file


def run_notebook(source: Path, output: Path, parameters: dict[str, Any]) -> None:
    """Run a notebook with parameters.

    Parameters
    ----------
    source : Path
        The notebook without outputs.
    output : Path
        Where the executed notebook goes when every cell has run.
    parameters : dict
        Must be among those of the cell tagged ``parameters``.

    Raises
    ------
    InputError
        If a parameter is unknown or a cell fails. The notebook with the error is then left beside ``output`` with
        ``failed-`` before its name, and an earlier ``output`` is left as it was.
    """
    if not source.is_file():
        raise InputError(f"There is no notebook {source}; {nearest(source.name, [p.name for p in source.parent.glob('*.ipynb')])}.")
    known = papermill.inspect_notebook(str(source))
    for name in parameters:
        if name not in known:
            raise InputError(f"{source.name} has no parameter '{name}'; {nearest(name, known)}.")
    failed = output.with_name(f"failed-{output.name}")
    failed.unlink(missing_ok=True)
    with whole_file(output) as temporary:
        try:
            papermill.execute_notebook(
                str(source), str(temporary), parameters, kernel_name="python3", progress_bar=False, log_output=False,
                config=_kernel_config(),
            )  # fmt: skip
        except PapermillExecutionError as error:
            os.replace(temporary, failed)
            raise InputError(f"{source.name} failed: {error.ename}: {error.evalue} (the notebook with the error: {failed})") from None


def _kernel_config() -> Config:
    """Talk to the kernel through a file that only this user can read, where the system has such files."""
    return Config({"KernelManager": {"transport": "ipc"}} if os.name == "posix" else {})


def parse_parameters(words: list[str]) -> dict[str, Any]:
    """Read ``name=value`` words as papermill does: a value that reads as a number or a truth value is one."""
    parameters = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError(f"A parameter is written name=value, got '{word}'.")
        read = yaml.safe_load(value) if value else ""
        parameters[name] = read if isinstance(read, str | int | float | bool) else value
    return parameters
