"""Run the benchmarks: ``python -m benchmarks.run [--only PART] [--quick]``; `make bench` does it in full."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers.utils import logging as transformers_logging

from benchmarks import exactness, ours
from benchmarks.facts import cores, run_facts
from benchmarks.growth import growth_rows
from benchmarks.measuring import Row
from benchmarks.memory import grown_rows, memory_row
from benchmarks.page import write_page
from benchmarks.prompts import prompts_of, with_scenario
from benchmarks.sampling import sampling_rows
from benchmarks.sizes import FULL, QUICK, Sizes
from benchmarks.training import training_rows
from pilotlm.data.sources import load_people
from pilotlm.errors import InputError
from pilotlm.models.loading import TINY, set_threads
from pilotlm.records import project_folder, results_folder, write_json
from pilotlm.study import Study, load_study

Say = Callable[[str], object]
Keep = Callable[[str, list[dict[str, Any]]], object]


@dataclass(frozen=True)
class Bench:
    """What every part of a run shares; ``say`` is told what goes on.

    The study's scenario is as long as ``sizes`` says; its participants are in a random order that is always the same.
    """

    study: Study
    people: pd.DataFrame
    sizes: Sizes
    threads: int
    say: Say

    @classmethod
    def of(cls, sizes: Sizes, threads: int, say: Say) -> Bench:
        """Load the study and its people."""
        study = load_study(sizes.study)
        return cls(with_scenario(study, sizes.scenario_times), _people(study), sizes, threads, say)


def sampling(bench: Bench) -> list[Row]:
    """Our sampler against each peer, in both precisions."""
    return [
        row
        for precision in ("float32", "bfloat16")
        for row in sampling_rows(precision, bench.study, bench.people, bench.sizes, bench.say)
    ]


def training(bench: Bench) -> list[Row]:
    """Our trainer against each peer."""
    return training_rows(bench.study, bench.people, bench.sizes, bench.say)


def growth(bench: Bench) -> list[Row]:
    """How our sampler's time grows."""
    model, sizes = ours.fresh_model(bench.sizes.model, "float32"), bench.sizes
    ours.fill_forms(model, bench.study, bench.people.head(2))
    rows = growth_rows(
        model, bench.study, bench.people,
        participants=sizes.participants, scenario=sizes.scenario, answers=sizes.answers,
        repeats=sizes.repeats, say=bench.say,
    )  # fmt: skip
    facts = prompts_of(bench.study, bench.people.head(sizes.scenario), model.tokenizer).facts()
    return [row.under({"precision": "float32", **facts}) for row in rows]


def memory(bench: Bench) -> list[Row]:
    """The peak memory of a whole study, and how time and memory grow with the people."""
    sizes = bench.sizes
    bench.say(f"memory: {sizes.memory} people")
    rows = [memory_row(sizes.model, sizes.study, sizes.scenario_times, sizes.memory, bench.threads)]
    bench.say(f"growth: {', '.join(f'{count:,}' for count in sizes.people)} people, random weights")
    return [*rows, *grown_rows(TINY, sizes.study, sizes.people, bench.threads)]


def exact(bench: Bench) -> list[Row]:
    """How exact ours is, and what bfloat16 changes."""
    sizes, say = bench.sizes, bench.say
    wide, narrow = (ours.fresh_model(sizes.model, precision) for precision in ("float32", "bfloat16"))
    say("exactness: logits")
    rows = [exactness.logits_row(wide, bench.study, bench.people.head(sizes.plain))]
    for model, precision in ((wide, "float32"), (narrow, "bfloat16")):
        say(f"exactness: batch sizes, {precision}")
        row = exactness.batches_row(model, bench.study, bench.people.head(sizes.same))
        rows.append(row.under({"precision": precision}))
    say("exactness: what bfloat16 changes")
    study = load_study(sizes.precision_study)
    rows += exactness.precision_rows(wide, narrow, study, _people(study).head(sizes.precision))
    say("exactness: gradients")
    rows.append(exactness.gradients_row(wide, bench.study, bench.people.head(sizes.gradient)))
    return [row.under({"precision": "float32"}) for row in rows]


PARTS = {"sampling": sampling, "training": training, "growth": growth, "memory": memory, "exactness": exact}


def run(sizes: Sizes, parts: Sequence[str], threads: int, say: Say, keep: Keep) -> list[dict[str, Any]]:
    """Run some parts of the benchmark, keys of `PARTS`; the rows, each with what holds for the whole run.

    ``say`` is told what goes on; ``keep`` is given each part and its rows as soon as it is done, so that a run that is
    stopped leaves what it measured.
    """
    set_threads(threads)
    transformers_logging.set_verbosity_error()
    facts = {**run_facts(threads, sizes != FULL), "model": sizes.model, "study": sizes.study}
    facts["scenario_times"] = sizes.scenario_times
    bench = Bench.of(sizes, threads, say)
    rows = []
    for part in parts:
        done = [asdict(row.under(facts)) for row in PARTS[part](bench)]
        keep(part, done)
        rows += done
    return rows


def _people(study: Study) -> pd.DataFrame:
    table = load_people(study).table
    return table.iloc[np.random.default_rng(ours.SEED).permutation(len(table))].reset_index(drop=True)


def _output(parts: Sequence[str], quick: bool) -> Path:
    """Where the rows go: a part or a trial never takes the place of a full run."""
    whole = list(parts) == list(PARTS) and not quick
    return project_folder() / "benchmarks" / "results.json" if whole else _kept("-".join(parts), quick)


def _kept(parts: str, quick: bool) -> Path:
    return results_folder() / "benchmarks" / f"{'quick' if quick else 'full'}-{parts}.json"


def _told(row: dict[str, Any]) -> str:
    settings = row["settings"]
    shown = row["ours"] if row["ratio"] is None else row["ratio"]
    value = "not run: " + settings["not_run"] if shown is None else f"{shown:.4g}"
    bar = f" ({settings['bar_kind']} {settings['bar']:g})" if "bar" in settings else ""
    size = f" at {settings['size']}" if "size" in settings else ""
    return f"{row['name']}{size}, {settings.get('precision', '')}, {row['peer'] or row['unit']}: {value}{bar}"


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and write the rows, whole or not at all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="run this part alone (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one repeat: a trial, not a result")
    parser.add_argument("--threads", type=int, default=cores(), help="of torch (default: every core)")
    parser.add_argument("--output", type=Path, help="where the rows go (default: benchmarks/results.json if in full)")
    options = parser.parse_args(words)
    parts = [part for part in PARTS if part in (options.only or PARTS)]
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {text}", flush=True)

    try:
        rows = run(
            QUICK if options.quick else FULL, parts, options.threads, say,
            lambda part, done: write_json(_kept(part, options.quick), done),
        )  # fmt: skip
    except InputError as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        return 1
    path = options.output or _output(parts, options.quick)
    write_json(path, rows)
    if path == _output(list(PARTS), quick=False):
        write_page()
    say("\n".join(["done", *map(_told, rows)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
