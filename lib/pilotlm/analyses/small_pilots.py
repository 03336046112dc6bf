"""What helps at thirty people: arms with and without a language model, compared on the same held-out people.

The plan that this follows was written before the pilots were drawn: docs/thirty.qmd.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import t

from pilotlm.analyses.common import Distributions, correlations_within_treatments, total_losses
from pilotlm.baselines.pooling import pooled
from pilotlm.stats.intervals import Estimate, FloatArray
from pilotlm.study import Study

WITHOUT_MODEL = {"marginals": "Marginals", "logit": "Logit", "copula": "Copula", "lines": "Logit over lines"}
"""The baselines of a trial; the half-and-half pool of each two of them is one more rival."""
WITH_MODEL = {
    "base": "Base model",
    "recalibrated": "Base model, recalibrated",
    "tuned": "Fine-tuned",
    "recalibrated+logit": "Recalibrated, pooled with the logit",
    "tuned+logit": "Fine-tuned, pooled with the logit",
    "tuned+lines": "Fine-tuned, pooled with the logit over lines",
    "tuned+copula": "Fine-tuned, pooled with the copula",
}
"""The arms of a trial in which a language model answers."""
NAMED_BEFOREHAND = "tuned+logit"
"""The arm that the plan's main question is about."""
NAMED_LATER = "tuned+copula"
"""The arm of the second question, added after four pilots: the trials of those do not have it."""
DIGITS = 5
LEAD_COLUMNS = ("study", "pilot", "arm", "rival", "lead", "low", "high", "rho_S", "people", "pilots")


def label_of_trial_arm(arm: str) -> str:
    """An arm of a trial in words."""
    known = {**WITHOUT_MODEL, **WITH_MODEL}
    if arm in known:
        return known[arm]
    first, second = (WITHOUT_MODEL[part] for part in arm.split("+"))
    return f"{first} and {second[0].lower()}{second[1:]}, pooled"


def with_pools(baselines: Mapping[str, Distributions], models: Mapping[str, Distributions]) -> dict[str, Distributions]:
    """All arms of a trial from the distributions of its baselines, and of the base, recalibrated and tuned model."""
    pairs = [*combinations(baselines, 2), *(tuple(name.split("+")) for name in sorted(WITH_MODEL) if "+" in name)]
    arms = {**baselines, **models}
    return arms | {f"{first}+{second}": half_of_each(arms[first], arms[second]) for first, second in pairs}


def half_of_each(first: Distributions, second: Distributions) -> Distributions:
    """The pool of two arms with weight one half (`pilotlm.baselines.pooling.pooled`), column by column."""
    with np.errstate(divide="ignore"):
        return {column: np.exp(pooled(np.log(first[column]), np.log(second[column]))) for column in first}


def trial_table(study: Study, arms: Mapping[str, Distributions], people: pd.DataFrame) -> pd.DataFrame:
    """How every arm of a trial (`with_pools`) forecasts some held-out people, a column an arm.

    There is a row a person with ``measure`` "loss" (nats, of whole answers) and ``participant``, and one more with
    ``measure`` "rho_S" and no participant.
    """
    losses = pd.DataFrame({arm: total_losses(study, distributions, people) for arm, distributions in arms.items()})
    losses.insert(0, "participant", people["participant"].astype("Int64").to_numpy())
    rho = pd.DataFrame([{arm: mean_correlation(study, distributions, people) for arm, distributions in arms.items()}])
    return pd.concat([losses.assign(measure="loss"), rho.assign(measure="rho_S")], ignore_index=True)[
        ["measure", "participant", *arms]
    ].round(DIGITS)


def mean_correlation(study: Study, distributions: Distributions, people: pd.DataFrame) -> float:
    """rho_S (`pilotlm.stats.scoring.within_correlations`), the mean over the answers that are numbers."""
    # Only the value is used: its interval over people and pilots is the table's, not that of one trial's people.
    rng = np.random.default_rng(0)
    return correlations_within_treatments(study, distributions, people, 2, rng)["mean"].value


