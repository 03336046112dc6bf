"""Hold the decision of people with weights, or with several rows each, against the population that they are drawn from.

``python -m truth.decided --processes 2`` writes ``truth/decided.json`` and takes about ten minutes of one core. Each
draw is a folder of a study, read, divided into a pilot and held-out people, and decided on as notebooks 12 and 13 do
it: once with ``weight`` or ``participant`` in the study file, once without. Who answers in the model's place says what
age, city and treatment let one expect, less well than it could; it has learnt from nobody.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import yaml
from scipy.special import expit
from scipy.stats import norm
from tqdm import tqdm

from pilotlm.analyses.decision import candidates, decide
from pilotlm.analyses.rectification import Target, known
from pilotlm.arms import load_arms
from pilotlm.collecting import collect
from pilotlm.data.pilot import draw_pilot, simulated_people
from pilotlm.data.sources import load_people
from pilotlm.predictions import as_predictions, expected_answers, write_predictions
from pilotlm.records import Places, data_folder, project_folder, write_json
from pilotlm.responses import as_responses, count_people, write_responses
from pilotlm.stages import AnalysisParameters, DecisionParameters, begin
from pilotlm.stats.estimators import estimate, why_withheld
from pilotlm.stats.intervals import FloatArray, wilson
from pilotlm.stats.linear_models import columns, fit_binary, fitted
from pilotlm.study import Study

World = Literal["weight", "participant"]
WORLDS: tuple[World, ...] = ("weight", "participant")
DRAWS, MANY = 400, 200_000
PEOPLE = {"weight": 320, "participant": 120}
ROUNDS = (3, 8)
"""From how many rows on, and below how many, a person of the second world has."""
ARM, SEED = "tuned_at_most_240", 1
LEVELS = {"bias": 0.9, "people": 0.95, "tuned": 0.95, "correlation": 0.95}
"""Each interval and its level: of the bias, of people alone, of prediction-powered inference, of the correlation."""
CHANCE = np.array([0.08, 0.3, 1.0])
"""The chance to be asked of people whom the matter does not, somewhat and greatly interests."""
_OPTIONS = [{"code": 0, "text": "no"}, {"code": 1, "text": "yes"}]
STUDY: dict[str, Any] = {
    "name": "drawn", "title": "People drawn from a population that is known", "about": "Made up.", "citation": "none",
    "licence": "none", "rights": "none", "synthetic": True, "source": {"kind": "file", "file": "drawn.csv"},
    "instructions": "Fill in the form.",
    "treatments": [
        {"name": name, "label": name, "when": {"letter": k}, "codes": {"letter": k}, "scenario": f"{name} letter."}
        for k, name in enumerate(("no", "one"))
    ],
    "persona": [
        {"name": "age", "text": "You are {value}.", "range": [18, 80]},
        {"name": "city", "text": "City: {value}.", "levels": _OPTIONS},
    ],
    "questions": [
        {"kind": "scale", "name": "trust", "role": "belief", "text": "Trust?", "low": 1, "high": 7},
        {"kind": "choice", "name": "give", "role": "action", "text": "Give?", "ordered": True, "options": _OPTIONS},
    ],
}  # fmt: skip
_STEPS = np.arange(1, 8)


class Held(NamedTuple):
    """Whether an interval of a draw holds the value of the population."""

    world: str
    named: bool
    interval: str
    kind: str
    target: str
    inside: bool


def drawn(world: World, people: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of people of a population; in the second world everybody has several, and all that they say goes together.

    ``interest`` is what nobody is told of: it decides who is asked (``weight`` is one over the chance), what people
    answer, and how much the letter changes that.
    """
    rows = rng.integers(*ROUNDS, people) if world == "participant" else np.ones(people, dtype=int)
    who = np.repeat(np.arange(people), rows)
    age, city = rng.integers(18, 81, people)[who], rng.binomial(1, 0.4, people)[who]
    letter, interest = rng.permutation(np.arange(people) % 2)[who], rng.choice(3, people, p=[0.5, 0.3, 0.2])[who]
    own = rng.normal(0, 1.2 if world == "participant" else 0.0, people)[who]
    matters = interest - 0.7 if world == "weight" else np.zeros(len(who))
    level = 0.04 * (age - 49) + 0.5 * city + (0.4 + 0.5 * matters) * letter + 0.8 * matters + own
    trust = np.clip(np.round(4 + level + rng.normal(0, 0.8, len(who))), 1, 7).astype(int)
    give = rng.binomial(1, expit(level - 0.3))
    return pd.DataFrame({"id": who, "age": age, "city": city, "letter": letter, "interest": interest, "trust": trust,
                         "give": give, "weight": 1 / CHANCE[interest]})  # fmt: skip


