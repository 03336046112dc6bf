"""What the replications come to: bias, coverage, human benchmarks and levels, a line a measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.subgroups import DISTANCE_MARGIN, OTHER_GROUPS
from pilotlm.errors import InputError
from pilotlm.records import read_parquet
from pilotlm.stats.intervals import wilson
from truth import people
from truth.replications import Size, file_of
from truth.truths import (
    TABLES,
    Draws,
    Groups,
    Truth,
    beliefs_and_actions,
    coefficients,
    distances,
    losses,
    of_draws,
    variety,
)

LEVEL = 0.05
NINETY = ("equivalence_nopersona", "equivalence_balanced")
"""The measures whose intervals are of 90 %, those of two one-sided tests."""
KEYS = ["n", "distribution", "metric", "item", "subgroup"]
COLUMNS = (
    *KEYS, "replications", "truth_from", "truth", "truth_error", "mean", "mean_error", "level", "intervals", "coverage",
    "coverage_low", "coverage_high", "below", "above", "human_benchmark_gap", "human_benchmark_error", "scaled",
    "scaled_error", "rejected", "rejected_low", "rejected_high",
)  # fmt: skip
NULL_TERMS = (
    "belief_in_guards_at_b: sex", "belief_in_guards_at_b: college", "belief_in_guards_at_b: risk",
    "any_raid: sex", "any_raid: college", "raid_on_b: sex", "raid_on_b: college",
)  # fmt: skip
"""Coefficients that are 0 in truth: nothing in the generator lets the outcome depend on the predictor."""
FORECASTS = ("nll",)
"""Of a forecast that is wrong by construction, so that it must not score as its human benchmark."""
SIGNS = ("sign_f1", "false_positive_rate")


def summary(folder: Path, sizes: Sequence[Size], count: int, draws: int) -> pd.DataFrame:
    """Hold all replications against the truth: a line for each estimate with its interval, then one for each test.

    ``count`` is how many replications are read at most, ``draws`` how many make a truth that is a mean over samples. In
    `COLUMNS` ``truth_from`` says what the truth is: "everybody", a value among all people of the distribution;
    "samples", the mean over fresh samples of the same size, worked out apart; "people", the mean over fresh simulations
    of the same size given the people of the replication; "estimates", the mean of the estimates themselves, against
    which no bias can show. ``below`` and ``above`` are the shares of intervals that lie wholly below and above the
    truth. ``human_benchmark_gap`` is the mean of human benchmark less estimate where a simulation has the distribution
    of people. ``rejected`` is of tests alone, where the hypothesis holds: the share of replications with a p-value
    below 5 % in the family.
    """
    parts = []
    for size in sizes:
        table = pd.concat([read(folder, size.n, a, count) for a in size.analyses], ignore_index=True)
        truths = _truths_of(table, size.n, draws)
        tests = truths["metric"].str.endswith("_p") | (truths["metric"] == "p_value")
        parts.append(pd.DataFrame(_estimates(truths[~tests])).assign(n=size.n))
        parts.append(pd.DataFrame(_tests(truths)).assign(n=size.n))
    return pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS))


def read(folder: Path, n: int, analysis: str, count: int) -> pd.DataFrame:
    """The replications of an analysis that there are up to a number, with their number in ``replication``."""
    there = [k for k in range(1, count + 1) if file_of(folder, n, analysis, k).is_file()]
    tables = [read_parquet(file_of(folder, n, analysis, k), "`make truth`").assign(replication=k) for k in there]
    if not tables:
        raise InputError(f"There are no replications of '{analysis}' at n = {n} in {folder}; run `make truth`.")
    return pd.concat(tables, ignore_index=True).assign(
        subgroup=lambda t: t["subgroup"].fillna(""), item=lambda t: t["item"].fillna("")
    )


def _truths_of(table: pd.DataFrame, n: int, draws: int) -> pd.DataFrame:
    """The table with ``truth``, ``truth_error`` and ``truth_from``."""
    known = _by_key(n, draws)
    keys = list(zip(table["distribution"], table["metric"], table["item"], strict=True))
    found = [known.get(key) for key in keys]
    table = table.assign(
        truth=[np.nan if f is None else f[0].value for f in found],
        truth_error=[0.0 if f is None else f[0].error for f in found],
        truth_from=["" if f is None else f[1] for f in found],
    )
    table = _with_groups(table, n, draws)
    if (table["metric"] == "coefficient").any():
        table = _with_signs(_with_coefficients(table))
    rest = table["truth_from"] == ""
    means = table.groupby(KEYS[1:])["estimate"].transform("mean")
    return table.assign(
        truth=table["truth"].where(~rest, means), truth_from=table["truth_from"].where(~rest, "estimates")
    )


def _by_key(n: int, draws: int) -> dict[tuple[str, str, str], tuple[Truth, str]]:
    """The truths that are the same in all replications, by distribution, metric and item."""
    human = Draws("same", n, draws, 1)
    known: dict[tuple[str, str, str], tuple[Truth, str]] = {}
    for distribution in TABLES:
        ours = Draws(distribution, n, draws, 2)
        of_samples = variety(ours) | distances(ours, human)
        of_all = beliefs_and_actions(distribution)
        known |= {(distribution, *key): (truth, "samples") for key, truth in of_samples.items()}
        known |= {(distribution, *key): (truth, "everybody") for key, truth in of_all.items()}
    known |= {("same", *key): (truth, "everybody") for key, truth in losses().items()}
    return known


def _with_groups(table: pd.DataFrame, n: int, draws: int) -> pd.DataFrame:
    """Distances of groups depend on how many rows the group has in the replication, which is the table's ``n``."""
    human = Draws("same", n, draws, 1)
    groups = {distribution: Groups(Draws(distribution, n, draws, 2), human) for distribution in TABLES}
    truths: dict[int, Truth] = {}
    rows = table[table["metric"] == "subgroup_distance"]
    for row in rows[rows["distribution"].isin(list(TABLES))].itertuples():
        truths[row.Index] = groups[row.distribution].distance(row.item, row.subgroup, int(row.n))
    for row in table[table["metric"].isin(NINETY)].itertuples():
        if row.metric == "equivalence_nopersona":
            truths[row.Index] = Truth(0.0)
        elif row.subgroup != OTHER_GROUPS:
            apart = [
                groups[distribution].distance(row.item, row.subgroup, int(row.n), own=False)
                for distribution in ("other", "same")
            ]
            truths[row.Index] = Truth(apart[0].value - apart[1].value, float(np.hypot(apart[0].error, apart[1].error)))
    columns = {"truth": {k: t.value for k, t in truths.items()}, "truth_error": {k: t.error for k, t in truths.items()}}
    values = pd.DataFrame({**columns, "truth_from": "samples"})
    table = table.copy()
    if len(values):
        table.loc[values.index, ["truth", "truth_error", "truth_from"]] = values
    # A distribution that stands for people a second time matters to the claims only.
    return table[(table["distribution"] != "again") | table["metric"].str.contains("nopersona")].reset_index(drop=True)


