"""Adapters as files: saved with their card, and put back onto the base model they belong to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import SafetensorError

from pilotlm.answering.adapters import CARD
from pilotlm.answering.models import LanguageModel
from pilotlm.answering.tuning import Tuned
from pilotlm.errors import InputError
from pilotlm.records import whole_folder, write_json


def save_adapter(tuned: Tuned, folder: Path, language_model: LanguageModel, facts: dict[str, Any]) -> None:
    """Write an adapter with its card, whole.

    Parameters
    ----------
    tuned : Tuned
        What to write.
    folder : Path
        Where.
    language_model : LanguageModel
        The base model; the adapter fits no other.
    facts : dict
        What else the card says: study, arm, seed, the pilot's checksum, settings.
    """
    card = {
        "base_model": language_model.name,
        "base_revision": language_model.revision,
        "learning_rate": tuned.learning_rate,
        "epochs": tuned.epochs,
        "validation_nll": tuned.validation_nll,
        **facts,
    }
    with whole_folder(folder) as temporary:
        tuned.model.save_pretrained(temporary, safe_serialization=True)
        _in_one_order(temporary / "adapter_config.json")
        tuned.history.to_csv(temporary / "history.csv", index=False, lineterminator="\n")
        write_json(temporary / CARD, card)
        (temporary / "README.md").write_text(_card_text(card), encoding="utf-8")


def with_adapter(language_model: LanguageModel, folder: Path, card: dict[str, Any]) -> LanguageModel:
    """The base model with an adapter merged into its weights.

    Parameters
    ----------
    language_model : LanguageModel
        The base model; it is changed in place, so load it anew for another adapter.
    folder : Path
        Where the adapter lies.
    card : dict
        Its card.

    Returns
    -------
    LanguageModel

    Raises
    ------
    InputError
        If the adapter was trained on another model or revision.
    """
    asked, trained = (language_model.name, language_model.revision), (card["base_model"], card["base_revision"])
    if asked != trained:
        raise InputError(
            f"The adapter in {folder} was trained on {trained[0]} at {trained[1]}, not on {asked[0]} at {asked[1]}; "
            "fine-tune again or ask for its own base model."
        )
    lacking = [name for name in ("adapter_config.json", "adapter_model.safetensors") if not (folder / name).is_file()]
    if lacking:
        raise InputError(f"The adapter in {folder} lacks {' and '.join(lacking)}; fine-tune again.")
    try:
        merged = PeftModel.from_pretrained(language_model.model, folder).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise InputError(
            f"The adapter in {folder} cannot be read ({str(error).splitlines()[0]}); fine-tune again."
        ) from None
    return replace(language_model, model=merged.eval())


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
    write_json(path, settings)
