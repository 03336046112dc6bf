"""Quarto: found, installed once where that is possible, and run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from pilotlm.errors import InputError
from pilotlm.records import project_folder, write_text

NO_INSTALL = "PILOTLM_NO_QUARTO_INSTALL"
"""Set to anything, this environment variable forbids to install Quarto."""
STAGED = "PILOTLM_STAGED"
"""This environment variable tells Quarto's pre-render script that nothing is left to stage."""
PATIENCE = 60.0
"""Seconds that installing Quarto may take."""
_COMPLAINTS = ("WARN", "Unable to resolve", "?var:", "?@")


@dataclass(frozen=True)
class Rendering:
    """A finished run of Quarto: the website's folder, and warnings and pages with something unresolved."""

    site: Path
    complaints: tuple[str, ...]


def find_quarto() -> str | None:
    """The path of Quarto, from PATH or from the running environment; None where there is none."""
    scripts = sysconfig.get_path("scripts")
    return shutil.which("quarto") or shutil.which("quarto", path=scripts)


def find_or_install_quarto() -> str | None:
    """Find Quarto, or try once per environment to install it; None where that fails, too.

    A failed try is remembered by a file in the environment, so that the next run does not wait again.
    """
    found = find_quarto()
    tried = Path(sys.prefix) / ".pilotlm-quarto-failed"
    if found or os.environ.get(NO_INSTALL) or tried.exists() or not os.access(sys.prefix, os.W_OK):
        return found
    if _pip("install", "--no-input", "quarto-cli") and (found := find_quarto()):
        return found
    _pip("uninstall", "--yes", "quarto-cli")
    write_text(tried, "Installing Quarto failed here. Remove this file to have it tried again.\n")
    return None


def run_quarto(quarto: str, log: Path) -> Rendering:
    """Render the website and the paper of the project.

    Raises
    ------
    InputError
        If Quarto fails; the message has the end of its output.
    """
    done = subprocess.run([quarto, "render"], cwd=project_folder(), capture_output=True, text=True, env=_quiet())
    output = done.stdout + done.stderr
    write_text(log, output)
    if done.returncode:
        raise InputError(f"quarto render failed: {_said(output)} (all of its output: {log})")
    site = project_folder() / "_site"
    warned = [line.strip() for line in output.splitlines() if any(word in line for word in _COMPLAINTS)]
    return Rendering(site, (*warned, *_unresolved(site)))


def _quiet() -> dict[str, str]:
    # The run is staged already: see paper/stage.py.
    return {**os.environ, "NO_COLOR": "1", STAGED: "1"}


def _said(output: str) -> str:
    """The error that Quarto names, without the trace of its own program; else the last lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.strip().startswith("at ")]
    lines = [line for line in lines if line != "Stack trace:"]
    first = next((k for k, line in enumerate(lines) if line.upper().startswith("ERROR")), max(0, len(lines) - 3))
    return " ".join(lines[first : first + 3]) or "it said nothing"


def _unresolved(site: Path) -> list[str]:
    pages = sorted(site.rglob("*.html"))
    marks = ("?var:", "?@", "Unable to resolve")
    return [f"{page}: {mark}" for page in pages for mark in marks if mark in page.read_text(encoding="utf-8")]


def _pip(*words: str) -> bool:
    """Run pip, quietly and for `PATIENCE` seconds at most; what it started ends with it."""
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *words]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return process.wait(PATIENCE) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
