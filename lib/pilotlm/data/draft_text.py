"""A drafted study as text: a study file with a word on every section, and a card."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from pilotlm.data.cells import read_sections
from pilotlm.data.columns import visible
from pilotlm.study import LocalFile, Study

_TEXTS = read_sections(Path(__file__).with_name("draft.txt"))
_AFTER = {"title": ("about", "citation", "licence", "rights"), "source": ("participant", "weight", "keep")}
"""Sections that are said with the one before."""
_VARIABLES = ("persona", "questions")


class _Dumper(yaml.SafeDumper):
    """Escapes what nobody sees: some of these characters end a line, and would be read back as a blank."""


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _written)


@dataclass(frozen=True)
class Draft:
    """A drafted study, the name of the user's file, and what was found in it.

    ``left_out`` says why a column is not used, ``findings`` what the user should look at; of the variables in
    ``guessed`` the words were put in an order, of those in ``unordered`` none is known.
    """

    study: Study
    data: str
    left_out: dict[str, str]
    findings: tuple[str, ...]
    guessed: frozenset[str]
    unordered: frozenset[str]

    @property
    def left_out_lines(self) -> list[str]:
        """The columns left out, in a line for each reason."""
        because: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            because.setdefault(reason, []).append(visible(name))
        return [f"{', '.join(names)}: {visible(reason)}" for reason, names in because.items()]


def study_text(draft: Draft) -> str:
    """The study file: YAML with comments, which loads as the study."""
    study, written = draft.study, _sections(_content(draft.study))
    head = _comment(f"A draft for {visible(draft.data)}. {_TEXTS['head']}".replace("{name}", study.name))
    for title, lines in (("Look at these", map(visible, draft.findings)), ("Columns left out", draft.left_out_lines)):
        head += [f"# {title}:", *(f"#   {line}" for line in said)] if (said := list(lines)) else []
    parts = ["\n".join(head), written.pop("name")]
    for key, words in _TEXTS.items():
        if key not in Study.model_fields:
            continue
        comment = _comment(words)
        for text, names in (("appearance", draft.unordered), ("guessed", draft.guessed)):
            own = [one.name for one in getattr(study, key) if one.name in names] if key in _VARIABLES else []
            comment += _comment(_TEXTS[text].replace("{names}", ", ".join(own))) if own else []
        if key not in written:
            comment += [f"# {line}" for line in _filled(f"{key} example", study).strip().split("\n")]
        parts.append("\n".join([*comment, *([written.pop(key)] if key in written else [])]))
        parts += [written.pop(later) for later in _AFTER.get(key, ()) if later in written]
    assert not written, "every section is written"
    return "\n\n".join(parts) + "\n"


def card_text(draft: Draft, rows: int) -> str:
    """The study's card: where the data come from, with what is still to be said."""
    study = draft.study
    assert isinstance(study.source, LocalFile), "a draft reads the copy of the user's file"
    used = [(v.name, v.source_column) for v in study.persona]
    used += [(n, " and ".join(c)) for question in study.questions for n, c in question.source_columns.items()]
    columns = "; ".join(f"`{n}`" if n == c else f"`{n}` (in the file: `{visible(c)}`)" for n, c in used)
    left_out = "\n".join(f"- {line}" for line in draft.left_out_lines) or "- nothing"
    return _filled("card", study, file=study.source.file, data=visible(draft.data), rows=rows, columns=columns,
                   left_out=left_out).rstrip("\n") + "\n"  # fmt: skip


def _filled(section: str, study: Study, **more: object) -> str:
    """A section of the text with what the study has for the names in it."""
    belief = next((one for one in study.questions if one.role == "belief"), None)
    numbers = belief.numbers if belief else (0.0, 1.0)
    action = next(one for one in study.questions if one.role == "action")
    named = {"name": study.name, "belief": belief.name if belief else "NAME_OF_A_BELIEF", "action": action.name,
             "at_least": _whole(float(numbers[len(numbers) // 2])), "acts": action.values[-1],
             "column": study.action_columns[0], "variable": study.persona[0].name, **more}  # fmt: skip
    return _TEXTS[section].format(**named)


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
    whole_lines: Any = float("inf")
    text: str = yaml.dump(
        held, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=whole_lines, default_flow_style=None
    )
    starts = [found for found in re.finditer(r"^(\w+):", text, re.MULTILINE) if found[1] in held]
    return {a[1]: text[a.start() : b.start()].rstrip("\n") for a, b in pairwise(starts)}


def _comment(words: str) -> list[str]:
    return [
        f"# {line}"
        for line in textwrap.wrap(" ".join(words.split()), 116, break_long_words=False, break_on_hyphens=False)
    ]
