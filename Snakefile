# The graph of a run: one papermill run a node. `snakemake --config profile=quick -c2`, or `make paper`.
# A node depends on its notebook, its study, the arms, its parameters, and the library modules that its notebook uses.

import os
import shlex
import sys
from functools import cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from pilotlm.arms import load_arms
from pilotlm.graph import module_files, stage_modules
from pilotlm.profile import load_profile
from pilotlm.records import data_folder, is_packed, results_folder
from pilotlm.stages import ANALYSES, STAGES, notebook_of
from pilotlm.study import study_file


def named(name, default):
    """A name from the command line, where Snakemake takes 2024 for a number."""
    value = config.get(name, default)
    if not isinstance(value, str):
        raise WorkflowError(f"--config {name}={value} is no text; write --config '{name}=!!str NAME'.")
    return value


PROFILE_NAME = named("profile", "quick")
RUN = named("run", PROFILE_NAME)
PROFILE = load_profile(PROFILE_NAME, named("study", ""))
ARMS = load_arms()
FOLDER = os.path.relpath(results_folder() / RUN)
MODEL = {"model": PROFILE.model, "revision": PROFILE.revision, "threads": PROFILE.threads}
if is_packed(results_folder() / RUN):
    raise WorkflowError(
        f"{FOLDER} is a packed run, which no run may write to: `make site` shows it, `make reference` makes it anew, "
        "and `pilotlm verify` checks it."
    )


def notebook(stage):
    return str(notebook_of(stage))


def page(stage, whose=""):
    """The executed notebook of a stage; ``whose`` tells apart those that run several times for a study."""
    return f"{FOLDER}/{{study}}/notebooks/{notebook_of(stage).stem}{whose}.ipynb"


def modules(*names):
    return [str(path) for path in module_files(*names)]


# The notebook comes through `params`: a shell command is put together when its node runs, long after the loops below.
EXECUTE = f"{shlex.quote(sys.executable)} -m pilotlm.cli execute {{params.notebook}} {{output.page}} {{params.settings}}"
CODE = {stage: [notebook(stage), *map(str, stage_modules(stage))] for stage in STAGES}


@cache
def specification(study):
    """The study's file, and the one that it extends."""
    path = study_file(study)
    base = yaml.safe_load(path.read_text(encoding="utf-8")).get("extends")
    return [os.path.relpath(path), *([os.path.relpath(study_file(base))] if base else [])]


def inputs(stage):
    return lambda wildcards: [*CODE[stage], *specification(wildcards.study)]


def settings(**parameters):
    """The parameters of a notebook as words; a rule keeps them as a `params` that does not depend on its output,
    because only such a one counts when Snakemake asks whether a node must run again."""
    return shlex.join(f"{name}={value}" for name, value in {"run": RUN, **parameters}.items())


def whom(study):
    """Who is simulated."""
    return {"people": PROFILE.people, "simulated": PROFILE.studies[study].simulated}


def declared(*arms):
    """What config/arms.yml says of some arms and their pilots; the rest of that file does not matter to a node."""
    return repr([(ARMS.arm(name), ARMS.pilot(ARMS.arm(name).pilot)) for name in arms])


def arm_names(study):
    """The language models of a study's run, then the baselines on the same pilot rows."""
    models = PROFILE.studies[study].arms
    return [*models, *(arm.name for pilot in PROFILE.pilots(ARMS, study) for arm in ARMS.baselines_of(pilot))]


def seeds(study):
    return " ".join(map(str, PROFILE.seeds_of(study)))


def of_every_seed(study, folder, names, ending):
    return [f"{FOLDER}/{study}/{folder}/{name}-s{seed}.{ending}" for name in names for seed in PROFILE.seeds_of(study)]


def responses(study):
    return of_every_seed(study, "responses", arm_names(study), "parquet")


def predictions(study):
    """How probable the baselines held each answer. Those of language models come with their responses: not every arm
    has them, and the outputs of a rule cannot depend on its arm."""
    baselines = [arm.name for arm in map(ARMS.arm, arm_names(study)) if arm.has_predictions and not arm.is_model]
    return of_every_seed(study, "predictions", baselines, "parquet")


def cv_losses(study):
    """The records of the baselines, with the cross-validated losses by which the best one is named."""
    stem = notebook_of("baselines").stem
    return of_every_seed(study, "records", [f"{stem}-{pilot}" for pilot in PROFILE.pilots(ARMS, study)], "json")


def measures(_):
    return [f"{FOLDER}/{study}/measures/{analysis}.csv" for study in PROFILE.studies for analysis in ANALYSES]


def nodes(_):
    return [r for study in PROFILE.studies for r in responses(study)]


