"""Tables as Markdown: they read the same in a notebook, on a page, in a PDF and in a text file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown

from pilotlm.analyses.subgroups import CLAIMS
from pilotlm.arms import Arms
from pilotlm.errors import plain as plain
from pilotlm.report.labels import in_order, label_of
from pilotlm.report.wording import number, with_ends
from pilotlm.responses import HUMAN
from pilotlm.stats.intervals import verdict

LINE = 110
"""Characters of a table's text on a line of the printed page, about."""
PADDING = 3
NOTHING = "Nothing to show here: the study lacks what this table needs, or has too few people or answers for it."
COUNTS = ("unique_structures",)
"""Metrics that count: shown without decimals, their expected values with one."""


def markdown(table: pd.DataFrame, empty: str = NOTHING) -> Markdown:
    """Show a table whose cells are text or numbers; whatever stands in it is shown as text.

    Parameters
    ----------
    table : DataFrame
        Its index is not shown.
    empty : str
        What is shown in place of a table without rows: why there are none.

    Returns
    -------
    Markdown
        For a notebook's last line.
    """
    return Markdown(text_table(table, empty))


def text_table(table: pd.DataFrame, empty: str = NOTHING) -> str:
    """The text of `markdown`, for a page that is put together from texts."""
    if table.empty:
        return empty
    shown = table.map(lambda cell: cell if isinstance(cell, int | float) else plain(str(cell)))
    heads, _, *lines = shown.to_markdown(index=False, disable_numparse=True).splitlines()
    return "\n".join([heads, f"|{'|'.join('-' * width for width in _widths(shown))}|", *lines])


def _widths(table: pd.DataFrame) -> list[int]:
    """Characters that each column gets of a line: in a table that wraps, dashes are shares of the page."""
    cells = [[str(cell).replace("\\", "") for cell in table[name]] for name in table]
    heads = [str(name) for name in table]
    needed = np.array([_longest(" ".join([head, *texts]).split()) for head, texts in zip(heads, cells, strict=True)])
    wanted = np.maximum(needed, [_longest([head, *texts]) for head, texts in zip(heads, cells, strict=True)])
    room = LINE - PADDING * len(heads)
    if wanted.sum() > room:  # then heads may wrap
        wanted = np.maximum(needed, [_longest(texts) for texts in cells])
    longer, spare = wanted - needed, room - needed.sum()
    given = needed + longer * np.clip(spare / max(longer.sum(), 1), 0, 1)
    return [int(width) for width in np.ceil(given) + PADDING]


def _longest(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=1)


def with_interval(row: pd.Series, digits: int = 3) -> str:
    """An estimate with its interval, such as ``0.52 [0.47, 0.58]``."""
    return with_ends(row["estimate"], row.get("low", math.nan), row.get("high", math.nan), digits)


def by_arm(
    table: pd.DataFrame, arms: Arms, columns: dict[str, str], keys: Sequence[str] = (), digits: int = 3
) -> pd.DataFrame:
    """Lay out tidy rows with one line an arm, and a seed where the table has several.

    Parameters
    ----------
    table : DataFrame
        Tidy rows, or means of them (`pilotlm.report.evidence.over_seeds`), whose lines say of how many seeds.
    arms : Arms
        The declared arms.
    columns : dict
        A metric, or "metric/column" for another column than the estimate, and its heading.
    keys : sequence of str
        Further columns that tell lines apart, such as ``item``.
    digits : int
        Decimals.

    Returns
    -------
    DataFrame
        Text, ready for `markdown`.
    """
    lines = []
    names = in_order(arms, table["arm"].unique().tolist())
    of_seeds = "seeds" if "seeds" in table else "seed"
    several = bool((table[of_seeds] > 1).any()) if of_seeds == "seeds" else len(set(table["seed"]) - {0}) > 1
    for name in names:
        for key, part in table[table["arm"] == name].groupby([of_seeds, *keys], sort=False, dropna=False):
            values = key if isinstance(key, tuple) else (key,)
            line: dict[str, Any] = {"Arm": label_of(arms, name)}
            if several:
                line[of_seeds.capitalize()] = values[0] if values[0] and name != HUMAN else ""
            line |= dict(zip([k.capitalize() for k in keys], values[1:], strict=True))
            for source, heading in columns.items():
                line[heading] = _cell(part, source, digits)
            n = part["n"].dropna()
            line["n"] = str(int(n.iloc[0])) if len(n) else "–"
            lines.append(line)
    return pd.DataFrame(lines)


def _cell(part: pd.DataFrame, source: str, digits: int) -> str:
    metric, _, column = source.partition("/")
    rows = part[part["metric"] == metric]
    if rows.empty:
        return "–"
    if metric in COUNTS and column != "scaled":
        digits = 1 if column else 0  # what is expected of a count is no whole number
    return number(rows.iloc[0][column], digits) if column else with_interval(rows.iloc[0], digits)


def claims_table(table: pd.DataFrame) -> pd.DataFrame:
    """One line a claim, group and seed: the difference with its 90 % interval, the adjusted p-values, the verdict."""
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


def stated_p(p_value: float) -> str:
    """A p-value with three decimals, "< .001" below them."""
    return "< .001" if p_value < 0.001 else number(p_value, 3)


def _by(
    table: pd.DataFrame, metric: str, keys: Sequence[str], column: str = "estimate"
) -> dict[tuple[object, ...], float]:
    rows = table[table["metric"] == metric]
    return {tuple(key): float(value) for key, value in zip(rows[list(keys)].to_numpy(), rows[column], strict=True)}
