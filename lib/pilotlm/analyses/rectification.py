"""What predictions are worth for estimating means, effects and coefficients, and how often that is told rightly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.common import Compared, estimated, tidy
from pilotlm.arms import Arms
from pilotlm.errors import InputError
from pilotlm.predictions import expected_column, is_nominal
from pilotlm.responses import codes_in, count_people, persons_of, place_in_person, weights_of, with_analysis_columns
from pilotlm.stats.decision import Judgement, judge, known_of, verdicts_of
from pilotlm.stats.estimators import Kind, Score, Task, estimate, scores
from pilotlm.stats.intervals import BoolArray, FloatArray, IntArray, score_interval
from pilotlm.stats.ppi import Sample
from pilotlm.study import AnyQuestion, Study, Variable

LEAST_IN_TREATMENT = 20
"""An effect is asked for where at least so many people compared had each of its two treatments."""
ASKED = (20, 50, 100)
"""People with answers, of whom there is a pilot in each draw."""
OTHERS = 500
"""People with predictions only, beside them."""
LEAST_POPULATION = 60
"""Fewer people compared are no population to draw pilots from."""
MOST_DRAWS = 100
"""More draws of each target would change the third digit of what is averaged over targets."""
METHODS = ("people", "simulation", "pooling", "ppi", "tuned")
WRONG = ("wrongly used", "wrongly rectified", "wrongly refused")


@dataclass(frozen=True)
class Answer:
    """An answer as a number: a column of the responses, or whether one option was chosen.

    ``option`` is the option whose share is meant, None for the number itself; ``values`` may stand in the column, and
    are worth ``numbers``.
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
    """A coefficient that is wanted: of which answer, of which kind, and in words.

    ``of`` is the treatment of an effect (``against`` another) or the predictor of a coefficient; "" for a mean.
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
    """A target in n rows of people: answers, predictions of them, and predictors (n, k), one of which is wanted.

    ``participants`` (n,) are whose the rows are, ``pilot`` those whose answers the predictions were fitted on;
    ``first`` (n,) is true in one row of each person.
    """

    target: Target
    outcome: FloatArray
    predicted: FloatArray
    predictors: FloatArray
    column: int
    participants: IntArray
    pilot: tuple[int, ...]
    weights: FloatArray | None
    first: BoolArray

    @property
    def people(self) -> int:
        """How many people the rows are of."""
        return int(self.first.sum())

    def one_row_each(self) -> Known:
        """The same in one row of each person."""
        names = ("outcome", "predicted", "predictors", "participants", "weights", "first")
        kept: dict[str, Any] = {
            name: None if (one := getattr(self, name)) is None else one[self.first] for name in names
        }
        return replace(self, **kept)

    def task(self, asked: IntArray, others: IntArray) -> Task:
        """The estimation in which the answers of some rows are known, and only predictions of others.

        Errors are clustered where people have several rows; draws of rows need one row of each.
        """
        clustered = self.people < len(self.outcome)
        sample = Sample(
            self.outcome[asked],
            self.predicted[asked],
            self.predictors[asked],
            self.predicted[others],
            self.predictors[others],
            self.column,
            participants=self.participants[asked],
            pilot=self.pilot,
            weights=None if self.weights is None else self.weights[asked],
            unlabelled_weights=None if self.weights is None else self.weights[others],
            groups=np.unique(self.participants[asked], return_inverse=True)[1] if clustered else None,
        )
        return Task(self.target.kind, sample)


def answers(study: Study) -> list[Answer]:
    """The answers of a study as numbers, in the order asked."""
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
    """What is to be estimated in a study, given the people who are compared: means, effects, coefficients.

    The mean of every answer; the effect of each treatment against the first on every answer, where enough people had
    both; and for the actions the coefficients of what is known of people beforehand, in one regression each (logit
    where the action is 0 or 1). The study's own regressions are not used: most have answers among their predictors,
    which are not known of people who were not asked.
    """
    every = answers(study)
    found = [Target(a, "mean", "", a.label if a.two_valued else f"Mean of {a.label}") for a in every]
    counts = persons_of(people).groupby(people["treatment"]).nunique()
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
    """Put people's answers, and what an arm predicts of the same people, into numbers: one `Known` a target.

    People of whom there are no responses are left out. Where the arm answered a participant several times, or where the
    responses hold what was expected of an answer (`pilotlm.predictions.expected_answers`), predictions are means.

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
    columns: list[FloatArray] = [np.ones(len(rows))]
    mine, column = pd.Series(True, index=rows.index), 0
    if target.kind == "effect":
        mine = rows["treatment"].isin([target.against, target.of])
        columns.append(np.where(rows["treatment"] == target.of, 1.0, 0.0))
        column = 1
    elif target.kind != "mean":
        names = list(_predictors(study, rows))
        columns += [_standardised(rows[name]) for name in names]
        column = 1 + names.index(target.of)
    known_of = rows[mine]
    return Known(
        target, target.answer.given(known_of), predicted[mine], np.column_stack(columns)[mine], column,
        persons_of(known_of).to_numpy(dtype=np.int64), pilot, weights_of(known_of), place_in_person(known_of) == 0,
    )  # fmt: skip


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


