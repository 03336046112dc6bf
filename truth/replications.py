"""One replication: people, simulations of two known distributions, and what the analyses themselves say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from pilotlm.analyses.accuracy import accuracy
from pilotlm.analyses.coherence import belief_action_coherence
from pilotlm.analyses.common import Compared, Distributions, Predicted, given_answers, uniform_forecasts
from pilotlm.analyses.divergence import divergence
from pilotlm.analyses.heterogeneity import heterogeneity
from pilotlm.analyses.regression import recovery
from pilotlm.analyses.subgroups import subgroups
from pilotlm.arms import load_arms
from pilotlm.predictions import as_predictions, asked_columns
from pilotlm.records import write_parquet
from pilotlm.responses import HUMAN
from truth import people

SAME, OTHER, AGAIN = "tuned_all_25", "tuned_all_25_balanced", "tuned_all_25_nopersona"
"""The names under which the simulations are analysed, which are those that the claims on subgroups speak of."""
DISTRIBUTIONS = {SAME: "same", OTHER: "other", AGAIN: "again"}
"""Simulation, then its distribution: that of people, another one, and that of people once more."""
RISKS = (-1, 3, 6, 10)
"""Where little, some and much risk end, on the study's scale from 0 to 10."""
RESAMPLES = 200
"""Of people, for the within-treatment correlation: as many as in a run."""
DRAWS = 40
"""Draws of rows for the regressions, which take most of the time."""
KEPT = (
    "distribution", "metric", "item", "subgroup", "estimate", "low", "high", "human", "human_benchmark",
    "random_benchmark", "scaled", "n",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """What is run at one number of people: keys of `ANALYSES`, and n, also the rows of each simulation.

    n is a multiple of 8. Regressions need many rows: with few their logits do not converge.
    """

    n: int
    analyses: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Drawn:
    """The people of a replication, and the simulations of `DISTRIBUTIONS`, in that order, all with one seed."""

    human: pd.DataFrame
    arms: Sequence[Compared]

    @classmethod
    def of(cls, n: int, replication: int) -> Drawn:
        """Draw them; they depend on the number of people and the replication alone."""
        rng = np.random.default_rng([n, replication])
        human = people.fresh(n, rng)
        tables = {
            SAME: people.fresh(n, rng),
            OTHER: people.draw(people.everybody_wrong(), n, rng),
            AGAIN: people.fresh(n, rng),
        }
        # The generator of an analysis depends on the seed, so it differs between replications.
        arms = [people.arm(name, 10 * replication, table, human) for name, table in tables.items()]
        return cls(human, arms)

    @property
    def apart(self) -> list[Compared]:
        """The first two with a seed of their own each: families of tests are the arms of one seed."""
        return [Compared(one.arm, one.seed + k, one.simulated, one.human, None) for k, one in enumerate(self.arms[:2])]


def analyse(analysis: str, drawn: Drawn, repeats: int) -> pd.DataFrame:
    """The columns `KEPT` of an analysis of one draw, without the rows of people as an arm of their own."""
    table = ANALYSES[analysis](drawn, repeats)
    table = table[table["arm"] != HUMAN].reset_index(drop=True)
    return table.assign(distribution=table["arm"].map(DISTRIBUTIONS))[list(KEPT)]


def replicate(size: Size, replication: int, repeats: int, folder: Path) -> None:
    """Run all analyses on a replication, each kept in a file of its own; what is there already is not run again."""
    drawn = Drawn.of(size.n, replication)
    for analysis in size.analyses:
        path = file_of(folder, size.n, analysis, replication)
        if not path.is_file():
            write_parquet(path, analyse(analysis, drawn, repeats))


def file_of(folder: Path, n: int, analysis: str, replication: int) -> Path:
    """Where an analysis of a replication is kept."""
    return folder / str(n) / analysis / f"{replication:05d}.parquet"


def known_distribution(table: pd.DataFrame) -> Distributions:
    """A forecast that is known and wrong, and knows a little of who answers.

    Half of it are the frequencies among all people of the treatment who take risks as much or as little, half uniform.
    """
    uniform = uniform_forecasts(people.study(), table)
    common = _frequencies()
    distributions: Distributions = {}
    for column, chance in uniform.items():
        valid = np.stack([common[group][column] for group in _groups(table)]) * (chance > 0)
        distributions[column] = valid / valid.sum(axis=1, keepdims=True) / 2 + chance / 2
    return distributions


def _predicted(one: Compared) -> Predicted:
    table = as_predictions(people.study(), one.human["participant"], known_distribution(one.human))
    return Predicted(one.arm, "all_25", one.seed, table, one.human)


@cache
def _frequencies() -> dict[str, Distributions]:
    """The frequencies of the answers in each group and column, those never given a little above 0."""
    study, table = people.study(), people.everybody()
    given, sizes = given_answers(study, table), {c: len(values) for c, values in asked_columns(study).items()}
    distributions: dict[str, Distributions] = {}
    groups = _groups(table)
    for group in groups.unique():
        rows = (groups == group).to_numpy()
        counted = {c: np.bincount(codes[rows], minlength=sizes[c]) + 0.5 for c, codes in given.items()}
        distributions[str(group)] = {c: counts / counts.sum() for c, counts in counted.items()}
    return distributions


def _groups(table: pd.DataFrame) -> pd.Series:
    """The treatment, and whether somebody takes little, some or much risk."""
    return table["treatment"].astype(str) + pd.cut(table["risk"], RISKS, labels=["little", "some", "much"]).astype(str)


def _accuracy(drawn: Drawn, repeats: int) -> pd.DataFrame:
    predicted = [_predicted(drawn.arms[0])]
    return accuracy(people.study(), predicted, [], drawn.human, load_arms(), "all", max(repeats, RESAMPLES))


ANALYSES: dict[str, Callable[[Drawn, int], pd.DataFrame]] = {
    "heterogeneity": lambda d, repeats: heterogeneity(people.study(), d.arms[:2], d.human, "all", repeats),
    "divergence": lambda d, repeats: divergence(people.study(), d.arms[:2], d.human, "all", repeats),
    "subgroups": lambda d, repeats: subgroups(people.study(), d.arms, d.human, "all", repeats),
    "coherence": lambda d, repeats: belief_action_coherence(people.study(), d.apart, d.human, "all", repeats),
    "accuracy": _accuracy,
    "regression": lambda d, repeats: recovery(people.study(), d.arms[:2], d.human, "all", min(repeats, DRAWS)),
}
"""What is run on each replication."""
