from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from plain import GPT, faulty, lively, plain_likelihood, random_model, tiny_random

from pilotlm.errors import InputError
from pilotlm.models.answer_scoring import Choose
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import LanguageModel
from pilotlm.models.simulate import PlainReadingWarning, Respondent, given_distributions, reading_error, respondent
from pilotlm.study import Study


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    """Twelve people of both treatments whose texts differ in length."""
    return draw_toy_people(12, 3)


def encoder_of(study: Study) -> Encoder:
    return Encoder(study, tiny_random().tokenizer)


def lengths(encoder: Encoder, people: pd.DataFrame) -> list[int]:
    return [len(encoder.text(person)) for person in people.to_dict("records")]


def first_allowed(rows: NDArray[np.int64]) -> Choose:
    return lambda line, distribution, values: np.isfinite(distribution).argmax(axis=1)


# Filling in the form for many people.


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("batch", [2, 64])
def test_rows_come_in_the_order_of_the_people(toy: Study, people: pd.DataFrame, plain: bool, batch: int) -> None:
    some = people.iloc[[3, 0, 7, 3]]
    encoder = encoder_of(toy)
    done: list[int] = []
    filled = Respondent(lively(), encoder, plain).fill(some, first_allowed, batch, done.append)
    assert len(filled) == sum(done) == 4 and max(done) <= batch
    for row in (1, 2, 3):
        person = some.iloc[row].to_dict()
        answers = {slot.slot.column: filled.values[row, k] for k, slot in enumerate(encoder.slots)}
        logp, mass = plain_likelihood(lively(), encoder, {**person, **answers})
        # A step is normalised in single precision: seven digits of numbers around five.
        np.testing.assert_allclose(filled.log_probability[row], logp, atol=1e-5)
        np.testing.assert_allclose(filled.valid_mass[row], mass, rtol=1e-5)


def test_the_rule_is_told_whose_rows_they_are(toy: Study, people: pd.DataFrame) -> None:
    seen: list[int] = []

    def choose(rows: NDArray[np.int64]) -> Choose:
        seen.extend(rows)
        return lambda line, distribution, values: np.where(
            np.isfinite(distribution[:, -1]) & (rows == 3), distribution.shape[1] - 1, 0
        )

    filled = Respondent(lively(), encoder_of(toy)).fill(people, choose, 5)
    assert sorted(seen) == list(range(12))
    assert [row for row in range(12) if filled.values[row, 0] == 4] == [3]


def counting(language_model: LanguageModel) -> list[int]:
    """The number of tokens of each pass of a model from now on, padding included."""
    read: list[int] = []
    language_model.model.register_forward_pre_hook(
        lambda module, args, given: read.append(given["input_ids"].numel()), with_kwargs=True
    )
    return read


def test_what_people_share_is_read_once(toy: Study, people: pd.DataFrame) -> None:
    made, encoder = random_model(), encoder_of(toy)
    answering, read = Respondent(made, encoder), counting(made)
    answering.fill(people, first_allowed, 3)
    prompts = [encoder.prompt(person) for person in people.to_dict("records")]
    common = len(prompts[0].shared) + sum(map(len, {prompt.scenario for prompt in prompts}))
    own = sum(len(prompt.persona) for prompt in prompts)
    form = 12 * sum(len(line.label) + sum(map(len, line.answers)) for line in encoder.slots)
    assert common < sum(read) < common + own + form
    before = len(read)
    answering.fill(people, first_allowed, 3)
    assert sum(read[before:]) == sum(read[:before]) - common


def test_people_with_one_text_are_read_once(toy: Study, people: pd.DataFrame) -> None:
    made, encoder = random_model(), encoder_of(toy)
    crowd = pd.concat([people.iloc[[2]]] * 50, ignore_index=True)
    answering, read = Respondent(made, encoder), counting(made)
    one = answering.fill(crowd.head(1), first_allowed, 50)
    before = len(read)
    many = Respondent(made, encoder).fill(crowd, first_allowed, 50)
    assert read[before:] == read[:before]
    assert all(
        np.array_equal(distribution, np.repeat(alone, 50, axis=0))
        for distribution, alone in zip(many.distributions, one.distributions, strict=True)
    )


# Architectures: read in pieces or plainly, and the numbers of the ordinary pass either way.

