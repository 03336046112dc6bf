"""What a run found, put together: one tidy table, and one manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.errors import InputError
from pilotlm.records import (
    Places,
    environment,
    file_sha256,
    is_packed,
    read_csv,
    read_json,
    results_folder,
    write_csv,
    write_json,
)
from pilotlm.stages import ANALYSES, notebook_of
from pilotlm.study import load_study

_TEXT = ("study", "arm", "metric", "item", "subgroup", "against")


def collect_metrics(run: str, studies: Sequence[str]) -> pd.DataFrame:
    """Put the tables of all analyses one below the other, in the order of ``studies`` and of the paper.

    Raises
    ------
    InputError
        If an analysis is missing or its table has other columns.
    """
    tables = [read_measures(Places(run, study).measures(analysis)) for study in studies for analysis in ANALYSES]
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(METRIC_COLUMNS))


def read_metrics(run: str) -> pd.DataFrame:
    """The table that `write_report` wrote.

    Raises
    ------
    InputError
        If it is missing or has other columns.
    """
    return read_table(results_folder() / run / "metrics.csv", "14-report")


def read_decisions(run: str, studies: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The record of each study's decision, as far as there is one."""
    paths = {study: Places(run, study).decision for study in studies}
    return {study: read_json(path, "the notebook 13-decision.ipynb") for study, path in paths.items() if path.is_file()}


def write_report(run: str, studies: Sequence[str]) -> pd.DataFrame:
    """Write ``metrics.csv`` and ``manifest.json`` of a run; equal measures give equal bytes of the first.

    A packed run has both already: they are only read.

    Parameters
    ----------
    run : str
        A folder under ``results``.
    studies : sequence of str
        Its studies, in the order of the table.

    Returns
    -------
    DataFrame
        What stands in ``metrics.csv``.

    Raises
    ------
    InputError
        As in `collect_metrics`.
    """
    if is_packed(results_folder() / run):
        metrics = read_metrics(run)
        return metrics[metrics["study"].isin(studies)]
    metrics = collect_metrics(run, studies)
    records = {study: _records(Places(run, study)) for study in studies}
    folder = results_folder() / run
    write_csv(folder / "metrics.csv", metrics)
    write_json(
        folder / "manifest.json",
        {
            "run": run,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": environment(),
            "model": _model(records),
            "studies": {study: _study_facts(study, records[study]) for study in studies},
            "totals": _totals(records),
            "metrics_sha256": file_sha256(folder / "metrics.csv"),
            "records": records,
        },
    )
    return metrics


def read_measures(path: Path) -> pd.DataFrame:
    """The table that an analysis wrote.

    Raises
    ------
    InputError
        If it is missing or has other columns.
    """
    return read_table(path, notebook_of(path.stem).stem)


def read_table(path: Path, notebook: str) -> pd.DataFrame:
    """A tidy table of measures that a notebook wrote.

    Raises
    ------
    InputError
        If it is missing or has other columns.
    """
    table = read_csv(path, f"the notebook {notebook}.ipynb (`make paper` runs it)", _TEXT)
    if tuple(table.columns) != METRIC_COLUMNS:
        raise InputError(
            f"{path} has other columns than {', '.join(METRIC_COLUMNS)}; remove it and run {notebook} again."
        )
    return table


def _records(places: Places) -> dict[str, Any]:
    found = {path: read_json(path, f"{path.stem}.ipynb") for path in sorted(places.record("x").parent.glob("*.json"))}
    for path, record in found.items():
        if not all(isinstance(record.get(name), int | float) for name in ("wall_seconds", "peak_memory_mib")):
            raise InputError(f"{path} is not the record of a notebook; remove it, and run {path.stem}.ipynb again.")
    return {path.stem: record for path, record in found.items()}


def _nodes(records: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    return [node for nodes in records.values() for node in nodes.values()]


def _model(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The language model of the run; all of them where nodes differ, which a run of the graph never does."""
    found = sorted({(str(n["model"]), str(n.get("model_revision") or "")) for n in _nodes(records) if "model" in n})
    return {
        "name": ", ".join(dict.fromkeys(name for name, _ in found)) or "none",
        "revision": ", ".join(dict.fromkeys(revision for _, revision in found if revision)),
    }


def _totals(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    nodes = _nodes(records)
    return {
        "nodes": len(nodes),
        "wall_seconds": round(sum(node["wall_seconds"] for node in nodes), 2),
        "peak_memory_mib": max((node["peak_memory_mib"] for node in nodes), default=0),
    }


def _study_facts(name: str, records: Mapping[str, Any]) -> dict[str, Any]:
    study, prepared = load_study(name), records.get("01-prepare", {})
    return {
        "title": study.title,
        "synthetic": study.synthetic,
        "data_sha256": prepared.get("data_sha256"),
        "prompt_sha256": prepared.get("prompt_sha256"),
        "participants": prepared.get("participants"),
        "wall_seconds": round(sum(node["wall_seconds"] for node in records.values()), 2),
    }
