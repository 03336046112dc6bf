from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_reading import random_model

from pilotlm.answering import tuning
from pilotlm.answering.encoding import Encoder
from pilotlm.answering.models import LanguageModel, load_model
from pilotlm.answering.sampling import log_likelihood
from pilotlm.answering.tuning import TuningSettings, accumulate_gradient, fine_tune, save_adapter, with_adapter
from pilotlm.errors import InputError
from pilotlm.study import Study

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning"),  # GPT-2's layers are written the other way round
    pytest.mark.filterwarnings("ignore:The following .*_pattern keys:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),  # of training that has run away
]

QUICK = TuningSettings(learning_rates=(1e-2,), epochs=3, least_steps=0, patience=3, batch=4, rank=2, alpha=4)


@pytest.fixture
def tiny() -> LanguageModel:
    """Loaded anew for each test: an adapter is put into the model itself."""
    return load_model("tiny-random")


@pytest.fixture(scope="module")
def uneven(toy_content: dict[str, Any]) -> Study:
    """The toy study with scenarios of different lengths."""
    content = copy.deepcopy(toy_content)
    content["treatments"][1]["scenario"] = "A bell rings, people shout in the street, and there is a smell of smoke."
    return Study.model_validate(content)


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    return draw_toy_people(20, 4)


@pytest.fixture(scope="module")
def train(people: pd.DataFrame) -> pd.DataFrame:
    return people.iloc[:14].reset_index(drop=True)


@pytest.fixture(scope="module")
def validation(people: pd.DataFrame) -> pd.DataFrame:
    return people.iloc[14:].reset_index(drop=True)


# The gradient.


def adapted(language_model: LanguageModel) -> Any:
    """The model with an adapter that already does something."""
    model = tuning._with_new_adapter(language_model.model, QUICK, 1).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) / 10)
    return model


def gradient(model: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def plain_loss(model: Any, encoder: Encoder, persons: list[dict[str, Any]]) -> Any:
    """The mean cross-entropy of the answers' tokens, participants read one by one as whole texts."""
    losses = []
    for person in persons:
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


def check_gradient(language_model: LanguageModel, study: Study, people: pd.DataFrame, at_a_time: int) -> None:
    encoder = Encoder(study, language_model.tokenizer)
    persons = people.to_dict("records")
    model = adapted(language_model)
    wanted_loss = plain_loss(model, encoder, persons)
    wanted_loss.backward()
    wanted = gradient(model).clone()
    model.zero_grad()
    loss = accumulate_gradient(model, [tuning._example(encoder, person) for person in persons], at_a_time)
    assert loss == pytest.approx(wanted_loss.item(), rel=1e-6)
    assert wanted.norm() > 1e-3
    assert (gradient(model) - wanted).norm() / wanted.norm() < 1e-5


@pytest.mark.parametrize("at_a_time", [1, 3, 8])
def test_the_gradient_is_that_of_participants_read_one_by_one(
    tiny: LanguageModel, uneven: Study, people: pd.DataFrame, at_a_time: int
) -> None:
    some = people.iloc[[0, 1, 2, 3, 4, 5, 6, 0]]  # one of them twice
    assert some["treatment"].nunique() == 2
    check_gradient(random_model(tiny), uneven, some, at_a_time)


def test_the_gradient_of_tiny_random(tiny: LanguageModel, uneven: Study, people: pd.DataFrame) -> None:
    check_gradient(tiny, uneven, people.head(5), 2)


def test_the_gradient_of_one_participant(tiny: LanguageModel, uneven: Study, people: pd.DataFrame) -> None:
    check_gradient(random_model(tiny), uneven, people.head(1), 2)


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [
        ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "head": "LMHeadModel"}),
        ("Gemma2", {"head_dim": 8}),
        ("Qwen3", {"head_dim": 8}),
        ("GPTNeoX", {}),
        ("Mixtral", {"num_local_experts": 2}),
    ],
)
def test_the_gradient_of_other_architectures(
    tiny: LanguageModel, uneven: Study, people: pd.DataFrame, architecture: str, sizes: dict[str, Any]
) -> None:
    check_gradient(random_model(tiny, architecture, **sizes), uneven, people.head(4), 3)


