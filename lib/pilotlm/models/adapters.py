"""Adapters as files: saved with their card, and put back onto the base model they belong to.

An adapter's folder may come from a stranger. Of its settings only the rank, the scale and the names of the layers are
used; any other setting that is not PEFT's own default is refused, because settings can name other files, other models
and other kinds of weights to load. The weights are safetensors, must be those that the settings ask for, and numbers.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from pilotlm.arms import Arm
from pilotlm.errors import InputError, shown
from pilotlm.models.loading import LanguageModel
from pilotlm.models.lora import Tuned
from pilotlm.records import Places, whole_folder, write_json

CARD = "pilotlm.json"
_NEEDED = ("base_model", "base_revision", "study", "arm", "seed")
LARGEST_RANK = 1024
_LAYER = re.compile(r"[A-Za-z0-9_.]{1,200}\Z")
_USED = ("r", "lora_alpha", "target_modules")
_WITHOUT_EFFECT = ("base_model_name_or_path", "inference_mode", "peft_version", "revision", "auto_mapping")


def read_card(places: Places, arm: Arm, seed: int) -> dict[str, Any] | None:
    """Read the card of an arm's adapter; None for an arm that has none.

    Raises
    ------
    InputError
        If the adapter is missing, its card cannot be read, or it belongs to something else.
    """
    if not arm.adapter:
        return None
    path = places.adapter(arm.adapter, seed) / CARD
    if not path.is_file():
        raise InputError(
            f"The arm '{arm.name}' of study '{places.study}' has no adapter for seed {seed} in run '{places.run}': run "
            f"02-finetune with the parameters run={places.run} study={places.study} arm={arm.adapter} seed={seed} "
            "first."
        )
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise InputError(f"{path} is not a readable card; remove the adapter's folder and fine-tune again.") from None
    missing = [name for name in _NEEDED if not isinstance(card, dict) or name not in card]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; remove the adapter's folder and fine-tune again.")
    found, wanted = (card["study"], card["arm"], card["seed"]), (places.study, arm.adapter, seed)
    if found != wanted:
        foreign = shown(str(found), quotes=False)
        raise InputError(f"{path} is the card of {foreign}, not of {wanted}; remove the folder and fine-tune again.")
    return dict(card)


def save_adapter(tuned: Tuned, folder: Path, language_model: LanguageModel, facts: dict[str, Any]) -> None:
    """Write an adapter with its card, whole, into a folder.

    The adapter fits no other base model than ``language_model``; ``facts`` are what else the card says: study, arm,
    seed, the pilot's checksum, settings.
    """
    card = {
        "base_model": language_model.name,
        "base_revision": language_model.revision,
        "learning_rate": tuned.settings.learning_rate,
        "epochs": tuned.settings.epochs,
        **facts,
    }
    with whole_folder(folder) as temporary:
        tuned.model.save_pretrained(temporary, safe_serialization=True)
        _in_one_order(temporary / "adapter_config.json")
        tuned.history.to_csv(temporary / "history.csv", index=False, lineterminator="\n")
        write_json(temporary / CARD, card)
        (temporary / "README.md").write_text(_card_text(card), encoding="utf-8")


def with_adapter(language_model: LanguageModel, folder: Path, card: dict[str, Any]) -> LanguageModel:
    """The base model with the adapter of a folder merged into its weights.

    The base model is changed in place, so load it anew for another adapter.

    Raises
    ------
    InputError
        If the adapter was trained on another model or revision, or its folder is not what `save_adapter` writes.
    """
    asked, trained = (language_model.name, language_model.revision), (card["base_model"], card["base_revision"])
    if asked != trained:
        other = " at ".join(shown(str(part), quotes=False) for part in trained)
        raise InputError(
            f"The adapter in {folder} was trained on {other}, not on {asked[0]} at {asked[1]}; fine-tune again or ask "
            "for its own base model."
        )
    lacking = [name for name in ("adapter_config.json", "adapter_model.safetensors") if not (folder / name).is_file()]
    if lacking:
        raise InputError(f"The adapter in {folder} lacks {' and '.join(lacking)}; fine-tune again.")
    config = _settings_of(folder)
    try:
        weights = load_file(folder / "adapter_model.safetensors")
        with torch.random.fork_rng():  # PEFT draws weights, which are then replaced
            model = get_peft_model(language_model.model, config)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise _unreadable(folder, str(error).strip().split("\n")[0]) from None
    _check_weights(folder, weights, get_peft_model_state_dict(model))
    set_peft_model_state_dict(model, weights)
    merged: Any = cast(PeftModel, model).merge_and_unload()
    return replace(language_model, model=merged.eval())


def _settings_of(folder: Path) -> LoraConfig:
    """An adapter's settings, made from its rank, scale and layers alone."""
    try:
        given = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        rank, alpha, layers = (given[name] for name in _USED)
        good = all(type(number) is int and number > 0 for number in (rank, alpha)) and rank <= LARGEST_RANK
        good = good and isinstance(layers, list) and all(isinstance(x, str) and _LAYER.match(x) for x in layers)
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if not good:
        raise _unreadable(
            folder,
            f"adapter_config.json needs whole numbers r (1 to {LARGEST_RANK}) and lora_alpha, and target_modules, a "
            "list of layers' names",
        )
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=layers, task_type="CAUSAL_LM")
    usual = config.to_dict()
    for name, value in given.items():
        if name not in (*_USED, *_WITHOUT_EFFECT) and value != usual.get(name):
            raise _unreadable(
                folder, f"adapter_config.json sets {shown(name)}, which only PEFT's default is allowed for"
            )
    return config


def _check_weights(folder: Path, found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Refuse weights that are not those of the settings: PEFT would leave what is missing as it was drawn."""
    for what, names in {"lacks": set(wanted) - set(found), "holds the foreign": set(found) - set(wanted)}.items():
        if names:
            raise _unreadable(folder, f"its safetensors file {what} tensor {shown(min(names))}")
    for name, weight in found.items():
        if weight.shape != wanted[name].shape:
            shapes = f"{tuple(weight.shape)}, not {tuple(wanted[name].shape)}"
            raise _unreadable(folder, f"its tensor {shown(name)} has the shape {shapes}")
        if not torch.isfinite(weight).all():
            raise _unreadable(folder, f"its tensor {shown(name)} holds what is no number")


def _unreadable(folder: Path, why: str) -> InputError:
    return InputError(f"The adapter in {folder} cannot be read ({why}); fine-tune again.")


def _card_text(card: dict[str, Any]) -> str:
    lines = "\n".join(f"- {key}: {value}" for key, value in sorted(card.items()))
    return (
        "# Adapter\n\nA LoRA adapter fine-tuned on a pilot sample. It holds what it learnt of these people's answers: "
        f"treat it as you treat the data.\n\n{lines}\n"
    )


def _in_one_order(path: Path) -> None:
    """Write an adapter's settings anew: names that are a set come in another order at each start of Python."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["target_modules"] = sorted(settings["target_modules"])
    settings["base_model_name_or_path"] = None  # the card names the model; this is a folder of this machine
    write_json(path, settings)
