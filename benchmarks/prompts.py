"""What everybody is given: one study, the same people, the same text; and studies that are longer in one respect."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pandas as pd
from transformers import PreTrainedTokenizerBase

from pilotlm.errors import InputError
from pilotlm.models.encoding import Encoder, Tokens
from pilotlm.responses import records
from pilotlm.study import Study


@dataclass(frozen=True)
class Prompts:
    """The prompts of some people, as texts and as tokens.

    Attributes
    ----------
    texts : tuple of str
        What is read before the form, one a person.
    shared : tuple of tuple of int
        The tokens that a person has in common with everyone of the same treatment.
    own : tuple of tuple of int
        The tokens that follow them: who the person is.
    forms : tuple of str
        The form as the person filled it in.
    pattern : str
        A regular expression that every valid form matches.
    form_tokens : int
        The number of tokens of a filled form, the mean over the people rounded down.
    lines : tuple of (tokens, tuple of tokens)
        Of each line of the form, the tokens before the answer and those of each valid answer.
    """

    texts: tuple[str, ...]
    shared: tuple[Tokens, ...]
    own: tuple[Tokens, ...]
    forms: tuple[str, ...]
    pattern: str
    form_tokens: int
    lines: tuple[tuple[Tokens, tuple[Tokens, ...]], ...]

    def first(self, people: int) -> Prompts:
        """Those of the first people."""
        some = slice(people)
        return replace(
            self, texts=self.texts[some], shared=self.shared[some], own=self.own[some], forms=self.forms[some]
        )

    def facts(self) -> dict[str, int]:
        """Their number and lengths, tokens rounded to whole ones."""
        return {
            "people": len(self.texts),
            "prompt_tokens_shared": round(sum(map(len, self.shared)) / len(self.shared)),
            "prompt_tokens_own": round(sum(map(len, self.own)) / len(self.own)),
            "answer_tokens": self.form_tokens,
        }


def prompts_of(study: Study, people: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Prompts:
    """The prompts that our sampler builds for some people, with their answers, for the peers to read.

    Raises
    ------
    InputError
        If a question is an allocation, whose sum no regular expression checks, or if the peers, who encode a whole
        text, would read other tokens than ours, which are encoded in pieces.
    """
    encoder = Encoder(study, tokenizer)
    if any(asked.slot.total is not None for asked in encoder.asked):
        raise InputError(f"study '{study.name}' has an allocation; take one of choices and scales for the benchmarks.")
    persons = records(people)
    for person in persons:
        if not encoder.reads_as_joined(person):
            raise InputError(f"study '{study.name}': read as one text, a prompt has other tokens; take another model.")
    encoded = [encoder.prompt(person) for person in persons]
    forms = [_form(encoder, person) for person in persons]
    pattern = "".join(
        f"{re.escape(asked.slot.label)}: ({'|'.join(map(re.escape, asked.slot.texts))})\n" for asked in encoder.asked
    )
    return Prompts(
        texts=tuple(encoder.text(person) for person in persons),
        shared=tuple((*prompt.shared, *prompt.scenario) for prompt in encoded),
        own=tuple(prompt.persona for prompt in encoded),
        forms=tuple(text for text, _ in forms),
        pattern=pattern,
        form_tokens=sum(length for _, length in forms) // len(forms),
        lines=tuple((asked.label, asked.answers) for asked in encoder.asked),
    )


def _form(encoder: Encoder, person: dict[str, int]) -> tuple[str, int]:
    """A person's own filled form and its number of tokens."""
    text, length = "", 0
    for asked in encoder.asked:
        answer = encoder.answer_index(asked, person[asked.slot.column])
        text += f"{asked.slot.label}: {asked.slot.texts[answer]}\n"
        length += len(asked.label) + len(asked.answers[answer])
    return text, length


def with_scenario(study: Study, times: int) -> Study:
    """The same study with the text of each scenario repeated."""
    treatments = [t.model_copy(update={"scenario": " ".join([t.scenario] * times)}) for t in study.treatments]
    return study.model_copy(update={"treatments": tuple(treatments)})


def with_questions(study: Study, times: int) -> Study:
    """The same study with its questions asked again, under names and on lines of their own."""
    questions = [
        question.model_copy(update={"name": f"{question.name}_{k}", "form": f"{question.form or question.name} {k}"})
        for k in range(2, times + 1)
        for question in study.questions
    ]
    return study.model_copy(update={"questions": (*study.questions, *questions)})
