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

FAILURE_COLUMNS = ("participant", "draw", "column", "wrote")


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

    Parameters
    ----------
    answering : Respondent
        Who answers.
    people : DataFrame
        Participants: ``participant``, ``treatment`` and the persona fields.
    seed : int
        The seed of the run; a row depends on the model and on (seed, participant, draw).
    draws : int
        How many times each participant is simulated.
    temperature : float
        Divides the logits of the next token; 0 always takes the likeliest token. At least 0.
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Returns
    -------
    FreeText

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
    encoder = answering.encoder
    columns = [encoded.slot.column for encoded in encoder.slots]
    answers = pd.DataFrame(rows, columns=[*columns, "draw"]).astype(np.int64)
    masses = {valid_mass_column(encoded.slot.column): np.nan for encoded in encoder.asked}
    table = answers[columns].assign(**masses, draw=answers["draw"])
    return FreeText(table, np.array(kept, dtype=bool), pd.DataFrame(failures, columns=list(FAILURE_COLUMNS)))


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
    encoder, prompt = answering.encoder, answering.encoder.prompt(person)
    text, values, cache = [*prompt.shared, *prompt.scenario, *prompt.persona], dict[str, int](), DynamicCache()
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
            ended = bool(end) or (encoded is encoder.asked[-1] and line.endswith(_end_of(answering)))
            value = read_answer(slot, line.removesuffix(_end_of(answering)), left) if ended else None
            if value is None:
                return slot.column, line
            values[slot.column] = value
    return values


def _end_of(answering: Respondent) -> str:
    """The mark that ends a text."""
    return str(answering.language_model.tokenizer.eos_token)


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
