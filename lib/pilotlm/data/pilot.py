"""Which people are the pilot, and who is held out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.arms import PilotDesign, Shuffled
from pilotlm.errors import InputError
from pilotlm.randomness import generator
from pilotlm.responses import count_people, one_row_each, persons_of, place_in_person, subgroup_of, weights_of
from pilotlm.study import Study

LINES = 6
"""Forms with more lines have fewer people where a pilot has at most so many, so that the answers are no more."""
SMALLEST_PILOT = 6
"""Fewer people are no sample of anybody."""


@dataclass(frozen=True)
class Pilot:
    """A pilot sample, as participants' numbers; all rows of a person are on one side.

    Models and baselines learn from the answers of ``participants``; nothing about those of ``held_out``, everybody
    else, may reach an answerer. Where people have several rows, those of the pilot's people that are not drawn are in
    no part. ``treatments`` are those that the pilot's people were given.
    """

    participants: tuple[int, ...]
    held_out: tuple[int, ...]
    treatments: tuple[str, ...]


def draw_pilot(study: Study, people: pd.DataFrame, design: PilotDesign, seed: int) -> Pilot:
    """Draw a pilot sample from all people, by the seed of the run.

    The draws of one seed are nested where their designs allow it: 25 % of one treatment lies inside 25 % of all.

    Raises
    ------
    InputError
        If the draw leaves fewer than `SMALLEST_PILOT` people on either side.
    """
    heads, at_most = one_row_each(people), limit_of(study, design) or len(people)
    order = heads.iloc[generator(seed, study.name, "order of people").permutation(len(heads))]
    treatments = [t.name for t in study.treatments if (people["treatment"] == t.name).any()]
    if design.balanced:
        drawn = _balanced(study, order, design.people or math.ceil((design.share or 0) * len(heads)))
    else:
        if design.treatments == "one":
            treatments = [treatments[generator(seed, study.name, "treatment").integers(len(treatments))]]
        if design.share is None:
            drawn = order[order["treatment"].isin(treatments)].head(design.people or 0)
        else:
            drawn = _from_each(order, treatments, design.share, at_most)
    drawn = drawn.head(at_most)
    in_pilot = persons_of(people).isin(persons_of(drawn))
    rows, held_out = people[in_pilot & people["treatment"].isin(treatments)], people[~in_pilot]
    taken, left = len(drawn), count_people(held_out)
    if min(taken, left) < SMALLEST_PILOT:
        raise InputError(
            f"study '{study.name}': the pilot design '{design.label}' leaves {taken} people in the pilot and "
            f"{left} held out; both need at least {SMALLEST_PILOT}. Choose another share or design."
        )
    rows = rows[_first_of_everybody(rows, np.arange(len(rows)), at_most)]
    present = tuple(t.name for t in study.treatments if (rows["treatment"] == t.name).any())
    return Pilot(_numbers(rows), _numbers(held_out), present)


def simulated_people(
    study: Study, people: pd.DataFrame, pilot: Pilot, at_most: int, seed: int, whom: str = "held-out"
) -> pd.DataFrame:
    """The rows of the people who are simulated, in their order: all that are compared, or a random draw of them.

    ``whom`` is "held-out" (only people outside the pilot) or "all". ``at_most`` is the most rows, 0 means all; nobody
    has a second row among them before everybody has a first.
    """
    compared = people if whom == "all" else people[people["participant"].isin(pilot.held_out)]
    if not at_most or len(compared) <= at_most:
        return compared.reset_index(drop=True)
    # Keyed by participant so that a larger draw contains every smaller one.
    keys = generator(seed, study.name, "simulated").permutation(len(people))
    keys = pd.Series(keys, index=people.index)[compared.index].to_numpy()
    return compared[_first_of_everybody(compared, keys, at_most)].reset_index(drop=True)


def draw_new_people(study: Study, people: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Draw n >= 1 people to simulate: backgrounds with replacement, by weight, and treatments in the study's shares.

    Of a participant with several rows a random one is taken. The table has keys, ``participant`` from 1, and the
    background; the treatments do not depend on it.
    """
    rng, heads = generator(seed, study.name, "new people"), one_row_each(people)
    weights = weights_of(heads)
    chosen = rng.choice(len(heads), size=n, p=None if weights is None else weights / weights.sum())
    shares = people["treatment"].value_counts(normalize=True).sort_index()
    places = np.searchsorted(shares.cumsum().to_numpy()[:-1], (np.arange(n) + 0.5) / n)
    drawn = heads.iloc[chosen][["study", "draw", *(variable.name for variable in study.background)]]
    treatment = rng.permutation(shares.index.to_numpy()[places])
    return drawn.reset_index(drop=True).assign(participant=np.arange(1, n + 1), treatment=treatment)


