"""The reference run that is kept with the code: as it was packed, small, without people, and not behind the code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pilotlm.data.prompts import prompt_sha256
from pilotlm.data.sources import load_people
from pilotlm.records import read_csv, read_parquet
from pilotlm.reference import RESPONSES, changed_files, verify
from pilotlm.report.runs import REPORTED_BY, collect_metrics
from pilotlm.stages import ANALYSES
from pilotlm.study import load_study

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference"
MOST_BYTES = 70_000_000


@pytest.fixture(scope="module")
def manifest() -> dict:
    return json.loads((REFERENCE / "manifest.json").read_text(encoding="utf-8"))


def test_nothing_in_it_was_edited() -> None:
    assert changed_files(REFERENCE) == []
    listed = json.loads((REFERENCE / "packed.json").read_text())["files"]
    made_since = {"packed.json", "rendered.txt", "quarto.log"}
    there = {path.relative_to(REFERENCE).as_posix() for path in REFERENCE.rglob("*") if path.is_file()}
    assert {name for name in there - made_since if not name.startswith("html/")} == set(listed)
    assert sum((REFERENCE / name).stat().st_size for name in listed) < MOST_BYTES


def test_it_is_a_run_of_its_profile(manifest: dict) -> None:
    profile = yaml.safe_load((ROOT / "config" / "reference.yml").read_text())
    assert set(manifest["studies"]) == set(profile["studies"])
    assert len(profile["seeds"]) >= 3
    for study, asked in profile["studies"].items():
        ran = {(r["parameters"]["arm"], r["parameters"]["seed"]) for r in manifest["records"][study].values()
               if r["stage"] == "simulate"}  # fmt: skip
        assert ran == {(arm, seed) for arm in asked["arms"] for seed in profile["seeds"]}


def test_no_background_of_people_is_in_it(manifest: dict) -> None:
    for name in manifest["studies"]:
        study = load_study(name)
        table = read_parquet(REFERENCE / name / RESPONSES, "packing")
        assert not {variable.name for variable in study.background} & set(table.columns)
        assert not set(table["arm"]) & {"human"} and not table["arm"].str.startswith("bootstrap").any()


def test_its_table_is_that_of_its_analyses(manifest: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLM_RESULTS", str(ROOT / "results"))
    studies = yaml.safe_load((ROOT / "config" / "reference.yml").read_text())["studies"]
    together = collect_metrics("reference", list(studies))
    table = read_csv(REFERENCE / "metrics.csv", REPORTED_BY, together.select_dtypes(["object", "str"]).columns)
    assert len(table) == len(together) > 1000
    for column in ("estimate", "low", "high", "human_benchmark", "random_benchmark"):
        assert ((table[column] == together[column]) | table[column].isna() & together[column].isna()).all()
    assert {path.stem for path in (REFERENCE / "anes96" / "measures").glob("*.csv")} == set(ANALYSES)


def test_its_people_and_prompts_are_those_of_the_studies(manifest: dict) -> None:
    """Code and versions may move on, and `make verify` says whether a number does; these must not."""
    assert manifest["environment"]["git_revision"] and manifest["environment"]["lock_sha256"]
    for name, facts in manifest["studies"].items():
        study = load_study(name)
        assert facts["prompt_sha256"] == prompt_sha256(study)
        assert facts["data_sha256"] == load_people(study).sha256


@pytest.mark.slow
def test_numbers_computed_again_are_equal() -> None:
    """The whole way back: packed answers, people from the data, baselines fitted anew. All of it: `make verify`."""
    (checked,) = verify(REFERENCE, ["anes96"], ["coherence"], cores=1)
    assert checked.numbers > 100 and not checked.wrong
