"""Our trainer against each peer that fine-tunes; ours takes a step of its own after each of the peer's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from benchmarks import ours
from benchmarks.measuring import Bar, Row, faster, not_run, seconds_of
from benchmarks.prompts import Prompts, prompts_of
from benchmarks.sizes import Sizes
from benchmarks.training_peers import TRAINER, TRL, WARMUP, trainer_steps, trl_steps
from pilotlm.models.loading import LanguageModel
from pilotlm.models.lora import TuningSettings
from pilotlm.study import Study

NAME, UNIT, PRECISION = "training", "examples/s", "float32"
BARS = {TRL: Bar(4.0, "at least"), TRAINER: Bar(4.0, "at least")}
PEERS = {TRL: trl_steps, TRAINER: trainer_steps}
Steps = Callable[[LanguageModel, Prompts, TuningSettings, int, Callable[[], object]], list[float]]


def training_rows(study: Study, people: pd.DataFrame, sizes: Sizes, say: Callable[[str], object]) -> list[Row]:
    """A row for each training peer, at its best batch size of those tried; ours keeps its own batch size."""
    settings = TuningSettings()
    base = ours.fresh_model(sizes.model, PRECISION)
    prompts = prompts_of(study, people.head(8 * settings.batch), base.tokenizer)
    training = ours.Training(base, study, people.head(8 * settings.batch), settings)
    return [_row(name, peer, training, prompts, sizes, say) for name, peer in PEERS.items()]


def _row(
    name: str, peer: Steps, training: ours.Training, prompts: Prompts, sizes: Sizes, say: Callable[[str], object]
) -> Row:
    settings, tried = TuningSettings(), {}
    for batch in sizes.training_batches:
        say(f"{NAME}, {PRECISION}: ours and {name}, batch {batch}")
        mine: list[float] = []
        model = ours.fresh_model(sizes.model, PRECISION)
        try:
            theirs = peer(
                model, prompts, replace(settings, batch=batch), sizes.repeats,
                lambda mine=mine: mine.append(seconds_of(training.step)),  # type: ignore[misc]
            )  # fmt: skip
        except ImportError as error:
            return not_run(NAME, name, UNIT, f"not installed ({error})", BARS.get(name))
        facts = {"precision": PRECISION, **prompts.facts(), "batch": batch, "batch_ours": settings.batch}
        facts |= {"rank": settings.rank, "warmup_steps": WARMUP}
        own = (mine[WARMUP:], settings.batch)
        tried[batch] = faster(NAME, name, UNIT, own, (theirs, batch), BARS.get(name), facts)
    # A peer's best batch size is the one at which ours is ahead by least.
    best = min(tried.values(), key=lambda row: row.ratio or 0.0)
    return best.under({"tried_ratios": {str(batch): row.ratio for batch, row in tried.items()}})
