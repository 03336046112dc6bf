"""What a packed run holds, and how it becomes a run again; `pilotlm.shipping.packing` makes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.errors import InputError
from pilotlm.predictions import write_predictions
from pilotlm.records import file_sha256, read_json, read_parquet
from pilotlm.responses import response_columns, write_responses
from pilotlm.study import Study

PACKED = "packed.json"
"""The file that lists all others of a packed run with their checksums; only packing makes it."""
REFERENCE = "reference"
"""The packed run that is kept with the code."""
RESPONSES, LAWS = "responses.parquet", "laws.parquet"
MADE_BY = "`pilotlm pack`"


def is_packed(folder: Path) -> bool:
    """Whether a folder holds a packed run."""
    return (folder / PACKED).is_file()


def changed_files(folder: Path) -> list[str]:
    """The files of a packed run that are not as they were packed, or are gone.

    Raises
    ------
    InputError
        If the folder holds no packed run.
    """
    listed = read_json(folder / PACKED, MADE_BY)["files"]
    return [name for name, was in listed.items() if not (folder / name).is_file() or file_sha256(folder / name) != was]


def unpack(packed: Path, folder: Path, study: Study, people: pd.DataFrame, records: Mapping[str, Any]) -> None:
    """Put the responses and laws of a packed study back as a run has them.

    Parameters
    ----------
    packed : Path
        The study's folder in the packed run.
    folder : Path
        The study's folder in the run that is made.
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
    answers = read_parquet(packed / RESPONSES, MADE_BY)
    unknown = sorted(set(answers["participant"]) - set(people["participant"]))
    if unknown:
        raise InputError(f"{packed / RESPONSES} answers for participant {unknown[0]}, whom the data do not have.")
    joined = answers.merge(people[["participant", *background]], on="participant", how="left", validate="many_to_one")
    extra = [column for column in answers.columns if column not in response_columns(study)]
    joined = joined[[*response_columns(study), *extra]]
    laws = read_parquet(packed / LAWS, MADE_BY)
    for arm, seed in simulated(records):
        mine = _of(joined, arm, seed)
        known = [column for column in extra if mine[column].notna().any()]
        write_responses(
            folder / "responses" / f"{arm}-s{seed}.parquet", study, mine[[*response_columns(study), *known]]
        )
        law = _of(laws, arm, seed)
        if len(law):
            write_predictions(folder / "laws" / f"{arm}-s{seed}.parquet", study, law)


def simulated(records: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Arm and seed of each simulation."""
    for record in records.values():
        if record["stage"] == "simulate":
            yield str(record["parameters"]["arm"]), int(record["parameters"]["seed"])


def _of(table: pd.DataFrame, arm: str, seed: int) -> pd.DataFrame:
    return table[(table["arm"] == arm) & (table["seed"] == seed)].reset_index(drop=True)
