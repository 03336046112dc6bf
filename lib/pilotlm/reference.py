"""A finished run that is kept with the code: packed, put back, and checked by computing its analyses again.

No row of a person is in a packed run. Simulated answers lie beside the background of the person who is answered for,
which packing takes away and unpacking joins again from the study's own data. Baselines are not packed: they are fitted
again in seconds, and a bootstrap's answers are people's. So no language model is needed to check a packed run.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
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
from pilotlm.arms import load_arms
from pilotlm.errors import InputError, nearest
from pilotlm.predictions import PREDICTION_COLUMNS, write_predictions
from pilotlm.records import (
    ORIGIN,
    PACKED,
    Places,
    file_sha256,
    is_packed,
    origin_of,
    project_folder,
    read_csv,
    read_json,
    read_parquet,
    results_folder,
    whole_folder,
    write_json,
)
from pilotlm.responses import PERSON, WEIGHT, response_columns, write_responses
from pilotlm.stages import ANALYSES, notebook_of
from pilotlm.study import Study, load_study

RESPONSES, PREDICTIONS = "responses.parquet", "predictions.parquet"
PACKED_BY = "`pilotlm pack`"
DECISION = "decision"
READ_BY_DECISION = ("divergence", "rectification")
RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""How far a number may lie from the packed one: the last digits that are written, and the rounding of another
processor, which is about 1e-12 in a sum and at most 1e-7 where an iteration stops a step earlier."""
MOST_SAID = 3
"""Numbers that differ which a message names."""
_KEYS = list(METRIC_COLUMNS[: METRIC_COLUMNS.index("estimate")])
Said = Callable[[str], object]


def pack(run: str, target: Path) -> Path:
    """Pack a finished run, a folder under ``results``, whole or not at all.

    The studies of the run take the place of those in an earlier packed run there; its other studies stay as they are,
    and the report is made again over all of them.
    """
    source = results_folder() / run
    manifest = read_json(source / "manifest.json", "the notebook 14-report.ipynb")
    if target.exists() and not is_packed(target):
        raise InputError(f"{target} exists and is not a packed run; name another folder, or remove it yourself.")
    before = read_json(target / PACKED, PACKED_BY) if target.exists() else {"studies": []}
    kept = [study for study in before["studies"] if study not in manifest["studies"]]
    # The manifest has its studies in the order of the alphabet, the table in that of the pages.
    reported_on = read_csv(source / "metrics.csv", "the notebook 14-report.ipynb", ["study"])["study"]
    order = list(dict.fromkeys([*before["studies"], *reported_on]))
    with TemporaryDirectory(prefix="pilotlm-pack-") as made, whole_folder(target) as folder:
        if kept:
            reported, earlier = Path(made) / run, read_json(target / "manifest.json", PACKED_BY)
            for study in manifest["studies"]:
                _put_for_report(source / study, reported / study, study, manifest)
            for study in kept:
                _put_for_report(target / study, reported / study, study, earlier)
            _execute_notebook("report", reported / "report.ipynb", [f"run={run}", f"studies={' '.join(order)}"], made)
            source = reported
        for name in ("manifest.json", "report.ipynb"):
            _copy(source / name, folder / name)
        for study in manifest["studies"]:
            _pack_study(Places(run, study), manifest["records"][study], folder / study)
        for study in kept:
            shutil.copytree(target / study, folder / study)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
        write_json(folder / PACKED, {"run": manifest["run"], "studies": order, "files": files})
    return target


def _put_for_report(source: Path, folder: Path, study: str, manifest: Mapping[str, Any]) -> None:
    """Put what the report reads of a study into a folder: its measures, its decision, its records, its origin."""
    shutil.copytree(source / "measures", folder / "measures")
    shutil.copyfile(source / "decision.json", folder / "decision.json")
    for node, record in manifest["records"][study].items():
        write_json(folder / "records" / f"{node}.json", record)
    write_json(folder / ORIGIN, origin_of(manifest, study))


def changed_files(folder: Path) -> list[str]:
    """The files of a packed run that are not as they were packed, or are gone."""
    listed = read_json(folder / PACKED, PACKED_BY)["files"]
    return [name for name, was in listed.items() if not (folder / name).is_file() or file_sha256(folder / name) != was]


