from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pilotlm.arms import load_arms
from pilotlm.data.pilot import draw_pilot
from pilotlm.data.prompts import USUAL, Wording, wording_of
from pilotlm.errors import InputError
from pilotlm.study import Study


def test_an_arm_words_its_prompts(toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame]) -> None:
    arms, people = load_arms(), draw_toy_people(80, 1)
    pilot = draw_pilot(toy, people, arms.pilot("all_25"), 1)
    usual = wording_of(arms.arm("base"), people, pilot, 1)
    assert usual == USUAL
    assert wording_of(arms.arm("tuned_all_25_nopersona"), people, pilot, 1) == Wording(with_persona=False)
    assert wording_of(arms.arm("base_persona_first"), people, pilot, 1) == Wording(persona_first=True)
    assert wording_of(arms.arm("base_reversed"), people, pilot, 1) == Wording(reversed_options=True)


def test_only_people_of_the_pilot_are_shown(toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame]) -> None:
    arms, people = load_arms(), draw_toy_people(80, 1)
    pilot = draw_pilot(toy, people, arms.pilot("all_25"), 1)
    arm = arms.arm("shown_8")
    first, again, other = (wording_of(arm, people, pilot, seed).examples for seed in (1, 1, 2))
    who = [person["participant"] for person in first]
    assert len(set(who)) == 8 and set(who) <= set(pilot.participants)
    assert first == again and [person["participant"] for person in other] != who
    with pytest.raises(InputError, match="'shown_8' shows 100 people, its pilot has 20; show fewer"):
        wording_of(arm.model_copy(update={"examples": 100}), people, pilot, 1)


DECLARED = """
pilots:
  half: {label: half, treatments: all, share: 0.5}
arms:
  tuned: {label: Tuned, answerer: tuned, pilot: half}
  other: {OTHER}
"""


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("label: x, answerer: pooled, pilot: half", "a pooled arm needs 'adapter_of'"),
        ("label: x, answerer: base, pilot: half, adapter_of: tuned", "the base model has no adapter"),
        ("label: x, answerer: base, pilot: half, shuffled: personas", "only a fine-tuned arm learns from rows"),
        ("label: x, answerer: tuned, pilot: half, adapter_of: tunned", "no arm 'tunned' is .* did you mean 'tuned'"),
        ("label: x, answerer: tuned, pilot: half, adapter_of: tuned, persona: false", "which has 'persona: True'"),
        ("label: x, answerer: pooled, pilot: half, adapter_of: tuned, decoding: token", "has the decoding 'whole'"),
        ("label: x, answerer: base, pilot: half, temperature: -1", "greater than or equal to 0"),
        ("label: x, answerer: base, pilot: half, examples: -1", "greater than or equal to 0"),
        ("label: x, answerer: base, pilot: half, decoding: half", "'whole', 'token' or 'free'"),
    ],
)
def test_an_arm_that_does_not_fit_together_is_refused(tmp_path: Path, other: str, said: str) -> None:
    path = tmp_path / "arms.yml"
    path.write_text(DECLARED.replace("{OTHER}", f"{{{other}}}"), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load_arms(path)


def test_an_adapter_may_answer_in_several_ways(tmp_path: Path) -> None:
    path = tmp_path / "arms.yml"
    other = "{label: x, answerer: tuned, pilot: half, adapter_of: tuned, temperature: 0}"
    path.write_text(DECLARED.replace("{OTHER}", other), encoding="utf-8")
    arms = load_arms(path)
    assert (arms.arm("tuned").adapter, arms.arm("other").adapter) == ("tuned", "tuned")
    assert arms.arm("tuned").is_trained and not arms.arm("other").is_trained
    assert arms.arm("tuned").has_predictions and not arms.arm("other").has_predictions
    assert arms.arm("logit_half").adapter == ""
