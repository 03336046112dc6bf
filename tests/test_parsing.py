from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pilotlm.instrument.answers import Slot, slots_of
from pilotlm.instrument.parsing import FailedForm, Rule, parse_form
from pilotlm.study import Study

FORM = "fear: 3\nno fire: 25\na small fire: 50\na big fire: 25\nleave: stay\n"
VALUES = (3, 25, 50, 25, 0)
COLUMNS = ("fear", "odds_none", "odds_small", "odds_big", "leave")
LABELS = ("fear", "no fire", "a small fire", "a big fire", "leave")


@pytest.fixture(scope="module")
def slots(toy: Study) -> tuple[Slot, ...]:
    return slots_of(toy)


@pytest.fixture(scope="module")
def odds_last(toy_content: dict[str, Any]) -> tuple[Slot, ...]:
    """The form with the allocation at its end."""
    content = copy.deepcopy(toy_content)
    fear, odds, leave = content["questions"]
    content["questions"] = [fear, leave, odds]
    return slots_of(Study.model_validate(content))


def failed(line: int, rule: Rule, stood: str) -> FailedForm:
    return FailedForm(line, COLUMNS[line - 1], rule, stood)


# Texts that are a form.


@pytest.mark.parametrize(
    "text",
    [
        FORM,
        FORM.removesuffix("\n"),
        FORM + "Thank you!\n",
        FORM + "\nfear: 9\n",
        FORM + "leave: call\n",
        FORM.replace("a big fire: 25\n", ""),
        "  fear:3 \nno fire:   25\na small fire: 50\nleave: stay  ",
    ],
    ids=["as asked", "no last end of line", "words after", "a form after", "a line again", "last part left out",
         "spaces"],
)  # fmt: skip
def test_a_form_is_read(slots: tuple[Slot, ...], text: str) -> None:
    assert parse_form(slots, text) == VALUES
    assert parse_form(slots, text + "\n", ended=False) == VALUES


def test_every_valid_form_is_read(slots: tuple[Slot, ...]) -> None:
    texts = {text: values for values, text in valid_forms()}
    assert len(texts) == 2 * 4 * 15 * 3  # with and without the last part; 15 ways to share out four quarters
    for text, values in texts.items():
        assert parse_form(slots, text) == values


