"""A drafted study as text: a study file with a word on every section, and a card."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from pilotlm.study import (
    AnyQuestion,
    Level,
    LocalFile,
    Option,
    PersonaField,
    Raw,
    Regression,
    SignAgreement,
    Study,
    Treatment,
)

_APPEARANCE = (
    "IN THE ORDER OF APPEARANCE in the file: if these words have an order, put the lines in that order and number the "
    "codes anew."
)


@dataclass(frozen=True)
class Draft:
    """A drafted study and what a reader of it should know.

    Attributes
    ----------
    study : Study
        The study.
    data : str
        The name of the user's file.
    left_out : dict
        Columns that the study does not use, with the reason.
    """

    study: Study
    data: str
    left_out: dict[str, str] = field(default_factory=dict)


def study_text(draft: Draft) -> str:
    """The study file: YAML with comments, which loads as the study."""
    sections = (_head, _source, _treatments, _persona, _questions, _coherence, _subgroups, _regressions)
    return "\n\n".join("\n".join(section(draft)) for section in sections) + "\n"


def card_text(draft: Draft, rows: int) -> str:
    """The study's card: where the data come from, with what is still to be said."""
    study = draft.study
    used = [(v.name, v.source_column) for v in study.persona]
    used += [pair for question in study.questions for pair in question.source_columns.items()]
    listed = "; ".join(f"`{n}`" if n == c else f"`{n}` (in the file: `{_line(c)}`)" for n, c in used)
    left_out = [f"- `{_line(name)}` {reason}" for name, reason in draft.left_out.items()] or ["- nothing"]
    return "\n".join([
        f"# {study.name}",
        "",
        "To be written: who these people are, how many they are, and what they were asked.",
        "",
        "| | |",
        "|---|---|",
        f"| Source | `{study.name}.csv`, a copy of `{_line(draft.data)}`; not committed to the repository |",
        f"| Rows | {rows} in the file; `pilotlm check {study.name}` says how many are used |",
        "| Citation | to be written |",
        "| Licence and rights | to be written |",
        "| Synthetic | to be written: what, if anything, is not from people |",
        "",
        "## Columns used",
        f"{listed}.",
        "",
        "## Columns left out",
        *left_out,
        "",
        "## Privacy",
        "To be written: could someone be recognised by the columns used? If so, group their values.",
        "",
    ])  # fmt: skip


def scalar(value: Raw) -> str:
    """A value as YAML writes it on one line: it is read back as it was, wherever it stands."""
    plain: str = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=float("inf")).strip()[1:-1]
    if not isinstance(value, str) or plain == value:
        return plain
    quoted: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=float("inf")).strip()
    return quoted


def _flow(content: Mapping[Any, Any]) -> str:
    return "{" + ", ".join(f"{scalar(key)}: {scalar(value)}" for key, value in content.items()) + "}"


def _listed(values: Iterable[Raw]) -> str:
    return "[" + ", ".join(map(scalar, values)) + "]"


