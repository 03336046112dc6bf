"""The executed report and notebooks as plain HTML pages, for a machine without Quarto; they call no other host."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path

from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from pilotlm.records import Places, write_text
from pilotlm.showing.benchmark_figures import write_pictures
from pilotlm.showing.benchmark_page import benchmark_page, beside
from pilotlm.showing.notebooks import options_of_cell, read_notebook
from pilotlm.showing.provenance import study_provenance
from pilotlm.showing.quoting import quoted
from pilotlm.showing.rectified_page import read_rectified, rectified_page
from pilotlm.showing.staged import SYNTHETIC, Staged
from pilotlm.showing.truth_page import read_truth, truth_page

_STYLE = """
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
a { color: #00517d; } h1, h2, h3 { line-height: 1.25; } img { max-width: 100%; height: auto; }
pre { background: #f5f5f5; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
.wide { overflow-x: auto; } a, p code, li code { overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: left; vertical-align: top; }
.warning { border-left: 4px solid #d55e00; background: #fdf1ea; padding: .4rem .8rem; }
.anchor-link { display: none; } em { color: #444; }
footer { border-top: 1px solid #ddd; margin-top: 2rem; font-size: .85rem; color: #444; overflow-wrap: anywhere; }
"""


def write_pages(
    folder: Path, sources: dict[str, Path], staged: Staged, more: Mapping[str, tuple[str, str]] | None = None
) -> Path:
    """Write the report and every notebook as HTML, with a page that links them.

    Parameters
    ----------
    folder : Path
        Where; it should be empty.
    sources : dict
        The page's path without ending, such as "framing/05-heterogeneity", and its executed notebook.
    staged : Staged
        What the pages say of the run.
    more : mapping, optional
        Further pages: a file's name without ending, then the page's title and its HTML.

    Returns
    -------
    Path
        The page to start from.
    """
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    for name, path in sources.items():
        exporter.exclude_input = name == "report"
        body, _ = exporter.from_notebook_node(_captioned(read_notebook(path)))
        up = "../" * name.count("/")
        write_text(
            folder / f"{name}.html",
            _page(name, f'<p><a href="{up}index.html">All pages of this run</a></p>{body}', staged.provenance),
        )
    pages = {
        **(more or {}),
        "benchmarks": ("Benchmarks", markdown_html(benchmark_page(staged.benchmarks, beside))),
        "known-truth": ("Known truth", _known_truth()),
    }
    for name, (title, text) in pages.items():
        body = f'<p><a href="index.html">All pages of this run</a></p><h1>{html.escape(title)}</h1>{text}'
        write_text(folder / f"{name}.html", _page(title, body, staged.provenance))
    write_pictures(staged.benchmarks, folder)
    start = folder / "index.html"
    titles = {name: title for name, (title, _) in pages.items()}
    write_text(
        start, _page(f"pilotlm: {staged.variables['run']['name']}", _index(sources, staged, titles), staged.provenance)
    )
    return start


def _known_truth() -> str:
    rectified = f"<h2>Rectified inference</h2>{markdown_html(rectified_page(read_rectified()))}"
    return markdown_html(truth_page(read_truth())) + rectified


def write_page(notebook: Path, page: Path) -> None:
    """Write one executed notebook as an HTML page of its own, without its code.

    Parameters
    ----------
    notebook : Path
        The executed notebook.
    page : Path
        The HTML file.

    Raises
    ------
    InputError
        If the notebook cannot be read.
    """
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.exclude_input = True
    body, _ = exporter.from_notebook_node(_captioned(read_notebook(notebook)))
    study = notebook.parent.parent
    title = f"{study.name}: {notebook.stem.partition('-')[2]}"
    write_text(page, _page(title, body, study_provenance(Places(study.parent.name, study.name))))


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


def _index(sources: dict[str, Path], staged: Staged, titles: Mapping[str, str]) -> str:
    answer, run = staged.variables["answer"], staged.variables["run"]
    warning = f'<p class="warning">{_inline(answer["warning"])}</p>' if answer["warning"] else ""
    parts = [
        f"<h1>What was found</h1>{warning}",
        markdown_html(f"{answer['headline']} {answer['counted']}"),
        '<p><a href="report.html">The report: every finding beside what was published</a></p>',
        *(f'<p><a href="{name}.html">{html.escape(title)}</a></p>' for name, title in titles.items()),
        markdown_html(f"Run {run['name']} of {run['date']}, model {run['model']}, code {run['code']}."),
    ]
    for name, study in staged.studies.items():
        mark = f'<p class="warning">{html.escape(SYNTHETIC.splitlines()[1])}</p>' if study.synthetic else ""
        pages = [page for page in sources if page.startswith(f"{name}/")]
        links = "".join(
            f'<li><a href="{html.escape(p)}.html">{html.escape(p.partition("/")[2])}</a></li>' for p in pages
        )
        parts.append(f"<h2>{html.escape(study.title)}</h2>{mark}<p>{html.escape(study.about)}</p><ul>{links}</ul>")
    return "\n".join(parts)


def _page(title: str, body: str, foot: str) -> str:
    # A wide table scrolls by itself, not the page, and can be reached without a mouse.
    opened = '<div class="wide" tabindex="0" role="region" aria-label="Table"><table'
    body = body.replace("<table", opened).replace("</table>", "</table></div>")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<footer>{markdown_html(foot)}</footer>\n</body>\n</html>\n"
    )


def markdown_html(text: str) -> str:
    """Markdown as HTML."""
    return str(markdown2html_mistune(text))


def _inline(text: str) -> str:
    return markdown_html(text).strip().removeprefix("<p>").removesuffix("</p>")
