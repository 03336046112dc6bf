"""The kinds of questions of a study file, and what each says for itself.

Every kind knows its columns, its values and the numbers that they are worth, whether these have an order, how the form
words it, and what somebody answers who takes every answer for equally likely. No other module asks which kind a
question is.
"""

from __future__ import annotations

import math
import unicodedata
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pilotlm.variables import JOINERS, Level, Line, Raw, Spec, Text, Whole, check_name, check_unique, check_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_ANSWERS = 1001
"""Answers that a question may have; a distribution holds a probability for each."""


class Question(Spec):
    """What every kind of question has.

    Questions with the ``role`` belief make up the belief structure, those with the role action are what the study is
    about. ``text`` is what the participant reads, ``form`` what stands before the answer on the form (the name when
    absent), ``label`` the name on figures; ``missing`` means no answer, beside what does in all columns.
    """

    name: str
    role: Literal["belief", "action", "other"]
    text: Text
    form: Line | None = None
    label: Line | None = None
    missing: tuple[Raw, ...] = ()

    @model_validator(mode="after")
    def _named(self) -> Question:
        check_name(self.name, "question")
        return self

    @property
    def title(self) -> str:
        """The name to show."""
        return self.label or self.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in the responses that hold the answer."""
        return (self.name,)

    @property
    def asked_columns(self) -> tuple[str, ...]:
        """Those of the columns that are asked; the others follow from them."""
        return self.columns

    @property
    @abstractmethod
    def values(self) -> tuple[int, ...]:
        """The values that an answer (for an allocation: a part of it) may have, in order."""

    @property
    def numbers(self) -> tuple[float, ...]:
        """The numbers that the values are worth, in the same order: they differ where options have a value."""
        return self.values

    @property
    def written(self) -> tuple[str, ...]:
        """How each value is written on the form."""
        return tuple(str(value) for value in self.values)

    @property
    def nominal(self) -> bool:
        """Whether the values are more than two and in no order, so that they have no mean."""
        return False

    @property
    def joint_answers(self) -> int:
        """How many answers to the whole question there are."""
        return len(self.values)

    @property
    @abstractmethod
    def source_columns(self) -> dict[str, tuple[str, ...]]:
        """For each column of the responses its name in the data file, or names of which one is filled in each row."""

    @property
    def form_labels(self) -> tuple[str, ...]:
        """What stands before the answer on the form, for each column."""
        return (self.form or self.name,)

    def titles(self, title: str) -> dict[str, str]:
        """For each column the name to show, where the question is called ``title``."""
        return {self.name: title}

    @abstractmethod
    def answer_rule(self, backwards: bool = False) -> str:
        """What may be answered, in words; ``backwards`` names it from the last to the first."""

    def asked(self, backwards: bool = False) -> str:
        """The question as the form puts it: its text and what may be answered."""
        return f"{self.form_labels[0]}: {' '.join(self.text.split())} ({self.answer_rule(backwards)})"

    @property
    def uniform_probabilities(self) -> tuple[float, ...]:
        """How likely each value of a column is where every answer to the question is as likely as any other."""
        return (1 / len(self.values),) * len(self.values)

    def uniform_answers(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw answers, each as likely as any other: (n, columns)."""
        return rng.choice(self.values, size=(n, 1))

    def ways_to_finish(self, earlier: NDArray[np.int64]) -> NDArray[np.float64]:
        """In how many ways the question can be finished after each value, (rows, values); 0 where one is not valid.

        ``earlier``, (rows, k), are the answers to the k columns of the question before this one.
        """
        import numpy as np

        return np.ones((len(earlier), len(self.values)))


class Option(Level):
    """One option of a choice; ``answer`` is what a participant writes to choose it, the code when absent."""

    answer: Line | None = None

    @property
    def written(self) -> str:
        """What a participant writes to choose it."""
        return self.answer if self.answer is not None else str(self.code)


class _OfOneColumn(Question):
    """A question with one answer; ``column`` is its name in the data file, or names of which one is filled in a row."""

    column: str | tuple[str, ...] | None = None
    total: ClassVar[int | None] = None

    @property
    def source_columns(self) -> dict[str, tuple[str, ...]]:
        return {self.name: _listed(self.column or self.name)}


