from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pilotlm.arms import Arm
from pilotlm.errors import InputError
from pilotlm.models.adapters import CARD, read_card
from pilotlm.records import Places

PLACES = Places("run1", "toy")
TUNED = Arm(name="tuned_all_25", label="Tuned", answerer="tuned", pilot="all_25")
CONTENT: dict[str, Any] = {
    "base_model": "tiny-random", "base_revision": "random weights, seed 0", "study": "toy", "arm": "tuned_all_25",
    "seed": 1, "epochs": 2,
}  # fmt: skip


def write(content: Any) -> Path:
    path = PLACES.adapter(TUNED.name, 1) / CARD
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("answerer", ["base", "bootstrap", "logit"])
def test_an_arm_that_is_not_tuned_has_no_card(answerer: str) -> None:
    write(b"not read")
    assert read_card(PLACES, Arm(name=TUNED.name, label="", answerer=answerer, pilot="all_25"), 1) is None


def test_a_missing_adapter_says_what_makes_it() -> None:
    write(CONTENT)
    assert read_card(PLACES, TUNED, 1) == CONTENT
    with pytest.raises(InputError) as error:
        read_card(PLACES, TUNED, 2)
    assert str(error.value) == (
        "The arm 'tuned_all_25' of study 'toy' has no adapter for seed 2 in run 'run1': run 02-finetune with the "
        "parameters run=run1 study=toy arm=tuned_all_25 seed=2 first."
    )


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"seed": 1'])
def test_a_broken_card_is_refused(content: bytes) -> None:
    path = write(content)
    with pytest.raises(InputError, match="is not a readable card; remove the adapter's folder") as error:
        read_card(PLACES, TUNED, 1)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "lacking"),
    [
        *[({n: v for n, v in CONTENT.items() if n != name}, name) for name in CONTENT if name != "epochs"],
        *[(content, "base_model, base_revision, study, arm, seed") for content in (3, None, ["seed"], "base_model")],
    ],
)
def test_a_card_that_lacks_something_is_refused(content: Any, lacking: str) -> None:
    write(content)
    with pytest.raises(InputError, match=f"lacks {lacking}; remove"):
        read_card(PLACES, TUNED, 1)


@pytest.mark.parametrize(("name", "value"), [("study", "framing"), ("arm", "tuned_one_25"), ("seed", 2), ("seed", "1")])
def test_the_card_of_something_else_is_refused(name: str, value: Any) -> None:
    write({**CONTENT, name: value})
    with pytest.raises(InputError, match=r"is the card of \(.*, not of \('toy', 'tuned_all_25', 1\)"):
        read_card(PLACES, TUNED, 1)
