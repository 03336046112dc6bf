"""A look at a study before any model reads it: who the people are, what they are asked, and prompts word for word.

Nobody's own answers are shown, because what is printed is pasted into messages and kept in logs: the prompts are those
of made-up participants.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from pilotlm.data.columns import column_said, read_column
from pilotlm.data.detectors import Detection, detections_of
from pilotlm.data.prompts import example_person, prompt_for, slots_of
from pilotlm.data.sampling import dropped_note
from pilotlm.data.sources import People, load_people
from pilotlm.data.tables import Table
from pilotlm.responses import SMALLEST_GROUP, as_numbers, count_people, one_row_each, subgroup_of
from pilotlm.study import AnyQuestion, Level, Option, Raw, Study, load_study

MUCH = 0.2
"""A larger share of rows that are dropped, or that repeat others, is warned of."""
_RULE = "-" * 80


def describe_study(name: str) -> str:
    """Read a study and its people and say what they are."""
    study = load_study(name)
    people = load_people(study)
    paragraphs = [
        _rows(study, people),
        _listed("Treatments", _treatments(study, people.table)),
        _listed("Questions, in the order asked", map(_question, study.questions)),
        _listed("Look at these", _warnings(study, people)),
        *(_prompt(study, example_person(study, k)) for k in range(min(2, len(study.treatments)))),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _rows(study: Study, people: People) -> str:
    dropped = f"{people.rows_dropped} dropped for lack of a value" if people.rows_dropped else "none dropped"
    rows, n = len(people.table), count_people(people.table)
    left_out, of_rows = people.rows_read - people.rows_dropped - rows, f" with {rows} rows" if n < rows else ""
    left = f"{left_out} left out by 'keep', " if left_out else ""
    who = "They are synthetic." if study.synthetic else "They are real, says the study."
    told = [f"{people.rows_read} rows read from {people.where}, {left}{dropped}: {n} people{of_rows}. {who}"]
    told += filter(None, [dropped_note(people.rows_read, people.dropped, people.left_out)])
    told += [f"{note[:1].upper()}{note[1:]}." for note in people.raw.notes]
    return "\n".join([f"{study.name}: {study.title}", *told])


def _listed(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)])


def _treatments(study: Study, people: pd.DataFrame) -> Iterator[str]:
    for treatment in study.treatments:
        count = count_people(people[people["treatment"] == treatment.name])
        yield f"{treatment.name} ({treatment.label}): {count} people"


def _question(question: AnyQuestion) -> str:
    allowed = "; ".join(map(_option, question.options)) or question.answer_rule()
    return f"{question.name} ({question.kind}, {question.role}): {allowed}"


def _option(option: Option) -> str:
    if option.value is not None and option.written == option.text:
        return f"{option.text} (code {option.code}, worth {option.value:.15g})"
    worth = "" if option.value is None else f", worth {option.value:.15g}"
    written = "" if option.written == str(option.code) else f", written {option.written!r}"
    return f"{option.code} = {option.text}{written}{worth}"


def _warnings(study: Study, people: People) -> list[str]:
    known = [*(variable.name for variable in study.background), *study.answer_columns]
    numbers = as_numbers(study, people.table)
    found = [f"'{c}' is {numbers[c].iloc[0]:g} for everybody" for c in known if len(numbers[c].unique()) == 1]
    found += [*_tiny(study, people.table), *_stand_ins(study)]
    if nominal := [f"'{q.name}'" for q in study.questions if q.nominal]:
        found.append(
            f"no order is taken for the answers to {', '.join(nominal)}, so they have shares and no means; if they "
            "have one, put the options in that order and add `ordered: true`"
        )
    found += found_in_file(study, people.raw)
    if people.rows_dropped > MUCH * people.rows_read:
        found.append(f"{people.rows_dropped} of {people.rows_read} rows lack a value and are dropped")
    repeated = int(people.table.duplicated(["treatment", *known]).sum())
    if repeated > MUCH * len(people.table):
        found.append(f"{repeated} of {len(people.table)} rows are the same as an earlier one in every column used")
    if not study.belief_columns:
        found.append("no question is a belief, so belief structures cannot be analysed")
    if not study.action_columns:
        found.append("no question is an action")
    return found or [f"nothing: no constant column, no group of fewer than {SMALLEST_GROUP} people"]


def found_in_file(study: Study, table: Table) -> Iterator[str]:
    """What the rows of a study's file show and the study does not say, a sentence each without its full stop.

    Codes that may stand for missing answers, spellings of one word, ids with several rows, weights that are not used,
    rows that may have to be left out, and columns of one question.
    """
    columns: list[tuple[tuple[str, ...], tuple[Raw, ...], tuple[Level, ...]]] = []
    columns += [((v.source_column,), v.missing, v.levels or ()) for v in study.background]
    columns += [(own, q.missing, q.options) for q in study.questions for own in q.source_columns.values()]
    for own, missing, levels in columns:
        # What the study lists as an answer is one.
        listed = {str(level.raw_value) for level in levels}
        column = read_column(table, own, own[0], (*study.missing, *missing))
        codes = tuple(code for code in column.codes if str(code) not in listed)
        twins = tuple(twin for twin in column.twins if twin not in listed)
        yield from column_said(replace(column, codes=codes, twins=twins))
    yield from (detection.said for detection in _unsaid(study, table))


def unnamed(study: Study, table: Table) -> list[str]:
    """What a page must say of an id or a weight that a study's file seems to have and the study does not name."""
    found = [detection.said for detection in _unsaid(study, table) if detection.key in ("participant", "weight")]
    return [f"{said[:1].upper()}{said[1:]}." for said in found]


