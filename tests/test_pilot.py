from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pilotlm.arms import PilotDesign, load_arms
from pilotlm.data.pilot import SMALLEST_PILOT, draw_pilot, equal_shares, simulated_people
from pilotlm.errors import InputError
from pilotlm.randomness import generator
from pilotlm.responses import subgroup_of
from pilotlm.study import Study

ONE_25 = PilotDesign(label="25 % of one", treatments="one", share=0.25)
ONE_100 = PilotDesign(label="100 % of one", treatments="one", share=1.0)
ALL_25 = PilotDesign(label="25 % of all", treatments="all", share=0.25)
BALANCED = PilotDesign(label="25 %, balanced", treatments="all", share=0.25, balanced=True)
DESIGNS = pytest.mark.parametrize("design", [ONE_25, ONE_100, ALL_25, BALANCED], ids=lambda design: design.label)


@DESIGNS
@pytest.mark.parametrize("seed", range(5))
def test_everybody_is_in_one_part_only(toy: Study, toy_people: pd.DataFrame, design: PilotDesign, seed: int) -> None:
    pilot = draw_pilot(toy, toy_people, design, seed)
    assert sorted([*pilot.participants, *pilot.held_out]) == toy_people["participant"].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_draws_of_a_seed_are_nested(toy: Study, toy_people: pd.DataFrame, seed: int) -> None:
    drawn = [set(draw_pilot(toy, toy_people, d, seed).participants) for d in (ONE_25, ONE_100, ALL_25)]
    assert drawn[0] < drawn[1] and drawn[0] < drawn[2]


def test_sizes_are_the_shares_of_each_treatment(toy: Study, toy_people: pd.DataFrame) -> None:
    people = toy_people.head(233)
    counts = people["treatment"].value_counts()
    pilot = draw_pilot(toy, people, ALL_25, 1)
    drawn = people[people["participant"].isin(pilot.participants)]["treatment"].value_counts()
    assert drawn.to_dict() == {name: math.ceil(0.25 * count) for name, count in counts.items()}
    one = draw_pilot(toy, people, ONE_100, 1)
    assert len(one.treatments) == 1 and len(one.participants) == counts[one.treatments[0]]
    assert len(draw_pilot(toy, people, BALANCED, 1).participants) == math.ceil(0.25 * len(people))
    thirty = PilotDesign(label="30, balanced", treatments="all", people=30, balanced=True)
    assert len(draw_pilot(toy, people, thirty, 1).participants) == 30


def test_every_treatment_can_be_the_one(toy: Study, toy_people: pd.DataFrame) -> None:
    chosen = {draw_pilot(toy, toy_people, ONE_25, seed).treatments for seed in range(20)}
    assert chosen == {("calm",), ("alarm",)}