# Texts that are not.


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # Something before the form, or in the place of a line.
        ("Sure! Here is my answer:\n" + FORM, failed(1, Rule.LABEL, "Sure! Here is my answer:")),
        ("\n" + FORM, failed(1, Rule.LABEL, "")),
        ("I am afraid. fear: 3\n", failed(1, Rule.LABEL, "I am afraid. fear: 3")),
        ("3\n25\n50\n25\nstay\n", failed(1, Rule.LABEL, "3")),
        ("Fear: 3\n", failed(1, Rule.LABEL, "Fear: 3")),
        ("fear 3\n", failed(1, Rule.LABEL, "fear 3")),
        ("fear : 3\n", failed(1, Rule.LABEL, "fear : 3")),
        ("**fear**: 3\n", failed(1, Rule.LABEL, "**fear**: 3")),
        ("- fear: 3\n", failed(1, Rule.LABEL, "- fear: 3")),
        ("\tfear: 3\n", failed(1, Rule.LABEL, "\tfear: 3")),
        ("fear: 3\n\nno fire: 25\n", failed(2, Rule.LABEL, "")),
        ("fear: 3\na small fire: 50\n", failed(2, Rule.LABEL, "a small fire: 50")),
        ("fear: 3\nfear: 3\n", failed(2, Rule.LABEL, "fear: 3")),
        (FORM.replace("leave", "leaves"), failed(5, Rule.LABEL, "leaves: stay")),
        (FORM.replace("a big fire", "a huge fire"), failed(5, Rule.LABEL, "a huge fire: 25")),
        # An answer that is not valid, or not as written.
        ("fear: 5\n", failed(1, Rule.ANSWER, "fear: 5")),
        ("fear: 3.0\n", failed(1, Rule.ANSWER, "fear: 3.0")),
        ("fear: 03\n", failed(1, Rule.ANSWER, "fear: 03")),
        ("fear: +3\n", failed(1, Rule.ANSWER, "fear: +3")),
        ("fear: -1\n", failed(1, Rule.ANSWER, "fear: -1")),
        ("fear: three\n", failed(1, Rule.ANSWER, "fear: three")),
        ("fear: 3 (very)\n", failed(1, Rule.ANSWER, "fear: 3 (very)")),
        ("fear: 3, no fire: 25\n", failed(1, Rule.ANSWER, "fear: 3, no fire: 25")),
        ("fear:\n3\n", failed(1, Rule.ANSWER, "fear:")),
        ("fear:\n", failed(1, Rule.ANSWER, "fear:")),
        ("fear:: 3\n", failed(1, Rule.ANSWER, "fear:: 3")),
        ("fear: 3\r\n", failed(1, Rule.ANSWER, "fear: 3\r")),
        ("fear: 3<end>\n", failed(1, Rule.ANSWER, "fear: 3<end>")),
        ("fear: ٣\n", failed(1, Rule.ANSWER, "fear: ٣")),
        ("fear: 3\nno fire: 30\n", failed(2, Rule.ANSWER, "no fire: 30")),
        ("fear: 3\nno fire: 25%\n", failed(2, Rule.ANSWER, "no fire: 25%")),
        ("fear: 3\nno fire: 125\n", failed(2, Rule.ANSWER, "no fire: 125")),
        (FORM.replace("fire: 25\nleave", "fire: rest\nleave"), failed(4, Rule.ANSWER, "a big fire: rest")),
        (FORM.replace("stay", "Stay"), failed(5, Rule.ANSWER, "leave: Stay")),
        (FORM.replace("stay", "stay."), failed(5, Rule.ANSWER, "leave: stay.")),
        (FORM.replace("stay", "0"), failed(5, Rule.ANSWER, "leave: 0")),
        (FORM.replace("stay", "stay or leave"), failed(5, Rule.ANSWER, "leave: stay or leave")),
        # Parts that do not sum to 100.
        ("fear: 3\nno fire: 75\na small fire: 50\n", failed(3, Rule.TOTAL, "a small fire: 50")),
        (FORM.replace("small fire: 50", "small fire: 25"), failed(4, Rule.TOTAL, "a big fire: 25")),
        (FORM.replace("big fire: 25", "big fire: 50"), failed(4, Rule.TOTAL, "a big fire: 50")),
        # A text that ends too soon.
        ("", failed(1, Rule.ENDED, "")),
        ("fear: 3", failed(2, Rule.ENDED, "")),
        ("fear: 3\n", failed(2, Rule.ENDED, "")),
        ("fear: 3\nno fire: 25\na small fire: 50\n", failed(5, Rule.ENDED, "")),
        (FORM.removesuffix("leave: stay\n"), failed(5, Rule.ENDED, "")),
        (FORM.removesuffix(": stay\n"), failed(5, Rule.LABEL, "leave")),
        (FORM.removesuffix("ay\n"), failed(5, Rule.ANSWER, "leave: st")),
    ],
)
def test_a_text_that_is_no_form_says_where_and_why(slots: tuple[Slot, ...], text: str, wanted: FailedForm) -> None:
    assert parse_form(slots, text) == wanted


# Texts that may go on.


@pytest.mark.parametrize(
    ("text", "line", "open_line"),
    [
        ("", 1, ""),
        ("fear", 1, "fear"),
        ("  fe", 1, "  fe"),
        ("fear:", 1, "fear:"),
        ("fear:  ", 1, "fear:  "),
        ("fear: 1", 1, "fear: 1"),
        ("fear: 1  ", 1, "fear: 1  "),
        ("fear: 3\nno fire: 10", 2, "no fire: 10"),
        ("fear: 3\n", 2, ""),
        ("fear: 3\nno fire: 25\na small fire: 50\n", 4, ""),
        ("fear: 3\nno fire: 25\na small fire: 50\na b", 4, "a b"),
        ("fear: 3\nno fire: 25\na small fire: 50\nle", 5, "le"),
        (FORM.removesuffix("\n"), 5, "leave: stay"),
    ],
)
def test_what_may_still_become_a_form_is_unfinished(
    slots: tuple[Slot, ...], text: str, line: int, open_line: str
) -> None:
    assert parse_form(slots, text, ended=False) == failed(line, Rule.UNFINISHED, open_line)


