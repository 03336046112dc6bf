"""The ordinary pass of a model, one text at a time and nothing remembered: what all quicker ways must agree with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from numpy.typing import NDArray

from pilotlm.data.prompts import USUAL, Wording
from pilotlm.models.encoding import EncodedSlot, Encoder, Tokens
from pilotlm.models.loading import LanguageModel, load_model
from pilotlm.models.simulate import answer_as, given_distributions, respondent
from pilotlm.study import Study

SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 2048, "bos_token_id": None, "eos_token_id": 256,
    "pad_token_id": 256, "initializer_range": 0.2,
}  # fmt: skip
"""Small, and with weights large enough that the text before an answer moves its probability by nats."""
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4}


@functools.cache
def tiny_random() -> LanguageModel:
    """The model of random weights that is shipped; nothing may be put into it."""
    return load_model("tiny-random")


def random_model(architecture: str = "Llama", **sizes: Any) -> LanguageModel:
    """A model of random weights that reads the tokens of tiny-random."""
    configuration = getattr(transformers, f"{sizes.pop('config', architecture)}Config")
    made = getattr(transformers, f"{architecture}{sizes.pop('head', 'ForCausalLM')}")
    tiny = tiny_random()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = made(configuration(**{**SIZES, "vocab_size": len(tiny.tokenizer), **sizes}))
    return replace(tiny, model=model.eval(), name=architecture)


@functools.cache
def lively() -> LanguageModel:
    """In double precision, so that what is equal is seen to be equal; nothing may be put into it."""
    made = random_model()
    return replace(made, model=made.model.double())


def some_tokens(seed: int, *lengths: int) -> list[Tokens]:
    """Texts of random tokens."""
    rng = np.random.default_rng(seed)
    return [tuple(int(token) for token in rng.integers(0, 256, length)) for length in lengths]


def plain_logits(language_model: LanguageModel, text: Tokens) -> torch.Tensor:
    """The logits behind each token of a text, (tokens, vocabulary)."""
    with torch.inference_mode():
        return torch.as_tensor(language_model.model(torch.tensor([text]), use_cache=False).logits)[0]


def plain_logp(language_model: LanguageModel, context: Tokens, answer: Tokens) -> float:
    """The log-probability of some tokens after others."""
    steps = plain_logits(language_model, context + answer).double().log_softmax(-1)
    return sum(float(steps[len(context) + k - 1, token]) for k, token in enumerate(answer))


def scored_tokens(encoded: EncodedSlot) -> list[Tokens]:
    """What is scored of each answer: the end of the line only where its text is the beginning of another's."""
    texts = encoded.slot.texts
    both = zip(texts, encoded.answers, strict=True)
    return [
        answer if any(other != text and other.startswith(text) for other in texts) else answer[:-1]
        for text, answer in both
    ]


def plain_distribution(
    language_model: LanguageModel, encoder: Encoder, person: dict[str, Any]
) -> list[dict[int, float] | None]:
    """The log-probability of each valid answer of each line given the person's earlier ones; None where one follows."""
    prompt = encoder.prompt(person)
    context = prompt.shared + prompt.scenario + prompt.persona
    distribution: list[dict[int, float] | None] = []
    for encoded in encoder.slots:
        slot = encoded.slot
        if slot.follows:
            distribution.append(None)
            continue
        context += encoded.label
        left = None if slot.total is None else slot.total - sum(int(person[column]) for column in slot.spent)
        distribution.append({
            value: plain_logp(language_model, context, answer)
            for value, answer in zip(slot.values, scored_tokens(encoded), strict=True)
            if left is None or value <= left
        })  # fmt: skip
        context += encoded.answers[encoder.answer_index(encoded, person[slot.column])]
    return distribution


def plain_likelihood(
    language_model: LanguageModel, encoder: Encoder, person: dict[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The log-probability of the person's answers among the valid ones, and the valid mass, line by line."""
    distribution = plain_distribution(language_model, encoder, person)
    logp, mass = np.zeros(len(distribution)), np.full(len(distribution), np.nan)
    for line, (encoded, answers) in enumerate(zip(encoder.slots, distribution, strict=True)):
        if answers is not None:
            mass[line] = np.exp(list(answers.values())).sum()
            logp[line] = answers[int(person[encoded.slot.column])] - np.log(mass[line])
    return logp, mass


def faulty(
    before: Callable[[dict[str, Any]], dict[str, Any]] = dict, after: Callable[[torch.Tensor], object] = id
) -> LanguageModel:
    """A model to which something is done before it reads a piece, or after; its ordinary pass is as it should be."""
    made = random_model()
    ordinary = made.model.forward

    def forward(*texts: torch.Tensor, **given: Any) -> Any:
        if given.get("past_key_values") is None:
            return ordinary(*texts, **given)
        output = ordinary(**before(given))
        after(output.logits)
        return output

    made.model.forward = forward
    return replace(made, name="owner/faulty")


def simulate(
    language_model: LanguageModel,
    study: Study,
    people: pd.DataFrame,
    seed: int,
    wording: Wording = USUAL,
    **options: Any,
) -> pd.DataFrame:
    """Let a model answer as the given people."""
    return answer_as(
        respondent(language_model, Encoder(study, language_model.tokenizer, wording), people), people, seed, **options
    )


def log_likelihood(
    language_model: LanguageModel, study: Study, people: pd.DataFrame, wording: Wording = USUAL, **options: Any
) -> NDArray[np.float64]:
    """The log-probability that a model gives to the answers that people gave, (rows, lines), in nats."""
    answering = respondent(language_model, Encoder(study, language_model.tokenizer, wording), people)
    return given_distributions(answering, people, **options).log_probability
