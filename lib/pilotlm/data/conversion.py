"""What the columns of a user's file become in a study: persona fields, closed questions, treatments."""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, Literal

import numpy as np

from pilotlm.data.cells import MOST_LEVELS, cell_key, finder, folded, is_amount, pattern
from pilotlm.data.columns import Column
from pilotlm.errors import InputError, nearest
from pilotlm.study import LARGEST, NAME, RESERVED, Choice, Level, Option, PersonaField, Raw, Scale, Treatment

MOST_TREATMENTS = 20
FEW = 10
"""A number with no more different values is a category of the persona."""
MOST_STEPS = 100
SHORT_SCALE = 20
"""Up to this length every whole number belongs to a scale, whether somebody gave it or not."""
_LONGEST_NAME = 60
_CONTROL = pattern("control")
_FORMULA_WORDS = frozenset({"C", "I", "Q"})


def valid_name(words: str, taken: Iterable[str]) -> str:
    """The name itself where it is valid and not taken, else the valid one nearest to it."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    stem = re.sub(r"[^A-Za-z0-9]+", "_", plain)[:_LONGEST_NAME].strip("_") if not NAME.match(words) else words
    if not stem[:1].isalpha():
        stem = f"v{stem}" if stem else "variable"
    if keyword.iskeyword(stem) or stem in _FORMULA_WORDS:
        stem = f"{stem}_value"
    used, name, count = set(taken), stem, 1
    while name in used:
        count += 1
        name = f"{stem}_{count}"
    return name


def valid_names(words: Iterable[str], taken: Iterable[str]) -> list[str]:
    """A valid and unused variable name for each of some words."""
    used, names = set(taken), []
    for word in words:
        names.append(valid_name(word, used))
        used.add(names[-1])
    return names


def persona_field(column: Column, missing: tuple[Raw, ...] = ()) -> PersonaField:
    """A column as something that the prompt says of the participant."""
    label = column.label.replace("{", "(").replace("}", ")")
    asks = column.wording or label
    text = f"{asks}{'' if asks[-1] in '?:.!' else ':'} {{value}}."
    about = {**_about(column, missing), "label": label, "text": text}
    if column.numbers and len(column.values) > FEW:
        return PersonaField.model_validate({**about, "range": (column.numbers[0], column.numbers[-1])})
    if len(column.values) > MOST_LEVELS or not column.values:
        raise InputError(
            f"The column '{column.source}' {_too_many(column)} and cannot be a persona field; group its values in the "
            f"file into at most {MOST_LEVELS}, or name other columns with --persona."
        )
    levels = _coded(column, from_zero=False)
    return PersonaField.model_validate({**about, "levels": levels, "ordered": column.ordered and len(levels) > 2})


def is_closed(column: Column) -> bool:
    """Whether a column can be a closed question: it has neither too many different values nor too few."""
    return _steps(column) is not None or (len(column.values) <= MOST_LEVELS and len(column.given) > 1)


def closed_question(column: Column, role: Literal["belief", "action"], missing: tuple[Raw, ...] = ()) -> Choice | Scale:
    """A column as a closed question: a scale or a choice."""
    label, option = column.label, "--beliefs" if role == "belief" else "--action"
    if not is_closed(column):
        raise InputError(
            f"The column '{column.source}' {_too_many(column)}, so the {role} cannot be a closed question; round or "
            f"group it in the file (at most {MOST_STEPS + 1} whole numbers at equal steps, or {MOST_LEVELS} "
            f"categories), or name another column with {option}."
        )
    text = column.wording or (label if label.endswith("?") else f"What is your answer to '{label}'?")
    about = {**_about(column, missing), "role": role, "label": label, "text": text}
    if steps := _steps(column):
        low, high, step = steps
        ends = (column.ends[low], column.ends[high]) if low in column.ends and high in column.ends else None
        return Scale.model_validate({**about, "low": low, "high": high, "step": step, "ends": ends})
    options = tuple(
        # Where the code is not the number, the model reads and writes the number.
        Option(**dict(level), answer=level.text if level.value is not None else None)
        for level in _coded(column, from_zero=True)
    )
    return Choice.model_validate({**about, "ordered": column.ordered, "options": options})


def _about(column: Column, missing: tuple[Raw, ...]) -> dict[str, Any]:
    """The name, the name in the file where that is another, and what is missing."""
    alone = column.sources[0] if len(column.sources) == 1 else column.sources
    return {"name": column.name, "column": None if alone == column.name else alone, "missing": missing}


def treatments(factors: Sequence[Column], baseline: Sequence[str], taken: Iterable[str]) -> tuple[Treatment, ...]:
    """The values of a column, or the cells of several, as treatments; the first is the baseline.

    ``baseline`` is the value of each factor that the others are compared with, found by its name where empty; no code
    of a treatment may have a name that is ``taken``.
    """
    if not factors:
        return (Treatment(name="everyone", label="Everyone", scenario="You take part in a survey."),)
    if baseline and len(baseline) != len(factors):
        raise InputError(f"--baseline names {len(baseline)} values for {len(factors)} columns of --treatment; name one "
                         "of each, in the same order.")  # fmt: skip
    for factor in factors:
        if not 1 <= len(factor.given) <= MOST_TREATMENTS:
            raise InputError(
                f"The column '{factor.source}' {_too_many(factor)} and cannot name the treatments (at most "
                f"{MOST_TREATMENTS}); name another column with --treatment."
            )
    orders = [_baseline_first(factor, value) for factor, value in zip_longest(factors, baseline)]
    cells = {tuple(row) for row in np.column_stack([factor.place for factor in factors]).tolist() if min(row) >= 0}
    if len(cells) > MOST_TREATMENTS:
        listed = ", ".join(f"'{factor.source}'" for factor in factors)
        raise InputError(f"The columns {listed} make {len(cells)} treatments; at most {MOST_TREATMENTS} are allowed: "
                         "name fewer with --treatment.")  # fmt: skip
    used, codes = {*taken, *RESERVED}, []
    for factor, order in zip(factors, orders, strict=True):
        codes.append(dict(zip(order, valid_names([_named(factor, factor.name, k) for k in order], used), strict=True)))
        used |= {codes[-1][k] for k in order[1:]}
    ranked = sorted(cells, key=lambda cell: [order.index(k) for order, k in zip(orders, cell, strict=True)])
    texts = [[_named(factor, factor.label, k) for factor, k in zip(factors, cell, strict=True)] for cell in ranked]
    # Of a single factor a treatment has the name of its code.
    names = list(codes[0].values()) if len(factors) == 1 else valid_names(map("_".join, texts), used)
    return tuple(
        Treatment(
            name=name, label=", ".join(said),
            when={factor.source: factor.raw(factor.values[k]) for factor, k in zip(factors, cell, strict=True)},
            codes={named[k]: float(k == own) for named, order, own in zip(codes, orders, cell, strict=True)
                   for k in order[1:]},
            scenario=f"Your treatment is: {', '.join(f.values[k].text for f, k in zip(factors, cell, strict=True))}.",
        )
        for name, said, cell in zip(names, texts, ranked, strict=True)
    )  # fmt: skip


def _named(factor: Column, name: str, place: int) -> str:
    """The words of a value of a factor; of a number they hold the factor's name."""
    value = factor.values[place]
    return value.text if factor.kind != "numbers" else f"{name} {value.cell}"


