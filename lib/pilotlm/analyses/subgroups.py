"""How far each subgroup's answers are from those of its people, and two claims that a change makes no difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.common import (
    Compared,
    between,
    groups_in_order,
    largest_group,
    marginal_codes,
    same_participants,
    sizes,
    tidy,
    uniform_distributions,
    weights_of_both,
)
from pilotlm.responses import SMALLEST_GROUP, subgroup_of, weights_of
from pilotlm.stats.comparisons import Comparison, compare_many
from pilotlm.stats.distances import DistanceDifference, distance_difference
from pilotlm.stats.intervals import holm, two_one_sided
from pilotlm.study import Study

DISTANCE_MARGIN = 0.05
"""The largest difference of two arms' mean Jensen-Shannon distances that does not matter: about as much as the distance
between two samples of 50 to 100 of the same people varies about its mean. Fixed beforehand."""
OTHER_GROUPS = "all but the largest"
"""The mean over the groups of a variable but the one with most people."""


def subgroups(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How far each subgroup's answers are from those of its people, all groups of a variable at the same n.

    - ``subgroup_distance``: mean marginal Jensen-Shannon distance over the answer columns; ``item`` is the variable.
      Human benchmark: people of the group against other people of it. Random benchmark: uniform answers.
    - ``equivalence_<claim>`` and its p-values: see `claims_rows`.

    Groups with fewer than `SMALLEST_GROUP` people or simulated rows are left out. Parameters and result are as in
    `pilotlm.analyses.heterogeneity.heterogeneity`.
    """
    rows: list[dict[str, Any]] = []
    for one in compared:
        for subgroup in study.subgroups:
            key = {"arm": one.arm, "seed": one.seed, "item": subgroup.variable}
            rows += [{**key, "metric": "subgroup_distance", "subgroup": group, **between(result)}
                     for group, result in _by_group(study, one, subgroup.variable, repeats)]  # fmt: skip
    return tidy(study, against, [*rows, *claims_rows(study, compared, people, repeats)])


def _by_group(study: Study, one: Compared, variable: str, repeats: int) -> Iterator[tuple[str, Comparison]]:
    ours, theirs = subgroup_of(study, one.simulated, variable), subgroup_of(study, one.human, variable)
    counts = {str(group): min(int((ours == group).sum()), int(count)) for group, count in theirs.value_counts().items()}
    shown = {group: size for group, size in counts.items() if size >= SMALLEST_GROUP}
    at = min(shown.values(), default=0) // 2
    uniform = list(uniform_distributions(study).values())
    for group in [group for group in groups_in_order(study, one.human, variable) if group in shown]:
        mine = replace(one, simulated=one.simulated[ours == group], human=one.human[theirs == group])
        yield group, compare_many(
            marginal_codes(study, mine.simulated), marginal_codes(study, mine.human), sizes(study), repeats,
            one.generator(study, f"{variable}={group}"), uniform, at=at, weights=weights_of_both(mine),
        )  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """That a change of an arm makes no difference to how far groups are from their people.

    The metrics are called after ``name``. The changed arm's name is that of its reference with ``_<name>`` behind it,
    as in ``config/arms.yml``; ``balanced_only`` says whether the claim speaks only of the variable that a balanced
    pilot is drawn over, the study's first subgroup.
    """

    name: str
    says: str
    balanced_only: bool

    def reference_of(self, arm: str) -> str:
        """The arm that another differs from by the change alone; "" where it is not a changed one."""
        return arm.removesuffix(f"_{self.name}") if arm.endswith(f"_{self.name}") else ""


CLAIMS = (
    Claim("balanced", "balanced sampling does not help minorities", balanced_only=True),
    Claim("nopersona", "leaving the persona out does not hurt", balanced_only=False),
)


