"""Attention to a text that all rows share, and to what each row has read itself.

The keys and values of the shared text exist once, whatever the number of rows: the queries of all rows are laid behind
one another and attend to it in one product. Each row's attention to its own text is computed apart. Both parts carry
the logarithm of their sum of weights, by which they are merged; the result is the softmax over both (the merging step
of Milakov & Gimelshein 2018, "Online normalizer calculation for softmax", used for shared prefixes by Juravsky et al.
2024, "Hydragen"). It is registered with transformers' `AttentionInterface`, so no model is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache, PreTrainedModel

NAME = "pilotlm_shared_text"


@dataclass(frozen=True)
class SharedText:
    """What a model keeps of a text that all rows begin with.

    Attributes
    ----------
    layers : tuple of (keys, values)
        For each layer: (1, heads, length, size) tensors.
    length : int
        The number of tokens.
    """

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    length: int

    @classmethod
    def of(cls, cache: DynamicCache, after: SharedText | None = None) -> SharedText:
        """What a cache of one row holds, behind another shared text."""
        pairs = tuple((layer.keys, layer.values) for layer in cache.layers)
        if after is not None:
            both = zip(after.layers, pairs, strict=True)
            pairs = tuple((torch.cat([a[0], b[0]], 2), torch.cat([a[1], b[1]], 2)) for a, b in both)
        return cls(pairs, pairs[0][0].shape[2])


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    shared_text: SharedText | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the shared text and to the rows' own; the signature is that of `AttentionInterface`.

    Parameters
    ----------
    module : Module
        The attention layer; its ``layer_idx`` says which keys of the shared text are its own.
    query : (rows, heads, tokens, size) tensor
        Of the chunk.
    key, value : (rows, key heads, own tokens, size) tensor
        Of all that the rows have read themselves, the chunk included.
    attention_mask : (rows, 1, tokens, own tokens) bool tensor
        Which of its row's tokens each token sees.
    scaling : float, optional
        Of the scores; one over the root of the size when absent.
    dropout : float
        Must be 0: a model that answers does not forget at random.
    shared_text : SharedText, optional
        Every token sees all of it.
    softcap, s_aux : optional
        Bound of the scores, and the weight of attending to nothing, in models that have them.

    Returns
    -------
    (rows, tokens, heads, size) tensor
        And None in place of the weights.
    """
    if dropout:
        raise ValueError("attention to a shared text has no dropout")
    rows, heads, tokens, size = query.shape
    groups = heads // key.shape[1]
    query = (query * (size**-0.5 if scaling is None else scaling)).reshape(rows, -1, groups, tokens, size)
    own = key.shape[2]
    mask = attention_mask[:, :, None].expand(rows, 1, groups, tokens, own).reshape(rows, 1, groups * tokens, own)
    out, total = _weighted(query.flatten(2, 3), key, value, softcap, mask)
    out, total = out.unflatten(2, (groups, tokens)), total.unflatten(2, (groups, tokens))
    if shared_text is not None:
        keys, values = shared_text.layers[int(module.layer_idx)]  # type: ignore[arg-type]
        behind = query.transpose(0, 1).flatten(1, 3)
        there, weight = _weighted(behind, keys[0], values[0], softcap)
        there, weight = (x.unflatten(1, (rows, groups, tokens)).transpose(0, 1) for x in (there, weight))
        both = torch.logaddexp(total, weight)
        out = out * (total - both).exp() + there * (weight - both).exp()
        total = both
    if s_aux is not None:
        out = out * torch.sigmoid(total - s_aux.to(total.dtype).view(1, -1, groups, 1, 1))
    return out.reshape(rows, heads, tokens, -1).transpose(1, 2).to(value.dtype).contiguous(), None


def _weighted(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    softcap: float | None,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The values weighted by the softmax of the scores, and the logarithm of the sum of weights (last axis of one)."""
    precise = torch.promote_types(value.dtype, torch.float32)
    scores = torch.matmul(query, key.transpose(-1, -2)).to(precise)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    top = scores.detach().amax(-1, keepdim=True)
    # Half of the time goes into touching the scores, so without gradients they are overwritten.
    weights = (scores - top).exp() if scores.requires_grad else scores.sub_(top).exp_()
    total = weights.sum(-1, keepdim=True)
    out = torch.matmul(weights.to(value.dtype), value).to(precise) / total
    return out, total.log() + top


@contextmanager
def attending(model: PreTrainedModel) -> Iterator[None]:
    """Let a model attend by `attend` for a while.

    Raises
    ------
    NotImplementedError
        If the model's attention cannot be chosen.
    """
    base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = base.config._attn_implementation
    if not base._can_set_attn_implementation():
        raise NotImplementedError(f"the attention of {type(base).__name__} cannot be chosen")
    base.set_attn_implementation(NAME)
    try:
        yield
    finally:
        base.set_attn_implementation(before)


AttentionInterface.register(NAME, attend)
