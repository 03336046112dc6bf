"""Tests in words: claims of equivalence, and verdicts on coefficients."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pilotlm.analyses.subgroups import CLAIMS
from pilotlm.arms import Arms
from pilotlm.measures.intervals import DIFFERENT, EQUIVALENT, UNDECIDED, verdict
from pilotlm.showing.naming import in_order, label_of
from pilotlm.showing.tables import number, with_interval


def claims_table(table: pd.DataFrame) -> pd.DataFrame:
    """One line a claim, group and seed: the difference with its 90 % interval, the adjusted p-values, the verdict.

    Parameters
    ----------
    table : DataFrame
        The tidy table of the subgroups.

    Returns
    -------
    DataFrame
        Text, ready for `pilotlm.showing.tables.markdown`; without lines where no claim was tested.
    """
    lines = []
    several = len(set(table["seed"]) - {0}) > 1
    for claim in CLAIMS:
        keys = ["seed", "item", "subgroup"]
        found = table[table["metric"] == f"equivalence_{claim.name}"]
        equivalence_p, difference_p = (
            _by(table, f"{kind}_{claim.name}_p", keys) for kind in ("equivalence", "difference")
        )
        for _, row in found.iterrows():
            key = tuple(row[keys])
            lines.append(
                {
                    "Claim": claim.says,
                    **({"Seed": str(row["seed"])} if several else {}),
                    "Variable": row["item"],
                    "Group": row["subgroup"],
                    "Difference, 90 %": with_interval(row),
                    "p, equivalence": stated_p(equivalence_p[key]),
                    "p, difference": stated_p(difference_p[key]),
                    "Verdict": verdict(equivalence_p[key], difference_p[key]),
                    "n": str(int(row["n"])),
                }
            )
    return pd.DataFrame(lines)


def coefficient_verdicts(table: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """One line an arm and seed: how many coefficients are equivalent to people's, different, and undecided.

    Parameters
    ----------
    table : DataFrame
        The tidy table of the regressions.
    arms : Arms
        The declared arms.

    Returns
    -------
    DataFrame
        Text, ready for `pilotlm.showing.tables.markdown`.
    """
    lines = []
    keys = ["arm", "seed", "item"]
    equivalence_p, difference_p = (_by(table, f"coefficient_{kind}_p", keys) for kind in ("equivalence", "difference"))
    several = len(set(table["seed"]) - {0}) > 1
    for name, seed in _arms_and_seeds(table, arms):
        tested = [key for key in equivalence_p if key[:2] == (name, seed)]
        verdicts = [verdict(equivalence_p[key], difference_p[key]) for key in tested]
        lines.append(
            {
                "Arm": label_of(arms, name),
                **({"Seed": str(seed)} if several else {}),
                **{word.capitalize(): str(verdicts.count(word)) for word in (EQUIVALENT, DIFFERENT, UNDECIDED)},
                "Share equivalent": number(verdicts.count(EQUIVALENT) / len(verdicts), 2),
            }
        )
    return pd.DataFrame(lines)


def stated_p(p_value: float) -> str:
    """A p-value with three decimals, "< .001" below them."""
    return "< .001" if p_value < 0.001 else number(p_value)


def _arms_and_seeds(table: pd.DataFrame, arms: Arms) -> Sequence[tuple[str, int]]:
    tested = table[table["metric"] == "coefficient_equivalence"]
    pairs = dict.fromkeys(zip(tested["arm"], tested["seed"], strict=True))
    return [pair for name in in_order(arms, tested["arm"].unique().tolist()) for pair in pairs if pair[0] == name]


def _by(table: pd.DataFrame, metric: str, keys: Sequence[str]) -> dict[tuple[object, ...], float]:
    rows = table[table["metric"] == metric]
    return {tuple(key): float(value) for key, value in zip(rows[list(keys)].to_numpy(), rows["estimate"], strict=True)}
