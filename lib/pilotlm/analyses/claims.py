"""The paper's two negative results on subgroups, as claims of equivalence between two arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.answers import marginal_codes, sizes
from pilotlm.analyses.compared import Compared, same_participants
from pilotlm.analyses.groups import groups_in_order, largest_group
from pilotlm.measures.equivalence import holm, two_one_sided
from pilotlm.measures.paired import DistanceDifference, distance_difference
from pilotlm.responses import SMALLEST_GROUP, subgroup_of
from pilotlm.study import Study

DISTANCE_MARGIN = 0.05
"""The largest difference of two arms' mean Jensen-Shannon distances that does not matter.

By about as much the distance between two samples of the same people varies about its mean: in the studies shipped,
95 % of it lie within 0.05 to 0.07 at 50 people a sample and within 0.04 to 0.05 at 100. What is smaller no reader of a
single comparison with people could notice. The margin is fixed beforehand and does not shrink or grow with n."""
OTHERS = "all but the largest"
"""The mean over the groups of a variable but the one with most people."""


@dataclass(frozen=True)
class Claim:
    """That a change of an arm makes no difference to how far groups are from their people.

    Attributes
    ----------
    name : str
        The metrics are called after it.
    says : str
        The claim in words.
    changed, reference : str
        The two arms.
    balanced_only : bool
        Whether it speaks only of the variable that a balanced pilot is drawn over, the study's first subgroup.
    """

    name: str
    says: str
    changed: str
    reference: str
    balanced_only: bool


CLAIMS = (
    Claim("balanced", "balanced sampling does not help minorities",
          "tuned_all_25_balanced", "tuned_all_25", balanced_only=True),
    Claim("nopersona", "leaving the persona out does not hurt",
          "tuned_all_25_nopersona", "tuned_all_25", balanced_only=False),
)  # fmt: skip


def claims_rows(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, repeats: int
) -> Iterator[dict[str, Any]]:
    """Test each claim in each group, for each seed that both arms have.

    - ``equivalence_<claim>``: the mean marginal Jensen-Shannon distance of the changed arm less that of the reference,
      over the participants that both simulate and neither learnt from, at half of them; negative where the change
      helps. ``subgroup`` is a group, or `OTHERS` where there are several besides the largest. The interval is of
      90 %, that of two one-sided tests at 5 %: it lies within ± `DISTANCE_MARGIN` exactly where these, before
      adjustment, show equivalence.
    - ``equivalence_<claim>_p``: the p-value of "the change makes a difference of the margin or more".
    - ``difference_<claim>_p``: the two-sided p-value of "it makes no difference".

    The p-values are adjusted by Holm within their family: all groups of all variables of one claim, study and seed.
    Another sample of people in the place of either arm would give 0 on average (``floor``); there is no ceiling. A
    claim whose arms were not both run has no rows.

    Parameters are as in `pilotlm.analyses.heterogeneity.heterogeneity`; all people say which group is the largest.

    Yields
    ------
    dict
        A row each.
    """
    for claim in CLAIMS:
        for changed, reference in _pairs(claim, compared):
            differences = list(_differences(study, claim, changed, reference, people, repeats))
            yield from _tested(claim, changed.seed, differences)


def untested(study: Study, compared: Sequence[Compared], table: pd.DataFrame) -> list[str]:
    """A sentence for each claim that the table says nothing of, and why.

    Parameters
    ----------
    study : Study
        The study.
    compared : sequence of Compared
        The arms.
    table : DataFrame
        The tidy table of the analysis.

    Returns
    -------
    list of str
    """
    arms = {one.arm for one in compared}
    sentences = []
    for claim in CLAIMS:
        missing = [arm for arm in (claim.changed, claim.reference) if arm not in arms]
        if missing:
            why = f"{' and '.join(missing)} {'was' if len(missing) == 1 else 'were'} not run"
        elif not list(_pairs(claim, compared)):
            why = f"{claim.changed} and {claim.reference} have no seed in common"
        elif not (table["metric"] == f"equivalence_{claim.name}").any():
            why = f"no group has {SMALLEST_GROUP} participants whom both arms simulate"
        else:
            continue
        sentences.append(f"The claim that {claim.says} is not tested here: {why}.")
    return sentences


def _pairs(claim: Claim, compared: Sequence[Compared]) -> Iterator[tuple[Compared, Compared]]:
    references = {one.seed: one for one in compared if one.arm == claim.reference}
    for one in compared:
        if one.arm == claim.changed and one.seed in references:
            yield one, references[one.seed]


def _differences(
    study: Study, claim: Claim, changed: Compared, reference: Compared, people: pd.DataFrame, repeats: int
) -> Iterator[tuple[str, str, DistanceDifference]]:
    """Variable, group and difference."""
    people_of_both = (changed.human, changed.simulated, reference.simulated, reference.human)
    human, ours, theirs, _ = same_participants(*people_of_both)
    tables = (ours, theirs, human)
    for subgroup in study.subgroups[:1] if claim.balanced_only else study.subgroups:
        variable = subgroup.variable
        member = subgroup_of(study, tables[2], variable)
        found: dict[str, DistanceDifference] = {}
        for group in groups_in_order(study, tables[2], variable):
            if int((member == group).sum()) < SMALLEST_GROUP:
                continue
            codes = [marginal_codes(study, table[(member == group).to_numpy()]) for table in tables]
            rng = changed.generator(study, f"{claim.name}: {variable}={group}")
            found[group] = distance_difference(codes[0], codes[1], codes[2], sizes(study), repeats, rng)
            yield variable, group, found[group]
        found.pop(largest_group(study, people, variable), None)
        if len(found) > 1:
            yield variable, OTHERS, _mean(list(found.values()))


def _mean(groups: Sequence[DistanceDifference]) -> DistanceDifference:
    """The mean over groups, which share no participants."""
    error = float(np.sqrt(sum(one.standard_error**2 for one in groups))) / len(groups)
    return DistanceDifference(float(np.mean([one.value for one in groups])), error, min(one.n for one in groups))


def _tested(
    claim: Claim, seed: int, differences: Sequence[tuple[str, str, DistanceDifference]]
) -> Iterator[dict[str, Any]]:
    values = [difference.value for _, _, difference in differences]
    tested = two_one_sided(values, [d.standard_error for _, _, d in differences], DISTANCE_MARGIN)
    equivalence_p, difference_p = holm(tested.equivalence_p), holm(tested.difference_p)
    for k, (variable, group, difference) in enumerate(differences):
        key = {"arm": claim.changed, "seed": seed, "item": variable, "subgroup": group, "n": difference.n}
        yield {**key, "metric": f"equivalence_{claim.name}", "estimate": difference.value, "low": tested.low[k],
               "high": tested.high[k], "floor": 0.0}  # fmt: skip
        yield {**key, "metric": f"equivalence_{claim.name}_p", "estimate": equivalence_p[k]}
        yield {**key, "metric": f"difference_{claim.name}_p", "estimate": difference_p[k]}
