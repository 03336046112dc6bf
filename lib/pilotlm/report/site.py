"""The website and the paper of a run: what Quarto reads is put under ``results/shown``, then Quarto renders it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pilotlm.errors import InputError
from pilotlm.records import is_packed, project_folder, results_folder, whole_folder, write_csv, write_text
from pilotlm.report.labels import study_label
from pilotlm.report.notebooks import Shown, markdown_html, notebook_html, stage_notebook, write_html
from pilotlm.report.pages import SHOWN, SYNTHETIC, Staged, navigation, parts_of_pages, study_page
from pilotlm.report.runs import provenance, read_decisions, read_manifest, read_metrics, studies_of_run
from pilotlm.report.sentences import findings_of_figures, variables
from pilotlm.report.thirty import thirty_in_words, thirty_page, ways_in_words
from pilotlm.report.verdicts import verdicts
from pilotlm.report.wording import quoted, slug, unquoted
from pilotlm.study import Study, load_study

STAMP = "_run.txt"
"""The file of what was staged that says of which run it is."""
ELSEWHERE = {
    "benchmarks": ("benchmarks/page.md", "make bench"),
    "known-truth": ("truth/page.md", "make truth"),
    "rectified-truth": ("truth/rectified.md", "make truth"),
}
"""Parts of pages that come from no run: their file in the project, and what writes it."""


def render(run: str, studies: Sequence[str]) -> str:
    """Render the website and the paper of a run, or plain HTML pages where Quarto cannot be had.

    An `InputError` is raised where a part of the run is missing, or Quarto fails; without ``studies`` all are shown.
    """
    names = studies_of_run(run, list(studies))
    folder = results_folder() / run
    (folder / "rendered.txt").unlink(missing_ok=True)
    staged = stage(run, names)
    quarto = find_or_install_quarto()
    if quarto is None:
        where = _plain_pages(folder, staged)
    else:
        renew_reference()
        where = run_quarto(quarto, folder / "quarto.log")
    message = f"{headline_of(staged.variables)}\n{where}"
    write_text(folder / "rendered.txt", f"{message}\n")
    return message


def headline_of(values: Mapping[str, Any]) -> str:
    """What a run found as a line of plain text: the headline of its pages, after what must be known before it."""
    answer = values["answer"]
    return unquoted(" ".join(part for part in (answer["warning"], answer["headline"]) if part))


def stage_for_quarto(run: str, anew: bool) -> str:
    """Put a run, else `newest_run`, where Quarto reads it; what is there already stays unless ``anew``."""
    run = run or newest_run()
    shown = project_folder() / SHOWN / STAMP
    if anew or not shown.is_file() or shown.read_text(encoding="utf-8") != _stamp(run):
        stage(run, studies_of_run(run, []))
    renew_reference()
    return run


def newest_run() -> str:
    """The finished run that ended last, else the packed reference run, else an `InputError`."""
    folders = [path.parent for path in results_folder().glob("*/report.ipynb")]
    finished = [folder for folder in folders if (folder / "manifest.json").is_file()]
    if not finished:
        raise InputError(f"There is no finished run in {results_folder()}; `make paper` makes one.")
    return max(finished, key=lambda f: (not is_packed(f), str(read_manifest(f.name)["finished"]))).name


def _stamp(run: str) -> str:
    return f"{run} {read_manifest(run)['finished']}\n"


def stage(run: str, names: Sequence[str]) -> Staged:
    """Put everything that Quarto reads under ``results/shown`` of the project, whole, and write ``_variables.yml``.

    Where a part of the run is missing, an `InputError` is raised, and what was there before is left as it was.
    """
    studies = {name: load_study(name) for name in names}
    metrics, manifest = read_metrics(results_folder() / run), read_manifest(run)
    metrics, decisions = metrics[metrics["study"].isin(names)], read_decisions(run, names)
    values = {
        **variables(metrics, manifest, studies, decisions),
        "thirty": {"finding": thirty_in_words(), "ways": ways_in_words()},
    }
    with whole_folder(project_folder() / SHOWN) as folder:
        notebooks = {name: _stage_study(run, name, study, folder) for name, study in studies.items()}
        source, said = results_folder() / run / "report.ipynb", findings_of_figures(values)
        report = stage_notebook(source, folder / "report.ipynb", "", "", folder / "pictures", said)
        staged = Staged(studies, notebooks, report, verdicts(metrics, studies), values, provenance(manifest), decisions)
        made = {
            **parts_of_pages(staged),
            **{f"{name}/index.qmd": study_page(staged, name) for name in names},
            **{f"_{name}.qmd": _written_elsewhere(*where) for name, where in ELSEWHERE.items()},
            "_thirty.qmd": thirty_page(folder),
            "_navigation.yml": _yaml(navigation(staged)),
        }
        for path, text in made.items():
            write_text(folder / path, text)
        write_csv(folder / "metrics.csv", metrics)
        write_text(folder / STAMP, _stamp(run))
    write_text(project_folder() / "_variables.yml", _yaml(values))
    return staged


def _written_elsewhere(name: str, command: str) -> str:
    path = project_folder() / name
    return path.read_text(encoding="utf-8") if path.is_file() else f"Not run here yet: `{command}` writes this part.\n"


def _yaml(content: Mapping[str, object]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)


def _stage_study(run: str, name: str, study: Study, folder: Path) -> list[Shown]:
    shown = []
    for path in executed_notebooks(run, name):
        about = ", ".join([study_label(study), *_variant(path)])
        shown.append(stage_notebook(path, folder / name / path.name, slug(name), about, folder / "pictures"))
    return shown


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


def _plain_pages(folder: Path, staged: Staged) -> str:
    """The notebooks of a run as plain HTML, and ``index.html``, which links them."""
    sources = {"report": folder / "report.ipynb"}
    for name in staged.studies:
        sources |= {f"{name}/{path.stem}": path for path in executed_notebooks(folder.name, name)}
    with whole_folder(folder / "html") as pages:
        for name, path in sources.items():
            back = f'<p><a href="{"../" * name.count("/")}index.html">All pages of this run</a></p>'
            body = back + notebook_html(path, with_code=name != "report")
            write_html(pages / f"{name}.html", name, body, staged.provenance)
        title = f"pilotlm: {staged.variables['run']['name']}"
        write_html(pages / "index.html", title, markdown_html(_start_page(sources, staged)), staged.provenance)
    return (
        f"The pages begin at {_shown_path(folder / 'html' / 'index.html')}. They are plain, because Quarto is not here "
        f"and could not be installed; with Quarto on PATH, `quarto render` makes website and paper."
    )


def _start_page(sources: Mapping[str, Path], staged: Staged) -> str:
    answer, run = staged.variables["answer"], staged.variables["run"]
    parts = [
        "# What was found",
        f"> {answer['warning']}" if answer["warning"] else "",
        answer["headline"],
        answer["setting"],
        "[The report: every finding beside what was published](report.html)",
        f"Run {run['name']} of {run['date']}, model {run['model']}, code {run['code']}.",
    ]
    for name, study in staged.studies.items():
        pages = [page for page in sources if page.startswith(f"{name}/")]
        links = "\n".join(f"- [{page.partition('/')[2]}]({page}.html)" for page in pages)
        note = f"> {SYNTHETIC}" if study.synthetic else ""
        parts += [f"## {quoted(study.title)}", note, quoted(study.about), links]
    return "\n\n".join(part for part in parts if part)


def renew_reference() -> None:
    """Have the reference of the library written, where the library is newer than it: that takes some seconds."""
    folder, library = project_folder() / "docs" / "reference", Path(__file__).resolve().parents[1]
    made = folder / "index.qmd"
    if not made.is_file() or made.stat().st_mtime < max(path.stat().st_mtime for path in library.rglob("*.py")):
        from pilotlm.report.api_reference import write_reference  # quartodoc takes seconds to import

        write_reference(folder)


def _shown_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


NO_INSTALL = "PILOTLM_NO_QUARTO_INSTALL"
"""Set to anything, this environment variable forbids to install Quarto."""
STAGED = "PILOTLM_STAGED"
"""This environment variable tells Quarto's pre-render script that nothing is left to stage."""
PATIENCE = 60.0
"""Seconds that installing Quarto may take."""
_COMPLAINTS = ("WARN", "Unable to resolve", "?var:", "?@")
"""What Quarto says, and the last three what a page shows, where something is wrong."""