def asked(world: World, rng: np.random.Generator) -> pd.DataFrame:
    """The people of a draw who are asked, each with the weight that one over the chance of being asked is."""
    if world == "participant":
        return drawn(world, PEOPLE[world], rng)
    many = drawn(world, 12 * PEOPLE[world], rng)
    return many[rng.random(len(many)) < CHANCE[many["interest"]]].head(PEOPLE[world]).reset_index(drop=True)


def expected(rows: pd.DataFrame) -> dict[str, FloatArray]:
    """How probable the answers are held, by question: too little by age, too much by the letter, and too high."""
    level = 0.4 + 0.025 * (rows["age"] - 49) + 0.5 * rows["city"] + 0.7 * rows["letter"]
    edges = np.concatenate([[-np.inf], _STEPS[:-1] + 0.5, [np.inf]])
    trust = np.diff(norm.cdf(edges[None, :] - 4 - level.to_numpy()[:, None]), axis=1)
    give = expit(level.to_numpy(dtype=float) - 0.3)
    return {"trust": trust, "give": np.column_stack([1 - give, give])}


@cache
def truth_of(world: World, name: str) -> dict[str, float]:
    """What is true of the population of one target, by interval."""
    rows, predicted = _population(world)
    kind, _, rest = name.partition(": ")
    answer, _, of = rest.partition(" ~ ")
    given, said = rows[answer.partition("=")[0]].to_numpy(dtype=float), predicted[answer.partition("=")[0]]
    names = {"mean": [], "effect": ["letter"], "logit": ["letter", "age", "city"]}[kind]
    x = np.column_stack([np.ones(len(rows)), *(rows[one] / rows[one].std() for one in names)])
    place = 0 if kind == "mean" else 1 + names.index("letter" if of == "one" else of)
    unit = 1.0 if kind == "mean" else float(rows[names[place - 1]].std())
    if kind == "logit":
        values = [float(fit_binary(one, x).of(place).value) / unit for one in (given, said)]
        scale = np.pi / np.sqrt(3)
    else:
        values, scale = [float(fitted(one, columns(x), place).value) / unit for one in (given, said)], given.std()
    # Of least squares, for a logit too. People are asked as rarely as their weight is large, which counts twice.
    linear = [fitted(values, columns(x), place) for values in (given, said)]
    a, b = (one.influence * np.sqrt(rows["weight"]) for one in linear)
    if world == "participant":
        a, b = (np.bincount(rows["id"], one) for one in (a, b))
    correlation = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    return {"people": values[0], "tuned": values[0], "bias": (values[1] - values[0]) / scale,
            "correlation": correlation}  # fmt: skip


