"""What arms, variables, answers, groups and terms are called in figures and tables: never by a raw column name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.arms import Arm, Arms
from pilotlm.report.wording import number, percent
from pilotlm.responses import HUMAN
from pilotlm.study import Study

KINDS = {
    "mean": "Means and shares", "effect": "Effects of the treatment", "coefficient": "Coefficients",
    "logit": "Logit coefficients",
}  # fmt: skip
"""The kinds of target, in their order."""
_LEVEL = re.compile(r"C\((?P<name>\w+)\)(?:\[T\.(?P<code>[^\]]+)\])?\Z")


def variable_labels(study: Study) -> dict[str, str]:
    """The label of every column that a study's tables and formulas have."""
    labels = {variable.name: variable.label or _words(variable.name) for variable in study.background}
    for question in study.questions:
        labels |= question.titles(question.label or _words(question.name))
    labels |= {derived.name: derived.label or _words(derived.name) for derived in study.derived}
    return labels | {column: study.design_label(column) for column in study.design_columns}


def term_label(study: Study, term: str) -> str:
    """A term of a formula in words: ``C(educ)[T.2]`` is "Education: high school", ``a:b`` is "A × B"."""
    labels = variable_labels(study)
    return " × ".join(_factor(study, labels, factor) for factor in term.split(":"))


def labels_of(study: Study, items: Iterable[str]) -> dict[str, str]:
    """The label of each item of a table; what would read the same has its name in words beside it."""
    named = {item: _item(study, item) for item in items}
    counts = Counter(named.values())
    return {item: label if counts[label] == 1 else f"{label} ({_words(item)})" for item, label in named.items()}


def labelled(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """A tidy table of a study with the items in words; those that would read the same keep their names beside them."""
    names = labels_of(study, table["item"].dropna().astype(str).unique())
    words = [names.get(item, item) for item in table["item"]]
    return table.assign(item=pd.Series(words, index=table.index, dtype=object))


def average_answer(study: Study, column: str, values: pd.Series, weights: NDArray[np.float64] | None = None) -> str:
    """The (weighted) mean of an answer; of options in no order, whose codes have no mean, the share of each."""
    question = study.question_of(column)

    def mean(numbers: pd.Series) -> float:
        return float(numbers.mean() if weights is None else np.average(numbers, weights=weights))

    if question.ordered:
        worth = study.numbers.get(column)
        return number(mean(values.map(worth) if worth else values), 2)
    options = question.options if question.nominal else question.options[1:]
    shares = [f"{option.text} {percent(mean(values == option.code))}" for option in options]
    return ", ".join(shares) if len(values.dropna()) else "–"


def answer_words(study: Study, column: str, value: float) -> str:
    """One answer in words: the text of an option, or the number."""
    question = study.question_of(column)
    texts = {option.code: option.text for option in question.options}
    return texts.get(int(value), f"{value:g}")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _item(study: Study, item: str) -> str:
    known = variable_labels(study) | {subgroup.variable: subgroup.label for subgroup in study.subgroups}
    if item in known:
        return known[item]
    for regression in study.regressions:
        term = item.removeprefix(f"{regression.name}: ")
        if term != item:
            label = term_label(study, term)
            return label if len(study.regressions) == 1 else f"{regression.label}: {label}"
    return item


def _factor(study: Study, labels: Mapping[str, str], factor: str) -> str:
    level = _LEVEL.match(factor)
    name = level["name"] if level else factor
    label = labels.get(name, _words(name))
    if not level or not level["code"]:
        return label
    code = level["code"].removesuffix(".0")
    of_variable = [one for v in study.background if v.name == name for one in v.levels or ()]
    of_question = [one for q in study.questions if q.name == name for one in q.options]
    return f"{label}: {next((one.text for one in [*of_variable, *of_question] if str(one.code) == code), code)}"


def study_label(study: Study) -> str:
    """The plain name of a study, marked where it is synthetic."""
    name = study.label or study.title
    return f"{name} (synthetic)" if study.synthetic and "synthetic" not in name.lower() else name


def kind_of(arm: Arm | None) -> str:
    """The kind of answerer, which decides colour and mark; "human" without an arm."""
    if arm is None:
        return "human"
    return arm.answerer if arm.is_model or arm.answerer == "bootstrap" else "baseline"


def label_of(arms: Arms, name: str) -> str:
    """An arm's name on figures; "People" for people."""
    return "People" if name == HUMAN else arms.arm(name).label


def in_order(arms: Arms, names: Iterable[str]) -> list[str]:
    """Arms in the order of every table: people, models, then baselines by pilot."""
    present = set(names)
    return [*([HUMAN] if HUMAN in present else []), *(name for name in arms.arms if name in present)]


def plain_tuned(arms: Arms, names: Iterable[str]) -> Arm | None:
    """The fine-tuned arm that stands for the others: on all treatments, told the persona, without any variation."""
    present = set(names)
    tuned = [arm for name, arm in arms.arms.items() if name in present and arm.is_trained and not arm.is_variant]
    pilots = [arms.pilot(arm.pilot) for arm in tuned]
    plain = [
        arm
        for arm, pilot in zip(tuned, pilots, strict=True)
        if arm.persona and pilot.treatments == "all" and not pilot.balanced
    ]
    return next(iter([*plain, *tuned]), None)


def main_arms(names: Iterable[str], arms: Arms) -> list[str]:
    """The arms that figures open with, six at most: people, base and fine-tuned model, pool, logit, resampled pilot.

    Those of one pilot, that of `plain_tuned`; all that there are where no model was fine-tuned or came as it is.
    """
    present = in_order(arms, names)
    tuned = plain_tuned(arms, present)
    base = next((arms.arm(name) for name in present if name != HUMAN and arms.arm(name).answerer == "base"), None)
    pilot = (tuned or base or arms.arm(next(iter(arms.arms)))).pilot
    of_pilot = (arm for arm in arms.arms.values() if arm.pilot == pilot)
    shown = {HUMAN, *(arm.name for arm in of_pilot if arm.answerer in ("pooled", "logit", "bootstrap"))}
    shown |= {arm.name for arm in (base, tuned) if arm}
    return [name for name in present if name in shown] if tuned or base else present
