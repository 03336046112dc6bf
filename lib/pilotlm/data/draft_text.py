"""A drafted study as text: a study file with a word on every section, and a card."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from pilotlm.data.words import read_sections
from pilotlm.questions import Question
from pilotlm.study import AnyQuestion, LocalFile, PersonaField, Regression, Study

_WORDS = read_sections(Path(__file__).with_name("draft.txt"))
_HEAD, _APPEARANCE, _GUESSED = (" ".join(_WORDS.pop(part).split()) for part in ("head", "appearance", "guessed"))
"""What else is said; the other sections of the text are those of a study file, in their order."""
_AFTER = {"title": ("about", "citation", "licence", "rights"), "source": ("participant", "weight", "keep")}
"""Sections that are said with the one before."""


class _Dumper(yaml.SafeDumper):
    """Escapes what nobody sees: some of these characters end a line, and would be read back as a blank."""


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _written)


@dataclass(frozen=True)
class Draft:
    """A drafted study, the name of the user's file, and what was found in it.

    Attributes
    ----------
    study : Study
        The study.
    data : str
        The name of the user's file.
    left_out : dict
        Column that is not used, then why.
    findings : tuple of str
        What the user should look at.
    guessed : frozenset of str
        The variables whose words were put in an order.
    """

    study: Study
    data: str
    left_out: dict[str, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    guessed: frozenset[str] = frozenset()

    @property
    def left_out_lines(self) -> list[str]:
        """The columns left out, in a line for each reason."""
        because: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            because.setdefault(reason, []).append(_line(name))
        return [f"{', '.join(names)}: {_line(reason)}" for reason, names in because.items()]


def study_text(draft: Draft) -> str:
    """The study file: YAML with comments, which loads as the study."""
    study, written = draft.study, _sections(_content(draft.study))
    head = _comment(f"A draft for {_line(draft.data)}. " + _HEAD.replace("{name}", study.name))
    for title, lines in (("Look at these", map(_line, draft.findings)), ("Columns left out", draft.left_out_lines)):
        head += [f"# {title}:", *(f"#   {line}" for line in said)] if (said := list(lines)) else []
    parts = ["\n".join(head), written.pop("name")]
    for key, words in _WORDS.items():
        comment = _comment(" ".join(words.split())) + _of_order(draft, key)
        if key in written:
            parts.append("\n".join([*comment, written.pop(key)]))
        else:
            example = _sections({key: _example(study, key)})[key].split("\n")
            parts.append("\n".join([*comment, "# None could be guessed. One example:", *(f"# {x}" for x in example)]))
        parts += [written.pop(later) for later in _AFTER.get(key, ()) if later in written]
    assert not written, "every section is written"
    return "\n\n".join(parts) + "\n"


def card_text(draft: Draft, rows: int) -> str:
    """The study's card: where the data come from, with what is still to be said."""
    study = draft.study
    assert isinstance(study.source, LocalFile), "a draft reads the copy of the user's file"
    used = [(v.name, v.source_column) for v in study.persona]
    used += [(n, " and ".join(c)) for question in study.questions for n, c in question.source_columns.items()]
    listed = "; ".join(f"`{n}`" if n == c else f"`{n}` (in the file: `{_line(c)}`)" for n, c in used)
    left_out = "\n".join(f"- {line}" for line in draft.left_out_lines) or "- nothing"
    return f"""# {study.name}

To be written: who these people are, how many they are, and what they were asked.

| | |
|---|---|
| Source | `{study.source.file}`, a copy of `{_line(draft.data)}`; not committed to the repository |
| Rows | {rows} in the file; `pilotlm check {study.name}` says how many are used |
| Citation | to be written |
| Licence and rights | to be written |
| Synthetic | to be written: what, if anything, is not from people |

## Columns used
{listed}.

## Columns left out
{left_out}

## Privacy
To be written: could someone be recognised by the columns used? If so, group their values.
"""


def _content(study: Study) -> dict[str, Any]:
    """The study as a file says it, what goes without saying left out."""
    content: dict[str, Any] = _whole(study.model_dump(mode="json", exclude_defaults=True))
    questions = [{"kind": q.kind, **said} for q, said in zip(study.questions, content["questions"], strict=True)]
    return {**content, "synthetic": False, "missing": list(study.missing), "questions": questions}


def _whole(value: Any) -> Any:
    """The same with whole numbers written as such, in all that it holds."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value == round(value) and abs(value) < 10**15 else value


def _sections(content: dict[str, Any]) -> dict[str, str]:
    """Each key of a mapping with its value, as YAML; what holds nothing but scalars stands on one line."""
    # The mapping in a mapping holds the others on lines of their own.
    held = {**content, "_end": {"_end": [0]}}
    options: dict[str, Any] = {
        "sort_keys": False,
        "allow_unicode": True,
        "width": float("inf"),
        "default_flow_style": None,
    }
    text: str = yaml.dump(held, Dumper=_Dumper, **options)
    starts = [found for found in re.finditer(r"^(\w+):", text, re.MULTILINE) if found[1] in held]
    return {a[1]: text[a.start() : b.start()].rstrip("\n") for a, b in pairwise(starts)}


def _example(study: Study, key: str) -> Any:
    """What could stand in a section of which nothing could be guessed."""
    if key == "coherence":
        beliefs = [question for question in study.questions if question.role == "belief"]
        numbers = beliefs[0].numbers if beliefs else (0.0, 1.0)
        action = next(question for question in study.questions if question.role == "action")
        return {
            "kind": "threshold", "belief": beliefs[0].name if beliefs else "NAME_OF_A_BELIEF",
            "at_least": _whole(float(numbers[len(numbers) // 2])), "action": action.name, "acts": action.values[-1],
        }  # fmt: skip
    formula = f"{study.action_columns[0]} ~ {study.persona[0].name}"
    example = Regression(name="example", label="Example", formula=formula, family="linear")
    return [example.model_dump(mode="json", exclude_defaults=True)]


def _of_order(draft: Draft, key: str) -> list[str]:
    """A warning that the order of some words was not known, and one that it was guessed."""
    study = draft.study
    of_key: dict[str, Sequence[PersonaField | AnyQuestion]] = {"persona": study.persona, "questions": study.questions}
    levels = {one.name: one.options if isinstance(one, Question) else one.levels or () for one in of_key.get(key, ())}
    guessed = [name for name, own in levels.items() if name in draft.guessed and len(own) > 2]
    words = {name for name, own in levels.items() if len(own) > 2 and any(isinstance(lv.raw, str) for lv in own)}
    unknown = [one.name for one in of_key.get(key, ()) if one.name in words - set(guessed) and not one.ordered]
    said = ((_APPEARANCE, unknown), (_GUESSED, guessed))
    return [line for text, names in said if names for line in _comment(text.replace("{names}", ", ".join(names)))]


def _line(words: str) -> str:
    """Words on one line, for a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _comment(words: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(words, 116, break_long_words=False, break_on_hyphens=False)]
