"""Our sampler against each peer that fills in the form, in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from benchmarks import ours, sampling_peers
from benchmarks.measuring import Bar, Row, faster, interleaved, not_run, seconds_of
from benchmarks.prompts import Prompts, prompts_of
from benchmarks.sizes import Sizes
from pilotlm.models.loading import LanguageModel
from pilotlm.study import Study

NAME, UNIT = "sampling", "answers/s"
Peer = Callable[[LanguageModel, Prompts, int], object]
PAIRED = 64
"""The batch size of the peers that the bars speak of."""
BARS = {
    ("bfloat16", sampling_peers.ONE, 1): Bar(20.0, "at least"),
    ("bfloat16", sampling_peers.BATCHED, PAIRED): Bar(5.0, "at least"),
    ("bfloat16", sampling_peers.PREFIX, PAIRED): Bar(2.8, "at least"),
    ("float32", sampling_peers.ONE, 1): Bar(10.0, "at least"),
}
OUTLINES_BAR = Bar(6.0, "at least")
"""In bfloat16, at its best batch size of those tried."""


class Sampling:
    """One precision: a model of ours, a model of the peers', and the prompts of both.

    Parameters
    ----------
    precision : str
        Of both models.
    study : Study
        The study.
    people : DataFrame
        Participants, at least ``sizes.ours``.
    sizes : Sizes
        How much is run.
    say : callable
        Told what goes on.
    """

    def __init__(
        self, precision: str, study: Study, people: pd.DataFrame, sizes: Sizes, say: Callable[[str], object]
    ) -> None:
        self.precision, self._sizes, self._say = precision, sizes, say
        self._study, self._people = study, people.head(sizes.ours)
        self._ours = ours.fresh_model(sizes.model, precision)
        self._theirs = ours.fresh_model(sizes.model, precision)
        self._prompts = prompts_of(study, self._people, self._theirs.tokenizer)
        ours.fill_forms(self._ours, study, people.head(2))
        sampling_peers.batched(self._theirs, self._prompts.first(1), 1)

    def one_at_a_time(self) -> Row:
        """Against ``generate`` with one person at a time."""
        return self._against(sampling_peers.ONE, sampling_peers.batched, self._sizes.one, 1)

    def batched(self) -> list[Row]:
        """Against ``generate`` with many people at a time, at each batch size; 64 is what the bars speak of."""
        return [
            # Two batches are enough to time a small one.
            self._against(name, peer, min(self._sizes.batched, 2 * batch), batch)
            for name, peer in (
                (sampling_peers.BATCHED, sampling_peers.batched),
                (sampling_peers.PREFIX, sampling_peers.batched_with_prefix),
            )
            for batch in self._sizes.batches
        ]

    def outlines(self) -> Row:
        """Against `outlines`, at its best batch size of those tried."""
        bar = OUTLINES_BAR if self.precision == "bfloat16" else None
        try:
            peer, compiling = _made(self._theirs, self._prompts)
        except ImportError as error:
            return not_run(NAME, sampling_peers.OUTLINES, UNIT, f"not installed ({error})", bar)
        tried = {batch: self._trial(peer, batch) for batch in self._sizes.outlines_batches}
        best = min(tried, key=lambda batch: tried[batch])
        facts = {
            "tried_seconds_an_answer": {str(batch): seconds for batch, seconds in tried.items()},
            "seconds_compiling_left_out": compiling,
        }
        return self._timed(sampling_peers.OUTLINES, peer.fill_in, self._sizes.outlines, best, bar, facts)

    def _trial(self, peer: sampling_peers.Outlines, batch: int) -> float:
        """The seconds of an answer in one batch of that size."""
        return seconds_of(lambda: peer.fill_in(self._prompts.first(batch), batch)) / batch

    def _against(self, name: str, peer: Peer, people: int, batch: int) -> Row:
        bar = BARS.get((self.precision, name, batch))
        return self._timed(
            name, lambda prompts, size: peer(self._theirs, prompts, size), people, batch, bar, {"valid": "not checked"}
        )

    def _timed(
        self,
        name: str,
        peer: Callable[[Prompts, int], object],
        count: int,
        batch: int,
        bar: Bar | None,
        facts: Mapping[str, Any],
    ) -> Row:
        self._say(f"{NAME}, {self.precision}: ours and {name}, batch {batch}")
        prompts = self._prompts.first(count)
        count = len(prompts.texts)
        seconds = interleaved([self._fill_forms, lambda: peer(prompts, batch)], self._sizes.repeats)
        settings = {"precision": self.precision, "batch": batch, **self._prompts.facts(), "people": count, **facts}
        shown = name if batch == 1 else f"{name}, {batch} at a time"
        return faster(NAME, shown, UNIT, (seconds[0], len(self._people)), (seconds[1], count), bar, settings)

    def _fill_forms(self) -> None:
        ours.fill_forms(self._ours, self._study, self._people)


def _made(language_model: LanguageModel, prompts: Prompts) -> tuple[sampling_peers.Outlines, float]:
    """The peer `outlines`, and the seconds that compiling the form took it."""
    made: list[sampling_peers.Outlines] = []
    compiling = seconds_of(lambda: made.append(sampling_peers.Outlines(language_model, prompts)))
    return made[0], compiling
