"""Files of studies and texts of models that nobody would write: read, or refused in a sentence, and soon.

In the suite each property is tried 60 times. PILOTLM_FUZZ_SECONDS=600 tries it for ten minutes with inputs
that differ from run to run.
"""

from __future__ import annotations

import copy
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pilotlm.data.prompts import example_person, prompt_for, slots_of
from pilotlm.errors import InputError
from pilotlm.study import data_folder, load_study, study_names

SECONDS = float(os.environ.get("PILOTLM_FUZZ_SECONDS", "0"))
EXAMPLES = 60
SLOW = 10.0
"""Seconds of the processor; a study of the largest size allowed is read in a few."""
LONGEST = 900
"""Letters of a message that can still be read."""
SHIPPED = {name: (data_folder() / name / "study.yml").read_text(encoding="utf-8") for name in study_names()}
PARSED = {name: yaml.safe_load(text) for name, text in SHIPPED.items()}


def tried(example: Callable[..., None], **strategies: st.SearchStrategy[Any]) -> Counter[str]:
    """Try a property once as the suite does, or until the time that was asked for has passed.

    The example is given a counter, to say in it what came out.
    """
    counts: Counter[str] = Counter()
    strange = settings(
        max_examples=EXAMPLES * (20 if SECONDS else 1), deadline=None, database=None, derandomize=not SECONDS,
        suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )  # fmt: skip

    @strange
    @given(**strategies)
    def once(**drawn: Any) -> None:
        began = time.process_time()
        with hanging_ends():
            example(counts, **drawn)
        assert time.process_time() - began < SLOW, "it took too long"

    until = time.monotonic() + SECONDS
    once()
    while time.monotonic() < until:
        once()
    print({"examples": counts.total(), **counts})
    return counts


@contextmanager
def hanging_ends() -> Iterator[None]:
    """End what never ends by itself, after several times the processor's time that it may take."""

    def give_up(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, 3 * SLOW)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


# Studies.


def read(path: Path) -> str:
    """Read a study, its form and a prompt: what came of it."""
    try:
        study = load_study(path)
        assert slots_of(study) and prompt_for(study, example_person(study)).text
    except InputError as error:
        message = str(error)
        assert "\n" not in message and len(message) < LONGEST + len(str(path)), message
        return "refused"
    return "read"


WORDS = sorted({word for text in SHIPPED.values() for word in text.replace(":", " ").split()})
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.dates() | st.sampled_from(WORDS)
    | st.sampled_from(["", " ", "~", "a ~ b", "C", "__class__", "{value}", "{0}", "{", "\ud800", "\u202e", "0" * 5000])
    | st.sampled_from([10**400, -(10**16), 1e308, float("nan"), float("inf"), 2**63, 0, -1, 1.5])
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(WORDS) | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield (*path, key)
        yield from places(part, (*path, key))


def changed(draw: st.DrawFn, content: Any) -> None:
    """Change one value inside: another one, one from elsewhere, twice, none, or under another key."""
    found = list(places(content))
    if not found:
        return
    *way, last = draw(st.sampled_from(found))
    inside = content
    for key in way:
        inside = inside[key]
    kind = draw(st.sampled_from(["any", "elsewhere", "remove", "twice", "key"]))
    if kind == "any":
        inside[last] = draw(ANYTHING)
    elif kind == "elsewhere":
        other = content
        for key in draw(st.sampled_from(found)):
            other = other[key]
        inside[last] = copy.deepcopy(other)
    elif kind == "remove":
        del inside[last]
    elif isinstance(inside, list):
        inside.insert(last, copy.deepcopy(inside[last]))
    else:
        inside[draw(st.text(max_size=8) | st.sampled_from(WORDS) | st.integers())] = inside.pop(last)


@st.composite
def contents(draw: st.DrawFn) -> Any:
    """What a study's file may say: a shipped one with some values changed, or anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(ANYTHING)
    content = copy.deepcopy(PARSED[draw(st.sampled_from(sorted(PARSED)))])
    for _ in range(draw(st.integers(0, 4))):
        changed(draw, content)
    return content


PIECES = st.text(max_size=12) | st.sampled_from(
    ["\n", "  ", "\t", ": ", "- ", "{", "}", "[", "]", "&a ", "*a", "!!python/object:os.system ", "!!binary ", "!!set ",
     "!!bool ", "!!int ", "!!float ", "!!null ", "!!merge ", "!!str ", "!!seq ", "!!map ",
     "<<: *a", "? ", "| ", "> ", "'", '"', "#", "%YAML 9.9\n", "---\n", "...\n", "!!timestamp ", "2024-99-99", "0x",
     "\\x", "\x00", "\ufeff", "\u2028", "{value}", "[" * 300, "!!omap ", "!!pairs ", "!", "@", "`", "1:2:3", "0o9", "=",
     "9" * 5000, ".inf", "on"]
)  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """A shipped file with some of its letters changed, or pieces of YAML, or any bytes."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return "".join(draw(st.lists(PIECES, max_size=20))).encode("utf-8", "surrogatepass")
    text = SHIPPED[draw(st.sampled_from(sorted(SHIPPED)))]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(PIECES) + text[start + draw(st.sampled_from([0, 0, 1, 1, 3, 40])) :]
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.slow
def test_any_values_are_a_study_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.yml"

    def example(counts: Counter[str], content: Any) -> None:
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=False), encoding="utf-8")
        counts[read(path)] += 1

    counts = tried(example, content=contents())
    assert counts["refused"] and counts["read"], "a fuzzer that reaches only one of the two finds nothing"


def test_any_bytes_are_a_study_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.yml"

    def example(counts: Counter[str], data: bytes) -> None:
        path.write_bytes(data)
        counts[read(path)] += 1

    counts = tried(example, data=texts())
    assert counts["refused"] and counts["read"]


FOUND = (b"!!timestamp", b"a: !!timestamp x", b"a: !!bool maybe", b"a: !!int ''", b"a: !!int '-'", b"!!int ''")
"""What made an earlier version fall over."""


@pytest.mark.parametrize("data", FOUND)
def test_what_was_found_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "study.yml").write_bytes(data)
    assert read(tmp_path / "study.yml") == "refused"