wildcard_constraints:
    study=r"[A-Za-z0-9._-]+",
    arm=r"[a-z0-9_]+",
    pilot=r"[a-z0-9_]+",
    seed=r"\d+",
    analysis="|".join(ANALYSES),


# The table is named too: Snakemake does not miss what only stands on the way to what is there.
rule all:
    input:
        [f"{FOLDER}/leads.csv"]
        if PROFILE.trials
        else [f"{FOLDER}/metrics.csv", f"{FOLDER}/manifest.json", f"{FOLDER}/rendered.txt"],


def trials(_):
    return [
        f"{FOLDER}/{study}/trials/{pilot}-s{seed}.csv"
        for pilot, seeds in PROFILE.trials.items()
        for study in PROFILE.studies
        for seed in seeds
    ]


# A trial that is there stays, whatever else is newer: a fresh clone goes on from the trials that are kept with the code.
# The smallest pilots first, seed by seed: what is stopped before its end then has all studies at the size that matters most.
rule trial:
    input:
        ancient(CODE["trial"]),
        people=ancient(f"{FOLDER}/{{study}}/people.parquet"),
    output:
        table=f"{FOLDER}/{{study}}/trials/{{pilot}}-s{{seed}}.csv",
        page=page("trial", "-{pilot}-s{seed}"),
    params:
        notebook=notebook("trial"),
        settings=lambda w: settings(
            study=w.study, pilot=w.pilot, seed=w.seed, simulated=PROFILE.studies[w.study].simulated, **MODEL
        ),
        declared=lambda w: repr(ARMS.pilot(w.pilot)),
    priority: lambda w: 1000 - 100 * list(PROFILE.trials).index(w.pilot) - int(w.seed)
    resources:
        **PROFILE.needs_of("finetune"),
    shell:
        EXECUTE


rule ways:
    input:
        ancient(CODE["ways"]),
        people=ancient(f"{FOLDER}/{{study}}/people.parquet"),
    output:
        table=f"{FOLDER}/{{study}}/ways/{{pilot}}-s{{seed}}.csv",
        page=page("ways", "-{pilot}-s{seed}"),
    params:
        notebook=notebook("ways"),
        settings=lambda w: settings(
            study=w.study, pilot=w.pilot, seed=w.seed, simulated=PROFILE.studies[w.study].simulated, **MODEL
        ),
    priority: 500
    resources:
        **PROFILE.needs_of("finetune"),
    shell:
        EXECUTE


rule thirty:
    input:
        CODE["thirty"],
        trials=trials,
        ways=[f"{FOLDER}/{study}/ways/n_60-s{seed}.csv" for study, seeds in PROFILE.ways.items() for seed in seeds],
    output:
        table=f"{FOLDER}/leads.csv",
        page=f"{FOLDER}/thirty.ipynb",
    params:
        notebook=notebook("thirty"),
        settings=settings(),
    shell:
        EXECUTE


rule prepare:
    input:
        inputs("prepare"),
    output:
        table=f"{FOLDER}/{{study}}/people.parquet",
        page=page("prepare"),
    params:
        notebook=notebook("prepare"),
        settings=lambda w: settings(study=w.study),
        declared=repr(ARMS.pilots),
    shell:
        EXECUTE


# Fine-tuning takes longest, so it starts first.
rule finetune:
    input:
        inputs("finetune"),
        people=f"{FOLDER}/{{study}}/people.parquet",
    output:
        card=f"{FOLDER}/{{study}}/adapters/{{arm}}-s{{seed}}/pilotlm.json",
        page=page("finetune", "-{arm}-s{seed}"),
    params:
        notebook=notebook("finetune"),
        settings=lambda w: settings(study=w.study, arm=w.arm, seed=w.seed, **(MODEL | PROFILE.tuning)),
        declared=lambda w: declared(w.arm),
    priority: 10
    resources:
        **PROFILE.needs_of("finetune"),
    shell:
        EXECUTE


def adapter_of(wildcards):
    adapter = ARMS.arm(wildcards.arm).adapter
    return f"{FOLDER}/{wildcards.study}/adapters/{adapter}-s{wildcards.seed}/pilotlm.json" if adapter else []


rule simulate:
    wildcard_constraints:
        arm="|".join(arm.name for arm in ARMS.arms.values() if arm.is_model),
    input:
        inputs("simulate"),
        adapter_of,
        people=f"{FOLDER}/{{study}}/people.parquet",
    output:
        table=f"{FOLDER}/{{study}}/responses/{{arm}}-s{{seed}}.parquet",
        page=page("simulate", "-{arm}-s{seed}"),
    params:
        notebook=notebook("simulate"),
        settings=lambda w: settings(
            study=w.study, arm=w.arm, seed=w.seed, **whom(w.study), **(MODEL | PROFILE.simulating)
        ),
        declared=lambda w: declared(w.arm),
    resources:
        **PROFILE.needs_of("simulate"),
    shell:
        EXECUTE


