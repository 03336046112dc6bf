"""Studies from strangers: whatever stands in the file is data. A canary tells if any of it was run or written."""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pilotlm.data.sources import load_people
from pilotlm.errors import InputError
from pilotlm.study import data_folder, load_study

CANARY = "canary"
LONGEST = 900
"""Letters of a message: long enough for a list of what is allowed, short enough to be read."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with one study, in a folder that is the working folder; afterwards it holds nothing else."""
    shutil.copytree(data_folder() / "framing", tmp_path / "data" / "framing")
    monkeypatch.setenv("PILOTLM_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = _files(tmp_path)
    yield tmp_path
    assert _files(tmp_path) == before and not hasattr(builtins, CANARY)


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def study_file(home: Path) -> Path:
    return home / "data" / "framing" / "study.yml"


def refused(load: Callable[[], object]) -> str:
    """The one line that a user reads."""
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message and len(message) < LONGEST and message.isprintable(), message
    return message


FORMULAS = (
    "emo ~ __import__('pathlib').Path('canary').touch()",
    "emo ~ open('canary', 'w')",
    "emo ~ I(setattr(__builtins__, 'canary', 1))",
    "emo ~ treat + (lambda: open('canary', 'w'))()",
    "emo ~ Q('treat')",
    "emo ~ treat.__class__",
    "emo ~ [x for x in open('canary', 'w')]",
    "emo ~ C(treat, open('canary', 'w'))",
    "emo ~ treat; open('canary', 'w')",
    "emo ~ treat ** 99",
    "emo ~ `treat`",
    "emo ~ {open('canary', 'w')}",
    "emo ~ tr\u0435at",  # a Cyrillic letter
    "emo ~",
    "emo ~ treat age",
    "emo ~ + *",
    "~ treat",
    "emo",
    "emo ~ treat ~ age",
    "",
)


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_is_names_and_operators(home: Path, formula: str) -> None:
    path = study_file(home)
    content = yaml.safe_load(path.read_text())
    content["regressions"][0]["formula"] = formula
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    assert "study.yml" in refused(lambda: load_study("framing"))


TEXTS = {
    "an object of Python": "name: !!python/object/apply:os.system ['touch canary']\n",
    "a function of Python": "name: !!python/name:os.system\n",
    "a module of Python": "name: !!python/module:this\n",
    "a tag of its own": "name: !run touch canary\n",
    "references without end": "a: &a [x, x]\n"
    + "".join(f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join([f'*{chr(97 + k)}'] * 9)}]\n" for k in range(9)),
    "a text of ten megabytes": f"name: framing\ntitle: {'x' * 10_000_000}\n",
    "lists in lists": "name: " + "[" * 5000 + "\n",
    "nothing": "",
    "a number": "7\n",
    "a list": "- name: framing\n",
    "two documents": "name: framing\n---\nname: framing\n",
    "a tab": "name:\tframing\n\ttitle: x\n",
    "a key that is a list": "? [a, b]\n: 1\n",
    "an open quotation": 'name: "framing\n',
}


@pytest.mark.parametrize("text", list(TEXTS.values()), ids=list(TEXTS))
def test_a_file_that_is_no_study(home: Path, text: str) -> None:
    study_file(home).write_text(text)
    assert "study.yml" in refused(lambda: load_study("framing"))


@pytest.mark.parametrize("content", [b"name: \xff\xfe\n", "name: framing\n".encode("utf-16"), b"name: \x00\n"])
def test_a_file_that_is_no_text(home: Path, content: bytes) -> None:
    study_file(home).write_bytes(content)
    assert "study.yml" in refused(lambda: load_study("framing"))


@pytest.mark.parametrize("place", ["/etc/hostname", "../../../secret.csv", "~/secret.csv", "..", "a/../../b.csv"])
def test_a_file_outside_the_study_is_not_read(home: Path, place: str) -> None:
    path = study_file(home)
    content = yaml.safe_load(path.read_text())
    content["source"] = {"kind": "file", "file": place}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    assert "study.yml" in refused(lambda: load_people(load_study("framing")))


NUMBERS = (".nan", ".inf", "-.inf", "1e400", "'five'")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_limit_is_a_number_that_is_one(home: Path, number: str) -> None:
    path = study_file(home)
    content = yaml.safe_load(path.read_text())
    content["questions"][0]["low"] = yaml.safe_load(number)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    refused(lambda: load_study("framing"))


@pytest.mark.parametrize("name", ["../data/framing", "/etc", "framing/../framing", "", "framing\n", "\u202egnimarf"])
def test_a_name_is_not_a_path(home: Path, name: str) -> None:
    refused(lambda: load_study(name))
