from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from numpy.typing import NDArray

from pilotlm.answering.encoding import Encoder
from pilotlm.answering.models import LanguageModel, load_model
from pilotlm.answering.reading import Branches, Reading, Tokens, pad_left
from pilotlm.answering.sampling import log_likelihood
from pilotlm.errors import InputError
from pilotlm.study import Study

SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 2048, "bos_token_id": None, "eos_token_id": 256,
    "pad_token_id": 256, "initializer_range": 0.2,
}  # fmt: skip
"""Small, and with weights large enough that the text before an answer moves its probability by nats."""


def random_model(tiny: LanguageModel, architecture: str = "Llama", **sizes: Any) -> LanguageModel:
    """A model of random weights that reads the tokens of tiny-random."""
    configuration = getattr(transformers, f"{sizes.pop('config', architecture)}Config")
    made = getattr(transformers, f"{architecture}{sizes.pop('head', 'ForCausalLM')}")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = made(configuration(**{**SIZES, "vocab_size": len(tiny.tokenizer), **sizes}))
    return replace(tiny, model=model.eval(), name=architecture)


def plain_logp(language_model: LanguageModel, context: Tokens, answer: Tokens) -> float:
    """The log-probability of some tokens after others: one text, one pass, nothing remembered."""
    with torch.inference_mode():
        logits = language_model.model(torch.tensor([[*context, *answer]]), use_cache=False).logits[0]
    steps = logits.double().log_softmax(-1)
    return sum(float(steps[len(context) + k - 1, token]) for k, token in enumerate(answer))


def plain_law(language_model: LanguageModel, encoder: Encoder, person: dict[str, Any]) -> list[dict[int, float] | None]:
    """The log-probability of each valid answer of each line given the person's earlier ones; None where one follows."""
    prompt = encoder.prompt(person)
    context = prompt.shared + prompt.scenario + prompt.persona
    law: list[dict[int, float] | None] = []
    for encoded in encoder.slots:
        slot = encoded.slot
        if slot.follows:
            law.append(None)
            continue
        context += encoded.label
        left = None if slot.total is None else slot.total - sum(int(person[column]) for column in slot.spent)
        law.append({
            value: plain_logp(language_model, context, answer)
            for value, answer in zip(slot.values, encoded.answers, strict=True)
            if left is None or value <= left
        })  # fmt: skip
        context += encoded.answers[encoder.answer_index(encoded, person[slot.column])]
    return law


