"""The two claims of equivalence between arms, by hand and against known truth."""

import known_truth
import numpy as np
import pandas as pd
import pytest

from pilotlm.analyses.common import Compared, groups_in_order, largest_group
from pilotlm.analyses.subgroups import CLAIMS, DISTANCE_MARGIN, OTHER_GROUPS, claims_rows, subgroups, untested
from pilotlm.responses import SMALLEST_GROUP
from pilotlm.stats.intervals import holm, two_one_sided

BALANCED, RANDOM = "tuned_all_25_balanced", "tuned_all_25"


def shuffled(people, rng, groups=()):
    """People's own answers given to other people of their treatment, in some groups answers from anywhere."""
    answers = list(known_truth.study().answer_columns)
    table = people.copy()
    order = people.groupby("treatment")["participant"].transform(lambda p: rng.permutation(p)).to_numpy()
    table[answers] = people.set_index("participant").loc[order, answers].to_numpy()
    wrong = np.flatnonzero(table["ethnicity"].isin(list(groups)))
    table.loc[wrong, answers] = 0
    table.loc[wrong, "belief_both"] = 100
    return table


@pytest.fixture(scope="module")
def people():
    return known_truth.fresh(720, np.random.default_rng(1))


def test_groups_stand_by_their_values_and_the_largest_is_known(toy, toy_people):
    assert groups_in_order(toy, toy_people, "age") == ["under 30", "30 to under 60", "60 and over"]
    assert groups_in_order(toy, toy_people, "region") == ["north", "south", "west"]
    assert largest_group(toy, toy_people, "region") == "north"
    even = toy_people.assign(region=np.resize([3, 2], len(toy_people)))
    assert largest_group(toy, even, "region") == "south"


def test_a_change_that_makes_no_difference_is_shown_to_make_none(people):
    rng = np.random.default_rng(3)
    arms = [known_truth.arm(name, 1, shuffled(people, rng), people) for name in (BALANCED, RANDOM)]
    rows = pd.DataFrame(claims_rows(known_truth.study(), arms, people, 60)).set_index(["metric", "subgroup"])
    white = rows.loc[("equivalence_balanced", "White")]
    assert -DISTANCE_MARGIN < white["low"] < white["high"] < DISTANCE_MARGIN
    assert rows.loc[("equivalence_balanced_p", "White"), "estimate"] < 0.05
    assert set(rows["item"]) == {"ethnicity"}  # the variable that the pilot is balanced over, and no other
    assert ("equivalence_balanced", OTHER_GROUPS) in rows.index


def test_a_change_that_hurts_minorities_is_found_where_it_hurts(people):
    rng = np.random.default_rng(4)
    arms = [
        known_truth.arm(BALANCED, 1, shuffled(people, rng, groups=(2, 3)), people),
        known_truth.arm(RANDOM, 1, shuffled(people, rng), people),
    ]
    rows = pd.DataFrame(claims_rows(known_truth.study(), arms, people, 60)).set_index(["metric", "subgroup"])
    for group, hurt in (("Black", True), ("Asian", True), ("White", False)):
        assert (rows.loc[("difference_balanced_p", group), "estimate"] < 0.05) == hurt
        assert (rows.loc[("equivalence_balanced", group), "low"] > DISTANCE_MARGIN) == hurt
    groups = rows.loc["equivalence_balanced"]
    others = [group for group in groups.index if group not in ("White", OTHER_GROUPS)]
    assert groups.loc[OTHER_GROUPS, "estimate"] == pytest.approx(groups.loc[others, "estimate"].mean())


def test_p_values_are_adjusted_over_all_groups_of_a_claim(people):
    rng = np.random.default_rng(5)
    names = ("tuned_all_25_nopersona", RANDOM)
    arms = [known_truth.arm(name, 1, shuffled(people, rng), people) for name in names]
    rows = pd.DataFrame(claims_rows(known_truth.study(), arms, people, 40))
    found = rows[rows["metric"] == "equivalence_nopersona"]
    assert set(found["item"]) == {"ethnicity", "sex", "age"}
    errors = (found["high"] - found["low"]) / (2 * 1.6448536)
    raw = two_one_sided(found["estimate"], errors, DISTANCE_MARGIN)
    for name, expected in (("equivalence", raw.equivalence_p), ("difference", raw.difference_p)):
        adjusted = rows[rows["metric"] == f"{name}_nopersona_p"]["estimate"].to_numpy()
        assert adjusted == pytest.approx(holm(expected), abs=1e-6)


def test_only_participants_of_both_arms_count(people):
    study, rng = known_truth.study(), np.random.default_rng(6)
    table = shuffled(people, rng)
    half, rest = people["participant"] % 2 == 0, people["participant"] % 3 > 0
    arms = [
        known_truth.arm(BALANCED, 1, table[half].sample(frac=1, random_state=1), people[half]),
        known_truth.arm(RANDOM, 1, table[rest], people[rest]),
    ]
    rows = pd.DataFrame(claims_rows(study, arms, people, 20))
    # The same answers in both, however their rows are ordered: no difference at all.
    assert (rows[rows["metric"] == "equivalence_balanced"]["estimate"] == 0).all()
    white = (people["ethnicity"] == 1) & half & rest
    assert rows.set_index("subgroup").loc["White", "n"].iloc[0] == white.sum() // 2


def test_the_reference_is_the_arm_without_the_change(people):
    rng = np.random.default_rng(7)
    names = ("tuned_n_240_balanced", "tuned_n_240", "tuned_all_25", "tuned_all_25_nopersona")
    arms = [known_truth.arm(name, 1, shuffled(people, rng), people) for name in names]
    rows = pd.DataFrame(claims_rows(known_truth.study(), arms, people, 20))
    tested = rows[rows["metric"].str.startswith("equivalence_")].groupby("arm")["metric"].first()
    assert dict(tested) == {
        "tuned_n_240_balanced": "equivalence_balanced",
        "tuned_all_25_nopersona": "equivalence_nopersona",
    }


def test_what_is_not_tested_is_said(people):
    study = known_truth.study()

    def say(*arms: Compared) -> list[str]:
        return untested(study, arms, subgroups(study, arms, people, "all", 20))

    random, balanced = (known_truth.arm(name, 1, people, people) for name in (RANDOM, BALANCED))
    assert [claim.says in sentence for claim, sentence in zip(CLAIMS, say(random), strict=True)] == [True, True]
    assert "as '..._balanced'" in say(random)[0] and "as '..._balanced'" in say(balanced)[0]
    assert len(say(random, balanced)) == 1
    assert "no seed in common" in say(random, known_truth.arm(BALANCED, 2, people, people))[0]
    few = people[: SMALLEST_GROUP - 1]
    assert "no group has 20 participants" in say(random, known_truth.arm(BALANCED, 1, few, people))[0]
