from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model
from plain import GPT, random_model, tiny_random

from pilotlm.data.prompts import Wording
from pilotlm.models.encoding import Encoder
from pilotlm.models.loss import Example, accumulate_gradient, accumulate_plainly, example_of
from pilotlm.models.prefix_cache import attending
from pilotlm.study import Study

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning"),  # GPT-2's layers are written the other way round
    pytest.mark.filterwarnings("ignore:The following .*_pattern keys:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def uneven(toy_content: dict[str, Any]) -> Study:
    """The toy study with scenarios of different lengths."""
    content = copy.deepcopy(toy_content)
    content["treatments"][1]["scenario"] = "A bell rings, people shout in the street, and there is a smell of smoke."
    return Study.model_validate(content)


@pytest.fixture
def encoder(uneven: Study) -> Encoder:
    return Encoder(uneven, tiny_random().tokenizer)


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    return draw_toy_people(20, 4)


def adapted(model: Any) -> Any:
    """The model with an adapter that already does something."""
    config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made: Any = get_peft_model(model, config).eval()
        with torch.no_grad():
            for name, weight in made.named_parameters():
                if "lora_B" in name:
                    weight.copy_(torch.randn(weight.shape) / 10)
    return made


def gradient(model: Any) -> torch.Tensor:
    """Of all of the adapter's weights; 0 for one that nothing has reached, such as an expert that was not asked."""
    wanted = [p for p in model.parameters() if p.requires_grad]
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in wanted]).clone()


def in_one_pass_each(model: Any, encoder: Encoder, people: pd.DataFrame) -> Any:
    """The mean cross-entropy of the answers' tokens, participants read one by one as whole texts."""
    losses = []
    for person in people.to_dict("records"):
        prompt = encoder.prompt(person)
        text, places = [*prompt.shared, *prompt.scenario, *prompt.persona], []
        for encoded in encoder.slots:
            if encoded.slot.follows:
                continue
            text += encoded.label
            answer = encoded.answers[encoder.answer_index(encoded, person[encoded.slot.column])]
            places += range(len(text), len(text) + len(answer))
            text += answer
        logp = model(torch.tensor([text])).logits[0].double().log_softmax(-1)
        losses += [-logp[place - 1, text[place]] for place in places]
    return torch.stack(losses).mean()


def examples_of(encoder: Encoder, people: pd.DataFrame) -> list[Example]:
    return [example_of(encoder, person) for person in people.to_dict("records")]


def check(model: Any, encoder: Encoder, people: pd.DataFrame, *ways: int | None) -> None:
    """Loss and gradient of some ways to compute them: participants at a time, or None for the plain way."""
    wanted_loss = in_one_pass_each(model, encoder, people)
    wanted_loss.backward()
    wanted = gradient(model)
    assert wanted.norm() > 1e-3
    for at_a_time in ways:
        model.zero_grad()
        with nullcontext() if at_a_time is None else attending(model):
            accumulate: Any = accumulate_plainly if at_a_time is None else accumulate_gradient
            loss = accumulate(model, examples_of(encoder, people), at_a_time or 1)
        # The difference is in the order of additions in single precision.
        assert loss == pytest.approx(wanted_loss.item(), rel=1e-6)
        assert (gradient(model) - wanted).norm() / wanted.norm() < 1e-5


STEPS = {
    "one scenario each": "ca", "one of them alone": "cacc", "both shared": "caccaaca", "one for all": "aaaa",
    "one participant": "a",
}  # fmt: skip
"""The scenarios of the participants of a step, by their first letters."""


@pytest.mark.parametrize("step", STEPS)
def test_the_gradient_is_that_of_participants_read_one_by_one(
    encoder: Encoder, people: pd.DataFrame, step: str
) -> None:
    treatments = [{"a": "alarm", "c": "calm"}[letter] for letter in STEPS[step]]
    some = people.head(len(treatments)).assign(treatment=treatments)
    check(adapted(random_model().model), encoder, some, 1, 3, 8, None)
    # One who is there twice counts twice.
    check(adapted(random_model().model), encoder, some.iloc[[0, -1, 0]], 2, None)


def test_behind_the_persona_there_is_no_scenario_to_share(uneven: Study, people: pd.DataFrame) -> None:
    encoder = Encoder(uneven, tiny_random().tokenizer, Wording(persona_first=True))
    check(adapted(random_model().model), encoder, people.head(4), 3, None)


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "GPT2": {**GPT, "head": "LMHeadModel"},
    "Gemma2": {"head_dim": 8, "attn_logit_softcapping": 1.0},
    "Qwen3": {"head_dim": 8},
    "GPTNeoX": {},
    "Mixtral": {"num_local_experts": 2},
    "GptOss": {"head_dim": 8, "num_local_experts": 4, "sliding_window": 1024},
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_gradient_of_other_architectures(encoder: Encoder, people: pd.DataFrame, architecture: str) -> None:
    made = random_model(architecture, **copy.deepcopy(ARCHITECTURES[architecture]))
    check(adapted(made.model), encoder, people.head(4), 3)


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [("Mistral", {"sliding_window": 64}), ("GPTJ", {**GPT, "rotary_dim": 4}), ("StableLm", {})],
)
def test_the_plain_way_is_open_to_any_architecture(
    encoder: Encoder, people: pd.DataFrame, architecture: str, sizes: dict[str, Any]
) -> None:
    check(adapted(random_model(architecture, **sizes).model), encoder, people.head(3), None)


@pytest.mark.parametrize("plain", [False, True])
def test_gradients_are_added(encoder: Encoder, people: pd.DataFrame, plain: bool) -> None:
    model, examples = adapted(random_model().model), examples_of(encoder, people.head(3))
    found = []
    with nullcontext() if plain else attending(model):
        for _ in range(2):
            (accumulate_plainly if plain else accumulate_gradient)(model, examples)
            found.append(gradient(model))
    assert torch.allclose(found[1], 2 * found[0], rtol=1e-5)


# What is learnt.


def test_only_the_tokens_of_answers_count(encoder: Encoder, people: pd.DataFrame) -> None:
    tokenizer = tiny_random().tokenizer
    for person in people.head(4).to_dict("records"):
        example = example_of(encoder, person)
        own = example.pieces[2]
        words = {0: "stay", 1: "leave", 2: "call"}
        answers = [person["fear"], person["odds_none"], person["odds_small"], words[person["leave"]]]
        # The last part of the allocation follows from the others and is not asked.
        assert tokenizer.decode([own[k] for k in example.targets]) == "".join(f" {a}\n" for a in answers)
        assert sum(example.pieces, ())[: -len(own)] == encoder.prompt(person).shared + encoder.prompt(person).scenario


@pytest.mark.parametrize("plain", [False, True])
def test_what_is_not_an_answer_is_not_learnt(encoder: Encoder, people: pd.DataFrame, plain: bool) -> None:
    model = adapted(random_model().model)
    (example,) = examples_of(encoder, people.head(1))
    # With no answer to count but the last line end, nothing but its own probability is pushed.
    last = replace(example, targets=example.targets[-1:])
    with nullcontext() if plain else attending(model):
        loss = (accumulate_plainly if plain else accumulate_gradient)(model, [last])
    text = torch.tensor([sum(example.pieces, ())])
    logp = model(text).logits[0].double().log_softmax(-1)
    assert loss == pytest.approx(-float(logp[-2, text[0, -1]].detach()), rel=1e-6)
