"""A packed run checked on another machine: its analyses are computed again, and compared number by number.

No language model is needed. What models answered is taken from the packed run, people come from the studies' own data,
opponents are fitted again, and every analysis notebook is run anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.errors import InputError, nearest
from pilotlm.lineage import notebook_of
from pilotlm.packed import MADE_BY, changed_files, unpack
from pilotlm.records import project_folder, read_json, read_parquet, write_json
from pilotlm.showing.report import read_measures
from pilotlm.stages import ANALYSES
from pilotlm.study import load_study

DECISION = "decision"
CHECKED = (*ANALYSES, DECISION)
READ_BY_DECISION = ("divergence", "rectification")
RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""How far a number may lie from the packed one: the last digits that are written, and the rounding of another
processor, which is about 1e-12 in a sum and at most 1e-7 where an iteration stops a step earlier."""
MOST_SAID = 3
"""Numbers that differ which a message names."""
_FIRST_VALUE = METRIC_COLUMNS.index("estimate")
_KEYS, _VALUES = list(METRIC_COLUMNS[:_FIRST_VALUE]), list(METRIC_COLUMNS[_FIRST_VALUE:])
Said = Callable[[str], object]


@dataclass(frozen=True)
class Checked:
    """One analysis of a study, computed again.

    Attributes
    ----------
    study, analysis : str
        Which.
    numbers : int
        How many were compared.
    largest : float
        The largest difference between two of them, as a share of the packed one, or as it is below one.
    wrong : tuple of str
        What differs by more than is allowed; empty where all is equal.
    """

    study: str
    analysis: str
    numbers: int
    largest: float
    wrong: tuple[str, ...]


def verify(
    packed: Path, studies: Sequence[str] = (), analyses: Sequence[str] = (), cores: int = 2, said: Said | None = None
) -> list[Checked]:
    """Compute the analyses of a packed run again and compare them.

    Parameters
    ----------
    packed : Path
        The packed run.
    studies, analyses : sequence of str
        Which; all when empty.
    cores : int
        Notebooks at a time, at least 1.
    said : callable, optional
        Told, in a line, what has been done.

    Returns
    -------
    list of Checked
        In the order of the run's studies and of the paper.

    Raises
    ------
    InputError
        If the folder holds no packed run, a file in it was changed, a name is unknown, data cannot be had, or a
        notebook fails.
    """
    changed = changed_files(packed)
    if changed:
        raise InputError(f"{packed} is not as it was packed: {', '.join(changed[:MOST_SAID])} was changed or removed.")
    manifest = read_json(packed / "manifest.json", MADE_BY)
    chosen = _chosen(studies, list(manifest["studies"]), "study")
    kinds = _chosen(analyses, list(CHECKED), "analysis")
    if cores < 1:
        raise InputError(f"At least one process is needed, got {cores}.")
    with TemporaryDirectory(prefix="pilotlm-verify-") as made:
        run = Path(made) / str(manifest["run"])
        return [
            checked
            for study in chosen
            for checked in _verify_study(packed, run, study, manifest["records"][study], kinds, cores, said)
        ]


