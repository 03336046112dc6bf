"""Every number and every sentence of the pages that depends on a run: chosen by the results, never typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pilotlm.arms import load_arms
from pilotlm.responses import HUMAN
from pilotlm.showing.evidence import Evidence, gather
from pilotlm.showing.published import (
    AS_PUBLISHED,
    EVEN,
    MODEL,
    OPPONENT,
    OPPOSITE,
    ORDER,
    WEAKER,
    load_published,
)
from pilotlm.showing.quoting import quoted, slug
from pilotlm.showing.verdicts import verdicts
from pilotlm.showing.wording import counted, duration, listed, whole
from pilotlm.study import Study

RANDOM_WEIGHTS = "tiny-random"
"""The model of `pilotlm.answering.models` for tests; naming it here spares every page the import of torch."""


def variables(metrics: pd.DataFrame, manifest: Mapping[str, Any], studies: Mapping[str, Study]) -> dict[str, Any]:
    """All that the prose of paper and website takes from a run, as nested texts that are safe in Markdown.

    Parameters
    ----------
    metrics : DataFrame
        A tidy table.
    manifest : mapping
        The manifest of the run.
    studies : mapping of str to Study
        The studies of the run.

    Returns
    -------
    dict
        ``run``, ``answer``, ``published`` and ``study``, the last with an entry a study, its name as `slug`.
    """
    found = verdicts(metrics, studies)
    evidence = gather(metrics, studies, load_arms())
    return {
        "run": _run(manifest, metrics, studies),
        "answer": _answer(found, studies, manifest, metrics),
        "published": _published(),
        "study": {slug(one.study.name): _study(one) for one in evidence},
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
    seeds = sorted(int(seed) for seed in metrics.loc[metrics["arm"] != HUMAN, "seed"].unique())
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
        "seeds": quoted(f"{counted(len(seeds), 'seed')} ({listed([str(seed) for seed in seeds])})"),
        "studies": quoted(listed([_named(study) for study in studies.values()])),
        "against": _against(metrics),
        "simulated": _simulated(metrics),
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


def _simulated(metrics: pd.DataFrame) -> str:
    rows = metrics[(metrics["metric"] == "variance_ratio") & (metrics["arm"] != HUMAN)]
    sizes = [int(n) for n in rows["n"].dropna().unique()]
    if not sizes:
        return "no people"
    return f"{min(sizes)} people" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)} people"


def _study(evidence: Evidence) -> dict[str, str]:
    people = evidence.value(HUMAN, "unique_structures")
    gap = evidence.value(HUMAN, "gap")
    return {
        "title": quoted(evidence.study.title),
        "kind": "synthetic" if evidence.study.synthetic else "real people",
        "people": "unknown" if people is None else whole(people.n),
        "structures": "unknown" if people is None else whole(people.estimate),
        "gap": "none" if gap is None else quoted(f"{100 * gap.estimate:.1f} %"),
        "treatments": str(len(evidence.study.treatments)),
        "arms": str(len(evidence.present)),
    }


def _published() -> dict[str, Any]:
    published = load_published()
    texts: dict[str, Any] = {key: quoted(finding.text) for key, finding in published.findings.items()}
    return {**texts, "people": str(published.paper.people), "treatments": str(published.paper.treatments),
            "citation": quoted(published.paper.citation), "source": quoted(published.paper.source)}  # fmt: skip


def _answer(
    found: pd.DataFrame, studies: Mapping[str, Study], manifest: Mapping[str, Any], metrics: pd.DataFrame
) -> dict[str, str]:
    """The answer in sentences; synthetic studies are not counted unless there is nothing else."""
    real = [name for name, study in studies.items() if not study.synthetic]
    counted_studies = real or list(studies)
    rows = found[found["study"].isin(counted_studies)]
    about = [_nearer(rows), _opponents(rows, "opponents_distance", "distance to people"), _gap(rows), _signs(rows)]
    kind = "real" if real else "synthetic"
    return {
        "warning": quoted(warning(manifest, studies)),
        "headline": " ".join(sentence for sentence in about if sentence) or "This run has no arms to compare.",
        "counted": f"Counted over {counted(len(counted_studies), f'{kind} study', f'{kind} studies')}.",
        "sure": _sure(metrics),
        "verdicts": _tally(found),
    }


def _verdicts_of(rows: pd.DataFrame, key: str) -> list[str]:
    return rows.loc[rows["key"] == key, "verdict"].tolist()


def _in(part: int, total: int) -> str:
    """In how many studies something holds."""
    if total == 1:
        return "in the one study" if part else "in no study"
    if part == total:
        return "in both studies" if total == 2 else f"in all {total} studies"
    return f"in {part} of {total} studies" if part else "in no study"


def _nearer(rows: pd.DataFrame) -> str:
    given = _verdicts_of(rows, "joint_distance")
    if not given:
        return ""
    clear, partly = given.count(AS_PUBLISHED), given.count(WEAKER)
    if not clear and not partly:
        return "Fine-tuning on a small human sample brought answers clearly nearer to people in no study."
    text = f"Fine-tuning on a small human sample brought answers clearly nearer to people {_in(clear, len(given))}"
    return f"{text}, and on some measures in {partly} more." if partly else f"{text}."


def _opponents(rows: pd.DataFrame, key: str, measure: str) -> str:
    given = _verdicts_of(rows, key)
    if not given:
        return ""
    ahead, behind, even = given.count(MODEL), given.count(OPPONENT), given.count(EVEN)
    rest = len(given) - ahead - behind - even
    found = {"ahead": ahead, "behind": behind, "not clearly different": even}
    parts = [f"{word} {_in(number, len(given))}" for word, number in found.items() if number or word == "ahead"]
    text = f"Against the best plain statistics on the same rows, in {measure}, the model was {listed(parts)}"
    return f"{text}; arms differ {_in(rest, len(given))}." if rest else f"{text}."


def _gap(rows: pd.DataFrame) -> str:
    given = _verdicts_of(rows, "gap_tuned")
    if not given:
        return ""
    learnt, like_people = sum(v in (AS_PUBLISHED, WEAKER) for v in given), given.count(AS_PUBLISHED)
    if not learnt:
        return "That actions follow beliefs was not clearly learnt in every fine-tuned arm of any study."
    text = f"That actions follow beliefs was learnt {_in(learnt, len(given))}"
    return f"{text}, to the degree of people {_in(like_people, len(given))}."


def _signs(rows: pd.DataFrame) -> str:
    given = _verdicts_of(rows, "regression")
    if not given:
        return ""
    reached = given.count(OPPOSITE)
    if not reached:
        return "No fine-tuned model recovered the regressions as a fresh draw of people would."
    where = _in(reached, len(given))
    return f"The best fine-tuned model recovered the regressions as a fresh draw of people would {where}."


def _sure(metrics: pd.DataFrame) -> str:
    seeds = metrics.loc[metrics["arm"] != HUMAN, "seed"].nunique()
    compared = metrics[(metrics["metric"] == "joint_distance") & (metrics["item"] == "answers")]["n"].dropna()
    text = (
        "Each arm was drawn, trained and simulated once, so the intervals hold sampling error only and another seed "
        "may give another result."
        if seeds == 1
        else f"Each arm was drawn, trained and simulated {seeds} times; intervals hold every seed's own estimate."
    )
    if compared.empty:
        return text
    low, high = int(compared.min()), int(compared.max())
    sizes = f"{low}" if low == high else f"{low} to {high}"
    return f"{text} Distances are taken between samples of {sizes}."


def _tally(found: pd.DataFrame) -> str:
    counts = found["verdict"].value_counts()
    return quoted("; ".join(f"{verdict} ({counts[verdict]})" for verdict in ORDER if verdict in counts) or "none")
