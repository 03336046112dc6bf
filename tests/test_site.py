"""The website: what is staged is inert, whole or not there, and calls no other host."""

import base64
import html
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_report import ANALYSIS_OF, MANIFEST, metrics

from pilotlm.errors import InputError
from pilotlm.records import write_csv, write_json
from pilotlm.report import site
from pilotlm.report.api_reference import rooms, write_reference
from pilotlm.report.notebooks import options_of_cell, stage_notebook
from pilotlm.report.site import headline_of, newest_run, render, stage
from pilotlm.report.wording import card_html, quoted, quoted_lines, slug, unquoted, without_shortcodes
from pilotlm.stages import ANALYSES

ROOT = Path(__file__).resolve().parents[1]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"><path d="M 10 10 L 80 50" stroke="black"/></svg>'
)
HOSTILE = (
    "Bad {{< include /etc/passwd >}} <script>alert(1)</script> a | b **x** @doe $y$ ![i](http://evil.example/p.png)"
)
NUMBER = {analysis: f"{k:02d}" for k, analysis in enumerate(ANALYSES, 5)}


def shown_cell(label, kind, value):
    caption = "fig-cap" if label.startswith("fig") else "tbl-cap"
    source = f'#| label: {label}\n#| {caption}: "A caption."\n#| fig-alt: "What it shows."\nshow()'
    drawn = {"image/svg+xml": DRAWING} if kind == "image/png" else {}
    output = new_output("display_data", data={kind: value, **drawn, "text/plain": "shown"})
    return new_code_cell(source, execution_count=1, outputs=[output])


def write_notebook(path, title, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_markdown_cell(f"# {title}\n\nText."), *cells], metadata=kernel), path)


def write_run(folder):
    """A run of the study framing whose report has been made."""
    table = metrics()
    notebooks = folder / "framing" / "notebooks"
    grid = "| a | b |\n|:--|--:|\n| x | 1 |"
    write_notebook(notebooks / "01-prepare.ipynb", "Prepare", shown_cell("tbl-people", "text/markdown", grid))
    for analysis in ANALYSES:
        mine = table[table["metric"].map(ANALYSIS_OF) == analysis]
        write_csv(folder / "framing" / "measures" / f"{analysis}.csv", mine)
        figure = shown_cell(f"fig-{analysis}", "image/png", PIXEL)
        cells = [figure, shown_cell(f"tbl-{analysis}", "text/markdown", grid)]
        write_notebook(notebooks / f"{NUMBER[analysis]}-{analysis}.ipynb", f"About {analysis}", *cells)
    write_notebook(notebooks / "failed-05-heterogeneity.ipynb", "Failed")
    overview = [shown_cell("fig-distance", "image/png", PIXEL), shown_cell("tbl-distance", "text/markdown", grid)]
    write_notebook(folder / "report.ipynb", "Report", *overview)
    write_csv(folder / "metrics.csv", table)
    write_json(folder / "manifest.json", MANIFEST)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project with a run, apart from the checkout."""
    folder = tmp_path / "home"
    for name in ("config", "paper", "docs", "data/framing", "_quarto.yml", "index.qmd"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    monkeypatch.setenv("PILOTLM_HOME", str(folder))
    monkeypatch.setenv("PILOTLM_RESULTS", str(folder / "results"))
    write_run(folder / "results" / "made")
    return folder


@pytest.fixture
def hostile(home):
    """The same, where the study's texts try everything."""
    path = home / "data" / "framing" / "study.yml"
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key in ("title", "label", "about", "citation", "licence", "rights", "instructions"):
        study[key] = f"{HOSTILE} {key}"
    study["treatments"][0] |= {"label": HOSTILE, "scenario": HOSTILE}
    study["questions"][0] |= {"label": HOSTILE, "text": HOSTILE}
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    (home / "data" / "framing" / "card.md").write_text(f"# x\n\n{HOSTILE}\n\n```{{python}}\n1\n```\n", encoding="utf-8")
    return home


def test_quoted_text_is_only_text():
    shown = quoted(HOSTILE)
    assert "<" not in shown.replace("\\<", "") and "|" not in shown.replace("\\|", "")
    assert "{{" not in shown and "@" not in shown.replace("\\@", "") and "\n" not in quoted("a\nb")
    assert unquoted(shown) == HOSTILE
    assert quoted_lines("# a\n\n- b") == "> \\# a\\\n> \\\n> \\- b"
    broken = without_shortcodes("`{{< include x >}}` {{{< y >}}}")
    assert "{{" not in broken and "}}" not in broken


