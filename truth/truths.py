"""What the measures are in truth: worked out from all people, or from many draws, by plain code of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from statsmodels.formula import api as smf

from pilotlm.analyses.common import given_answers, marginal_codes, sizes
from pilotlm.responses import subgroup_of, with_analysis_columns
from pilotlm.stats.coherence import incoherent
from pilotlm.stats.diversity import structures
from truth import people
from truth.replications import known_distribution

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
TABLES: dict[str, Callable[[], pd.DataFrame]] = {"same": people.everybody, "other": people.everybody_wrong}
"""The distribution of a simulation, then all its people."""


@dataclass(frozen=True)
class Truth:
    """A true value, and its Monte-Carlo error; 0 where it was worked out from all people."""

    value: float
    error: float = 0.0


def of_draws(values: Array) -> Truth:
    """The mean of a value over draws."""
    known = values[~np.isnan(values)]
    return Truth(float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known))))


class Draws:
    """So many draws of n rows of a distribution, as many in each treatment, by their places among all of its people.

    Draws of people and of a simulation have different seeds.
    """

    def __init__(self, distribution: str, n: int, count: int, seed: int) -> None:
        self.table, self.n = TABLES[distribution](), n
        rng = np.random.default_rng([seed, n])
        stratified = [[rng.choice(rows, n // 8, replace=False) for rows in people.by_treatment()] for _ in range(count)]
        self.rows: Codes = rng.permuted(np.array(stratified).reshape(count, -1), axis=1)

    @cached_property
    def columns(self) -> list[Codes]:
        """The codes of each answer column of all people of the distribution."""
        return marginal_codes(people.study(), self.table)

    @cached_property
    def beliefs(self) -> Codes:
        """The belief structure of each of them."""
        return structures(self.table[list(people.study().belief_columns)])


def variety(draws: Draws) -> dict[tuple[str, str], Truth]:
    """Number of structures, by metric and item."""
    drawn = draws.beliefs[draws.rows]
    unique = np.array([len(np.unique(row)) for row in drawn], dtype=float)
    return {("unique_structures", "beliefs"): of_draws(unique)}


def distances(ours: Draws, theirs: Draws) -> dict[tuple[str, str], Truth]:
    """All distances between half as many rows of a simulation as were drawn and as many people."""
    h = ours.n // 2
    a, b = ours.rows[:, :h], theirs.rows[:, :h]
    names, cells = list(people.study().answer_columns), sizes(people.study())
    found: dict[tuple[str, str], Array] = {}
    for name, x, y, size in zip(names, ours.columns, theirs.columns, cells, strict=True):
        p, q = shares(x[a], size), shares(y[b], size)
        found["marginal_distance", name] = jensenshannon(p, q, base=2, axis=1)
    found["marginal_distance", "mean"] = np.mean(list(found.values()), axis=0)
    for item, columns in (("beliefs", people.study().belief_columns), ("answers", people.study().answer_columns)):
        x, y = np.split(structures(pd.concat([ours.table, theirs.table])[list(columns)]), 2)
        pairs = [_joint_distance(x[i], y[j]) for i, j in zip(a, b, strict=True)]
        found["joint_distance", item] = np.array(pairs)
    return {key: of_draws(value) for key, value in found.items()}


class Groups:
    """Mean marginal distances between the rows of a group in a simulation and in people, at any number of rows."""

    def __init__(self, ours: Draws, theirs: Draws) -> None:
        self.ours, self.theirs = ours, theirs
        self._known: dict[tuple[str, str, int, bool], Truth] = {}

    def distance(self, variable: str, group: str, h: int, own: bool = True) -> Truth:
        """The expected distance at h rows to a group's people, of its own simulated rows or of any."""
        key = (variable, group, h, own)
        if key not in self._known:
            self._known[key] = self._distance(*key)
        return self._known[key]

    def _distance(self, variable: str, group: str, h: int, own: bool) -> Truth:
        a, b = _first(self.ours, variable, group if own else None, h), _first(self.theirs, variable, group, h)
        both = (a[:, 0] >= 0) & (b[:, 0] >= 0)
        a, b = a[both], b[both]
        columns = zip(self.ours.columns, self.theirs.columns, sizes(people.study()), strict=True)
        apart = [jensenshannon(shares(x[a], size), shares(y[b], size), base=2, axis=1) for x, y, size in columns]
        return of_draws(np.mean(apart, axis=0))


