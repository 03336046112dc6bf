"""Tables as Markdown, which reads the same in a notebook, on a page, in a PDF and in a text file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from IPython.display import Markdown

from pilotlm.analyses.rectification import METHODS, WRONG
from pilotlm.analyses.subgroups import CLAIMS
from pilotlm.arms import Arms
from pilotlm.errors import plain as plain
from pilotlm.report.labels import KINDS, answer_words, average_answer, in_order, label_of, term_label, variable_labels
from pilotlm.report.wording import number, with_ends
from pilotlm.responses import HUMAN, SMALLEST_GROUP, as_numbers, count_people, valid_mass_column, weights_of
from pilotlm.stats.estimators import LABELS
from pilotlm.stats.intervals import verdict
from pilotlm.study import Study

if TYPE_CHECKING:
    from pilotlm.baselines.fit import Baseline

LINE = 110
"""Characters of a table's text on a line of the printed page, about."""
PADDING = 3
NOTHING = "Nothing to show here: the study lacks what this table needs, or has too few people or answers for it."
COUNTS = ("unique_structures",)
"""Metrics that count: shown without decimals, their expected values with one."""
WRONG_WORDS: Mapping[str, str] = {
    "wrongly used": "Wrongly used as they are",
    "wrongly rectified": "Wrongly advised prediction-powered",
    "wrongly refused": "Wrongly refused",
}
"""How a verdict is wrong, with its column's heading."""


def markdown(table: pd.DataFrame, empty: str = NOTHING) -> Markdown:
    """Show a table without its index, whatever stands in its cells as text; ``empty`` says why there are no rows."""
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
    """Lay out tidy rows as text, with one line an arm, and a seed where the table has several.

    Parameters
    ----------
    table : DataFrame
        Tidy rows, or means of them (`pilotlm.report.evidence.over_seeds`), whose lines say of how many seeds.
    columns : dict
        A metric, or "metric/column" for another column than the estimate, and its heading.
    keys : sequence of str
        Further columns that tell lines apart, such as ``item``.
    """
    lines = []
    of_seeds = "seeds" if "seeds" in table else "seed"
    several = bool((table[of_seeds] > 1).any()) if of_seeds == "seeds" else len(set(table["seed"]) - {0}) > 1
    for name in in_order(arms, table["arm"]):
        for (seed, *values), part in table[table["arm"] == name].groupby([of_seeds, *keys], sort=False, dropna=False):
            line: dict[str, Any] = {"Arm": label_of(arms, name)}
            if several:
                line[of_seeds.capitalize()] = seed if seed and name != HUMAN else ""
            line |= dict(zip([key.capitalize() for key in keys], values, strict=True))
            line |= {heading: _cell(part, source, digits) for source, heading in columns.items()}
            n = part["n"].dropna()
            lines.append(line | {"n": str(int(n.iloc[0])) if len(n) else "–"})
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
    lines, keys = [], ["arm", "seed", "item", "subgroup"]
    arms = table.loc[table["metric"].astype(str).str.startswith("equivalence_"), "arm"].nunique()
    several = len(set(table["seed"]) - {0}) > 1
    estimates = table.drop_duplicates(["metric", *keys]).set_index(["metric", *keys])["estimate"]
    for claim in CLAIMS:
        for _, row in table[table["metric"] == f"equivalence_{claim.name}"].iterrows():
            equivalence, difference = (
                float(estimates[f"{kind}_{claim.name}_p", *row[keys]]) for kind in ("equivalence", "difference")
            )
            lines.append({
                "Claim": claim.says,
                **({"Arm": row["arm"]} if arms > len(CLAIMS) else {}),
                **({"Seed": str(row["seed"])} if several else {}),
                "Variable": row["item"],
                "Group": row["subgroup"],
                "Difference, 90 %": with_interval(row),
                "p, equivalence": stated_p(equivalence),
                "p, difference": stated_p(difference),
                "Verdict": verdict(equivalence, difference),
                "n": str(int(row["n"])),
            })  # fmt: skip
    return pd.DataFrame(lines)


def stated_p(p_value: float) -> str:
    """A p-value with three decimals, "< .001" below them."""
    return "< .001" if p_value < 0.001 else number(p_value, 3)


def people_table(study: Study, people: pd.DataFrame) -> pd.DataFrame:
    """One line a treatment: how many people, and the mean of each answer, or the share of each option in no order.

    Of real people fewer than `SMALLEST_GROUP` are not told apart: their number and their answers are left out, and with
    a single such treatment those of the smallest other one too, from which they would follow.
    """
    lines, labels = [], variable_labels(study)
    sizes = {t.name: count_people(people[people["treatment"] == t.name]) for t in study.treatments}
    smallest = sorted(sizes, key=sizes.__getitem__)
    hidden = [name for name in smallest if sizes[name] < SMALLEST_GROUP and not study.synthetic]
    hidden = smallest[:2] if len(hidden) == 1 else hidden
    for treatment in study.treatments:
        rows = people[people["treatment"] == treatment.name]
        few, weights = treatment.name in hidden, weights_of(rows)
        count = "left out" if few else str(sizes[treatment.name])
        shown = {labels[c]: "–" if few else average_answer(study, c, rows[c], weights) for c in study.answer_columns}
        lines.append({"Treatment": treatment.label, "People": count, **shown})
    return pd.DataFrame(lines)


