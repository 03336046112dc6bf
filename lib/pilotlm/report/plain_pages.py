"""The executed notebooks as plain HTML where Quarto is missing: nbconvert's pages, and one that links them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path

from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from pilotlm.records import Places, write_text
from pilotlm.report.notebooks import options_of_cell, read_notebook
from pilotlm.report.pages import SYNTHETIC, Staged
from pilotlm.report.runs import study_provenance
from pilotlm.report.wording import quoted

_STYLE = """
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
a { color: #00517d; } img { max-width: 100%; height: auto; } a, p code, li code { overflow-wrap: anywhere; }
pre { background: #f5f5f5; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: left; vertical-align: top; }
.warning { border-left: 4px solid #d55e00; background: #fdf1ea; padding: .4rem .8rem; }
.anchor-link { display: none; } footer { border-top: 1px solid #ddd; margin-top: 2rem; font-size: .85rem; }
"""


def write_pages(folder: Path, sources: Mapping[str, Path], staged: Staged) -> None:
    """Write notebooks as HTML, and ``index.html``, which links them.

    Parameters
    ----------
    folder : Path
        Where; it should be empty.
    sources : mapping
        The page's path without ending, such as "framing/05-heterogeneity", and its executed notebook.
    staged : Staged
        What the pages say of the run.
    """
    for name, path in sources.items():
        back = f'<p><a href="{"../" * name.count("/")}index.html">All pages of this run</a></p>'
        body = back + _body(path, with_code=name != "report")
        write_text(folder / f"{name}.html", _page(name, body, staged.provenance))
    title = f"pilotlm: {staged.variables['run']['name']}"
    write_text(folder / "index.html", _page(title, _index(sources, staged), staged.provenance))


def write_page(notebook: Path, page: Path) -> None:
    """Write one executed notebook as an HTML page of its own, without its code.

    Raises
    ------
    InputError
        If the notebook cannot be read.
    """
    study = notebook.parent.parent
    title = f"{study.name}: {notebook.stem.partition('-')[2]}"
    write_text(page, _page(title, _body(notebook), study_provenance(Places(study.parent.name, study.name))))


def _body(path: Path, with_code: bool = False) -> str:
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.exclude_input = not with_code
    return str(exporter.from_notebook_node(_captioned(read_notebook(path)))[0])


def _captioned(notebook: NotebookNode) -> NotebookNode:
    """Captions and alternative texts where Quarto would put them: in a line below, and on the image."""
    cells = []
    for cell in notebook.cells:
        options = options_of_cell(cell)
        cells.append(cell)
        caption = options.get("fig-cap") or options.get("tbl-cap")
        if caption:
            cell.source = "\n".join(line for line in cell.source.split("\n") if not line.startswith("#|"))
            cells.append(new_markdown_cell(f"*{quoted(caption)}*"))
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data.pop("image/svg+xml", None)  # nbconvert would put the drawing without its alternative text
                output.setdefault("metadata", {})["image/png"] = {"alt": options.get("fig-alt", caption or "Figure")}
    notebook.cells = cells
    return notebook


def _index(sources: Mapping[str, Path], staged: Staged) -> str:
    answer, run = staged.variables["answer"], staged.variables["run"]
    parts = [
        "<h1>What was found</h1>",
        _warning(answer["warning"]),
        _html(answer["headline"]),
        _html(answer["setting"]),
        '<p><a href="report.html">The report: every finding beside what was published</a></p>',
        _html(f"Run {run['name']} of {run['date']}, model {run['model']}, code {run['code']}."),
    ]
    for name, study in staged.studies.items():
        pages = [html.escape(page) for page in sources if page.startswith(f"{name}/")]
        links = "".join(f'<li><a href="{page}.html">{page.partition("/")[2]}</a></li>' for page in pages)
        warning = _warning(SYNTHETIC.splitlines()[1] if study.synthetic else "")
        parts.append(f"<h2>{html.escape(study.title)}</h2>{warning}{_html(quoted(study.about))}<ul>{links}</ul>")
    return "\n".join(parts)


def _warning(text: str) -> str:
    return f'<div class="warning">{_html(text)}</div>' if text else ""


def _html(markdown: str) -> str:
    return str(markdown2html_mistune(markdown))


def _page(title: str, body: str, foot: str) -> str:
    # A wide table scrolls by itself, not the page, and can be reached without a mouse.
    opened = '<div class="wide" tabindex="0" role="region" aria-label="Table"><table'
    body = body.replace("<table", opened).replace("</table>", "</table></div>")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n<footer>{_html(foot)}</footer>\n"
        "</body>\n</html>\n"
    )
