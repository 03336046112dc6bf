"""Whether a study's regressions come out as they do in people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.analyses.common import Compared, tidy
from pilotlm.randomness import generator
from pilotlm.responses import HUMAN, PERSON, with_analysis_columns
from pilotlm.stats.intervals import FloatArray, IntArray, with_replacement, without_replacement
from pilotlm.stats.recovery import (
    as_fresh_people,
    as_fresh_samples,
    concordance_interval,
    concordance_of,
    mean_known,
    sign_scores,
    standard_units,
    with_spread,
)
from pilotlm.stats.refits import Refits, pool_terms, refit_each
from pilotlm.stats.regressions import Design, Fit, design_of, fit_design
from pilotlm.study import Study

LEAST_TERMS = 3
"""Fewer coefficients have no concordance worth the name."""
MOST_REFITS = 100
"""More draws of rows than this would change the second digit of an interval's length, and take time."""
SCORES = (("sign_f1", "f1", 1.0), ("false_positive_rate", "false_positive_rate", 0.0))
"""Metric, attribute of the sign scores, and what people have."""


def recovery(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """Whether the study's regressions come out as they do in people.

    For each term ``coefficient`` and ``p_value`` (``item`` is "regression: term"; ``human`` is in all people).

    For all terms together and, where a study has both, apart for effects of the treatment and for covariates (``item``
    is "all", "treatment" or "covariates"):

    - ``sign_f1``: F1 of significant signs at 5 %; ``false_positive_rate``: the share of people's null coefficients that
      the simulation calls significant. Human benchmark: fresh people of the same n against all people.
    - ``concordance``: Lin's, of the standardised coefficients; from `LEAST_TERMS` terms on. Human benchmark: fresh
      people of the same n against as many people as there are. Random benchmark: 0.

    Where people have several rows, errors are clustered by person and people are drawn whole. Regressions are never
    weighted. Parameters and result are as in `pilotlm.analyses.heterogeneity.heterogeneity`; ``repeats`` beyond
    `MOST_REFITS` are not used.
    """
    if not study.regressions:
        return tidy(study, against, [])
    everybody = _Everybody(study, people, repeats)
    rows: list[dict[str, Any]] = []
    for one in [Compared(HUMAN, 0, people, people, None), *compared]:
        simulation = None if one.arm == HUMAN else _Simulation(everybody, one)
        fits = everybody.fits if simulation is None else simulation.fits
        found = [row for ours, theirs in zip(fits, everybody.fits, strict=True) for row in _coefficients(ours, theirs)]
        if simulation is not None:
            for part, terms in everybody.parts.items():
                scored = (*_signs(simulation, terms), *_agreement(simulation, terms))
                found += [{**row, "item": part} for row in scored]
        rows += [{"arm": one.arm, "seed": one.seed, **row} for row in found]
    return tidy(study, against, rows)


class _Everybody:
    """All people: their coefficients, and what fresh draws of them would give."""

    def __init__(self, study: Study, people: pd.DataFrame, repeats: int) -> None:
        self.study, self.repeats = study, min(repeats, MOST_REFITS)
        self.table = with_analysis_columns(study, people)
        self.treatments, self._whose = _strata(people)
        self._designs = [design_of(regression, self.table, None) for regression in study.regressions]
        self.fits = _fits(study, self._designs)
        self.truth = pool_terms(self.fits, self.fits)
        units = standard_units(study.regressions, self._designs)
        self._units: Mapping[str, float] = dict(zip(self.truth.terms, units, strict=True))
        self._draws: dict[tuple[str, int], Refits] = {}
        self._signs: dict[int, Refits] = {}

    @cached_property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The terms that are scored together."""
        terms = self.truth.terms
        effects = {f"{r.name}: {term}" for r in self.study.regressions for term in r.treatment_terms}
        treatment = tuple(term for term in terms if term in effects)
        covariates = tuple(term for term in terms if term not in effects)
        both = {"treatment": treatment, "covariates": covariates} if treatment and covariates else {}
        return {"all": terms, **both}

    def unit(self, terms: Sequence[str]) -> FloatArray:
        """The standard units of some terms."""
        return np.array([self._units[term] for term in terms])

    def fresh(self, n: int) -> Refits:
        """Coefficients of fresh draws of n people."""
        return self._drawn("", n)

    def as_fresh(self, n: int) -> Refits:
        """Fresh draws of n people about truths that could be behind people's coefficients, for their signs."""
        if n not in self._signs:
            rng, draws = generator(n, f"{self.study.name}signs".encode()), self.fresh(n)
            if 2 * n <= len(self.treatments):
                # Repeated rows separate the outcomes of a small logit too often; of different ones there are enough.
                counts = without_replacement(self.treatments, n, self.repeats, rng)[:, self._whose]
                subsets = pool_terms(refit_each(self.study.regressions, self._designs, counts), self.fits)
                draws = as_fresh_samples(subsets, self.truth, rng)
            self._signs[n] = as_fresh_people(draws, self.truth, rng)
        return self._signs[n]

    @property
    def others(self) -> Refits:
        """Coefficients of fresh draws of as many people as there are, independent of `fresh`."""
        return self._drawn("others", len(self.treatments))

    def _drawn(self, purpose: str, n: int) -> Refits:
        key = (purpose, n)
        if key not in self._draws:
            rng = generator(n, f"{self.study.name}{purpose}".encode())
            counts = with_replacement(self.treatments, n, self.repeats, rng)[:, self._whose]
            self._draws[key] = pool_terms(refit_each(self.study.regressions, self._designs, counts), self.fits)
        return self._draws[key]


class _Simulation:
    """One arm and seed beside all people."""

    def __init__(self, everybody: _Everybody, one: Compared) -> None:
        study = everybody.study
        treatments, whose = _strata(one.simulated)
        self.everybody, self.n, self._one = everybody, len(treatments), one
        table = with_analysis_columns(study, one.simulated)
        self._designs = [design_of(regression, table, everybody.table) for regression in study.regressions]
        self.fits = _fits(study, self._designs)
        self.value = pool_terms(self.fits, everybody.fits)
        rng = one.generator(study, "signs")
        counts = with_replacement(treatments, self.n, everybody.repeats, rng)[:, whose]
        self.draws = pool_terms(refit_each(study.regressions, self._designs, counts), everybody.fits)

    @cached_property
    def as_fresh(self) -> Refits:
        """The draws about coefficients that could be behind the simulation's, for the spread of its signs."""
        return as_fresh_people(self.draws, self.value, self._one.generator(self.everybody.study, "truths"))


def _strata(table: pd.DataFrame) -> tuple[NDArray[Any], IntArray]:
    """Within what people are drawn, and whose each row is: people with several rows are drawn whole.

    Strata are the treatments, unless somebody had several.
    """
    treatments, whose = table["treatment"].to_numpy(), np.arange(len(table))
    if PERSON not in table.columns:
        return treatments, whose
    whose = pd.factorize(table[PERSON])[0].astype(np.int64)
    first = np.unique(whose, return_index=True)[1]
    alike = (treatments == treatments[first][whose]).all()
    return (treatments[first] if alike else np.zeros(len(first))), whose


def _fits(study: Study, designs: Sequence[Design]) -> list[Fit]:
    return [fit_design(regression, design) for regression, design in zip(study.regressions, designs, strict=True)]


def _coefficients(ours: Fit, theirs: Fit) -> Iterator[dict[str, Any]]:
    place = {term: k for k, term in enumerate(ours.terms)}
    for k, term in enumerate(theirs.terms):
        j = place.get(term)
        item = {"item": f"{theirs.name}: {term}", "n": ours.n}
        if j is None:
            yield {**item, "metric": "coefficient", "estimate": math.nan, "human": theirs.coefficient[k]}
            continue
        yield {**item, "metric": "coefficient", "estimate": ours.coefficient[j], "low": ours.low[j],
               "high": ours.high[j], "human": theirs.coefficient[k]}  # fmt: skip
        yield {**item, "metric": "p_value", "estimate": ours.p_value[j], "human": theirs.p_value[k]}


def _signs(simulation: _Simulation, terms: Sequence[str]) -> Iterator[dict[str, Any]]:
    people, n = simulation.everybody, simulation.n
    truth = people.truth.only(terms)
    value, drawn, human_benchmark = (
        sign_scores(fits.only(terms), truth) for fits in (simulation.value, simulation.as_fresh, people.as_fresh(n))
    )
    for metric, score, human in SCORES:
        found = with_spread(float(getattr(value, score)[0]), getattr(drawn, score), n)
        yield {"metric": metric, "estimate": found.value, "low": found.low, "high": found.high, "human": human,
               "human_benchmark": mean_known(getattr(human_benchmark, score)), "n": n}  # fmt: skip


def _agreement(simulation: _Simulation, terms: Sequence[str]) -> Iterator[dict[str, Any]]:
    people, n = simulation.everybody, simulation.n
    units = people.unit(terms)
    value, draws = simulation.value.only(terms), simulation.draws.only(terms)
    truth, fresh, others = (fits.only(terms) for fits in (people.truth, people.fresh(n), people.others))
    if len(terms) >= LEAST_TERMS:
        found = concordance_interval(value, truth, units, draws, others, n)
        yield {"metric": "concordance", "estimate": found.value, "low": found.low, "high": found.high, "human": 1.0,
               "human_benchmark": float(concordance_of(fresh, others, units).mean()),
               "random_benchmark": 0.0, "n": n}  # fmt: skip
