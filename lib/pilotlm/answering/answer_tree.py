"""The valid answers of a line of the form as a tree of tokens, so that all are read in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pilotlm.answering.reading import Tokens, TokenTree

_ROWS = 8
"""Rows whose logits are normalised together: more would only cost memory."""


@dataclass(frozen=True, eq=False)
class AnswerTree:
    """The valid answers of a line; the root is the end of the line's label.

    Attributes
    ----------
    answers : tuple of tuple of int
        The tokens of each answer.
    lead : tuple of int
        The tokens that all answers begin with, but for an answer's last one; they are read with the label.
    branches : TokenTree
        The further tokens that at least one answer continues.
    edge_from : (edges,) int tensor
        For each step of an answer, the node that it leaves: 0 is the root, then the lead, then the branches.
    edge_token : (edges,) int tensor
        The token that it takes.
    uses : (edges, answers) float64 tensor
        1 where an answer takes the step.
    ways : (answers, branches) bool tensor
        The branches on the way to each answer's last token.
    """

    answers: tuple[Tokens, ...]
    lead: Tokens
    branches: TokenTree
    edge_from: torch.Tensor
    edge_token: torch.Tensor
    uses: torch.Tensor
    ways: torch.Tensor

    @classmethod
    def of(cls, answers: tuple[Tokens, ...]) -> AnswerTree:
        """Build the tree of some answers, each of at least one token and none the beginning of another."""
        lead = _common_lead(answers)
        inner = _by_length({answer[:k] for answer in answers for k in range(1, len(answer))})
        edges = _by_length({answer[: k + 1] for answer in answers for k in range(len(answer))})
        node = {(): 0, **{path: k + 1 for k, path in enumerate(inner)}}
        behind = inner[len(lead) :]
        return cls(
            answers,
            lead,
            TokenTree([path[len(lead) :] for path in behind]),
            torch.tensor([node[path[:-1]] for path in edges]),
            torch.tensor([path[-1] for path in edges]),
            torch.tensor([[float(_begins(answer, path)) for answer in answers] for path in edges], dtype=torch.float64),
            torch.tensor([[_begins(answer[:-1], path) for path in behind] for answer in answers], dtype=torch.bool),
        )

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """The log-probability of each whole answer.

        Parameters
        ----------
        logits : (rows, 1 + lead + branches, vocabulary) tensor
            At the root, behind each token of the lead, and at each branch.

        Returns
        -------
        (rows, answers) float64 tensor
            In nats, on the CPU.
        """
        return self.steps(logits) @ self.uses

    def steps(self, logits: torch.Tensor) -> torch.Tensor:
        """The log-probability of each step of an answer among all tokens: a (rows, edges) float64 tensor, in nats."""
        device = logits.device
        normaliser = torch.cat([torch.logsumexp(some.float(), dim=-1) for some in logits.split(_ROWS)]).double()
        edge_from, edge_token = self.edge_from.to(device), self.edge_token.to(device)
        return (logits[:, edge_from, edge_token].double() - normaliser[:, edge_from]).cpu()

    def token_by_token(self, steps: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The law of answers whose tokens are renormalised one after the other, as constrained decoding has it.

        Parameters
        ----------
        steps : (rows, edges) array
            As `steps` gives them.
        allowed : (rows, answers) bool array
            Which answers are valid.

        Returns
        -------
        (rows, answers) array
            Log-probabilities, in nats; -inf where an answer is not valid.
        """
        uses, leaves = self.uses.numpy(), self.edge_from.numpy()
        usable = (allowed.astype(float) @ uses.T) > 0
        logs = np.where(usable, steps, -np.inf)
        for node in np.unique(leaves):
            own = leaves == node
            total = np.logaddexp.reduce(logs[:, own], axis=1, keepdims=True)
            logs[:, own] -= np.where(np.isfinite(total), total, 0.0)
        # Zero times minus infinity is no number, so what is not valid is left out of the sum.
        law = np.where(usable, logs, 0.0) @ uses
        return np.where(allowed, law, -np.inf)


def _common_lead(answers: Sequence[Tokens]) -> Tokens:
    shortest = min(len(answer) for answer in answers) - 1
    lead = 0
    while lead < shortest and len({answer[lead] for answer in answers}) == 1:
        lead += 1
    return answers[0][:lead]


def _by_length(paths: set[Tokens]) -> list[Tokens]:
    return sorted(paths, key=lambda path: (len(path), path))


def _begins(text: Tokens, path: Tokens) -> bool:
    return text[: len(path)] == path
