"""Score the estimators from people and predictions on known truth: ``python -m truth.rectified --processes 2``.

It writes ``truth/rectified.json`` and takes about ten minutes of one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pilotlm.records import project_folder, write_json
from pilotlm.stats.estimators import Score, Task, estimate, scores
from pilotlm.stats.ppi import Sample
from truth.worlds import MODELS, OTHERS, TARGETS, Model, task_of, truth_of

REPLICATIONS = 1000
SEED = 1
SIZES = (20, 30, 50, 100, 200)
"""The numbers of people with answers at which the estimators are scored."""
_STREAMS = 8
"""Generators spawned a draw, of which the first draws the people; a constant, so that scores can be made again."""
OF_LEVELS = ("people", "ppi", "tuned")
"""The estimators that are scored on a rare level's coefficient."""
Cell = tuple[str, Model, int]


def cells() -> Iterator[Cell]:
    """What is estimated, by which model's predictions, and with how many people."""
    return ((name, model, n) for name in TARGETS for model in MODELS for n in SIZES)


def score_cell(cell: Cell, replications: int = REPLICATIONS, methods: Sequence[str] = ()) -> pd.DataFrame:
    """Score estimators in one cell, a row each: target, model, people with answers.

    ``methods`` are some of the estimators; all when empty, but `OF_LEVELS` where the coefficient of a rare level is
    wanted. A score does not depend on the others.
    """
    name, model, n = cell
    target = TARGETS[name]
    rng = np.random.default_rng([SEED, n, *f"{name}/{model}".encode()])
    drawn = partial(task_of, target, model, n)
    if not methods:
        there = drawn(np.random.default_rng(0)).methods
        methods = [method for method in there if not target.holders or method in OF_LEVELS]
    found = trials(drawn, truth_of(target), replications, rng, methods)
    beside = {"target": name, "kind": target.kind, "holders": target.holders, "model": model, "n": n, "others": OTHERS,
              "truth": truth_of(target)}  # fmt: skip
    return pd.DataFrame([{**beside, **asdict(score)} for score in found])


def trials(
    draw: Callable[[np.random.Generator], Task],
    truth: float,
    repeats: int,
    rng: np.random.Generator,
    methods: Sequence[str] = (),
) -> list[Score]:
    """Score estimators (all of the task when empty, people only first) over repeated draws against the truth.

    Draws without an estimate by people only, such as those of a separated logit, are left out for all estimators.
    """
    tasks = [draw(streams[0]) for streams in (rng.spawn(_STREAMS) for _ in range(repeats))]
    task = Task(tasks[0].kind, stack_samples([one.sample for one in tasks]))
    return scores(task, {method: estimate(task, method) for method in methods or task.methods}, truth)


def stack_samples(samples: Sequence[Sample]) -> Sample:
    """Samples of one size and column, nobody with several rows, as a stack of one leading dimension."""
    names = ("outcome", "predicted", "predictors", "unlabelled", "unlabelled_predictors", "participants")
    weights = ("weights", "unlabelled_weights") if samples[0].weights is not None else ()
    stacked = {name: np.stack([getattr(one, name) for one in samples]) for name in (*names, *weights)}
    return replace(samples[0], **stacked, pilot=set().union(*(one.pilot for one in samples)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Score all cells and write the table."""
    parser = argparse.ArgumentParser(description="Score the estimators on known truth.")
    parser.add_argument("--replications", type=int, default=REPLICATIONS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=project_folder() / "truth" / "rectified.json")
    given = parser.parse_args(arguments)
    every = list(cells())
    with ProcessPoolExecutor(given.processes) as pool:
        scored = pool.map(partial(score_cell, replications=given.replications), every)
        found = []
        for cell, table in zip(every, scored, strict=True):
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
