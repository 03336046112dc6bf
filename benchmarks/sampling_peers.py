"""Peers that fill in the form: `transformers` in three ways, and `outlines`; each as its documentation says.

Free generation writes as many tokens as a filled form has, whether or not they are a valid form: less work than ours
does. The constrained ones, `transformers` with ``prefix_allowed_tokens_fn`` and `outlines`, write valid forms only.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedTokenizerBase

from benchmarks.prompts import Prompts
from pilotlm.models.encoding import Tokens
from pilotlm.models.loading import LanguageModel

DRAWN: dict[str, Any] = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
"""Tokens drawn from the model's own distribution."""
ONE, FREE, CONSTRAINED, OUTLINES = (
    "transformers, one at a time", "transformers, shared text cached, free",
    "transformers, shared text cached, constrained", "outlines",
)  # fmt: skip


def batched(
    language_model: LanguageModel, prompts: Prompts, batch: int, drawn: dict[str, Any] = DRAWN
) -> list[list[int]]:
    """Fill in the form with ``generate``, ``batch`` people at a time; prompts are padded on the left.

    The new tokens of each person; ``drawn`` says how ``generate`` chooses them. A batch of 1 is one at a time, with a
    cache of its own.
    """
    tokenizer = left_padding(language_model.tokenizer)
    written: list[list[int]] = []
    for texts in _chunks(prompts.texts, batch):
        read = tokenizer(list(texts), padding=True, add_special_tokens=False, return_tensors="pt")
        written += _generate(language_model, read["input_ids"], read["attention_mask"], prompts.form_tokens, drawn)
    return written


def batched_with_prefix(
    language_model: LanguageModel,
    prompts: Prompts,
    batch: int,
    drawn: dict[str, Any] = DRAWN,
    constrained: bool = False,
) -> list[list[int]]:
    """The same, but what people share is read once, and its cache is repeated for every batch.

    Padding stands between the shared tokens and a person's own, where the mask hides it. With ``constrained`` each
    token is drawn from those that a valid form allows, and the new tokens of a person may end in padding.
    """
    following = Following(prompts.lines) if constrained else None
    written: list[list[int]] = [[] for _ in prompts.own]
    for shared in dict.fromkeys(prompts.shared):
        cache = _cache_of(language_model, shared)
        rows = [row for row, other in enumerate(prompts.shared) if other == shared]
        for some in _chunks(rows, batch):
            repeated = copy.deepcopy(cache)
            repeated.batch_repeat_interleave(len(some))
            tokens, mask = _behind(shared, [prompts.own[row] for row in some], language_model.tokenizer)
            length = prompts.form_tokens if following is None else following.longest
            options = {} if following is None else {"prefix_allowed_tokens_fn": following.behind(tokens.shape[1])}
            new = _generate(language_model, tokens, mask, length, drawn, past_key_values=repeated, **options)
            for row, answer in zip(some, new, strict=True):
                written[row] = answer
    return written


class Following:
    """Which tokens a valid form, whose lines are as in `Prompts`, allows next, for ``prefix_allowed_tokens_fn``."""

    def __init__(self, lines: Sequence[tuple[Tokens, tuple[Tokens, ...]]]) -> None:
        self._lines = lines
        self._known = functools.cache(self._after)
        self.longest = sum(len(label) + max(map(len, answers)) for label, answers in lines)

    def behind(self, start: int) -> Callable[[int, torch.Tensor], list[int]]:
        """The function for texts of which the first ``start`` tokens are the prompt."""
        return lambda row, tokens: self._known(tuple(tokens[start:].tolist()))

    def _after(self, written: Tokens) -> list[int]:
        """The tokens that may follow what was written of the form."""
        rest = written
        for label, answers in self._lines:
            if len(rest) < len(label):
                return [label[len(rest)]]
            rest = rest[len(label) :]
            done = next((answer for answer in answers if rest[: len(answer)] == answer), None)
            if done is None:
                return sorted({answer[len(rest)] for answer in answers if answer[: len(rest)] == rest})
            rest = rest[len(done) :]
        # A batch goes on until its longest form is whole; what others write meanwhile is not read.
        return [self._lines[0][0][0]]


class Outlines:
    """The peer `outlines`, held to the regular expression of the form, which is compiled here, once.

    The tokenizer is copied without its chat template, because the prompts have it already.

    Raises
    ------
    ImportError
        If `outlines` is not installed.
    """

    def __init__(self, language_model: LanguageModel, prompts: Prompts) -> None:
        import outlines

        tokenizer = left_padding(language_model.tokenizer)
        tokenizer.chat_template = None
        model = outlines.from_transformers(language_model.model, tokenizer)  # type: ignore[arg-type]
        self._generator = outlines.Generator(model, outlines.regex(prompts.pattern))
        longest = max(len(tokenizer(form, add_special_tokens=False)["input_ids"]) for form in prompts.forms)
        # A form may be written in more tokens than the tokenizer would take for it, and an end follows it.
        self._most = 3 * longest

    def fill_in(self, prompts: Prompts, batch: int) -> list[str]:
        """Fill in the form, some people at a time."""
        options = {**DRAWN, "max_new_tokens": self._most}
        return [
            text for texts in _chunks(prompts.texts, batch) for text in self._generator.batch(list(texts), **options)
        ]


def left_padding(tokenizer: PreTrainedTokenizerBase) -> Any:
    """A copy of the tokenizer that pads on the left, as ``generate`` needs it."""
    copied = copy.deepcopy(tokenizer)
    copied.padding_side = "left"
    if copied.pad_token is None:
        copied.pad_token = copied.eos_token
    return copied


def _generate(
    language_model: LanguageModel,
    tokens: torch.Tensor,
    mask: torch.Tensor,
    length: int,
    drawn: dict[str, Any],
    **options: Any,
) -> list[list[int]]:
    model: Any = language_model.model
    output = model.generate(
        input_ids=tokens.to(model.device), attention_mask=mask.to(model.device),
        min_new_tokens=length, max_new_tokens=length, pad_token_id=language_model.tokenizer.pad_token_id,
        **drawn, **options,
    )  # fmt: skip
    new: list[list[int]] = output[:, tokens.shape[1] :].tolist()
    return new


def _cache_of(language_model: LanguageModel, shared: Tokens) -> Any:
    """The cache of the tokens that people share."""
    model: Any = language_model.model
    with torch.inference_mode():
        tokens = torch.tensor([shared], device=model.device)
        read = model(input_ids=tokens, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1)
    return read.past_key_values


def _behind(
    shared: Tokens, own: Sequence[Tokens], tokenizer: PreTrainedTokenizerBase
) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens of some people behind those that they share, and which of them are real."""
    longest = max(map(len, own))
    pad = tokenizer.pad_token_id
    tokens = [[*shared, *[pad] * (longest - len(row)), *row] for row in own]
    mask = [[1] * len(shared) + [0] * (longest - len(row)) + [1] * len(row) for row in own]
    return torch.tensor(tokens), torch.tensor(mask)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
