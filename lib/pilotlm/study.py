"""The specification of a study: people, treatments, questions, actions and analyses, as data.

A study is a YAML file, ``data/<study>/study.yml``. It is validated when it is loaded, and it can never run code: it
is read by a safe YAML loader, and a formula is held to names and signs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from pilotlm.errors import InputError, nearest, shown
from pilotlm.questions import Allocation, AnyQuestion, Choice, Option, Question, Scale
from pilotlm.records import data_folder
from pilotlm.study_parts import (
    CoherenceRule,
    Derived,
    Download,
    Generated,
    Keep,
    LocalFile,
    MaximisesExpectedPay,
    NearestOption,
    PackageFile,
    PublishedTerm,
    Regression,
    SignAgreement,
    Source,
    Subgroup,
    Threshold,
    Treatment,
)
from pilotlm.variables import (
    LARGEST,
    NAME,
    Level,
    Line,
    PersonaField,
    Raw,
    Spec,
    Text,
    Variable,
    check_known,
    check_unique,
)
from pilotlm.yaml_files import explain_validation, read_yaml

# Whoever speaks of a study imports its parts from here.
__all__ = [
    "LARGEST", "NAME", "RESERVED", "STUDY_FILE_ENDINGS", "STUDY_NAME", "Allocation", "AnyQuestion", "Choice",
    "CoherenceRule", "Derived", "Download", "Generated", "Keep", "Level", "LocalFile", "MaximisesExpectedPay",
    "NearestOption", "Option", "PackageFile", "PersonaField", "PublishedTerm", "Raw", "Regression", "Scale",
    "SignAgreement", "Source", "Study", "Subgroup", "Threshold", "Treatment", "Variable", "load_study", "study_file",
    "study_names",
]  # fmt: skip

STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
RESERVED = frozenset({"study", "arm", "seed", "participant", "draw", "treatment", "in_pilot"})
"""Columns that every table of responses has; no variable of a study may be called so."""
STUDY_FILE_ENDINGS = (".yml", ".yaml")
_Named = TypeVar("_Named", bound=Question | Treatment)


class Study(Spec):
    """A study: see the module's docstring; the shipped files under ``data/`` are commented examples.

    ``label`` is its short plain name on figures and pages; ``design_labels`` says what the design variables, the
    ``codes`` of the treatments, are called there.
    ``participant`` is the column of the data file with the id of who answered a row, where somebody has several rows;
    ``weight`` that of the survey weights. Without them every row is a participant, and all count alike. ``keep`` says,
    column by column of the data file, which of its rows count.
    """

    name: str
    title: Line
    label: Line | None = None
    about: Text
    citation: Text
    doi: Line | None = None
    licence: Text
    rights: Text
    synthetic: bool = False
    source: Source
    participant: str | None = None
    weight: str | None = None
    keep: dict[str, Keep] = Field(default_factory=dict)
    missing: tuple[Raw, ...] = ()
    instructions: Text
    treatments: tuple[Treatment, ...] = Field(min_length=1)
    design_labels: dict[str, Line] = Field(default_factory=dict)
    persona: tuple[PersonaField, ...] = Field(min_length=1)
    covariates: tuple[Variable, ...] = ()
    questions: tuple[AnyQuestion, ...] = Field(min_length=1)
    derived: tuple[Derived, ...] = ()
    coherence: CoherenceRule | None = None
    subgroups: tuple[Subgroup, ...] = ()
    regressions: tuple[Regression, ...] = ()
    _folder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        if not STUDY_NAME.match(self.name):
            raise ValueError(f"study name {self.name!r}: letters, digits, '.', '_' and '-' only")
        check_unique([treatment.name for treatment in self.treatments], "treatments")
        derived = [variable.name for variable in self.derived]
        columns = [*(v.name for v in self.background), *self.answer_columns, *derived, *self.design_columns]
        check_unique(columns, "variables")
        for name in columns:
            if name in RESERVED:
                raise ValueError(f"every table has a column '{name}' already; give the variable another name")
        _check_treatments(self)
        if self.coherence is not None:
            self.coherence.check({question.name: question for question in self.questions}, self.treatments)
        for variable in self.derived:
            for name in variable.of:
                check_known(name, self.answer_columns, f"derived '{variable.name}' uses")
        _check_subgroups(self)
        for regression in self.regressions:
            cluster = [regression.cluster] if regression.cluster else []
            for name in (*regression.variables, *cluster, *regression.only):
                check_known(name, columns, f"formula of '{regression.name}' names")
            for name in regression.nuisance:
                check_known(name, regression.variables[1:], f"nuisance of '{regression.name}' names")
        check_unique([regression.name for regression in self.regressions], "regressions")
        return self

    @property
    def folder(self) -> Path:
        """The folder of the study's file, from which a relative path in it is read."""
        return self._folder or data_folder() / self.name

    @property
    def background(self) -> tuple[Variable, ...]:
        """Persona fields and covariates: what is known of a participant beforehand."""
        return (*self.persona, *self.covariates)

    @property
    def numbers(self) -> dict[str, dict[int, float]]:
        """The columns whose codes stand for other numbers: each code's number."""
        levels: dict[str, tuple[Level, ...]] = {v.name: v.levels or () for v in self.background}
        levels |= {question.name: question.options for question in self.questions}
        valued = {name: found for name, found in levels.items() if any(level.value is not None for level in found)}
        return {name: {level.code: level.number for level in found} for name, found in valued.items()}

    @property
    def design_columns(self) -> tuple[str, ...]:
        """The design variables of the treatments."""
        return tuple(self.treatments[0].codes)

    def design_label(self, column: str) -> str:
        """What a design variable is called: as the file says, by the one treatment that it marks, or its own name."""
        marked = [treatment.label for treatment in self.treatments if treatment.codes[column]]
        return self.design_labels.get(column) or (marked[0] if len(marked) == 1 else column.replace("_", " "))

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The columns of all answers, in the order asked."""
        return tuple(column for question in self.questions for column in question.columns)

    @property
    def belief_columns(self) -> tuple[str, ...]:
        """The columns that make up the belief structure."""
        return self._columns_of("belief")

    @property
    def action_columns(self) -> tuple[str, ...]:
        """The columns of the actions."""
        return self._columns_of("action")

    def _columns_of(self, role: str) -> tuple[str, ...]:
        return tuple(c for question in self.questions if question.role == role for c in question.columns)

    def question(self, name: str) -> AnyQuestion:
        """The question with a name."""
        return self._named("question", self.questions, name)

    def question_of(self, column: str) -> AnyQuestion:
        """The question whose answer stands in a column of the responses."""
        return next(question for question in self.questions if column in question.columns)

    def treatment(self, name: str) -> Treatment:
        """The treatment with a name."""
        return self._named("treatment", self.treatments, name)

    def _named(self, kind: str, parts: Sequence[_Named], name: str) -> _Named:
        known = {part.name: part for part in parts}
        if name not in known:
            raise InputError(f"study '{self.name}' has no {kind} '{name}'; {nearest(name, known)}.")
        return known[name]


def load_study(name: str | Path) -> Study:
    """Read and validate a study: the name of a folder under ``data/``, or the path of a study file."""
    path = study_file(name)
    content = read_yaml(path)
    base = content.pop("extends", None)
    if base is not None:
        if base not in study_names():
            raise InputError(f"{path}: 'extends' names {shown(base)}; {nearest(str(base), study_names())}.")
        content = {**read_yaml(study_file(str(base))), **content}
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {explain_validation(error, Study)}") from None
    if Path(name).suffix not in STUDY_FILE_ENDINGS and study.name != str(name):
        raise InputError(f"{path}: the study's name is '{study.name}', its folder's '{name}'; give both the same name.")
    study._folder = path.resolve().parent
    return study


def study_file(name: str | Path) -> Path:
    """The path of a study's file."""
    path = Path(name)
    if path.suffix in STUDY_FILE_ENDINGS:
        if not path.is_file():
            raise InputError(f"No study file at {path}; write one with `pilotlm new-study NAME --data FILE`.")
        return path
    path = data_folder() / str(name) / "study.yml"
    if not STUDY_NAME.match(str(name)) or not path.is_file():
        allowed = nearest(str(name), study_names())
        raise InputError(f"There is no study {shown(str(name))} under {data_folder()}; {allowed}.")
    return path


def study_names() -> list[str]:
    """The names of the studies under ``data/``."""
    return sorted(path.parent.name for path in data_folder().glob("*/study.yml"))


def _check_treatments(study: Study) -> None:
    for treatment in study.treatments:
        if tuple(treatment.codes) != study.design_columns:
            raise ValueError(
                f"treatment '{treatment.name}' has the codes {list(treatment.codes)}, "
                f"the first treatment has {list(study.design_columns)}; all need the same, in the same order"
            )
    for name in study.design_labels:
        check_known(name, study.design_columns, "design_labels names")


def _check_subgroups(study: Study) -> None:
    background = {variable.name: variable for variable in study.background}
    for subgroup in study.subgroups:
        check_known(subgroup.variable, background, "subgroups name")
        variable = background[subgroup.variable]
        if variable.levels is None and not subgroup.cuts:
            raise ValueError(f"subgroup '{subgroup.variable}' is a number and needs 'cuts'")
        codes = {level.code for level in variable.levels or ()}
        for group, members in (subgroup.groups or {}).items():
            unknown = sorted(set(members) - codes)
            if unknown:
                where = f"group '{group}' of '{subgroup.variable}'"
                raise ValueError(f"{where} has codes {unknown}; allowed: {sorted(codes)}")
