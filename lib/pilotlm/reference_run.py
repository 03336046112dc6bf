"""The reference run in place of an empty one: what a notebook opened in a fresh clone shows."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pilotlm.answering.baselines import baselines
from pilotlm.instrument.sources import people_of
from pilotlm.lineage import code_of
from pilotlm.packed import MADE_BY, PACKED, REFERENCE, is_packed, unpack
from pilotlm.predictions import write_predictions
from pilotlm.records import file_sha256, read_json, results_folder, whole_folder, write_json
from pilotlm.responses import write_responses
from pilotlm.stages import SCRATCH, Begun


def with_reference(begun: Begun) -> tuple[Begun, str]:
    """The run that an analysis reads: its own, or the reference run where the default one holds nothing of the study.

    Parameters
    ----------
    begun : Begun
        An analysis that has begun.

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
    manifest = read_json(packed / "manifest.json", MADE_BY)
    # Baselines are fitted again: where their code is another one, so is the copy.
    key = hashlib.sha256(f"{file_sha256(packed / PACKED)} {code_of('baselines')}".encode()).hexdigest()[:12]
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
                    write_predictions(folder / "laws" / name, begun.study, one.predictions)