def unpack(packed: Path, folder: Path, study: Study, people: pd.DataFrame, records: Mapping[str, Any]) -> None:
    """Put the responses and predictive distributions of a packed study back as a run has them.

    Parameters
    ----------
    packed, folder : Path
        The study's folder in the packed run, and in the run that is made.
    people : DataFrame
        All its participants, from its own data; an `InputError` names one of the packed run whom they do not have.
    records : mapping
        The records of the study's nodes, from the manifest; they say which arms were simulated.
    """
    background = [variable.name for variable in study.background]
    answers = read_parquet(packed / RESPONSES, PACKED_BY)
    unknown = sorted(set(answers["participant"]) - set(people["participant"]))
    if unknown:
        raise InputError(f"{packed / RESPONSES} has answers for participant {unknown[0]}, who is not in the data.")
    of_people = [column for column in (PERSON, WEIGHT) if column in people.columns]
    known_of = people[["participant", *background, *of_people]]
    joined = answers.merge(known_of, on="participant", how="left", validate="many_to_one")
    extra = [*of_people, *(column for column in answers.columns if column not in response_columns(study))]
    predictions = read_parquet(packed / PREDICTIONS, PACKED_BY)
    for arm, seed in simulated(records):
        mine, own = (t[(t["arm"] == arm) & (t["seed"] == seed)].reset_index(drop=True) for t in (joined, predictions))
        known = [column for column in extra if mine[column].notna().any()]
        name = f"{arm}-s{seed}.parquet"
        write_responses(folder / "responses" / name, study, mine[[*response_columns(study), *known]])
        if len(own):
            write_predictions(folder / "predictions" / name, study, own)


def simulated(records: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Arm and seed of each simulation."""
    for record in records.values():
        if record["stage"] == "simulate":
            yield str(record["parameters"]["arm"]), int(record["parameters"]["seed"])


@dataclass(frozen=True)
class Checked:
    """One analysis of a study, computed again: how many ``numbers`` were compared, and what is ``wrong``.

    ``largest`` is the largest difference between two of them, as a share of the packed one, or as it is below one.
    """

    study: str
    analysis: str
    numbers: int = 0
    largest: float = 0.0
    wrong: tuple[str, ...] = ()


def verify(
    packed: Path, studies: Sequence[str] = (), analyses: Sequence[str] = (), cores: int = 2, said: Said | None = None
) -> list[Checked]:
    """Compute the analyses of a packed run again, the decision among them, and compare them number by number.

    All studies and analyses, where none is named, ``cores`` notebooks at a time; ``said`` is told, in a line, what has
    been done.

    Raises
    ------
    InputError
        If the folder holds no packed run, a file in it was changed, a name is unknown, data cannot be had, or a
        notebook fails.
    """
    changed = changed_files(packed)
    if changed:
        raise InputError(f"{packed} is not as it was packed: changed or removed were {', '.join(changed[:MOST_SAID])}.")
    manifest = read_json(packed / "manifest.json", PACKED_BY)
    chosen = _chosen(studies, list(manifest["studies"]), "study")
    kinds = _chosen(analyses, [*ANALYSES, DECISION], "analysis")
    if cores < 1:
        raise InputError(f"At least one process is needed, got {cores}.")
    found = []
    with TemporaryDirectory(prefix="pilotlm-verify-") as made:
        run = Path(made) / str(manifest["run"])
        for study in chosen:
            execute_again(packed, run, study, manifest["records"][study], kinds, cores, said)
            found += [
                compared(study, kind, _values(run / study, kind), _values(packed / study, kind)) for kind in kinds
            ]
    return found


def execute_again(
    packed: Path, run: Path, name: str, records: Mapping[str, Any], kinds: Sequence[str], cores: int, said: Said | None
) -> None:
    """Make a study's run again from its packed answers: baselines, then the analyses of ``kinds``."""
    folder = run / name

    def again(node: str) -> None:
        words = [f"{parameter}={value}" for parameter, value in records[node]["parameters"].items()]
        try:
            _execute_notebook(records[node]["stage"], folder / "notebooks" / f"{node}.ipynb", words, run.parent)
        except InputError as error:
            raise InputError(f"study '{name}', {node}: {error}") from None
        if said is not None:
            said(f"{name}: {node}")

    def execute(*stages: str) -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(again, (node for node, record in records.items() if record["stage"] in stages)))

    for node, record in records.items():
        write_json(folder / "records" / f"{node}.json", record)  # the decision reads what simulating cost
    execute("prepare")
    people = read_parquet(folder / "people.parquet", "the notebook 01-prepare.ipynb")
    unpack(packed / name, folder, load_study(name), people, records)
    execute("baselines")
    execute(*(kind for kind in ANALYSES if kind in kinds or (DECISION in kinds and kind in READ_BY_DECISION)))
    if DECISION in kinds:
        execute(DECISION)


def values_of_table(table: pd.DataFrame) -> pd.Series:
    """Every value of a tidy table under the words of its row and its column."""
    rows = table[_KEYS].fillna("").astype(str).agg(" ".join, axis=1)
    values = table.drop(columns=_KEYS).astype(float)
    return pd.Series(values.to_numpy().ravel(), [f"{row}, {column}" for row in rows for column in values])


