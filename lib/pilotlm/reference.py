"""A finished run that is kept with the code: packed, put back, and checked by computing its analyses again.

No row of a person is in a packed run. Simulated answers lie beside the background of the person who is answered for,
which packing takes away and unpacking joins again from the study's own data. Baselines are not packed: they are fitted
again in seconds, and a bootstrap's answers are people's. So no language model is needed to check a packed run.
"""

from __future__ import annotations

import base64
import io
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.arms import load_arms
from pilotlm.data.sources import people_of
from pilotlm.errors import InputError, nearest
from pilotlm.predictions import PREDICTION_COLUMNS, write_predictions
from pilotlm.records import (
    PACKED,
    REFERENCE,
    Places,
    file_sha256,
    is_packed,
    library_sha256,
    project_folder,
    read_csv,
    read_json,
    read_parquet,
    results_folder,
    text_sha256,
    whole_folder,
    write_json,
)
from pilotlm.responses import PERSON, WEIGHT, response_columns, write_responses
from pilotlm.stages import ANALYSES, SCRATCH, Begun, notebook_of
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
_FIRST_VALUE = METRIC_COLUMNS.index("estimate")
_KEYS, _VALUES = list(METRIC_COLUMNS[:_FIRST_VALUE]), list(METRIC_COLUMNS[_FIRST_VALUE:])
Said = Callable[[str], object]