class Choice(_OfOneColumn):
    """A closed question with named options, in the order in which they are offered."""

    kind: Literal["choice"] = "choice"
    ordered: bool = False
    options: tuple[Option, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _distinct(self) -> Choice:
        check_unique([str(option.code) for option in self.options], f"codes of '{self.name}'")
        # A model and a reader must be able to tell answers apart.
        check_unique([_folded(option.written) for option in self.options], f"answers of '{self.name}'")
        check_unique([str(option.raw_value) for option in self.options], f"raw values of '{self.name}'")
        check_values(self.name, self.options, self.ordered)
        return self

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(option.code for option in self.options)

    @property
    def numbers(self) -> tuple[float, ...]:
        return tuple(option.number for option in self.options)

    @property
    def written(self) -> tuple[str, ...]:
        return tuple(option.written for option in self.options)

    @property
    def nominal(self) -> bool:
        return not self.ordered and len(self.options) > 2

    def answer_rule(self, backwards: bool = False) -> str:
        options = [o.written if o.written == o.text else f"{o.written} = {o.text}" for o in self.options]
        return "; ".join(reversed(options) if backwards else options)


class Scale(_OfOneColumn):
    """A whole number from ``low`` to ``high``; ``ends`` says in words what the two ends mean."""

    kind: Literal["scale"] = "scale"
    low: Whole
    high: Whole
    step: Whole = Field(default=1, ge=1)
    ends: tuple[Line, Line] | None = None
    ordered: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = ()

    @model_validator(mode="after")
    def _not_empty(self) -> Scale:
        if self.high - self.low < self.step:
            raise ValueError(f"'{self.name}': high must exceed low by at least one step")
        if (self.high - self.low) % self.step:
            raise ValueError(f"'{self.name}': the steps of {self.step} from {self.low} do not end at {self.high}")
        _check_number_of_answers(self.name, (self.high - self.low) // self.step + 1)
        return self

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1, self.step))

    def answer_rule(self, backwards: bool = False) -> str:
        low, high = (f" = {end}" for end in self.ends) if self.ends else ("", "")
        ends = [f"{self.low}{low}", f"{self.high}{high}"]
        step = f" in steps of {self.step}" if self.step > 1 else ""
        return " to ".join(reversed(ends) if backwards else ends) + step


class Part(Spec):
    """One part of an allocation."""

    name: str
    column: str | None = None
    text: Line

    @model_validator(mode="after")
    def _named(self) -> Part:
        check_name(self.name, "part")
        return self


class Allocation(Question):
    """Numbers on a grid, one a part, that sum to ``total``; the last part follows from the others and is not asked."""

    kind: Literal["allocation"] = "allocation"
    parts: tuple[Part, ...] = Field(min_length=2)
    total: Whole = Field(default=100, gt=0)
    step: Whole = Field(default=5, gt=0)
    ordered: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = ()

    @model_validator(mode="after")
    def _possible(self) -> Allocation:
        check_unique([part.name for part in self.parts], f"parts of '{self.name}'")
        if self.total % self.step:
            raise ValueError(f"'{self.name}': steps of {self.step} never sum to {self.total}")
        _check_number_of_answers(self.name, self._steps + 1)
        return self

    @property
    def _steps(self) -> int:
        return self.total // self.step

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{part.name}" for part in self.parts)

    @property
    def asked_columns(self) -> tuple[str, ...]:
        return self.columns[:-1]

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(range(0, self.total + 1, self.step))

    @property
    def joint_answers(self) -> int:
        return math.comb(self._steps + len(self.parts) - 1, len(self.parts) - 1)

    @property
    def source_columns(self) -> dict[str, tuple[str, ...]]:
        return {name: _listed(part.column or name) for name, part in zip(self.columns, self.parts, strict=True)}

    @property
    def form_labels(self) -> tuple[str, ...]:
        return tuple(part.text for part in self.parts)

    def titles(self, title: str) -> dict[str, str]:
        return {name: f"{title}: {part.text}" for name, part in zip(self.columns, self.parts, strict=True)}

    def answer_rule(self, backwards: bool = False) -> str:
        return f"numbers in steps of {self.step} that sum to {self.total}: {', '.join(self.form_labels)}"

    def asked(self, backwards: bool = False) -> str:
        return f"{' '.join(self.text.split())} ({self.answer_rule(backwards)})"

    @property
    def uniform_probabilities(self) -> tuple[float, ...]:
        # k of T steps for one of P parts leave C(T - k + P - 2, P - 2) ways to fill the others.
        others = len(self.parts) - 2
        return tuple(math.comb(self._steps - k + others, others) / self.joint_answers for k in range(self._steps + 1))

    def uniform_answers(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        # Stars and bars: P - 1 bars among T + P - 1 places part the T steps into P numbers, each way as likely.
        import numpy as np

        steps, bars = self._steps, len(self.parts) - 1
        places = np.sort(rng.permuted(np.tile(np.arange(steps + bars), (n, 1)), axis=1)[:, :bars], axis=1)
        edges = np.hstack([np.full((n, 1), -1), places, np.full((n, 1), steps + bars)])
        return np.asarray((np.diff(edges, axis=1) - 1) * self.step)

    def ways_to_finish(self, earlier: NDArray[np.int64]) -> NDArray[np.float64]:
        # The parts that remain share what is left.
        import numpy as np

        left = self.total - earlier.sum(axis=1)
        steps = (left[:, None] - np.asarray(self.values)[None, :]) // self.step
        more = len(self.parts) - earlier.shape[1] - 2
        table = np.array([math.comb(n + more, more) for n in range(self._steps + 1)], dtype=np.float64)
        return np.where(steps >= 0, table[np.maximum(steps, 0)], 0.0)


AnyQuestion = Annotated[Choice | Scale | Allocation, Field(discriminator="kind")]


def _listed(column: str | tuple[str, ...]) -> tuple[str, ...]:
    return (column,) if isinstance(column, str) else column


def _check_number_of_answers(name: str, count: int) -> None:
    if count > MOST_ANSWERS:
        raise ValueError(f"'{name}' has {count} answers; at most {MOST_ANSWERS} are allowed, choose a larger step")


def _folded(text: str) -> str:
    """What a text has in common with those that look like it (full-width letters, joined accents)."""
    return unicodedata.normalize("NFKC", text.translate(dict.fromkeys(map(ord, JOINERS))))
