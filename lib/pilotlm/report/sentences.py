"""Every number and every sentence of the pages that depends on a run: chosen by the results, never typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pilotlm.report.evidence import PRIMARY, PRIMARY_IN_WORDS
from pilotlm.report.published import FINDING_VERDICTS, NOT_TESTABLE, SHOWN, load_published
from pilotlm.report.runs import seeds_run, simulated_run
from pilotlm.report.verdicts import NO_BASELINE, verdicts
from pilotlm.report.wording import counted, duration, listed, quoted, slug
from pilotlm.responses import HUMAN
from pilotlm.study import Study

RANDOM_WEIGHTS = "tiny-random"
"""The model of `pilotlm.models.loading` for tests; naming it here spares every page the import of torch."""


def variables(metrics: pd.DataFrame, manifest: Mapping[str, Any], studies: Mapping[str, Study]) -> dict[str, Any]:
    """All that the prose of paper and website takes from a run, as nested texts that are safe in Markdown."""
    return {
        "run": _run(manifest, metrics, studies),
        "answer": _answer(verdicts(metrics, studies), studies, manifest, metrics),
        "published": _published(),
        "study": {slug(name): _study(study, manifest) for name, study in studies.items()},
    }


def is_random(manifest: Mapping[str, Any]) -> bool:
    """Whether the run used a model of random weights, so that its numbers mean nothing."""
    return RANDOM_WEIGHTS in str(manifest["model"]["name"])


def warning(manifest: Mapping[str, Any], studies: Mapping[str, Study]) -> str:
    """What a reader must know before any number, as a sentence; empty where there is nothing."""
    if is_random(manifest):
        return (
            "This run used a tiny model of random weights, which tests that everything runs. "
            "None of its numbers says anything about language models."
        )
    if studies and all(study.synthetic for study in studies.values()):
        return "Every study of this run is synthetic: nothing here is evidence about people."
    return ""


def _run(manifest: Mapping[str, Any], metrics: pd.DataFrame, studies: Mapping[str, Study]) -> dict[str, str]:
    where, totals = manifest["environment"], manifest["totals"]
    revision = str(where.get("git_revision") or "unknown")[:12]
    return {
        "name": quoted(manifest["run"]),
        "date": quoted(str(manifest["finished"])[:10]),
        "code": quoted(revision + (", with changes" if where.get("git_dirty") else "")),
        "model": quoted(manifest["model"]["name"]),
        "model_revision": quoted(manifest["model"]["revision"] or "none"),
        "python": quoted(where["python"]),
        "torch": quoted(where["packages"].get("torch") or "unknown"),
        "transformers": quoted(where["packages"].get("transformers") or "unknown"),
        "machine": quoted(f"{where['system']}, {counted(int(where['cores'] or 1), 'core')}"),
        "time": quoted(duration(totals["wall_seconds"])),
        "memory": quoted(f"{totals['peak_memory_mib']} MiB"),
        "nodes": str(totals["nodes"]),
        "seeds": quoted(_seeds(manifest)),
        "studies": quoted(listed([_named(study) for study in studies.values()])),
        "against": _against(metrics),
        "simulated": _simulated(manifest),
        "primary": PRIMARY_IN_WORDS,
    }


def _named(study: Study) -> str:
    return f"{study.name} (synthetic)" if study.synthetic else study.name


def _against(metrics: pd.DataFrame) -> str:
    kinds = set(metrics.loc[metrics["arm"] != HUMAN, "against"].dropna())
    texts = {
        "held-out": "people whose answers no answerer of that arm learnt from",
        "all": "all people, those that an arm learnt from among them, as in the paper",
    }
    return " or with ".join(texts[kind] for kind in sorted(kinds) if kind in texts) or "people"


def _seeds(manifest: Mapping[str, Any]) -> str:
    seeds = [str(seed) for seed in seeds_run(manifest)]
    return f"{counted(len(seeds), 'seed')} ({listed(seeds)})" if seeds else "no seed"


def _simulated(manifest: Mapping[str, Any]) -> str:
    sizes = simulated_run(manifest)
    if not sizes:
        return "no people"
    return f"{sizes[0]} people" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} people"


def _study(study: Study, manifest: Mapping[str, Any]) -> dict[str, str]:
    return {
        "kind": "synthetic" if study.synthetic else "real people",
        "people": str(manifest["studies"].get(study.name, {}).get("participants") or "unknown"),
    }


def _published() -> dict[str, str]:
    paper = load_published().paper
    return {"people": str(paper.people), "treatments": str(paper.treatments), "source": quoted(paper.source)}


def _answer(
    found: pd.DataFrame, studies: Mapping[str, Study], manifest: Mapping[str, Any], metrics: pd.DataFrame
) -> dict[str, str]:
    """The answer in sentences; synthetic studies are not counted unless there is nothing else."""
    real = [name for name, study in studies.items() if not study.synthetic]
    kind = "real" if real else "synthetic"
    rows = found[found["study"].isin(real or list(studies))]
    of_studies = counted(len(real or studies), f"{kind} study", f"{kind} studies")
    return {
        "warning": quoted(warning(manifest, studies)),
        "headline": _headline(rows),
        "others": _others(rows),
        "counted": f"Counted over {of_studies}.",
        "sure": _sure(manifest, metrics),
        "verdicts": f"{_tally(rows['verdict'].tolist())}, in {of_studies}",
    }


def _headline(rows: pd.DataFrame) -> str:
    """One measure and one baseline, both named before any comparison."""
    nearer, ahead = (rows[rows["key"] == key] for key in ("joint_distance", "baselines_distance"))
    if set(nearer["verdict"]) | set(ahead["verdict"]) <= {NOT_TESTABLE}:
        return "This run has no arms to compare."
    text = (
        f"The measure is {PRIMARY_IN_WORDS}. That every fine-tuned arm is nearer to people than the base model is "
        f"{_in_studies(nearer)}."
    )
    if ahead["why"].str.contains(NO_BASELINE, regex=False).all():
        return f"{text} {NO_BASELINE[:-1]}, so no comparison with one is made."
    return (
        f"{text} That every fine-tuned arm is nearer than the best baseline fitted on the same people is "
        f"{_in_studies(ahead)}."
    )


def _others(rows: pd.DataFrame) -> str:
    """The paper's findings on coherence and on regressions, which use other measures."""
    claims = {
        "gap_tuned": "that the fine-tuned model's actions follow its beliefs as people's do",
        "regression": "that even the best fine-tuned model recovers the regressions' signs less well than a fresh draw "
        "of people",
    }
    said = [f"{claim} is {_in_studies(rows[rows['key'] == key])}" for key, claim in claims.items()]
    return f"Of the other findings, {'; '.join(said)}." if len(rows) else ""


