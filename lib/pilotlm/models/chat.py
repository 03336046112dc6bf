"""What a model's chat template puts around the user's words: the frame in which a prompt stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from pilotlm.errors import InputError, shown

SYSTEM = "You take part in a survey."
"""The system turn, for templates that refuse a conversation without one."""
_CONTENT = "[[content]]"
_SOME_DAY = "{%- macro strftime_now(format) -%}1 January 2025{%- endmacro -%}"
"""A chat template that says today's date is told this one: equal runs need equal prompts on any day."""
_NO_REASONING = {"enable_thinking": False, "thinking": False}
"""The names under which templates ask whether the model shall reason before it replies."""
_REASONING = re.compile(r"[<\[◁][^<>\[\]◁▷\s]*(?:think|thought|reason)[^<>\[\]◁▷\s]*[>\]▷]", re.IGNORECASE)
"""How a block of reasoning begins or ends, such as <think>, [THINK] or <|begin_of_thought|>."""
_END = re.compile(r"[<\[◁|]+(/|end)", re.IGNORECASE)
_BEGIN = re.compile(r"begin|start", re.IGNORECASE)


@dataclass(frozen=True)
class ChatFrame:
    """What stands around the user's words, up to where the reply starts, and what was done to it, in sentences."""

    before: str
    after: str
    notes: tuple[str, ...] = ()


def chat_frame(tokenizer: PreTrainedTokenizerBase) -> ChatFrame:
    """The frame of a model's chat template; that of a plain text where it has none.

    A template that refuses a conversation without a system turn gets the turn `SYSTEM`. Where a template starts the
    reply inside a block of reasoning, the block is closed: the form would stand inside it, where no answer is expected.
    """
    if not tokenizer.chat_template:
        return ChatFrame(str(tokenizer.bos_token or ""), "\n\n")
    user, system = ({"role": role, "content": text} for role, text in (("user", _CONTENT), ("system", SYSTEM)))
    texts = [_rendered(tokenizer, turns) for turns in ([user], [system, user])]
    working = [text for text in texts if not isinstance(text, _Failure) and text.count(_CONTENT) == 1]
    if not working:
        raise InputError(
            f"The chat template of {_model(tokenizer)} cannot word a prompt, with or without a system turn: "
            f"{_fault(texts[0])}. Mend its chat_template, or use another model."
        )
    before, _, after = working[0].partition(_CONTENT)
    notes = [] if working[0] == texts[0] else [f'The chat template asks for a system turn; it says: "{SYSTEM}"']
    opened = _open_block(after)
    if opened:
        after += _closing(opened)
        notes.append(f"The chat template starts the reply inside a block of reasoning ({opened}); it is closed unused.")
    return ChatFrame(before, after, tuple(notes))


class _Failure(str):
    """Why a template could not be rendered, in place of its text."""


def _rendered(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]]) -> str:
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, **_NO_REASONING}
    try:
        template = _SOME_DAY + tokenizer.get_chat_template()
        return str(tokenizer.apply_chat_template(turns, chat_template=template, **options))
    except (TemplateError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        return _Failure(f"it fails with {type(error).__name__} ({' '.join(str(error).split())[:200]})")


def _fault(text: str) -> str:
    if isinstance(text, _Failure):
        return text
    return f"it {'repeats' if _CONTENT in text else 'drops'} the user's words"


def _model(tokenizer: PreTrainedTokenizerBase) -> str:
    return f"the model {shown(str(tokenizer.name_or_path), quotes=False)}" if tokenizer.name_or_path else "this model"


def _open_block(after: str) -> str:
    """The mark of a block of reasoning that is open where the reply starts; "" where there is none."""
    marks = _REASONING.findall(after)
    return "" if not marks or _END.match(marks[-1]) else str(marks[-1])


def _closing(mark: str) -> str:
    """What ends a block of reasoning at once, as templates write it that know how to do without reasoning."""
    if _BEGIN.search(mark):
        return f"\n{_BEGIN.sub(lambda begin: 'END' if begin[0].isupper() else 'end', mark, count=1)}\n\n"
    bracket = 2 if mark[1] == "|" else 1
    return f"\n{mark[:bracket]}/{mark[bracket:]}\n\n"
