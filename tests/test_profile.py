from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_config

from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.graph import as_texts
from pilotlm.profile import load_profile, profile_names
from pilotlm.study import load_study

GOOD = """
about: for tests
studies:
  toy: {arms: [base, tuned_one_25, tuned_all_25], simulated: 10}
tuning: {epochs: 2, learning_rate: 0.001}
simulating: {draws: 2}
"""


@pytest.fixture
def profiles(toy_project: Path) -> Path:
    (toy_project / "config" / "mine.yml").write_text(GOOD, encoding="utf-8")
    return toy_project / "config"


@pytest.mark.parametrize("name", ["2024", "on", "0x1F", "1e3", "null", "yes", "2024-11-28", "1_000", "1.5", "NA"])
def test_names_that_yaml_reads_as_something_else_are_names(profiles: Path, name: str) -> None:
    """As the name of a study, of a profile, and in Snakemake's words."""
    study = profiles.parent / "data" / name / "study.yml"
    study.parent.mkdir()
    text = (profiles.parent / "data" / "toy" / "study.yml").read_text(encoding="utf-8")
    study.write_text(text.replace("name: toy", f"name: {name!r}"), encoding="utf-8")
    (profiles / f"{name}.yml").write_text(GOOD.replace("toy:", f"{name}:"), encoding="utf-8")
    assert list(load_profile(name).studies) == [name] == list(load_profile("mine", name).studies)
    assert parse_config(as_texts(profile=name, study=name)) == {"profile": name, "study": name}
    study.write_text(text.replace("name: toy", f"name: {name}"), encoding="utf-8")
    if not isinstance(yaml.safe_load(name), str):
        with pytest.raises(InputError, match=r"name: .*a text that YAML reads as something else.* is put in quotes"):
            load_study(name)


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_loads(name: str) -> None:
    profile = load_profile(name)
    arms = load_arms()
    for study in profile.studies:
        assert load_study(study).name == study
        assert all(pilot in arms.pilots for pilot in profile.pilots(arms, study))


def test_defaults_and_the_pilots_of_a_study(profiles: Path) -> None:
    profile = load_profile("mine")
    assert (profile.seeds, profile.people, profile.repeats, profile.revision) == ((1,), "held-out", 200, "")
    assert profile.pilots(load_arms(), "toy") == ["all_25", "one_25"]


def test_a_study_may_have_seeds_of_its_own(profiles: Path) -> None:
    assert load_profile("mine").seeds_of("toy") == (1,)
    (profiles / "mine.yml").write_text(GOOD.replace("simulated: 10", "seeds: [4, 7]"), encoding="utf-8")
    profile = load_profile("mine")
    assert (profile.seeds, profile.seeds_of("toy")) == ((1,), (4, 7))


def test_what_a_node_asks_of_the_machine(profiles: Path) -> None:
    assert load_profile("mine").needs_of("finetune") == {"mem_mb": 3000}
    needs = "needs: {finetune: {mem_mb: 40000, runtime: 240, gpu: 1}}"
    (profiles / "mine.yml").write_text(f"{GOOD}{needs}\n", encoding="utf-8")
    profile = load_profile("mine")
    assert profile.needs_of("finetune") == {"mem_mb": 40000, "runtime": 240, "gpu": 1}
    assert profile.needs_of("simulate") == {"mem_mb": 2500}


def test_a_model_of_a_hub_is_pinned_in_every_shipped_profile() -> None:
    hubs = [p for p in map(load_profile, profile_names()) if "/" in p.model]
    assert hubs and all(len(p.revision) == 40 and set(p.revision) <= set("0123456789abcdef") for p in hubs)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("toy:", "toi:", r"there is no study 'toi'; did you mean 'toy'\? Allowed: toy"),
        ("[base,", "[bass,", r"study 'toy': there is no arm 'bass'; did you mean 'base'"),
        ("[base,", "[logit_all_25,", "there is no arm 'logit_all_25'; .*Allowed: base, base_"),
        ("about:", "abouts:", "unknown key 'abouts' in the file"),
        (
            "simulated:",
            "simulate:",
            r"unknown key 'simulate' in studies > toy; did you mean 'simulated'\? Allowed: arms",
        ),
        (
            "epochs:",
            "epoch:",
            r"tuning: unknown parameter 'epoch'; did you mean 'epochs'\? Allowed: alpha, at_a_time, batch",
        ),
        ("epochs: 2", "epochs: 0", "tuning: The parameter 'epochs' of 'finetune': .*greater than or equal to 1, got 0"),
        ("epochs: 2", "seed: 2", "tuning: unknown parameter 'seed'"),
        ("0.001", "quick", "tuning: The parameter 'learning_rate' of 'finetune': .*valid number"),
        ("draws: 2", "dtype: int8", "simulating: The parameter 'dtype' of 'simulate': .*'float32'"),
        (
            "about: for tests",
            "about: x\npeople: nobody",
            r"people: Input should be 'held-out' or 'all' \(got 'nobody'\)",
        ),
        ("about: for tests", "about: x\nseeds: []", "seeds: .*at least 1 item"),
        ("simulated: 10", "seeds: [2, 2]", "studies > toy > seeds: .*seeds must differ"),
        ("about: for tests", "about: x\nneeds: {analyse: {mem_mb: 500}}", "needs > analyse.*'finetune' or 'simulate'"),
        ("about: for tests", "about: x\nneeds: {simulate: {mem_mb: 1}}", "mem_mb: .*greater than or equal to 100"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(profiles: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    (profiles / "mine.yml").write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        load_profile("mine")
    assert "mine.yml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mein", "arms", "../mine", ""])
def test_an_unknown_profile_lists_the_known(profiles: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"There is no profile '{name}'; .*Allowed: decide, full, gpu, mine, quick"):
        load_profile(name)


def test_a_study_takes_the_place_of_the_profile_s_own() -> None:
    own, other = load_profile("decide"), load_profile("decide", "anes96")
    assert list(other.studies) == ["anes96"] and other.studies["anes96"] == own.studies["framing"]
    with pytest.raises(InputError, match="there is no study 'anes'"):
        load_profile("decide", "anes")


def test_a_study_that_does_not_load_stops_its_profile(profiles: Path) -> None:
    path = profiles.parent / "data" / "toy" / "study.yml"
    path.write_text(path.read_text() + "titel: x\n", encoding="utf-8")
    with pytest.raises(InputError, match="unknown key 'titel'"):
        load_profile("mine")


def test_a_decision_simulates_everybody_held_out_or_400() -> None:
    profile, arms = load_profile("decide"), load_arms()
    for run in profile.studies.values():
        assert (run.simulated, {arms.pilot(arms.arm(arm).pilot).share for arm in run.arms}) == (400, {0.25})
