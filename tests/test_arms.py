from __future__ import annotations

from pathlib import Path

import pytest

from pilotlm.arms import BASELINES, load_arms
from pilotlm.errors import InputError

GOOD = """
pilots:
  half: {label: Half, treatments: all, share: 0.5}
  one:  {label: One, treatments: one, share: 1}
arms:
  base:  {label: Base, answerer: base, pilot: half}
  tuned: {label: Tuned, answerer: tuned, pilot: half, persona: false}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "arms.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_pilot_design_gets_its_baselines(tmp_path: Path) -> None:
    arms = load_arms(write(tmp_path, GOOD))
    assert [arm for arm in arms.arms if arms.arm(arm).is_model] == ["base", "tuned"]
    for pilot in ("half", "one"):
        assert [arm.name for arm in arms.baselines_of(pilot)] == [f"{baseline}_{pilot}" for baseline in BASELINES]
    assert arms.arm("logit_one").answerer == "logit" and not arms.arm("logit_one").is_model
    assert arms.arm("base").persona and not arms.arm("tuned").persona
    assert arms.pilot("half").share == 0.5 and not arms.pilot("half").balanced


def test_an_arm_may_keep_its_pilot_over_the_seeds() -> None:
    arms = load_arms()
    kept, anew = arms.arm("tuned_all_25_same_pilot"), arms.arm("tuned_all_25")
    assert [kept.draws_pilot_by(seed) for seed in (1, 2, 3)] == [1, 1, 1]
    assert [anew.draws_pilot_by(seed) for seed in (1, 2, 3)] == [1, 2, 3]
    # It is no arm of the paper's, so that no verdict on "every fine-tuned model" counts one pilot twice.
    assert kept.is_variant and not anew.is_variant and arms.unshuffled(kept) is None


def test_a_negative_control_knows_what_it_is_held_against() -> None:
    arms = load_arms()
    assert arms.arm("tuned_all_25").shuffled == "" and arms.unshuffled(arms.arm("tuned_all_25")) is None
    for what in ("personas", "answers"):
        control = arms.arm(f"tuned_all_25_shuffled_{what}")
        assert control.shuffled == what and arms.unshuffled(control) == arms.arm("tuned_all_25")
    assert [arm.answerer for arm in arms.baselines_of("all_25") if not arm.has_predictions] == ["bootstrap"]


def test_the_shipped_arms_are_those_of_the_study_plan() -> None:
    arms = load_arms()
    models = {name: (arm.answerer, arm.pilot, arm.persona) for name, arm in arms.arms.items() if arm.is_model}
    assert models["base"][0] == "base"
    assert models["tuned_all_25_nopersona"] == ("tuned", "all_25", False)
    shares = {name: (design.treatments, design.share, design.balanced) for name, design in arms.pilots.items()}
    assert {("one", 0.25, False), ("one", 1.0, False), ("all", 0.25, False), ("all", 0.25, True)} <= set(
        shares.values()
    )
    assert len({arm.label for arm in arms.arms.values()}) == len(arms.arms)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("answerer: base", "answerer: bass", r"arms > base > answerer: .*'base', 'tuned' or 'pooled'.*\(got 'bass'\)"),
        ("share: 0.5", "share: 1.5", r"pilots > half > share: .*less than or equal to 1.*\(got 1.5\)"),
        ("share: 0.5", "share: 0", r"pilots > half > share: .*greater than 0"),
        ("half, persona", "hale, persona", r"arm 'tuned' names the pilot 'hale'; did you mean 'half'\? Allow"),
        ("persona:", "personae:", r"unknown key 'personae' in arms > tuned; did you mean 'persona'\? Allowed: ad"),
        ("0.5}", "0.5, ballanced: true}", r"unknown key 'ballanced' in pilots > half; did you mean 'balanced'"),
        ("pilots:", "pilot:", r"unknown key 'pilot' in the file; did you mean 'pilots'"),
        (", treatments: all", "", r"the key 'treatments' is missing in pilots > half\."),
        ("pilot: half, persona: false", "pilot: half, shuffled: rows", "arms > tuned > shuffled: .*'personas' or 'an"),
        ("base, pilot: half", "base, pilot: half, shuffled: answers", "only a fine-tuned arm learns"),
        (GOOD, "", "made of 'key: value' lines"),
        (GOOD, "a:\n- [", r"arms.yml, line 2: not valid YAML: .*"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InputError, match=said) as caught:
        load_arms(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(InputError, match=r"other.yml is missing; there are: arms"):
        load_arms(tmp_path / "other.yml")


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    arms = load_arms(write(tmp_path, GOOD))
    with pytest.raises(InputError, match=r"no arm 'tund'; did you mean 'tuned'. Allowed: base, bootstrap_half"):
        arms.arm("tund")
    with pytest.raises(InputError, match=r"no pilot design 'whole'; .*half, one"):
        arms.pilot("whole")
