"""The loss of fine-tuning and its gradient: the cross-entropy of the answers' tokens, and of no other.

What the participants of a step share is read once, and gradients flow back through it from every participant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pilotlm.models.encoding import Encoder, Tokens
from pilotlm.models.prefix_cache import Reading, SharedText


@dataclass(frozen=True)
class Example:
    """A participant's tokens: instructions, scenario, and the persona with the form filled in.

    ``targets`` are the places of the answers' tokens within the last piece: places, because the token that pads a row
    may be the one that ends a text.
    """

    pieces: tuple[Tokens, Tokens, Tokens]
    targets: tuple[int, ...]


def example_of(encoder: Encoder, person: dict[str, Any]) -> Example:
    """Encode a participant with the answers given."""
    prompt = encoder.prompt(person)
    own = list(prompt.persona)
    targets: list[int] = []
    for encoded in encoder.asked:
        own += encoded.label
        answer = encoded.answers[encoder.answer_index(encoded, person[encoded.slot.column])]
        targets += range(len(own), len(own) + len(answer))
        own += answer
    return Example((prompt.shared, prompt.scenario, tuple(own)), tuple(targets))


def accumulate_gradient(model: Any, examples: Sequence[Example], at_a_time: int = 4) -> float:
    """Add the gradient of the answers' mean cross-entropy to the adapter's weights; the loss, in nats an answer token.

    What the participants share is read once. The rows then read on from a copy of it, ``at_a_time`` of them, each
    leaving its gradient on the copy; at the end the sum goes back through what is shared. The result is the gradient of
    all participants at once, in less memory. The model has an adapter and attends as
    `pilotlm.models.prefix_cache.attending` says.
    """
    instructions = Reading(model)
    instructions.read([examples[0].pieces[0]])
    shared, shared_roots, shared_leaves = _detached_shared(instructions)
    tokens = sum(len(example.targets) for example in examples)
    total = 0.0
    # A scenario is read for its own participants alone, so that what is held in memory does not grow with their number.
    for scenario, mine in _by_scenario(examples):
        behind, roots, leaves = shared, list[torch.Tensor](), list[torch.Tensor]()
        if scenario:
            reading = Reading(model, 1, shared)
            reading.read([scenario])
            behind, roots, leaves = _detached_shared(reading)
        for start in range(0, len(mine), at_a_time):
            loss = _rows_loss(model, behind, mine[start : start + at_a_time]) / tokens
            loss.backward()
            total += loss.item()
        _backward(roots, leaves)
    _backward(shared_roots, shared_leaves)
    return total


def plain_loss(model: Any, example: Example) -> torch.Tensor:
    """The summed cross-entropy of a participant's answer tokens, in nats, in an ordinary pass over the whole text."""
    text = torch.tensor([*example.pieces[0], *example.pieces[1], *example.pieces[2]], device=model.device)
    places = torch.tensor(example.targets, device=model.device) + len(text) - len(example.pieces[2])
    logits = model(input_ids=text[None], use_cache=False).logits[0, places - 1]
    return torch.nn.functional.cross_entropy(logits.float(), text[places], reduction="sum")


def accumulate_plainly(model: Any, examples: Sequence[Example], at_a_time: int = 1) -> float:
    """As `accumulate_gradient`, by an ordinary pass of the model over each participant's whole text.

    The reference, and the way for models that cannot be read in pieces; ``at_a_time`` is of no effect.
    """
    tokens = sum(len(example.targets) for example in examples)
    total = 0.0
    for example in examples:
        loss = plain_loss(model, example) / tokens
        loss.backward()
        total += loss.item()
    return total


def _by_scenario(examples: Sequence[Example]) -> list[tuple[Tokens, list[Example]]]:
    """Participants by what they share; a scenario that only one of them has is a part of the participant's own text."""
    groups: dict[Tokens, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.pieces[1], []).append(example)
    alone = [_with_own_scenario(group[0]) for group in groups.values() if len(group) == 1]
    shared = [(scenario, group) for scenario, group in groups.items() if len(group) > 1]
    return [*shared, *([((), alone)] if alone else [])]


def _with_own_scenario(example: Example) -> Example:
    instructions, scenario, own = example.pieces
    return Example((instructions, (), scenario + own), tuple(len(scenario) + place for place in example.targets))


def _detached_shared(reading: Reading) -> tuple[SharedText, list[torch.Tensor], list[torch.Tensor]]:
    """What was read as a shared text at which gradients stop, with the tensors of both, in the same order."""
    text = reading.as_shared()
    roots = [tensor for pair in text.layers for tensor in pair]
    leaves = [root.detach().requires_grad_() for root in roots]
    return SharedText(tuple(zip(leaves[::2], leaves[1::2], strict=True)), text.length), roots, leaves


def _backward(roots: list[torch.Tensor], leaves: list[torch.Tensor]) -> None:
    reached = [(root, leaf.grad) for root, leaf in zip(roots, leaves, strict=True) if leaf.grad is not None]
    torch.autograd.backward([root for root, _ in reached], [grad for _, grad in reached])


def _rows_loss(model: Any, shared: SharedText, examples: Sequence[Example]) -> torch.Tensor:
    """The summed cross-entropy of the rows' answers."""
    own = [example.pieces[2] for example in examples]
    longest = max(len(row) for row in own)
    # Rows are padded on the left, so a token's column is counted from the right.
    columns = [[longest - len(row) + k for k in e.targets] for row, e in zip(own, examples, strict=True)]
    keep = sorted({column - 1 for row in columns for column in row})
    logits = Reading(model, len(own), shared).read(own, keep=torch.tensor(keep))
    rows = torch.tensor([number for number, row in enumerate(columns) for _ in row])
    places = torch.tensor([keep.index(column - 1) for row in columns for column in row])
    targets = torch.tensor([row[k] for row, e in zip(own, examples, strict=True) for k in e.targets])
    picked = logits[rows.to(logits.device), places.to(logits.device)]
    return torch.nn.functional.cross_entropy(picked.float(), targets.to(logits.device), reduction="sum")