PIECES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "Mistral": {},
    "Gemma": {"head_dim": 8},
    "Gemma2": {"head_dim": 8, "attn_logit_softcapping": 1.0},
    "Gemma3": {"head_dim": 8, "config": "Gemma3Text"},
    "GPT2": {**GPT, "head": "LMHeadModel"},
    "GPTNeoX": {},
    "Phi": {},
    "Phi3": {},
    "OPT": {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.2},
    "GPTBigCode": GPT,
    "Olmo2": {},
    "SmolLM3": {},
    "Granite": {},
    "Mixtral": {"num_local_experts": 2},
    "GptOss": {"head_dim": 8, "num_local_experts": 4, "sliding_window": 1024},
}
MOVES, FAILS = "it moves the log-probability of an answer by", "read in pieces it fails"
PLAIN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "what is shared is not handed on": (MOVES, "StableLm", {}),
    "an attention of its own": (FAILS, "Falcon", {}),
    "another attention of its own": (FAILS, "GPTJ", {**GPT, "rotary_dim": 4}),
    "a window shorter than the text": (MOVES, "Mistral", {"sliding_window": 64}),
    "a window in some layers": (MOVES, "Gemma3", {"config": "Gemma3Text", "head_dim": 8, "sliding_window": 64}),
    "a window of columns": (FAILS, "GPTNeo", {
        "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 64,
    }),
    "chunks of the text": (MOVES, "Llama4", {
        "config": "Llama4Text", "head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 64,
        "attention_chunk_size": 64, "no_rope_layers": [1, 0],
    }),
    "places counted over padding": (MOVES, "Bart", {
        "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "encoder_layers": 1,
        "is_decoder": True, "is_encoder_decoder": False,
    }),
    "a slope over the columns": (FAILS, "Mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 2048}),
    "a slope made from the mask": (FAILS, "Bloom", {"n_head": 4, "n_layer": 2}),
    "no attention": (FAILS, "Mamba", {}),
    "attention in some layers": (FAILS, "Lfm2", {"layer_types": ["conv", "full_attention"]}),
}  # fmt: skip


def check_distribution(answering: Respondent, people: pd.DataFrame) -> None:
    """The distribution of given answers against the ordinary pass, for one person beside two others."""
    three = people.head(3)
    encoder, distribution = answering.encoder, given_distributions(answering, three)
    # Of three people the one with the shortest text is padded the most.
    shortest = int(np.argmin(lengths(encoder, three)))
    logp, mass = plain_likelihood(answering.language_model, encoder, three.iloc[shortest].to_dict())
    np.testing.assert_allclose(distribution.log_probability[shortest], logp, rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.log(distribution.valid_mass[shortest]), np.log(mass), rtol=0, atol=1e-4)
    assert np.abs(logp).max() > 0.5, "weights this small would hide an error"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", PIECES)
def test_an_architecture_read_in_pieces_is_the_model(toy: Study, people: pd.DataFrame, architecture: str) -> None:
    answering = respondent(random_model(architecture, **copy.deepcopy(PIECES[architecture])), encoder_of(toy), people)
    assert not answering.plain
    check_distribution(answering, people)


@pytest.mark.slow
@pytest.mark.parametrize("what", PLAIN)
def test_an_architecture_that_cannot_be_read_in_pieces_is_read_plainly(
    toy: Study, people: pd.DataFrame, what: str
) -> None:
    sentence, architecture, sizes = PLAIN[what]
    model = random_model(architecture, **copy.deepcopy(sizes))
    with pytest.warns(PlainReadingWarning, match=sentence) as warned:
        answering = respondent(model, encoder_of(toy), people)
    assert len(warned) == 1 and "\n" not in str(warned[0].message)
    assert str(warned[0].message).startswith(f"The model '{architecture}' is read plainly, ")
    assert answering.plain
    check_distribution(answering, people)


# How it is found out.

Fault = Callable[[Any], Any]


def without(*names: str) -> Fault:
    return lambda given: {name: value for name, value in given.items() if name not in names}


def of_the_longest_row(name: str) -> Fault:
    """The row that is padded least stands for all."""

    def fault(given: Any) -> Any:
        longest = given["attention_mask"].sum((1, 2, 3)).argmax()
        return {**given, name: given[name][longest][None].expand_as(given[name])}

    return fault