def pack(run: str, target: Path) -> Path:
    """Pack a finished run, a folder under ``results``, whole or not at all; an earlier packed run there is replaced."""
    source = results_folder() / run
    manifest = read_json(source / "manifest.json", "the notebook 14-report.ipynb")
    if target.exists() and not is_packed(target):
        raise InputError(f"{target} is there and is no packed run; name another folder, or remove it yourself.")
    with whole_folder(target) as folder:
        for name in ("metrics.csv", "manifest.json", "report.ipynb"):
            _copy(source / name, folder / name)
        for study in manifest["studies"]:
            _pack_study(Places(run, study), manifest["records"][study], folder / study)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
        write_json(folder / PACKED, {"run": manifest["run"], "files": files})
    return target


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
    study : Study
        The study.
    people : DataFrame
        All its participants, from its own data.
    records : mapping
        The records of the study's nodes, from the manifest; they say which arms were simulated.

    Raises
    ------
    InputError
        If a file is missing or unreadable, or names a participant that the data do not have.
    """
    background = [variable.name for variable in study.background]
    answers = read_parquet(packed / RESPONSES, PACKED_BY)
    unknown = sorted(set(answers["participant"]) - set(people["participant"]))
    if unknown:
        raise InputError(f"{packed / RESPONSES} answers for participant {unknown[0]}, whom the data do not have.")
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
    """Compute the analyses of a packed run again, the decision among them, and compare them number by number.

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

    Raises
    ------
    InputError
        If the folder holds no packed run, a file in it was changed, a name is unknown, data cannot be had, or a
        notebook fails.
    """
    changed = changed_files(packed)
    if changed:
        raise InputError(f"{packed} is not as it was packed: {', '.join(changed[:MOST_SAID])} was changed or removed.")
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
            found += [_compared(packed / study, run / study, study, kind) for kind in kinds]
    return found


def execute_again(
    packed: Path, run: Path, name: str, records: Mapping[str, Any], kinds: Sequence[str], cores: int, said: Said | None
) -> None:
    """Make a study's run again from its packed answers: baselines, then the analyses of ``kinds``."""
    folder = run / name
    for node, record in records.items():
        # The decision reads what simulating cost.
        write_json(folder / "records" / f"{node}.json", record)
    nodes = {stage: [node for node, r in records.items() if r["stage"] == stage] for stage in ("prepare", "baselines")}
    _execute(run, name, records, nodes["prepare"], 1, said)
    people = read_parquet(folder / "people.parquet", "the notebook 01-prepare.ipynb")
    unpack(packed / name, folder, load_study(name), people, records)
    _execute(run, name, records, nodes["baselines"], cores, said)
    needed = {*kinds, *(READ_BY_DECISION if DECISION in kinds else ())}
    node_of = {record["stage"]: node for node, record in records.items()}
    _execute(run, name, records, [node_of[kind] for kind in ANALYSES if kind in needed], cores, said)
    _execute(run, name, records, [node_of[DECISION]] if DECISION in kinds else [], 1, said)


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[float, tuple[str, ...]]:
    """The largest difference between two sets of named values, and what differs by more than is allowed."""
    if list(ours) != list(theirs):
        apart = sorted(set(ours) ^ set(theirs)) or ["their order"]
        return 0.0, (f"other values: {len(ours)} computed, {len(theirs)} packed; {apart[0]}",)
    wrong, largest = [], 0.0
    for name, packed in theirs.items():
        mine = ours[name]
        if _is_number(mine) and _is_number(packed):
            apart_by = abs(mine - packed)
            close = math.isclose(mine, packed, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
            equal = close or (math.isnan(mine) and math.isnan(packed))
            largest = max(largest, apart_by / max(abs(packed), 1.0)) if math.isfinite(apart_by) else largest
        else:
            equal = mine == packed
        if not equal:
            wrong.append(f"{name}: {_digits(mine)}, packed {_digits(packed)}")
    more = [f"and {len(wrong) - MOST_SAID} more"] if len(wrong) > MOST_SAID else []
    return largest, (*wrong[:MOST_SAID], *more)


def values_of_table(table: pd.DataFrame) -> dict[str, Any]:
    """Every value of a tidy table under the words of its row and its column."""
    rows = table[_KEYS].fillna("").astype(str).agg(" ".join, axis=1)
    again = rows.groupby(rows).cumcount()  # the curves of one figure have rows of equal names
    rows = rows.where(again == 0, rows + " (" + again.astype(str) + ")")
    return {
        f"{row}, {column}": value
        for row, values in zip(rows, table[_VALUES].astype(float).to_numpy().tolist(), strict=True)
        for column, value in zip(_VALUES, values, strict=True)
    }


def with_reference(begun: Begun) -> tuple[Begun, str]:
    """The run that an analysis reads: its own, or the reference run where the default one holds nothing of the study.

    Returns
    -------
    begun : Begun
        The same, or one whose places are those of the reference run. Nothing is to be written there.
    note : str
        What the page must say of it; "" where it is the analysis's own run.

    Raises
    ------
    InputError
        If the reference run, or the study's data, cannot be read.
    """
    packed = results_folder() / REFERENCE
    own = begun.parameters.run != SCRATCH or any((begun.places.folder / "responses").glob("*.parquet"))
    if own or not is_packed(packed) or not (packed / begun.study.name).is_dir():
        return begun, ""
    manifest = read_json(packed / "manifest.json", PACKED_BY)
    # Baselines are fitted again: where the code is another one, so is the copy.
    key = text_sha256(f"{file_sha256(packed / PACKED)} {library_sha256()}")[:12]
    shown = replace(begun, parameters=begun.parameters.model_copy(update={"run": f".{REFERENCE}-{key}"}))
    if not shown.places.folder.is_dir():
        with whole_folder(shown.places.folder) as folder:
            _unpack_whole(packed / begun.study.name, folder, begun, manifest["records"][begun.study.name])
    note = (
        f"Nothing has been simulated under the run '{SCRATCH}' yet, so this page shows the reference run of "
        f"{str(manifest['finished'])[:10]}, `results/{REFERENCE}`. `make paper` makes a run of your own."
    )
    return shown, note


def _unpack_whole(packed: Path, folder: Path, begun: Begun, records: Mapping[str, Any]) -> None:
    """A packed study as its run had it: what models answered, baselines fitted again, measures and records."""
    from pilotlm.baselines.fit import baselines

    people = people_of(begun.study, begun.places)
    unpack(packed, folder, begun.study, people, records)
    shutil.copytree(packed / "measures", folder / "measures")
    for node, record in records.items():
        write_json(folder / "records" / f"{node}.json", record)
        if record["stage"] == "baselines":
            given = record["parameters"]
            settings = (given["pilot"], given["seed"], given["simulated"], given["people"])
            for one in baselines(begun.study, people, begun.arms, *settings):
                name = f"{one.arm.name}-s{given['seed']}.parquet"
                write_responses(folder / "responses" / name, begun.study, one.responses)
                if one.predictions is not None:
                    write_predictions(folder / "predictions" / name, begun.study, one.predictions)


def _pack_study(places: Places, records: Mapping[str, Any], folder: Path) -> None:
    study, arms = load_study(places.study), list(simulated(records))
    for arm, _ in arms:
        if not load_arms().arm(arm).is_model:
            raise InputError(f"'{arm}' is no language model; only their answers are packed.")
    made_by = "the notebook 03-simulate.ipynb"
    tables = [read_parquet(places.responses(arm, seed), made_by) for arm, seed in arms]
    predictions = [
        read_parquet(places.predictions(arm, seed), made_by).assign(arm=arm, seed=seed)
        for arm, seed in arms
        if places.predictions(arm, seed).is_file()
    ]
    folder.mkdir(parents=True)
    background = [variable.name for variable in study.background]
    bare = [table.drop(columns=[*background, *table.columns.intersection([PERSON, WEIGHT])]) for table in tables]
    _write(folder / RESPONSES, bare)
    _write(folder / PREDICTIONS, predictions or [pd.DataFrame(columns=[*PREDICTION_COLUMNS, "arm", "seed"])])
    _copy(places.decision, folder / places.decision.name)
    for analysis in ANALYSES:
        _copy(places.measures(analysis), folder / "measures" / f"{analysis}.csv")
    for stage in ("prepare", *ANALYSES, DECISION):
        name = notebook_of(stage).name
        _copy(places.folder / "notebooks" / name, folder / "notebooks" / name)


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


def _compared(packed: Path, folder: Path, study: str, kind: str) -> Checked:
    ours, theirs = (_values(path, kind) for path in (folder, packed))
    return Checked(
        study, kind, sum(_is_number(x) and not math.isnan(x) for x in theirs.values()), *compare(ours, theirs)
    )


def _values(folder: Path, kind: str) -> dict[str, Any]:
    if kind == DECISION:
        return dict(_leaves(read_json(folder / "decision.json", notebook_of(kind).name), ""))
    table = read_csv(folder / "measures" / f"{kind}.csv", notebook_of(kind).name, _KEYS)
    if tuple(table.columns) != METRIC_COLUMNS:
        raise InputError(f"{folder}: the measures of {kind} have other columns than {', '.join(METRIC_COLUMNS)}.")
    return values_of_table(table)


def _leaves(content: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The values of a JSON document with their places."""
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _leaves(value, f"{where}.{key}".lstrip("."))
    else:
        yield where, content


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _digits(value: Any) -> str:
    return f"{value:.10g}" if _is_number(value) else repr(value)


def _execute(
    run: Path, study: str, records: Mapping[str, Any], nodes: Sequence[str], cores: int, said: Said | None
) -> None:
    """Run some of a study's notebooks with the parameters that they had."""

    def one(node: str) -> None:
        record = records[node]
        words = [f"{name}={value}" for name, value in record["parameters"].items()]
        page = run / study / "notebooks" / f"{node}.ipynb"
        source = project_folder() / notebook_of(record["stage"])
        command = [sys.executable, "-m", "pilotlm.cli", "execute", str(source), str(page), *words]
        places = {"PILOTLM_RESULTS": str(run.parent), "PILOTLM_HOME": str(project_folder()), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, check=False)
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