def find_quarto() -> str | None:
    """The path of Quarto, from PATH or from the running environment; None where there is none."""
    return shutil.which("quarto") or shutil.which("quarto", path=sysconfig.get_path("scripts"))


def find_or_install_quarto() -> str | None:
    """Find Quarto, or try once per environment to install it; None where that fails, too.

    A failed try is remembered by a file in the environment, so that the next run does not wait again.
    """
    found = find_quarto()
    tried = Path(sys.prefix) / ".pilotlm-quarto-failed"
    if found or os.environ.get(NO_INSTALL) or tried.exists() or not os.access(sys.prefix, os.W_OK):
        return found
    if _pip("install", "--no-input", "quarto-cli") and (found := find_quarto()):
        return found
    _pip("uninstall", "--yes", "quarto-cli")
    write_text(tried, "Installing Quarto failed here. Remove this file to have it tried again.\n")
    return None


def run_quarto(quarto: str, log: Path) -> str:
    """Render the website and the paper of the project; says where they are, and how often Quarto warned.

    Where Quarto fails, the message of the `InputError` has what it said.
    """
    # The run is staged already: see paper/stage.py.
    environment = {**os.environ, "NO_COLOR": "1", STAGED: "1"}
    done = subprocess.run([quarto, "render"], cwd=project_folder(), capture_output=True, text=True, env=environment)
    output = done.stdout + done.stderr
    write_text(log, output)
    if done.returncode:
        raise InputError(f"quarto render failed: {_said(output)} (all of its output: {log})")
    site = project_folder() / "_site"
    complaints = sum(any(word in line for word in _COMPLAINTS) for line in output.splitlines())
    for page in site.rglob("*.html"):
        complaints += sum(mark in page.read_text(encoding="utf-8") for mark in _COMPLAINTS[1:])
    paper = ", ".join(_shown_path(path) for path in sorted((site / "paper").glob("index.*")))
    warned = f" Quarto warned {complaints} times, see {_shown_path(log)}." if complaints else ""
    return f"The website is {_shown_path(site / 'index.html')}, the paper {paper}.{warned}"


def _said(output: str) -> str:
    """The error that Quarto names, without the trace of its own program; else the last lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.strip().startswith("at ")]
    lines = [line for line in lines if line != "Stack trace:"]
    first = next((k for k, line in enumerate(lines) if line.upper().startswith("ERROR")), max(0, len(lines) - 3))
    return " ".join(lines[first : first + 3]) or "it said nothing"


def _pip(*words: str) -> bool:
    """Run pip, quietly and for `PATIENCE` seconds at most."""
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *words]
    nowhere = subprocess.DEVNULL
    try:
        subprocess.run(command, timeout=PATIENCE, check=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    except subprocess.SubprocessError:
        return False
    return True
