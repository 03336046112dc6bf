"""Answers written as free text, as in papers that let a model write and then parse what comes.

The model writes each answer behind the label of its line, by `generate` of transformers, without top-k or top-p. What
it writes up to the end of the line must be a valid answer as the study writes it, spaces around it forgiven; nothing is
repaired. A form with a line that is no valid answer is lost, so that participants are lost, and not at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, GenerationConfig

from pilotlm.data.prompts import Slot
from pilotlm.errors import InputError
from pilotlm.models.encoding import EncodedSlot
from pilotlm.models.loading import LanguageModel
from pilotlm.models.simulate import Progress, Respondent
from pilotlm.randomness import torch_seed
from pilotlm.responses import records, valid_mass_column


@dataclass(frozen=True)
class FreeText:
    """Answers from forms that could be read, and what failed.

    Attributes
    ----------
    answers : DataFrame
        The table of `pilotlm.models.simulate.answer_as`, with the rows whose form could be read. The valid masses
        are missing: free text does not tell them.
    kept : (people * draws,) bool array
        Which rows of that table there are; the draws of a participant stand together.
    failures : DataFrame
        One row a form that failed: whose, the column of the line, and what the model wrote there.
    """

    answers: pd.DataFrame
    kept: NDArray[np.bool_]
    failures: pd.DataFrame

    def facts(self) -> dict[str, Any]:
        """What the manifest says: how many forms were written and how many failed, by line."""
        failed = self.failures["column"].value_counts(sort=False)
        return {
            "forms_written": len(self.kept),
            "forms_failed": len(self.failures),
            "failed_by_column": {str(column): int(n) for column, n in failed.items()},
        }


def write_answers(
    answering: Respondent,
    people: pd.DataFrame,
    seed: int,
    *,
    draws: int = 1,
    temperature: float = 1.0,
    progress: Progress | None = None,
) -> FreeText:
    """Let a model write the answers of the given people, and keep the forms that can be read.

    The parameters are those of `pilotlm.models.simulate.answer_as`, but the temperature, at least 0, divides the logits
    of the next token; 0 always takes the likeliest token.

    Raises
    ------
    InputError
        If the temperature is out of range.
    """
    if not (np.isfinite(temperature) and temperature >= 0):
        raise InputError(f"The temperature is {temperature}; allowed: 0 (always the likeliest token) or more.")
    rows, failures, kept = [], [], []
    for person in records(people):
        for draw in range(draws):
            read = _written_form(answering, person, (seed, int(person["participant"]), draw), temperature)
            kept.append(isinstance(read, dict))
            if isinstance(read, dict):
                rows.append({**read, "draw": draw})
            else:
                failures.append((person["participant"], draw, *read))
            if progress:
                progress(1)
    columns = [encoded.slot.column for encoded in answering.encoder.slots]
    answers = pd.DataFrame(rows, columns=[*columns, "draw"]).astype(np.int64)
    masses = {valid_mass_column(encoded.slot.column): np.nan for encoded in answering.encoder.asked}
    table = answers[columns].assign(**masses, draw=answers["draw"])
    failed = pd.DataFrame(failures, columns=["participant", "draw", "column", "wrote"])
    return FreeText(table, np.array(kept, dtype=bool), failed)


def read_answer(slot: Slot, text: str, left: int | None) -> int | None:
    """The value of an answer as it was written on its line, or None where it is not valid."""
    answer = text.strip(" ")
    if answer not in slot.texts:
        return None
    value = slot.values[slot.texts.index(answer)]
    return value if left is None or value <= left else None


def _written_form(
    answering: Respondent, person: dict[str, Any], key: tuple[int, int, int], temperature: float
) -> dict[str, int] | tuple[str, str]:
    """The answers of one form; or the column of the line that failed and what stood there."""
    encoder, end_of_text = answering.encoder, str(answering.language_model.tokenizer.eos_token)
    text, values, cache = [*encoder.prompt(person).whole], dict[str, int](), DynamicCache()
    with torch.random.fork_rng():  # transformers draws from torch's global generator
        torch.manual_seed(torch_seed(*key))
        for encoded in encoder.slots:
            slot = encoded.slot
            left = None if slot.total is None else slot.total - sum(values[column] for column in slot.spent)
            if slot.follows and left is not None:
                values[slot.column] = left
                continue
            text += encoded.label
            written = _write_line(answering.language_model, text, encoded, cache, temperature)
            line, end, _ = written.partition("\n")
            ended = bool(end) or (encoded is encoder.asked[-1] and line.endswith(end_of_text))
            value = read_answer(slot, line.removesuffix(end_of_text), left) if ended else None
            if value is None:
                return slot.column, line
            values[slot.column] = value
    return values


def _write_line(
    language_model: LanguageModel, text: list[int], encoded: EncodedSlot, cache: DynamicCache, temperature: float
) -> str:
    """Let the model write on to the end of the line; its tokens are added to ``text``."""
    tokenizer, start = language_model.tokenizer, len(text)
    drawn = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    how = GenerationConfig(
        max_new_tokens=max(map(len, encoded.answers)), stop_strings=["\n"], eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id, **({"do_sample": False} | drawn),
    )  # fmt: skip
    tokens = torch.tensor([text], device=language_model.device)
    model: Any = language_model.model
    found = model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        generation_config=how,
        past_key_values=cache,
        tokenizer=tokenizer,
    )
    text += found[0, start:].tolist()
    # Marks stay, so that a line with one inside fails.
    return str(tokenizer.decode(text[start:], skip_special_tokens=False, clean_up_tokenization_spaces=False))
