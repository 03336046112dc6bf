"""What a run is: its studies, arms and seeds, and how its numbers came to be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from pilotlm.errors import InputError, nearest
from pilotlm.records import REFERENCE, Places, git_state, is_packed, read_json, results_folder
from pilotlm.report.wording import quoted
from pilotlm.stages import SCRATCH

REPORTED_BY = "the notebook 14-report.ipynb (`make paper` runs it)"


def read_manifest(run: str) -> dict[str, Any]:
    """The manifest of a run whose report has been made.

    Raises
    ------
    InputError
        If it is missing or not readable.
    """
    return read_json(results_folder() / run / "manifest.json", REPORTED_BY)


def studies_of_run(run: str, asked: list[str]) -> list[str]:
    """The studies of a run that have measures.

    Raises
    ------
    InputError
        If there are none, or one that was asked for is missing.
    """
    there = sorted(path.parent.parent.name for path in (results_folder() / run).glob("*/measures/heterogeneity.csv"))
    for name in asked:
        if name not in there:
            raise InputError(f"run '{run}' has no measures of the study '{name}'; {nearest(name, there)}.")
    if not there:
        raise InputError(
            f"run '{run}' has no measures yet: run an analysis with run={run} first, or `make paper` for a whole run."
        )
    return asked or there


def seeds_run(manifest: Mapping[str, Any]) -> list[int]:
    """The seeds that arms were fine-tuned, simulated or fitted with, in order.

    Counted in the records of the notebooks: a tidy table also has rows that belong to no seed, such as people's.
    """
    return sorted({int(record["parameters"]["seed"]) for record in _answering(manifest)})


def simulated_run(manifest: Mapping[str, Any]) -> list[int]:
    """How many people the language models answered for: the different numbers, in order."""
    return sorted({int(record["simulated"]) for record in _answering(manifest) if record.get("simulated")})


def pilot_sizes(manifest: Mapping[str, Any], study: str = "", arm: str = "") -> list[int]:
    """How many people models were fine-tuned on: of a study and an arm, or of all; in order.

    Those on whom runs before version 0.3 chose the settings count too.
    """
    found = {
        int(record["training_people"]) + int(record.get("validation_people", 0))
        for name, records in manifest["records"].items()
        for record in records.values()
        if "training_people" in record
        and (not study or name == study)
        and (not arm or record["parameters"]["arm"] == arm)
    }
    return sorted(found)


def _answering(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The records of the notebooks that have a seed: those in which somebody learns or answers."""
    records = [record for study in manifest["records"].values() for record in study.values()]
    return [record for record in records if "seed" in record.get("parameters", {})]


def run_to_report(run: str) -> tuple[str, str]:
    """The run to report on: the reference run where the default one holds no measures; and what must be said of it."""
    there = any((results_folder() / run).glob("*/measures/*.csv"))
    if run != SCRATCH or there or not is_packed(results_folder() / REFERENCE):
        return run, ""
    return REFERENCE, f"The run '{run}' holds no measures yet, so this page shows the reference run."


def model_of_run(places: Places) -> str:
    """The language models that answered a study in a run, with the beginning of their revisions; "" where none did."""
    paths = sorted(places.record("x").parent.glob("03-simulate-*.json"))
    records = [read_json(path, "the simulation") for path in paths]
    names = [
        f"{r['model']} ({r['model_revision'][:12]})" if r.get("model_revision") else str(r["model"]) for r in records
    ]
    return ", ".join(dict.fromkeys(names))


def run_table(run: str) -> pd.DataFrame:
    """Two columns that say what was run, where, and how long it took; from the manifest."""
    manifest = read_manifest(run)
    environment = manifest["environment"]
    records = [record for study in manifest["records"].values() for record in study.values()]
    packages = environment["packages"]
    facts: dict[str, Any] = {
        "Language model": ", ".join(sorted({str(r["model"]) for r in records if r.get("model")})) or "none",
        "Notebooks run": len(records),
        "Computing time": f"{sum(r['wall_seconds'] for r in records) / 60:.1f} minutes, all notebooks added up",
        "Largest memory of a notebook": f"{max((r['peak_memory_mib'] for r in records), default=0)} MiB",
        "Machine": f"{environment['system']}, {environment['cores']} cores",
        "Python, torch, transformers": f"{environment['python']}, {packages['torch']}, {packages['transformers']}",
        "Revision": environment["git_revision"] or "not a git checkout",
        "Changed since that revision": {True: "yes", False: "no", None: "unknown"}[environment["git_dirty"]],
    }
    return pd.DataFrame({"What": list(facts), "Value": [str(value) for value in facts.values()]})


SHORT = 12
"""Characters of a checksum or a revision that are shown; the manifest holds all of them."""


def provenance(manifest: Mapping[str, Any]) -> str:
    """Run, date, revision of the code, model with its revision, and the checksum of each study's data."""
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
    """The same of a single study of a run, whose report has not been made: from its records."""
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
