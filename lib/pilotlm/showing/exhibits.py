"""From figure to file: every figure and table of paper and website, what made it, and where its numbers lie."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pilotlm.records import Places, project_folder, results_folder
from pilotlm.showing.notebooks import Shown
from pilotlm.showing.quoting import quoted, without_shortcodes
from pilotlm.showing.staged import SHOWN, Staged, name_of, table_of
from pilotlm.stages import ANALYSES

Page = Callable[[str, str, str], str]
"""Takes a study (empty for the report), a notebook and a label, and returns the address of that cell."""

_EMBED = re.compile(r"\{\{< embed /\S+?#(?P<label>\S+) >\}\}")
_OWN = re.compile(r"^: (?P<caption>.+?) \{#(?P<label>(?:tbl|fig)-[\w-]+)", re.MULTILINE)
_HEADS = ["Label", "Caption", "Code cell", "Shown"]
_WIDTHS = (28, 46, 8, 18)
_OTHER_PAGES = (
    ("benchmarks.qmd", "Benchmarks", "make bench", "benchmarks/results.json"),
    ("known-truth.qmd", "Known truth", "make truth", "truth/results.json"),
)
"""Pages made from other files than a run's, with the command that makes those files."""


@dataclass(frozen=True)
class Source:
    """A notebook that shows figures or tables.

    Attributes
    ----------
    study : str
        Its study; empty for the report.
    notebook : Shown
        The notebook on the site.
    files : tuple of str
        Where its numbers lie, below the results folder.
    """

    study: str
    notebook: Shown
    files: tuple[str, ...]


def sources_of(run: str, staged: Staged, metrics: pd.DataFrame) -> tuple[Source, ...]:
    """The notebooks of a run that show figures or tables, the report last.

    Parameters
    ----------
    run : str
        A folder under ``results``.
    staged : Staged
        What was put on the site.
    metrics : DataFrame
        The run's tidy table, its index the row of ``metrics.csv``.

    Returns
    -------
    tuple of Source
    """
    found = [
        Source(study, notebook, _files(run, study, notebook, metrics))
        for study, notebooks in staged.notebooks.items()
        for notebook in notebooks
    ]
    report = Source("", staged.report, (f"{run}/metrics.csv", f"{run}/manifest.json"))
    return tuple(source for source in [*found, report] if source.notebook.exhibits)


def command_of(run: str, source: Source) -> str:
    """The command that makes a notebook's figures, tables and files again, in one line."""
    notebook = source.notebook
    where = f"{source.study}/notebooks/{notebook.name}" if source.study else notebook.name
    words = [f"{name}={value}" for name, value in notebook.parameters.items()]
    given = [f"notebooks/{notebook.source}", f"results/{run}/{where}.ipynb", *words]
    return " ".join(without_shortcodes(f"pilotlm execute {shlex.join(given)}").split())


def exhibits_page(run: str, sources: Sequence[Source], parts: Mapping[str, str], page: Page) -> str:
    """The page's text.

    Parameters
    ----------
    run : str
        The run.
    sources : sequence of Source
        Of `sources_of`.
    parts : mapping
        The generated parts of the paper; what they embed is shown there.
    page : callable
        Where a cell is shown: `on_site`, or `on_plain_page`.

    Returns
    -------
    str
        Markdown that Quarto and nbconvert both read.
    """
    embedded = {match["label"] for text in parts.values() for match in _EMBED.finditer(text)}
    counted = sum(len(source.notebook.exhibits) for source in sources)
    first = f"{counted} figures and tables come from {len(sources)} notebooks of the run `{run}`."
    sections = []
    for study in dict.fromkeys(source.study for source in sources):
        heading = quoted(study) if study else "The run as a whole"
        mine = [_section(run, source, embedded, page) for source in sources if source.study == study]
        sections.append("\n\n".join([f"## {heading}", *mine]))
    return "\n\n".join([first, *sections, _own_tables(run, parts), _other_pages()]) + "\n"


def exhibit_list(staged: Staged, sources: Sequence[Source], parts: Mapping[str, str]) -> str:
    """A table of what the paper shows, a line a figure or table: label, study, notebook and file."""
    embedded = {match["label"] for text in parts.values() for match in _EMBED.finditer(text)}
    rows = [
        (e.label, name_of(staged.studies[s.study]) if s.study else "all", s.notebook.source, f"results/{s.files[0]}")
        for s in sources
        for e in s.notebook.exhibits
        if e.label in embedded and s.files
    ]
    made = f"results/{sources[0].files[0].partition('/')[0]}/metrics.csv" if sources and sources[0].files else ""
    rows += [(label, "one table a study", "pilotlm render", made) for label, _ in _labelled(parts)]
    return table_of(["Label", "Study", "Made by", "Numbers in"], rows, (30, 20, 20, 30))


