"""How the numbers of a page came to be: one line at the foot of every page, from the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilotlm.showing.quoting import quoted

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
