"""A model that is spread over devices answers as it does on one; without a GPU the second device is the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from plain import GPT, random_model
from transformers import AutoModelForCausalLM

from pilotlm.answering import models, placement
from pilotlm.answering.encoding import Encoder
from pilotlm.answering.placement import spread
from pilotlm.answering.respondent import respondent
from pilotlm.answering.sampling import given_law
from pilotlm.study import Study

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {},
    "Gemma2": {"head_dim": 8, "attn_logit_softcapping": 1.0},
    "GPT2": {**GPT, "head": "LMHeadModel"},
    "GPTNeoX": {},
    "OPT": {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.2},
    "Phi3": {},
}


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    return draw_toy_people(6, 3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_has_one_place_and_layers_are_shared_evenly(architecture: str) -> None:
    model = random_model(architecture, **{**ARCHITECTURES[architecture]}).model
    places = spread(model, ["first", "second"])
    for name, _ in [*model.named_parameters(), *model.named_buffers()]:
        assert sum(name == place or name.startswith(f"{place}.") for place in places) == 1, name
    layers = [device for place, device in places.items() if place.rsplit(".", 1)[-1].isdigit()]
    assert layers == ["first", "second"]
    assert {device for place, device in places.items() if not place.rsplit(".", 1)[-1].isdigit()} == {"first"}


def test_five_layers_on_two_devices() -> None:
    places = spread(random_model("Llama", num_hidden_layers=5).model, [0, 1])
    assert [places[f"model.layers.{k}"] for k in range(5)] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_that_is_spread_answers_as_the_whole_one(
    toy: Study, people: pd.DataFrame, tmp_path: Path, architecture: str
) -> None:
    whole = random_model(architecture, **{**ARCHITECTURES[architecture]})
    whole.model.save_pretrained(tmp_path / "model")
    parts = AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", device_map=spread(whole.model, ["cpu", "disk"]), offload_folder=tmp_path / "second"
    )
    assert any(weight.device.type == "meta" for weight in parts.parameters()), "nothing lies on the second device"
    encoder = Encoder(toy, whole.tokenizer)
    answering = [respondent(each, encoder, people) for each in (whole, replace(whole, model=parts.eval()))]
    assert [each.plain for each in answering] == [False, False]
    ours, theirs = (given_law(each, people).log_probability for each in answering)
    np.testing.assert_array_equal(ours, theirs)
    assert np.abs(ours).max() > 0.5


@pytest.mark.parametrize(("gpus", "free", "spreads"), [(0, 0, False), (1, 0, False), (2, 1, True), (2, 10**12, False)])
def test_only_what_one_of_several_gpus_cannot_hold_is_spread(
    monkeypatch: pytest.MonkeyPatch, gpus: int, free: int, spreads: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, free))
    folder, _ = models.check_model(models.TINY)
    found = placement.placement(folder, torch.float32, {"local_files_only": True})
    assert (found != {}) == spreads
    if spreads:
        assert set(found["device_map"].values()) == {0, 1} and found["device_map"]["model.embed_tokens"] == 0


def test_half_of_a_gpu_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = models.check_model(models.TINY)
    weights = sum(w.numel() for w in AutoModelForCausalLM.from_pretrained(folder).parameters())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for free, spreads in ((4 * weights, True), (8 * weights, False)):  # four bytes a weight
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, free))
        assert (placement.placement(folder, torch.float32, {}) != {}) == spreads


def test_a_model_without_a_list_of_its_layers_stays_on_one() -> None:
    model = random_model("Llama").model
    model.config.num_hidden_layers = 9
    assert spread(model, [0, 1]) == {"": 0}
