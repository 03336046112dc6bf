"""Treatments, sources, coherence rules, derived variables, subgroups and regressions of a study file.

A formula is held to names and the operators ``~ + : *`` and ``C(name)`` before a formula engine sees it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pilotlm.errors import InputError, shown
from pilotlm.questions import AnyQuestion
from pilotlm.variables import Line, Number, Raw, Spec, Text, Whole, check_known, check_name

_NAME = "[A-Za-z][A-Za-z0-9_]*"
_TERM = rf"(?:C\(\s*{_NAME}\s*\)|{_NAME}|[01])"
_FORMULA = re.compile(rf"\s*({_NAME})\s*~\s*-?\s*({_TERM}(?:\s*[-+:*]\s*{_TERM})*)\s*\Z")
_IN_TERMS = re.compile(rf"C\(\s*({_NAME})\s*\)|({_NAME})")
MOST_CROSSED = 4
"""Signs ``*`` in a formula: each doubles its terms."""


class Treatment(Spec):
    """What one group of participants saw.

    ``name`` is its value in the column ``treatment`` of every table, ``label`` its name on figures. ``when`` has the
    values of columns of the data file that mark its participants, ``codes`` the values of the design variables that the
    regressions use; the ``scenario`` is what the participant reads.
    """

    name: str
    label: Line
    when: dict[str, Raw] = Field(default_factory=dict)
    codes: dict[str, Number] = Field(default_factory=dict)
    scenario: Text

    @model_validator(mode="after")
    def _said(self) -> Treatment:
        check_name(self.name, "treatment")
        if not self.scenario.strip():
            raise ValueError(f"treatment '{self.name}' has an empty scenario")
        return self


def _check_inside(file: str) -> str:
    if not file.strip() or Path(file).is_absolute() or ".." in Path(file).parts or file.startswith("~"):
        raise ValueError("must be a path inside its folder: not absolute, without '..' and '~'")
    return file


InnerPath = Annotated[str, AfterValidator(_check_inside)]


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


class Keep(Spec):
    """Which rows of the data file count, by one column; a value alone, or a list of values, stands for ``is_in``.

    The values of rows that count are ``is_in``, of those that do not ``not_in`` ("" is an empty cell); numbers of rows
    that count lie from ``at_least`` to ``at_most``. ``first``: of several rows with the same value, such as an id, the
    first alone counts.
    """

    is_in: tuple[Raw, ...] = ()
    not_in: tuple[Raw, ...] = ()
    at_least: Number | None = None
    at_most: Number | None = None
    first: bool = False

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, dict | Keep):
            return value
        return {"is_in": value if isinstance(value, list) else [value]}

    @model_validator(mode="after")
    def _not_empty(self) -> Keep:
        if self == Keep.model_construct():
            raise ValueError("needs a value, a list of values, or is_in, not_in, at_least, at_most or first")
        return self


class _Rule(Spec):
    """What every coherence rule has; ``_questions`` are the names of the questions that it speaks of."""

    @property
    def _questions(self) -> tuple[str, ...]:
        raise NotImplementedError

    def check(self, questions: Mapping[str, AnyQuestion], treatments: Sequence[Treatment]) -> None:
        """Refuse a rule that does not fit its study."""
        for name in self._questions:
            check_known(name, questions, "coherence names the question")


class MaximisesExpectedPay(_Rule):
    """Incoherent: another action has a higher expected pay under the stated belief.

    The ``belief`` is an allocation over the states, the ``action`` a choice. ``pay`` is by treatment, then by action
    code: the pay in each state, in the order of the allocation's parts.
    """

    kind: Literal["maximises_expected_pay"]
    belief: str
    action: str
    pay: dict[str, dict[Whole, tuple[Number, ...]]]

    @property
    def _questions(self) -> tuple[str, ...]:
        return (self.belief, self.action)

    def check(self, questions: Mapping[str, AnyQuestion], treatments: Sequence[Treatment]) -> None:
        """Refuse a rule whose pay does not fit beliefs and actions."""
        super().check(questions, treatments)
        belief, action = questions[self.belief], questions[self.action]
        if belief.total is None or not action.options:
            raise ValueError("coherence: maximises_expected_pay needs an allocation as belief and a choice as action")
        for treatment in treatments:
            pay = self.pay.get(treatment.name)
            if pay is None:
                raise ValueError(f"coherence: no pay is given for treatment '{treatment.name}'")
            if set(pay) != set(action.values) or any(len(states) != len(belief.columns) for states in pay.values()):
                raise ValueError(
                    f"coherence: pay of '{treatment.name}' needs one list of {len(belief.columns)} numbers for each "
                    f"action code in {sorted(action.values)}"
                )


class NearestOption(_Rule):
    """Incoherent: the chosen option is placed farther from oneself than another, in numbers; ties do not count.

    ``position`` is the question in which participants place themselves, ``options`` has for each code of the
    ``action``, a choice, the question in which that option is placed.
    """

    kind: Literal["nearest_option"]
    position: str
    options: dict[int, str]
    action: str

    @property
    def _questions(self) -> tuple[str, ...]:
        return (self.position, self.action, *self.options.values())


class Threshold(_Rule):
    """Incoherent: (number of the belief >= ``at_least``) differs from (code of the action == ``acts``)."""

    kind: Literal["threshold"]
    belief: str
    at_least: Number
    action: str
    acts: Whole = 1

    @property
    def _questions(self) -> tuple[str, ...]:
        return (self.belief, self.action)


class SignAgreement(_Rule):
    """Incoherent: in any pair, belief and action have opposite signs; zero agrees with everything."""

    kind: Literal["sign_agreement"]
    pairs: tuple[tuple[str, str], ...] = Field(min_length=1)

    @property
    def _questions(self) -> tuple[str, ...]:
        return tuple(name for pair in self.pairs for name in pair)


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
        check_name(self.name, "derived variable")
        if (self.kind == "any_at_least") != (self.at_least is not None):
            raise ValueError(f"'{self.name}': 'at_least' belongs to kind any_at_least, and to it alone")
        return self


class Subgroup(Spec):
    """How people are grouped by a persona field or covariate when the alignment is looked at group by group.

    ``groups`` has for each name the codes that belong to it; each level is a group when absent. Of a number, ``cuts``
    are the values at which a new group starts.
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

    The ``formula`` has names, ``~ + : *`` and ``C(name)`` only; for ``covariance`` see
    `pilotlm.stats.regressions.fit`, and ``cluster`` is a variable to cluster the standard errors on in its place.
    ``only`` has by variable the codes of the rows that are used, all rows when empty. Variables in ``nuisance``, such
    as villages, are only held constant: their terms are estimated, but neither reported nor scored.
    ``treatment_terms`` are effects of the treatment; ``published`` has by term what was published of it, and ``where``.
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
        found = _FORMULA.match(self.formula)
        if not found:
            raise InputError(
                f"formula {shown(self.formula)} must read 'outcome ~ term + term'; only names, '+ : *' and 'C(name)'."
            )
        outcome, right = found[1], found[2]
        if right.count("*") > MOST_CROSSED:
            raise InputError(
                f"formula {shown(self.formula)} has more than {MOST_CROSSED} signs '*'; write fewer crossed terms."
            )
        names = [categorical or name for categorical, name in _IN_TERMS.findall(right)]
        return tuple(dict.fromkeys([outcome, *names]))
