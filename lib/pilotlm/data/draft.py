"""A start for a study of one's own: a commented study file, guessed from the columns of a CSV file, that loads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from pilotlm.data.columns import (
    Column,
    closed_question,
    find_separator,
    needs_closed_question,
    persona_field,
    read_columns,
    treatments,
)
from pilotlm.data.draft_text import Draft, card_text, study_text
from pilotlm.data.sources import load_people
from pilotlm.errors import InputError, nearest
from pilotlm.records import data_folder, whole_folder
from pilotlm.study import (
    STUDY_FILE_ENDINGS,
    STUDY_NAME,
    Choice,
    LocalFile,
    PersonaField,
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


@dataclass(frozen=True)
class Roles:
    """Which columns of a file are what, as the user says it; what is not said is guessed.

    Attributes
    ----------
    action : str or None
        The column of the action.
    beliefs, persona : tuple of str
        The columns of the beliefs and of the persona fields.
    treatment : str or None
        The column of the treatment; a single treatment when absent.
    """

    action: str | None = None
    beliefs: tuple[str, ...] = ()
    persona: tuple[str, ...] = ()
    treatment: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """All columns named."""
        single = [name for name in (self.action, self.treatment) if name is not None]
        return (*single, *self.beliefs, *self.persona)


@dataclass(frozen=True, eq=False)
class _Chosen:
    action: Column
    beliefs: tuple[Column, ...]
    persona: tuple[Column, ...]
    treatment: Column | None
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[Column, ...]:
        treatment = (self.treatment,) if self.treatment else ()
        return (*treatment, *self.persona, *self.beliefs, self.action)


def draft_study(name: str, data: Path, roles: Roles) -> Path:
    """Write ``data/<name>``: a commented study file, a card, and a copy of the user's file.

    What the roles do not say is guessed: the action is the last column of use, the beliefs are up to two columns of
    use before it, the persona the others (at most eight). The file written says what was guessed and what was left
    out. It loads as it is, and so do its people.

    Parameters
    ----------
    name : str
        The study's name, a new folder under ``data``.
    data : Path
        A CSV file with a line of column names; the separator is a comma, a semicolon or a tab.
    roles : Roles
        Which columns are what.

    Returns
    -------
    Path
        The study file.

    Raises
    ------
    InputError
        If the name is not allowed or taken, the file is missing or no table, or a column cannot be what it should be.
    """
    folder = _new_folder(name)
    if not data.is_file():
        raise InputError(f"There is no file {data}; name a CSV file with --data.")
    separator = find_separator(data)
    columns, missing = read_columns(data, separator)
    chosen = _choose(columns, roles, data)
    _check_complete(chosen, data)
    try:
        draft = Draft(_study(name, chosen, separator, missing), data.name, chosen.left_out)
    except ValidationError as error:
        raise InputError(f"{data} gives no study: {explain_validation(error, Study)}") from None
    with whole_folder(folder) as temporary:
        shutil.copyfile(data, temporary / f"{name}.csv")
        (temporary / "study.yml").write_text(study_text(draft), encoding="utf-8")
        (temporary / "card.md").write_text(card_text(draft, columns[0].rows), encoding="utf-8")
        load_people(load_study(temporary / "study.yml"))
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


def _choose(columns: list[Column], roles: Roles, data: Path) -> _Chosen:
    known = {column.source: column for column in columns}
    _check_named(roles, known, data)
    named = [known[name] for name in roles.named]
    left_out = {c.source: c.useless for c in columns if c.useless and c not in named}
    free = [column for column in columns if column not in named and column.source not in left_out]
    action = known[roles.action] if roles.action is not None else _last(free, data)
    free = [column for column in free if column != action]
    needed = 0 if roles.persona else 1
    beliefs = tuple(known[b] for b in roles.beliefs) or _beliefs(columns, free, action, needed)
    persona = tuple(known[p] for p in roles.persona)
    rest = [column for column in free if column not in beliefs]
    if not persona:
        persona, rest = tuple(rest[:MOST_PERSONA]), rest[MOST_PERSONA:]
    left_out |= {column.source: "was not needed: name it with --persona or --beliefs to use it" for column in rest}
    if not persona:
        raise InputError(
            f"{data} leaves no column for the persona: beside the action one column at least must differ between "
            f"people{_why(left_out)}."
        )
    treatment = known[roles.treatment] if roles.treatment is not None else None
    return _Chosen(action, beliefs, persona, treatment, left_out)


def _check_named(roles: Roles, known: Iterable[str], data: Path) -> None:
    for name in roles.named:
        if name not in known:
            raise InputError(f"{data} has no column '{name}'; {nearest(name, known)}.")
        if roles.named.count(name) > 1:
            raise InputError(f"The column '{name}' is named twice; a column can be one thing only.")


def _last(free: list[Column], data: Path) -> Column:
    if not free:
        raise InputError(
            f"{data} has no column of use for the action: one that has more than one value, and is no text or number "
            "of its own in every row; name it with --action if there is one."
        )
    return free[-1]


def _beliefs(columns: list[Column], free: list[Column], action: Column, needed: int) -> tuple[Column, ...]:
    """The last columns before the action that can be asked, as long as enough are left for the persona."""
    before = columns[: columns.index(action)]
    askable = [column for column in free if column in before and closed_question(column, "belief") is not None]
    most = min(MOST_BELIEFS, len(free) - needed)
    return tuple(askable[-most:]) if most > 0 else ()


def _check_complete(chosen: _Chosen, data: Path) -> None:
    """Rows that lack a value are dropped; some must remain."""
    if not np.logical_and.reduce([column.present for column in chosen.columns]).any():
        emptiest = min(chosen.columns, key=lambda column: column.filled)
        raise InputError(
            f"No row of {data} has a value in all of the columns {', '.join(c.source for c in chosen.columns)}; the "
            f"emptiest is '{emptiest.source}' ({emptiest.filled} of {emptiest.rows} rows): choose other columns with "
            "--action, --beliefs and --persona."
        )


def _why(left_out: dict[str, str]) -> str:
    reasons = "; ".join(f"'{name}' {reason}" for name, reason in left_out.items())
    return f" ({reasons})" if reasons else ""


def _study(name: str, chosen: _Chosen, separator: str, missing: tuple[str, ...]) -> Study:
    persona = tuple(persona_field(column) for column in chosen.persona)
    beliefs = tuple(needs_closed_question(column, "belief") for column in chosen.beliefs)
    action = needs_closed_question(chosen.action, "action")
    taken = [question.name for question in (*beliefs, action)] + [variable.name for variable in persona]
    groups = treatments(chosen.treatment, taken)
    dummies = tuple(groups[0].codes)
    return Study(
        name=name,
        title=name,
        about="To be written: what people were asked, and why.",
        citation="To be written: who collected the data, and when.",
        licence="To be written: what others may do with the data",
        rights="To be written: who holds the rights; the file is not committed to the repository.",
        source=LocalFile(kind="file", file=f"{name}.csv", separator=separator),
        missing=missing,
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
    numbers = columns[0].numbers or ()
    middle = numbers[len(numbers) // 2]
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
