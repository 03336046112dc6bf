"""A run packed to be kept with the code: its tables, the answers of its models, and its executed analyses.

No row of a person is in it. Simulated answers lie beside the background of the person who is answered for, which is
taken away here and joined again from the study's own data; opponents that need no language model are not packed,
because they are fitted again in seconds, and because a bootstrap's answers are people's.
"""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from PIL import Image

from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.lineage import NUMBERS
from pilotlm.packed import LAWS, PACKED, RESPONSES, is_packed, simulated
from pilotlm.predictions import PREDICTION_COLUMNS
from pilotlm.records import Places, file_sha256, read_json, read_parquet, results_folder, whole_folder, write_json
from pilotlm.stages import ANALYSES
from pilotlm.study import load_study

WHOSE = ["arm", "seed"]


def pack(run: str, target: Path) -> Path:
    """Pack a finished run, whole or not at all.

    Parameters
    ----------
    run : str
        A folder under ``results`` whose report has been made.
    target : Path
        The folder to make; an earlier packed run there is replaced.

    Returns
    -------
    Path
        ``target``.

    Raises
    ------
    InputError
        If a part of the run is missing, or ``target`` holds something else than a packed run.
    """
    source = results_folder() / run
    manifest = read_json(source / "manifest.json", "the notebook 14-report.ipynb")
    if target.exists() and not is_packed(target):
        raise InputError(f"{target} is there and is no packed run; name another folder, or remove it yourself.")
    with whole_folder(target) as folder:
        for name in ("metrics.csv", "manifest.json", "report.ipynb"):
            _copy(source / name, folder / name)
        for study in manifest["studies"]:
            _pack_study(Places(run, study), manifest["records"][study], folder / study)
        files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in _files(folder)}
        write_json(folder / PACKED, {"run": manifest["run"], "files": files})
    return target


def _pack_study(places: Places, records: Mapping[str, Any], folder: Path) -> None:
    study = load_study(places.study)
    arms = list(simulated(records))
    for arm, _ in arms:
        if not load_arms().arm(arm).is_model:
            raise InputError(f"'{arm}' is no language model; only their answers are packed.")
    made_by = "the notebook 03-simulate.ipynb"
    tables = [read_parquet(places.responses(arm, seed), made_by) for arm, seed in arms]
    background = [variable.name for variable in study.background]
    folder.mkdir(parents=True)
    _write(folder / RESPONSES, [table.drop(columns=background) for table in tables])
    laws = [
        read_parquet(places.laws(arm, seed), made_by).assign(arm=arm, seed=seed)
        for arm, seed in arms
        if places.laws(arm, seed).is_file()
    ]
    _write(folder / LAWS, laws or [pd.DataFrame(columns=[*PREDICTION_COLUMNS, *WHOSE])])
    _copy(places.decision, folder / places.decision.name)
    for analysis in ANALYSES:
        _copy(places.measures(analysis), folder / "measures" / f"{analysis}.csv")
    for stage in ("prepare", *ANALYSES, "decision"):
        name = f"{NUMBERS[stage]}-{stage}.ipynb"
        _copy(places.folder / "notebooks" / name, folder / "notebooks" / name)


def _write(path: Path, tables: list[pd.DataFrame]) -> None:
    filled = [table for table in tables if len(table)] or tables[:1]
    pd.concat(filled, ignore_index=True).to_parquet(path, index=False, compression="zstd", compression_level=19)


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise InputError(f"{source} is missing: the run is not finished; run it to its end, then pack it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".ipynb":
        _copy_notebook(source, target)
    else:
        shutil.copyfile(source, target)


def _copy_notebook(source: Path, target: Path) -> None:
    """Without the folders of the machine that ran it, which papermill notes, and with lighter pictures."""
    notebook = nbformat.read(source, as_version=4)
    noted = notebook.metadata.get("papermill", {})
    for name in ("input_path", "output_path"):
        if noted.get(name):
            noted[name] = Path(noted[name]).name
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if {"image/svg+xml", "image/png"} <= set(output.get("data", {})):
                output.data["image/png"] = _lighter(output.data["image/png"])
    nbformat.write(notebook, target)


def _lighter(encoded: str) -> str:
    """A PNG in 256 colours, a third of its size: the drawing beside it is the figure, the picture stands in for it."""
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    few, light = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE), io.BytesIO()
    few.save(light, "PNG", optimize=True, dpi=picture.info.get("dpi", (72, 72)))
    return base64.b64encode(light.getvalue()).decode()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