def _with_option(question: AnyQuestion, label: str, option: int | None) -> str:
    if option is None:
        return label
    text = next(o.text for o in question.options if o.code == option)
    return f"Share of {label}: {text}"


def rectification(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, arms: Arms, against: str, repeats: int
) -> pd.DataFrame:
    """What predictions are worth, and what becomes of pilots that are augmented with them.

    For each arm and target (`targets`; ``item``), from all people compared:

    - ``answer_correlation``: of answers and predictions, as far as they matter for the target. One person with answer
      and prediction is worth at most 1 / (1 - correlation²) with answers alone.

    For the arms that are neither variants nor baselines other than the logit, from repeated draws of pilots with
    replacement, the people compared being the population and their value the truth (``item`` is the kind of target,
    ``subgroup`` the estimator, ``n`` the people with answers in each pilot):

    - ``estimator_coverage`` of 95 % intervals, ``estimator_width`` over that of people alone, ``estimator_effective``,
      the people alone that would have the same mean squared error, over n; means over targets.
    - ``wrongly_used``, ``wrongly_rectified``, ``wrongly_refused``: the share of pilots whose verdict
      (`pilotlm.stats.decision.judge`) is wrong in that way by what is true of all people compared.

    Parameters and result are as in `pilotlm.analyses.heterogeneity.heterogeneity`, and the declared arms; of arms
    compared with "all" people nothing is estimated, and no more than `MOST_DRAWS` pilots are drawn.
    """
    rows: list[dict[str, Any]] = []
    for one in compared if against == "held-out" else ():
        arm = arms.arm(one.arm)
        numbers = known(study, targets(study, one.human), one)
        teaching = count_people(people) - count_people(one.human)
        found: list[dict[str, Any]] = [
            {"metric": "answer_correlation", "item": number.target.name, **estimated(judged.correlation)}
            for number, judged in zip(numbers, judgements(numbers, teaching, OTHERS, 1.0), strict=True)
        ]
        enough = bool(numbers) and numbers[0].people >= LEAST_POPULATION
        if enough and not arm.is_variant and (arm.is_model or arm.answerer == "logit"):
            found += _pilots(study, one, numbers, teaching, min(repeats, MOST_DRAWS))
        rows += [{"arm": one.arm, "seed": one.seed, **row} for row in found]
    return tidy(study, against, rows)


def judgements(numbers: Sequence[Known], teaching: int, others: float, margin: float) -> list[Judgement]:
    """The verdict on each target from all people that it is known of."""
    return [judge(_everybody(one), teaching, others, margin) for one in numbers]


def _everybody(one: Known) -> Task:
    rows = np.arange(len(one.outcome))
    return one.task(rows, rows[:0])


