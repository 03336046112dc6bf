"""What a run found, put together: one tidy table, one manifest, and the tables and the first figure of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.arms import Arm, Arms, load_arms
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
from pilotlm.report.evidence import PRIMARY, Evidence, Interval, gather
from pilotlm.report.verdicts import VERDICT_COLUMNS, verdicts
from pilotlm.report.wording import number
from pilotlm.responses import HUMAN
from pilotlm.stages import ANALYSES, notebook_of
from pilotlm.study import Study, load_study

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


def verdict_table(metrics: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """The verdicts as text: study, claim, published, ours, verdict and why, ready to be shown."""
    table = verdicts(metrics, studies)[list(VERDICT_COLUMNS)]
    return table.rename(columns=str.capitalize)


def overview_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """One line a study and arm, seeds averaged, ready to be shown."""
    studies = {name: load_study(name) for name in metrics["study"].unique()}
    return pd.DataFrame(
        [
            {"Study": evidence.study.name, "Arm": label, **_overview_line(evidence, name)}
            for evidence in gather(metrics, studies, load_arms())
            for name, label in [(HUMAN, "People"), *((arm.name, arm.label) for arm in evidence.present)]
        ]
    )


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


def _overview_line(evidence: Evidence, arm: str) -> dict[str, str]:
    count = evidence.value(arm, "unique_structures", "beliefs")
    joint, gap = evidence.value(arm, *PRIMARY), evidence.value(arm, "gap")
    f1, rate = (evidence.value(arm, name, "all") for name in ("sign_f1", "false_positive_rate"))
    rows = evidence.table[(evidence.table["arm"] == arm) & (evidence.table["metric"] == "subgroup_distance")]
    return {
        "Structures / people's": "–" if count is None else number(count.estimate / count.human_benchmark, 2),
        "All answers together": _interval(joint.placed if joint else None),
        "Distance by group": number(rows["estimate"].mean(), 2),
        "Gap": _interval(gap),
        "Gap if independent": "–" if gap is None else number(gap.random_benchmark, 2),
        "F1": "–" if f1 is None else number(f1.estimate, 2),
        "FPR": "–" if rate is None else number(rate.estimate, 2),
    }


def _interval(value: Interval | None) -> str:
    if value is None or not value.known:
        return "–"
    return f"{number(value.estimate, 2)} [{number(value.low, 2)}, {number(value.high, 2)}]"


PRIMARY_AXIS = "distance of all answers together: 0 another sample of people, 1 random answers"


def primary_places(metrics: pd.DataFrame, studies: Mapping[str, Study], arms: Arms | None = None) -> pd.DataFrame:
    """Where arms lie between people and random answers in the primary measure, seeds averaged."""
    rows = []
    for evidence in gather(metrics, studies, arms or load_arms()):
        models = [arm for arm in evidence.present if arm == evidence.base or arm in evidence.tuned]
        best = [evidence.baseline(arm) for arm in evidence.tuned]
        for arm in dict.fromkeys([*models, *(arm for arm in best if arm is not None)]):
            value = evidence.value(arm.name, *PRIMARY)
            if value is not None:
                place = value.placed
                rows.append((evidence.study.name, arm.name, place.estimate, place.low, place.high, 0.0, 1.0))
    return pd.DataFrame(
        rows, columns=["study", "arm", "estimate", "low", "high", "human_benchmark", "random_benchmark"]
    )


ROBUSTNESS_MEASURES = {
    "Joint distance": ("joint_distance", "answers"),
    "Marginal distance": ("marginal_distance", "mean"),
    "Gap": ("gap", None),
    "Association": ("association", None),
    "F1 of signs": ("sign_f1", "all"),
}
"""Heading, then metric and item."""


def plain_of(arm: Arm, arms: Arms) -> Arm | None:
    """The arm that a variant varies: the same with the usual prompt, temperature and decoding."""
    if not arm.is_variant or arm.shuffled:
        return None
    plain = {"persona_first": False, "reversed_options": False, "examples": 0, "temperature": 1.0, "decoding": "whole"}
    usual = arm.model_copy(update=plain)
    own = ("name", "label", "adapter_of")
    others = (a for a in arms.arms.values() if usual.model_copy(update={key: getattr(a, key) for key in own}) == a)
    return next((other for other in others if arm.adapter_of in ("", other.name)), None)


def robustness_table(metrics: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """What each variant's measures are, less those of its plain arm."""
    arms = load_arms()
    rows = [
        {"Study": evidence.study.name, "Variant": arm.label, "Plain arm": plain.label}
        | {heading: _difference(evidence, arm, plain, *measure) for heading, measure in ROBUSTNESS_MEASURES.items()}
        for evidence in gather(metrics, studies, arms)
        for arm in evidence.present
        if (plain := plain_of(arm, arms)) is not None and plain in evidence.present
    ]
    return pd.DataFrame(rows, columns=["Study", "Variant", "Plain arm", *ROBUSTNESS_MEASURES])


def _difference(evidence: Evidence, arm: Arm, plain: Arm, metric: str, item: str | None) -> str:
    ours, theirs = (evidence.value(one.name, metric, item) for one in (arm, plain))
    if ours is None or theirs is None or not ours.known or not theirs.known:
        return "–"
    apart = ours.minus(theirs)
    ends = "" if math.isnan(apart.low) else f" [{number(apart.low)}, {number(apart.high)}]"
    return f"{number(apart.estimate)}{ends}"
