"""What all analyses share: arms beside people, answers as numbers, predictive distributions, and the tidy table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.predictions import asked_columns, is_nominal, predictions_of
from pilotlm.randomness import generator
from pilotlm.responses import HUMAN, PILOT, as_numbers, one_row_each, persons_of, subgroup_of, weights_of
from pilotlm.stats.comparisons import Comparison
from pilotlm.stats.intervals import Estimate, FloatArray
from pilotlm.stats.ppi import refuse_pilot
from pilotlm.stats.scoring import frequencies_of_others, log_losses, within_correlations
from pilotlm.study import Study

METRIC_COLUMNS = (
    "study", "arm", "seed", "metric", "item", "subgroup", "against",
    "estimate", "low", "high", "human", "human_benchmark", "random_benchmark", "scaled", "n",
)  # fmt: skip
"""The columns of every tidy table of measures.

``human`` is the value in all people of the study; ``human_benchmark`` what people themselves score at the n of the row;
``random_benchmark`` what uniform answers score. ``scaled`` is `scaled` of the estimate. Empty where a measure has none.
"""
Distributions = dict[str, FloatArray]
"""Answer column, then the (rows, answers) probabilities of its values."""


@dataclass(frozen=True, eq=False)
class Compared:
    """One arm and seed, its responses, and the people that it is compared with: held out from it, or all.

    ``pilot`` are the persons (`pilotlm.responses.persons_of`) whose answers the arm was fitted on, who may not be among
    those people; None where it is compared with all people whoever they are, so that nothing may be corrected by them.

    Raises
    ------
    InputError
        If the arm was fitted on answers of people it is compared with, by ``pilot`` or by what its responses say.
    """

    arm: str
    seed: int
    simulated: pd.DataFrame
    human: pd.DataFrame
    pilot: tuple[int, ...] | None

    def __post_init__(self) -> None:
        if self.pilot is not None:
            fitted_on = persons_of(self.simulated)[self.simulated[PILOT].astype(bool)]
            where = f"Arm '{self.arm}', seed {self.seed}: "
            refuse_pilot(persons_of(self.human), {*self.pilot, *fitted_on.tolist()}, where)

    def generator(self, study: Study, purpose: str) -> np.random.Generator:
        """A generator for one measure of this arm: no result depends on which other arms are analysed."""
        return generator(self.seed, f"{study.name}/{self.arm}/{purpose}".encode())


def human_rows(people: pd.DataFrame) -> Compared:
    """All people as an arm of their own, a row each (`pilotlm.responses.one_row_each`)."""
    rows = one_row_each(people).reset_index(drop=True)
    return Compared(HUMAN, 0, rows, rows, None)


def same_participants(first: pd.DataFrame, *others: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """The rows of the participants who are in every table, row by row the same; of several draws the first is taken."""
    tables = [t.drop_duplicates("participant").set_index("participant", drop=False) for t in (first, *others)]
    everywhere = [p for p in tables[0].index if all(p in table.index for table in tables[1:])]
    return tuple(table.loc[everywhere].reset_index(drop=True) for table in tables)


def scaled(table: pd.DataFrame) -> pd.Series:
    """(estimate - human) / (random benchmark - human): 0 for another sample of people, 1 for uniform answers.

    Missing where one of the three is, and where the two benchmarks are no further apart than half the interval of the
    estimate: a share of such a difference would be noise.
    """
    names = ("estimate", "human_benchmark", "random_benchmark")
    estimate, human, uniform = (table[name].astype(float) for name in names)
    # What is only rounding tells nothing: it is no width, and no difference from people.
    rounding = 1e-9 * np.maximum(human.abs(), uniform.abs())
    width, above = uniform - human, estimate - human
    half = ((table["high"].astype(float) - table["low"].astype(float)) / 2).fillna(0.0)
    share = above / width.where(width.abs() > np.maximum(rounding, half))
    return share.where(share.isna() | (above.abs() > rounding), 0.0).astype(float)


def weights_of_both(one: Compared) -> tuple[FloatArray, FloatArray] | None:
    """The survey weights of the simulated rows and of the people; None where the study names none."""
    ours, theirs = weights_of(one.simulated), weights_of(one.human)
    return None if ours is None or theirs is None else (ours, theirs)


def tidy(study: Study, against: str, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of measures (arm, seed, metric, estimate at least) in `METRIC_COLUMNS`, ``scaled`` worked out."""
    # People as an arm of their own are all people, whoever the other arms are compared with.
    whom = [{"against": "all" if row["arm"] == HUMAN else against, **row} for row in rows]
    table = pd.DataFrame([{"study": study.name, **row} for row in whom])
    table = table.reindex(columns=list(METRIC_COLUMNS)).astype({"item": object, "subgroup": object})
    return table.assign(scaled=scaled(table))


def estimated(result: Estimate) -> dict[str, float]:
    """An estimate in the columns of a tidy table."""
    return {"estimate": result.value, "low": result.low, "high": result.high, "n": result.n}


def between(result: Comparison) -> dict[str, float]:
    """A comparison in the columns of a tidy table."""
    return {"estimate": result.value, "low": result.low, "high": result.high, "human_benchmark": result.human_benchmark,
            "random_benchmark": result.random_benchmark, "n": result.n}  # fmt: skip


# Answers as codes.


