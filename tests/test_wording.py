"""What a reader sees is in the field's words, and claims no more than an interval shows."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotlm.report.published import FINDING_VERDICTS, GENERAL_RULE, load_published

ROOT = Path(__file__).resolve().parents[1]
DIALECT = re.compile(
    r"\b(opponents?|floors?|ceilings?|laws?|(?<!wrongly )rectified|tuned estimator|told apart|duels?)\b",
    re.IGNORECASE,
)
CHOSEN = re.compile(r"\b(as published|cannot be told from|clearly|not seen|would recover)\b", re.IGNORECASE)
"""Words of rules that were met without an interval."""


def prose(text: str) -> str:
    """A text without code, addresses and what Quarto fills in."""
    fenced = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|\{\{<.*?>\}\}|\]\([^)]*\)|\$\$?[^$]*\$\$?", "", fenced)


def notebook_texts(path: Path) -> Iterator[str]:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield prose(source)
        else:
            yield from re.findall(r"#\| (?:fig|tbl)-(?:cap|alt): (.*)", source)
            yield from sentences(ast.parse(source))


def sentences(tree: ast.AST) -> Iterator[str]:
    """Texts of code that are shown: of several words or a heading, and no docstrings."""
    shown = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Expr) for part in [node.value]}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in shown
        if is_text and (" " in node.value.strip() or node.value[:1].isupper()):
            yield prose(node.value)


def read_by_people() -> dict[str, list[str]]:
    found = {path.name: list(notebook_texts(path)) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    pages = [ROOT / "index.qmd", ROOT / "paper" / "index.qmd", ROOT / "README.md", *(ROOT / "docs").glob("*.qmd")]
    found |= {str(path.relative_to(ROOT)): [prose(path.read_text(encoding="utf-8"))] for path in pages}
    others = [ROOT / "benchmarks" / "page.py", ROOT / "truth" / "page.py"]
    for path in sorted([*(ROOT / "lib" / "pilotlm" / "report").glob("*.py"), *others]):
        found[path.name] = list(sentences(ast.parse(path.read_text(encoding="utf-8"))))
    published = (ROOT / "paper" / "published.yml").read_text(encoding="utf-8")
    return {**found, "published.yml": [published]}


@pytest.mark.parametrize(("name", "texts"), read_by_people().items())
def test_no_page_speaks_the_house_dialect(name: str, texts: list[str]) -> None:
    for text in texts:
        assert not DIALECT.search(text), DIALECT.search(text)


def test_the_guard_knows_the_dialect() -> None:
    for word in ("the best opponent", "Floor and ceiling", "the law of whole answers", "rectified means"):
        assert DIALECT.search(prose(word))
    assert not DIALECT.search(prose("The best baseline by `rectified_mean`; see {{< var x.floor >}}"))


def test_rules_speak_of_intervals_only() -> None:
    findings = load_published().all.values()
    for text in [GENERAL_RULE, *(text for f in findings for text in (f.claim, f.rule, f.holds, f.fails))]:
        assert not CHOSEN.search(text), text
    assert FINDING_VERDICTS == ("shown", "contradicted", "underpowered", "not testable here")


@pytest.mark.parametrize("module", ["verdicts.py", "sentences.py", "evidence.py", "published.py", "paper.py"])
def test_no_sentence_that_results_choose_goes_without_an_interval(module: str) -> None:
    path = ROOT / "lib" / "pilotlm" / "report" / module
    for text in sentences(ast.parse(path.read_text(encoding="utf-8"))):
        assert not CHOSEN.search(text), text


def test_measure_and_baseline_are_named_in_the_methods() -> None:
    text = (ROOT / "paper" / "index.qmd").read_text(encoding="utf-8")
    methods = text.partition("## Model, training")[2].partition("## Results")[0]
    assert "{{< var run.primary >}}" in methods and "best baseline" in methods and "before any" in methods
