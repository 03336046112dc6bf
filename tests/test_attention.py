from __future__ import annotations

from typing import Any

import pytest
import torch
from plain import GPT, random_model

from pilotlm.models.prefix_cache import ATTENTION_NAME, SharedText, attend, attending

Pair = tuple[torch.Tensor, torch.Tensor]


class Layer(torch.nn.Module):
    layer_idx = 1


def some(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def a_mask(rows: int, tokens: int, own: int) -> torch.Tensor:
    """Each token sees itself, and of the others every second one or so."""
    sees = torch.rand(rows, 1, tokens, own, generator=torch.Generator().manual_seed(9)) < 0.5
    sees[..., own - tokens :] |= torch.eye(tokens, dtype=torch.bool)
    return sees


def in_one_softmax(
    query: torch.Tensor,
    own: Pair,
    mask: torch.Tensor,
    shared: Pair | None = None,
    scaling: float | None = None,
    softcap: float | None = None,
    sink: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attention to the shared text and the row's own as to one text, written as it is defined."""
    rows, heads, tokens, size = query.shape
    keys, values = own
    if shared is not None:
        keys, values = (torch.cat([s.expand(rows, -1, -1, -1), o], 2) for s, o in zip(shared, own, strict=True))
        mask = torch.cat([torch.ones(rows, 1, tokens, shared[0].shape[2], dtype=torch.bool), mask], 3)
    keys, values = (x.repeat_interleave(heads // x.shape[1], 1) for x in (keys, values))
    scores = query @ keys.transpose(-1, -2) * (size**-0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.masked_fill(~mask, -torch.inf)
    if sink is not None:
        scores = torch.cat([scores, sink.view(1, -1, 1, 1).expand(rows, -1, tokens, 1)], 3)
    weights = scores.softmax(-1)[..., : keys.shape[2]]
    return (weights @ values).transpose(1, 2)


def parts(rows: int, heads: int, key_heads: int, tokens: int, own: int, common: int, size: int = 6) -> Any:
    """A query, what the rows have read themselves, and what they share."""
    query = some(0, rows, heads, tokens, size)
    return query, *((some(k, n, key_heads, length, size), some(k + 1, n, key_heads, length, size + 1))
                    for k, n, length in ((1, rows, own), (3, 1, common)))  # fmt: skip


def shared_text(pair: Pair) -> SharedText:
    """The layer under test is the second one."""
    return SharedText(((pair[0] + 1, pair[1] + 1), pair), pair[0].shape[2])


SHAPES = [(1, 1, 1, 1, 1, 1), (3, 4, 4, 2, 7, 5), (3, 4, 2, 5, 5, 9), (2, 6, 1, 1, 4, 30), (5, 6, 2, 3, 20, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("scaling", "softcap", "sinks"),
    [(None, None, False), (0.3, None, False), (None, 1.5, False), (None, None, True), (None, 0.7, True)],
)
def test_attention_in_two_parts_is_one_softmax(
    shape: tuple[int, ...], scaling: float | None, softcap: float | None, sinks: bool
) -> None:
    query, own, common = parts(*shape)
    mask = a_mask(shape[0], shape[3], shape[4])
    sink = some(7, shape[1]) if sinks else None
    for shared in (None, common):
        text = None if shared is None else shared_text(shared)
        got, weights = attend(Layer(), query, *own, mask, scaling, shared_text=text, softcap=softcap, s_aux=sink)
        wanted = in_one_softmax(query, own, mask, shared, scaling, softcap, sink)
        assert weights is None and got.shape == wanted.shape
        # Some tens of additions in double precision.
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-13)
        without = in_one_softmax(query, own, mask, shared)
        assert sink is None or (got - without).abs().max() > 0.01, "a sink that takes nothing would hide an error"


@pytest.mark.parametrize(("softcap", "sinks"), [(None, False), (1.5, False), (None, True)])
def test_gradients_are_those_of_one_softmax(softcap: float | None, sinks: bool) -> None:
    query, own, common = parts(3, 4, 2, 5, 8, 9)
    mask, sink = a_mask(3, 5, 8), some(7, 4)
    leaves = [x.clone().requires_grad_() for x in (query, *own, *common, sink)]
    grads = []
    for number in range(2):
        q, k, v, sk, sv, s = leaves
        if number:
            out = in_one_softmax(q, (k, v), mask, (sk, sv), softcap=softcap, sink=s if sinks else None)
        else:
            text = SharedText(((sk, sv), (sk, sv)), 9)
            out, _ = attend(Layer(), q, k, v, mask, shared_text=text, softcap=softcap, s_aux=s if sinks else None)
        grads.append(torch.autograd.grad((out * some(8, *out.shape)).sum(), leaves, allow_unused=True))
    for got, wanted in zip(*grads, strict=True):
        assert (got is None) == (wanted is None)
        if wanted is not None:
            assert wanted.abs().max() > 1e-3
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [100.0, -100.0])
def test_scores_of_any_size_are_merged(scale: float) -> None:
    query, own, (keys, values) = parts(2, 4, 2, 3, 6, 5)
    mask, common = a_mask(2, 3, 6), (keys * scale, values)
    got, _ = attend(Layer(), query * 10, *own, mask, shared_text=shared_text(common))
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got, in_one_softmax(query * 10, own, mask, common), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02), (torch.float16, 2e-3)])
def test_lower_precision_is_rounding_only(dtype: torch.dtype, digits: float) -> None:
    query, own, common = parts(3, 4, 2, 5, 8, 9)
    query, own, common = query.to(dtype), *(tuple(x.to(dtype) for x in pair) for pair in (own, common))
    mask = a_mask(3, 5, 8)
    got, _ = attend(Layer(), query, *own, mask, shared_text=shared_text(common))
    assert got.dtype == dtype
    exact = in_one_softmax(query.double(), *(tuple(x.double() for x in p) for p in (own,)), mask,
                           tuple(x.double() for x in common))  # fmt: skip
    # About two units in the last place of numbers around one.
    assert (got.double() - exact).abs().max() < 2 * digits


def test_the_inputs_are_left_as_they_are() -> None:
    query, own, common = parts(2, 4, 2, 3, 6, 4)
    given = [query, *own, *common]
    copies = [x.clone() for x in given]
    attend(Layer(), query, *own, a_mask(2, 3, 6), shared_text=shared_text(common))
    assert all(torch.equal(a, b) for a, b in zip(given, copies, strict=True))


def test_there_is_no_dropout() -> None:
    query, own, _ = parts(1, 1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match="has no dropout"):
        attend(Layer(), query, *own, a_mask(1, 1, 1), dropout=0.1)


# A model for a while.


def test_a_model_attends_so_for_a_while_only() -> None:
    model: Any = random_model().model
    with attending(model):
        assert model.config._attn_implementation == ATTENTION_NAME
    assert model.config._attn_implementation == "sdpa"
    with pytest.raises(KeyError), attending(model):
        raise KeyError
    assert model.config._attn_implementation == "sdpa"


def test_a_model_whose_attention_is_written_into_it_is_refused() -> None:
    model: Any = random_model("GPTJ", **GPT, rotary_dim=4).model
    before = model.config._attn_implementation
    with (
        pytest.raises(NotImplementedError, match="the attention of GPTJForCausalLM cannot be chosen"),
        attending(model),
    ):
        raise AssertionError("not reached")
    assert model.config._attn_implementation == before
