"""Executed notebooks made ready for the site: labels that are unique in a paper with several studies, and a title."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from pilotlm.errors import InputError
from pilotlm.records import write_text
from pilotlm.report.wording import quoted, without_shortcodes

_OPTION = re.compile(r"^#\|\s*(?P<key>[\w-]+):\s*(?P<value>.*)$", re.MULTILINE)
MOST_ROWS = 16
"""Longer tables stay on the website's study pages: they would fill the paper."""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_SHOWS = {"fig": ("image/png", "image/svg+xml", "image/jpeg"), "tbl": ("text/markdown", "text/html")}


@dataclass(frozen=True)
class Shown:
    """A notebook on the site.

    ``labels`` are those of figures and tables that it really shows, without the suffix; ``long`` those of them that are
    tables of more than `MOST_ROWS` rows.
    """

    name: str
    title: str
    labels: frozenset[str]
    long: frozenset[str] = frozenset()


def read_notebook(path: Path) -> NotebookNode:
    """Read an executed notebook.

    Raises
    ------
    InputError
        If it is missing, is not a notebook, or was not executed.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; `make paper` makes it.")
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, AttributeError, KeyError) as error:
        raise InputError(f"{path} is not a notebook ({error}); remove it, and `make paper` makes it anew.") from None
    if not any(cell.get("outputs") for cell in notebook.cells):
        raise InputError(f"{path} holds no output; run it with papermill, or remove it and `make paper` makes it anew.")
    _drop_widgets(notebook)
    return notebook


def stage_notebook(source: Path, target: Path, suffix: str, about: str) -> Shown:
    """Copy an executed notebook to where Quarto reads it.

    Labels get a suffix, and lose their cell where it shows no figure or table, since Quarto would number an empty one.
    Shortcodes in texts and outputs become text. The first heading becomes the title.
    """
    notebook = read_notebook(source)
    rows = {label: _rows(cell) for cell in notebook.cells if (label := _shown_label(cell))}
    labels = set(rows)
    title = _take_title(notebook) or source.stem
    for cell in notebook.cells:
        _relabel(cell, labels, suffix)
        _disarm(cell)
    full = f"{title} ({about})" if about else title
    front = f"---\ntitle: {json.dumps(quoted(full))}\npagetitle: {json.dumps(without_shortcodes(full))}\n---"
    notebook.cells.insert(0, nbformat.v4.new_raw_cell(front, id="title"))
    write_text(target, nbformat.writes(notebook) + "\n")
    return Shown(
        name=target.stem,
        title=full,
        labels=frozenset(labels),
        long=frozenset(name for name in rows if rows[name] > MOST_ROWS),
    )


def pictures_of(source: Path) -> dict[str, bytes]:
    """The pictures in the outputs of labelled cells."""
    found: dict[str, bytes] = {}
    for cell in read_notebook(source).cells:
        label = label_of_cell(cell)
        shown = [output.data for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        if label and shown:
            found[label] = base64.b64decode(_text(shown[0], "image/png"))
    return found


def options_of_cell(cell: NotebookNode) -> dict[str, str]:
    """The options in the comments of a code cell: its label, caption and alternative text."""
    if cell.cell_type != "code":
        return {}
    return {match["key"]: match["value"].strip().strip('"') for match in _OPTION.finditer(cell.source)}


def label_of_cell(cell: NotebookNode) -> str | None:
    """The label that a code cell carries, or None."""
    return options_of_cell(cell).get("label")


def _shown_label(cell: NotebookNode) -> str | None:
    """The label of a cell that shows what its label promises."""
    label = label_of_cell(cell)
    kinds = _SHOWS.get((label or "").partition("-")[0], ())
    shown = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
    if label and label.startswith("tbl-") and _rows(cell) < 1:
        return None
    return label if shown & set(kinds) else None


def _rows(cell: NotebookNode) -> int:
    """The rows of the Markdown or HTML tables that a cell shows, headings left out."""
    shown = [output.get("data", {}) for output in cell.outputs]
    rules = re.compile(r"^\|[-:| ]+\|\s*$", re.MULTILINE)
    texts = [_text(data, "text/markdown") for data in shown]
    markdown = sum(text.count("\n|") - 1 for text in texts if rules.search(text))
    return markdown or sum(_text(data, "text/html").count("</tr>") - 1 for data in shown if "text/html" in data)


def _text(data: dict[str, str | list[str]], kind: str) -> str:
    value = data.get(kind, "")
    return value if isinstance(value, str) else "".join(value)


def _relabel(cell: NotebookNode, labels: set[str], suffix: str) -> None:
    label = label_of_cell(cell)
    ending = f"-{suffix}" if suffix else ""
    if label in labels:
        cell.source = cell.source.replace(f"label: {label}", f"label: {label}{ending}", 1)
    elif label:
        cell.source = re.sub(r"^#\| *(label|(fig|tbl)-(cap|alt)):.*\n", "", cell.source, flags=re.MULTILINE)
    if cell.cell_type == "markdown" and ending:
        for name in labels:
            cell.source = re.sub(rf"@{re.escape(name)}(?![\w-])", f"@{name}{ending}", cell.source)


def _drop_widgets(notebook: NotebookNode) -> None:
    """Take out progress bars and the like: a page that shows one fetches scripts from another host."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if _WIDGET not in output.get("data", {})]


def _disarm(cell: NotebookNode) -> None:
    if cell.cell_type == "markdown":
        cell.source = without_shortcodes(cell.source)
    for output in cell.get("outputs", []):
        for kind, value in output.get("data", {}).items():
            if kind.startswith("text/"):
                output["data"][kind] = without_shortcodes(value if isinstance(value, str) else "".join(value))
        if isinstance(output.get("text"), str):
            output["text"] = without_shortcodes(output["text"])


def _take_title(notebook: NotebookNode) -> str | None:
    for cell in notebook.cells:
        match = re.match(r"# +(.+)\n*", cell.source) if cell.cell_type == "markdown" else None
        if match:
            cell.source = cell.source[match.end() :]
            return match[1].strip()
    return None
