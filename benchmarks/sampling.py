"""Our sampler and each peer that fills in the form, in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from benchmarks import ours, sampling_peers
from benchmarks.measuring import Bar, Row, faster, interleaved, not_run, seconds_of
from benchmarks.prompts import Prompts, prompts_of
from benchmarks.sizes import Sizes
from pilotlm.models.loading import LanguageModel
from pilotlm.study import Study

NAME, UNIT = "sampling", "answers/s"
READ = "sampling, tokens read"
BARS = {
    sampling_peers.FREE: Bar(1.0, "at least"),
    sampling_peers.CONSTRAINED: Bar(1.5, "at least"),
    sampling_peers.OUTLINES: Bar(1.5, "at least"),
}
"""A peer that draws from the valid answers, and free generation, which does less."""
Fill = Callable[[Prompts, int], object]


@dataclass(frozen=True)
class _Peer:
    """A peer, how many people it answers for in a repeat, the batch sizes that are tried, and further facts."""

    name: str
    fill: Fill
    people: int
    batches: tuple[int, ...]
    facts: dict[str, Any]


def sampling_rows(
    precision: str, study: Study, people: pd.DataFrame, sizes: Sizes, say: Callable[[str], object]
) -> list[Row]:
    """A row for each peer in one precision, at its best batch size, and one for the tokens that are read.

    ``people`` are at least ``sizes.ours``; ``say`` is told what goes on.
    """
    some = people.head(sizes.ours)
    mine, theirs = (ours.fresh_model(sizes.model, precision) for _ in range(2))
    prompts = prompts_of(study, some, theirs.tokenizer)
    ours.fill_forms(mine, study, people.head(2))
    peers, missing = _peers(theirs, prompts, sizes)
    say(f"{NAME}, {precision}: the peers' batch sizes")
    tried = {peer.name: _tried(peer, prompts) for peer in peers}
    best = {name: min(seconds, key=lambda batch, s=seconds: s[batch]) for name, seconds in tried.items()}  # type: ignore[misc]
    say(f"{NAME}, {precision}: ours and {', '.join(peer.name for peer in peers)}, in turn")
    tasks = [lambda: ours.fill_forms(mine, study, some)]
    tasks += [lambda p=peer: p.fill(prompts.first(p.people), best[p.name]) for peer in peers]  # type: ignore[misc]
    seconds = interleaved(tasks, sizes.repeats)
    rows = [
        faster(
            NAME, peer.name, UNIT, (seconds[0], len(some)), (own, min(peer.people, len(some))), BARS.get(peer.name),
            {**prompts.facts(), **peer.facts, "batch": best[peer.name], "tried_seconds_an_answer": tried[peer.name]},
        )
        for peer, own in zip(peers, seconds[1:], strict=True)
    ]  # fmt: skip
    read = _tokens_read(mine, lambda: ours.fill_forms(mine, study, some)) / len(some)
    free = next(peer for peer in peers if peer.name == sampling_peers.FREE)
    theirs_read = _tokens_read(theirs, lambda: free.fill(prompts.first(free.people), best[free.name])) / free.people
    facts = {**prompts.facts(), "repeats": 1}
    rows.append(Row(READ, free.name, read / theirs_read, read, theirs_read, "tokens/answer", facts))
    return [row.under({"precision": precision}) for row in [*rows, *missing]]


def _peers(theirs: LanguageModel, prompts: Prompts, sizes: Sizes) -> tuple[list[_Peer], list[Row]]:
    """The peers that are installed, and a row for each that is not."""

    def constrained(some: Prompts, batch: int) -> object:
        return sampling_peers.batched_with_prefix(theirs, some, batch, constrained=True)

    peers = [
        _Peer(sampling_peers.ONE, lambda some, batch: sampling_peers.batched(theirs, some, batch), sizes.one, (1,), {}),
        _Peer(
            sampling_peers.FREE, lambda some, batch: sampling_peers.batched_with_prefix(theirs, some, batch),
            sizes.batched, sizes.batches, {"valid": "not checked"},
        ),
        _Peer(sampling_peers.CONSTRAINED, constrained, sizes.batched, sizes.batches, {}),
    ]  # fmt: skip
    made: list[sampling_peers.Outlines] = []
    try:
        compiling = seconds_of(lambda: made.append(sampling_peers.Outlines(theirs, prompts)))
    except ImportError as error:
        name = sampling_peers.OUTLINES
        return peers, [not_run(NAME, name, UNIT, f"not installed ({error})", BARS[name])]
    facts = {"seconds_compiling_left_out": compiling}
    outlines = _Peer(sampling_peers.OUTLINES, made[0].fill_in, sizes.outlines, sizes.outlines_batches, facts)
    return [*peers, outlines], []


def _tried(peer: _Peer, prompts: Prompts) -> dict[int, float]:
    """The seconds of an answer at each batch size, after one answer that is not timed."""
    peer.fill(prompts.first(1), 1)
    return {
        batch: seconds_of(lambda batch=batch: peer.fill(prompts.first(batch), batch)) / batch  # type: ignore[misc]
        for batch in peer.batches
    }


def _tokens_read(language_model: LanguageModel, task: Callable[[], object]) -> int:
    """How many tokens a model computes in a task, padding included."""
    read = [0]

    def count(module: torch.nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        read[0] += (named["input_ids"] if "input_ids" in named else inputs[0]).numel()

    hook = language_model.model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        task()
    finally:
        hook.remove()
    return read[0]