def test_gradients_are_added(tiny: LanguageModel, uneven: Study, people: pd.DataFrame) -> None:
    encoder, model = Encoder(uneven, tiny.tokenizer), adapted(tiny)
    examples = [tuning._example(encoder, person) for person in people.head(3).to_dict("records")]
    accumulate_gradient(model, examples)
    once = gradient(model).clone()
    accumulate_gradient(model, examples)
    assert torch.allclose(gradient(model), 2 * once, rtol=1e-5)


def test_only_the_tokens_of_answers_count(tiny: LanguageModel, uneven: Study, people: pd.DataFrame) -> None:
    encoder = Encoder(uneven, tiny.tokenizer)
    for person in people.head(4).to_dict("records"):
        example = tuning._example(encoder, person)
        own = example.pieces[2]
        words = {0: "stay", 1: "leave", 2: "call"}
        answers = [person["fear"], person["odds_none"], person["odds_small"], words[person["leave"]]]
        # The last part of the allocation follows from the others and is not asked.
        assert tiny.tokenizer.decode([own[k] for k in example.targets]) == "".join(f" {a}\n" for a in answers)
        assert sum(example.pieces, ())[: -len(own)] == encoder.prompt(person).shared + encoder.prompt(person).scenario


def test_what_is_not_an_answer_is_not_learnt(tiny: LanguageModel, uneven: Study, people: pd.DataFrame) -> None:
    model, encoder = adapted(tiny), Encoder(uneven, tiny.tokenizer)
    example = tuning._example(encoder, people.iloc[0].to_dict())
    # With no answer to count but the last line end, nothing but its own probability is pushed.
    last = replace(example, targets=example.targets[-1:])
    loss = accumulate_gradient(model, [last])
    text = torch.tensor([sum(example.pieces, ())])
    logp = model(text).logits[0].double().log_softmax(-1)
    assert loss == pytest.approx(-float(logp[-2, text[0, -1]].detach()), rel=1e-6)


# Training.


def tune(language_model: LanguageModel, study: Study, *parts: pd.DataFrame, **changes: Any) -> tuning.Tuned:
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
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    wanted = log_likelihood(tiny, toy, validation)
    tuned = tune(tiny, toy, train, validation, learning_rates=(1e3,), patience=2)
    assert tuned.epochs == 0
    assert tuned.history["epoch"].tolist() == [0, 1, 2], "two epochs without a better loss are enough"
    assert tuned.validation_nll == tuned.history["validation_nll"].iloc[0]
    assert not (tuned.history["validation_nll"].iloc[1:] < tuned.validation_nll).any()
    assert np.array_equal(log_likelihood(replace(tiny, model=tuned.model), toy, validation), wanted)