FAULTS: dict[str, dict[str, Fault]] = {
    "the mask is not heeded": {"before": without("attention_mask")},
    "the places are not heeded": {"before": without("position_ids")},
    "padding is seen": {"before": of_the_longest_row("attention_mask")},
    "padding takes places": {"before": of_the_longest_row("position_ids")},
    "other logits are given": {"before": without("logits_to_keep")},
    "nothing is remembered": {"before": without("past_key_values")},
    "what is shared is not seen": {"before": without("shared_text")},
    "no number": {"after": lambda logits: logits.fill_(torch.nan)},
    "no number behind the branches": {"after": lambda logits: logits[:, -1].fill_(torch.nan)},
    "infinity": {"after": lambda logits: logits[..., 0].fill_(torch.inf)},
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_model_that_does_not_heed_is_read_plainly(toy: Study, people: pd.DataFrame, fault: str) -> None:
    encoder = encoder_of(toy)
    # The longest text and the shortest are of different treatments, so they are not read side by side as they are.
    sizes = lengths(encoder, people)
    people = people.assign(treatment=np.where(np.array(sizes) == max(sizes), "calm", "alarm"))
    with pytest.warns(PlainReadingWarning, match="The model 'owner/faulty' is read plainly"):
        answering = respondent(faulty(**FAULTS[fault]), encoder, people)
    check_distribution(answering, people)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_the_error_is_that_of_log_probabilities(toy: Study, people: pd.DataFrame) -> None:
    def error(**faults: Any) -> float:
        return reading_error(Respondent(faulty(**faults), encoder_of(toy)), people.head(2))

    # Rounding of single precision; what is added to all logits cancels.
    assert error() < 1e-4 and error(after=lambda logits: logits.add_(3)) < 1e-4
    assert error(after=lambda logits: logits.mul_(1.5)) > 0.5
    # What is no number on the last line alone is not lost among the others.
    assert error(after=lambda logits: logits[:, -1].fill_(torch.nan)) == np.inf


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounding_is_no_reason_to_read_plainly(toy: Study, people: pd.DataFrame, dtype: str) -> None:
    made = random_model()
    rounded = replace(made, model=made.model.to(getattr(torch, dtype)))
    assert not respondent(rounded, encoder_of(toy), people).plain


def test_the_longest_text_is_the_one_that_is_checked(toy: Study, people: pd.DataFrame) -> None:
    made, encoder = random_model(), encoder_of(toy)
    read: list[int] = []
    made.model.register_forward_pre_hook(
        lambda module, args, given: read.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    respondent(made, encoder, people)
    form = sum(len(s.label) + max(map(len, s.answers)) for s in encoder.asked)
    longest = max(lengths(encoder, people))
    assert longest < max(read) <= longest + form  # a token is a character here


# What is refused.


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [("GPT2", {**GPT, "head": "LMHeadModel"}),
     ("Llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}})],
)  # fmt: skip
def test_a_text_longer_than_the_model_reads_is_refused(
    toy: Study, people: pd.DataFrame, architecture: str, sizes: dict[str, Any]
) -> None:
    encoder = encoder_of(toy)
    needed = max(lengths(encoder, people)) + sum(len(s.label) + max(map(len, s.answers)) for s in encoder.asked)
    with pytest.raises(InputError) as error:
        respondent(random_model(architecture, max_position_embeddings=needed - 1, **sizes), encoder, people)
    assert str(error.value) == (
        f"The model '{architecture}' reads {needed - 1} tokens at most, and study 'toy' needs {needed}; shorten the "
        "study's texts or take a model that reads more."
    )


def test_a_text_as_long_as_the_model_reads_is_not_refused(toy: Study, people: pd.DataFrame) -> None:
    encoder = encoder_of(toy)
    needed = max(lengths(encoder, people)) + sum(len(s.label) + max(map(len, s.answers)) for s in encoder.asked)
    made = random_model("GPT2", **GPT, max_position_embeddings=needed, head="LMHeadModel")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_distribution(respondent(made, encoder, people), people)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("weights", ["nan", "inf"])
def test_a_model_that_gives_no_numbers_is_refused(toy: Study, people: pd.DataFrame, weights: str) -> None:
    made = random_model()
    with torch.no_grad():
        made.model.get_output_embeddings().weight[5] = float(weights)
    with pytest.raises(InputError, match="The model 'Llama' gives no probabilities"):
        respondent(made, encoder_of(toy), people)
