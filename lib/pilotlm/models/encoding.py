"""From wording to tokens: the prompt in three pieces and the answer form line by line.

Pieces are encoded apart, so that what participants share has the same tokens for all of them. A piece is encoded
behind the character that it follows, because some tokenizers treat the start of a text in another way.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from pilotlm.data.prompts import USUAL, Slot, Wording, prompt_for, slots_of
from pilotlm.errors import InputError, shown
from pilotlm.models.chat import chat_frame
from pilotlm.study import Study

Tokens = tuple[int, ...]
_MARK = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")
"""How chat templates mark who speaks, such as ``<|im_start|>`` or ``[INST]``."""


@dataclass(frozen=True)
class EncodedSlot:
    """One line of the form in tokens: those before the answer, and those of each valid answer.

    An answer ends with the end of the line: "1" is then not the beginning of "10".
    """

    slot: Slot
    label: Tokens
    answers: tuple[Tokens, ...]


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt in tokens; see `pilotlm.data.prompts.Prompt`."""

    shared: Tokens
    scenario: Tokens
    persona: Tokens

    @property
    def whole(self) -> Tokens:
        """The pieces one after another."""
        return self.shared + self.scenario + self.persona


class Encoder:
    """Encodes the prompts and the form of one study for one tokenizer, whose chat template is used where it has one.

    Attributes
    ----------
    slots, asked : tuple of EncodedSlot
        All lines of the form, and those that do not follow from others.
    notes : tuple of str
        What was done to the model's chat template, in sentences; see `pilotlm.models.chat`.
    """

    def __init__(self, study: Study, tokenizer: PreTrainedTokenizerBase, wording: Wording = USUAL) -> None:
        self.study = study
        self.tokenizer = tokenizer
        self.wording = wording
        self._once = functools.cache(self._encode)  # for what many participants share
        self._steering = _steering(tokenizer)
        frame = chat_frame(tokenizer)
        self._before, self._after, self.notes = frame.before, frame.after, frame.notes
        self._marks = {*_MARK.findall(self._before + self._after), *filter(None, [tokenizer.unk_token])}
        self.slots = tuple(self._slot(slot) for slot in slots_of(study))
        self.asked = tuple(encoded for encoded in self.slots if not encoded.slot.follows)

    def prompt(self, person: Mapping[str, Any]) -> EncodedPrompt:
        """Encode the prompt of a participant (keys as in a row of the responses)."""
        prompt = prompt_for(self.study, person, self.wording)
        self._check_marks(prompt.text, prompt.head)
        return EncodedPrompt(
            self._data(self._once(self._before + prompt.shared), self._before),
            self._data(self._once(f"\n\n{prompt.scenario}", behind=".")) if prompt.scenario else (),
            self._data(self._encode(f"\n\n{prompt.persona}{self._after}{prompt.head}", behind="."), self._after),
        )

    def text(self, person: Mapping[str, Any]) -> str:
        """What the model reads before the form's first question, as one text."""
        prompt = prompt_for(self.study, person, self.wording)
        return f"{self._before}{prompt.text}{self._after}{prompt.head}"

    def answer_index(self, slot: EncodedSlot, value: int) -> int:
        """The place of a value among a slot's answers."""
        return slot.slot.values.index(int(value))

    def reads_as_joined(self, person: Mapping[str, Any]) -> bool:
        """Whether the pieces have the same tokens as the whole text would have.

        Where they do not, the model still reads the same characters, but cut at the joints; the simulation's record
        says so.
        """
        pieces = [*self.prompt(person).whole]
        text = self.text(person)
        for slot in self.asked:
            answer = self.answer_index(slot, person[slot.slot.column]) if slot.slot.column in person else 0
            pieces += [*slot.label, *slot.answers[answer]]
            text += f"{slot.slot.label}: {slot.slot.texts[answer]}\n"
        return tuple(pieces) == self._encode(text)

    def _slot(self, slot: Slot) -> EncodedSlot:
        self._check_marks(slot.label, *slot.texts)
        answers = tuple(self._data(self._encode(f" {text}\n", behind=":")) for text in slot.texts)
        for k, answer in enumerate(answers):
            if any(j != k and other[: len(answer)] == answer for j, other in enumerate(answers)):
                raise InputError(
                    f"study '{self.study.name}', '{slot.column}': this tokenizer cannot tell the answer "
                    f"{slot.texts[k]!r} from another one; change how the answers are written."
                )
        return EncodedSlot(slot, self._data(self._encode(f"{slot.label}:", behind="\n")), answers)

    def _data(self, tokens: Tokens, frame: str = "") -> Tokens:
        """The tokens, if none of them steers the model but those of the chat frame among them."""
        found = Counter(token for token in tokens if token in self._steering)
        foreign = found - Counter(self._once(frame)) if found else found
        if foreign:
            raise self._steered(self._steering[min(foreign)])
        return tokens

    def _check_marks(self, *texts: str) -> None:
        """Refuse the marks of the chat frame also where they have no token of their own."""
        for mark in sorted(self._marks):
            if any(mark in text for text in texts):
                raise self._steered(mark)

    def _steered(self, mark: str) -> InputError:
        return InputError(
            f"study '{self.study.name}': a text holds {shown(mark)}, which for this model is no text but a mark of who "
            "speaks or where a text ends; write it in another way."
        )

    def _encode(self, text: str, behind: str = "") -> Tokens:
        tokens = tuple(self.tokenizer(behind + text, add_special_tokens=False)["input_ids"])
        if not behind:
            return tokens
        lead = tuple(self.tokenizer(behind, add_special_tokens=False)["input_ids"])
        if tokens[: len(lead)] == lead:
            return tokens[len(lead) :]
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _steering(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """The tokens that are marks and no text, by number."""
    marks = {number: str(token) for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    marks |= dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    return {number: mark for number, mark in marks.items() if number != tokenizer.unk_token_id}
