"""What a run is and what it found, put together: one tidy table, one manifest, and how its numbers came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.errors import InputError, nearest
from pilotlm.records import (
    ORIGIN,
    PACKED,
    REFERENCE,
    Places,
    environment,
    file_sha256,
    git_state,
    is_packed,
    origin_of,
    read_csv,
    read_json,
    results_folder,
    write_csv,
    write_json,
)
from pilotlm.report.wording import quoted
from pilotlm.stages import ANALYSES, SCRATCH, notebook_of
from pilotlm.study import load_study

REPORTED_BY = "the notebook 14-report.ipynb (`make paper` runs it)"
SHORT = 12
"""Characters of a checksum or a revision that are shown; the manifest holds all of them."""
_TEXT = ("study", "arm", "metric", "item", "subgroup", "against")


def collect_metrics(folder: Path, studies: Sequence[str]) -> pd.DataFrame:
    """Put the tables of a run's analyses (`read_measures`) one below the other, by study, in the order of the paper."""
    paths = [folder / study / "measures" / f"{analysis}.csv" for study in studies for analysis in ANALYSES]
    tables = [read_measures(path) for path in paths]
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(METRIC_COLUMNS))


def read_metrics(folder: Path) -> pd.DataFrame:
    """The table of a run that `write_report` wrote; an `InputError` where it is missing or has other columns.

    A packed run is without it: `collect_metrics` gives the same table, with the studies in the order that it had.
    """
    if is_packed(folder):
        return collect_metrics(folder, read_json(folder / PACKED, "packing")["studies"])
    return read_measures(folder / "metrics.csv")


def read_measures(path: Path) -> pd.DataFrame:
    """The tidy table that an analysis or the report wrote; an `InputError` where it is missing or of other columns."""
    notebook = notebook_of(path.stem if path.stem in ANALYSES else "report").stem
    table = read_csv(path, f"the notebook {notebook}.ipynb (`make paper` runs it)", _TEXT)
    if tuple(table.columns) != METRIC_COLUMNS:
        raise InputError(
            f"{path} has other columns than {', '.join(METRIC_COLUMNS)}; remove it and run {notebook} again."
        )
    return table


