from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.stages import STAGES, begin, check_parameters

SIMULATE = STAGES["simulate"]().model_dump()


@pytest.fixture(autouse=True)
def with_toy(toy_project: Path) -> None:
    """The stages load the toy study."""


def names(stage: str, **given: Any) -> dict[str, Any]:
    """What ``globals()`` of a notebook hold when its parameters have been set."""
    study = {"study": "toy"} if "study" in STAGES[stage].model_fields else {}
    return {"__name__": "__main__", "_i1": "", "open": open, **STAGES[stage]().model_dump(), **study, **given}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_begins_with_its_defaults(stage: str) -> None:
    begun = begin(stage, names(stage))
    assert begun.parameters == STAGES[stage](**({"study": "toy"} if stage not in ("report", "thirty") else {}))
    assert begun.arms == load_arms() and begun.title.startswith(f"{stage}: run = scratch")


@pytest.mark.parametrize(
    ("stage", "given", "said"),
    [
        ("simulate", {"sed": 3}, r"stage 'simulate' has no parameter 'sed'; did you mean 'seed'\? Allowed: arm, batch"),
        ("simulate", {"none": None}, "has no parameter 'none'"),
        ("simulate", {"seed": "many"}, "The parameter 'seed' of 'simulate': .*integer.*, got 'many'"),
        ("finetune", {"arm": "tuned_all_25_t0"}, "The stage 'finetune' cannot use the arm 'tuned_all_25_t0'; allowed"),
        ("simulate", {"people": "some"}, "The parameter 'people' of 'simulate': .*'held-out' or 'all', got 'some'"),
        ("simulate", {"run": "../up"}, "The parameter 'run' of 'simulate': must be a name of letters"),
        ("simulate", {"study": "toi"}, r"There is no study 'toi' under .*; did you mean 'toy'"),
        ("simulate", {"arm": "bass"}, r"There is no arm 'bass'; did you mean 'base'"),
        ("simulate", {"arm": "logit_all_25"}, "'simulate' cannot use the arm 'logit_all_25'; allowed: base, "),
        ("finetune", {"arm": "base"}, "The stage 'finetune' cannot use the arm 'base'; allowed: tuned_one_25, "),
        ("baselines", {"pilot": "all_52"}, r"There is no pilot design 'all_52'; did you mean 'all_25'"),
        ("divergence", {"against": "none"}, "The parameter 'against' of 'divergence'"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(stage: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        begin(stage, names(stage, **given))
    assert "\n" not in str(caught.value)


def test_a_parameter_that_is_not_set_is_named() -> None:
    given = names("simulate")
    del given["seed"], given["draws"]
    with pytest.raises(InputError, match=r"'simulate' does not set the parameter\(s\) seed, draws"):
        begin("simulate", given)


def test_an_unknown_stage_lists_the_known() -> None:
    with pytest.raises(InputError, match="There is no stage 'simulation'; did you mean 'simulate'"):
        check_parameters("simulation", {})
    with pytest.raises(InputError, match="There is no stage 'simulation'"):
        begin("simulation", {"__name__": "__main__"})


def test_a_notebook_can_be_run_again_when_its_cells_have_set_names() -> None:
    given = names("simulate")
    begin("simulate", given)
    given |= {"table": 3, "path": "x"}
    given["seed"] = 5
    assert begin("simulate", given).parameters.model_dump()["seed"] == 5
    given["seed"] = -5
    with pytest.raises(InputError, match="'seed'"):
        begin("simulate", given)


def test_a_number_may_stand_for_its_text() -> None:
    # papermill reads `-p seeds 1` as a number.
    assert begin("divergence", names("divergence", seeds=1)).parameters.seeds == "1"


def test_a_stage_knows_its_places_and_records_itself() -> None:
    begun = begin("simulate", names("simulate", run="r", seed=2))
    begun.record("simulate-base-s2", rows=3)
    path = begun.places.folder / "records" / "simulate-base-s2.json"
    record = json.loads(path.read_text())
    assert (record["stage"], record["rows"]) == ("simulate", 3)
    assert 0 <= record["wall_seconds"] < 60 and record["peak_memory_mib"] > 10
    assert record["parameters"] == SIMULATE | {"study": "toy", "run": "r", "seed": 2}
    assert begun.study.name == "toy"


def test_the_report_has_no_single_study() -> None:
    with pytest.raises(InputError, match="does not work on one study"):
        _ = begin("report", names("report")).study
