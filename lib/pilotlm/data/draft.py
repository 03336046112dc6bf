"""A start for a study of one's own: a commented study file, guessed from the columns of a file of data, that loads."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from pilotlm.data.columns import Column, column_said, read_column, ticked
from pilotlm.data.conversion import closed_question, is_closed, persona_field, treatments, valid_name, valid_names
from pilotlm.data.detectors import Detection, conjoint_task, detections_of, is_record, rows_kept_by_all
from pilotlm.data.draft_text import Draft, card_text, study_text
from pilotlm.data.sources import load_people
from pilotlm.data.tables import Table, read_data_file
from pilotlm.errors import InputError, nearest
from pilotlm.records import data_folder, whole_folder
from pilotlm.study import (
    RESERVED,
    STUDY_FILE_ENDINGS,
    STUDY_NAME,
    Choice,
    Keep,
    LocalFile,
    PersonaField,
    Raw,
    Regression,
    Scale,
    SignAgreement,
    Study,
    Subgroup,
    load_study,
    study_names,
)
from pilotlm.yaml_files import explain_validation

MOST_BELIEFS = 2
MOST_PERSONA = 8
_ASIDE = {
    "participant": "looks like the id of people",
    "weight": "looks like a survey weight",
    "keep": "says which rows to leave out",
    "column": "is filled where another is not; if they are one question, join their names by a plus",
}
"""Why a column never becomes anything by itself."""


@dataclass(frozen=True)
class Roles:
    """Which columns of a file are what, as the user says it; what is not said is guessed.

    Where several columns can be named, each text may name one, or several between commas. Columns of which one is
    filled in each row are joined by a plus: ``give_A+give_B``. Without a ``treatment`` there is a single one; of a
    factorial design it names all columns, and ``baseline`` a value of each. ``missing`` means a missing answer in every
    column, beside what is found.
    """

    action: str | None = None
    beliefs: tuple[str, ...] = ()
    persona: tuple[str, ...] = ()
    treatment: str | None = None
    baseline: str | None = None
    participant: str | None = None
    weight: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Chosen:
    action: Column
    beliefs: tuple[Column, ...]
    persona: tuple[Column, ...]
    treatments: tuple[Column, ...]
    participant: str | None
    weight: str | None
    left_out: dict[str, str]

    @property
    def columns(self) -> tuple[Column, ...]:
        return (*self.treatments, *self.persona, *self.beliefs, self.action)


def draft_study(name: str, data: Path, roles: Roles, said: Callable[[str], None] = lambda line: None) -> Path:
    """Write ``data/<name>``: a commented study file, a card, and a copy of the user's file.

    What the roles do not say is guessed: the action is the last column of use, the beliefs are up to two columns of
    use before it, the persona the others (at most eight). The file written says what was guessed and what was left
    out. It loads as it is, and so do its people. ``said`` is given each finding that the user should look at.

    Raises
    ------
    InputError
        If the name is not allowed or taken, the file is missing or no table, or a column cannot be what it should be.
    """
    folder = _new_folder(name)
    if not data.is_file():
        raise InputError(f"There is no file {data}; name a file with --data.")
    table = read_data_file(data)
    detections = detections_of(table)
    # Whoever names an id means that people have several rows.
    detections = [one for one in detections if not (roles.participant and one.keep and one.keep.first)]
    keep = {one.columns[0]: one.keep for one in detections if one.sure and one.keep}
    read = replace(table, cells=table.cells[rows_kept_by_all(table, keep)])
    # Who has several rows is seen when those of previews and the like are gone.
    later = [one for one in detections_of(read) if one.key != "keep"]
    detections = [one for one in detections if one.key == "keep"] + later
    chosen = _choose(read, roles, detections)
    _check_complete(chosen, data)
    _refuse_conjoint(read, chosen.participant, chosen.action)
    findings = [*table.notes, *_findings(detections, chosen, roles)]
    try:
        study = _study(name, chosen, roles, LocalFile(
            kind="file", file=f"{name}{data.suffix or '.csv'}", separator=table.separator), keep)  # fmt: skip
    except ValidationError as error:
        raise InputError(f"{data} gives no study: {explain_validation(error, Study)}") from None
    words = [column for column in chosen.columns if len(column.values) > 2]
    guessed = frozenset(column.name for column in words if column.guessed)
    unordered = frozenset(column.name for column in words if column.kind == "words" and not column.ordered)
    draft = Draft(study, data.name, chosen.left_out, tuple(findings), guessed, unordered)
    with whole_folder(folder) as temporary:
        shutil.copyfile(data, temporary / f"{name}{data.suffix or '.csv'}")
        (temporary / "study.yml").write_text(study_text(draft), encoding="utf-8")
        (temporary / "card.md").write_text(card_text(draft, len(table.cells)), encoding="utf-8")
        load_people(load_study(temporary / "study.yml"))
    for finding in findings:
        said(finding)
    return folder / "study.yml"


def _new_folder(name: str) -> Path:
    if not STUDY_NAME.match(name) or name.endswith(STUDY_FILE_ENDINGS):
        raise InputError(
            f"The study name '{name}' is not allowed; allowed: letters, digits, '.', '_' and '-', the first of them a "
            f"letter or a digit, without the ending {' or '.join(STUDY_FILE_ENDINGS)}."
        )
    folder = data_folder() / name
    if folder.exists():
        raise InputError(f"There is already a folder {folder}; choose another name, or move the folder away.")
    if name.casefold() in {known.casefold() for known in study_names()}:
        raise InputError(f"There is already a study '{name}' but for capital letters; choose another name.")
    return folder


# Which column is what.


def _choose(table: Table, roles: Roles, detections: list[Detection]) -> _Chosen:
    names = dict(zip(columns := list(map(str, table.cells)), valid_names(columns, RESERVED), strict=True))
    known = {source: read_column(table, (source,), name, roles.missing) for source, name in names.items()}
    # What is a code below zero in one column is none of the answers of another that are not below zero otherwise.
    codes = {code for one in known.values() for code in one.codes if isinstance(code, int) and code < 0}
    for source, one in known.items():
        if one.numbers and (code := round(one.numbers[0])) in codes and min(one.numbers[1:], default=-1) >= 0:
            again = read_column(table, (source,), one.name, (*roles.missing, code))
            known[source] = replace(again, codes=(code,))
    asked = _asked(roles, table)

    def column(sources: tuple[str, ...]) -> Column:
        if len(sources) == 1:
            return known[sources[0]]
        first, last = min(sources), max(sources)
        shared = first[: next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
        return read_column(table, sources, valid_name(shared.strip("_-. ") or first, names.values()), roles.missing)

    def several(role: str) -> list[Column]:
        named = (part for sources in asked[role] for part in table.parts.get(sources[0]) or (sources,))
        return [ticked(column((part,) if isinstance(part, str) else part)) for part in named]

    beliefs, persona, factors = several("beliefs"), several("persona"), [column(s) for s in asked["treatment"]]
    actions = [ticked(column(sources)) for sources in asked["action"]]
    if len(actions) > 1:
        raise InputError("A study has one action; columns that hold one question in several arms are joined by a plus: "
                         f"--action '{'+'.join(one.source for one in actions)}'.")  # fmt: skip
    used = {source for own in asked.values() for sources in own for source in sources}
    left_out = {name: "is a record of who answered, when or how" for name in known if is_record(name)}
    left_out |= {source: one.useless for source, one in known.items() if one.useless}
    left_out |= {name: _ASIDE[detection.key] for detection in detections for name in detection.columns}
    left_out |= {name: "stands more than once" for name in table.doubts if name not in known}
    left_out = {source: reason for source, reason in left_out.items() if source not in used}
    free = [one for source, one in known.items() if source not in used and source not in left_out]
    action = actions[0] if actions else _last(free, table, left_out)
    free = [one for one in free if one is not action]
    beliefs = beliefs or _guessed_beliefs(list(known), free, action, 0 if persona else 1)
    rest = [one for one in free if one not in beliefs]
    if not persona:
        persona, rest = rest[:MOST_PERSONA], rest[MOST_PERSONA:]
    left_out |= {one.source: "not needed; name them with --persona or --beliefs to use them" for one in rest}
    if not persona:
        raise InputError(
            f"{table.where} leaves no column for the persona: beside the action one column at least must differ "
            f"between people{_why(left_out)}."
        )
    for one in (*factors, *persona, *beliefs, action):
        _check_readable(one, table)
    who, weight = (own[0][0] if (own := asked[role]) else None for role in ("participant", "weight"))
    who = who or next((one.columns[0] for one in detections if one.key == "participant" and one.sure), None)
    return _Chosen(action, tuple(beliefs), tuple(persona), tuple(factors), who, weight, left_out)


def _asked(roles: Roles, table: Table) -> dict[str, list[tuple[str, ...]]]:
    """The columns that the user names, role by role."""
    single = {role: getattr(roles, role) for role in ("action", "treatment", "participant", "weight")}
    words = {role: [] if word is None else [word] for role, word in single.items()}
    words |= {"beliefs": list(roles.beliefs), "persona": list(roles.persona)}
    asked = {role: [sources for word in own for sources in _sources(word, table)] for role, own in words.items()}
    named = [source for own in asked.values() for sources in own for source in sources]
    for name in named:
        if name not in table.cells.columns:
            allowed = nearest(name, map(str, table.cells.columns))
            raise InputError(table.doubts.get(name) or f"{table.where} has no column '{name}'; {allowed}.")
        if named.count(name) > 1:
            raise InputError(f"The column '{name}' is named twice; a column can be one thing only.")
    return asked


def _sources(word: str, table: Table) -> list[tuple[str, ...]]:
    """The columns that a text names: it may itself be a name, or hold several between commas, or some joined by a plus.

    A name may hold commas: the longest text that is a name goes first. One that begins and ends with a quotation mark
    is taken as a cell of a CSV file.
    """
    known = {_one_line(name): name for name in (*map(str, table.cells.columns), *table.doubts)}
    pieces = _one_line(word).split(",")
    if word.strip().startswith('"') and _one_line(word) not in known:
        pieces = next(csv.reader([_one_line(word)], skipinitialspace=True))
    found: list[tuple[str, ...]] = []
    while pieces:
        for length in range(len(pieces), 0, -1):
            name = _one_line(",".join(pieces[:length]))
            joined = [part.strip() for part in name.split("+")]
            if name in known:
                found.append((known[name],))
            elif all(part in known for part in joined):
                found.append(tuple(known[part] for part in joined))
            elif length > 1:
                continue
            elif name:
                found.append((name,))
            pieces = pieces[length:]
            break
    return found


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _check_readable(column: Column, table: Table) -> None:
    """Refuse a column that the user wants and that cannot be read."""
    if column.doubt:
        raise InputError(column.doubt)
    if column.parts:
        listed = ", ".join(map(repr, column.parts))
        raise InputError(
            f"The column '{column.source}' has several answers in a cell; name one of the columns of yes and no that "
            f"are made of it: {listed}."
        )
    if column.strays:
        cells = table.column(column.sources, f"'{column.name}'")
        row = cells[cells.isin(column.strays)].index[0]
        listed = ", ".join(map(repr, column.strays[:4])) + " and others" * (len(column.strays) > 4)
        raise InputError(
            f"{table.where}, row {row + 1}, column '{column.source}': {cells.loc[row]!r} is no number, as most others "
            f"are (not so: {listed}); correct the file, or say what means no answer: --missing {cells.loc[row]!r}."
        )


def _last(free: list[Column], table: Table, left_out: dict[str, str]) -> Column:
    askable = [column for column in free if is_closed(column)] or free
    if not askable:
        raise InputError(
            f"{table.where} has no column of use for the action: one that has more than one value, and is no text or "
            f"number of its own in every row; name it with --action if there is one{_why(left_out)}."
        )
    return askable[-1]


def _guessed_beliefs(order: list[str], free: list[Column], action: Column, needed: int) -> list[Column]:
    """The last columns before the action that can be asked, as long as enough are left for the persona."""
    before = set(order[: order.index(action.sources[0])])
    askable = [c for c in free if c.sources[0] in before and is_closed(c)]
    most = min(MOST_BELIEFS, len(free) - needed)
    return askable[-most:] if most > 0 else []


def _check_complete(chosen: _Chosen, data: Path) -> None:
    """Rows that lack a value are dropped; some must remain."""
    if not np.logical_and.reduce([column.place >= 0 for column in chosen.columns]).any():
        emptiest = min(chosen.columns, key=lambda column: column.filled)
        raise InputError(
            f"No row of {data} has a value in all of the columns {', '.join(c.source for c in chosen.columns)}; the "
            f"emptiest is '{emptiest.source}' ({emptiest.filled} of {len(emptiest.place)} rows): choose other columns "
            "with --action, --beliefs and --persona."
        )


def _refuse_conjoint(table: Table, person: str | None, action: Column) -> None:
    if len(action.sources) == 1 and (task := conjoint_task(table, person, action.source)):
        raise InputError(
            f"{table.where} holds a conjoint: of the rows of each '{task}' one has '{action.source}'; a choice among "
            "profiles needs a question whose options are described by columns, which a study file cannot say; make a "
            "row of each task, with the profiles' attributes in columns and which one was chosen as the action."
        )


def _why(left_out: dict[str, str]) -> str:
    reasons = "; ".join(f"'{name}' {reason}" for name, reason in list(left_out.items())[:6])
    return f" ({reasons})" if reasons else ""


# What is written.


def _findings(detections: list[Detection], chosen: _Chosen, roles: Roles) -> Iterable[str]:
    """What the user should look at."""
    named = {"participant": roles.participant, "weight": roles.weight}
    for detection in detections:
        joined = detection.key == "column" and any(set(detection.columns) <= set(c.sources) for c in chosen.columns)
        if not named.get(detection.key) and not joined:
            yield detection.said + " (the study file says so)" * detection.sure
    for column in chosen.columns:
        yield from column_said(column)
    words = list(dict.fromkeys(word for column in chosen.columns for word in column.missing if isinstance(word, str)))
    if words:
        yield f"read as missing answers: {', '.join(map(repr, words))}"
    if guessed := [f"'{column.source}'" for column in chosen.columns if column.guessed and len(column.values) > 2]:
        yield f"the words of {', '.join(guessed)} are put in the order of their meaning: see whether it is right"


def _study(name: str, chosen: _Chosen, roles: Roles, source: LocalFile, keep: dict[str, Keep]) -> Study:
    everywhere, own = _missing(chosen, roles)
    persona = tuple(persona_field(column, own[column.name]) for column in chosen.persona)
    beliefs = tuple(closed_question(column, "belief", own[column.name]) for column in chosen.beliefs)
    action = closed_question(chosen.action, "action", own[chosen.action.name])
    taken = [question.name for question in (*beliefs, action)] + [variable.name for variable in persona]
    several = len(chosen.treatments) > 1
    baseline = roles.baseline.split(",") if roles.baseline and several else [roles.baseline] if roles.baseline else []
    groups = treatments(chosen.treatments, baseline, taken)
    dummies = tuple(groups[0].codes)
    return Study(
        name=name,
        title=name,
        about="To be written: what people were asked, and why.",
        citation="To be written: who collected the data, and when.",
        licence="To be written: what others may do with the data",
        rights="To be written: who holds the rights; the file is not committed to the repository.",
        source=source,
        participant=chosen.participant,
        weight=chosen.weight,
        keep=keep,
        missing=everywhere,
        instructions=(
            "You take part in a survey. Read the situation and who you are. Then fill in the form as this person "
            "would, one allowed answer a line."
        ),
        treatments=groups,
        persona=persona,
        questions=(*beliefs, action),
        coherence=_coherence(beliefs, action),
        subgroups=_subgroups(persona, chosen.persona),
        regressions=_regressions(beliefs, action, dummies),
    )


def _missing(chosen: _Chosen, roles: Roles) -> tuple[tuple[Raw, ...], dict[str, tuple[Raw, ...]]]:
    """What means a missing answer in all columns, and in each alone: numbers that no other column has for missing."""
    valid = {str(column.raw(value)) for column in chosen.columns for value in column.values}
    found = [(str(raw), raw) for column in chosen.columns for raw in column.missing]
    factors = {str(raw) for column in chosen.treatments for raw in column.missing}
    counted = Counter(key for key, _ in found)
    everywhere = {key: raw for key, raw in found if key not in valid
                  and (isinstance(raw, str) or counted[key] > 1 or key in factors)}  # fmt: skip
    own = {c.name: tuple(raw for raw in c.missing if str(raw) not in everywhere) for c in chosen.columns}
    return tuple((everywhere | {word: word for word in roles.missing if word not in valid}).values()), own


def _coherence(beliefs: tuple[Choice | Scale, ...], action: Choice | Scale) -> SignAgreement | None:
    """Signs can be compared where both scales have zero in the middle; no other rule can be guessed."""
    pairs = tuple((b.name, action.name) for b in beliefs if _around_zero(b) and _around_zero(action))
    return SignAgreement(kind="sign_agreement", pairs=pairs) if pairs else None


def _around_zero(question: Choice | Scale) -> bool:
    return not question.options and question.values[0] == -question.values[-1]


def _subgroups(persona: tuple[PersonaField, ...], columns: tuple[Column, ...]) -> tuple[Subgroup, ...]:
    for variable in persona:
        if variable.levels:
            return (Subgroup(variable=variable.name, label=variable.title),)
    middle = columns[0].numbers[len(columns[0].numbers) // 2]
    return (Subgroup(variable=persona[0].name, label=persona[0].title, cuts=(middle,)),)


def _regressions(
    beliefs: tuple[Choice | Scale, ...], action: Choice | Scale, dummies: tuple[str, ...]
) -> tuple[Regression, ...]:
    """The action on beliefs and treatment, where the action is a number."""
    terms = [f"C({b.name})" if b.nominal else b.name for b in beliefs] + list(dummies)
    if not terms or action.nominal:
        return ()
    formula = f"{action.name} ~ {' + '.join(terms)}"
    binary = set(action.values) == {0, 1} and bool(action.options)
    family: Literal["linear", "logit"] = "logit" if binary else "linear"
    label = f"{action.title} on beliefs and treatment" if dummies else f"{action.title} on beliefs"
    return (Regression(name="action", label=label, formula=formula, family=family, treatment_terms=dummies),)
