"""The graph and the notebooks, run for real in a copy of the project: what runs again, what a failure leaves."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from pilotlm.arms import BASELINES, load_arms
from pilotlm.reference import changed_files

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "lib", "notebooks", "config", "data", "paper", "index.qmd", "_quarto.yml", "docs")
TARGET = "results/smoke/framing/responses/logit_all_25-s1.parquet"

pytestmark = pytest.mark.slow


def environment(project: Path) -> dict[str, str]:
    drop = {"PILOTLM_RESULTS", "PILOTLM_HOME", "PYTHONPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    bin_folder = str(Path(sys.executable).parent)
    return kept | {
        "PYTHONPATH": str(project / "lib"),
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PILOTLM_HOME": str(project),
    }


def run(project: Path, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder or project, env=environment(project), capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


def snakemake(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(project, "snakemake", *words, "--cores", "1", "--config", "profile=smoke")


def planned(project: Path) -> set[str]:
    """The rules that a run would execute."""
    done = snakemake(project, TARGET, "--dry-run", "--quiet", "progress", "host")
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    return {line.split()[1].rstrip(":") for line in text.splitlines() if line.startswith("rule ")}


def copy_project(folder: Path) -> Path:
    """A copy of what a run needs of the project."""
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif source.is_file():
            shutil.copy(source, folder / part)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path)


def test_only_what_depends_on_a_change_runs_again(project):
    done = snakemake(project, TARGET)
    assert done.returncode == 0, done.stderr
    assert planned(project) == set()

    arms = project / "config" / "arms.yml"
    arms.write_text(arms.read_text().replace("Base model", "The base model"))
    for name in ("lib/pilotlm/stats/coherence.py", "data/anes96/study.yml"):
        (project / name).write_text(f"{(project / name).read_text()}\n# changed\n")
    assert planned(project) == set(), "nothing that the baselines use has changed"

    for name, expected in {
        "lib/pilotlm/baselines/fit.py": {"baselines_all_25"},
        "notebooks/04-baselines.ipynb": {"baselines_all_25"},
        "data/framing/study.yml": {"prepare", "baselines_all_25"},
    }.items():
        path = project / name
        before = path.read_text()
        path.write_text(before.replace("\n", "\n\n", 1) if path.suffix == ".ipynb" else f"{before}\n# changed\n")
        assert planned(project) == expected, name
        path.write_text(before)

    profile = project / "config" / "smoke.yml"
    profile.write_text(profile.read_text().replace("simulated: 60", "simulated: 50"))
    assert planned(project) == {"baselines_all_25"}


def test_a_failed_node_leaves_a_notebook_with_the_error_and_no_table(project):
    study = project / "data" / "framing" / "study.yml"
    study.write_text(study.read_text().replace("sha256: a17d", "sha256: b17d"))
    shown = run(project, "pilotlm", "run", "smoke")
    step = r"^This step failed: prepare framing; .* is \S+failed-01-prepare\.ipynb\.$"
    assert shown.returncode == 1 and re.search(step, shown.stderr, re.MULTILINE), shown.stderr
    assert "what is finished is kept" in shown.stderr.splitlines()[-1]
    assert not re.search("jobid|RuleException|WorkflowError|Select jobs", shown.stderr)
    folder = project / "results" / "smoke" / "framing"
    failed = nbformat.read(folder / "notebooks" / "failed-01-prepare.ipynb", as_version=4)
    assert any(o.output_type == "error" for c in failed.cells if c.cell_type == "code" for o in c.outputs)
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {"failed-01-prepare.ipynb"}


def test_an_unknown_profile_is_one_sentence(project):
    done = run(project, "snakemake", "--cores", "1", "--dry-run", "--config", "profile=quik")
    assert done.returncode != 0
    assert "There is no profile 'quik'; did you mean 'quick'? Allowed:" in done.stderr + done.stdout


NOTEBOOKS = {
    "01-prepare": {},
    "02-finetune": {"model": "tiny-random", "arm": "tuned_one_25", "epochs": 1, "least_steps": 1},
    "03-simulate": {"model": "tiny-random", "arm": "tuned_one_25", "simulated": 40},
    "04-baselines": {"pilot": "one_25"},
    "05-heterogeneity": {"repeats": 20},
    "08-coherence": {"repeats": 20},
}
"""The other analyses begin and end as these do; each runs in `make smoke`."""


def papermill(project: Path, name: str, folder: Path, **parameters: object) -> subprocess.CompletedProcess[str]:
    words = [word for key, value in parameters.items() for word in ("-p", key, str(value))]
    source = str(project / "notebooks" / f"{name}.ipynb")
    return run(project, "papermill", source, str(folder / f"{name}.ipynb"), *words, folder=folder)


def test_notebooks_run_by_themselves_from_another_folder(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name, parameters in NOTEBOOKS.items():
        done = papermill(project, name, elsewhere, study="framing", **parameters)
        assert done.returncode == 0, f"{name}: {done.stderr[-2000:]}"
    measures = project / "results" / "scratch" / "framing" / "measures"
    metrics = pd.concat([pd.read_csv(measures / f"{name}.csv") for name in ("heterogeneity", "coherence")])
    human = metrics[metrics["arm"] == "human"].set_index("metric")["human"]
    assert human["unique_structures"] == 83
    assert round(100 * human["gap"], 1) == 36.2
    assert set(metrics["arm"]) == {"human", "tuned_one_25", *(f"{baseline}_one_25" for baseline in BASELINES)}


def test_an_analysis_of_nothing_shows_the_baselines_and_says_so(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = papermill(project, "08-coherence", elsewhere, study="anes96", repeats=20)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Nothing has been simulated under this run yet" in (elsewhere / "08-coherence.ipynb").read_text()
    table = pd.read_csv(project / "results" / "scratch" / "anes96" / "measures" / "coherence.csv")
    assert round(100 * table.set_index("metric")["human"]["gap"].iloc[0], 1) == 12.4


def test_in_a_fresh_clone_a_notebook_shows_the_reference_run(project, tmp_path_factory):
    elsewhere, reference = tmp_path_factory.mktemp("elsewhere"), project / "results" / "reference"
    shutil.copytree(ROOT / "results" / "reference", reference)
    for name, parameters in (("14-report", {}), ("08-coherence", {"study": "anes96", "repeats": 20})):
        done = papermill(project, name, elsewhere, **parameters)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "so this page shows the reference run" in (elsewhere / f"{name}.ipynb").read_text()
    assert not changed_files(reference), "a packed run is only read"
    assert not (project / "results" / "scratch" / "metrics.csv").exists()
    ours = pd.read_csv(project / "results" / "scratch" / "anes96" / "measures" / "coherence.csv")
    packed = pd.read_csv(reference / "anes96" / "measures" / "coherence.csv")
    assert set(ours["arm"]) == set(packed["arm"]) and set(ours["seed"]) == set(packed["seed"])
    models = [arm for arm in packed["arm"].unique() if arm == "human" or load_arms().arm(arm).is_model]
    keys, kept = ["arm", "seed", "metric", "item"], packed[packed["arm"].isin(models) & (packed["metric"] == "gap")]
    both = kept.merge(ours, on=keys, suffixes=("_packed", ""))
    assert len(both) == len(kept) > 3
    pd.testing.assert_series_equal(both["estimate"], both["estimate_packed"], check_names=False)


@pytest.mark.parametrize(
    ("name", "parameters", "sentence"),
    [
        ("03-simulate", {"sead": 2}, "The stage 'simulate' has no parameter 'sead'; did you mean 'seed'?"),
        ("03-simulate", {"arm": "tuned_all_25"}, "has no adapter for seed 1"),
    ],
)
def test_a_wrong_parameter_ends_in_a_sentence_before_a_model_is_loaded(
    project, tmp_path_factory, name, parameters, sentence
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    # A model that does not exist: had it been asked for, the sentence would be about it.
    done = papermill(project, name, elsewhere, model="nowhere", **parameters)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "nowhere" not in done.stderr.split("InputError")[-1]


def sixty_people(path: Path) -> None:
    rng = np.random.default_rng(1)
    trust = rng.integers(0, 7, 60)
    pd.DataFrame({
        "age": rng.integers(18, 80, 60), "sex": rng.choice(["woman", "man"], 60), "arm": ["control", "message"] * 30,
        "trust": trust, "donate": (rng.random(60) < trust / 6).astype(int),
    }).to_csv(path, index=False)  # fmt: skip


def await_a_node(folder: Path, running: subprocess.Popen[str]) -> None:
    since = time.monotonic()
    while not list(folder.glob("notebooks/0[234]*.ipynb")) and running.poll() is None:
        assert time.monotonic() - since < 400
        time.sleep(0.1)


def test_one_command_leads_from_a_study_to_its_decision_page(project):
    """Of few people, with a name that YAML and Snakemake read as a number, and in spite of a kill."""
    profile = (project / "config" / "smoke.yml").read_text()
    arms = "[base, tuned_one_25, tuned_all_25, pooled_all_25, base_free]"
    assert arms in profile
    (project / "config" / "small.yml").write_text(profile.replace(arms, "[base, tuned_all_25]"))
    sixty_people(project / "any.csv")
    roles = ["--action", "donate", "--beliefs", "trust", "--persona", "age,sex", "--treatment", "arm"]
    assert run(project, "pilotlm.cli", "new-study", "1e3", "--data", "any.csv", *roles).returncode == 0

    decide = ("pilotlm.cli", "decide", "1e3", "--profile", "small", "--cores", "2")
    folder = project / "results" / "small-1e3" / "1e3"
    running = subprocess.Popen(
        [sys.executable, "-m", *decide], cwd=project, env=environment(project), start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    await_a_node(folder, running)
    # A page that comes later may be finished and not yet recorded when the kill arrives, and is then made again.
    finished = list(folder.glob("notebooks/0*.ipynb"))
    twice = run(project, *decide)
    assert twice.returncode == 1 and "Another process is making" in twice.stderr and twice.stderr.count("\n") == 1
    # What was started may outlive what started it: then it still is another process.
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert "Another process is making" in run(project, *decide).stderr
    # Snakemake has by now touched what it recorded.
    before = {path: path.stat().st_mtime_ns for path in finished}
    os.killpg(running.pid, signal.SIGKILL)

    done = run(project, *decide)
    assert done.returncode == 0, done.stderr[-2000:]
    again = {path.name for path, since in before.items() if path.stat().st_mtime_ns != since}
    assert before and not again, f"the same was done twice: {again}"
    page = folder / "decision.html"
    assert done.stdout.splitlines()[-1] == f"The decision page: {page}"
    text = page.read_text(encoding="utf-8")
    for said in ("What was benchmarked", "What would change it", "Each target", "tiny-random"):
        assert said in text
    verdicts = ("are not shown to be safe", "would mislead")
    assert any(f"do not use: simulated answers {said}.</strong>" in text for said in verdicts)
    assert (
        text.index("Fine-tuned, 25 % of all: ")
        < text.index("How often this verdict is wrong")
        < text.index("They are applied to each arm")
    )
    assert "from pilotlm" not in text

    unknown = run(project, "pilotlm.cli", "decide", "1e4", "--profile", "small")
    assert unknown.returncode == 1 and "there is no study '1e4'; did you mean '1e3'?" in unknown.stderr
