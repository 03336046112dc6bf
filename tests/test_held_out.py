"""Nobody whose answers an arm was fitted on is held against its predictions, or corrects them, on any path."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pilotlm.analyses.common import Compared
from pilotlm.analyses.decision import decide
from pilotlm.analyses.rectification import known, rectification, targets
from pilotlm.arms import load_arms
from pilotlm.baselines.fit import baselines
from pilotlm.collecting import collect
from pilotlm.data.pilot import draw_pilot
from pilotlm.errors import InputError
from pilotlm.records import write_parquet
from pilotlm.responses import write_responses
from pilotlm.stages import ANALYSES, STAGES, begin
from pilotlm.stats.ppi import Sample, logit_tuned, mean_sample, prediction_powered, rectified_mean, refuse_pilot, tuned
from truth.worlds import TARGETS, task_of

SAID = r"1 of the people whose answers check or correct the predictions .* \(participants 7\)"


def test_the_rule_itself():
    refuse_pilot([1, 2, 3], [4, 5])
    refuse_pilot([], [])
    with pytest.raises(InputError, match=r"Here: 2 of the people .* \(participants 2, 3\)"):
        refuse_pilot(np.array([[1, 2], [3, 2]]), {2, 3, 4}, "Here: ")


@pytest.fixture
def numbers():
    rng = np.random.default_rng(1)
    y = rng.normal(size=40)
    return y, y + rng.normal(size=40), rng.normal(size=100)


@pytest.mark.parametrize("estimator", [rectified_mean, mean_sample])
def test_means_refuse_the_pilot(numbers, estimator):
    estimator(*numbers, participants=np.arange(40), pilot=range(40, 60))
    with pytest.raises(InputError, match=SAID):
        estimator(*numbers, participants=np.arange(40), pilot=[7, 50])
    with pytest.raises(TypeError, match="participants"):
        estimator(*numbers)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_estimator_gets_a_sample_with_people_of_the_pilot(name):
    task = task_of(TARGETS[name], "good", 40, np.random.default_rng(2))
    honest = replace(task.sample, pilot=(41, 42))
    for estimator in (logit_tuned,) if task.kind == "logit" else (tuned, prediction_powered):
        estimator(honest)
    for change in ({"pilot": (7, 50)}, {"participants": np.arange(40) + 34, "pilot": (41, 42)}):
        with pytest.raises(InputError, match="of the people whose answers check or correct the predictions"):
            replace(task.sample, **change)
    arrays = [getattr(task.sample, f) for f in ("outcome", "predicted", "predictors", "unlabelled")]
    with pytest.raises(TypeError, match="participants"):
        Sample(*arrays, task.sample.unlabelled_predictors)


# The analyses.


@pytest.fixture
def people(draw_toy_people):
    return draw_toy_people(160, 5)


@pytest.fixture
def held_out(people):
    return people.iloc[40:].reset_index(drop=True)


def test_an_arm_beside_people_of_its_pilot_is_refused(people, held_out):
    pilot = tuple(range(1, 41))
    Compared("tuned_all_25", 1, held_out, held_out, pilot)
    for human, learnt in ((people, pilot), (held_out, (*pilot, 77))):
        with pytest.raises(InputError, match=r"Arm 'pooled_all_25', seed 3: \d+ of the people"):
            Compared("pooled_all_25", 3, held_out, human, learnt)
    with pytest.raises(InputError, match=r"\(participants 50\)"):
        Compared("tuned_all_25", 1, held_out.assign(in_pilot=held_out["participant"] == 50), held_out, pilot)
    with pytest.raises(TypeError, match="pilot"):
        Compared("tuned_all_25", 1, held_out, held_out)


def test_nothing_is_corrected_by_all_people(toy, people):
    everybody = Compared("tuned_all_25", 1, people, people, None)
    with pytest.raises(InputError, match="is compared with all people"):
        known(toy, targets(toy, people), everybody)
    with pytest.raises(InputError, match="is compared with all people"):
        rectification(toy, [everybody], people, load_arms(), "held-out", 20)
    with pytest.raises(InputError, match="is compared with all people"):
        decide(toy, Compared("tuned_all_25", 1, people, people.iloc[40:], None), people, 1000, 0.2)
    assert rectification(toy, [everybody], people, load_arms(), "all", 20).empty


def test_the_pilot_goes_into_every_sample(toy, held_out):
    pilot = tuple(range(1, 41))
    for one in known(toy, targets(toy, held_out), Compared("tuned_all_25", 1, held_out, held_out, pilot)):
        sample = one.task(np.arange(30), np.arange(30, 40)).sample
        assert sample.pilot == pilot and set(sample.participants) <= set(held_out["participant"])
        with pytest.raises(InputError, match="of the people"):
            replace(one, pilot=(*pilot, int(one.participants[3]))).task(np.arange(30), np.arange(30, 40))


@pytest.fixture(scope="module")
def simulated(toy, draw_toy_people):
    """People, and what the logit on the pilot of 25 % says of those held out."""
    people = draw_toy_people(160, 5)
    fitted = baselines(toy, people, load_arms(), "all_25", 1)
    return people, next(one.responses for one in fitted if one.predictions is not None)


@pytest.mark.slow
@pytest.mark.parametrize("analysis", [name for name in ANALYSES if "against" in STAGES[name].model_fields])
@pytest.mark.parametrize("arm", ["tuned_all_25", "pooled_all_25", "base", "logit_all_25"])
def test_every_analysis_refuses_responses_of_an_arm_that_was_fitted_on_held_out_people(
    analysis, arm, toy, simulated, toy_project
):
    people, responses = simulated
    stage = begin(analysis, {**STAGES[analysis]().model_dump(), "study": "toy"})
    write_parquet(stage.places.people, people)
    path = stage.places.responses(arm, 1)
    write_responses(path, toy, responses.assign(arm=arm))
    (one,) = collect(stage).compared
    pilot = draw_pilot(toy, people, load_arms().pilot("all_25"), 1)
    assert one.pilot == pilot.participants and set(one.human["participant"]) == set(pilot.held_out)

    # Everybody was simulated: those of the pilot are left out, and nothing is wrong.
    pilots = people[people["participant"].isin(pilot.participants)].assign(arm=arm, seed=1, in_pilot=True)
    write_responses(path, toy, pd.concat([responses.assign(arm=arm), pilots], ignore_index=True))
    assert set(collect(stage).compared[0].simulated["participant"]) == set(pilot.held_out)

    # Simulated with another pilot than the one that is drawn now.
    who = pilot.held_out[4]
    write_responses(path, toy, responses.assign(arm=arm, in_pilot=responses["participant"] == who))
    with pytest.raises(InputError, match=rf"Arm '{arm}', seed 1: 1 of the people .* \(participants {who}\)"):
        collect(stage)
