"""A small study and its people, and an environment in which no test writes into the checkout."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pilotlm.arms import load_arms
from pilotlm.baselines.fit import Baseline, baselines
from pilotlm.study import Study, load_study

CHECKOUT = Path(__file__).resolve().parents[1]
N_PEOPLE = 240

TOY = """
name: toy
title: A toy study
about: Made for tests.
citation: none
licence: none
rights: none
synthetic: true
source: {kind: file, file: toy.csv}
instructions: Fill in the form.
treatments:
  - {name: calm, label: Calm, when: {alarm: 0}, codes: {alarm: 0}, scenario: All is quiet.}
  - {name: alarm, label: Alarm, when: {alarm: 1}, codes: {alarm: 1}, scenario: A bell rings.}
persona:
  - {name: age, text: "You are {value} years old.", range: [18, 80]}
  - name: sex
    text: You are {value}.
    levels: [{code: 0, raw: m, text: a man}, {code: 1, raw: f, text: a woman}]
  - name: region
    text: "You live in the {value}."
    levels: [{code: 1, text: north}, {code: 2, text: south}, {code: 3, text: west}]
questions:
  - {kind: scale, name: fear, role: belief, text: "How afraid are you?", low: 1, high: 4, ends: [not, very]}
  - kind: allocation
    name: odds
    role: belief
    text: How likely is it
    step: 25
    parts: [{name: none, text: no fire}, {name: small, text: a small fire}, {name: big, text: a big fire}]
  - kind: choice
    name: leave
    role: action
    text: What do you do?
    options:
      - {code: 0, text: stay, answer: stay}
      - {code: 1, text: leave, answer: leave}
      - {code: 2, text: call, answer: call}
coherence: {kind: threshold, belief: fear, at_least: 3, action: leave, acts: 1}
subgroups:
  - {variable: region, label: Region}
  - {variable: age, label: Age, cuts: [30, 60]}
regressions:
  - {name: fear, label: Fear, formula: fear ~ alarm + age, family: linear, treatment_terms: [alarm]}
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of models and downloads: what the environment names, else one of this session."""
    named = os.environ.get("PILOTLM_CACHE")
    return Path(named) if named else tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of a test go to its own folder."""
    monkeypatch.setenv("PILOTLM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("PILOTLM_CACHE", str(cache))
    monkeypatch.delenv("PILOTLM_HOME", raising=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without studies, with the shipped configuration."""
    home = tmp_path / "project"
    (home / "data").mkdir(parents=True)
    (home / "paper").mkdir()
    shutil.copytree(CHECKOUT / "config", home / "config")
    shutil.copy(CHECKOUT / "paper" / "published.yml", home / "paper")
    monkeypatch.setenv("PILOTLM_HOME", str(home))
    return home


@pytest.fixture
def toy_project(project: Path) -> Path:
    """A project whose only study is the toy study, without data."""
    folder = project / "data" / "toy"
    folder.mkdir()
    (folder / "study.yml").write_text(TOY, encoding="utf-8")
    return project


@pytest.fixture(scope="session")
def toy_content() -> dict[str, Any]:
    """What the file of the toy study says; change a copy."""
    content: dict[str, Any] = yaml.safe_load(TOY)
    return content


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with a scale, an allocation, a choice and two treatments, loaded from a file."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "study.yml").write_text(TOY, encoding="utf-8")
    return load_study(folder / "study.yml")


@pytest.fixture
def toy_people() -> pd.DataFrame:
    """The people of the toy study: the alarm and age raise fear, fear and the alarm make people leave."""
    return _people_of_toy(N_PEOPLE, 1)


@pytest.fixture(scope="session")
def short_toy(toy_content: dict[str, Any]) -> Study:
    """The toy study in few letters, because the tiny model reads letter by letter."""
    content = copy.deepcopy(toy_content)
    content["instructions"] = content["treatments"][0]["scenario"] = "x"
    content["treatments"][1]["scenario"] = "yy"
    content["persona"], content["subgroups"] = [{"name": "age", "text": "{value}", "range": [5, 180]}], []
    for letter, question in zip("fol", content["questions"], strict=True):
        question["text"], question["form"] = "?", letter
    for letter, part in zip("abc", content["questions"][1]["parts"], strict=True):
        part["text"] = letter
    return Study.model_validate(content)


@pytest.fixture(scope="session")
def toy_baselines(toy: Study) -> list[Baseline]:
    """The baselines of the toy study on a quarter of all treatments, fitted once; change a copy."""
    return baselines(toy, _people_of_toy(N_PEOPLE, 1), load_arms(), "all_25", 1)


@pytest.fixture(scope="session")
def draw_toy_people() -> Callable[[int, int], pd.DataFrame]:
    """As many people of the toy study as asked for, from a seed."""
    return _people_of_toy


def _people_of_toy(n: int, seed: int) -> pd.DataFrame:
    """Draw people of the toy study."""
    rng = np.random.default_rng(seed)
    alarm = rng.permutation(np.arange(n) % 2)
    age = rng.integers(18, 81, n)
    fear = np.clip(np.round(1.2 + 1.5 * alarm + age / 60 + rng.normal(0, 0.7, n)), 1, 4).astype(int)
    quarters = rng.multinomial(4, [0.5, 0.3, 0.2], n)
    leaves = rng.random(n) < 1 / (1 + np.exp(3 - fear - alarm))
    leave = np.where(leaves, 1, 2 * (rng.random(n) < 0.3))
    return pd.DataFrame({
        "study": "toy", "arm": "human", "seed": 0, "participant": np.arange(1, n + 1), "draw": 0,
        "treatment": np.where(alarm, "alarm", "calm"), "in_pilot": False,
        "age": age, "sex": rng.integers(0, 2, n), "region": rng.choice([1, 2, 3], n, p=[0.6, 0.3, 0.1]),
        "fear": fear, "odds_none": 25 * quarters[:, 0], "odds_small": 25 * quarters[:, 1],
        "odds_big": 25 * quarters[:, 2], "leave": leave,
    })  # fmt: skip
