"""How the numbers of a page came to be: one line at the foot of every page, from the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pilotlm.records import Places, git_state, read_json
from pilotlm.showing.quoting import quoted
from pilotlm.showing.runs import model_of_run

SHORT = 12
"""Characters of a checksum or a revision that are shown; the manifest holds all of them."""


def provenance(manifest: Mapping[str, Any]) -> str:
    """Run, date, revision of the code, model with its revision, and the checksum of each study's data.

    Parameters
    ----------
    manifest : mapping
        The manifest of the run.

    Returns
    -------
    str
        One line of Markdown in which the manifest's texts are only text.
    """
    model, environment = manifest["model"], manifest["environment"]
    code = str(environment.get("git_revision") or "unknown")[:SHORT]
    changed = ", with changes" if environment.get("git_dirty") else ""
    data = [
        f"{name} {str(facts.get('data_sha256') or 'unknown')[:SHORT]}" for name, facts in manifest["studies"].items()
    ]
    parts = [
        f"Run {manifest['run']} of {str(manifest['finished'])[:10]}",
        f"code {code}{changed}",
        f"model {model['name']}, revision {_short(model['revision'])}",
        f"data (sha256) {', '.join(data) or 'none'}",
    ]
    return " · ".join(quoted(part) for part in parts)


def _short(revision: object) -> str:
    """A commit is cut; a revision in words is kept."""
    text = str(revision or "none")
    return text if " " in text else text[:SHORT]


def study_provenance(places: Places) -> str:
    """The same of a single study of a run, whose report has not been made: from its records.

    Parameters
    ----------
    places : Places
        Where they lie.

    Returns
    -------
    str
        One line of Markdown.
    """
    path = places.record("01-prepare")
    data = read_json(path, "the notebook 01-prepare.ipynb").get("data_sha256") if path.is_file() else None
    code = str(git_state()["git_revision"] or "unknown")[:SHORT]
    parts = [
        f"Run {places.run} of {datetime.now(UTC).date().isoformat()}",
        f"code {code}",
        f"model {model_of_run(places) or 'none'}",
        f"data (sha256) {places.study} {str(data or 'unknown')[:SHORT]}",
    ]
    return " · ".join(quoted(part) for part in parts)