def _with_coefficients(table: pd.DataFrame) -> pd.DataFrame:
    values, sources = table["truth"].to_numpy(float).copy(), table["truth_from"].to_numpy(object).copy()
    for distribution in TABLES:
        mine = ((table["distribution"] == distribution) & (table["metric"] == "coefficient")).to_numpy()
        values[mine], sources[mine] = table.loc[mine, "item"].map(coefficients(distribution)), "everybody"
    return table.assign(truth=values, truth_from=sources)


def _with_signs(table: pd.DataFrame) -> pd.DataFrame:
    """The signs' scores given people: the mean over the simulations of all other replications."""
    values, sources = table["truth"].to_numpy(float).copy(), table["truth_from"].to_numpy(object).copy()
    for distribution in TABLES:
        wide = {
            (metric, side): table[(table["distribution"] == distribution) & (table["metric"] == metric)].pivot_table(
                index="replication", columns="item", values=side, dropna=False
            )
            for metric in ("coefficient", "p_value") for side in ("estimate", "human")
        }  # fmt: skip
        for part, terms in _parts(list(wide["coefficient", "human"].columns)).items():
            arrays = {key: one.reindex(columns=terms).to_numpy(float) for key, one in wide.items()}
            expected = _expected_signs(arrays)
            for metric, scores in zip(SIGNS, expected, strict=True):
                mine = (
                    (table["distribution"] == distribution) & (table["metric"] == metric) & (table["item"] == part)
                ).to_numpy()
                by_replication = pd.Series(scores, index=wide["coefficient", "human"].index)
                values[mine] = table.loc[mine, "replication"].map(by_replication)
                sources[mine] = "people"
    return table.assign(truth=values, truth_from=sources)


def _parts(terms: list[str]) -> dict[str, list[str]]:
    effects = {f"{r.name}: {term}" for r in people.study().regressions for term in r.treatment_terms}
    return {"all": terms, "treatment": [t for t in terms if t in effects],
            "covariates": [t for t in terms if t not in effects]}  # fmt: skip


