"""What a researcher wants to know of people, as numbers to be estimated: means, effects, and coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pilotlm.analyses.compared import Compared
from pilotlm.errors import InputError
from pilotlm.laws import expected_column, is_nominal
from pilotlm.measures.estimators import Kind, Task
from pilotlm.measures.intervals import FloatArray, IntArray
from pilotlm.measures.samples import Sample
from pilotlm.responses import codes_in, with_analysis_columns
from pilotlm.study import AnyQuestion, Study, Variable

LEAST_IN_TREATMENT = 20
"""An effect is asked for where at least so many people compared had each of its two treatments."""
CONSTANT = "constant"


@dataclass(frozen=True)
class Answer:
    """An answer as a number: a column of the responses, or whether one option was chosen.

    Attributes
    ----------
    column, label : str
        The column, and its name in words.
    option : int or None
        The option whose share is meant; None for the number itself.
    role : str
        "belief", "action" or "other".
    values : tuple of int
        What may stand in the column.
    numbers : tuple of float
        What each of them is worth.
    """

    column: str
    label: str
    option: int | None
    role: str
    values: tuple[int, ...]
    numbers: tuple[float, ...]

    @property
    def name(self) -> str:
        """For tables: the column, and the option where there is one."""
        return self.column if self.option is None else f"{self.column}={self.option}"

    @property
    def two_valued(self) -> bool:
        """Whether it is 0 or 1."""
        return self.option is not None

    def given(self, rows: pd.DataFrame) -> FloatArray:
        """What was answered, (rows,)."""
        codes = codes_in(rows, self.column)
        if self.option is not None:
            return np.asarray(codes == self.option, dtype=np.float64)
        return np.asarray(codes.map(dict(zip(self.values, self.numbers, strict=True))), dtype=np.float64)


@dataclass(frozen=True)
class Target:
    """A coefficient that is wanted.

    Attributes
    ----------
    answer : Answer
        The outcome.
    kind : {"mean", "effect", "coefficient", "logit"}
        What of it; see `pilotlm.measures.estimators`.
    of : str
        The treatment of an effect, or the predictor of a coefficient; "" for a mean.
    label : str
        In words.
    against : str
        The treatment that an effect is against.
    """

    answer: Answer
    kind: Kind
    of: str
    label: str
    against: str = ""

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.kind}: {self.answer.name}" + (f" ~ {self.of}" if self.of else "")

    @property
    def fit(self) -> str:
        """What it is estimated in: coefficients of one regression are estimated together."""
        return f"{self.kind}: {self.answer.name}" if self.kind in ("coefficient", "logit") else self.name


@dataclass(frozen=True, eq=False)
class Known:
    """A target in some people: their answers, predictions of them, and their predictors.

    Attributes
    ----------
    target : Target
    outcome, predicted : (n,) float array
    predictors : (n, k) float array
    column : int
        Which of the predictors has the coefficient that is wanted.
    participants : (n,) int array
        Who they are.
    pilot : tuple of int
        The participants whose answers the predictions were fitted on: none of these.
    """

    target: Target
    outcome: FloatArray
    predicted: FloatArray
    predictors: FloatArray
    column: int
    participants: IntArray
    pilot: tuple[int, ...]

    def task(self, asked: IntArray, others: IntArray) -> Task:
        """The estimation in which the answers of some rows are known, and only predictions of others.

        Parameters
        ----------
        asked, others : (..., n) and (..., m) int array
            Rows; with leading dimensions they make a stack of samples.

        Returns
        -------
        Task
        """
        sample = Sample(
            self.outcome[asked],
            self.predicted[asked],
            self.predictors[asked],
            self.predicted[others],
            self.predictors[others],
            self.column,
            participants=self.participants[asked],
            pilot=self.pilot,
        )
        return Task(self.target.kind, sample, np.empty((*asked.shape, 0)), np.empty((*others.shape, 0)))


def answers(study: Study) -> list[Answer]:
    """The answers of a study as numbers, in the order asked.

    A question with two options counts as the share of the second; one with more options in no order as the share of
    each of them; every other column as it is.
    """
    found = []
    for question in study.questions:
        values = question.values
        options: Sequence[int | None] = [None]
        if question.options and (question.nominal or len(values) == 2):
            options = values if question.nominal else values[1:]
        for column, label in question.titles(question.title).items():
            for option in options:
                words = _with_option(question, label, option)
                found.append(Answer(column, words, option, question.role, values, question.numbers))
    return found


def targets(study: Study, people: pd.DataFrame) -> list[Target]:
    """What is to be estimated in a study.

    The mean of every answer; the effect of each treatment against the first on every answer, where enough people had
    both; and for the actions the coefficients of what is known of people beforehand, in one regression each (logit
    where the action is 0 or 1): the design variables, and the persona's numbers, ordered and two-valued categories.
    The study's own regressions are not used: most have answers among their predictors, which are not known of people
    who were not asked.

    Parameters
    ----------
    study : Study
        The study.
    people : DataFrame
        The people compared, who decide what can be estimated.

    Returns
    -------
    list of Target
        Means, effects, coefficients.
    """
    every = answers(study)
    found = [Target(answer, "mean", "", _mean_label(answer)) for answer in every]
    counts = people["treatment"].value_counts()
    there = [t for t in study.treatments if counts.get(t.name, 0) >= LEAST_IN_TREATMENT]
    for treatment in there[1:]:
        beside = f"{treatment.label} against {there[0].label}"
        found += [Target(a, "effect", treatment.name, f"{a.label}: {beside}", there[0].name) for a in every]
    for answer in (answer for answer in every if answer.role == "action"):
        kind: Kind = "logit" if answer.two_valued else "coefficient"
        names = _predictors(study, people)
        found += [Target(answer, kind, name, f"{answer.label} on {label}") for name, label in names.items()]
    return found


def known(study: Study, wanted: Sequence[Target], one: Compared) -> list[Known]:
    """Put people's answers, and what an arm predicts of the same people, into numbers.

    Parameters
    ----------
    study : Study
        The study.
    wanted : sequence of Target
        Of `targets`.
    one : Compared
        An arm beside people who were held out from it; people of whom there are no responses are left out. Where the
        arm answered a participant several times, or where the responses hold what was expected of an answer
        (`pilotlm.laws.expected_answers`), predictions are means.

    Returns
    -------
    list of Known
        One a target, rows in the order of the people; an effect has the rows of its two treatments.

    Raises
    ------
    InputError
        If the arm is compared with all people: those whom it was fitted on cannot correct its predictions.
    """
    if one.pilot is None:
        raise InputError(
            f"Arm '{one.arm}', seed {one.seed}, is compared with all people, those it was fitted on among them; "
            "predictions are corrected by held-out people only: give the people held out, and the pilot."
        )
    human, simulated = one.human, one.simulated
    there = human[human["participant"].isin(simulated["participant"])].reset_index(drop=True)
    rows = with_analysis_columns(study, there)
    forecasts = {answer.name: _predicted(study, answer, there, simulated) for answer in answers(study)}
    return [_known(study, target, rows, forecasts[target.answer.name], one.pilot) for target in wanted]


def _known(study: Study, target: Target, rows: pd.DataFrame, predicted: FloatArray, pilot: tuple[int, ...]) -> Known:
    outcome, ones, who = target.answer.given(rows), np.ones(len(rows)), rows["participant"].to_numpy(dtype=np.int64)
    if target.kind == "mean":
        return Known(target, outcome, predicted, ones[:, None], 0, who, pilot)
    if target.kind == "effect":
        mine = rows["treatment"].isin([target.against, target.of]).to_numpy()
        treated = (rows["treatment"] == target.of).to_numpy(dtype=np.float64)
        design: FloatArray = np.column_stack([ones, treated])
        return Known(target, outcome[mine], predicted[mine], design[mine], 1, who[mine], pilot)
    names = list(_predictors(study, rows))
    columns: FloatArray = np.column_stack([ones, *(_standardised(rows[name]) for name in names)])
    return Known(target, outcome, predicted, columns, 1 + names.index(target.of), who, pilot)


def _predicted(study: Study, answer: Answer, people: pd.DataFrame, simulated: pd.DataFrame) -> FloatArray:
    """What an arm says of each of the people, (people,): the mean over its rows of them."""
    column = expected_column(answer.column, answer.option if is_nominal(study, answer.column) else None)
    if column in simulated and simulated[column].notna().all():
        values = simulated[column].to_numpy(dtype=np.float64)
        if answer.two_valued and not is_nominal(study, answer.column):
            low, high = answer.numbers
            values = (values - low) / (high - low)
    else:
        values = _of_allocation(study, answer, simulated)
    means = pd.Series(values).groupby(simulated["participant"].to_numpy()).mean()
    return means.loc[people["participant"]].to_numpy(dtype=np.float64)


def _of_allocation(study: Study, answer: Answer, simulated: pd.DataFrame) -> FloatArray:
    """The last part of an allocation from what is expected of the others; any other answer as it was drawn."""
    question = study.question_of(answer.column)
    if question.total is not None:
        others = [expected_column(column) for column in question.columns if column != answer.column]
        if all(column in simulated and simulated[column].notna().all() for column in others):
            return np.asarray(question.total - simulated[others].sum(axis=1), dtype=np.float64)
    return answer.given(simulated)


def _predictors(study: Study, rows: pd.DataFrame) -> Mapping[str, str]:
    """What is known beforehand and can stand in a regression as one number, with its name in words."""
    table = with_analysis_columns(study, rows)
    named = {column: study.design_label(column) for column in study.design_columns} | dict(_numbers(study.persona))
    kept: dict[str, str] = {}
    columns = np.ones((len(table), 1))
    for name, label in named.items():
        # One column less where two design variables say the same, or nobody differs.
        wider = np.column_stack([columns, _standardised(table[name])])
        if np.linalg.matrix_rank(wider) > columns.shape[1]:
            kept[name], columns = label, wider
    return kept


def _numbers(variables: Sequence[Variable]) -> Iterator[tuple[str, str]]:
    for variable in variables:
        if variable.levels is None or variable.ordered or len(variable.levels) == 2:
            yield variable.name, variable.title


def _standardised(column: pd.Series) -> FloatArray:
    """A number of more than two values in standard deviations, so that coefficients can be read beside each other."""
    values = column.to_numpy(dtype=np.float64)
    if len(np.unique(values)) <= 2 or values.std() == 0:
        return values
    return np.asarray((values - values.mean()) / values.std())


def _mean_label(answer: Answer) -> str:
    return answer.label if answer.two_valued else f"Mean of {answer.label}"


def _with_option(question: AnyQuestion, label: str, option: int | None) -> str:
    if option is None:
        return label
    text = next(o.text for o in question.options if o.code == option)
    return f"Share of {label}: {text}"