def compare_measures(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[float, tuple[str, ...]]:
    """The largest difference between two tables of measures, and what differs by more than is allowed.

    Parameters
    ----------
    ours, theirs : DataFrame
        Tidy tables, the second the packed one.

    Returns
    -------
    largest : float
        As in `Checked`; 0 where they have different rows.
    wrong : tuple of str
        A sentence each, the first `MOST_SAID` of them and how many more.
    """
    mine, packed = (table[_KEYS].fillna("").astype(str).agg(" ".join, axis=1) for table in (ours, theirs))
    if mine.tolist() != packed.tolist():
        apart = sorted(set(mine) ^ set(packed)) or ["their order"]
        return 0.0, (f"other rows: {len(ours)} computed, {len(theirs)} packed; {apart[0]}",)
    a, b = (table[_VALUES].to_numpy(dtype=float) for table in (ours, theirs))
    bad = ~np.isclose(a, b, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
    apart_by = np.abs(a - b) / np.maximum(np.abs(b), 1.0)
    wrong = [f"{mine[r]}, {_VALUES[c]}: {a[r, c]:.10g}, packed {b[r, c]:.10g}" for r, c in np.argwhere(bad)]
    more = [f"and {len(wrong) - MOST_SAID} more"] if len(wrong) > MOST_SAID else []
    largest = float(np.nanmax(apart_by)) if np.isfinite(apart_by).any() else 0.0
    return largest, (*wrong[:MOST_SAID], *more)


def _verify_study(
    packed: Path, run: Path, name: str, records: Mapping[str, Any], kinds: Sequence[str], cores: int, said: Said | None
) -> Iterator[Checked]:
    folder = run / name
    for node, record in records.items():
        # The decision reads what simulating cost.
        write_json(folder / "records" / f"{node}.json", record)
    stages = {stage: [node for node, r in records.items() if r["stage"] == stage] for stage in ("prepare", "baselines")}
    _run(run, name, records, stages["prepare"], 1, said)
    people = read_parquet(folder / "people.parquet", "the notebook 01-prepare.ipynb")
    unpack(packed / name, folder, load_study(name), people, records)
    _run(run, name, records, stages["baselines"], cores, said)
    # The decision reads the measures of two analyses.
    first = [
        kind for kind in ANALYSES if kind in kinds or (DECISION in kinds and kind in ("divergence", "rectification"))
    ]
    node_of = {record["stage"]: node for node, record in records.items()}
    _run(run, name, records, [node_of[kind] for kind in first], cores, said)
    _run(run, name, records, [node_of[DECISION]] if DECISION in kinds else [], 1, said)
    for kind in kinds:
        yield _compared(packed / name, folder, name, kind)


def _compared(packed: Path, folder: Path, study: str, kind: str) -> Checked:
    if kind == DECISION:
        ours, theirs = (read_json(path / "decision.json", "13-decision.ipynb") for path in (folder, packed))
        pairs = list(_pairs(ours, theirs, ""))
        wrong = [f"{where}: {a!r}, packed {b!r}" for where, a, b in pairs if not _equal(a, b)]
        apart = [abs(a - b) / max(abs(b), 1.0) for _, a, b in pairs if _number(a) and _number(b)]
        return Checked(study, kind, len(pairs), max(apart, default=0.0), tuple(wrong[:MOST_SAID]))
    ours_table, table = (read_measures(path / "measures" / f"{kind}.csv") for path in (folder, packed))
    largest, different = compare_measures(ours_table, table)
    return Checked(study, kind, int(table[_VALUES].notna().to_numpy().sum()), largest, different)


def _pairs(ours: Any, theirs: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """The values of two JSON documents, side by side, with their place."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in {**theirs, **ours}:
            yield from _pairs(ours.get(key), theirs.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from _pairs(*pair, f"{where}[{number}]")
    else:
        yield where, ours, theirs


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(a: Any, b: Any) -> bool:
    if _number(a) and _number(b):
        return bool(np.isclose(a, b, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))
    return bool(a == b)


def _run(
    run: Path, study: str, records: Mapping[str, Any], nodes: Sequence[str], cores: int, said: Said | None
) -> None:
    """Run some of a study's notebooks with the parameters that they had."""

    def one(node: str) -> None:
        record = records[node]
        words = [f"{name}={value}" for name, value in record["parameters"].items()]
        page = run / study / "notebooks" / f"{node}.ipynb"
        source = project_folder() / notebook_of(record["stage"])
        command = [sys.executable, "-m", "pilotlm.cli", "execute", str(source), str(page), *words]
        places = {"PILOTLM_RESULTS": str(run.parent), "PILOTLM_HOME": str(project_folder())}
        done = subprocess.run(
            command, env={**os.environ, "OMP_NUM_THREADS": "1", **places}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise InputError(f"study '{study}', {node}: {last.removeprefix('pilotlm: ')}")
        if said is not None:
            said(f"{study}: {node}")

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(one, nodes))


def _chosen(asked: Sequence[str], there: list[str], what: str) -> list[str]:
    for name in asked:
        if name not in there:
            raise InputError(f"The packed run has no {what} '{name}'; {nearest(name, there)}.")
    return [name for name in there if not asked or name in asked]