def test_a_loss_that_is_no_number_is_never_the_best(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([5.0, math.nan, 4.0, math.nan])
    monkeypatch.setattr(tuning._Trainer, "validate", lambda self: next(losses))
    tuned = tune(tiny, toy, train, validation)
    assert (tuned.epochs, tuned.validation_nll) == (2, 4.0)


def test_the_first_rung_is_for_all_and_the_rest_for_the_best(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    rates = (1e-5, 1e-2, 1e-4)
    steps: list[tuple[str, int, int]] = []
    settings = replace(QUICK, learning_rates=rates, epochs=6, patience=6)
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
    monkeypatch.setattr(tuning._Trainer, "validate", lambda self: next(losses))
    tuned = tune(tiny, toy, train, validation, epochs=9, patience=2)
    assert tuned.history["validation_nll"].tolist() == [9.0, 8.0, 7.0, 7.5, 7.0]
    assert (tuned.epochs, tuned.validation_nll) == (2, 7.0)


def test_the_learning_rate_rises_and_then_stays(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: seen.append(self.param_groups[0]["lr"]) or step(self))
    tune(tiny, toy, train, validation, warmup=6)  # longer than an epoch of four steps, and the first rung is one
    wanted = [1e-2 * min(1, k / 6) for k in range(1, 13)]
    np.testing.assert_allclose(seen, wanted)


def test_equal_seeds_give_equal_adapters_and_others_do_not(
    toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(runs))  # of no concern
        runs.append(tune(load_model("tiny-random"), toy, train, validation, seed=seed, epochs=2))
    first, again, other = ([*weights_of(run.model).values()] for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    pd.testing.assert_frame_equal(runs[0].history, runs[1].history)
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_order_of_people_is_that_of_the_seed_and_the_epoch(
    toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(tuning, "_example", lambda encoder, person: person["participant"])
    monkeypatch.setattr(tuning, "accumulate_gradient", lambda model, examples: read.extend(examples) or 1.0)
    orders = []
    for seed in (1, 1, 2):
        read.clear()
        tune(load_model("tiny-random"), toy, train, validation, seed=seed, epochs=2)
        orders += [read[:14], read[14:]]
    assert all(sorted(order) == train["participant"].tolist() for order in orders)
    assert orders[:2] == orders[2:4]
    assert len({tuple(order) for order in orders}) == 4


def test_dropout_is_left_out(tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame) -> None:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "head": "LMHeadModel", "resid_pdrop": 0.5, "embd_pdrop": 0.5}
    histories = []
    for number in range(2):
        torch.manual_seed(number)
        histories.append(tune(random_model(tiny, "GPT2", **sizes), toy, train, validation, epochs=1).history)
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
    wanted = log_likelihood(tiny, toy, validation, with_persona=False).sum(axis=1).mean()
    tuned = fine_tune(tiny, toy, train, validation, replace(QUICK, epochs=1), 1, with_persona=False)
    assert tuned.history["validation_nll"].iloc[0] == pytest.approx(-wanted, rel=1e-6)


def test_an_adapter_is_not_put_onto_an_adapter(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    tune(tiny, toy, train, validation, epochs=1)
    with pytest.raises(InputError, match="'tiny-random' has an adapter already; load it anew"):
        tune(tiny, toy, train, validation, epochs=1)


def test_a_model_that_cannot_be_read_in_pieces_is_refused_before_training(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    model = random_model(tiny, "Mistral", sliding_window=64)
    with pytest.raises(InputError, match="'Mistral' cannot be used on study 'toy'"):
        tune(model, toy, train, validation)
    assert not hasattr(model.model, "peft_config")


def test_the_check_is_made_once(
    tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[pd.DataFrame] = []
    monkeypatch.setattr(tuning, "check_reading", lambda model, encoder, people: seen.append(people))
    tune(tiny, toy, train, validation)
    assert [len(table) for table in seen] == [len(train) + len(validation)]


# Settings.


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        *[({name: 0}, f"The tuning setting '{name}' must be at least 1, got 0.")
          for name in ("epochs", "patience", "batch", "rank", "alpha")],
        *[({name: -1}, f"The tuning setting '{name}' must be at least 0, got -1.")
          for name in ("least_steps", "warmup")],
        *[({"learning_rates": rates}, f"The learning rates must be numbers above 0, got {list(rates)}.")
          for rates in ((), (0.0,), (1e-3, -1e-3), (math.nan,), (1e-3, math.inf))],
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        TuningSettings(**change)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("rows", "epochs", "least_steps", "wanted", "rung"),
    [
        (80, 4, 24, 4, 2),  # ten steps an epoch
        (8, 4, 24, 24, 8),  # one step an epoch
        (9, 4, 24, 12, 4),  # two
        (1, 1, 0, 1, 1),
        (80, 3, 0, 3, 1),
        (80, 1, 31, 4, 2),
    ],
)
def test_a_small_pilot_is_given_more_epochs(rows: int, epochs: int, least_steps: int, wanted: int, rung: int) -> None:
    settings = TuningSettings(epochs=epochs, least_steps=least_steps, batch=8)
    assert (settings.epochs_for(rows), settings.first_rung(rows)) == (wanted, rung)


def test_least_steps_are_taken(tiny: LanguageModel, toy: Study, train: pd.DataFrame, validation: pd.DataFrame) -> None:
    tuned = tune(tiny, toy, train.head(6), validation, epochs=1, least_steps=7, patience=9)
    assert tuned.history["epoch"].max() == 4  # of two steps


# The adapter as files.


@pytest.fixture(scope="module")
def saved(
    cache: Path, tmp_path_factory: pytest.TempPathFactory, toy: Study, train: pd.DataFrame, validation: pd.DataFrame
) -> tuple[Path, tuning.Tuned]:
    folder = tmp_path_factory.mktemp("adapters") / "arm-s1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_CACHE", str(cache))
        base = load_model("tiny-random")
    tuned = tune(base, toy, train, validation)
    save_adapter(tuned, folder, base, {"study": "toy", "arm": "arm", "seed": 1})
    return folder, tuned


def card_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "pilotlm.json").read_text(encoding="utf-8")))


def test_an_adapter_answers_the_same_after_it_was_saved(
    tiny: LanguageModel, saved: tuple[Path, tuning.Tuned], toy: Study, people: pd.DataFrame
) -> None:
    folder, tuned = saved
    assert tuned.epochs > 0
    wanted = log_likelihood(replace(tiny, model=tuned.model), toy, people)
    before = log_likelihood(tiny, toy, people)
    merged = with_adapter(tiny, folder, card_of(folder))
    # Merged weights are rounded once more, to seven digits.
    np.testing.assert_allclose(log_likelihood(merged, toy, people), wanted, atol=1e-5)
    assert np.abs(wanted - before).max() > 1e-2
    assert (merged.name, merged.revision) == (tiny.name, tiny.revision)
    assert not merged.model.training and not weights_of(merged.model)


def test_the_folder_of_an_adapter_says_what_it_is(saved: tuple[Path, tuning.Tuned]) -> None:
    folder, tuned = saved
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "history.csv", "pilotlm.json",
    }  # fmt: skip
    assert card_of(folder) == {
        "base_model": "tiny-random", "base_revision": "random weights, seed 0", "study": "toy", "arm": "arm", "seed": 1,
        "learning_rate": tuned.learning_rate, "epochs": tuned.epochs, "validation_nll": tuned.validation_nll,
    }  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), tuned.history)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "treat it as you treat the data" in text and "- study: toy\n" in text