def beliefs_and_actions(distribution: str) -> dict[tuple[str, str], Truth]:
    """Gap and gap under independence (by shuffling actions) among all people of a distribution."""
    study, table = people.study(), TABLES[distribution]()
    rule = study.coherence
    assert rule is not None
    rng = np.random.default_rng(7)
    shuffled = []
    for _ in range(20):
        actions = table.groupby("treatment")["action"].transform(lambda a: rng.permutation(a.to_numpy()))
        shuffled.append(np.nanmean(incoherent(rule, study, table.assign(action=actions))))
    observed = Truth(float(np.nanmean(incoherent(rule, study, table))))
    return {("gap", rule.kind): observed, ("gap_independent", rule.kind): of_draws(np.array(shuffled))}


def coefficients(distribution: str) -> pd.Series:
    """The coefficients of all regressions among all people of a distribution, by "regression: term"."""
    study, table = people.study(), with_analysis_columns(people.study(), TABLES[distribution]())
    found = {}
    for regression in study.regressions:
        linear = regression.family == "linear"
        model = (smf.ols if linear else smf.logit)(regression.formula, table)
        params = (model.fit() if linear else model.fit(disp=False)).params
        found |= {f"{regression.name}: {term}": float(v) for term, v in params.items() if term != "Intercept"}
    return pd.Series(found)


def losses() -> dict[tuple[str, str], Truth]:
    """The scores of the known forecast, mean over all people."""
    study, table = people.study(), people.everybody()
    distributions, given = known_distribution(table), given_answers(study, table)
    rows = np.arange(len(table))
    own = {c: -np.log(distribution[rows, given[c]]) for c, distribution in distributions.items()}
    found = {("nll", c): value for c, value in own.items()} | {("nll", "all"): np.sum(list(own.values()), axis=0)}
    found = {key: Truth(float(value.mean())) for key, value in found.items()}
    counted = [q for q in study.questions if not q.nominal]
    values = {c: np.array(q.numbers, dtype=float) for q in counted for c in q.columns if c in distributions}
    within = {}
    for column, numbers in values.items():
        both = pd.DataFrame({"y": numbers[given[column]], "f": distributions[column] @ numbers})
        both -= both.groupby(table["treatment"]).transform("mean")
        # What does not vary within treatments knows nobody.
        within[column] = float(both["y"].corr(both["f"])) if both["f"].abs().max() > 1e-9 else 0.0
    found |= {("rho_S", column): Truth(value) for column, value in within.items()}
    return found | {("rho_S", "mean"): Truth(float(np.mean(list(within.values()))))}


def shares(codes: Codes, size: int) -> Array:
    """The share of each code in each line: (draws, size)."""
    offset = codes + np.arange(len(codes))[:, None] * size
    counted = np.bincount(offset.ravel(), minlength=len(codes) * size).reshape(len(codes), size)
    return np.asarray(counted / codes.shape[1])


def _joint_distance(x: Codes, y: Codes) -> float:
    """Jensen-Shannon distance of two lists of codes."""
    _, codes = np.unique(np.concatenate([x, y]), return_inverse=True)
    p, q = (np.bincount(part, minlength=codes.max() + 1) / len(part) for part in np.split(codes, [len(x)]))
    return float(jensenshannon(p, q, base=2))


def _first(draws: Draws, variable: str, group: str | None, h: int) -> Codes:
    """The first h rows of a group in each draw, -1 where it has fewer."""
    member = np.ones(len(draws.table), dtype=bool)
    if group is not None:
        member = (subgroup_of(people.study(), draws.table, variable).astype(str) == group).to_numpy()
    inside = member[draws.rows]
    order = np.argsort(~inside, axis=1, kind="stable")[:, :h]
    rows = np.take_along_axis(draws.rows, order, axis=1)
    return np.where(inside.sum(axis=1, keepdims=True) >= h, rows, -1)