def plain_likelihood(
    language_model: LanguageModel, encoder: Encoder, person: dict[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The log-probability of the person's answers among the valid ones, and the valid mass, line by line."""
    law = plain_law(language_model, encoder, person)
    logp, mass = np.zeros(len(law)), np.full(len(law), np.nan)
    for line, (encoded, answers) in enumerate(zip(encoder.slots, law, strict=True)):
        if answers is not None:
            mass[line] = np.exp(list(answers.values())).sum()
            logp[line] = answers[int(person[encoded.slot.column])] - np.log(mass[line])
    return logp, mass


@pytest.fixture(scope="module")
def tiny(cache: Path) -> LanguageModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_CACHE", str(cache))
        return load_model("tiny-random")


@pytest.fixture(scope="module")
def lively(tiny: LanguageModel) -> LanguageModel:
    """In double precision, so that what is equal is seen to be equal."""
    made = random_model(tiny)
    return replace(made, model=made.model.double())


def some_tokens(seed: int, *lengths: int) -> list[Tokens]:
    rng = np.random.default_rng(seed)
    return [tuple(int(token) for token in rng.integers(0, 256, length)) for length in lengths]


def plain_logits(language_model: LanguageModel, text: Tokens) -> torch.Tensor:
    return torch.as_tensor(language_model.model(torch.tensor([text]), use_cache=False).logits)[0]


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-10)


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.inference_mode():
        yield


def test_rows_are_padded_on_the_left() -> None:
    tokens, real = pad_left([(5, 6, 7), (8,), (9, 10)])
    assert tokens.tolist() == [[5, 6, 7], [0, 0, 8], [0, 9, 10]]
    assert real.tolist() == [[True] * 3, [False, False, True], [False, True, True]]


def test_pieces_read_one_after_another_are_the_text(lively: LanguageModel) -> None:
    pieces = some_tokens(0, 11, 1, 7)
    reading = Reading(lively.model)
    logits = [reading.read([piece])[0, -1] for piece in pieces]
    whole = plain_logits(lively, sum(pieces, ()))
    assert reading.position.tolist() == [19] and reading.seen.shape == (1, 19)
    for end, got in zip((10, 11, 18), logits, strict=True):
        assert close(got, whole[end])


def test_the_columns_kept_are_those_asked_for(lively: LanguageModel) -> None:
    long, short = some_tokens(1, 9, 5)
    logits = Reading(lively.model, 2).read([long, short], keep=torch.tensor([4, 6, 8]))
    assert close(logits[0], plain_logits(lively, long)[[4, 6, 8]])
    assert close(logits[1], plain_logits(lively, short)[[0, 2, 4]])


@pytest.mark.parametrize("beside", [[1, 1], [3, 30], [17, 17], [40, 2]])
def test_a_row_does_not_depend_on_the_rows_beside_it(lively: LanguageModel, beside: list[int]) -> None:
    first, second = some_tokens(2, 6, 3)
    texts = [(first, second), *zip(some_tokens(3, *beside), some_tokens(4, *reversed(beside)), strict=True)]
    reading = Reading(lively.model, len(texts))
    for chunk in range(2):
        logits = reading.read([text[chunk] for text in texts])
    for row, text in enumerate(texts):
        assert close(logits[row, -1], plain_logits(lively, text[0] + text[1])[-1])
    assert reading.position.tolist() == [len(a) + len(b) for a, b in texts]


def test_what_was_read_is_shared_by_the_rows_taken_from_it(lively: LanguageModel) -> None:
    shared, other, a, b, c = some_tokens(5, 8, 12, 4, 9, 2)
    reading = Reading(lively.model, 2)
    reading.read([shared, other])
    keys = [layer.keys.clone() for layer in reading.cache.layers]
    taken = reading.take([1, 0, 0])
    logits = taken.read([a, b, c])
    for row, text in enumerate([other + a, shared + b, shared + c]):
        assert close(logits[row, -1], plain_logits(lively, text)[-1])
    # The one that it was taken from goes on as if nothing had happened.
    assert all(torch.equal(layer.keys, before) for layer, before in zip(reading.cache.layers, keys, strict=True))
    logits = reading.read([c, a])
    assert close(logits[0, -1], plain_logits(lively, shared + c)[-1])
    assert close(logits[1, -1], plain_logits(lively, other + a)[-1])


TREE = [(1,), (2,), (1, 3), (1, 4), (2, 1), (1, 3, 3)]


@pytest.mark.parametrize("lengths", [(5, 5), (4, 19)])
def test_branches_are_the_text_read_on(lively: LanguageModel, lengths: tuple[int, int]) -> None:
    before = some_tokens(6, 7)[0]
    chunks = some_tokens(7, *lengths)
    reading = Reading(lively.model)
    reading.read([before])
    reading = reading.take([0, 0])
    logits = reading.read(chunks, branches=Branches(TREE))
    assert logits.shape[:2] == (2, 1 + len(TREE))
    for row, chunk in enumerate(chunks):
        for k, path in enumerate([(), *TREE]):
            assert close(logits[row, k], plain_logits(lively, before + chunk + path)[-1])


def test_branches_are_forgotten(lively: LanguageModel) -> None:
    chunks, rest = some_tokens(8, 6, 10), some_tokens(9, 3, 5)
    with_branches, without = Reading(lively.model, 2), Reading(lively.model, 2)
    first = with_branches.read(chunks, branches=Branches(TREE))
    assert close(first[:, :1], without.read(chunks))
    for a, b in zip(with_branches.cache.layers, without.cache.layers, strict=True):
        assert a.keys.shape == b.keys.shape
        assert torch.allclose(a.keys, b.keys, atol=1e-12) and torch.allclose(a.values, b.values, atol=1e-12)
    assert torch.equal(with_branches.seen, without.seen)
    assert torch.equal(with_branches.position, without.position)
    assert close(with_branches.read(rest), without.read(rest))


def test_a_tree_without_branches_gives_the_last_token(lively: LanguageModel) -> None:
    chunk = some_tokens(10, 6)
    assert close(Reading(lively.model).read(chunk, branches=Branches([])), Reading(lively.model).read(chunk))


def test_a_branch_sees_its_own_way_only() -> None:
    sees = Branches(TREE).sees
    assert [TREE[k] for k in torch.flatten(sees[TREE.index((1, 3, 3))].nonzero())] == [(1,), (1, 3), (1, 3, 3)]
    assert sees.sum() == sum(len(path) for path in TREE)


# Architectures: whole answers in pieces against the plain model, or a refusal.

GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4}
WORKING: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "Mistral": {},
    "Gemma": {"head_dim": 8},
    "Gemma2": {"head_dim": 8},
    "Gemma3": {"head_dim": 8, "config": "Gemma3Text"},
    "GPT2": {**GPT, "head": "LMHeadModel"},
    "GPTNeoX": {},
    "Phi": {},
    "Phi3": {},
    "OPT": {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.2},
    "Falcon": {},
    "GPTJ": {**GPT, "rotary_dim": 4},
    "GPTBigCode": GPT,
    "StableLm": {},
    "Olmo2": {},
    "SmolLM3": {},
    "Granite": {},
    "Mixtral": {"num_local_experts": 2},
    "GptOss": {"head_dim": 8, "num_local_experts": 4, "sliding_window": 1024},
}
WRONG, FAILS = "attends to all", "cannot be read in pieces"
REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a window shorter than the text": (WRONG, "Mistral", {"sliding_window": 64}),
    "a window in some layers": (WRONG, "Gemma3", {"config": "Gemma3Text", "head_dim": 8, "sliding_window": 64}),
    "a window of columns": (WRONG, "GPTNeo", {
        "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 64,
    }),
    "chunks of the text": (WRONG, "Llama4", {
        "config": "Llama4Text", "head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 64,
        "attention_chunk_size": 64, "no_rope_layers": [1, 0],
    }),
    "places counted over padding": (WRONG, "Bart", {
        "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "encoder_layers": 1,
        "is_decoder": True, "is_encoder_decoder": False,
    }),
    "a slope over the columns": (WRONG, "Mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 2048}),
    "a slope made from the mask": (FAILS, "Bloom", {"n_head": 4, "n_layer": 2}),
    "no attention": (FAILS, "Mamba", {}),
    "attention in some layers": (FAILS, "Lfm2", {"layer_types": ["conv", "full_attention"]}),
    "too few places": ("reads 128 tokens at most", "GPT2", {
        "n_embd": 32, "n_layer": 2, "n_head": 4, "max_position_embeddings": 128, "head": "LMHeadModel",
    }),
    "places stretched when they run out": ("reads 128 tokens at most", "Llama", {
        "max_position_embeddings": 128, "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
    }),
}  # fmt: skip