def claims_rows(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, repeats: int
) -> Iterator[dict[str, Any]]:
    """Test each claim in each group, for each seed that both arms have.

    - ``equivalence_<claim>``: the mean marginal Jensen-Shannon distance of the changed arm less that of the reference,
      over the participants that both simulate and neither learnt from, at half of them; negative where the change
      helps. ``subgroup`` is a group, or `OTHER_GROUPS` where there are several besides the largest. The interval is of
      90 %, that of two one-sided tests at 5 % against `DISTANCE_MARGIN`.
    - ``equivalence_<claim>_p`` and ``difference_<claim>_p``: the p-values of "the change makes a difference of the
      margin or more" and of "it makes none", adjusted by Holm over all groups of all variables of one claim, study and
      seed.

    The human benchmark is 0: another sample of people in the place of either arm. A claim whose arms were not both run
    has no rows.
    """
    for claim in CLAIMS:
        for changed, reference in _pairs(claim, compared):
            differences = list(_differences(study, claim, changed, reference, people, repeats))
            yield from _tested(claim, changed, differences)


def untested(study: Study, compared: Sequence[Compared], table: pd.DataFrame) -> list[str]:
    """A sentence for each claim that the table says nothing of, and why."""
    arms = dict.fromkeys(one.arm for one in compared)
    sentences = []
    for claim in CLAIMS:
        both = [(arm, claim.reference_of(arm)) for arm in arms if claim.reference_of(arm) in arms]
        if not both:
            why = f"no arm was run once as it is and once as '..._{claim.name}'"
        elif not list(_pairs(claim, compared)):
            why = f"{' and '.join(both[0])} have no seed in common"
        elif not (table["metric"] == f"equivalence_{claim.name}").any():
            why = f"no group has {SMALLEST_GROUP} participants whom both arms simulate"
        else:
            continue
        sentences.append(f"The claim that {claim.says} is not tested here: {why}.")
    return sentences


def _pairs(claim: Claim, compared: Sequence[Compared]) -> Iterator[tuple[Compared, Compared]]:
    by_key = {(one.arm, one.seed): one for one in compared}
    for one in compared:
        reference = by_key.get((claim.reference_of(one.arm), one.seed))
        if reference is not None:
            yield one, reference


def _differences(
    study: Study, claim: Claim, changed: Compared, reference: Compared, people: pd.DataFrame, repeats: int
) -> Iterator[tuple[str, str, DistanceDifference]]:
    """Variable, group and difference."""
    human, ours, theirs, _ = same_participants(changed.human, changed.simulated, reference.simulated, reference.human)
    for subgroup in study.subgroups[:1] if claim.balanced_only else study.subgroups:
        variable = subgroup.variable
        member = subgroup_of(study, human, variable)
        found: dict[str, DistanceDifference] = {}
        for group in groups_in_order(study, human, variable):
            if int((member == group).sum()) < SMALLEST_GROUP:
                continue
            parts = [table[(member == group).to_numpy()] for table in (ours, theirs, human)]
            codes, weights = [marginal_codes(study, part) for part in parts], weights_of(parts[2])
            rng = changed.generator(study, f"{claim.name}: {variable}={group}")
            found[group] = distance_difference(codes[0], codes[1], codes[2], sizes(study), repeats, rng, weights)
            yield variable, group, found[group]
        found.pop(largest_group(study, people, variable), None)
        if len(found) > 1:
            yield variable, OTHER_GROUPS, _mean(list(found.values()))


def _mean(groups: Sequence[DistanceDifference]) -> DistanceDifference:
    """The mean over groups, which share no participants."""
    error = float(np.sqrt(sum(one.standard_error**2 for one in groups))) / len(groups)
    return DistanceDifference(float(np.mean([one.value for one in groups])), error, min(one.n for one in groups))


def _tested(
    claim: Claim, changed: Compared, differences: Sequence[tuple[str, str, DistanceDifference]]
) -> Iterator[dict[str, Any]]:
    values = [difference.value for _, _, difference in differences]
    tested = two_one_sided(values, [d.standard_error for _, _, d in differences], DISTANCE_MARGIN)
    equivalence_p, difference_p = holm(tested.equivalence_p), holm(tested.difference_p)
    for k, (variable, group, difference) in enumerate(differences):
        key = {"arm": changed.arm, "seed": changed.seed, "item": variable, "subgroup": group, "n": difference.n}
        yield {**key, "metric": f"equivalence_{claim.name}", "estimate": difference.value, "low": tested.low[k],
               "high": tested.high[k], "human_benchmark": 0.0}  # fmt: skip
        yield {**key, "metric": f"equivalence_{claim.name}_p", "estimate": equivalence_p[k]}
        yield {**key, "metric": f"difference_{claim.name}_p", "estimate": difference_p[k]}
