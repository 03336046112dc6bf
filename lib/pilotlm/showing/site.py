"""The website and the paper of a run: what Quarto reads is put under ``results/shown``, then Quarto renders it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.records import (
    Places,
    is_packed,
    project_folder,
    read_json,
    results_folder,
    whole_file,
    whole_folder,
    write_text,
)
from pilotlm.showing.benchmark_figures import write_pictures
from pilotlm.showing.benchmark_page import benchmark_page, on_site
from pilotlm.showing.benchmarks import read_results, results_file
from pilotlm.showing.chooser import chooser_page
from pilotlm.showing.exhibits import exhibit_list, exhibits_page, on_plain_page, sources_of
from pilotlm.showing.exhibits import on_site as cell_on_site
from pilotlm.showing.fallback import markdown_html, write_pages
from pilotlm.showing.notebooks import Shown, pictures_of, stage_notebook
from pilotlm.showing.pages import navigation, study_page
from pilotlm.showing.parts import parts_of_paper
from pilotlm.showing.provenance import provenance
from pilotlm.showing.quarto import Rendering, find_or_install_quarto, run_quarto
from pilotlm.showing.quoting import slug
from pilotlm.showing.rectified_page import read_rectified, rectified_page
from pilotlm.showing.reference import reference_pages
from pilotlm.showing.replication import data_statements, running_times, seeds, software
from pilotlm.showing.report import read_manifest, read_metrics
from pilotlm.showing.runs import studies_of_run
from pilotlm.showing.sentences import variables
from pilotlm.showing.staged import SHOWN, Staged
from pilotlm.showing.truth_page import read_truth, truth_page
from pilotlm.showing.verdicts import verdicts
from pilotlm.study import Study, load_study

STAMP = "_run.txt"
"""The file of what was staged that says of which run it is."""


def render(run: str, studies: Sequence[str] = ()) -> str:
    """Render the website and the paper of a run, or plain HTML pages where Quarto cannot be had.

    Parameters
    ----------
    run : str
        A folder under ``results`` whose report has been made.
    studies : sequence of str
        The studies to show, in order; all of the run when empty.

    Returns
    -------
    str
        Two lines: what was found, and where the pages are; also written to ``results/<run>/rendered.txt``.

    Raises
    ------
    InputError
        If a part of the run is missing, or Quarto fails.
    """
    names = studies_of_run(run, list(studies))
    folder = results_folder() / run
    (folder / "rendered.txt").unlink(missing_ok=True)
    staged = stage(run, names)
    _write_picture(folder)
    quarto = find_or_install_quarto()
    if quarto is None:
        where = _plain_pages(folder, staged)
    else:
        where = _where(run_quarto(quarto, folder / "quarto.log"), folder / "quarto.log")
    message = f"{finding(staged.variables)}\n{where}"
    write_text(folder / "rendered.txt", f"{message}\n")
    return message


def finding(values: Mapping[str, Any]) -> str:
    """What a run found as a line of plain text: the headline of its pages, after what must be known before it."""
    answer = values["answer"]
    text = " ".join(part for part in (answer["warning"], answer["headline"]) if part)
    return re.sub(r"\\(.)", r"\1", text).replace("\u2060", "")


def stage_for_quarto(run: str = "", anew: bool = True) -> str:
    """Put a run where Quarto reads it.

    Parameters
    ----------
    run : str
        Which; the newest finished one under ``results`` when empty, else the packed reference run.
    anew : bool
        False leaves everything as it is where that run is there already: a preview would render again what is written.

    Returns
    -------
    str
        The run.

    Raises
    ------
    InputError
        If there is no finished run, or a part of it is missing.
    """
    run = run or newest_run()
    shown = project_folder() / SHOWN / STAMP
    if anew or not shown.is_file() or shown.read_text(encoding="utf-8") != _stamp(run):
        stage(run, studies_of_run(run, []))
    return run


def newest_run() -> str:
    """The finished run that ended last, else the packed reference run.

    Raises
    ------
    InputError
        If there is neither.
    """
    folders = [path.parent for path in results_folder().glob("*/report.ipynb")]
    finished = [f for f in folders if (f / "metrics.csv").is_file() and (f / "manifest.json").is_file()]
    if not finished:
        raise InputError(f"There is no finished run in {results_folder()}; `make paper` makes one.")
    return max(finished, key=lambda f: (not is_packed(f), str(read_manifest(f.name)["finished"]))).name


def _stamp(run: str) -> str:
    return f"{run} {read_manifest(run)['finished']}\n"


def stage(run: str, names: Sequence[str]) -> Staged:
    """Put everything that Quarto reads under ``results/shown`` of the project, whole, and write ``_variables.yml``.

    Parameters
    ----------
    run : str
        A folder under ``results`` whose report has been made.
    names : sequence of str
        The studies to show, in order.

    Returns
    -------
    Staged
        What was put there.

    Raises
    ------
    InputError
        If a part of the run is missing; what was there before is then left as it was.
    """
    studies = {name: load_study(name) for name in names}
    metrics, manifest = read_metrics(run), read_manifest(run)
    metrics = metrics[metrics["study"].isin(names)]
    values = variables(metrics, manifest, studies)
    with whole_folder(project_folder() / SHOWN) as folder:
        notebooks = {name: _stage_study(run, name, study, folder) for name, study in studies.items()}
        report = stage_notebook(results_folder() / run / "report.ipynb", folder / "report.ipynb", "", "")
        benchmarks = read_results(results_file())
        decisions = _decisions(run, names)
        staged = Staged(
            studies, notebooks, report, verdicts(metrics, studies), values, benchmarks, provenance(manifest), decisions
        )
        _write_generated(folder, staged)
        _keep_pictures(folder)
        for name, text in _about_the_run(run, staged, metrics, manifest).items():
            write_text(folder / name, text)
        write_text(folder / STAMP, _stamp(run))
    write_text(project_folder() / "_variables.yml", _yaml(values))
    return staged


def _decisions(run: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    paths = {name: Places(run, name).decision for name in names}
    made_by = "the notebook 13-decision.ipynb"
    return {name: read_json(path, made_by) for name, path in paths.items() if path.is_file()}


def _stage_study(run: str, name: str, study: Study, folder: Path) -> list[Shown]:
    kind = f"{name}, synthetic" if study.synthetic and "synthetic" not in name else name
    return [
        stage_notebook(path, folder / name / path.name, slug(name), ", ".join([kind, *_variant(path)]))
        for path in executed_notebooks(run, name)
    ]


def executed_notebooks(run: str, study: str) -> list[Path]:
    """The executed notebooks of a study, in the order of the story; those that failed are left out."""
    found = sorted((results_folder() / run / study / "notebooks").glob("[0-9]*.ipynb"))
    if not found:
        raise InputError(f"The run '{run}' has no executed notebooks of '{study}'; `make paper` makes them.")
    return found


def _variant(path: Path) -> list[str]:
    """The arm or pilot and the seed in a notebook's name, such as ``base, seed 1``."""
    _, _, rest = path.stem.partition("-")[2].partition("-")
    arm, dash, seed = rest.rpartition("-s")
    return [arm, f"seed {seed}"] if dash else []