def limit_of(study: Study, design: PilotDesign) -> int | None:
    """The most people, and rows, that a design draws in a study: ``at_most``, fewer for a form of many lines."""
    lines = len(study.answer_columns)
    return None if design.at_most is None else design.at_most * LINES // max(lines, LINES)


def limited_note(study: Study, people: pd.DataFrame, design: PilotDesign) -> str:
    """Whom ``at_most`` leaves out of a pilot that is a share of the people, in a sentence; "" where nobody."""
    limit, share = limit_of(study, design), design.share
    if limit is None or share is None:
        return ""
    n, wanted, rows = count_people(people), math.ceil(share * count_people(people)), share * len(people)
    if wanted > limit:
        return f"To save time the pilot is {limit:,} of {n:,} people, not {100 * share:g} % of them."
    if rows > limit:
        return f"To save time the pilot is {limit:,} of about {rows:,.0f} rows of {wanted:,} people."
    return ""


def rows_of(people: pd.DataFrame, participants: tuple[int, ...]) -> pd.DataFrame:
    """The rows of some participants, in the order of the table."""
    return people[people["participant"].isin(participants)].reset_index(drop=True)


def shuffled_rows(study: Study, rows: pd.DataFrame, what: Shuffled, seed: int) -> pd.DataFrame:
    """Rows of a pilot with an association broken on purpose, for a negative control.

    - "personas": within each treatment, everybody is given the whole answers of a random other person. What remains is
      how answers depend on the treatment and on each other; that they depend on who answers is lost.
    - "answers": the same over all treatments, so that nothing known beforehand tells anything about the answers.
    - "": everything is left as it is.
    """
    if not what:
        return rows
    rng = generator(seed, study.name, "shuffled", what)
    groups = rows["treatment"].to_numpy() if what == "personas" else np.zeros(len(rows))
    source = np.arange(len(rows))
    for group in pd.unique(groups):
        members = np.flatnonzero(groups == group)
        source[members] = rng.permutation(members)
    answers = list(study.answer_columns)
    return rows.assign(**{column: rows[column].to_numpy()[source] for column in answers})


def _first_of_everybody(rows: pd.DataFrame, keys: NDArray[np.int64], at_most: int) -> NDArray[np.bool_]:
    """Which rows stay where only so many may: one of each person in the order of keys, then a second one, and so on."""
    return np.isin(np.arange(len(rows)), np.lexsort((keys, place_in_person(rows)))[:at_most])


def _from_each(order: pd.DataFrame, treatments: list[str], share: float, at_most: int) -> pd.DataFrame:
    groups = [order[order["treatment"] == treatment] for treatment in treatments]
    sizes = [math.ceil(share * len(group)) for group in groups]
    if sum(sizes) > at_most:
        sizes = [at_most * len(group) // sum(map(len, groups)) for group in groups]
    return pd.concat([group.head(size) for group, size in zip(groups, sizes, strict=True)])


def _balanced(study: Study, order: pd.DataFrame, total: int) -> pd.DataFrame:
    """Equal numbers from each group, but never more than half of a group: somebody must be held out."""
    if not study.subgroups:
        raise InputError(f"study '{study.name}' has no subgroups, so a pilot cannot be balanced over them.")
    groups = subgroup_of(study, order, study.subgroups[0].variable)
    limits = {str(name): int(count) // 2 for name, count in groups.value_counts().sort_index().items()}
    sizes = equal_shares(total, limits)
    return pd.concat([order[groups == name].head(size) for name, size in sizes.items()])


def equal_shares(total: int, limits: dict[str, int]) -> dict[str, int]:
    """Share a total as equally as the limits allow."""
    shares = dict.fromkeys(limits, 0)
    while left := min(total, sum(limits.values())) - sum(shares.values()):
        for name in [name for name in limits if shares[name] < limits[name]][:left]:
            shares[name] += 1
    return shares


def _numbers(rows: pd.DataFrame) -> tuple[int, ...]:
    return tuple(sorted(int(participant) for participant in rows["participant"]))


def swapped_personas(study: Study, people: pd.DataFrame) -> pd.DataFrame:
    """The same people, each with the persona of the next one of the same treatment."""
    following = np.arange(len(people))
    for mine in people.groupby("treatment").indices.values():
        following[mine] = np.roll(mine, -1)
    return people.assign(**{field.name: people[field.name].to_numpy()[following] for field in study.persona})
