"""What a study file is made of: texts, names and numbers, and the variables that are known of people beforehand."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from pilotlm.errors import nearest, shown

LARGEST = 10**15
"""Numbers of a study lie between this and its negative: whole ones are exact in every table."""
_SCRIPT = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of a text, so that it reads as another one."""

JOINERS = "\u200c\u200d"
"""Invisible, but words of some languages are spelt with them, Persian and Hindi among them."""


def _plain(text: str) -> str:
    for character in text:
        if character in _SCRIPT or (unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r"):
            raise ValueError(f"holds the character {character!r}, which is no text; take it out of {shown(text)}")
    return text


def _one_line(text: str) -> str:
    for character in _plain(text):
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in JOINERS:
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


class Spec(BaseModel):
    """A part of a study file; immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Level(Spec):
    """One value of a category.

    ``code`` stands for it in every table of the project, ``raw`` in the data file (the code itself when absent);
    ``text`` puts it in words, ``value`` is what it is worth in means, effects and regressions (the code when absent).
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

    ``name`` is for tables and formulas, ``column`` for the data file (the same when absent), ``label`` for figures. A
    category has ``levels``: ``ordered`` says that their order means something, so that their values, or else their
    codes, are used as numbers. A number has a ``range``, the smallest and the largest value allowed. ``missing`` means
    a missing value in this column, beside what does in all of them.
    """

    name: str
    column: str | None = None
    label: Line | None = None
    levels: tuple[Level, ...] | None = None
    ordered: bool = False
    range: tuple[Number, Number] | None = None
    missing: tuple[Raw, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Variable:
        check_name(self.name, "variable")
        if (self.levels is None) == (self.range is None):
            raise ValueError(f"'{self.name}' needs either 'levels' (a category) or 'range' (a number), not both")
        if self.levels is not None:
            check_unique([str(level.code) for level in self.levels], f"codes of '{self.name}'")
            check_unique([str(level.raw_value) for level in self.levels], f"raw values of '{self.name}'")
            check_values(self.name, self.levels, self.ordered)
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

    ``text`` is a sentence with the marker ``{value}``, which becomes the number or the level's text.
    """

    text: Text

    @model_validator(mode="after")
    def _has_marker(self) -> PersonaField:
        if "{value}" not in self.text:
            raise ValueError(f"the text of '{self.name}' must hold the marker {{value}}, got {self.text!r}")
        return self


def check_name(name: str, what: str) -> None:
    """Refuse a name that no column or formula can have."""
    if not NAME.match(name):
        raise ValueError(f"{what} name {name!r} must be a letter followed by letters, digits and underscores")
    if keyword.iskeyword(name) or name == "C":
        raise ValueError(f"{what} name {name!r} means something else in a formula; choose another")


def check_known(name: str, allowed: Iterable[str], said: str) -> None:
    """Refuse a name that is not among those allowed; ``said`` tells where it stands."""
    if name not in allowed:
        raise ValueError(f"{said} '{name}'; {nearest(name, allowed)}")


def check_unique(names: list[str], what: str) -> None:
    """Refuse names that stand more than once."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} must differ from each other, but {', '.join(map(repr, twice))} stands more than once")


def check_values(name: str, levels: tuple[Level, ...], ordered: bool) -> None:
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
