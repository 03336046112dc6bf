"""Studies of few people: every analysis notebook runs to its end, or one sentence refuses before a model is loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.display import Markdown

from pilotlm.arms import load_arms
from pilotlm.baselines.fit import baselines
from pilotlm.data.draft import Roles, draft_study
from pilotlm.data.sources import load_people
from pilotlm.errors import InputError
from pilotlm.graph import decide_study, refuse_too_few_people
from pilotlm.predictions import write_predictions
from pilotlm.profile import load_profile
from pilotlm.records import Places, read_json
from pilotlm.report.decision_page import NOT_SCORED
from pilotlm.report.tables import NOTHING, markdown
from pilotlm.responses import SMALLEST_GROUP, as_responses, write_responses
from pilotlm.stages import ANALYSES
from pilotlm.study import load_study

CHECKOUT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {path.stem.partition("-")[2]: path for path in (CHECKOUT / "notebooks").glob("*.ipynb")}
ARMS = ("base", "tuned_all_25", "pooled_all_25")
SEVERAL = "three rows a person, weighted"


def few_people(n: int, treatments: int, kind: str) -> pd.DataFrame:
    """Complete rows: somebody's age and sex, a treatment, how much they trust (0 to 6), and whether they donate."""
    rng = np.random.default_rng(n)
    group = np.arange(n) % treatments
    if kind == "one person a treatment":
        group = np.where(np.arange(n) < treatments, np.arange(n), 0)
    trust = np.clip(np.round(2 + group + rng.normal(0, 1.2, n)), 0, 6).astype(int)
    donates = rng.random(n) < 1 / (1 + np.exp(2 - trust))
    people = pd.DataFrame({
        "age": rng.integers(18, 80, n), "sex": rng.choice(["woman", "man"], n),
        "arm": np.array(["control", "message", "photo"])[group], "trust": trust, "donate": donates.astype(int),
    })  # fmt: skip
    if kind != SEVERAL:
        return people
    # Each of three times as many rows has an answer of its own.
    rows = people.assign(who=[f"p{k}" for k in range(n)], w=rng.uniform(0.2, 3, n)).loc[np.repeat(people.index, 3)]
    rows["donate"] = (rng.random(3 * n) < 0.3 + 0.4 * rows["donate"]).astype(int)
    return rows.sample(frac=1, random_state=1)


def draft(project: Path, name: str, table: pd.DataFrame, kind: str) -> None:
    """A study of one's own; constant answers are written into its file afterwards, as its people gave them."""
    table.to_csv(project / "mine.csv", index=False)
    treatment = "arm" if len(set(table["arm"])) > 1 else None
    path = draft_study(name, project / "mine.csv", Roles("donate", ("trust",), ("age", "sex"), treatment))
    if kind == SEVERAL:
        rule = "coherence: {kind: threshold, belief: trust, at_least: 3, action: donate, acts: 1}"
        keys = f"participant: who\nweight: w\n{rule}\n"
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{keys}", encoding="utf-8")
    if kind == "constant answers":
        table.assign(trust=3, donate=1).to_csv(project / "data" / name / f"{name}.csv", index=False)


def answer(name: str) -> None:
    """People, the responses of the arms of profile ``decide`` and of the baselines, as a run would leave them."""
    study, places, arms = load_study(name), Places("run", name), load_arms()
    people = load_people(study).table
    write_responses(places.people, study, people)
    fitted = baselines(study, people, arms, "all_25", 1)
    for one in fitted:
        write_responses(places.responses(one.arm.name, 1), study, one.responses)
        if one.predictions is not None:
            write_predictions(places.predictions(one.arm.name, 1), study, one.predictions)
    logit = next(one for one in fitted if one.arm.answerer == "logit")
    held_out = people[people["participant"].isin(logit.responses["participant"])].reset_index(drop=True)
    for seed, arm in enumerate(ARMS):
        # Models are played by the held-out people in another order, and by the logit.
        rows = held_out.iloc[np.random.default_rng(seed).permutation(len(held_out))][list(study.answer_columns)]
        played = as_responses(study, held_out, rows.reset_index(drop=True), arm, 1, pd.Series(False, held_out.index))
        write_responses(places.responses(arm, 1), study, played)


def execute(stage: str, **parameters: Any) -> list[Any]:
    """Run a notebook's cells here, where all is imported already; what each shows."""
    cells = [c for c in nbformat.read(NOTEBOOKS[stage], as_version=4).cells if c.cell_type == "code"]
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in cells:
        tree = ast.parse(cell.source)
        last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
        exec(compile(tree, stage, "exec"), names)
        if "parameters" in cell.metadata.get("tags", []):
            names |= parameters
        if last is not None:
            shown.append(eval(compile(last, stage, "eval"), names))
    return shown