@cache
def _population(world: World) -> tuple[pd.DataFrame, dict[str, FloatArray]]:
    rows = drawn(world, MANY if world == "weight" else MANY // 4, np.random.default_rng(0))
    said = expected(rows)
    return rows, {"trust": said["trust"] @ _STEPS, "give": said["give"][:, 1]}


def one_draw(draw: tuple[World, int]) -> list[Held]:
    """Which intervals of one draw hold the truth, where the key is named in the study file and where it is not."""
    world, number = draw
    rng = np.random.default_rng([WORLDS.index(world), number])
    rows = asked(world, rng)[["age", "city", "letter", "trust", "give", "weight" if world == "weight" else "id"]]
    key = {"weight": "weight"} if world == "weight" else {"participant": "id"}
    held = []
    for named in (True, False):
        with _project():
            _write_study(rows, key if named else {})
            people, intervals = _decided(number)
            assert (count_people(people) < len(people)) == (named and world == "participant")
        for interval, target, low, high in intervals:
            true = truth_of(world, target.name)[interval]
            held.append(Held(world, named, interval, target.kind, target.name, low <= true <= high))
    return held


def _decided(number: int) -> tuple[pd.DataFrame, list[tuple[str, Target, float, float]]]:
    """The people as they are read, and every interval of a study: what notebooks 01, 03, 12 and 13 do."""
    parameters = {"study": "drawn", "run": "truth"}
    decision = begin("decision", DecisionParameters(**parameters).model_dump())
    study, places = decision.study, decision.places
    people = load_people(study).table
    write_responses(places.people, study, people)
    _answer(study, people, number, places)
    found = []
    collected = collect(decision)
    (one,) = candidates(collected.compared, decision.arms)
    decided = decide(study, one, collected.people, decision.parameters.others, decision.parameters.margin)
    offered = (pair for pair in zip(decided.targets, decided.judged, strict=True) if not pair[1].withheld)
    for target, judged in offered:
        for interval, value in (("bias", judged.bias), ("correlation", judged.correlation)):
            found.append((interval, target, value.low, value.high))
    collected = collect(begin("rectification", AnalysisParameters(**parameters).model_dump()))
    for one in known(study, decided.targets, collected.compared[0]):
        rows = np.arange(len(one.outcome))
        half = one.participants % 2 == 0
        others = rows[~half & one.first]
        for interval, task in (("people", one.task(rows, rows[:0])), ("tuned", one.task(rows[half], others))):
            value = estimate(task, interval)
            if why_withheld(task, interval) == "":
                found.append((interval, one.target, float(value.low), float(value.high)))
    return people, [one for one in found if "~ age" not in one[1].name]


def _answer(study: Study, people: pd.DataFrame, number: int, places: Places) -> None:
    """Answers and distributions of the arm, in the tables in which a model writes its own."""
    pilot = draw_pilot(study, people, load_arms().pilot("at_most_240"), SEED)
    rows = simulated_people(study, people, pilot, 0, SEED)
    probabilities = expected(rows.assign(letter=(rows["treatment"] == "one").astype(int)))
    rng = np.random.default_rng(number)
    places_of = {name: (rng.random((len(rows), 1)) > p.cumsum(axis=1)).sum(axis=1) for name, p in probabilities.items()}
    answers = {name: np.asarray(study.question_of(name).values)[place] for name, place in places_of.items()}
    answers = pd.DataFrame(answers).join(expected_answers(study, probabilities)).assign(draw=0)
    responses = as_responses(study, rows, answers, ARM, SEED, rows["participant"] < 0)
    write_responses(places.responses(ARM, SEED), study, responses)
    write_predictions(places.predictions(ARM, SEED), study, as_predictions(study, rows["participant"], probabilities))


def _write_study(rows: pd.DataFrame, key: dict[str, str]) -> None:
    folder = data_folder() / "drawn"
    folder.mkdir(parents=True)
    rows.to_csv(folder / "drawn.csv", index=False)
    (folder / "study.yml").write_text(yaml.safe_dump({**STUDY, **key}), encoding="utf-8")


@contextmanager
def _project() -> Iterator[None]:
    """A project of its own, with the arms of this one."""
    before = {name: os.environ.get(name) for name in ("PILOTLM_HOME", "PILOTLM_RESULTS")}
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree(project_folder() / "config", Path(home) / "config")
        os.environ |= {"PILOTLM_HOME": home, "PILOTLM_RESULTS": f"{home}/results"}
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                os.environ |= {} if value is None else {name: value}


def coverage(held: Iterable[Held], draws: int) -> pd.DataFrame:
    """How often each kind of interval holds the truth where it is offered, by target, with 99 % Monte-Carlo ends."""
    rows = []
    for key, mine in pd.DataFrame(held).groupby(list(Held._fields[:-1]), sort=False):
        share = wilson(int(mine["inside"].sum()), len(mine), 0.99)
        found = {"level": LEVELS[str(mine["interval"].iloc[0])], "offered": len(mine) / draws, "coverage": share.value,
                 "low": share.low, "high": share.high}  # fmt: skip
        rows.append({**dict(zip(Held._fields, key, strict=False)), **found})
    return pd.DataFrame(rows).round(4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Take all draws and write the table."""
    parser = argparse.ArgumentParser(prog="python -m truth.decided", description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS, help="how many (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="how many at a time (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=project_folder() / "truth" / "decided.json")
    given = parser.parse_args(arguments)
    every = [(world, number) for world in WORLDS for number in range(given.draws)]
    with ProcessPoolExecutor(given.processes) as pool:
        held = [one for found in tqdm(pool.map(one_draw, every), "draws", len(every)) for one in found]
    write_json(given.out, coverage(held, given.draws).to_dict("records"))


if __name__ == "__main__":
    main()