for pilot in ARMS.pilots:

    rule:
        name:
            f"baselines_{pilot}"
        input:
            inputs("baselines"),
            people=f"{FOLDER}/{{study}}/people.parquet",
        output:
            tables=[f"{FOLDER}/{{study}}/responses/{arm.name}-s{{seed}}.parquet" for arm in ARMS.baselines_of(pilot)],
            predictions=[
                f"{FOLDER}/{{study}}/predictions/{arm.name}-s{{seed}}.parquet"
                for arm in ARMS.baselines_of(pilot)
                if arm.has_predictions
            ],
            record=f"{FOLDER}/{{study}}/records/{notebook_of('baselines').stem}-{pilot}-s{{seed}}.json",
            page=page("baselines", f"-{pilot}-s{{seed}}"),
        params:
            notebook=notebook("baselines"),
            settings=lambda w, pilot=pilot: settings(study=w.study, pilot=pilot, seed=w.seed, **whom(w.study)),
            declared=repr(ARMS.pilot(pilot)),
        shell:
            EXECUTE


for analysis in ANALYSES:

    rule:
        name:
            analysis
        input:
            inputs(analysis),
            people=f"{FOLDER}/{{study}}/people.parquet",
            responses=lambda w: responses(w.study),
            predictions=lambda w, analysis=analysis: predictions(w.study) if analysis in ("accuracy", "controls") else [],
            cv_losses=lambda w, analysis=analysis: cv_losses(w.study) if analysis == "accuracy" else [],
        output:
            table=f"{FOLDER}/{{study}}/measures/{analysis}.csv",
            page=page(analysis),
        params:
            notebook=notebook(analysis),
            settings=lambda w: settings(
                study=w.study, arms=" ".join(arm_names(w.study)), seeds=seeds(w.study), against=PROFILE.people,
                repeats=PROFILE.repeats,
            ),
            declared=lambda w: declared(*arm_names(w.study)),
        # The longest of them first, so that it does not run alone at the end.
        priority: 5 if analysis == "rectification" else 0
        shell:
            EXECUTE


rule decision:
    input:
        inputs("decision"),
        people=f"{FOLDER}/{{study}}/people.parquet",
        responses=lambda w: responses(w.study),
        measures=lambda w: [f"{FOLDER}/{w.study}/measures/{name}.csv" for name in ("divergence", "rectification")],
    output:
        decision=f"{FOLDER}/{{study}}/decision.json",
        page=page("decision"),
    params:
        notebook=notebook("decision"),
        settings=lambda w: settings(
            study=w.study, arms=" ".join(arm_names(w.study)), seeds=seeds(w.study), repeats=PROFILE.repeats,
            **PROFILE.deciding,
        ),
        declared=lambda w: declared(*arm_names(w.study)),
    shell:
        EXECUTE


rule decision_page:
    input:
        modules("pilotlm.report.notebooks"),
        page=rules.decision.output.page,
    output:
        f"{FOLDER}/{{study}}/decision.html",
    shell:
        f"{shlex.quote(sys.executable)} -m pilotlm.cli page {{input.page}} {{output}}"


rule report:
    input:
        CODE["report"],
        "paper/published.yml",
        [f for study in PROFILE.studies for f in specification(study)],
        measures=measures,
        decisions=[f"{FOLDER}/{study}/decision.json" for study in PROFILE.studies],
        responses=nodes,
    output:
        metrics=f"{FOLDER}/metrics.csv",
        manifest=f"{FOLDER}/manifest.json",
        page=f"{FOLDER}/report.ipynb",
    params:
        notebook=notebook("report"),
        settings=settings(studies=" ".join(PROFILE.studies)),
        declared=declared(*(arm for study in PROFILE.studies for arm in arm_names(study))),
    shell:
        EXECUTE


rule render:
    input:
        rules.report.output,
        measures,
        ["index.qmd", "_quarto.yml", *map(str, sorted([*Path("paper").glob("*.*"), *Path("docs").glob("*.qmd")]))],
        [str(path) for folder in ("benchmarks", "truth") for path in Path(folder).glob("*.md")],
        [os.path.relpath(data_folder() / study / "card.md") for study in PROFILE.studies],
        modules("pilotlm.report.site"),
    output:
        f"{FOLDER}/rendered.txt",
    shell:
        f"{shlex.quote(sys.executable)} -m pilotlm.cli render {RUN} {' '.join(PROFILE.studies)} > /dev/null"