def text_of(shown: list[Any]) -> str:
    return "\n".join(str(one.data) for one in shown if isinstance(one, Markdown))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "treatments", "kind"),
    [(24, 1, "plain"), (30, 3, "plain"), (60, 2, "plain"), (40, 2, "constant answers"),
     (80, 3, "one person a treatment"), (84, 2, SEVERAL)],
)  # fmt: skip
def test_every_analysis_of_a_small_study_runs_to_its_end(project: Path, n: int, treatments: int, kind: str) -> None:
    draft(project, "few", few_people(n, treatments, kind), kind)
    answer("few")
    settings = {"run": "run", "study": "few", "repeats": 20}
    pages = {stage: text_of(execute(stage, **settings)) for stage in (*ANALYSES, "decision")}
    if kind == SEVERAL:
        assert all(f"{3 * n} rows are of {n} people (column 'who')" in page for page in pages.values())
        assert all("weighted by 'w'" in page for page in pages.values())
        numbers = pd.concat([pd.read_csv(Places("run", "few").measures(stage)) for stage in ANALYSES])
        of_people = numbers[~numbers["metric"].str.match("estimator|wrongly") & (numbers["against"] == "held-out")]
        assert of_people["n"].max() <= n - n // 4
    record = read_json(Places("run", "few").decision, "the test")
    held_out = next(iter(record["arms"].values()))["seeds"]["1"]["asked"] if record["arms"] else 0
    assert (held_out >= SMALLEST_GROUP) == (n > 24)
    if held_out < SMALLEST_GROUP:
        assert "No arm can be judged" in pages["decision"] and "at least 20 held-out" in pages["decision"]
        assert all("fewer than 20 held-out participants" in pages[stage] for stage in ("divergence", "decision"))
        return
    assert "not shown to be safe" in pages["decision"] or "would mislead" in pages["decision"]
    scored = held_out >= 60 and kind != "constant answers"
    assert (NOT_SCORED in pages["decision"]) == ("Not scored" in pages["rectification"]) == (not scored)


def test_the_decision_page_says_who_is_dropped_and_what_is_not_named(project: Path) -> None:
    table = few_people(40, 2, SEVERAL).rename(columns={"who": "person", "w": "weight"}).astype({"trust": object})
    table.iloc[:2, table.columns.get_loc("trust")] = ""
    table.to_csv(project / "mine.csv", index=False)
    path = draft_study("few", project / "mine.csv", Roles("donate", ("trust",), ("age", "sex"), "arm"))
    path.write_text(path.read_text(encoding="utf-8").replace("\nparticipant: person", "\n"), encoding="utf-8")
    execute("prepare", run="run", study="few")
    answer("few")
    page = text_of(execute("decision", run="run", study="few", repeats=20))
    assert "Of 120 rows read some are dropped because a value is missing: 'trust' in 2." in page
    assert "'person' looks like the id of people with several rows each" in page
    assert "'weight' looks like a survey weight and is not used: all numbers are of the sample" in page


@pytest.mark.parametrize("n", [8, 12, 20, 26])
def test_too_few_people_are_refused_before_a_model_is_loaded(project: Path, n: int) -> None:
    draft(project, "few", few_people(n, 2, "plain"), "plain")
    with pytest.raises(InputError) as caught:
        decide_study("few", "decide", 1)
    said = str(caught.value)
    assert "study 'few'" in said and "held out" in said
    assert "\n" not in said and not list(project.glob("results*")) and not (project / ".snakemake").exists()
    # The number of people that is named is enough.
    if "people in all" in said:
        enough = int(said.split("ask about ")[1].split()[0])
        draft(project, "more", few_people(enough + 1, 2, "plain"), "plain")
        refuse_too_few_people(load_profile("decide", "more"), "more")


def test_mistakes_of_decide_are_found_before_torch_is_imported(project: Path) -> None:
    draft(project, "few", few_people(12, 2, "plain"), "plain")
    code = "import sys; from pilotlm.cli import main; main(['decide', 'few']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.startswith("pilotlm: study 'few'") and done.stderr.count("\n") == 1


def test_a_table_without_rows_is_a_sentence() -> None:
    for table in (pd.DataFrame(), pd.DataFrame(columns=["a", "b"])):
        assert markdown(table).data == NOTHING and markdown(table, "None.").data == "None."