def test_a_card_keeps_its_shape_and_can_do_nothing():
    text = (
        "# Title\n\n## Part\nOne `code` and **bold\nword** [link](https://a.example/b_c) [other](../x.md)\n"
        "- item\n  goes on\n\n| a | b |\n|---|---|\n| `x` | <b> |\n\n![p](https://a.example/p.png) [j](javascript:x)\n"
        "\n```{python}\nimport os\n```\n::: {.hidden} {{< include x >}}\n"
    )
    shown = card_html(text)
    assert "Title" not in shown and "<h3>Part</h3>" in shown and "<li>item" in shown
    assert (
        "<code>code</code>" in shown and "<strong>bold" in shown and '<a href="https://a.example/b_c">link</a>' in shown
    )
    assert "<td><code>x</code></td>" in shown and "&lt;b&gt;" in shown and "{{" not in shown
    assert not re.search(r"<img|<b>|x\.md|javascript|p\.png", shown)


@pytest.mark.parametrize("study", ["framing", "anes96", "hunt2025", "hunt2025-synthetic", "loomba2021"])
def test_shipped_cards_lose_no_word(study):
    text = (ROOT / "data" / study / "card.md").read_text(encoding="utf-8").split("\n", 1)[1]
    shown = html.unescape(re.sub(r"<[^>]+>", "", card_html(f"# x\n{text}")))
    letters = [re.sub(r"[\W_]", "", re.sub(r"\]\([^)]*\)", "", one)) for one in (text, shown)]
    assert letters[0] == letters[1]


def test_labels_are_told_apart_by_study(tmp_path):
    grid = "| a |\n|---|\n| x |"
    cells = [shown_cell("fig-a", "image/png", PIXEL), shown_cell("tbl-b", "text/markdown", grid)]
    cells += [shown_cell("fig-none", "text/markdown", "Nothing."), new_markdown_cell("See @fig-a, @fig-ab and @tbl-b.")]
    write_notebook(tmp_path / "05-x.ipynb", "The title", *cells)
    out, said = tmp_path / "out" / "05-x.ipynb", {"fig-a": 'It is "so".'}
    shown = stage_notebook(tmp_path / "05-x.ipynb", out, slug("My.Study"), "My.Study", tmp_path / "pictures", said)
    notebook = nbformat.read(out, as_version=4)
    assert set(shown.figures) == {"fig-a"} and set(shown.tables) == {"tbl-b"} and shown.part("fig-none") == ""
    alt = r'fig-alt="What it shows. It is \"so\"."'
    assert shown.part("fig-a") == f"![A caption.](/results/shown/pictures/fig-a-my-study.svg){{#fig-a-my-study {alt}}}"
    assert shown.part("tbl-b") == f"{grid}\n\n: A caption. {{#tbl-b-my-study}}"
    labels = [options_of_cell(cell).get("label") for cell in notebook.cells if cell.cell_type == "code"]
    assert labels == ["fig-a-my-study", "tbl-b-my-study", None]
    assert notebook.cells[-1].source == "See @fig-a-my-study, @fig-ab and @tbl-b-my-study."
    assert "The title" in notebook.cells[0].source and notebook.cells[1].source == "Text."


def test_a_progress_bar_is_not_shown(tmp_path):
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "bar"}
    bar = new_code_cell("run()", outputs=[new_output("display_data", data=widget)])
    write_notebook(tmp_path / "a.ipynb", "T", bar, shown_cell("fig-a", "image/png", PIXEL))
    stage_notebook(tmp_path / "a.ipynb", tmp_path / "b.ipynb", "", "", tmp_path)
    assert "widget" not in (tmp_path / "b.ipynb").read_text(encoding="utf-8")


def test_a_notebook_without_outputs_is_refused(tmp_path):
    write_notebook(tmp_path / "a.ipynb", "T", new_code_cell("1"))
    with pytest.raises(InputError, match="no output"):
        stage_notebook(tmp_path / "a.ipynb", tmp_path / "b.ipynb", "", "", tmp_path)


@pytest.fixture
def staged(home):
    """What is staged of the run: file name, then text."""
    stage("made", ["framing"])
    return staged_text(home)


