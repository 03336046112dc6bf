"""Executed notebooks as pages: made ready for Quarto, with figures and tables for other pages, or as plain HTML."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_raw_cell

from pilotlm.errors import InputError
from pilotlm.records import Places, write_text
from pilotlm.report.runs import study_provenance
from pilotlm.report.wording import quoted, without_shortcodes

_OPTION = re.compile(r"^#\|\s*(?P<key>[\w-]+):\s*(?P<value>.*)$", re.MULTILINE)
MOST_ROWS = 16
"""Longer tables stay on the page of their notebook: they would fill the supplement."""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_STYLE = """
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
a { color: #00517d; } img { max-width: 100%; height: auto; } a, p code, li code { overflow-wrap: anywhere; }
pre { background: #f5f5f5; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: left; vertical-align: top; }
blockquote { border-left: 4px solid #d55e00; background: #fdf1ea; margin: 1rem 0; padding: .1rem .8rem; }
.anchor-link { display: none; } footer { border-top: 1px solid #ddd; margin-top: 2rem; font-size: .85rem; }
"""
_RULES = re.compile(r"^\|[-:| ]+\|\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A notebook on the site: ``figures`` and ``tables`` that it really shows, by label, as Markdown for other pages.

    ``long`` are the labels of tables of more than `MOST_ROWS` rows.
    """

    name: str
    title: str
    figures: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    long: frozenset[str] = frozenset()

    def part(self, label: str) -> str:
        """The figure or table with a label as Markdown, "" where it is not shown."""
        return self.figures.get(label) or self.tables.get(label, "")


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook; an `InputError` where it is missing, is none, or was not executed."""
    if not path.is_file():
        raise InputError(f"{path} is missing; `make paper` makes it.")
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, AttributeError, KeyError) as error:
        raise InputError(f"{path} is not a notebook ({error}); remove it, and `make paper` makes it anew.") from None
    if not any(cell.get("outputs") for cell in notebook.cells):
        raise InputError(f"{path} holds no output; run it with papermill, or remove it and `make paper` makes it anew.")
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if "outputs" in cell:  # a page that shows a progress bar fetches scripts from another host
            cell.outputs = [output for output in cell.outputs if _WIDGET not in output.get("data", {})]
    return notebook


def stage_notebook(
    source: Path,
    target: Path,
    suffix: str,
    about: str,
    pictures: Path,
    said: Mapping[str, str] | None = None,
) -> Shown:
    """Copy an executed notebook to where Quarto reads it, and its figures into a folder of pictures.

    Parameters
    ----------
    source, target : Path
        The executed notebook, and the copy. Its first heading becomes the title. Shortcodes in texts and outputs become
        text. A label is taken away where its cell shows no figure or table, since Quarto would number an empty one.
    suffix, about : str
        What is put behind labels, and behind the title; "" for nothing.
    pictures : Path
        Gets each figure as a drawing, and as a picture for formats that show no drawing (paper/pictures.lua).
    said : mapping, optional
        What is added to the alternative text of a figure: its finding, by label.
    """
    notebook = read_notebook(source)
    ending = f"-{suffix}" if suffix else ""
    title = _take_title(notebook) or source.stem
    figures, tables, long = {}, {}, set()
    for cell in notebook.cells:
        _disarm(cell)
        options = options_of_cell(cell)
        label = options.get("label", "")
        rows = _rows(cell) if label.startswith("tbl-") else 0
        if label.startswith("fig-") and _keep_pictures(cell, pictures, label + ending):
            alt = " ".join(text for text in (options.get("fig-alt", ""), (said or {}).get(label, "")) if text)
            figures[label] = (
                f"![{options.get('fig-cap', '')}](/results/shown/pictures/{label}{ending}.svg)"
                f"{{#{label}{ending} fig-alt={json.dumps(without_shortcodes(alt), ensure_ascii=False)}}}"
            )
        elif rows > 0:
            text = next(o.data["text/markdown"] for o in cell.outputs if "text/markdown" in o.get("data", {}))
            tables[label] = f"{text}\n\n: {options.get('tbl-cap', '')} {{#{label}{ending}}}"
            long |= {label} if rows > MOST_ROWS else set()
        elif label:
            cell.source = re.sub(r"^#\| *(label|(fig|tbl)-(cap|alt)):.*\n", "", cell.source, flags=re.MULTILINE)
    for cell in notebook.cells:
        _relabel(cell, {*figures, *tables}, ending)
        _lighten(cell)
    full = f"{title} ({about})" if about else title
    titles = f"title: {json.dumps(quoted(full))}\npagetitle: {json.dumps(quoted(full))}"
    # The pages about a notebook are found; an index of all of them would be too heavy.
    notebook.cells.insert(0, new_raw_cell(f"---\n{titles}\nsearch: false\n---", id="title"))
    write_text(target, nbformat.writes(notebook) + "\n")
    return Shown(target.stem, full, figures, tables, frozenset(long))


def options_of_cell(cell: NotebookNode) -> dict[str, str]:
    """The options in the comments of a code cell: its label, caption and alternative text."""
    if cell.cell_type != "code":
        return {}
    return {match["key"]: match["value"].strip().strip('"') for match in _OPTION.finditer(cell.source)}


def _keep_pictures(cell: NotebookNode, folder: Path, name: str) -> bool:
    """Write the figure that a cell shows, as a drawing and as a picture; False where it shows none."""
    shown = next((o.data for o in cell.outputs if "image/svg+xml" in o.get("data", {})), None)
    if shown is None:
        return False
    write_text(folder / f"{name}.svg", shown["image/svg+xml"])
    if "image/png" in shown:
        (folder / f"{name}.png").write_bytes(base64.b64decode(shown["image/png"]))
    return True


def _rows(cell: NotebookNode) -> int:
    """The rows of the Markdown tables that a cell shows, headings left out."""
    texts = [output.get("data", {}).get("text/markdown", "") for output in cell.outputs]
    return sum(text.count("\n|") - 1 for text in texts if _RULES.search(text))


def _relabel(cell: NotebookNode, labels: set[str], ending: str) -> None:
    label = options_of_cell(cell).get("label")
    if label in labels:
        cell.source = cell.source.replace(f"label: {label}", f"label: {label}{ending}", 1)
    if cell.cell_type == "markdown" and ending:
        for name in labels:
            cell.source = re.sub(rf"@{re.escape(name)}(?![\w-])", f"@{name}{ending}", cell.source)


def _disarm(cell: NotebookNode) -> None:
    if cell.cell_type == "markdown":
        cell.source = without_shortcodes(cell.source)
    for output in cell.get("outputs", []):
        for kind, value in output.get("data", {}).items():
            if kind.startswith("text/"):
                output["data"][kind] = without_shortcodes(value)
        if isinstance(output.get("text"), str):
            output["text"] = without_shortcodes(output["text"])


def _lighten(cell: NotebookNode) -> None:
    """Leave Quarto less to do: of a figure the drawing alone, tables as HTML, no notes of papermill."""
    cell.metadata = {}
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/svg+xml" in data:
            data.pop("image/png", None)
        text = data.get("text/markdown", "")
        if _RULES.search(text):
            data["text/markdown"] = table_as_html(text)
        elif "text/html" in data:  # beside which Quarto puts scripts of another host
            page = re.sub(r"<style.*?</style>", "", data.pop("text/html"), flags=re.DOTALL)
            data["text/markdown"] = _raw(re.sub(r"<table[^>]*>", "<table>", page))


def table_as_html(markdown: str) -> str:
    """A Markdown table as HTML that Quarto leaves alone: taking tables apart is most of its work on such pages."""
    return _raw(markdown_html(markdown))


def _raw(page: str) -> str:
    page = page.replace("<table", '<table data-quarto-disable-processing="true" class="table"')
    return f"```{{=html}}\n{page.replace('<th></th>', '<td></td>').strip()}\n```\n"


def _take_title(notebook: NotebookNode) -> str | None:
    for cell in notebook.cells:
        match = re.match(r"# +(.+)\n*", cell.source) if cell.cell_type == "markdown" else None
        if match:
            cell.source = cell.source[match.end() :]
            return match[1].strip()
    return None


def write_decision_page(notebook: Path, page: Path) -> None:
    """Write one executed notebook (`read_notebook`) as an HTML page of its own, without its code."""
    study = notebook.parent.parent
    foot = study_provenance(Places(study.parent.name, study.name))
    write_html(page, f"{study.name}: {notebook.stem.partition('-')[2]}", notebook_html(notebook), foot)


def notebook_html(path: Path, with_code: bool = False) -> str:
    """The cells of an executed notebook as HTML: captions below, alternative texts on the images."""
    notebook, cells = read_notebook(path), []
    for cell in notebook.cells:
        options = options_of_cell(cell)
        caption = options.get("fig-cap") or options.get("tbl-cap")
        cells.append(cell)
        if caption:
            cell.source = "\n".join(line for line in cell.source.split("\n") if not line.startswith("#|"))
            cells.append(new_markdown_cell(f"*{quoted(caption)}*"))
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data.pop("image/svg+xml", None)  # nbconvert would put the drawing without its alternative text
                output.setdefault("metadata", {})["image/png"] = {"alt": options.get("fig-alt", caption or "Figure")}
    notebook.cells = cells
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.exclude_input = not with_code
    return str(exporter.from_notebook_node(notebook)[0])


def markdown_html(text: str) -> str:
    """Markdown as HTML."""
    return str(markdown2html_mistune(text))


def write_html(page: Path, title: str, body: str, foot: str) -> None:
    """Write an HTML page that needs no other file; the line at its foot is Markdown."""
    # A wide table scrolls by itself, not the page, and can be reached without a mouse.
    opened = '<div class="wide" tabindex="0" role="region" aria-label="Table"><table'
    body = body.replace("<table", opened).replace("</table>", "</table></div>")
    write_text(
        page,
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<footer>{markdown_html(foot)}</footer>\n</body>\n</html>\n",
    )