def read_decisions(run: str, studies: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The record of each study's decision, as far as there is one."""
    paths = {study: Places(run, study).decision for study in studies}
    return {study: read_json(path, "the notebook 13-decision.ipynb") for study, path in paths.items() if path.is_file()}


def read_manifest(run: str) -> dict[str, Any]:
    """The manifest of a run; an `InputError` where it is unreadable, or missing because no report was made."""
    return read_json(results_folder() / run / "manifest.json", REPORTED_BY)


def write_report(run: str, studies: Sequence[str]) -> pd.DataFrame:
    """Write ``metrics.csv`` and ``manifest.json`` of a run; equal measures give equal bytes of the first.

    A packed run is only read. Gives what stands in the table on these studies.
    """
    folder = results_folder() / run
    if is_packed(folder):
        metrics = read_metrics(folder)
        return metrics[metrics["study"].isin(studies)]
    metrics = collect_metrics(folder, studies)
    records = {study: _records(Places(run, study)) for study in studies}
    nodes = [node for of_study in records.values() for node in of_study.values()]
    now = {"finished": datetime.now(UTC).isoformat(timespec="seconds"), "environment": environment()}
    packed = {study: folder / study / ORIGIN for study in studies}
    origins = {study: read_json(path, "packing") if path.is_file() else now for study, path in packed.items()}
    write_csv(folder / "metrics.csv", metrics)
    write_json(
        folder / "manifest.json",
        {
            "run": run,
            **now,
            "model": _model(nodes),
            "studies": {study: _study_facts(study, records[study], origins[study]) for study in studies},
            "totals": {
                "nodes": len(nodes),
                "wall_seconds": round(sum(node["wall_seconds"] for node in nodes), 2),
                "peak_memory_mib": max((node["peak_memory_mib"] for node in nodes), default=0),
            },
            "metrics_sha256": file_sha256(folder / "metrics.csv"),
            "records": records,
        },
    )
    return metrics


def _records(places: Places) -> dict[str, Any]:
    found = {path: read_json(path, f"{path.stem}.ipynb") for path in sorted(places.record("x").parent.glob("*.json"))}
    for path, record in found.items():
        if not all(isinstance(record.get(name), int | float) for name in ("wall_seconds", "peak_memory_mib")):
            raise InputError(f"{path} is not the record of a notebook; remove it, and run {path.stem}.ipynb again.")
    return {path.stem: record for path, record in found.items()}


def _model(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The language model of the run; all of them where nodes differ, which a run of the graph never does."""
    found = sorted({(str(n["model"]), str(n.get("model_revision") or "")) for n in nodes if "model" in n})
    return {
        "name": ", ".join(dict.fromkeys(name for name, _ in found)) or "none",
        "revision": ", ".join(dict.fromkeys(revision for _, revision in found if revision)),
    }


def _study_facts(name: str, records: Mapping[str, Any], origin: Mapping[str, Any]) -> dict[str, Any]:
    study, prepared = load_study(name), records.get("01-prepare", {})
    return {
        "title": study.title,
        "synthetic": study.synthetic,
        **{key: prepared.get(key) for key in ("data_sha256", "prompt_sha256", "participants")},
        "wall_seconds": round(sum(node["wall_seconds"] for node in records.values()), 2),
        **origin,
    }


def studies_of_run(run: str, asked: list[str]) -> list[str]:
    """The studies of a run that have measures; an `InputError` where there is none, or one asked for is missing."""
    there = sorted(path.parent.parent.name for path in (results_folder() / run).glob("*/measures/heterogeneity.csv"))
    for name in asked:
        if name not in there:
            raise InputError(f"run '{run}' has no measures of the study '{name}'; {nearest(name, there)}.")
    if not there:
        raise InputError(
            f"run '{run}' has no measures yet: run an analysis with run={run} first, or `make paper` for a whole run."
        )
    return asked or there


def run_to_report(run: str) -> tuple[str, str]:
    """The run to report on: the reference run where the default one holds no measures; and what must be said of it."""
    there = any((results_folder() / run).glob("*/measures/*.csv"))
    if run != SCRATCH or there or not is_packed(results_folder() / REFERENCE):
        return run, ""
    return REFERENCE, f"The run '{run}' holds no measures yet, so this page shows the reference run."


def seeds_run(manifest: Mapping[str, Any]) -> dict[str, list[int]]:
    """The seeds that the arms of each study were fine-tuned, simulated or fitted with; people's rows belong to none."""
    return {
        study: sorted({int(record["parameters"]["seed"]) for record in _with_a_seed(records)})
        for study, records in manifest["records"].items()
    }


def simulated_run(manifest: Mapping[str, Any]) -> list[int]:
    """How many people the language models answered for: the different numbers, in order."""
    return sorted(
        {
            int(record["simulated"])
            for nodes in manifest["records"].values()
            for record in _with_a_seed(nodes)
            if record.get("simulated")
        }
    )


def pilot_sizes(manifest: Mapping[str, Any], study: str = "", arm: str = "") -> list[int]:
    """How many people models were fine-tuned on: of a study and an arm, or of all; in order."""
    found = {
        int(record["training_people"])
        for name, records in manifest["records"].items()
        for record in records.values()
        if "training_people" in record
        and (not study or name == study)
        and (not arm or record["parameters"]["arm"] == arm)
    }
    return sorted(found)


def _with_a_seed(records: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A study's records of the notebooks that have a seed: those in which somebody learns or answers."""
    return [record for record in records.values() if "seed" in record.get("parameters", {})]


def model_of_run(places: Places) -> str:
    """The language models that answered a study in a run, with the beginning of their revisions; "" where none did."""
    paths = sorted(places.record("x").parent.glob("03-simulate-*.json"))
    records = [read_json(path, "the simulation") for path in paths]
    names = [
        f"{r['model']} ({r['model_revision'][:SHORT]})" if r.get("model_revision") else str(r["model"]) for r in records
    ]
    return ", ".join(dict.fromkeys(names))


def provenance(manifest: Mapping[str, Any]) -> str:
    """Run, date, revision of the code, model with its revision, and the checksum of each study's data."""
    model, revision = manifest["model"], str(manifest["model"]["revision"] or "none")
    # A commit is cut; a revision in words is kept.
    shown = revision if " " in revision else revision[:SHORT]
    data = {name: facts.get("data_sha256") for name, facts in manifest["studies"].items()}
    named = f"{model['name']}, revision {shown}"
    return _line(manifest["run"], manifest["finished"], code_of(manifest), named, data)


def code_of(manifest: Mapping[str, Any]) -> str:
    """The revision of the code that made a run; of a packed run whose studies differ in it, that of each."""
    made: dict[str, list[str]] = {}
    for study in manifest["studies"]:
        made.setdefault(_revision(origin_of(manifest, study)["environment"]), []).append(study)
    if len(made) < 2:
        return next(iter(made), _revision(manifest["environment"]))
    return ", ".join(f"{revision} ({', '.join(studies)})" for revision, studies in made.items())


def _revision(code: Mapping[str, Any]) -> str:
    changed = ", with changes" if code.get("git_dirty") else ""
    return f"{str(code.get('git_revision') or 'unknown')[:SHORT]}{changed}"


def study_provenance(places: Places) -> str:
    """The same of a single study of a run, whose report has not been made: from its records."""
    path = places.record("01-prepare")
    data = read_json(path, "the notebook 01-prepare.ipynb").get("data_sha256") if path.is_file() else None
    code = _revision({"git_revision": git_state()["git_revision"]})
    return _line(places.run, datetime.now(UTC), code, model_of_run(places) or "none", {places.study: data})


def _line(run: str, day: object, code: str, model: str, data: Mapping[str, Any]) -> str:
    sums = ", ".join(f"{name} {str(sha256 or 'unknown')[:SHORT]}" for name, sha256 in data.items())
    parts = (
        f"Run {run} of {str(day)[:10]}",
        f"code {code}",
        f"model {model}",
        f"data (sha256) {sums or 'none'}",
    )
    return " · ".join(quoted(part) for part in parts)
