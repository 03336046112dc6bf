from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from plain import GPT, log_likelihood, plain_likelihood, random_model

from pilotlm.data.prompts import Wording
from pilotlm.errors import InputError
from pilotlm.models import lora
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import LanguageModel, load_model
from pilotlm.models.lora import Tuned, TuningSettings, fine_tune
from pilotlm.models.simulate import PlainReadingWarning
from pilotlm.study import Study

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning"),  # GPT-2's layers are written the other way round
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),  # of training that has run away
]


@pytest.fixture(scope="module")
def toy(short_toy: Study) -> Study:
    """What is trained here need not be read long."""
    return short_toy


QUICK = TuningSettings(learning_rate=1e-2, epochs=3, least_steps=0, batch=4, rank=2, alpha=4)


@pytest.fixture
def tiny() -> LanguageModel:
    """Loaded anew for each test: an adapter is put into the model itself."""
    return load_model("tiny-random")


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    return draw_toy_people(20, 4)


@pytest.fixture(scope="module")
def train(people: pd.DataFrame) -> pd.DataFrame:
    return people.iloc[:14].reset_index(drop=True)


@pytest.fixture(scope="module")
def validation(people: pd.DataFrame) -> pd.DataFrame:
    return people.iloc[14:].reset_index(drop=True)


def tune(language_model: LanguageModel, study: Study, *parts: pd.DataFrame, **changes: Any) -> Tuned:
    seed = changes.pop("seed", 1)
    return fine_tune(language_model, study, *parts, replace(QUICK, **changes), seed)


def nll(language_model: LanguageModel, study: Study, people: pd.DataFrame) -> float:
    return float(-log_likelihood(language_model, study, people).sum(axis=1).mean())


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.named_parameters() if "lora" in name}


def test_training_lowers_the_loss_of_the_pilot_and_of_others(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    before = [nll(tiny, toy, part) for part in (train, validation)]
    steps: list[tuple[str, int, int]] = []
    tuned = fine_tune(tiny, toy, train, QUICK, 1, progress=lambda *step: steps.append(step))
    assert list(tuned.history) == ["epoch", "train_loss"] and tuned.history["epoch"].tolist() == [1, 2, 3]
    assert tuned.history["train_loss"].iloc[-1] < tuned.history["train_loss"].iloc[0]
    after = [nll(replace(tiny, model=tuned.model), toy, part) for part in (train, validation)]
    assert after[0] < before[0] and after[1] < before[1] and tuned.settings == QUICK
    total = math.ceil(len(train) / 4) * 3
    assert [(done, of) for _, done, of in steps] == [(k + 1, total) for k in range(total)]
    assert steps[0][0].startswith("epoch 1, loss ")


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_learning_rate_is_that_of_the_schedule(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, monkeypatch: pytest.MonkeyPatch,
    schedule: Any,
) -> None:  # fmt: skip
    seen: list[float] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: seen.append(self.param_groups[0]["lr"]) or step(self))
    tune(tiny, toy, train, warmup=6, schedule=schedule)
    # The rise is longer than an epoch of four steps.
    fall = [0.5 * (1 + math.cos(math.pi * k / 12)) if schedule == "cosine" else 1 for k in range(1, 13)]
    np.testing.assert_allclose(seen, [1e-2 * min(1, k / 6) * fall[k - 1] for k in range(1, 13)], atol=1e-18)


def test_equal_seeds_give_equal_adapters_and_others_do_not(toy: Study, train: pd.DataFrame) -> None:
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(runs))  # of no concern
        runs.append(tune(load_model("tiny-random"), toy, train.head(8), seed=seed, epochs=2))
    first, again, other = ([*weights_of(run.model).values()] for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    pd.testing.assert_frame_equal(runs[0].history, runs[1].history)
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_order_of_people_is_that_of_the_seed_and_the_epoch(
    toy: Study, train: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(lora, "example_of", lambda encoder, person: person["participant"])
    monkeypatch.setattr(lora, "accumulate_gradient", lambda model, examples, at_a_time: read.extend(examples) or 1.0)
    orders = []
    for seed in (1, 1, 2):
        read.clear()
        tune(load_model("tiny-random"), toy, train, seed=seed, epochs=2)
        orders += [read[:14], read[14:]]
    assert all(sorted(order) == train["participant"].tolist() for order in orders)
    assert orders[:2] == orders[2:4]
    assert len({tuple(order) for order in orders}) == 4


def test_dropout_is_left_out(toy: Study, train: pd.DataFrame) -> None:
    sizes = {**GPT, "head": "LMHeadModel", "resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5}
    histories = []
    for number in range(2):
        torch.manual_seed(number)
        histories.append(tune(random_model("GPT2", **sizes), toy, train, epochs=1).history)
    pd.testing.assert_frame_equal(*histories)


def test_the_base_weights_stay_as_they_are(tiny: LanguageModel, toy: Study, train: pd.DataFrame) -> None:
    def sums(model: Any) -> list[str]:
        kept = [weight for name, weight in model.named_parameters() if "lora" not in name]
        return sorted(hashlib.sha256(weight.detach().numpy().tobytes()).hexdigest() for weight in kept)

    before = sums(tiny.model)
    tuned = tune(tiny, toy, train)
    assert sums(tuned.model) == before
    assert {name for name, weight in tuned.model.named_parameters() if weight.requires_grad} == set(
        weights_of(tuned.model)
    )
    # On all linear layers: seven in each of the two blocks, with two matrices each.
    assert len(weights_of(tuned.model)) == 2 * 7 * 2


def test_the_persona_is_left_out_of_training_too(toy: Study, train: pd.DataFrame) -> None:
    # Personas that are shuffled change what is learnt only where they are read.
    other = train.assign(age=train["age"].to_numpy()[::-1])
    histories = {
        shown: [
            fine_tune(load_model("tiny-random"), toy, rows, QUICK, 1, wording=Wording(with_persona=shown)).history
            for rows in (train, other)
        ]
        for shown in (False, True)
    }
    pd.testing.assert_frame_equal(*histories[False])
    assert not np.allclose(*(history["train_loss"] for history in histories[True]), rtol=1e-6)


def test_an_adapter_is_not_put_onto_an_adapter(tiny: LanguageModel, toy: Study, train: pd.DataFrame) -> None:
    tune(tiny, toy, train, epochs=1)
    with pytest.raises(InputError, match="'tiny-random' has an adapter already; load it anew"):
        tune(tiny, toy, train, epochs=1)


@pytest.mark.parametrize(
    ("architecture", "sizes"), [("Mistral", {"sliding_window": 64}), ("GPTJ", {**GPT, "rotary_dim": 4})]
)
def test_a_model_that_is_read_plainly_is_trained_too(
    toy: Study, train: pd.DataFrame, architecture: str, sizes: dict[str, Any]
) -> None:
    model, some = random_model(architecture, **sizes), train.head(6)
    encoder = Encoder(toy, model.tokenizer)

    def plainly(language_model: LanguageModel) -> float:
        logs = [plain_likelihood(language_model, encoder, person)[0].sum() for person in some.to_dict("records")]
        return -float(np.mean(logs))

    before = plainly(model)
    with pytest.warns(PlainReadingWarning, match=f"'{architecture}' is read plainly"):
        tuned = tune(model, toy, some, epochs=8)
    assert plainly(replace(model, model=tuned.model)) < before - 1