@pytest.mark.parametrize("architecture", WORKING)
def test_an_architecture_read_in_pieces_is_the_model(
    tiny: LanguageModel, architecture: str, toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame]
) -> None:
    model = random_model(tiny, architecture, **copy.deepcopy(WORKING[architecture]))
    encoder, people = Encoder(toy, tiny.tokenizer), draw_toy_people(3, 1)
    logp = log_likelihood(model, toy, people)
    persons = people.to_dict("records")
    # Of three people the one with the shortest text is padded the most.
    shortest = min(range(3), key=lambda k: len(encoder.text(persons[k])))
    assert np.ptp([len(encoder.text(person)) for person in persons]) > 0
    assert np.abs(logp[shortest] - plain_likelihood(model, encoder, persons[shortest])[0]).max() < 1e-4
    assert np.abs(logp[shortest]).max() > 0.5, "weights this small would hide an error"


@pytest.mark.parametrize("what", REFUSED)
def test_an_architecture_that_cannot_be_read_in_pieces_is_refused(
    tiny: LanguageModel, what: str, toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame]
) -> None:
    sentence, architecture, sizes = REFUSED[what]
    model = random_model(tiny, architecture, **copy.deepcopy(sizes))
    with pytest.raises(InputError, match=sentence) as error:
        log_likelihood(model, toy, draw_toy_people(3, 1))
    assert f"model '{architecture}'" in str(error.value) and "\n" not in str(error.value)
