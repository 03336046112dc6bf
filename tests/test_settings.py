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
          for name in ("epochs", "patience", "batch", "rank", "alpha", "at_a_time")],
        *[({name: -1}, f"The tuning setting '{name}' must be at least 0, got -1.")
          for name in ("least_steps", "warmup")],
        *[({"learning_rates": rates}, f"The learning rates must be numbers above 0, got {list(rates)}.")
          for rates in ((), (0.0,), (1e-3, -1e-3), (math.nan,), (1e-3, math.inf))],
        ({"schedule": "linear"}, "The schedule must be one of constant, cosine, got 'linear'."),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        TuningSettings(**change)
    assert str(error.value) == sentence


def test_nothing_to_wait_for_is_allowed() -> None:
    assert TuningSettings(least_steps=0, warmup=0).rate_at(1e-3, 1, 10) == 1e-3


@pytest.mark.parametrize(
    ("rows", "epochs", "least_steps", "wanted", "rung"),
    [
        (80, 4, 24, 4, 2),  # ten steps an epoch
        (8, 4, 24, 24, 8),  # one step an epoch
        (9, 4, 24, 12, 4),  # two
        (1, 1, 0, 1, 1),
        (80, 3, 0, 3, 1),
        (80, 1, 31, 4, 2),
    ],
)
def test_a_small_pilot_is_given_more_epochs(rows: int, epochs: int, least_steps: int, wanted: int, rung: int) -> None:
    settings = TuningSettings(epochs=epochs, least_steps=least_steps, batch=8)
    assert (settings.epochs_for(rows), settings.first_rung(rows)) == (wanted, rung)


def test_the_rate_rises_and_then_stays() -> None:
    settings = TuningSettings(warmup=4)
    assert [settings.rate_at(0.8, step, 12) for step in range(1, 7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_the_rate_falls_along_half_a_cosine() -> None:
    settings = TuningSettings(warmup=0, schedule="cosine")
    # At a quarter, a half, three quarters and the end: (1 + sqrt(1/2)) / 2, 1/2, (1 - sqrt(1/2)) / 2, 0.
    wanted = [0.85355339, 0.5, 0.14644661, 0.0]
    assert [settings.rate_at(1, step, 12) for step in (3, 6, 9, 12)] == pytest.approx(wanted, abs=1e-8)
    rates = [settings.rate_at(1, step, 12) for step in range(1, 13)]
    assert rates == sorted(rates, reverse=True)


def test_the_rate_rises_below_the_cosine() -> None:
    settings, without = (TuningSettings(warmup=warmup, schedule="cosine") for warmup in (4, 0))
    for step in range(1, 13):
        assert settings.rate_at(3.0, step, 12) == pytest.approx(without.rate_at(3.0, step, 12) * min(1, step / 4))