def _line(words: str) -> str:
    """Words on one line, for a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _comment(words: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(words, 116, break_long_words=False, break_on_hyphens=False)]


def _number(value: float) -> int | float:
    return round(value) if value == round(value) and abs(value) < 10**15 else value


def _head(draft: Draft) -> list[str]:
    study = draft.study
    left_out = [f"#   {_line(name)}: {reason}" for name, reason in draft.left_out.items()]
    return [
        *_comment(
            f"A draft for {_line(draft.data)}. All that is said here was guessed from the columns and is yours to "
            f"correct: `pilotlm check {study.name}` reads the file again and shows the prompts as a model sees them. "
            "Names of variables are a letter followed by letters, digits and underscores. Text is free; put it in "
            'quotes where YAML could read it as something else: "yes", "no", "1", "a: b".'
        ),
        *(["# Columns left out:", *left_out] if left_out else []),
        "",
        f"name: {scalar(study.name)}",
        *_comment("The next five are text: what the pages say about the study. A line `doi: ...` may follow."),
        *(f"{key}: {scalar(getattr(study, key))}" for key in ("title", "about", "citation", "licence", "rights")),
        *_comment("true if the people are not real."),
        "synthetic: false",
    ]


def _source(draft: Draft) -> list[str]:
    source = draft.study.source
    assert isinstance(source, LocalFile)
    return [
        *_comment(
            "Where the rows come from: a CSV file in this folder. `separator` is one character, or the word whitespace."
        ),
        "source:",
        "  kind: file",
        f"  file: {scalar(source.file)}",
        f"  separator: {scalar(source.separator)}",
        "",
        *_comment(
            "Cells that mean a missing answer, for example [NA, -99]; empty cells always do. A row that lacks a value "
            "in a column used here is dropped."
        ),
        f"missing: {_listed(draft.study.missing)}",
    ]


def _treatments(draft: Draft) -> list[str]:
    study = draft.study
    return [
        *_comment("What every participant reads first. Keep texts short: a model pays for them by the word."),
        f"instructions: {scalar(study.instructions)}",
        "",
        *_comment(
            "What each group of participants read. `when` says which rows belong to it (column: value; without `when` "
            "all rows do), `scenario` what they read, `codes` the numbers that stand for it in the regressions: every "
            "treatment has the same ones. Here the first is the baseline."
        ),
        "treatments:",
        *(line for treatment in study.treatments for line in _treatment(treatment)),
    ]


def _treatment(treatment: Treatment) -> list[str]:
    codes = {name: _number(code) for name, code in treatment.codes.items()}
    return [
        f"  - name: {scalar(treatment.name)}",
        f"    label: {scalar(treatment.label)}",
        *([f"    when: {_flow(treatment.when)}"] if treatment.when else []),
        *([f"    codes: {_flow(codes)}"] if codes else []),
        f"    scenario: {scalar(treatment.scenario)}",
    ]


def _persona(draft: Draft) -> list[str]:
    return [
        *_comment(
            "Who the participant is, in the order said. `text` is a sentence with the marker {value}. A number has a "
            "`range` (the smallest and the largest value allowed, here those of the file); a category has `levels` in "
            "their real order (`ordered: true` where it means something): `raw` is what the file says (left out where "
            "it is the code), `code` the number in every table, `text` the words, `value` the number in means, effects "
            "and regressions (the code if absent)."
        ),
        "persona:",
        *(line for variable in draft.study.persona for line in _persona_field(variable)),
    ]


def _persona_field(variable: PersonaField) -> list[str]:
    lines = [f"  - name: {scalar(variable.name)}", *_column(variable.column)]
    lines += [f"    label: {scalar(variable.title)}", f"    text: {scalar(variable.text)}"]
    if variable.range is not None:
        return [*lines, f"    range: {_listed(_number(end) for end in variable.range)}"]
    ordered = ["    ordered: true"] if variable.ordered else []
    return [*lines, *ordered, *_levels("levels", variable.levels or ())]


def _questions(draft: Draft) -> list[str]:
    return [
        *_comment(
            "In the order asked. `role` is belief (part of the belief structure), action (what the study is about) or "
            "other. `kind` is choice (`options`, answered by their code, or by `answer` where an option has one; "
            "`ordered` is true or false; `value` is the number that an option is worth, and rises from each to the "
            "next; the code if absent), scale (whole numbers from `low` to `high` by `step`, 1 if absent; `ends: "
            "[words, words]` says what the ends mean) or allocation (`parts` that sum to `total` in steps of `step`). "
            "`form` may say what stands before the answer; it is the name if absent."
        ),
        "questions:",
        *(line for question in draft.study.questions for line in _question(question)),
    ]


def _question(question: AnyQuestion) -> list[str]:
    assert question.kind != "allocation", "a draft has none"
    lines = [f"  - kind: {question.kind}", f"    name: {scalar(question.name)}", *_column(question.column)]
    lines += [
        f"    role: {question.role}",
        f"    label: {scalar(question.title)}",
        f"    text: {scalar(question.text)}",
    ]
    if question.kind == "choice":
        return [*lines, f"    ordered: {scalar(question.ordered)}", *_levels("options", question.options)]
    note = "    # The smallest and the largest answer in the file; correct them if the scale is longer."
    step = [f"    step: {question.step}"] if question.step > 1 else []
    return [*lines, note, f"    low: {question.low}", f"    high: {question.high}", *step]


def _column(column: str | None) -> list[str]:
    return [f"    column: {scalar(column)}"] if column is not None else []


def _levels(key: str, levels: tuple[Level, ...]) -> list[str]:
    words = len(levels) > 2 and any(isinstance(level.raw, str) and level.value is None for level in levels)
    lines = [f"    {line}" for line in _comment(_APPEARANCE)] if words else []
    lines.append(f"    {key}:")
    for level in levels:
        said: dict[str, Raw | None] = {"code": level.code, "raw": level.raw, "text": level.text}
        said["answer"] = level.answer if isinstance(level, Option) else None
        said["value"] = None if level.value is None else _number(level.value)
        lines.append(f"      - {_flow({key: value for key, value in said.items() if value is not None})}")
    return lines


def _coherence(draft: Draft) -> list[str]:
    study = draft.study
    head = _comment(
        "When an action contradicts the beliefs. `kind` is threshold, sign_agreement (pairs of scales around zero), "
        "nearest_option or maximises_expected_pay; the shipped studies have an example of each."
    )
    if isinstance(study.coherence, SignAgreement):
        note = _comment("Guessed, as both scales have zero in the middle: strictly opposite signs are incoherent.")
        pairs = [f"    - {_listed(pair)}" for pair in study.coherence.pairs]
        return [*head, *note, "coherence:", "  kind: sign_agreement", "  pairs:", *pairs]
    note = _comment(
        "No rule could be guessed. One example: (number of the belief >= at_least) must go with (code of "
        "the action = acts)."
    )
    return [*head, *note, *(f"# {line}" for line in _threshold(study))]


def _threshold(study: Study) -> list[str]:
    beliefs = [question for question in study.questions if question.role == "belief"]
    action = next(question for question in study.questions if question.role == "action")
    numbers = beliefs[0].numbers if beliefs else (0, 1)
    return [
        "coherence:",
        "  kind: threshold",
        f"  belief: {scalar(beliefs[0].name) if beliefs else 'NAME_OF_A_BELIEF'}",
        f"  at_least: {scalar(_number(numbers[len(numbers) // 2]))}",
        f"  action: {scalar(action.name)}",
        f"  acts: {action.values[-1]}",
    ]


def _subgroups(draft: Draft) -> list[str]:
    lines = _comment(
        "The groups that are looked at one by one, made of a persona field: each level is a group, or `groups` says "
        "which codes belong together ({Young: [1, 2], Old: [3]}); a number needs `cuts`, where a new group starts. A "
        "balanced pilot is balanced over the first of them."
    )
    lines.append("subgroups:")
    for subgroup in draft.study.subgroups:
        lines += [f"  - variable: {scalar(subgroup.variable)}", f"    label: {scalar(subgroup.label)}"]
        lines += [f"    cuts: {_listed(map(_number, subgroup.cuts))}"] if subgroup.cuts else []
    return lines


def _regressions(draft: Draft) -> list[str]:
    head = _comment(
        "`formula` has names of variables, ~ + : * and C(name) for a category without order. `family` is linear, logit "
        "or probit (outcome 0 or 1); `covariance` is classical or robust; `treatment_terms` are the effects of the "
        'treatment; `published` may hold numbers to compare with ({term: {coefficient: 1.2, stars: "**"}}), and '
        "`where` says where they stand."
    )
    if draft.study.regressions:
        return [*head, "regressions:", *(line for r in draft.study.regressions for line in _regression(r))]
    formula = f"{draft.study.action_columns[0]} ~ {draft.study.persona[0].name}"
    example = _regression(Regression(name="example", label="Example", formula=formula, family="linear"))
    return [*head, *_comment("None could be guessed. One example:"), *(f"# {e}" for e in ("regressions:", *example))]


def _regression(regression: Regression) -> list[str]:
    terms = [f"    treatment_terms: {_listed(regression.treatment_terms)}"] if regression.treatment_terms else []
    return [
        f"  - name: {scalar(regression.name)}",
        f"    label: {scalar(regression.label)}",
        f"    formula: {scalar(regression.formula)}",
        f"    family: {regression.family}",
        *terms,
    ]