def compared(study: str, kind: str, ours: pd.Series, theirs: pd.Series) -> Checked:
    """What differs between named values and the packed ones."""
    if not ours.index.equals(theirs.index):
        apart = sorted(set(ours.index) ^ set(theirs.index)) or ["their order"]
        return Checked(study, kind, wrong=(f"other values: {len(ours)} computed, {len(theirs)} packed; {apart[0]}",))
    mine, packed = (pd.to_numeric(one, errors="coerce").to_numpy(float) for one in (ours, theirs))
    equal = np.isclose(mine, packed, rtol=RELATIVE, atol=ABSOLUTE) | (ours == theirs) | (ours.isna() & theirs.isna())
    wrong = np.flatnonzero(~equal)
    apart_by = np.abs(mine - packed) / np.maximum(np.abs(packed), 1)
    said = [f"{ours.index[k]}: {ours.iloc[k]}, packed {theirs.iloc[k]}" for k in wrong[:MOST_SAID]]
    more = [f"and {len(wrong) - MOST_SAID} more"] if len(wrong) > MOST_SAID else []
    largest = float(np.max(apart_by[np.isfinite(apart_by)], initial=0.0))
    return Checked(study, kind, int(np.isfinite(packed).sum()), largest, (*said, *more))


def _values(folder: Path, kind: str) -> pd.Series:
    made_by = notebook_of(kind).name
    if kind == DECISION:
        values = pd.json_normalize(read_json(folder / "decision.json", made_by)).iloc[0]
        return values.map(lambda value: value if isinstance(value, int | float) else str(value))
    table = read_csv(folder / "measures" / f"{kind}.csv", made_by, _KEYS)
    if tuple(table.columns) != METRIC_COLUMNS:
        raise InputError(f"{folder}: the measures of {kind} have other columns than {', '.join(METRIC_COLUMNS)}.")
    return values_of_table(table)


def _pack_study(places: Places, records: Mapping[str, Any], folder: Path) -> None:
    study, arms = load_study(places.study), list(simulated(records))
    for arm, _ in arms:
        if not load_arms().arm(arm).is_model:
            raise InputError(f"'{arm}' is not a language model, and only the answers of language models are packed.")
    made_by, taken_away = "the notebook 03-simulate.ipynb", [*(v.name for v in study.background), PERSON, WEIGHT]
    tables = [read_parquet(places.responses(*key), made_by).drop(columns=taken_away, errors="ignore") for key in arms]
    predictions = [
        read_parquet(path, made_by).assign(arm=arm, seed=seed)
        for arm, seed in arms
        if (path := places.predictions(arm, seed)).is_file()
    ]
    folder.mkdir(parents=True)
    _write(folder / RESPONSES, tables)
    _write(folder / PREDICTIONS, predictions or [pd.DataFrame(columns=[*PREDICTION_COLUMNS, "arm", "seed"])])
    files = [places.decision, *(places.measures(analysis) for analysis in ANALYSES)]
    files += [places.folder / "notebooks" / notebook_of(stage).name for stage in ("prepare", *ANALYSES, DECISION)]
    for path in files:
        _copy(path, folder / path.relative_to(places.folder))


def _write(path: Path, tables: list[pd.DataFrame]) -> None:
    filled = [table for table in tables if len(table)] or tables[:1]
    pd.concat(filled, ignore_index=True).to_parquet(path, index=False, compression="zstd", compression_level=19)


def _copy(source: Path, target: Path) -> None:
    """Copy a file; of a notebook without this machine's folders, which papermill notes, and with lighter pictures."""
    import nbformat

    if not source.is_file():
        raise InputError(f"{source} is missing: the run is not finished; run it to its end, then pack it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix != ".ipynb":
        shutil.copyfile(source, target)
        return
    notebook = nbformat.read(source, as_version=4)
    noted = notebook.metadata.get("papermill", {})
    noted.update({name: Path(noted[name]).name for name in ("input_path", "output_path") if noted.get(name)})
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if {"image/svg+xml", "image/png"} <= set(output.get("data", {})):
                output.data["image/png"] = _lighter(output.data["image/png"])
    nbformat.write(notebook, target)


def _lighter(encoded: str) -> str:
    """A PNG in 256 colours, a third of its size: the drawing beside it is the figure, the picture stands in for it."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    few, light = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE), io.BytesIO()
    few.save(light, "PNG", optimize=True, dpi=picture.info.get("dpi", (72, 72)))
    return base64.b64encode(light.getvalue()).decode()


def _execute_notebook(stage: str, page: Path, words: Sequence[str], results: Path | str) -> None:
    """Execute the notebook of a stage on the runs in a folder."""
    source = project_folder() / notebook_of(stage)
    command = [sys.executable, "-m", "pilotlm.cli", "execute", str(source), str(page), *words]
    places = {"PILOTLM_RESULTS": str(results), "PILOTLM_HOME": str(project_folder()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(last.removeprefix("pilotlm: "))


def _chosen(asked: Sequence[str], there: list[str], what: str) -> list[str]:
    for name in asked:
        if name not in there:
            raise InputError(f"The packed run has no {what} '{name}'; {nearest(name, there)}.")
    return [name for name in there if not asked or name in asked]
