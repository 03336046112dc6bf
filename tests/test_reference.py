"""The reference run that is kept with the code: as it was packed, small, without people, and not behind the code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from test_studies import people_of as people_at_hand

from pilotlm.arms import load_arms
from pilotlm.data.prompts import prompt_sha256
from pilotlm.data.sources import people_of
from pilotlm.records import Places, file_sha256, origin_of, read_parquet, write_csv, write_json
from pilotlm.reference import RESPONSES, changed_files, pack, unpack, verify
from pilotlm.report.evidence import PRIMARY, gather, values_of
from pilotlm.report.paper import power_table, studies_in_order
from pilotlm.report.runs import collect_metrics, read_metrics
from pilotlm.stages import ANALYSES
from pilotlm.study import load_study

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference"
PROFILE = ROOT / "config" / "reference.yml"
MOST_BYTES = 27_000_000


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
    profile = yaml.safe_load(PROFILE.read_text())
    assert set(manifest["studies"]) == set(profile["studies"])
    for study, asked in profile["studies"].items():
        seeds = asked.get("seeds", profile["seeds"])
        assert len(seeds) >= 3
        ran = {(r["parameters"]["arm"], r["parameters"]["seed"]) for r in manifest["records"][study].values()
               if r["stage"] == "simulate"}  # fmt: skip
        assert ran == {(arm, seed) for arm in asked["arms"] for seed in seeds}


def test_no_background_of_people_is_in_it(manifest: dict) -> None:
    for name in manifest["studies"]:
        study = load_study(name)
        table = read_parquet(REFERENCE / name / RESPONSES, "packing")
        assert not {variable.name for variable in study.background} & set(table.columns)
        assert not set(table["arm"]) & {"human"} and not table["arm"].str.startswith("bootstrap").any()


def test_its_table_is_that_of_its_analyses(manifest: dict, tmp_path: Path) -> None:
    table = read_metrics(REFERENCE)
    assert list(dict.fromkeys(table["study"])) == list(yaml.safe_load(PROFILE.read_text())["studies"])
    write_csv(tmp_path / "metrics.csv", table)
    assert file_sha256(tmp_path / "metrics.csv") == manifest["metrics_sha256"]
    assert {path.stem for path in (REFERENCE / "anes96" / "measures").glob("*.csv")} == set(ANALYSES)


@pytest.mark.parametrize("name", yaml.safe_load(PROFILE.read_text())["studies"])
def test_its_people_and_prompts_are_those_of_the_studies(manifest: dict, name: str) -> None:
    """Code and versions may move on, and `make verify` says whether a number does; these must not."""
    facts = manifest["studies"][name]
    assert facts["environment"]["git_revision"] and facts["environment"]["lock_sha256"]
    assert facts["prompt_sha256"] == prompt_sha256(load_study(name))
    assert facts["data_sha256"] == people_at_hand(name)[1].sha256


def test_what_the_run_could_tell_is_as_its_page_says() -> None:
    metrics, study = read_metrics(REFERENCE), load_study("loomba2021")
    (line,) = power_table(studies_in_order(metrics, {study.name: study})).to_dict("records")
    page = (ROOT / "docs" / "replication.qmd").read_text(encoding="utf-8")
    told = {line[f"Distance, against the {other}"].removeprefix("0") for other in ("base model", "best baseline")}
    assert f"differences of {' or '.join(told)} to either" in page
    assert f"the gap, {line['Gap, against chance'].removeprefix('0')}." in page


@pytest.mark.parametrize(
    ("name", "tuned"), [("anes96", "tuned_n_60"), ("insurance", "tuned_n_60"), ("framing", "tuned_all_25")]
)
def test_what_more_pilots_could_tell_is_as_the_page_says(name: str, tuned: str) -> None:
    metrics, arms = read_metrics(REFERENCE), load_arms()
    (evidence,) = gather(metrics, {name: load_study(name)}, arms)
    arm = arms.arm(tuned)
    distance, gap, loss, structures = (
        values_of(evidence, [arm], *measure)[arm]
        for measure in (PRIMARY, ("gap",), ("nll_over_baseline", "all"), ("unique_structures", "beliefs"))
    )
    told = [one.detectable for one in (distance.placed, gap, loss)] + [
        structures.detectable / structures.human_benchmark
    ]
    page = (ROOT / "docs" / "replication.qmd").read_text(encoding="utf-8").splitlines()
    (header,) = (line for line in page if line.startswith("| difference |"))
    column = [cell.strip() for cell in header.strip("|").split("|")].index(f"`{name}`: it came out")
    rows = page[page.index(header) + 2 :][: len(told)]
    assert [row.strip("|").split("|")[column].strip() for row in rows] == [
        f"{one:.2f}".removeprefix("0") for one in told
    ]


@pytest.mark.slow
def test_numbers_computed_again_are_equal() -> None:
    """The whole way back: packed answers, people from the data, baselines fitted anew. All of it: `make verify`."""
    (checked,) = verify(REFERENCE, ["anes96"], ["coherence"], cores=1)
    assert checked.numbers > 100 and not checked.wrong


@pytest.mark.slow
def test_a_study_that_is_run_anew_takes_its_place(
    manifest: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, name = tmp_path / "packed", "anes96"
    for file in ("packed.json", *files_of_it()):
        (packed / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REFERENCE / file, packed / file)
    monkeypatch.setenv("PILOTLM_RESULTS", str(tmp_path / "results"))
    places, study = Places("reference", name), load_study(name)
    shutil.copytree(packed / name, places.folder)
    unpack(packed / name, places.folder, study, people_of(study, places), manifest["records"][name])
    table = places.measures("coherence")
    table.write_text(table.read_text().replace("held-out", "all"))
    write_csv(places.folder.parent / "metrics.csv", collect_metrics(places.folder.parent, [name]))
    made = {"finished": "2031-01-01T00:00:00+00:00", "environment": {"git_revision": "abc", "git_dirty": False}}
    of_study = {part: {name: manifest[part][name]} for part in ("studies", "records")}
    of_study["studies"][name] = manifest["studies"][name] | made
    write_json(places.folder.parent / "manifest.json", manifest | of_study)

    pack("reference", packed)
    assert not changed_files(packed)
    after = json.loads((packed / "manifest.json").read_text(encoding="utf-8"))
    assert list(after["studies"]) == list(manifest["studies"]) and after["records"] == manifest["records"]
    assert after["studies"][name]["environment"] == made["environment"]
    assert origin_of(after, "framing") == origin_of(manifest, "framing")
    before, now = (read_metrics(folder) for folder in (REFERENCE, packed))
    assert list(before["study"]) == list(now["study"])
    different = ((before != now) & ~(before.isna() & now.isna())).any(axis=1)
    assert set(before["study"][different]) == {name}


def files_of_it() -> list[str]:
    return list(json.loads((REFERENCE / "packed.json").read_text())["files"])
