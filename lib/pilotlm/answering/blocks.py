"""Long work in blocks of participants: finished blocks are kept, so that work which was killed goes on where it was.

A block is computed from its own participants alone. What is put together from kept blocks is therefore the same, byte
for byte, as what is computed without an interruption; and the memory needed depends on the size of a block, not on the
number of participants.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.errors import InputError
from pilotlm.records import read_parquet, table_sha256, write_parquet

BLOCK = 256
"""Participants in a block: enough to share what their texts have in common, few enough to lose to a kill."""
_OF = "of"
"""What a block's file says it is of: the work's key, and the participants' checksum."""


@dataclass(frozen=True)
class Kept:
    """A folder in which finished blocks of one piece of work are kept.

    Attributes
    ----------
    folder : Path
        Where; it is made when the first block is finished.
    key : str
        What the work depends on: blocks of another key are not used.
    """

    folder: Path
    key: str

    def path(self, number: int) -> Path:
        """The file of a block."""
        return self.folder / f"{self.key[:16]}-{number:06d}.parquet"

    def remove(self) -> None:
        """Remove all blocks: the work is done and saved."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            self.folder.parent.rmdir()  # only where nothing else is unfinished


def block_by_block(
    people: pd.DataFrame,
    work: Callable[[pd.DataFrame], pd.DataFrame],
    kept: Kept | None = None,
    size: int = BLOCK,
    skipped: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Do some work on participants a block at a time.

    Parameters
    ----------
    people : DataFrame
        The participants.
    work : callable
        Takes some of them and returns a table.
    kept : Kept, optional
        Where finished blocks are kept; nothing is when absent.
    size : int
        Participants in a block, at least 1.
    skipped : callable, optional
        Called with the number of participants of each block that was finished before.

    Returns
    -------
    DataFrame
        The tables, one behind the other.
    """
    tables = []
    for number, start in enumerate(range(0, len(people), size)):
        block = people.iloc[start : start + size]
        if kept is None:
            tables.append(work(block))
            continue
        path = kept.path(number)
        mark: dict[Hashable | None, Any] = {_OF: f"{kept.key} {table_sha256(block)}"}
        finished = _finished(path, mark)
        if finished is None:
            made = work(block)
            made.attrs = mark
            write_parquet(path, made)
            # Read back: a table that went through the file is not quite the one that was made.
            finished = pd.read_parquet(path)
        elif skipped:
            skipped(len(block))
        finished.attrs = {}
        tables.append(finished)
    return pd.concat(tables, ignore_index=True)


def _finished(path: Path, mark: dict[Hashable | None, Any]) -> pd.DataFrame | None:
    """The block that was finished before; None where there is none, or the file is broken or of something else."""
    try:
        table = read_parquet(path, "this work")
    except InputError:
        return None
    return table if table.attrs == mark else None
