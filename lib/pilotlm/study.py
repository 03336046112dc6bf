"""The specification of a study: people, treatments, questions, actions and analyses, as data.

A study is a YAML file, ``data/<study>/study.yml``. It is validated when it is loaded, and it can never run code: it
is read by a safe YAML loader, and a formula is held to names and the operators ``~ + : *`` and ``C(name)`` before a
formula engine sees it.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from pilotlm.errors import InputError, nearest, shown
from pilotlm.records import data_folder
from pilotlm.yaml_files import explain_validation, read_yaml

LARGEST = 10**15
"""Numbers of a study lie between this and its negative: whole ones are exact in every table."""
_SCRIPT = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of a text, so that it reads as another one."""

_JOINERS = "\u200c\u200d"
"""Invisible, but words of some languages are spelt with them, Persian and Hindi among them."""


def _plain(text: str) -> str:
    for character in text:
        if character in _SCRIPT or (unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r"):
            raise ValueError(f"holds the character {character!r}, which is no text; take it out of {shown(text)}")
    return text


def _one_line(text: str) -> str:
    for character in _plain(text):
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in _JOINERS:
            raise ValueError(f"must be one line of visible characters, but {shown(text)} holds {character!r}")
    if not text or text != text.strip():
        raise ValueError(f"must neither be empty nor begin or end with a blank, got {shown(text)}")
    return text


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {str(value).lower()} (YAML reads a bare yes, no, on and off so)")
    return value


Text = Annotated[str, AfterValidator(_plain)]
"""A text, perhaps of several lines."""
Line = Annotated[str, AfterValidator(_one_line)]
"""A text that stands on one line of the form, or is a name."""
Whole = Annotated[int, BeforeValidator(_no_truth_value), Field(ge=-LARGEST, le=LARGEST)]
Number = Annotated[float, BeforeValidator(_no_truth_value), Field(ge=-LARGEST, le=LARGEST)]
Raw = str | int | float | bool
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
RESERVED = frozenset({"study", "arm", "seed", "participant", "draw", "treatment", "in_pilot"})
"""Columns that every table of responses has; no variable of a study may be called so."""
_NAME = "[A-Za-z][A-Za-z0-9_]*"
_TERM = rf"(?:C\(\s*{_NAME}\s*\)|{_NAME}|[01])"
_FORMULA = re.compile(rf"\s*({_NAME})\s*~\s*-?\s*({_TERM}(?:\s*[-+:*]\s*{_TERM})*)\s*\Z")
_IN_TERMS = re.compile(rf"C\(\s*({_NAME})\s*\)|({_NAME})")
MOST_CROSSED = 4
"""Signs ``*`` in a formula: each doubles its terms."""
STUDY_FILE_ENDINGS = (".yml", ".yaml")
MOST_ANSWERS = 1001
"""Answers that a question may have; a law holds a probability for each."""


class Spec(BaseModel):
    """A part of a study file; immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Level(Spec):
    """One value of a category.

    Attributes
    ----------
    code : int
        The number that stands for it in every table of the project.
    raw : str or number, optional
        What the data file says; the code itself when absent.
    text : str
        How it is put in words.
    value : float, optional
        The number that it is worth in means, effects and regressions; the code when absent.
    """

    code: Whole
    raw: Raw | None = None
    text: Line
    value: Number | None = None

    @field_validator("value", mode="wrap")
    @classmethod
    def _named(cls, value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> float | None:
        try:
            found: float | None = read(value)
        except ValidationError:
            whose = f" of {shown(str(info.data['text']))}" if "text" in info.data else ""
            raise ValueError(
                f"the value{whose} must be a number from {-LARGEST:g} to {LARGEST:g}, got {shown(value)}"
            ) from None
        return found

    @property
    def number(self) -> float:
        """The number that it is worth."""
        return self.code if self.value is None else self.value

    @property
    def raw_value(self) -> Raw:
        """What stands in the data file."""
        return self.code if self.raw is None else self.raw


class Variable(Spec):
    """A column of the data file that the study uses, with the values it may have.

    Attributes
    ----------
    name : str
        Its name in tables and formulas.
    column : str, optional
        Its name in the data file; the same name when absent.
    label : str, optional
        Its name on figures.
    levels : tuple of Level, optional
        For a category.
    ordered : bool
        Whether the levels are in a meaningful order, so that their values, or else their codes, are used as numbers.
    range : (float, float), optional
        For a number, the smallest and the largest value allowed.
    """

    name: str
    column: str | None = None
    label: Line | None = None
    levels: tuple[Level, ...] | None = None
    ordered: bool = False
    range: tuple[Number, Number] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Variable:
        _check_name(self.name, "variable")
        if (self.levels is None) == (self.range is None):
            raise ValueError(f"'{self.name}' needs either 'levels' (a category) or 'range' (a number), not both")
        if self.levels is not None:
            _check_unique([str(level.code) for level in self.levels], f"codes of '{self.name}'")
            _check_unique([str(level.raw_value) for level in self.levels], f"raw values of '{self.name}'")
            _check_values(self.name, self.levels, self.ordered)
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"'{self.name}': range must be [smallest, largest], got {list(self.range)}")
        return self

    @property
    def source_column(self) -> str:
        """The name of the column in the data file."""
        return self.column or self.name

    @property
    def title(self) -> str:
        """The name to show."""
        return self.label or self.name


class PersonaField(Variable):
    """A variable that the prompt says of the participant.

    Attributes
    ----------
    text : str
        A sentence with the marker ``{value}``, which becomes the number or the level's text.
    """

    text: Text

    @model_validator(mode="after")
    def _has_marker(self) -> PersonaField:
        if "{value}" not in self.text:
            raise ValueError(f"the text of '{self.name}' must hold the marker {{value}}, got {self.text!r}")
        return self


class Question(Spec):
    """What every kind of question has.

    Attributes
    ----------
    name : str
        Its column in the responses.
    role : {"belief", "action", "other"}
        Beliefs make up the belief structure; actions are what the study is about.
    text : str
        The question as the participant reads it.
    form : str, optional
        What stands before the answer on the form; the name when absent.
    label : str, optional
        Its name on figures.
    """

    name: str
    role: Literal["belief", "action", "other"]
    text: Text
    form: Line | None = None
    label: Line | None = None

    @model_validator(mode="after")
    def _named(self) -> Question:
        _check_name(self.name, "question")
        return self

    @property
    def title(self) -> str:
        """The name to show."""
        return self.label or self.name

    @property
    def form_label(self) -> str:
        """What stands before the answer on the form."""
        return self.form or self.name


class Option(Level):
    """One option of a choice.

    Attributes
    ----------
    answer : str, optional
        What a participant writes to choose it; the code when absent.
    """

    answer: Line | None = None

    @property
    def written(self) -> str:
        """What a participant writes to choose it."""
        return self.answer if self.answer is not None else str(self.code)


class Choice(Question):
    """A closed question with named options, in the order in which they are offered."""

    kind: Literal["choice"] = "choice"
    column: str | None = None
    ordered: bool = False
    options: tuple[Option, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _distinct(self) -> Choice:
        _check_unique([str(option.code) for option in self.options], f"codes of '{self.name}'")
        # A model and a reader must be able to tell answers apart.
        _check_unique([_folded(option.written) for option in self.options], f"answers of '{self.name}'")
        _check_unique([str(option.raw_value) for option in self.options], f"raw values of '{self.name}'")
        _check_values(self.name, self.options, self.ordered)
        return self


class Scale(Question):
    """A whole number from ``low`` to ``high``; ``ends`` says in words what the two ends mean."""

    kind: Literal["scale"] = "scale"
    column: str | None = None
    low: Whole
    high: Whole
    step: Whole = Field(default=1, ge=1)
    ends: tuple[Line, Line] | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Scale:
        if self.high - self.low < self.step:
            raise ValueError(f"'{self.name}': high must exceed low by at least one step")
        if (self.high - self.low) % self.step:
            raise ValueError(f"'{self.name}': the steps of {self.step} from {self.low} do not end at {self.high}")
        _check_number_of_answers(self.name, (self.high - self.low) // self.step + 1)
        return self


class Part(Spec):
    """One part of an allocation."""

    name: str
    column: str | None = None
    text: Line

    @model_validator(mode="after")
    def _named(self) -> Part:
        _check_name(self.name, "part")
        return self


class Allocation(Question):
    """Numbers on a grid, one a part, that sum to ``total``."""

    kind: Literal["allocation"] = "allocation"
    parts: tuple[Part, ...] = Field(min_length=2)
    total: Whole = Field(default=100, gt=0)
    step: Whole = Field(default=5, gt=0)

    @model_validator(mode="after")
    def _possible(self) -> Allocation:
        _check_unique([part.name for part in self.parts], f"parts of '{self.name}'")
        if self.total % self.step:
            raise ValueError(f"'{self.name}': steps of {self.step} never sum to {self.total}")
        _check_number_of_answers(self.name, self.total // self.step + 1)
        return self

    def column_of(self, part: Part) -> str:
        """The column of a part in the responses."""
        return f"{self.name}_{part.name}"


AnyQuestion = Annotated[Choice | Scale | Allocation, Field(discriminator="kind")]


class Treatment(Spec):
    """What one group of participants saw.

    Attributes
    ----------
    name : str
        Its value in the column ``treatment`` of every table.
    label : str
        Its name on figures.
    when : dict
        The values of columns of the data file that mark its participants.
    codes : dict
        The values of the design variables that the regressions use.
    scenario : str
        What the participant reads.
    """

    name: str
    label: Line
    when: dict[str, Raw] = Field(default_factory=dict)
    codes: dict[str, Number] = Field(default_factory=dict)
    scenario: Text

    @model_validator(mode="after")
    def _said(self) -> Treatment:
        _check_name(self.name, "treatment")
        if not self.scenario.strip():
            raise ValueError(f"treatment '{self.name}' has an empty scenario")
        return self


InnerPath = Annotated[str, AfterValidator(lambda file: _check_inside(file))]


class PackageFile(Spec):
    """A file inside an installed package."""

    kind: Literal["package"]
    package: str
    file: InnerPath
    sha256: str
    separator: str = ","


class Download(Spec):
    """A file at a pinned address, checked when it arrives; a folder named by ``PILOTLM_DATA`` goes before it."""

    kind: Literal["url"]
    url: str
    file: InnerPath
    sha256: str
    separator: str = ","


class LocalFile(Spec):
    """A file of the user's, inside the study's own folder."""

    kind: Literal["file"]
    file: InnerPath
    separator: str = ","
    how_to_get: str = ""


class Generated(Spec):
    """People drawn from a generator of the library: the truth is known, and they are nobody."""

    kind: Literal["generator"]
    generator: str
    n: Whole = Field(gt=0, le=1_000_000)
    seed: Whole = Field(default=1, ge=0)


Source = Annotated[PackageFile | Download | LocalFile | Generated, Field(discriminator="kind")]


class MaximisesExpectedPay(Spec):
    """Incoherent: another action has a higher expected pay under the stated belief.

    Attributes
    ----------
    belief : str
        An allocation question over the states.
    action : str
        A choice question.
    pay : dict
        Treatment, then action code, then the pay in each state, in the order of the allocation's parts.
    """

    kind: Literal["maximises_expected_pay"]
    belief: str
    action: str
    pay: dict[str, dict[Whole, tuple[Number, ...]]]


class NearestOption(Spec):
    """Incoherent: the chosen option is placed farther from oneself than another, in numbers; ties do not count.

    Attributes
    ----------
    position : str
        The question in which participants place themselves.
    options : dict
        Action code, then the question in which that option is placed.
    action : str
        A choice question.
    """

    kind: Literal["nearest_option"]
    position: str
    options: dict[int, str]
    action: str


class Threshold(Spec):
    """Incoherent: (number of the belief >= ``at_least``) differs from (code of the action == ``acts``)."""

    kind: Literal["threshold"]
    belief: str
    at_least: Number
    action: str
    acts: Whole = 1


class SignAgreement(Spec):
    """Incoherent: in any pair, belief and action have opposite signs; zero agrees with everything."""

    kind: Literal["sign_agreement"]
    pairs: tuple[tuple[str, str], ...] = Field(min_length=1)


CoherenceRule = Annotated[MaximisesExpectedPay | NearestOption | Threshold | SignAgreement, Field(discriminator="kind")]


class Derived(Spec):
    """A variable computed from the numbers of questions: their mean, or whether any reaches ``at_least``."""

    name: str
    label: Line | None = None
    kind: Literal["mean", "any_at_least"]
    of: tuple[str, ...] = Field(min_length=1)
    at_least: Number | None = None

    @model_validator(mode="after")
    def _complete(self) -> Derived:
        _check_name(self.name, "derived variable")
        if (self.kind == "any_at_least") != (self.at_least is not None):
            raise ValueError(f"'{self.name}': 'at_least' belongs to kind any_at_least, and to it alone")
        return self


class Subgroup(Spec):
    """How people are grouped when the alignment is looked at group by group.

    Attributes
    ----------
    variable : str
        A persona field or covariate.
    label : str
        Its name on figures.
    groups : dict, optional
        Group name, then the codes that belong to it; each level is a group when absent.
    cuts : tuple of float, optional
        For a number: the values at which a new group starts.
    """

    variable: str
    label: Line
    groups: dict[Line, tuple[Whole, ...]] | None = None
    cuts: tuple[Number, ...] | None = None


class PublishedTerm(Spec):
    """A coefficient as it was published or re-estimated; ``stars`` is "ns" where p > .05."""

    coefficient: float | None = None
    standard_error: float | None = None
    stars: Literal["***", "**", "*", "ns"] | None = None


class Regression(Spec):
    """A regression of the study.

    Attributes
    ----------
    name, label : str
        Its name in tables and on figures.
    formula : str
        Names, ``~ + : *`` and ``C(name)`` only.
    family : {"linear", "logit", "probit"}
        The model.
    covariance : {"classical", "robust"}
        The standard errors; see `pilotlm.measures.regressions.fit`.
    cluster : str, optional
        A variable to cluster the standard errors on, in place of ``covariance``.
    only : dict
        Variable, then the codes of the rows that the regression uses; all rows when empty.
    nuisance : tuple of str
        Variables of the formula that are only held constant, such as villages: their terms are estimated, but neither
        reported nor scored.
    treatment_terms : tuple of str
        The terms that are effects of the treatment.
    published : dict
        Term, then what was published of it.
    where : str
        Where it was published.
    """

    name: Line
    label: Line
    formula: str
    family: Literal["linear", "logit", "probit"]
    covariance: Literal["classical", "robust"] = "classical"
    cluster: str | None = None
    only: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    nuisance: tuple[str, ...] = ()
    treatment_terms: tuple[str, ...] = ()
    published: dict[str, PublishedTerm] = Field(default_factory=dict)
    where: str = ""

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The names that the formula uses, outcome first."""
        return _formula_names(self.formula)


class Study(Spec):
    """A study: see the module's docstring; the shipped files under ``data/`` are commented examples.

    ``design_labels`` says what the design variables, the ``codes`` of the treatments, are called on figures.
    """

    name: str
    title: Line
    about: Text
    citation: Text
    doi: Line | None = None
    licence: Text
    rights: Text
    synthetic: bool = False
    source: Source
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
        _check_unique([treatment.name for treatment in self.treatments], "treatments")
        _check_unique(list(self._columns()), "variables")
        for name in self._columns():
            if name in RESERVED:
                raise ValueError(f"every table has a column '{name}' already; give the variable another name")
        _check_treatments(self)
        _check_rule(self)
        _check_derived(self)
        _check_subgroups(self)
        for regression in self.regressions:
            cluster = [regression.cluster] if regression.cluster else []
            for name in (*regression.variables, *cluster, *regression.only):
                self._known(name, f"formula of '{regression.name}'")
            for name in regression.nuisance:
                if name not in regression.variables[1:]:
                    allowed = nearest(name, regression.variables[1:])
                    raise ValueError(f"nuisance of '{regression.name}' names '{name}'; {allowed}")
        _check_unique([regression.name for regression in self.regressions], "regressions")
        return self

    def _columns(self) -> Iterator[str]:
        yield from (variable.name for variable in self.background)
        yield from self.answer_columns
        yield from (variable.name for variable in self.derived)
        yield from self.design_columns

    def _known(self, name: str, where: str) -> None:
        if name not in set(self._columns()):
            raise ValueError(f"{where} names '{name}'; {nearest(name, self._columns())}")

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
        levels |= {q.name: q.options for q in self.questions if isinstance(q, Choice)}
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
        return tuple(column for question in self.questions for column in columns_of(question))

    def columns_with_role(self, role: str) -> tuple[str, ...]:
        """The answer columns of the questions with a role."""
        return tuple(c for question in self.questions if question.role == role for c in columns_of(question))

    @property
    def belief_columns(self) -> tuple[str, ...]:
        """The columns that make up the belief structure."""
        return self.columns_with_role("belief")

    @property
    def action_columns(self) -> tuple[str, ...]:
        """The columns of the actions."""
        return self.columns_with_role("action")

    def question(self, name: str) -> Choice | Scale | Allocation:
        """The question with a name.

        Raises
        ------
        InputError
            If there is none.
        """
        for question in self.questions:
            if question.name == name:
                return question
        allowed = nearest(name, [q.name for q in self.questions])
        raise InputError(f"study '{self.name}' has no question '{name}'; {allowed}.")

    def treatment(self, name: str) -> Treatment:
        """The treatment with a name.

        Raises
        ------
        InputError
            If there is none.
        """
        for treatment in self.treatments:
            if treatment.name == name:
                return treatment
        allowed = nearest(name, [t.name for t in self.treatments])
        raise InputError(f"study '{self.name}' has no treatment '{name}'; {allowed}.")


def columns_of(question: Choice | Scale | Allocation) -> tuple[str, ...]:
    """The columns in the responses that hold the answer to a question."""
    if isinstance(question, Allocation):
        return tuple(question.column_of(part) for part in question.parts)
    return (question.name,)


def values_of(question: Choice | Scale | Allocation) -> tuple[int, ...]:
    """The values that an answer (for an allocation: a part of it) may have, in order."""
    if isinstance(question, Choice):
        return tuple(option.code for option in question.options)
    if isinstance(question, Scale):
        return tuple(range(question.low, question.high + 1, question.step))
    return tuple(range(0, question.total + 1, question.step))


def numbers_of(question: Choice | Scale | Allocation) -> tuple[float, ...]:
    """The numbers that the values of an answer are worth, in the same order: they differ where options have a value."""
    if isinstance(question, Choice):
        return tuple(option.number for option in question.options)
    return values_of(question)


def load_study(name: str | Path) -> Study:
    """Read and validate a study.

    Parameters
    ----------
    name : str or Path
        The name of a folder under ``data/``, or the path of a study file.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        If there is no such study or its file is not valid; the message names the culprit and what is allowed.
    """
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
    """The path of a study's file.

    Raises
    ------
    InputError
        If there is none.
    """
    path = Path(name)
    if path.suffix in STUDY_FILE_ENDINGS:
        if not path.is_file():
            raise InputError(f"No study file at {path}; write one with `pilotlm new-study NAME --data FILE`.")
        return path
    if not STUDY_NAME.match(str(name)) or not (data_folder() / str(name) / "study.yml").is_file():
        raise InputError(
            f"There is no study {shown(str(name))} under {data_folder()}; {nearest(str(name), study_names())}."
        )
    return data_folder() / str(name) / "study.yml"


def study_names() -> list[str]:
    """The names of the studies under ``data/``."""
    return sorted(path.parent.name for path in data_folder().glob("*/study.yml"))


def _check_name(name: str, what: str) -> None:
    if not NAME.match(name):
        raise ValueError(f"{what} name {name!r} must be a letter followed by letters, digits and underscores")
    if keyword.iskeyword(name) or name == "C":
        raise ValueError(f"{what} name {name!r} means something else in a formula; choose another")


def _check_number_of_answers(name: str, count: int) -> None:
    if count > MOST_ANSWERS:
        raise ValueError(f"'{name}' has {count} answers; at most {MOST_ANSWERS} are allowed, choose a larger step")


def _check_inside(file: str) -> str:
    if not file.strip() or Path(file).is_absolute() or ".." in Path(file).parts or file.startswith("~"):
        raise ValueError("must be a path inside its folder: not absolute, without '..' and '~'")
    return file


def _check_unique(names: list[str], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} must differ from each other, but {', '.join(map(repr, twice))} stands more than once")


def _check_values(name: str, levels: tuple[Level, ...], ordered: bool) -> None:
    """All levels have a value or none; the values rise, as the order does."""
    valued = [(level, level.value) for level in levels if level.value is not None]
    if not valued:
        return
    if len(valued) < len(levels):
        lacking = next(level for level in levels if level.value is None)
        raise ValueError(
            f"'{name}': {shown(lacking.text)} has no value but {shown(valued[0][0].text)} has; give a value to all or "
            "to none"
        )
    if not ordered and len(levels) > 2:
        raise ValueError(f"'{name}' has values, so it has an order; add 'ordered: true', or take the values out")
    for (_, before), (level, value) in pairwise(valued):
        if not before < value:
            raise ValueError(
                f"'{name}': values must rise from one to the next, but {shown(level.text)} has {value:.15g} after "
                f"{before:.15g}; list them from the smallest to the largest value"
            )


def _folded(text: str) -> str:
    """What a text has in common with those that look like it (full-width letters, joined accents)."""
    return unicodedata.normalize("NFKC", text.translate(dict.fromkeys(map(ord, _JOINERS))))


def _check_treatments(study: Study) -> None:
    for treatment in study.treatments:
        if tuple(treatment.codes) != study.design_columns:
            raise ValueError(
                f"treatment '{treatment.name}' has the codes {list(treatment.codes)}, "
                f"the first treatment has {list(study.design_columns)}; all need the same, in the same order"
            )
    for name in study.design_labels:
        if name not in study.design_columns:
            raise ValueError(f"design_labels names '{name}'; {nearest(name, study.design_columns)}")


def _check_rule(study: Study) -> None:
    rule = study.coherence
    questions = {question.name: question for question in study.questions}

    def need(name: str) -> Choice | Scale | Allocation:
        if name not in questions:
            raise ValueError(f"coherence names the question '{name}'; {nearest(name, questions)}")
        return questions[name]

    if isinstance(rule, MaximisesExpectedPay):
        belief, action = need(rule.belief), need(rule.action)
        if not isinstance(belief, Allocation) or not isinstance(action, Choice):
            raise ValueError("coherence: maximises_expected_pay needs an allocation as belief and a choice as action")
        codes = {option.code for option in action.options}
        for treatment in study.treatments:
            pay = rule.pay.get(treatment.name)
            if pay is None:
                raise ValueError(f"coherence: no pay is given for treatment '{treatment.name}'")
            if set(pay) != codes or any(len(states) != len(belief.parts) for states in pay.values()):
                raise ValueError(
                    f"coherence: pay of '{treatment.name}' needs one list of {len(belief.parts)} numbers for each "
                    f"action code in {sorted(codes)}"
                )
    elif isinstance(rule, NearestOption):
        for name in (rule.position, rule.action, *rule.options.values()):
            need(name)
    elif isinstance(rule, Threshold):
        need(rule.belief), need(rule.action)
    elif isinstance(rule, SignAgreement):
        for pair in rule.pairs:
            need(pair[0]), need(pair[1])


def _check_derived(study: Study) -> None:
    for derived in study.derived:
        for name in derived.of:
            if name not in study.answer_columns:
                raise ValueError(f"derived '{derived.name}' uses '{name}'; {nearest(name, study.answer_columns)}")


def _check_subgroups(study: Study) -> None:
    background = {variable.name: variable for variable in study.background}
    for subgroup in study.subgroups:
        if subgroup.variable not in background:
            raise ValueError(f"subgroups name '{subgroup.variable}'; {nearest(subgroup.variable, background)}")
        variable = background[subgroup.variable]
        if variable.levels is None and not subgroup.cuts:
            raise ValueError(f"subgroup '{subgroup.variable}' is a number and needs 'cuts'")
        codes = {level.code for level in variable.levels or ()}
        for group, members in (subgroup.groups or {}).items():
            unknown = sorted(set(members) - codes)
            if unknown:
                where = f"group '{group}' of '{subgroup.variable}'"
                raise ValueError(f"{where} has codes {unknown}; allowed: {sorted(codes)}")


def _formula_names(formula: str) -> tuple[str, ...]:
    found = _FORMULA.match(formula)
    if not found:
        raise InputError(
            f"formula {shown(formula)} must read 'outcome ~ term + term'; only names, '+ : *' and 'C(name)'."
        )
    outcome, right = found[1], found[2]
    if right.count("*") > MOST_CROSSED:
        raise InputError(f"formula {shown(formula)} has more than {MOST_CROSSED} signs '*'; write fewer crossed terms.")
    names = [categorical or name for categorical, name in _IN_TERMS.findall(right)]
    return tuple(dict.fromkeys([outcome, *names]))