def on_site(study: str, notebook: str, label: str) -> str:
    """The address of a cell on the website."""
    return f"/{SHOWN}/{study}/{notebook}.ipynb#{label}" if study else f"/{SHOWN}/{notebook}.ipynb#{label}"


def on_plain_page(study: str, notebook: str, label: str) -> str:
    """The page of a cell among the plain pages."""
    return f"{study}/{notebook}.html" if study else f"{notebook}.html"


def _section(run: str, source: Source, embedded: set[str], page: Page) -> str:
    notebook = source.notebook
    rows = [
        (
            _link(e.label, page(source.study, notebook.name, e.label)), quoted(e.caption), str(e.cell),
            "here and in the paper" if e.label in embedded else "here",
        )
        for e in notebook.exhibits
    ]  # fmt: skip
    files = "; ".join(f"`results/{name}`" for name in source.files)
    numbers = f"Numbers: {files}." if files else ""
    parts = [f"### {quoted(notebook.name)}", numbers, f"```sh\n{command_of(run, source)}\n```", _table(rows)]
    return "\n\n".join(part for part in parts if part)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """As `table_of`, of cells that are Markdown already."""
    lines = [f"| {' | '.join(_HEADS)} |", f"|{'|'.join('-' * width for width in _WIDTHS)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _link(text: str, target: str) -> str:
    return f"[{quoted(text)}]({target})"


def _labelled(parts: Mapping[str, str]) -> list[tuple[str, str]]:
    """The tables that the pages' own text holds, with their captions."""
    return [(match["label"], match["caption"]) for text in parts.values() for match in _OWN.finditer(text)]


def _own_tables(run: str, parts: Mapping[str, str]) -> str:
    paper = project_folder() / "paper" / "index.qmd"
    typed = {"paper": paper.read_text(encoding="utf-8")} if paper.is_file() else {}
    rows = [(quoted(label), caption, "–", "in the paper") for label, caption in _labelled(parts)]
    rows += [(quoted(label), caption, "–", "in the paper; written by hand") for label, caption in _labelled(typed)]
    about = f"Verdicts are made by `pilotlm render {run}` from `results/{run}/metrics.csv` and `paper/published.yml`."
    return f"## Tables of the paper's own text\n\n{about}\n\n{_table(rows)}"


def _other_pages() -> str:
    lines = [f"- {title}: `{command}` writes `{file}`." for _, title, command, file in _OTHER_PAGES]
    return "## Other pages\n\nAll figures and tables of a page are made from one file.\n\n" + "\n".join(lines)


def _files(run: str, study: str, notebook: Shown, metrics: pd.DataFrame) -> tuple[str, ...]:
    """Where the numbers of a notebook lie, below the results folder."""
    places, stage = Places(run, study), Path(notebook.source).stem.partition("-")[2]
    variant = notebook.name.removeprefix(f"{Path(notebook.source).stem}-")
    if stage in ANALYSES:
        table = places.measures(stage)
        lines = _lines(table, study, metrics)
        return (_below(table), f"{run}/metrics.csv, {lines}" if lines else f"{run}/metrics.csv")
    if stage == "baselines":
        return (_below(places.folder / "responses"),)
    known = {
        "prepare": places.people,
        "decision": places.decision,
        "finetune": places.folder / "adapters" / variant,
        "simulate": places.folder / "responses" / f"{variant}.parquet",
    }
    return (_below(known[stage]),) if stage in known else ()


def _lines(table: Path, study: str, metrics: pd.DataFrame) -> str:
    """The lines of ``metrics.csv`` that hold an analysis; empty where they do not stand together."""
    if not table.is_file():
        return ""
    mine = set(pd.read_csv(table, usecols=["metric"])["metric"])
    rows = metrics.index[(metrics["study"] == study) & metrics["metric"].isin(mine)]
    together = len(rows) > 0 and rows[-1] - rows[0] + 1 == len(rows)
    # A file's first line is its heading.
    return f"lines {rows[0] + 2} to {rows[-1] + 2}" if together else ""


def _below(path: Path) -> str:
    return path.relative_to(results_folder()).as_posix()
