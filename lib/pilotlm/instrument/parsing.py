"""A strict reading of a form that was written as free text: every line as asked, or the form has failed.

The text must be the form and nothing before it: a line for each question in the order asked, ``label: answer``, the
label and the answer written as in the study. Spaces around a line and around an answer are the only thing forgiven.
The last part of an allocation may be left out, because it follows from the others (and because a model that was
fine-tuned has never seen it written); where it is written it must be what is left. Text after the form's last line is
not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pilotlm.instrument.answers import Slot


class Rule(StrEnum):
    """The rule that a failed form broke."""

    LABEL = "label"
    """A line does not begin with its label and a colon."""
    ANSWER = "answer"
    """After the label stands no valid answer."""
    TOTAL = "total"
    """The parts of an allocation exceed its total or do not sum to it."""
    ENDED = "ended"
    """The text ended before the line was begun."""
    UNFINISHED = "unfinished"
    """The text was cut off while the line could still have become valid."""


@dataclass(frozen=True)
class FailedForm:
    """Where a text stopped being a valid form.

    Attributes
    ----------
    line : int
        The line of the form, 1 is the first; an allocation has a line for each of its parts.
    column : str
        The column that the line would have filled.
    rule : Rule
        What was broken.
    stood : str
        What stood in the line's place; empty where the text had ended.
    """

    line: int
    column: str
    rule: Rule
    stood: str


class _BrokenRuleError(Exception):
    """A line breaks a rule."""

    def __init__(self, rule: Rule, stood: str) -> None:
        super().__init__(rule, stood)
        self.rule, self.stood = rule, stood


class _Lines:
    """The lines of a text from the first to the last, and whether more may come."""

    def __init__(self, text: str, ended: bool) -> None:
        self.whole = text.split("\n")
        self.open = "" if ended else self.whole.pop()
        self.ended = ended
        if ended and not self.whole[-1]:
            self.whole.pop()

    def take(self, slot: Slot) -> str:
        """The next line, if it is there as a whole; where it is not, say whether it can become one of the slot's."""
        if self.whole:
            return self.whole.pop(0)
        if self.ended:
            raise _BrokenRuleError(Rule.ENDED, "")
        start, so_far = f"{slot.label}:", self.open.lstrip(" ")
        if not so_far.startswith(start):
            raise _BrokenRuleError(Rule.UNFINISHED if start.startswith(so_far) else Rule.LABEL, self.open)
        answer = so_far.removeprefix(start).lstrip(" ")
        possible = any(text.startswith(answer) or text == answer.rstrip(" ") for text in slot.texts)
        raise _BrokenRuleError(Rule.UNFINISHED if possible else Rule.ANSWER, self.open)

    def begins(self, start: str) -> bool:
        """Whether the next line begins in that way."""
        line = self.whole[0] if self.whole else self.open
        may_come = not self.whole and not self.ended and start.startswith(line.lstrip(" "))
        if may_come:
            raise _BrokenRuleError(Rule.UNFINISHED, line)
        return line.lstrip(" ").startswith(start)


def parse_form(slots: Sequence[Slot], text: str, ended: bool = True) -> tuple[int, ...] | FailedForm:
    r"""Read the answers from a text, or say why it is not a form.

    Parameters
    ----------
    slots : sequence of Slot
        The lines of the form; see `pilotlm.instrument.answers.slots_of`.
    text : str
        What was written after the prompt. Lines are separated by ``\n`` alone.
    ended : bool
        Whether the text ended where it does. In a text that may go on, what more text could still make valid is
        `Rule.UNFINISHED`; any other result is final, but for how much stood in the line.

    Returns
    -------
    tuple of int or FailedForm
        The value of each slot; or the first line that is not valid.
    """
    lines = _Lines(text, ended)
    values: dict[str, int] = {}
    for number, slot in enumerate(slots, start=1):
        try:
            values[slot.column] = _value(slot, lines, values)
        except _BrokenRuleError as broken:
            return FailedForm(number, slot.column, broken.rule, broken.stood)
    return tuple(values.values())


def _value(slot: Slot, lines: _Lines, values: dict[str, int]) -> int:
    """The answer on the next line."""
    left = None if slot.total is None else slot.total - sum(values[column] for column in slot.spent)
    if slot.follows and left is not None and not lines.begins(f"{slot.label}:"):
        return left
    line = lines.take(slot)
    if not line.lstrip(" ").startswith(f"{slot.label}:"):
        raise _BrokenRuleError(Rule.LABEL, line)
    answer = line.lstrip(" ").removeprefix(f"{slot.label}:").strip(" ")
    if answer not in slot.texts:
        raise _BrokenRuleError(Rule.ANSWER, line)
    value = slot.values[slot.texts.index(answer)]
    if left is not None and (value != left if slot.follows else value > left):
        raise _BrokenRuleError(Rule.TOTAL, line)
    return value