def _unsaid(study: Study, table: Table) -> Iterator[Detection]:
    columns = [column for question in study.questions for own in question.source_columns.values() for column in own]
    used = {*columns, *(variable.source_column for variable in study.background)}
    named = {"participant": study.participant, "weight": study.weight}
    for detection in detections_of(table):
        known = detection.columns[0] in study.keep if detection.key == "keep" else named.get(detection.key)
        both = len(used & set(detection.columns))
        if not known and {"keep": True, "column": 0 < both < len(detection.columns)}.get(detection.key, not both):
            yield detection


def _stand_ins(study: Study) -> Iterator[str]:
    """Which codes are taken for numbers though the answers say something else."""
    ordered: dict[str, tuple[Level, ...]] = {v.name: v.levels or () for v in study.background if v.ordered}
    ordered |= {q.name: q.options for q in study.questions if q.options and q.ordered}
    found = [
        f"'{name}' (codes {levels[0].code} to {levels[-1].code})"
        for name, levels in ordered.items()
        if len(levels) > 2 and name not in study.numbers and any(level.text != str(level.code) for level in levels)
    ]
    if found:
        yield (
            "codes stand in for the answers as numbers, in equal steps where the codes are: "
            f"{', '.join(found)}; where other numbers are meant, give each option or level a `value`"
        )


def _tiny(study: Study, people: pd.DataFrame) -> Iterator[str]:
    for treatment in study.treatments:
        count = count_people(people[people["treatment"] == treatment.name])
        if count < SMALLEST_GROUP:
            yield f"treatment '{treatment.name}' has only {count} people"
    for subgroup in study.subgroups:
        groups = subgroup_of(study, one_row_each(people), subgroup.variable).value_counts(sort=False)
        for name, count in groups[groups < SMALLEST_GROUP].items():
            yield f"subgroup '{name}' of '{subgroup.variable}' has only {count} people"


def _prompt(study: Study, person: dict[str, Any]) -> str:
    title = f"The prompt of a made-up participant, treatment '{person['treatment']}', and the lines of the form:"
    form = (f"{slot.label}:" + (" (not asked: it is what is left)" if slot.follows else "") for slot in slots_of(study))
    return "\n".join([_RULE, title, _RULE, prompt_for(study, person).text, "", *form])