def test_a_balanced_pilot_is_equal_or_half_of_a_group(toy: Study, toy_people: pd.DataFrame) -> None:
    groups = subgroup_of(toy, toy_people, "region")
    pilot = draw_pilot(toy, toy_people, BALANCED, 3)
    drawn = groups[toy_people["participant"].isin(pilot.participants)].value_counts().to_dict()
    half = (groups.value_counts() // 2).to_dict()
    below = [drawn[name] for name in half if drawn[name] < half[name]]
    assert all(drawn[name] <= half[name] for name in half) and max(below) - min(below) <= 1


@DESIGNS
def test_a_draw_depends_on_seed_and_not_on_the_run(toy: Study, toy_people: pd.DataFrame, design: PilotDesign) -> None:
    np.random.seed(0)  # noqa: NPY002 (the global generator must not matter)
    first = draw_pilot(toy, toy_people, design, 1)
    np.random.seed(1)  # noqa: NPY002
    assert draw_pilot(toy, toy_people, design, 1) == first
    # Of one treatment whole there are two draws, so that not every seed has its own.
    assert any(draw_pilot(toy, toy_people, design, seed) != first for seed in range(2, 8))


def test_the_people_are_left_as_they_were(toy: Study, toy_people: pd.DataFrame) -> None:
    before = toy_people.copy(deep=True)
    pilot = draw_pilot(toy, toy_people, BALANCED, 1)
    simulated_people(toy, toy_people, pilot, 10, 1)
    pd.testing.assert_frame_equal(toy_people, before)


@pytest.mark.parametrize("design", [ALL_25, PilotDesign(label="all of all", treatments="all", share=1.0)])
def test_too_few_people_on_a_side_is_an_error(toy: Study, toy_people: pd.DataFrame, design: PilotDesign) -> None:
    with pytest.raises(InputError, match=f"'{design.label}' leaves .* both need at least {SMALLEST_PILOT}. Choose"):
        draw_pilot(toy, toy_people.head(18), design, 1)


def test_a_balanced_pilot_needs_subgroups(toy: Study, toy_people: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="has no subgroups"):
        draw_pilot(toy.model_copy(update={"subgroups": ()}), toy_people, BALANCED, 1)


def test_one_treatment_of_one_is_drawn_from(toy: Study, toy_people: pd.DataFrame) -> None:
    calm = toy_people[toy_people["treatment"] == "calm"]
    assert draw_pilot(toy, calm, ONE_25, 1).treatments == ("calm",)


@given(
    total=st.integers(0, 300),
    limits=st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(0, 60), max_size=8),
)
def test_equal_shares_are_as_equal_as_the_limits_allow(total: int, limits: dict[str, int]) -> None:
    shares = equal_shares(total, limits)
    assert shares.keys() == limits.keys()
    assert sum(shares.values()) == min(total, sum(limits.values()))
    assert all(0 <= shares[name] <= limits[name] for name in limits)
    largest = max(shares.values(), default=0)
    assert all(shares[name] == limits[name] or shares[name] >= largest - 1 for name in limits)


@pytest.mark.parametrize("whom", ["held-out", "all"])
def test_a_larger_simulated_draw_contains_a_smaller_one(toy: Study, toy_people: pd.DataFrame, whom: str) -> None:
    pilot = draw_pilot(toy, toy_people, ALL_25, 1)
    draws = [simulated_people(toy, toy_people, pilot, n, 1, whom) for n in (10, 40, 120, 0)]
    sets = [set(draw["participant"]) for draw in draws]
    assert [len(s) for s in sets[:3]] == [10, 40, 120]
    assert sets[0] < sets[1] < sets[2] < sets[3]
    assert sets[3] == set(pilot.held_out if whom == "held-out" else toy_people["participant"])
    assert all(draw["participant"].is_monotonic_increasing for draw in draws)
    assert set(draws[2]["treatment"]) == {"calm", "alarm"}


def test_a_generator_depends_on_every_part() -> None:
    parts: Any = [(1, "a"), (2, "a"), (1, "b"), ("a", "a"), (1, 0, "a"), (0, 1, "a"), (1, "a", "b")]
    assert len({generator(*p).integers(2**62) for p in parts}) == len(parts)
    assert generator(1, "a").integers(2**62) == generator(1, "a").integers(2**62)


@pytest.mark.parametrize("parts", [(), (1,), (1, 0), ("a", 0)])
def test_a_generator_ends_with_its_purpose(parts: tuple[int | str, ...]) -> None:
    # Otherwise (1,) and (1, 0) would draw the same numbers.
    with pytest.raises(ValueError, match="the last part must be a word"):
        generator(*parts)


def test_pilots_by_number_lie_inside_each_other(toy, draw_toy_people):
    people, arms = draw_toy_people(300, 1), load_arms()
    drawn = [set(draw_pilot(toy, people, arms.pilot(f"n_{n}"), 3).participants) for n in (15, 30, 60, 120, 240)]
    assert [len(pilot) for pilot in drawn] == [15, 30, 60, 120, 240]
    assert all(small < large for small, large in itertools.pairwise(drawn))


@pytest.mark.parametrize(
    ("design", "said"),
    [({}, "pilot needs either"), ({"share": 0.5, "people": 10}, "pilot needs either"),
     ({"people": 10, "balanced": True, "treatments": "one"}, "a balanced pilot is drawn from all")],
)  # fmt: skip
def test_a_pilot_has_one_size(design, said):
    with pytest.raises(ValidationError, match=said):
        PilotDesign(**{"label": "x", "treatments": "all", **design})
