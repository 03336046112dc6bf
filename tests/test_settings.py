from __future__ import annotations

import math
from typing import Any

import pytest

from pilotlm.errors import InputError
from pilotlm.models.lora import TuningSettings


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        *[({name: 0}, f"The tuning setting '{name}' must be at least 1, got 0.")
          for name in ("epochs", "batch", "rank", "alpha", "at_a_time")],
        *[({name: -1}, f"The tuning setting '{name}' must be at least 0, got -1.")
          for name in ("least_steps", "warmup")],
        *[({"learning_rate": rate}, f"The learning rate must be a number above 0, got {rate}.")
          for rate in (0.0, -1e-3, math.nan, math.inf)],
        ({"schedule": "linear"}, "The schedule must be one of constant, cosine, got 'linear'."),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        TuningSettings(**change)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("people", "epochs", "least_steps", "wanted"),
    [(30, 4, 16, 4), (17, 2, 16, 6), (66, 2, 16, 2), (240, 2, 16, 2), (8, 1, 0, 1), (1, 1, 3, 3)],
)
def test_a_small_pilot_is_passed_over_more_often(people: int, epochs: int, least_steps: int, wanted: int) -> None:
    assert TuningSettings(epochs=epochs, least_steps=least_steps, batch=8).epochs_for(people) == wanted


def test_the_rate_rises_and_then_stays() -> None:
    settings = TuningSettings(learning_rate=0.8, warmup=4)
    assert [settings.rate_at(step, 12) for step in range(1, 7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_the_rate_falls_along_half_a_cosine() -> None:
    settings = TuningSettings(learning_rate=1, warmup=0, schedule="cosine")
    # At a quarter, a half, three quarters and the end: (1 + sqrt(1/2)) / 2, 1/2, (1 - sqrt(1/2)) / 2, 0.
    wanted = [0.85355339, 0.5, 0.14644661, 0.0]
    assert [settings.rate_at(step, 12) for step in (3, 6, 9, 12)] == pytest.approx(wanted, abs=1e-8)
    rates = [settings.rate_at(step, 12) for step in range(1, 13)]
    assert rates == sorted(rates, reverse=True)