def answers_table(study: Study, people: pd.DataFrame) -> pd.DataFrame:
    """One line an answer: its role, what is allowed, mean and standard deviation, and the most frequent answer.

    Of options in no order there are shares in place of a mean.
    """
    lines, labels, numbers, weights = [], variable_labels(study), as_numbers(study, people), weights_of(people)
    for question in study.questions:
        for column in question.columns:
            values = people[column]
            top, deviation = values.value_counts(normalize=True), numbers[column].std()
            if weights is not None:
                shares = pd.Series(weights / weights.sum()).groupby(values.to_numpy()).sum()
                top = shares.sort_values(ascending=False, kind="stable")
                deviation = float(np.sqrt(np.cov(numbers[column], aweights=weights)))
            lines.append(
                {
                    "Answer": labels[column],
                    "Role": question.role,
                    "Allowed": question.answer_rule(),
                    "Mean or shares": average_answer(study, column, values, weights),
                    "SD": number(deviation, 2) if question.ordered else "–",
                    "Most frequent": f"{answer_words(study, column, top.index[0])} ({100 * top.iloc[0]:.0f} %)",
                }
            )
    return pd.DataFrame(lines)


def valid_mass_table(study: Study, responses: pd.DataFrame) -> pd.DataFrame:
    """One line an answer: the valid mass, and the mean of what was answered, or the shares of options in no order."""
    lines, labels = [], variable_labels(study)
    for column in study.answer_columns:
        mass = responses.get(valid_mass_column(column))
        lines.append(
            {
                "Answer": labels[column],
                "Valid mass, mean": "follows" if mass is None else number(mass.mean(), 4),
                "Valid mass, smallest": "follows" if mass is None else number(mass.min(), 4),
                "Mean answer or shares": average_answer(study, column, responses[column]),
            }
        )
    return pd.DataFrame(lines)


def baselines_table(study: Study, baselines: Sequence[Baseline]) -> pd.DataFrame:
    """One line a baseline: its losses, and the settings chosen."""
    labels = variable_labels(study)
    return pd.DataFrame(
        {
            "Baseline": one.arm.label,
            "Cross-validated loss": number(one.cv_loss, 2),
            "Held-out loss": number(one.held_out_nll, 2),
            "Chosen for each answer": "; ".join(f"{labels.get(k, k)}: {v:g}" for k, v in one.settings.items())
            or "nothing to choose",
        }
        for one in baselines
    )


def published_table(study: Study, measured: pd.DataFrame) -> pd.DataFrame:
    """One line a coefficient: what was published or re-estimated before, and what the people's rows give here."""
    human = measured[measured["arm"] == HUMAN].drop_duplicates(["metric", "item"]).set_index(["metric", "item"])
    lines = []
    for regression in study.regressions:
        items = human.index.get_level_values("item")
        for item in dict.fromkeys(items[items.str.startswith(f"{regression.name}: ")]):
            term = str(item).removeprefix(f"{regression.name}: ")
            said = regression.published.get(term)
            p_value = human["estimate"].get(("p_value", item), math.nan)
            lines.append({
                "Regression": regression.label,
                "Term": term_label(study, term),
                "Published": "–" if said is None else f"{number(said.coefficient, 3)} {said.stars or ''}".strip(),
                "Here": f"{with_interval(human.loc[('coefficient', item)])} {stars(p_value)}",
            })  # fmt: skip
    return pd.DataFrame(lines)


def stars(p_value: float) -> str:
    """Three stars below .001, two below .01, one below .05, else "ns"; "–" where there is no test."""
    if pd.isna(p_value):
        return "–"
    return next((mark for level, mark in ((0.001, "***"), (0.01, "**"), (0.05, "*")) if p_value < level), "ns")


def judged_arms(table: pd.DataFrame, arms: Arms) -> list[str]:
    """The arms of which pilots were drawn, in order."""
    return in_order(arms, table[table["metric"] == "estimator_effective"]["arm"])


def estimator_table(table: pd.DataFrame, arms: Arms, n: int) -> pd.DataFrame:
    """Each estimator with n people: coverage, and width and effective sample size over those of people alone."""
    rows, lines = table[table["n"] == n], []
    for name in judged_arms(table, arms):
        for kind, title in KINDS.items():
            for method in METHODS:
                part = rows[(rows["arm"] == name) & (rows["item"] == kind) & (rows["subgroup"] == method)]
                if len(part):
                    values = _means(part)
                    lines.append({
                        "Arm": label_of(arms, name), "Of": title, "Estimator": LABELS[method],
                        "Coverage": values.get("estimator_coverage", "–"),
                        "Width": values.get("estimator_width", "–").partition(" ")[0],
                        "Effective sample size": values.get("estimator_effective", "–").partition(" ")[0],
                    })  # fmt: skip
    return pd.DataFrame(lines)


def error_table(table: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """How often the verdict on a target is wrong, by arm, kind of target and number of people asked."""
    metrics = {how.replace(" ", "_"): WRONG_WORDS[how] for how in WRONG}
    rows, lines = table[table["metric"].isin(metrics)], []
    for name in judged_arms(table, arms):
        for (kind, n), part in rows[rows["arm"] == name].groupby(["item", "n"], sort=False):
            values = _means(part)
            shown = {heading: values.get(metric, "–") for metric, heading in metrics.items()}
            lines.append({"Arm": label_of(arms, name), "Of": KINDS[str(kind)], "People": f"{n:.0f}", **shown})
    return pd.DataFrame(lines)


def _means(part: pd.DataFrame) -> dict[str, str]:
    """The mean of each metric of some rows with its interval, in words."""
    means = part.groupby("metric")[["estimate", "low", "high"]].mean()
    return {str(metric): with_interval(row, 2) for metric, row in means.iterrows()}
