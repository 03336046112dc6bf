"""What laws are judged beside: each arm's laws with the people they are of, and the laws of trivial forecasters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.analyses.answers import marginal_codes
from pilotlm.analyses.compared import Compared
from pilotlm.laws import asked_columns, laws_of
from pilotlm.measures.accuracy import frequencies_of_others, gains_from, log_losses, mean_over_others
from pilotlm.measures.intervals import Estimate
from pilotlm.study import Study

Laws = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Predicted:
    """One arm's laws beside the people whose answers they forecast.

    Attributes
    ----------
    arm : str
        The arm.
    pilot : str
        Its pilot design.
    seed : int
        Its seed.
    laws : DataFrame
        Its table of laws (`pilotlm.laws`).
    human : DataFrame
        Those of the people compared whom the table holds.
    """

    arm: str
    pilot: str
    seed: int
    laws: pd.DataFrame
    human: pd.DataFrame

    @classmethod
    def of(cls, one: Compared, pilot: str, laws: pd.DataFrame) -> Predicted:
        """The laws of an arm that is compared, for the people it is compared with."""
        there = one.human["participant"].isin(laws["participant"])
        return cls(one.arm, pilot, one.seed, laws, one.human[there].reset_index(drop=True))

    def losses(self, study: Study) -> pd.Series:
        """The negative log-probability of each person's whole answers, in nats, by participant."""
        participants = self.human["participant"]
        return total_losses(study, laws_of(study, self.laws, participants), self.human).set_axis(participants)


def given_answers(study: Study, people: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """People's own answers as places among the values of each column that is asked."""
    codes = dict(zip(study.answer_columns, marginal_codes(study, people), strict=True))
    return {column: codes[column] for column in asked_columns(study)}


def total_losses(study: Study, laws: Laws, people: pd.DataFrame) -> pd.Series:
    """The negative log-probability of each row's whole answers, in nats."""
    given = given_answers(study, people)
    return pd.Series(np.sum([log_losses(law, given[column]) for column, law in laws.items()], axis=0))


def people_laws(study: Study, everybody: pd.DataFrame, people: pd.DataFrame) -> Laws:
    """The law that other people make: the frequencies of everybody else of the same treatment, among what is valid.

    Parameters
    ----------
    study : Study
        The study.
    everybody : DataFrame
        All people.
    people : DataFrame
        Those of them whose answers are forecast.

    Returns
    -------
    dict
        Column that is asked, then (rows, answers) probabilities.
    """
    asked, place = asked_columns(study), pd.Index(everybody["participant"]).get_indexer(people["participant"])
    given = given_answers(study, everybody)
    laws = {
        column: frequencies_of_others(given[column], everybody["treatment"], len(values))[place]
        for column, values in asked.items()
    }
    valid = {column: ways > 0 for column, ways in _ways(study, people).items()}
    return {column: _normalised(law * valid[column]) for column, law in laws.items()}


def over_people(
    study: Study, everybody: pd.DataFrame, people: pd.DataFrame, differences: NDArray[np.float64]
) -> Estimate:
    """The mean difference of losses to those of `people_laws`, with an interval that allows for their frequencies.

    Parameters
    ----------
    study, everybody, people
        As in `people_laws`.
    differences : (people,) float array
        Losses of whole answers less those of `people_laws`, in nats.

    Returns
    -------
    Estimate
    """
    place = pd.Index(everybody["participant"]).get_indexer(people["participant"]).astype(np.int64)
    given, treatments = given_answers(study, everybody), everybody["treatment"]
    gains = np.zeros((len(people), len(everybody)))
    for column, ways in _ways(study, people).items():
        gains += gains_from(given[column], treatments, place, ways > 0)
    return mean_over_others(differences, gains, place, treatments)


def uniform_laws(study: Study, people: pd.DataFrame) -> Laws:
    """The law of somebody who takes every way to fill in the form for equally probable; form as in `people_laws`."""
    return {column: _normalised(ways) for column, ways in _ways(study, people).items()}


def _ways(study: Study, people: pd.DataFrame) -> Laws:
    """In how many ways a question can be finished after each value, (rows, values); 0 where a value is not valid."""
    return {
        column: question.ways_to_finish(people[list(question.columns[:k])].to_numpy(dtype=np.int64))
        for question in study.questions
        for k, column in enumerate(question.asked_columns)
    }


def _normalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
