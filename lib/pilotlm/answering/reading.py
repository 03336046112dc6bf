"""A model part of the way through some texts: what was read stays in the cache and is shared by all that follows it.

Texts are read in chunks, a row a text. Rows of a chunk are padded on the left; a padded token is hidden from every
other by the mask and takes no position, so what a row computes does not depend on the rows beside it. Gradients flow
through the cache, so the same reading serves for training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

Tokens = tuple[int, ...]


class Reading:
    """Some rows of text that a model has read so far.

    Parameters
    ----------
    model : PreTrainedModel
        A causal language model, with or without an adapter.
    rows : int
        The number of texts.
    """

    def __init__(self, model: PreTrainedModel, rows: int = 1) -> None:
        self.model = model
        self.cache = DynamicCache()
        self.seen = torch.zeros(rows, 0, dtype=torch.bool)
        self.position = torch.zeros(rows, dtype=torch.long)

    @property
    def rows(self) -> int:
        """The number of texts."""
        return len(self.position)

    def take(self, rows: Sequence[int]) -> Reading:
        """A reading that goes on from some of the rows; a row may be taken many times.

        Parameters
        ----------
        rows : sequence of int
            Which rows.

        Returns
        -------
        Reading
            This one is left as it is.
        """
        index = torch.tensor(rows)
        taken = Reading(self.model, len(rows))
        taken.seen, taken.position = self.seen[index], self.position[index]
        for number, layer in enumerate(self.cache.layers):
            on_device = index.to(layer.keys.device)
            taken.cache.update(layer.keys[on_device], layer.values[on_device], number)
        return taken

    def read(
        self, chunks: Sequence[Tokens], keep: torch.Tensor | None = None, branches: Branches | None = None
    ) -> torch.Tensor:
        """Read on.

        Parameters
        ----------
        chunks : sequence of tuple of int
            The next tokens of each row, at least one each.
        keep : (k,) int tensor, optional
            The columns of the padded chunk whose logits are wanted; the last one when absent.
        branches : Branches, optional
            Tokens that are tried after the chunk and then forgotten; their logits follow those kept.

        Returns
        -------
        (rows, k + branches, vocabulary) tensor
            Logits.
        """
        tokens, real = pad_left(chunks)
        size, tried = tokens.shape[1], 0 if branches is None else len(branches.tokens)
        positions = self.position[:, None] + real.cumsum(1) - 1
        sees = self._chunk_mask(real)
        kept = torch.tensor([size - 1]) if keep is None else keep
        after = positions[:, -1:] + 1
        if branches is not None and tried:
            tokens = torch.cat([tokens, branches.tokens.expand(self.rows, -1)], dim=1)
            positions = torch.cat([positions, after + branches.depth - 1], dim=1)
            sees = branches.mask(sees, real)
            kept = torch.cat([kept, torch.arange(size, size + tried)])
        logits = self._forward(tokens, positions.clamp(min=0), sees, kept)
        if tried:
            self.cache.crop(-tried)
        self.seen = torch.cat([self.seen, real], dim=1)
        self.position = after[:, 0]
        return logits

    def _chunk_mask(self, real: torch.Tensor) -> torch.Tensor:
        """(rows, chunk, chunk): each token sees the real ones up to itself."""
        size = real.shape[1]
        own = torch.ones(size, size, dtype=torch.bool).tril() & real[:, None, :]
        # A padded token sees itself: attention over nothing is not a number.
        return own | torch.eye(size, dtype=torch.bool)

    def _forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor, keep: torch.Tensor
    ) -> torch.Tensor:
        before = self.seen[:, None, :].expand(-1, sees.shape[1], -1)
        device, dtype = self.model.device, self.model.dtype
        mask = torch.zeros(self.rows, 1, sees.shape[1], before.shape[2] + sees.shape[2], dtype=dtype)
        mask.masked_fill_(~torch.cat([before, sees], dim=2)[:, None], torch.finfo(dtype).min)
        output: Any = self.model(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=keep.to(device),
        )
        return torch.as_tensor(output.logits)


class Branches:
    """Tokens that are tried side by side after a chunk, as a tree.

    Attributes
    ----------
    tokens : (nodes,) int tensor
        The tokens.
    depth : (nodes,) int tensor
        The distance of each to the chunk's last token, at least 1.
    sees : (nodes, nodes) bool tensor
        Which nodes lie on the way to each node, itself included.
    """

    def __init__(self, paths: Sequence[Tokens]) -> None:
        self.tokens = torch.tensor([path[-1] for path in paths], dtype=torch.long)
        self.depth = torch.tensor([len(path) for path in paths], dtype=torch.long)
        sees = [[path[: len(other)] == other for other in paths] for path in paths]
        self.sees = torch.tensor(sees, dtype=torch.bool).reshape(len(paths), len(paths))

    def mask(self, chunk: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """The chunk's mask with the branches added: each sees the chunk's real tokens and its own way."""
        rows, size = real.shape
        nodes = len(self.tokens)
        sees = torch.zeros(rows, size + nodes, size + nodes, dtype=torch.bool)
        sees[:, :size, :size] = chunk
        sees[:, size:, :size] = real[:, None, :]
        sees[:, size:, size:] = self.sees
        return sees


def pad_left(rows: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of tokens as a rectangle.

    Parameters
    ----------
    rows : sequence of tuple of int
        Tokens.

    Returns
    -------
    tokens : (rows, longest) int tensor
        Zeros on the left where a row is shorter.
    real : (rows, longest) bool tensor
        Which of them are tokens.
    """
    length = max(len(row) for row in rows)
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    real = torch.zeros(len(rows), length, dtype=torch.bool)
    for k, row in enumerate(rows):
        tokens[k, length - len(row) :] = torch.tensor(row)
        real[k, length - len(row) :] = True
    return tokens, real