def _write_generated(folder: Path, staged: Staged) -> None:
    for name, text in parts_of_paper(staged).items():
        write_text(folder / name, text)
    write_text(folder / "_benchmarks.qmd", benchmark_page(staged.benchmarks, on_site))
    write_pictures(staged.benchmarks, folder)
    write_text(folder / "_known-truth.qmd", truth_page(read_truth()))
    write_text(folder / "_rectified-truth.qmd", rectified_page(read_rectified()))
    for name in staged.studies:
        write_text(folder / name / "index.qmd", study_page(staged, name))
    write_text(folder / "_navigation.yml", _yaml(navigation(staged)))


def _about_the_run(run: str, staged: Staged, metrics: pd.DataFrame, manifest: Mapping[str, Any]) -> dict[str, str]:
    """The parts that say where figures, data and numbers come from: file name, then Markdown."""
    parts, sources = parts_of_paper(staged), sources_of(run, staged, metrics)
    chooser = chooser_page(metrics, staged.studies, load_arms())
    return {
        "_exhibits.qmd": exhibits_page(run, sources, parts, cell_on_site),
        "_exhibit-list.qmd": exhibit_list(staged, sources, parts),
        "_compare.qmd": f"```{{=html}}\n{chooser}\n```\n",
        "_data-statements.qmd": data_statements(),
        "_software.qmd": software(manifest),
        "_seeds.qmd": seeds(run),
        "_times.qmd": running_times(run),
        **reference_pages(),
    }


def _yaml(content: Mapping[str, object]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)


def _write_picture(folder: Path) -> None:
    """The figure of the whole run as a file of its own, for a README or a slide."""
    picture = pictures_of(folder / "report.ipynb").get("fig-overview")
    if picture is not None:
        with whole_file(folder / "overview.png") as temporary:
            temporary.write_bytes(picture)


def _keep_pictures(folder: Path) -> None:
    """Every figure that is also kept as a picture, for a format that cannot show a drawing (paper/pictures.lua)."""
    (folder / "pictures").mkdir()
    for path in sorted(folder.rglob("*.ipynb")):
        for label, picture in pictures_of(path).items():
            (folder / "pictures" / f"{label}.png").write_bytes(picture)


def _plain_pages(folder: Path, staged: Staged) -> str:
    run = folder.name
    sources = {"report": folder / "report.ipynb"}
    for name in staged.studies:
        sources |= {f"{name}/{path.stem}": path for path in executed_notebooks(run, name)}
    with whole_folder(folder / "html") as pages:
        write_pages(pages, sources, staged, _more_pages(run, staged))
    return (
        f"The pages begin at {_shown_path(folder / 'html' / 'index.html')}. They are plain, because Quarto is not here "
        f"and could not be installed; with Quarto on PATH, `quarto render` makes website and paper."
    )


def _more_pages(run: str, staged: Staged) -> dict[str, tuple[str, str]]:
    """The plain pages that come from the run's table and its executed notebooks: title and HTML."""
    metrics = read_metrics(run)
    shown = metrics[metrics["study"].isin(list(staged.studies))]
    sources = sources_of(run, staged, shown)
    exhibits = exhibits_page(run, sources, parts_of_paper(staged), on_plain_page)
    return {
        "compare": ("Compare arms", chooser_page(shown, staged.studies, load_arms())),
        "exhibits": ("From figure to file", markdown_html(exhibits)),
    }


def _where(done: Rendering, log: Path) -> str:
    site = _shown_path(done.site / "index.html")
    paper = ", ".join(_shown_path(path) for path in sorted((done.site / "paper").glob("index.*")))
    warned = f" Quarto warned {len(done.complaints)} times, see {_shown_path(log)}." if done.complaints else ""
    return f"The website is {site}, the paper {paper}.{warned}"


def _shown_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