def _baseline_first(factor: Column, named: str | None) -> list[int]:
    """The places of a factor's values, that of the baseline first."""
    places = [place for place, value in enumerate(factor.values) if value.count]
    first: int | None = next((k for k in places if _CONTROL.fullmatch(folded(factor.values[k].text))), places[0])
    if named is not None:
        known = {cell_key(said): k for k in places for said in (factor.values[k].cell, factor.values[k].text)}
        first = finder(known)([cell_key(named)])
    if first is None:
        allowed = nearest(str(named), [factor.values[k].cell for k in places])
        raise InputError(f"--baseline: the column '{factor.source}' has no value '{named}'; {allowed}.")
    return [first, *(place for place in places if place != first)]


def _coded(column: Column, from_zero: bool) -> list[Level]:
    """The levels of a column: raw only where it is not the code, values only where the codes are not the numbers."""
    raws = [column.raw(value) for value in column.values]
    texts = [value.text for value in column.values]
    amounts = column.kind == "labelled" and all(map(is_amount, texts))
    if column.whole and not amounts and not (from_zero and len(raws) == 2):
        return [Level(code=int(raw), text=text) for raw, text in zip(raws, texts, strict=True)]
    # Two answers are 0 and 1, as a logit needs them.
    start = 0 if len(raws) == 2 else 1
    codes = tuple(range(start, start + len(raws)))
    worth = column.kind == "numbers" or amounts
    numbers = [v.number for v in column.values if v.number is not None and worth]
    if tuple(numbers) == codes or any(abs(number) > LARGEST for number in numbers):
        numbers = []
    return [
        Level(code=code, raw=None if raw == code and column.whole else raw, text=text, value=value)
        for code, raw, text, value in zip_longest(codes, raws, texts, numbers)
    ]


def _steps(column: Column) -> tuple[int, int, int] | None:
    """The ends and the step of the scale that holds all values; None where they are none."""
    known = sorted({*column.numbers, *column.ends})
    if not column.numbers or not column.whole or len(known) < 3 or any(n != round(n) for n in known):
        return None
    low, high = round(known[0]), round(known[-1])
    step = 1 if high - low <= SHORT_SCALE else math.gcd(*(round(number) - low for number in known))
    return (low, high, step) if (high - low) // step <= MOST_STEPS else None


def _too_many(column: Column) -> str:
    given = column.given
    if len(given) < 2:
        return "is empty" if not given else f"has one value, {given[0].cell!r:.40}"
    if not column.numbers:
        return f"has {len(given)} different texts"
    return f"has {len(given)} different numbers from {column.numbers[0]:g} to {column.numbers[-1]:g}"
