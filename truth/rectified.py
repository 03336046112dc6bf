"""Score the estimators from people and predictions on known truth: ``python -m truth.rectified --processes 2``.

It writes ``truth/rectified.json`` and takes about ten minutes of one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pilotlm.records import project_folder, write_json
from pilotlm.stats.estimators import SIZES, Task, trials
from truth.worlds import MODELS, OTHERS, TARGETS, Model, Target, task_of, truth_of

REPLICATIONS = 1000
SEED = 1
OF_LEVELS = ("people", "ppi", "tuned")
"""The estimators that are scored on a rare level's coefficient."""
Cell = tuple[str, Model, int]


def cells() -> Iterator[Cell]:
    """What is estimated, by which model's predictions, and with how many people."""
    return ((name, model, n) for name in TARGETS for model in MODELS for n in SIZES)


def score_cell(cell: Cell, replications: int = REPLICATIONS, methods: Sequence[str] = ()) -> pd.DataFrame:
    """Score the estimators in one cell.

    Parameters
    ----------
    cell : (str, str, int)
        Target, model, people with answers.
    replications : int
        Draws.
    methods : sequence of str
        Some of the estimators; all when empty, but `OF_LEVELS` where the coefficient of a rare level is wanted. A score
        does not depend on the others.

    Returns
    -------
    DataFrame
        A row an estimator.
    """
    name, model, n = cell
    target = TARGETS[name]
    rng = np.random.default_rng([SEED, n, *f"{name}/{model}".encode()])
    drawn = partial(_task, target, model, n)
    if not methods:
        there = drawn(np.random.default_rng(0)).methods
        methods = [method for method in there if not target.holders or method in OF_LEVELS]
    scores = trials(drawn, truth_of(target), replications, rng, methods)
    beside = {"target": name, "kind": target.kind, "holders": target.holders, "model": model, "n": n, "others": OTHERS,
              "truth": truth_of(target)}  # fmt: skip
    return pd.DataFrame([{**beside, **asdict(score)} for score in scores])


def _task(target: Target, model: Model, n: int, rng: np.random.Generator) -> Task:
    return task_of(target, model, n, rng)


def main(arguments: Sequence[str] | None = None) -> None:
    """Score all cells and write the table."""
    parser = argparse.ArgumentParser(description="Score the estimators on known truth.")
    parser.add_argument("--replications", type=int, default=REPLICATIONS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=project_folder() / "truth" / "rectified.json")
    given = parser.parse_args(arguments)
    every = list(cells())
    with ProcessPoolExecutor(given.processes) as pool:
        found = []
        for cell, table in zip(
            every, pool.map(partial(score_cell, replications=given.replications), every), strict=True
        ):
            print(*cell, file=sys.stderr, flush=True)
            found.append(table)
    write_json(given.out, as_lines(pd.concat(found, ignore_index=True)))


def as_lines(table: pd.DataFrame) -> list[dict[str, object]]:
    """The table as it is written: numbers of seven digits, nothing where there is none."""
    digits = table.map(lambda value: float(f"{value:.7g}") if isinstance(value, float) else value)
    return [
        {str(name): value for name, value in row.items()}
        for row in digits.astype(object).where(digits.notna(), None).to_dict("records")
    ]


if __name__ == "__main__":
    main()
