"""The README is short and its numbers are those of the reference run; the table of measures has every measure."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pilotlm.report.runs import read_metrics

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "docs" / "readme.py")
    assert spec and spec.loader
    module = sys.modules["readme"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_read_in_two_minutes() -> None:
    assert len(README.splitlines()) < 120


def test_its_table_is_that_of_the_reference_run(readme: ModuleType) -> None:
    assert readme.with_results(README) == README, "run `python docs/readme.py`"
    found = re.search(r"0\.\d\d \[", README)
    assert found
    assert readme.with_results(README.replace(found[0], "9.99 [", 1)) == README


def test_every_measure_of_the_reference_run_stands_in_the_table_of_measures() -> None:
    page = (ROOT / "docs" / "measures.qmd").read_text(encoding="utf-8")
    first = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for cell in first for name in re.findall(r"`([a-zA-Z_0-9]+)`", cell)}
    measured = set(read_metrics(ROOT / "results" / "reference")["metric"])
    plain = {name for name in measured if not name.endswith("_p")}
    assert plain == named
    assert {name.removesuffix("_p").removeprefix("difference_") for name in measured - plain} <= {
        *named, *(name.removeprefix("equivalence_") for name in named),
    }  # fmt: skip