@pytest.mark.parametrize("text", ["Sure!\n", "fear: 5\nno", "fear: 3\n\n", "fear: 3\nno fire: 75\na small fire: 50\n"])
def test_a_wrong_line_is_final(slots: tuple[Slot, ...], text: str) -> None:
    assert parse_form(slots, text, ended=False) == parse_form(slots, text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("I", failed(1, Rule.LABEL, "I")),
        ("fear ", failed(1, Rule.LABEL, "fear ")),
        ("fear: 5", failed(1, Rule.ANSWER, "fear: 5")),
        ("fear: 3 (", failed(1, Rule.ANSWER, "fear: 3 (")),
        ("fear: 3\nno fire: 2x", failed(2, Rule.ANSWER, "no fire: 2x")),
        ("fear: 3\nno fire: 25\na small fire: 50\nx", failed(5, Rule.LABEL, "x")),
        ("fear: 3\nno fire: 25\na small fire: 50\na big fire: 3", failed(4, Rule.ANSWER, "a big fire: 3")),
        # What the parts sum to is known when the line is whole.
        ("fear: 3\nno fire: 75\na small fire: 50", failed(3, Rule.UNFINISHED, "a small fire: 50")),
    ],
)
def test_a_line_that_can_no_longer_become_valid_is_wrong(
    slots: tuple[Slot, ...], text: str, wanted: FailedForm
) -> None:
    assert parse_form(slots, text, ended=False) == wanted


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize(
    ("rest", "wanted"),
    [
        ("a big fire: 25\n", (3, 0, 25, 50, 25)),
        ("Thank you!", (3, 0, 25, 50, 25)),
        ("\n", (3, 0, 25, 50, 25)),
        ("a big fireman", (3, 0, 25, 50, 25)),
        ("a big fire: 50\n", FailedForm(5, "odds_big", Rule.TOTAL, "a big fire: 50")),
        ("a big fire: 30\n", FailedForm(5, "odds_big", Rule.ANSWER, "a big fire: 30")),
    ],
)
def test_an_allocation_at_the_end(
    odds_last: tuple[Slot, ...], rest: str, wanted: tuple[int, ...] | FailedForm, ended: bool
) -> None:
    assert parse_form(odds_last, "fear: 3\nleave: stay\nno fire: 25\na small fire: 50\n" + rest, ended) == wanted


@pytest.mark.parametrize("rest", ["", "a", "a big fire", "a big fire: 2"])
def test_a_last_part_at_the_end_may_still_come(odds_last: tuple[Slot, ...], rest: str) -> None:
    text = "fear: 3\nleave: stay\nno fire: 25\na small fire: 50\n" + rest
    assert parse_form(odds_last, text, ended=False) == FailedForm(5, "odds_big", Rule.UNFINISHED, rest)
    if rest == "":
        assert parse_form(odds_last, text) == (3, 0, 25, 50, 25)


# Any text, against a list of all forms.


def valid_forms() -> list[tuple[tuple[int, ...], str]]:
    """Every valid form of the toy study, each with and without the last part of the allocation."""
    quarters = [(a, b, 100 - a - b) for a in range(0, 101, 25) for b in range(0, 101 - a, 25)]
    forms = []
    for fear, parts, leave in itertools.product((1, 2, 3, 4), quarters, (0, 1, 2)):
        answers = [fear, *parts, ("stay", "leave", "call")[leave]]
        lines = [f"{label}: {answer}\n" for label, answer in zip(LABELS, answers, strict=True)]
        forms.append(((fear, *parts, leave), "".join(lines)))
        forms.append(((fear, *parts, leave), "".join(lines[:3] + lines[4:])))
    return forms


ALL = valid_forms()
PIECES = st.sampled_from(["\n", "1", "25", "0", "x", ":", "stay", "fear: 3\n", "a big fire: 25\n", "leave: stay\n"])
EDITED = st.builds(
    lambda form, cut, gap, piece: form[1][:cut] + piece + form[1][cut + gap :],
    st.sampled_from(ALL), st.integers(0, 80), st.integers(0, 20), PIECES | st.just(""),
)  # fmt: skip


@given(EDITED)
@example(FORM)
def test_a_text_is_read_if_and_only_if_it_begins_with_a_valid_form(slots: tuple[Slot, ...], text: str) -> None:
    # Without doubled or missing spaces, which are forgiven, what is valid can be listed.
    lines = [line.partition(":") for line in text.split("\n")]
    tidy = "\n".join(f"{a.strip(' ')}: {b.strip(' ')}" if colon else a for a, colon, b in lines)
    wanted = {values for values, form in ALL if f"{tidy}\n".startswith(form)}
    read = parse_form(slots, text)
    assert len(wanted) <= 1
    assert (set() if isinstance(read, FailedForm) else {read}) == wanted


@given(EDITED, st.integers(0, 90))
def test_what_is_not_unfinished_is_final(slots: tuple[Slot, ...], text: str, cut: int) -> None:
    before = parse_form(slots, text[:cut], ended=False)
    for after in (parse_form(slots, text), parse_form(slots, text, ended=False)):
        if not isinstance(before, FailedForm):
            assert after == before
        elif before.rule is not Rule.UNFINISHED:
            assert isinstance(after, FailedForm)
            assert after == replace(before, stood=after.stood) and after.stood.startswith(before.stood)


@given(st.sampled_from(ALL), st.integers(0, 90))
def test_the_beginning_of_a_form_is_unfinished(
    slots: tuple[Slot, ...], form: tuple[tuple[int, ...], str], cut: int
) -> None:
    values, text = form
    read = parse_form(slots, text[:cut], ended=False)
    assert read == values if cut >= len(text) else isinstance(read, FailedForm) and read.rule is Rule.UNFINISHED