def staged_text(home):
    shown = home / "results" / "shown"
    paths = [path for path in sorted(shown.rglob("*.*")) if path.suffix != ".png"]
    return {path.relative_to(shown).as_posix(): path.read_text(encoding="utf-8") for path in paths}


PAGES = ("index.qmd", "paper/index.qmd", "paper/supplement.qmd",
         *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.qmd"))))  # fmt: skip


def test_everything_that_the_pages_include_and_show_is_staged(home, staged):
    files, texts = staged, [(home / page).read_text(encoding="utf-8") for page in PAGES]
    included = {name for text in texts for name in re.findall(r"include (?:\.\./)?results/shown/(\S+)", text)}
    assert included <= set(files) and {"_tbl-distance.qmd", "_supplement.qmd", "_rules.qmd"} <= included
    parts = {name for name in files if name.startswith("_") and name.endswith(".qmd")}
    assert parts == included, "what no page includes need not be made"
    drawn = {name for text in files.values() for name in re.findall(r"\]\(/results/shown/pictures/(\S+)\)", text)}
    assert drawn == {"fig-distance.svg", *(f"fig-{analysis}-framing.svg" for analysis in ANALYSES)}
    # Each figure is there as a drawing, and as a picture for Word.
    pictures = {path.name: path for path in (home / "results" / "shown" / "pictures").iterdir()}
    assert set(pictures) == drawn | {name.replace(".svg", ".png") for name in drawn}
    assert pictures["fig-distance.png"].read_bytes() == base64.b64decode(PIXEL)
    assert "failed-05-heterogeneity.ipynb" not in " ".join(files)
    assert files["metrics.csv"] == (home / "results" / "made" / "metrics.csv").read_text(encoding="utf-8")


def test_every_figure_and_table_that_the_paper_speaks_of_is_there_in_any_run(home, staged):
    """Where a run lacks one, a block says so under its label, so that no reference is left open."""
    files, paper = staged, (home / "paper" / "index.qmd").read_text(encoding="utf-8")
    of_report = [label for label in re.findall(r"@((?:fig|tbl)-\w+)", paper) if f"_{label}.qmd" in files]
    assert len(of_report) >= 12
    for label in of_report:
        assert f"#{label}" in files[f"_{label}.qmd"] and f"_{label}.qmd" in paper
    figures, tables = ({name for name in re.findall(rf"({kind}-\w+)\.qmd", paper)} for kind in ("fig", "tbl"))
    assert len(figures) <= 8 and len(tables) + paper.count("{#tbl-") <= 8


def test_every_variable_that_the_pages_use_is_written(home, staged):
    values = yaml.safe_load((home / "_variables.yml").read_text(encoding="utf-8"))
    pages = "".join((home / page).read_text(encoding="utf-8") for page in PAGES)
    for name in re.findall(r"\{\{< var (\S+) >\}\}", pages):
        found = values
        for part in name.split("."):
            found = found[part]
        assert isinstance(found, str)


def test_the_navigation_leads_to_pages_that_are_rendered_and_studies_have_plain_names(home, staged):
    left = yaml.safe_load(staged["_navigation.yml"])["website"]["navbar"]["left"]
    assert [entry["text"] for entry in left] == ["Answer", "Paper", "Studies", "Your data", "Reproduce", "Reference"]
    entries = [one for entry in left for one in entry.get("menu", [entry]) if "href" in one]
    assert "Immigration news" in [one["text"] for one in entries]
    made = ("docs/reference/index.qmd", "paper/index.pdf", "paper/supplement.pdf")
    for one in entries:
        assert one["href"] in made or (home / one["href"]).is_file(), one


def test_every_page_ends_with_how_its_numbers_came_to_be(home, without_quarto):
    render("made", ["framing"])
    said = ["Run made of 2030-01-02", "code 0123456789ab", "model a-model, revision r1", "framing fedcba987654"]
    footer = yaml.safe_load(staged_text(home)["_navigation.yml"])["website"]["page-footer"]["left"]
    assert all(words in unquoted(footer) for words in said)
    for page in (home / "results" / "made" / "html").rglob("*.html"):
        text = page.read_text(encoding="utf-8").partition("<footer>")[2]
        assert all(words in text for words in said), page


def test_the_replication_readme_says_what_the_studies_say(home, staged):
    study = yaml.safe_load((home / "data" / "framing" / "study.yml").read_text(encoding="utf-8"))
    statements = unquoted(staged["_data-statements.qmd"])
    assert study["source"]["sha256"] in statements and study["licence"] in statements and study["rights"] in statements


def test_every_public_function_is_in_the_reference_and_nothing_in_it_is_a_shortcode(tmp_path):
    write_reference(tmp_path)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.qmd")}
    assert set(pages) == {*rooms(), "index"}
    for room, modules in rooms().items():
        assert f"({room}.qmd)" in pages["index"] and "{{<" not in pages[room]
        for module in modules:
            source = (ROOT / "lib" / "pilotlm" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
            for name in re.findall(r"^(?:def|class) ([a-zA-Z]\w*)", source, re.MULTILINE):
                assert f"#pilotlm.{module}.{name} }}" in pages[room], f"{module}.{name}"


@pytest.fixture(autouse=True)
def without_reference(monkeypatch):
    """Quartodoc takes seconds; a test of its own has it run."""
    monkeypatch.setattr(site, "renew_reference", lambda: None)


def test_the_same_run_is_staged_to_the_same_bytes(home, staged):
    values = (home / "_variables.yml").read_bytes()
    stage("made", ["framing"])
    assert staged_text(home) == staged and (home / "_variables.yml").read_bytes() == values


def test_a_hostile_study_stays_text(hostile):
    stage("made", ["framing"])
    for name, text in staged_text(hostile).items():
        if name.endswith((".qmd", ".yml")):
            assert "<script>" not in text.replace("\\<script\\>", ""), name
            others = re.sub(r"^!\[A caption\.\]\(/results/shown/pictures/[\w-]+\.svg\)", "", text, flags=re.MULTILINE)
            assert "{{< include" not in text and not re.search(r"(?<!\\)!\[", others), name
            assert "```{python}" not in text, name
    assert "\\<script\\>" in staged_text(hostile)["framing/index.qmd"]
    assert "engine: markdown" in staged_text(hostile)["framing/index.qmd"]


def test_a_synthetic_study_says_so_wherever_it_is_shown(home):
    path = home / "data" / "framing" / "study.yml"
    path.write_text(path.read_text(encoding="utf-8") + "\nsynthetic: true\n", encoding="utf-8")
    stage("made", ["framing"])
    files = staged_text(home)
    for name in ("_supplement.qmd", "_sources.qmd", "_warning.qmd", "_navigation.yml", "framing/index.qmd"):
        assert "ynthetic" in files[name], name
    assert all("synthetic" in text for name, text in files.items() if name.startswith("framing/") and "ipynb" in name)


def test_a_study_without_rule_groups_and_regressions_can_be_shown(home):
    path = home / "data" / "framing" / "study.yml"
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(
        yaml.safe_dump({k: v for k, v in study.items() if k not in ("coherence", "subgroups", "regressions")})
    )
    table = metrics(arms=["base"], without=["gap", "subgroup_distance", "sign_f1", "false_positive_rate"])
    write_csv(home / "results" / "made" / "metrics.csv", table)
    for analysis in ("subgroups", "coherence", "regression"):
        notebook = home / "results" / "made" / "framing" / "notebooks" / f"{NUMBER[analysis]}-{analysis}.ipynb"
        write_notebook(notebook, analysis, shown_cell(f"fig-{analysis}", "text/markdown", "There is none."))
    stage("made", ["framing"])
    page = staged_text(home)["framing/index.qmd"]
    coherence = page.partition("### Belief-action coherence")[2].partition("###")[0]
    assert "not testable here" in coherence and "pictures" not in coherence


def test_nothing_is_left_behind_when_staging_fails(home, staged):
    (home / "results" / "made" / "report.ipynb").unlink()
    with pytest.raises(InputError, match=r"report\.ipynb is missing"):
        render("made", ["framing"])
    assert staged_text(home) == staged
    assert not (home / "results" / "made" / "rendered.txt").exists()
    assert not [path for path in (home / "results").iterdir() if path.name.startswith(".")]


def test_an_unknown_study_is_named(home):
    with pytest.raises(InputError, match="'farming'"):
        render("made", ["farming"])


@pytest.fixture
def without_quarto(monkeypatch):
    monkeypatch.setattr(site, "find_or_install_quarto", lambda: None)


def test_without_quarto_the_notebooks_become_pages(home, without_quarto):
    message = render("made", ["framing"])
    pages = home / "results" / "made" / "html"
    found, where = message.splitlines()
    assert found == headline_of(yaml.safe_load((home / "_variables.yml").read_text(encoding="utf-8")))
    assert "index.html" in where
    assert (home / "results" / "made" / "rendered.txt").read_text(encoding="utf-8") == f"{message}\n"
    start = (pages / "index.html").read_text(encoding="utf-8")
    for link in re.findall(r'href="([^"#]+)"', start):
        assert (pages / link).is_file(), link
    assert "News framing" in start and "framing/05-heterogeneity.html" in start
    page = (pages / "framing" / "05-heterogeneity.html").read_text(encoding="utf-8")
    assert "A caption." in page and 'alt="What it shows."' in page


def test_plain_pages_call_no_other_host(hostile, without_quarto):
    render("made", ["framing"])
    for page in (hostile / "results" / "made" / "html").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text, page
        assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//|@import|url\(", text), page


def test_installing_can_be_forbidden_and_is_not_tried_twice(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(site, "find_quarto", lambda: None)
    monkeypatch.setattr(site, "_pip", lambda *words: tried.append(words[0]))
    monkeypatch.setattr(site.sys, "prefix", str(tmp_path))
    monkeypatch.setenv(site.NO_INSTALL, "1")
    assert site.find_or_install_quarto() is None and tried == []
    monkeypatch.delenv(site.NO_INSTALL)
    assert site.find_or_install_quarto() is None and site.find_or_install_quarto() is None
    assert tried == ["install", "uninstall"]


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_failure_of_quarto_is_one_sentence(home, tmp_path):
    failing = program(tmp_path / "quarto", "echo 'ERROR: No such page'; echo 'Stack trace:'; echo '   at x'; exit 3")
    with pytest.raises(InputError, match="No such page") as raised:
        site.run_quarto(failing, home / "log")
    assert "at x" not in str(raised.value) and "Stack trace" in (home / "log").read_text()


def test_warnings_of_quarto_are_counted(home, tmp_path):
    (home / "_site" / "paper").mkdir(parents=True)
    (home / "_site" / "index.html").write_text("?var:run.name")
    warning = program(tmp_path / "quarto", "echo 'WARNING: Unable to resolve crossref @fig-x' >&2")
    assert "Quarto warned 2 times" in site.run_quarto(warning, home / "log")


def test_a_finding_is_plain_text():
    headline = quoted("It is 50 % [5, 6] *nearer* in `x_y`.")
    assert headline_of({"answer": {"headline": headline, "warning": ""}}) == "It is 50 % [5, 6] *nearer* in `x_y`."
    assert headline_of({"answer": {"headline": headline, "warning": "Made up."}}).startswith("Made up. It is 50 %")


def finish(folder, day, packed=False):
    write_json(folder / "manifest.json", MANIFEST | {"finished": f"2030-01-{day:02d}T00:00:00+00:00"})
    for name in ("report.ipynb", *(["packed.json"] if packed else [])):
        (folder / name).touch()


def test_the_newest_finished_run_is_shown_else_the_reference_run(tmp_path):
    results = tmp_path / "results"
    with pytest.raises(InputError, match=r"no finished run in .*; `make paper` makes one"):
        newest_run()
    finish(results / "reference", 30, packed=True)
    assert newest_run() == "reference"
    finish(results / "old", 1)
    finish(results / "new", 3)
    finish(results / "middle", 2)
    finish(results / "unfinished", 4)
    (results / "unfinished" / "report.ipynb").unlink()
    assert newest_run() == "new"


def run_stage_script(home, *options, **environment):
    """Run Quarto's pre-render script as Quarto does."""
    drop = ("PILOTLM_HOME", "PILOTLM_RESULTS", "QUARTO_PROJECT_RENDER_ALL")
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    command = [sys.executable, *options, "paper/stage.py"]
    return subprocess.run(command, cwd=home, env=kept | environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_quarto_stages_a_run_itself_and_again_only_where_all_is_rendered(home):
    shown = home / "results" / "shown"
    for environment, anew in (({}, True), ({}, False), ({"QUARTO_PROJECT_RENDER_ALL": "1"}, True)):
        before = shown.stat().st_ino if shown.exists() else None
        done = run_stage_script(home, **environment)
        assert (done.returncode, done.stdout) == (0, "The pages show the run 'made'.\n"), done.stderr
        assert (shown.stat().st_ino != before) == anew
    assert yaml.safe_load((home / "_variables.yml").read_text(encoding="utf-8"))["run"]["name"] == "made"

    shutil.copytree(home / "results" / "made", home / "results" / "other")
    done = run_stage_script(home, PILOTLM_RUN="other")
    assert done.stdout == "The pages show the run 'other'.\n"
    assert (shown / "_run.txt").read_text(encoding="utf-8").startswith("other ")

    shutil.rmtree(home / "results")
    done = run_stage_script(home)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "`make paper` makes one" in done.stderr


def test_what_pilotlm_has_staged_is_not_staged_again(home, tmp_path):
    site.run_quarto(program(tmp_path / "quarto", f"{sys.executable} paper/stage.py && mkdir _site"), home / "log")
    assert (home / "_site").is_dir() and not (home / "results" / "shown").exists()


def test_without_the_library_one_sentence_says_what_to_do(home, tmp_path):
    bare = ("-I", "-S")  # no library is found
    done = run_stage_script(home, *bare)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "run `make paper` once" in done.stderr
    (home / ".venv" / "bin").mkdir(parents=True)
    program(home / ".venv" / "bin" / "python", 'echo "with .venv: $@"')
    done = run_stage_script(home, *bare)
    assert (done.returncode, done.stdout) == (0, "with .venv: paper/stage.py\n")


needs_quarto = pytest.mark.skipif(shutil.which("quarto") is None, reason="quarto is not on PATH")


def visible(path):
    return re.sub(r"<[^>]+>", "", re.sub(r"<script.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL))


@pytest.mark.quarto
@needs_quarto
def test_quarto_renders_a_hostile_study_as_text(hostile):
    (hostile / "docs" / "reference").mkdir(parents=True, exist_ok=True)
    (hostile / "docs" / "reference" / "index.qmd").write_text("# Library\n", encoding="utf-8")
    message = render("made", ["framing"])
    assert "warned" not in message
    pages = sorted((hostile / "_site").rglob("*.html"))
    assert len(pages) >= 10 and (hostile / "_site" / "paper" / "index.pdf").stat().st_size > 10_000
    with zipfile.ZipFile(hostile / "_site" / "paper" / "index.docx") as document:
        media = [name for name in document.namelist() if name.startswith("word/media/")]
    assert media and all(name.endswith(".png") for name in media)
    drawn = re.search(r'<img src="([^"]+fig-distance[^"]+)"', (hostile / "_site" / "paper" / "index.html").read_text())
    assert drawn and drawn[1].endswith(".svg")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "alert(1)</script>" not in text, page
        assert not re.search(r"(?:<script[^>]*src|<link[^>]*href|<img[^>]*src)=\"(?:https?:)?//", text), page
        assert "root:x:0" not in text and "?var:" not in text and "?@" not in text, page
    paper = visible(hostile / "_site" / "paper" / "index.html")
    assert "Published, and found here" in paper and "nan" not in paper.split()
    styles = "".join(path.read_text(encoding="utf-8") for path in (hostile / "_site").rglob("*.css"))
    assert not re.search(r"@import[^;]*//", styles)


@pytest.mark.quarto
@needs_quarto
def test_a_changed_number_changes_the_paper(home):
    render("made", ["framing"])
    assert "the base model 0.09" in visible(home / "_site" / "paper" / "index.html")
    table = metrics([(["base"], "unique_structures", "beliefs", {"estimate": 37})])
    write_csv(home / "results" / "made" / "metrics.csv", table)
    render("made", ["framing"])
    paper = visible(home / "_site" / "paper" / "index.html")
    assert "the base model 0.67" in paper


@pytest.mark.quarto
@needs_quarto
@pytest.mark.parametrize("words", [["paper/index.qmd", "--to", "typst"], []])
def test_quarto_renders_by_itself_where_nothing_is_staged(home, words):
    assert not (home / "results" / "shown").exists()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PILOTLM_")}
    command, environment = ["quarto", "render", *words], kept | {"QUARTO_PYTHON": sys.executable}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "_site" / "paper" / "index.pdf").stat().st_size > 10_000
    page = home / "_site" / "results" / "shown" / "framing" / "05-heterogeneity.html"
    assert words or "About heterogeneity" in visible(page)


def test_a_checkout_below_build_is_no_part_of_the_site() -> None:
    """`.ci/run` puts one there; Quarto takes a pattern for files at any depth, and stops at includes it lacks."""
    listed = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["project"]["render"]
    assert "!build/" in listed