def _in_studies(rows: pd.DataFrame) -> str:
    """In how many studies a verdict is which: ``shown in 2 of 4 studies and underpowered in 2``."""
    given = rows["verdict"].tolist()
    if len(set(given)) == 1:
        return f"{given[0]} in {'the one study' if len(given) == 1 else f'all {len(given)} studies'}"
    others = [
        f"{verdict} in {given.count(verdict)}" for verdict in FINDING_VERDICTS if verdict != SHOWN and verdict in given
    ]
    return listed([f"{SHOWN} in {given.count(SHOWN) or 'none'} of {len(given)} studies", *others])


def _sure(manifest: Mapping[str, Any], metrics: pd.DataFrame) -> str:
    seeds = seeds_run(manifest)
    compared = metrics[(metrics["metric"] == PRIMARY[0]) & (metrics["item"] == PRIMARY[1])]["n"].dropna()
    text = (
        f"Pilots were drawn, models trained and answers simulated with {_seeds(manifest)}; intervals hold what differs "
        "between the seeds beside the sampling of people and answers."
        if len(seeds) > 1
        else "Each arm was drawn, trained and simulated once, so the intervals hold sampling error only and another "
        "seed may give another result."
    )
    if compared.empty:
        return text
    low, high = int(compared.min()), int(compared.max())
    sizes = f"{low}" if low == high else f"{low} to {high}"
    return f"{text} Distances are taken between samples of {sizes}."


def _tally(given: list[str]) -> str:
    counts = [f"{verdict} ({given.count(verdict)})" for verdict in FINDING_VERDICTS if verdict in given]
    return quoted("; ".join(counts) or "none")
