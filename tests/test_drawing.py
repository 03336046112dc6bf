from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlm.models.simulate import draw_answers, row_uniforms

BELOW_ONE = float(np.nextafter(1, 0))
WEIGHTS = st.lists(st.just(-np.inf) | st.floats(-800, 50), min_size=1, max_size=8).filter(lambda w: max(w) > -np.inf)
UNIFORMS = st.sampled_from([0.0, 5e-324, 0.5, BELOW_ONE]) | st.floats(0, 1, exclude_max=True)


def draw(distribution: list[float], uniform: float) -> int:
    return int(draw_answers(np.array([distribution]), np.array([uniform]))[0])


# The uniform numbers.


def test_the_uniforms_of_a_row_are_its_own() -> None:
    people, draws = np.array([1, 2, 7, 7]), np.array([0, 0, 0, 3])
    wanted = row_uniforms(3, people, draws, 5)
    assert np.array_equal(row_uniforms(3, np.array([7]), np.array([3]), 5)[0], wanted[3])
    assert np.array_equal(row_uniforms(3, np.array([7, 1]), np.array([0, 0]), 2), wanted[[2, 0], :2])


def test_seeds_participants_and_draws_have_different_uniforms() -> None:
    people, draws = np.repeat(np.arange(20), 2), np.tile([0, 1], 20)
    sets = [row_uniforms(seed, people, draws, 4) for seed in (0, 1)]
    assert len(np.unique(np.stack(sets))) == 2 * 40 * 4
    assert all(((part >= 0) & (part < 1)).all() for part in sets)


def test_no_rows_have_no_uniforms() -> None:
    nobody = np.array([], dtype=np.int64)
    assert row_uniforms(3, nobody, nobody, 5).shape == (0, 5)


# Drawing from given weights.


@given(WEIGHTS, UNIFORMS)
def test_what_has_no_weight_is_never_drawn(distribution: list[float], uniform: float) -> None:
    chosen = draw(distribution, uniform)
    assert 0 <= chosen < len(distribution) and np.exp(distribution[chosen] - max(distribution)) > 0


@given(WEIGHTS, UNIFORMS)
def test_a_draw_inverts_the_distribution_function(distribution: list[float], uniform: float) -> None:
    weights = np.exp(np.array(distribution) - max(distribution))
    chosen, share = draw(distribution, uniform), weights / weights.sum()
    assert share[:chosen].sum() <= uniform + 1e-12
    assert share[: chosen + 1].sum() >= uniform - 1e-12
    assert draw([weight - 700 for weight in distribution], uniform) == chosen or np.isclose(
        np.abs(np.cumsum(share) - uniform).min(), 0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("weights", "uniform", "wanted"),
    [
        ([0, 1, 1, 0], 0.0, 1),
        ([0, 1, 1, 0], BELOW_ONE, 2),
        ([0, 1, 0, 1, 0], 0.5, 3),
        ([1, 1], 0.5, 1),
        ([1, 1], float(np.nextafter(0.5, 0)), 0),
        ([0, 0, 5], 0.0, 2),
        ([5, 0, 0], BELOW_ONE, 0),
        ([1] * 49, BELOW_ONE, 48),
        ([7], 0.3, 0),
    ],
)
def test_draws_at_the_edges(weights: list[float], uniform: float, wanted: int) -> None:
    with np.errstate(divide="ignore"):
        assert draw(list(np.log(weights)), uniform) == wanted


@pytest.mark.parametrize("row", [[np.nan, 0.0], [-np.inf, -np.inf], [np.inf, 0.0]])
def test_what_is_no_distribution_is_not_drawn_from(row: list[float]) -> None:
    with pytest.raises(ValueError, match="row 1 has no distribution to draw from"):
        draw_answers(np.array([[0.0, 0.0], row]), np.array([0.5, 0.5]))