def grid_size(study: Study, *roles: str) -> int:
    """How many joint answers the questions with these roles allow; all questions when none is given."""
    return math.prod(q.joint_answers for q in study.questions if not roles or q.role in roles)


def marginal_codes(study: Study, table: pd.DataFrame) -> list[NDArray[np.int64]]:
    """Each answer column as the place of its value among those allowed: (rows,) int arrays."""
    codes = []
    for question in study.questions:
        place = {value: k for k, value in enumerate(question.values)}
        codes += [np.array([place[v] for v in table[column]], dtype=np.int64) for column in question.columns]
    return codes


def sizes(study: Study) -> list[int]:
    """The number of values that each answer column may have."""
    return [len(question.values) for question in study.questions for _ in question.columns]


def uniform_distributions(study: Study) -> Distributions:
    """The probabilities of each column's answers when every answer that a question allows is as likely as any other.

    For a part of an allocation that is not uniform.
    """
    return {c: np.array(q.uniform_probabilities) for q in study.questions for c in q.columns}


# The groups of a variable.


def groups_in_order(study: Study, table: pd.DataFrame, variable: str) -> list[str]:
    """The groups that a table has, by the numbers of the variable."""
    groups = subgroup_of(study, table, variable).astype(object)
    values = as_numbers(study, table)[variable]
    return [str(group) for group in values.groupby(groups).min().sort_values().index]


def largest_group(study: Study, people: pd.DataFrame, variable: str) -> str:
    """The group of a variable with most people; of several the first by its values; "" where there is none."""
    counts = subgroup_of(study, people, variable).value_counts()
    return max(groups_in_order(study, people, variable), key=lambda group: int(counts[group]), default="")


# Predictive distributions, and what they are judged beside.


@dataclass(frozen=True, eq=False)
class Predicted:
    """One arm's table of predictive distributions, its pilot design, and the people whose answers they forecast."""

    arm: str
    pilot: str
    seed: int
    predictions: pd.DataFrame
    human: pd.DataFrame

    @classmethod
    def of(cls, one: Compared, pilot: str, predictions: pd.DataFrame) -> Predicted:
        """The distributions of an arm that is compared, for those of its people whom the table holds."""
        there = one.human["participant"].isin(predictions["participant"])
        return cls(one.arm, pilot, one.seed, predictions, one.human[there].reset_index(drop=True))

    def losses(self, study: Study) -> pd.Series:
        """The negative log-probability of each person's whole answers, in nats, by participant."""
        participants = self.human["participant"]
        distributions = predictions_of(study, self.predictions, participants)
        return total_losses(study, distributions, self.human).set_axis(participants)


def given_answers(study: Study, people: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """People's own answers as places among the values of each column that is asked."""
    codes = dict(zip(study.answer_columns, marginal_codes(study, people), strict=True))
    return {column: codes[column] for column in asked_columns(study)}


def losses_of(study: Study, distributions: Distributions, people: pd.DataFrame) -> dict[str, FloatArray]:
    """The negative log-probability of each row's answer in a column, and of its whole answers ("all"), in nats."""
    given = given_answers(study, people)
    losses = {column: log_losses(distribution, given[column]) for column, distribution in distributions.items()}
    return {"all": np.sum(list(losses.values()), axis=0), **losses}


def total_losses(study: Study, distributions: Distributions, people: pd.DataFrame) -> pd.Series:
    """The negative log-probability of each row's whole answers, in nats."""
    return pd.Series(losses_of(study, distributions, people)["all"])


def correlations_within_treatments(
    study: Study, distributions: Distributions, people: pd.DataFrame, repeats: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """`within_correlations` of every column whose answers are numbers, and their "mean"; empty if none are."""
    numbers = {c: np.array(q.numbers, dtype=float) for q in study.questions for c in q.columns}
    columns = [column for column in distributions if not is_nominal(study, column)]
    if not columns:
        return {}
    given = given_answers(study, people)
    answers = np.column_stack([numbers[column][given[column]] for column in columns])
    means = np.column_stack([distributions[column] @ numbers[column] for column in columns])
    found = within_correlations(answers, means, people["treatment"], repeats, rng)
    return dict(zip((*columns, "mean"), found, strict=True))


def people_distributions(study: Study, everybody: pd.DataFrame, people: pd.DataFrame) -> Distributions:
    """For some people the frequencies among everybody else of the same treatment, among what is valid for each."""
    asked, place = asked_columns(study), pd.Index(everybody["participant"]).get_indexer(people["participant"])
    given, ways = given_answers(study, everybody), _ways(study, people)
    return {
        column: _normalised(
            frequencies_of_others(given[column], everybody["treatment"], len(values))[place] * (ways[column] > 0)
        )
        for column, values in asked.items()
    }


def uniform_forecasts(study: Study, people: pd.DataFrame) -> Distributions:
    """The distributions of somebody who takes every way to fill in the form for equally probable."""
    return {column: _normalised(ways) for column, ways in _ways(study, people).items()}


def _ways(study: Study, people: pd.DataFrame) -> Distributions:
    """In how many ways a question can be finished after each value, (rows, values); 0 where a value is not valid."""
    return {
        column: question.ways_to_finish(people[list(question.columns[:k])].to_numpy(dtype=np.int64))
        for question in study.questions
        for k, column in enumerate(question.asked_columns)
    }


def _normalised(weights: FloatArray) -> FloatArray:
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