@dataclass(frozen=True, eq=False)
class Trials:
    """All trials of one study at one size of pilot.

    ``losses`` has a row a seed and participant and a column an arm, in nats; ``rho`` a row a seed and a column an arm.
    """

    study: str
    pilot: str
    losses: pd.DataFrame
    rho: pd.DataFrame

    @classmethod
    def of(cls, study: str, pilot: str, tables: Mapping[int, pd.DataFrame]) -> Trials:
        """From the table of each seed (`trial_table`)."""
        every = pd.concat([table.assign(seed=seed) for seed, table in sorted(tables.items())], ignore_index=True)
        losses, rho = (every[every["measure"] == measure].drop(columns="measure") for measure in ("loss", "rho_S"))
        return cls(
            study, pilot, losses.set_index(["seed", "participant"]), rho.set_index("seed").drop(columns="participant")
        )

    @property
    def arms(self) -> list[str]:
        """The arms, in order."""
        return [str(name) for name in self.losses]

    def best_without_model(self) -> str:
        """The arm without a language model with the smallest mean loss on these held-out people, over all pilots.

        It is named with the held-out people in sight, which favours it against the arms with a model.
        """
        return str(self.losses[[arm for arm in self.arms if arm not in WITH_MODEL]].mean().idxmin())

    def lead(self, arm: str, rival: str) -> Estimate:
        """By how many nats a person an arm loses less than a rival, over the pilots that have it (`two_way_mean`)."""
        difference = (self.losses[rival] - self.losses[arm]).dropna()
        seeds, people = (difference.index.get_level_values(name).to_numpy() for name in ("seed", "participant"))
        return two_way_mean(difference.to_numpy(dtype=float), people, seeds)


def two_way_mean(values: FloatArray, people: FloatArray, pilots: FloatArray) -> Estimate:
    """The mean of (n,) values with a 95 % interval over the people and pilots (n,) of whom and under which each is.

    Robust to clusters of people and of pilots at once (Cameron, Gelbach & Miller 2011, Journal of Business & Economic
    Statistics 29, 238-249); t with one degree of freedom fewer than pilots. Never narrower than with clusters of pilots
    alone. No interval with fewer than three pilots.
    """
    value, count = float(np.mean(values)), len(np.unique(pilots))
    if count < 3:
        return Estimate(value, float("nan"), float("nan"), len(values))
    ones, groups = np.ones(len(values)), [np.unique(which, return_inverse=True)[1] for which in (people, pilots)]
    model = sm.OLS(np.asarray(values, dtype=float), ones)

    def error(which: np.ndarray) -> float:
        variance = model.fit(cov_type="cluster", cov_kwds={"groups": which}).cov_params()
        return float(np.sqrt(max(float(np.asarray(variance).ravel()[0]), 0.0)))

    both = error(np.column_stack(groups))
    # The two-way variance is a difference and can fall below that of one of its parts in a small sample.
    half = max(both, error(groups[1])) * float(t.ppf(0.975, count - 1))
    return Estimate(value, value - half, value + half, len(values))


def persona_use(tables: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """What each way of using the persona gives, and what another person's persona costs it.

    The table of each seed has a row a way and held-out participant: ``way``, ``participant``, and the losses ``own``
    and ``other``, with one's own persona and with another's, in nats. Given is a row a way: ``loss``; ``lead`` over the
    first way and ``cost`` of another's persona, in nats a person, with ``lead_low``, ``lead_high``, ``cost_low`` and
    ``cost_high`` (`two_way_mean`); ``pilots``.
    """
    every = pd.concat([table.assign(seed=seed) for seed, table in sorted(tables.items())], ignore_index=True)
    first = every[every["way"] == every["way"].iloc[0]].set_index(["seed", "participant"])["own"]
    rows = []
    for way, mine in every.groupby("way", sort=False):
        mine = mine.set_index(["seed", "participant"])
        people, seeds = (mine.index.get_level_values(name).to_numpy() for name in ("participant", "seed"))
        ahead, cost = (
            two_way_mean(values.to_numpy(dtype=float), people, seeds)
            for values in (first.loc[mine.index] - mine["own"], mine["other"] - mine["own"])
        )
        rows.append({
            "way": way, "loss": mine["own"].mean(), "lead": ahead.value, "lead_low": ahead.low, "lead_high": ahead.high,
            "cost": cost.value, "cost_low": cost.low, "cost_high": cost.high, "pilots": len(tables),
        })  # fmt: skip
    return pd.DataFrame(rows)


def leads(every: list[Trials]) -> pd.DataFrame:
    """Each arm's lead over the logit and over the best arm without a model, in `LEAD_COLUMNS`."""
    rows = [row for trials in every for row in _leads(trials)]
    return pd.DataFrame(rows, columns=list(LEAD_COLUMNS))


def _leads(trials: Trials) -> Iterator[dict[str, object]]:
    best, rho = trials.best_without_model(), trials.rho.mean()
    for arm in trials.arms:
        there = trials.losses[arm].dropna().index
        people, pilots = (there.get_level_values(name).nunique() for name in ("participant", "seed"))
        for rival in dict.fromkeys(["logit", best]):
            if arm == rival:
                continue
            found = trials.lead(arm, rival)
            yield {
                "study": trials.study, "pilot": trials.pilot, "arm": arm, "rival": rival, "lead": found.value,
                "low": found.low, "high": found.high, "rho_S": rho[arm], "people": people, "pilots": pilots,
            }  # fmt: skip
