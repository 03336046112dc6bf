"""What a run would take before it is started: the nodes of a dry run by rule, with time, memory, GPUs and cost."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tabulate import tabulate

from pilotlm.errors import InputError
from pilotlm.profile import Profile
from pilotlm.records import project_folder, read_json, results_folder
from pilotlm.stages import NUMBERED

WITH_MODEL = ("finetune", "simulate")
SHIPPED = "reference"
"""The run whose manifest comes with the project."""
GUESSED, UNKNOWN = "a guess", "unknown"
_PAIR = re.compile(r"(\w+)=([^,\s]+)")


@dataclass(frozen=True)
class Node:
    """A node that a dry run lists.

    Attributes
    ----------
    rule : str
        Its rule.
    wildcards : mapping
        Such as the study, the arm and the seed.
    gpus : int
        The GPUs that it asks for.
    """

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0

    @property
    def stage(self) -> str:
        """The stage of its notebook, or its rule where it runs none."""
        stage = self.rule.partition("_")[0]
        return stage if stage in NUMBERED and self.rule != "decision_page" else self.rule

    @property
    def study(self) -> str:
        """The study; "" where it works on all of them."""
        return self.wildcards.get("study", "")

    @property
    def answerer(self) -> str:
        """The arm, or the pilot of the opponents; "" where it works on all of them."""
        return self.wildcards.get("arm") or (self.rule.partition("_")[2] if self.stage == "baselines" else "")


@dataclass(frozen=True)
class Expected:
    """What a node may take.

    Attributes
    ----------
    seconds, mib : float
        Wall time and peak memory.
    source : str
        Whose times these are: a run, or a guess.
    """

    seconds: float
    mib: float
    source: str


@dataclass(frozen=True)
class Prices:
    """What an hour costs, in any currency.

    Attributes
    ----------
    core, gpu : float
        An hour of one core, and of one GPU beside it.
    """

    core: float = 0.0
    gpu: float = 0.0

    def __post_init__(self) -> None:
        for value in (self.core, self.gpu):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"The price of an hour must be a number of at least 0, got {value}.")


Guess = Callable[[Node], tuple[float, float] | None]
"""Seconds and MiB of a node that works with the model; None where they cannot be told."""
Records = Sequence[Mapping[str, Any]]


def nodes_of(text: str) -> list[Node]:
    """Read the nodes from what Snakemake says in a dry run; the one that only collects the others is left out."""
    found: list[Node] = []
    for line in text.splitlines():
        if head := re.match(r"(?:local)?(?:rule|checkpoint) (\w+):", line):
            found.append(Node(head[1]))
        elif found and (said := re.match(r"    (wildcards|resources): (.*)", line)):
            pairs, last = dict(_PAIR.findall(said[2])), found[-1]
            found[-1] = (
                Node(last.rule, pairs, last.gpus) if said[1] == "wildcards"
                else Node(last.rule, last.wildcards, int(pairs.get("gpu", 0)))
            )  # fmt: skip
    return [node for node in found if node.rule != "all"]


def recorded(profile: str, run: str = "") -> dict[str, Records]:
    """The records of earlier runs, those of the same profile first, then those of the run that is shipped.

    Parameters
    ----------
    profile : str
        The name of the profile.
    run : str
        The folder that would be written to; the profile's name when empty.

    Returns
    -------
    dict
        Run, then its records; a run whose manifest is missing or cannot be read is left out.
    """
    folders = (results_folder(), project_folder() / "results")
    found: dict[str, Records] = {}
    for name in dict.fromkeys((run or profile, profile, SHIPPED)):
        for folder in folders:
            if name not in found and (records := list(_records(folder / name / "manifest.json"))):
                found[name] = records
    return found


def expected_of(node: Node, runs: Mapping[str, Records], profile: Profile, guess: Guess) -> Expected | None:
    """What a node may take: as recorded for its study, else as guessed, else as recorded for other studies.

    Parameters
    ----------
    node : Node
        The node.
    runs : mapping
        Of `recorded`.
    profile : Profile
        Times of another language model do not count.
    guess : callable
        Asked for nodes that work with the model.

    Returns
    -------
    Expected or None
        None where nothing is known.
    """
    alike = {name: [one for one in records if _alike(one, node, profile)] for name, records in runs.items()}
    for name, records in alike.items():
        here = [one for one in records if _parameter(one, "study") == node.study]
        same = [one for one in here if node.answerer in (_parameter(one, "arm"), _parameter(one, "pilot"))]
        if same or here:
            return _summed_up(same or here, name)
    if node.stage in WITH_MODEL and (guessed := guess(node)):
        return Expected(*guessed, GUESSED)
    return next((_summed_up(records, name) for name, records in alike.items() if records), None)


def plan_table(
    nodes: Iterable[Node], profile: Profile, runs: Mapping[str, Records], guess: Guess, price: Prices
) -> str:
    """The nodes by rule, in the order of the dry run, and their sum.

    Parameters
    ----------
    nodes : iterable of Node
        Of `nodes_of`.
    profile, runs, guess
        As in `expected_of`.
    price : Prices
        Of an hour.

    Returns
    -------
    str
        A table and what it rests on; one sentence where nothing would run.
    """
    rules: dict[str, list[tuple[Node, Expected | None]]] = {}
    for node in nodes:
        rules.setdefault(node.rule, []).append((node, expected_of(node, runs, profile, guess)))
    if not rules:
        return "Nothing would run.\n"
    every = [pair for pairs in rules.values() for pair in pairs]
    rows = [_row(rule, pairs, profile, price) for rule, pairs in rules.items()]
    heads = ["rule", "nodes", "core-hours", "peak MiB", "GPUs a node", "cost", "times from"]
    sizes = ("left", *["right"] * 5, "left")
    total = [*_row("total", every, profile, price)[:-1], ""]
    table = tabulate([*rows, total], heads, colalign=sizes, disable_numparse=True)
    return f"{table}\n\n{_said(every)}\n"


def _said(every: Sequence[tuple[Node, Expected | None]]) -> str:
    unknown = sum(expected is None for _, expected in every)
    said = "Times are of the machines that they were recorded on, and are not scaled to other settings of a profile."
    return f"{said} Nodes of which nothing is known, left out of the sums: {unknown}." if unknown else said


def _row(rule: str, pairs: Sequence[tuple[Node, Expected | None]], profile: Profile, price: Prices) -> list[str]:
    known = [(node, expected) for node, expected in pairs if expected]
    hours = [(expected.seconds / 3600, _cores(node, profile), node.gpus) for node, expected in known]
    core_hours = sum(time * cores for time, cores, _ in hours)
    cost = core_hours * price.core + sum(time * gpus for time, _, gpus in hours) * price.gpu
    sources = dict.fromkeys(expected.source if expected else UNKNOWN for _, expected in pairs)
    return [
        rule,
        str(len(pairs)),
        f"{core_hours:.2f}" if known else "–",
        f"{max(expected.mib for _, expected in known):.0f}" if known else "–",
        str(max(node.gpus for node, _ in pairs)),
        f"{cost:.2f}" if known and (price.core or price.gpu) else "–",
        ", ".join(sources),
    ]


def _cores(node: Node, profile: Profile) -> int:
    return max(1, profile.threads) if node.stage in WITH_MODEL else 1


def _alike(record: Mapping[str, Any], node: Node, profile: Profile) -> bool:
    if record.get("stage") != node.stage:
        return False
    model = (_parameter(record, "model"), _parameter(record, "revision"))
    return node.stage not in WITH_MODEL or model == (profile.model, profile.revision)


def _parameter(record: Mapping[str, Any], name: str) -> str:
    parameters = record.get("parameters")
    return str(parameters.get(name, "")) if isinstance(parameters, Mapping) else ""


def _summed_up(records: Records, name: str) -> Expected:
    seconds = sum(float(one["wall_seconds"]) for one in records) / len(records)
    return Expected(seconds, max(float(one["peak_memory_mib"]) for one in records), f"run {name}")


def _records(manifest: Any) -> Iterator[Mapping[str, Any]]:
    try:
        studies = read_json(manifest, "a run").get("records")
    except InputError:
        return
    for study in studies.values() if isinstance(studies, Mapping) else ():
        for one in study.values() if isinstance(study, Mapping) else ():
            if isinstance(one, Mapping) and all(
                isinstance(one.get(name), int | float) for name in ("wall_seconds", "peak_memory_mib")
            ):
                yield one