def _expected_signs(arrays: dict[tuple[str, str], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean F1 and false-positive rate of all other simulations, for the people of each replication."""
    signal = arrays["p_value", "human"] < LEVEL
    known = ~np.isnan(arrays["p_value", "human"])
    called = arrays["p_value", "estimate"] < LEVEL
    f1, wrong = [], []
    for r in range(len(signal)):
        same = np.sign(arrays["coefficient", "estimate"]) == np.sign(arrays["coefficient", "human"][r])
        mine = called & known[r]
        hits = (mine & signal[r] & same).sum(axis=1)
        whole = mine.sum(axis=1) + signal[r].sum()
        null = known[r] & ~signal[r]
        others = np.arange(len(signal)) != r
        with np.errstate(invalid="ignore"):
            f1.append(np.nanmean((2 * hits / np.where(whole > 0, whole, np.nan))[others]))
            wrong.append(np.nanmean((mine & null).sum(axis=1)[others] / null.sum()) if null.any() else np.nan)
    return np.array(f1), np.array(wrong)


def _estimates(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for key, rows in table.groupby(KEYS[1:], sort=False):
        named = dict(zip(KEYS[1:], key, strict=True))
        yield {**named, **_against_truth(rows), **_covered(rows), **_human_benchmarks(rows)}


def _against_truth(rows: pd.DataFrame) -> dict[str, Any]:
    known = rows.dropna(subset=["estimate", "truth"])
    apart = of_draws((known["estimate"] - known["truth"]).to_numpy()) if len(known) > 1 else Truth(np.nan, np.nan)
    truth = float(known["truth"].mean())
    return {"replications": len(known), "truth_from": rows["truth_from"].iloc[0], "truth": truth,
            "truth_error": float(known["truth_error"].mean()), "mean": truth + apart.value,
            "mean_error": apart.error}  # fmt: skip


def _covered(rows: pd.DataFrame) -> dict[str, Any]:
    known = rows.dropna(subset=["low", "high", "truth"])
    level = 0.9 if rows["metric"].iloc[0] in NINETY else 0.95
    if known.empty:
        return {"intervals": 0}
    # Rounding must not put a truth of 0 or 1 outside an interval that ends there.
    below, above = (known["high"] < known["truth"] - 1e-12), (known["low"] > known["truth"] + 1e-12)
    share = wilson(int((~below & ~above).sum()), len(known), 0.99)
    return {"level": level, "intervals": len(known), "coverage": share.value, "coverage_low": share.low,
            "coverage_high": share.high, "below": float(below.mean()), "above": float(above.mean())}  # fmt: skip


def _human_benchmarks(rows: pd.DataFrame) -> dict[str, Any]:
    """How far the human benchmark is from what a simulation with people's distribution scores."""
    if rows["distribution"].iloc[0] == "other" or rows["metric"].iloc[0] in FORECASTS:
        return {}
    found: dict[str, Any] = {}
    for name, values in (("human_benchmark", rows["human_benchmark"] - rows["estimate"]), ("scaled", rows["scaled"])):
        known = values.dropna().to_numpy(float)
        if len(known) > 1:
            mean = of_draws(known)
            found |= {f"{name}_gap" if name == "human_benchmark" else name: mean.value, f"{name}_error": mean.error}
    return found


def _tests(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Tests where their hypothesis holds: no difference between equal distributions, and a difference that is there."""
    same, other = table["distribution"].isin(["same", "again"]), table["distribution"] == "other"
    yield from _rejected(
        table[same & (table["metric"] == "difference_nopersona_p")], "difference_nopersona_p", "family"
    )
    for term in NULL_TERMS:
        yield from _rejected(table[same & (table["metric"] == "p_value") & (table["item"] == term)], "p_value", term)
    true = table[other & (table["metric"] == "equivalence_balanced") & (table["truth"].abs() >= DISTANCE_MARGIN)]
    keys = ["replication", "item", "subgroup"]
    tested = table[other & (table["metric"] == "equivalence_balanced_p")].merge(true[keys], on=keys)
    yield from _rejected(tested, "equivalence_balanced_p", "family")


def _rejected(rows: pd.DataFrame, metric: str, item: str) -> Iterator[dict[str, Any]]:
    smallest = rows.groupby("replication")["estimate"].min().dropna()
    if len(smallest):
        share = wilson(int((smallest < LEVEL).sum()), len(smallest), 0.99)
        yield {
            "distribution": rows["distribution"].iloc[0], "metric": metric, "item": item, "subgroup": "",
            "replications": len(smallest), "level": LEVEL, "rejected": share.value,
            "rejected_low": share.low, "rejected_high": share.high,
        }  # fmt: skip
