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


QUICK = TuningSettings(learning_rates=(1e-2,), epochs=3, least_steps=0, patience=3, batch=4, rank=2, alpha=4)


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


def test_training_lowers_the_validation_loss_and_the_best_epoch_is_kept(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    before = nll(tiny, toy, validation)
    tuned = tune(tiny, toy, train, validation)
    history = tuned.history
    assert list(history.columns) == ["learning_rate", "epoch", "train_loss", "validation_nll"]
    assert history["epoch"].tolist() == [0, 1, 2, 3] and history["train_loss"].isna().tolist() == [True] + [False] * 3
    assert history["validation_nll"].iloc[0] == pytest.approx(before, rel=1e-6)
    best = history.loc[history["validation_nll"].idxmin()]
    assert (tuned.learning_rate, tuned.epochs, tuned.validation_nll) == (1e-2, best["epoch"], best["validation_nll"])
    assert tuned.epochs > 0 and tuned.validation_nll < before
    assert nll(replace(tiny, model=tuned.model), toy, validation) == pytest.approx(tuned.validation_nll, rel=1e-6)


def test_the_model_as_it_came_is_kept_where_training_does_harm(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The harm is counted in steps away from the model as it came, so that it is one on every processor.
    def harm(trainer: Any) -> float:
        moved = sum(float(weight.abs().sum()) for name, weight in trainer.state().items() if "lora_B" in name)
        harms.append(moved)
        return 5.0 + moved

    harms: list[float] = []
    wanted = log_likelihood(tiny, toy, validation)
    monkeypatch.setattr(lora._Trainer, "validate", harm)
    tuned = tune(tiny, toy, train, validation, patience=2)
    assert harms[0] == 0 and min(harms[1:]) > 0.1, "training moved the weights far"
    assert (tuned.epochs, tuned.validation_nll) == (0, 5.0)
    assert tuned.history["epoch"].tolist() == [0, 1, 2], "two epochs without a better loss are enough"
    assert np.array_equal(log_likelihood(replace(tiny, model=tuned.model), toy, validation), wanted)


def test_a_loss_that_is_no_number_is_never_the_best(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([5.0, math.nan, 4.0, math.nan])
    monkeypatch.setattr(lora._Trainer, "validate", lambda self: next(losses))
    tuned = tune(tiny, toy, train, validation)
    assert (tuned.epochs, tuned.validation_nll) == (2, 4.0)


def test_the_first_rung_is_for_all_and_the_rest_for_the_best(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    rates = (1e-5, 1e-2, 1e-4)
    steps: list[tuple[str, int, int]] = []
    settings, train = replace(QUICK, learning_rates=rates, epochs=6, patience=6), train.head(8)
    tuned = fine_tune(tiny, toy, train, validation, settings, 1, progress=lambda *step: steps.append(step))
    assert tuned.learning_rate == 1e-2
    epochs = tuned.history.groupby("learning_rate")["epoch"].apply(list).to_dict()
    assert epochs == {1e-5: [0, 1, 2], 1e-4: [0, 1, 2], 1e-2: [0, 1, 2, 3, 4, 5, 6]}
    after = tuned.history.query("epoch <= 2").groupby("learning_rate")["validation_nll"].min()
    assert after.idxmin() == 1e-2
    total = math.ceil(len(train) / 4) * (2 * 3 + 4)
    assert [(done, of) for _, done, of in steps] == [(k + 1, total) for k in range(total)]
    assert steps[0][0].startswith("learning rate 1e-05, epoch 1, loss ")


def test_a_candidate_goes_on_as_if_it_had_not_been_interrupted(
    toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted = tune(load_model("tiny-random"), toy, train, validation, learning_rates=(1e-2, 1e-4))
    monkeypatch.setattr(TuningSettings, "first_rung", lambda settings, rows: settings.epochs_for(rows))
    through = tune(load_model("tiny-random"), toy, train, validation)
    own = interrupted.history.query("learning_rate == 0.01").reset_index(drop=True)
    pd.testing.assert_frame_equal(own, through.history, rtol=1e-6)


def test_training_stops_when_patience_is_over(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([9.0, 8.0, 7.0, 7.5, 7.0, 1.0])
    monkeypatch.setattr(lora._Trainer, "validate", lambda self: next(losses))
    tuned = tune(tiny, toy, train, validation, epochs=9, patience=2)
    assert tuned.history["validation_nll"].tolist() == [9.0, 8.0, 7.0, 7.5, 7.0]
    assert (tuned.epochs, tuned.validation_nll) == (2, 7.0)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_learning_rate_is_that_of_the_schedule(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch,
    schedule: Any,
) -> None:  # fmt: skip
    seen: list[float] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: seen.append(self.param_groups[0]["lr"]) or step(self))
    tune(tiny, toy, train, validation, warmup=6, schedule=schedule)
    # The rise is longer than an epoch of four steps, and the first rung is one epoch.
    fall = [0.5 * (1 + math.cos(math.pi * k / 12)) if schedule == "cosine" else 1 for k in range(1, 13)]
    np.testing.assert_allclose(seen, [1e-2 * min(1, k / 6) * fall[k - 1] for k in range(1, 13)], atol=1e-18)


def test_equal_seeds_give_equal_adapters_and_others_do_not(
    toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(runs))  # of no concern
        runs.append(tune(load_model("tiny-random"), toy, train.head(8), validation.head(2), seed=seed, epochs=2))
    first, again, other = ([*weights_of(run.model).values()] for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    pd.testing.assert_frame_equal(runs[0].history, runs[1].history)
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_order_of_people_is_that_of_the_seed_and_the_epoch(
    toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(lora, "example_of", lambda encoder, person: person["participant"])
    monkeypatch.setattr(lora, "accumulate_gradient", lambda model, examples, at_a_time: read.extend(examples) or 1.0)
    orders = []
    for seed in (1, 1, 2):
        read.clear()
        tune(load_model("tiny-random"), toy, train, validation, seed=seed, epochs=2)
        orders += [read[:14], read[14:]]
    assert all(sorted(order) == train["participant"].tolist() for order in orders)
    assert orders[:2] == orders[2:4]
    assert len({tuple(order) for order in orders}) == 4


def test_dropout_is_left_out(toy: Study, train: pd.DataFrame, validation: pd.DataFrame) -> None:
    sizes = {**GPT, "head": "LMHeadModel", "resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5}
    histories = []
    for number in range(2):
        torch.manual_seed(number)
        histories.append(tune(random_model("GPT2", **sizes), toy, train, validation, epochs=1).history)
    pd.testing.assert_frame_equal(*histories)


def test_the_base_weights_stay_as_they_are(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    def sums(model: Any) -> list[str]:
        kept = [weight for name, weight in model.named_parameters() if "lora" not in name]
        return sorted(hashlib.sha256(weight.detach().numpy().tobytes()).hexdigest() for weight in kept)

    before = sums(tiny.model)
    tuned = tune(tiny, toy, train, validation)
    assert sums(tuned.model) == before
    assert {name for name, weight in tuned.model.named_parameters() if weight.requires_grad} == set(
        weights_of(tuned.model)
    )
    # On all linear layers: seven in each of the two blocks, with two matrices each.
    assert len(weights_of(tuned.model)) == 2 * 7 * 2


def test_the_persona_is_left_out_of_training_too(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    wanted = log_likelihood(tiny, toy, validation, wording=Wording(with_persona=False)).sum(axis=1).mean()
    tuned = fine_tune(tiny, toy, train, validation, replace(QUICK, epochs=1), 1, wording=Wording(with_persona=False))
    assert tuned.history["validation_nll"].iloc[0] == pytest.approx(-wanted, rel=1e-6)


def test_an_adapter_is_not_put_onto_an_adapter(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    tune(tiny, toy, train, validation, epochs=1)
    with pytest.raises(InputError, match="'tiny-random' has an adapter already; load it anew"):
        tune(tiny, toy, train, validation, epochs=1)


def test_the_model_is_looked_at_once(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[pd.DataFrame] = []
    look = lora.respondent
    monkeypatch.setattr(lora, "respondent", lambda *given: seen.append(given[2]) or look(*given))
    tune(tiny, toy, train, validation)
    assert [len(table) for table in seen] == [len(train) + len(validation)]


@pytest.mark.parametrize(
    ("architecture", "sizes"), [("Mistral", {"sliding_window": 64}), ("GPTJ", {**GPT, "rotary_dim": 4})]
)
def test_a_model_that_is_read_plainly_is_trained_too(
    toy: Study, train: pd.DataFrame, validation: pd.DataFrame, architecture: str, sizes: dict[str, Any]
) -> None:
    model, some = random_model(architecture, **sizes), validation.head(1)
    encoder = Encoder(toy, model.tokenizer)

    def plainly(language_model: LanguageModel) -> float:
        logs = [plain_likelihood(language_model, encoder, person)[0].sum() for person in some.to_dict("records")]
        return -float(np.mean(logs))

    before = plainly(model)
    with pytest.warns(PlainReadingWarning, match=f"'{architecture}' is read plainly"):
        tuned = tune(model, toy, train.head(6), some, epochs=2)
    assert tuned.history["validation_nll"].iloc[0] == pytest.approx(before, rel=1e-5)
    assert tuned.epochs > 0 and tuned.validation_nll < before - 1
    assert plainly(replace(model, model=tuned.model)) == pytest.approx(tuned.validation_nll, rel=1e-5)


def test_the_two_ways_to_read_train_alike(toy: Study, train: pd.DataFrame, validation: pd.DataFrame) -> None:
    usual = tune(random_model(num_hidden_layers=1), toy, train.head(8), validation.head(2), epochs=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lora, "respondent", lambda model, encoder, people: lora.Respondent(model, encoder, plain=True))
        plain = tune(random_model(num_hidden_layers=1), toy, train.head(8), validation.head(2), epochs=2)
    # Gradients agree to five digits, and few steps carry the difference on.
    pd.testing.assert_frame_equal(usual.history, plain.history, rtol=1e-3)


@pytest.mark.parametrize("at_a_time", [1, 4])
def test_how_many_gradients_are_computed_together_does_not_matter(
    toy: Study, train: pd.DataFrame, validation: pd.DataFrame, at_a_time: int
) -> None:
    wanted = tune(
        random_model(num_hidden_layers=1), toy, train.head(8), validation.head(2), epochs=2, at_a_time=3
    ).history
    got = tune(
        random_model(num_hidden_layers=1), toy, train.head(8), validation.head(2), epochs=2, at_a_time=at_a_time
    ).history
    pd.testing.assert_frame_equal(got, wanted, rtol=1e-3)


def test_least_steps_are_taken(tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame) -> None:
    tuned = tune(tiny, toy, train.head(6), validation, epochs=1, least_steps=7, patience=9)
    assert tuned.history["epoch"].max() == 4  # of two steps