def test_saving_takes_the_place_of_what_was_there(saved: tuple[Path, tuning.Tuned], tiny: LanguageModel) -> None:
    _, tuned = saved
    folder = saved[0].parent / "again"
    folder.mkdir()
    (folder / "left.over").write_text("old")
    save_adapter(tuned, folder, tiny, {})
    assert not (folder / "left.over").exists() and "study" not in card_of(folder)


@pytest.mark.parametrize("asked", [{"name": "other"}, {"revision": "random weights, seed 1"}])
def test_another_base_model_is_refused(
    tiny: LanguageModel, saved: tuple[Path, tuning.Tuned], asked: dict[str, str]
) -> None:
    folder, _ = saved
    other = replace(tiny, **asked)
    with pytest.raises(InputError) as error:
        with_adapter(other, folder, card_of(folder))
    assert str(error.value) == (
        f"The adapter in {folder} was trained on tiny-random at random weights, seed 0, not on {other.name} at "
        f"{other.revision}; fine-tune again or ask for its own base model."
    )
    assert not hasattr(tiny.model, "peft_config")


def _shorten(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])


BROKEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "the end of the weights is missing": ("cannot be read", lambda f: _shorten(f / "adapter_model.safetensors", 100)),
    "there is no weight": ("cannot be read", lambda f: (f / "adapter_model.safetensors").write_bytes(b"")),
    "no weights": ("lacks adapter_model.safetensors", lambda f: (f / "adapter_model.safetensors").unlink()),
    "pickled weights": (
        "lacks adapter_model.safetensors", lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"),
    ),
    "no settings": ("lacks adapter_config.json", lambda f: (f / "adapter_config.json").unlink()),
    "empty settings": ("cannot be read", lambda f: (f / "adapter_config.json").write_text("{}")),
    "half of the settings": ("cannot be read", lambda f: _shorten(f / "adapter_config.json", 50)),
    "another rank": (
        "cannot be read",
        lambda f: (f / "adapter_config.json").write_text(
            json.dumps({**json.loads((f / "adapter_config.json").read_text()), "r": 3})
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_adapter_is_refused_in_a_sentence(
    tiny: LanguageModel, saved: tuple[Path, tuning.Tuned], tmp_path: Path, what: str
) -> None:
    sentence, break_it = BROKEN[what]
    folder = tmp_path / "adapter"
    shutil.copytree(saved[0], folder)
    break_it(folder)
    with pytest.raises(InputError, match=sentence) as error:
        with_adapter(tiny, folder, card_of(folder))
    assert str(error.value).startswith(f"The adapter in {folder} ") and str(error.value).endswith("; fine-tune again.")
    assert "\n" not in str(error.value)