def _pilots(
    study: Study, arm: Compared, numbers: Sequence[Known], teaching: int, repeats: int
) -> Iterator[dict[str, Any]]:
    kinds = dict.fromkeys(one.target.kind for one in numbers)
    for kind in kinds:
        mine = [_Truth.of(one.one_row_each(), teaching) for one in numbers if one.target.kind == kind]
        there = [one for one in mine if one is not None]
        for n in ASKED if there else ():
            drawn = {one.known.target.fit: one.known for one in there}
            pilots = {
                fit: _drawn(known, n, repeats, arm.generator(study, f"pilots {n} {fit}"))
                for fit, known in drawn.items()
            }
            every = []
            for one in there:
                # Each from the one before it, which has what was fitted.
                pilots[one.known.target.fit] = pilots[one.known.target.fit].wanting(one.known.column)
                every.append(_replay(one, pilots[one.known.target.fit], teaching))
            alike = len(drawn) / len(there)
            for row in (
                *_averaged([scored for scored, _ in every], repeats * alike),
                *_verdicts([wrong for _, wrong in every], alike),
            ):
                yield {**row, "item": kind, "n": n}


@dataclass(frozen=True, eq=False)
class _Truth:
    """A target that people have a value of which an estimator can be held against, and what is true of all of them."""

    known: Known
    value: float
    judged: Judgement

    @classmethod
    def of(cls, known: Known, teaching: int) -> _Truth | None:
        if not len(known.outcome) or np.ptp(known.outcome) == 0:
            return None
        everybody = _everybody(known)
        value = float(estimate(everybody, "people").value)
        return cls(known, value, judge(everybody, teaching, OTHERS)) if np.isfinite(value) else None


def _drawn(known: Known, n: int, repeats: int, rng: np.random.Generator) -> Task:
    """Pilots of n people, as a stack."""
    rows = len(known.outcome)
    return known.task(rng.integers(rows, size=(repeats, n)), rng.integers(rows, size=(repeats, OTHERS)))


def _replay(one: _Truth, pilots: Task, teaching: int) -> tuple[list[Score], list[str]]:
    """Scores of the estimators, and how the verdict of each pilot is wrong, "" where it is right."""
    n = pilots.sample.n
    found = {method: estimate(pilots, method) for method in METHODS if method in pilots.methods}
    truth = known_of(one.judged, n, teaching, OTHERS)
    wrong = [truth.wrong(said) for said in verdicts_of(pilots, teaching, OTHERS)]
    return scores(pilots, found, one.value), wrong


def _averaged(scored: Sequence[Sequence[Score]], repeats: float) -> Iterator[dict[str, Any]]:
    """Means over targets, each of which counts for so many replications."""
    for method in METHODS:
        mine = [score for scores in scored for score in scores if score.method == method and score.draws]
        if not mine:
            continue
        covered = np.array([score.coverage for score in mine])
        if np.isfinite(covered).any():
            share, there = float(np.nanmean(covered)), int(np.isfinite(covered).sum())
            ends = score_interval(share, repeats * there)
            yield {"metric": "estimator_coverage", "subgroup": method, "estimate": share, "low": ends[0],
                   "high": ends[1], "human": 0.95}  # fmt: skip
            yield {"metric": "estimator_width", "subgroup": method, "human": 1.0,
                   "estimate": float(np.nanmean([score.relative_width for score in mine]))}  # fmt: skip
        effective = np.array([score.effective / score.n for score in mine])
        # A ratio: its mean is taken of logarithms, so that twice and half cancel.
        yield {"metric": "estimator_effective", "subgroup": method, "human": 1.0,
               "estimate": float(np.exp(np.nanmean(np.log(effective))))}  # fmt: skip


def _verdicts(every: Sequence[list[str]], alike: float) -> Iterator[dict[str, Any]]:
    """How often a pilot's verdict is not that of all people, for as many in the fine-tuning sample and asked."""
    found = [how for wrong in every for how in wrong]
    for how in WRONG:
        share = found.count(how) / len(found)
        ends = score_interval(share, len(found) * alike)
        yield {"metric": how.replace(" ", "_"), "estimate": share, "low": ends[0], "high": ends[1]}
