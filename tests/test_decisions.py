"""Verdicts and targets: hand-worked cases, known truth, and what they say of people who predict themselves."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from pilotlm.analyses.common import Compared
from pilotlm.analyses.decision import Decision, allocation, decide
from pilotlm.analyses.rectification import Answer, Target, answers, known, rectification, targets
from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.records import project_folder
from pilotlm.report.decision_page import (
    MISLEADING,
    NOBODY,
    NOT_SHOWN,
    advice,
    change,
    decided_in_words,
    decision_record,
    settling,
    stamp_table,
    target_table,
)
from pilotlm.stats.decision import (
    Judgement,
    TruthOfTask,
    judge,
    known_of,
    least_correlation,
    people_to_pay,
    people_to_settle,
    worth,
)
from pilotlm.stats.estimators import Task
from pilotlm.stats.intervals import Estimate
from pilotlm.stats.ppi import mean_sample

# What is told of one target.


def task(outcome, predicted):
    sample = mean_sample(outcome, predicted, [], participants=np.arange(len(outcome)), pilot=())
    return Task("mean", sample)


@pytest.fixture
def crowd():
    return np.random.default_rng(1).normal(size=400)


def test_predictions_that_are_the_answers_may_be_used(crowd):
    found = judge(task(crowd, crowd), 50, 1000)
    assert found.bias.value == 0 and found.correlation.value == pytest.approx(1)


def test_bias_decides_and_its_interval_is_that_of_two_one_sided_tests(crowd):
    noise = np.random.default_rng(2).normal(size=400)
    near = judge(task(crowd, 0.5 * crowd + 0.02 + 0.1 * noise), 50, 1000)
    assert near.verdict == "use" and near.bias.low < near.bias.value < near.bias.high < 0.2
    far = judge(task(crowd, 0.9 * crowd + 1), 50, 1000)
    assert far.verdict == "use with rectification" and far.bias.low > 0.2
    difference = far.bias.value * crowd.std(ddof=1)
    assert difference == pytest.approx((0.9 * crowd + 1 - crowd).mean())
    useless = judge(task(crowd, 1 + noise), 50, 1000)
    assert useless.verdict == "do not use" and useless.place == "outside"
    assert judge(task(crowd, np.ones(400)), 50, 1000).verdict == "do not use"
    with pytest.raises(InputError, match="above 0"):
        judge(task(crowd, crowd), 50, 1000, margin=0)


def test_a_useless_model_is_rarely_recommended():
    # Each end of a 95 % interval is passed in 2.5 % of draws: 5 % of 400 is 20, and 4 standard errors more are 37.
    rng, wrong = np.random.default_rng(3), 0
    for _ in range(400):
        wrong += judge(task(rng.normal(size=60), 3 + rng.normal(size=60)), 1, 1e9).verdict != "do not use"
    assert wrong <= 37


def test_only_an_interval_beyond_the_margin_shows_that_predictions_mislead():
    rng = np.random.default_rng(5)
    for n, shift in zip(rng.integers(4, 300, 200), rng.normal(0, 0.5, 200), strict=True):
        people = rng.normal(size=n)
        found = judge(task(people, rng.normal(shift, 1, n)), 20, 1000)
        inside = found.bias.low > -0.2 and found.bias.high < 0.2
        outside = found.bias.low > 0.2 or found.bias.high < -0.2
        expected = "inside" if inside else "outside" if outside else "open"
        assert found.place == (expected if n >= 20 else "open") and (found.verdict == "use") == (
            found.place == "inside"
        )
        assert found.to_settle == n if found.place != "open" else found.to_settle >= 20


@pytest.mark.parametrize("bias", [0, 0.1, 0.3, -0.35])
def test_as_many_people_as_are_named_settle_where_a_bias_lies(bias):
    rng = np.random.default_rng(6)
    # An answer of variance 1, predicted with an error of its own: the bias of one person has the variance 1 + .25.
    error = np.sqrt(1.25 / 50)
    needed = people_to_settle(Estimate(bias, bias - 1.645 * error, bias + 1.645 * error, 50), 0.2)
    n = int(np.ceil(needed))
    settled = [
        judge(task(people, rng.normal(bias, 0.5, n)), 20, 1000).place
        for people in (rng.normal(size=n) for _ in range(400))
    ]
    share = settled.count("inside" if abs(bias) < 0.2 else "outside") / 400
    assert share >= 0.8 - 4 * np.sqrt(0.8 * 0.2 / 400)
    # No more than about twice the people of whom it is an even chance, so that nobody is asked in vain.
    assert needed < 3.5 * 50 * (1.645 * error / abs(0.2 - abs(bias))) ** 2


def test_people_to_settle_by_hand():
    # (1.645 + 1.282)² s² / (margin - |bias|)² with s² = 50 · .1² = .5.
    found = people_to_settle(Estimate(0.1, 0.1 - 0.1645, 0.1 + 0.1645, 50), 0.2)
    assert found == pytest.approx(2.927**2 * 0.5 / 0.1**2, rel=1e-3)
    assert people_to_settle(Estimate(0.2, 0.1, 0.3, 50), 0.2) == np.inf
    assert np.isnan(people_to_settle(Estimate(np.nan, np.nan, np.nan, 50), 0.2))
    assert people_to_settle(Estimate(0, -0.01, 0.01, 50), 0.2, least=20) == 20
    # Of a share, five people at least must have given either answer.
    rare = np.repeat([0.0, 1.0], [97, 3])
    assert judge(task(rare, rare + 1e-3 * np.arange(100)), 20, 1000).to_settle >= 100 * 5 / 3


def test_what_is_true_and_how_a_verdict_is_wrong():
    assert [TruthOfTask(True, False).wrong(v) for v in ("use", "use with rectification", "do not use")] == [
        "", "wrongly rectified", "wrongly refused",
    ]  # fmt: skip
    assert (
        TruthOfTask(False, False).wrong("use") == "wrongly used" and TruthOfTask(False, False).wrong("do not use") == ""
    )
    crowd = np.random.default_rng(4).normal(size=1000)
    truth = known_of(judge(task(crowd, crowd + 5), 50, 1000), 100, 20, 1000)
    assert truth == TruthOfTask(may_use=False, pays=True)
    # Predictions that never vary go together with nothing, so that nothing is gained from them.
    assert known_of(judge(task(crowd, np.full(1000, 9)), 50, 1000), 100, 20, 1000) == TruthOfTask(False, False)


def test_people_to_pay_by_hand():
    # At a correlation of .6 one person is worth 1 / .64: n / .64 = n + 36 at n = 64.
    assert people_to_pay(0.6, 36) == pytest.approx(64)
    assert worth(100, 36, 0.6, 1e12) == pytest.approx(100)
    assert people_to_pay(0, 36) == np.inf


def test_allocation_is_worth_at_every_split():
    curve = allocation(200, 0.5, 1000)
    assert curve.worth[0] == pytest.approx(worth(200, 0, 0.5, 1000)) and curve.needed[0] == 0
    k = 20
    assert curve.worth[k] == pytest.approx(worth(200, curve.teaching[k], 0.5, 1000))
    assert curve.needed[k] == pytest.approx(least_correlation(200, curve.teaching[k], 1000))
    # So that with the needed correlation the split is worth all of them.
    assert worth(200, curve.teaching[k], curve.needed[k], 1000) == pytest.approx(200)


# What is estimated in a study.


def beside(people, simulated=None):
    """People who were held out, beside what an arm says of them; they predict themselves where that is not given."""
    return Compared("tuned_all_25", 1, people if simulated is None else simulated, people, ())


def test_targets_of_the_toy_study(toy, toy_people):
    odds, leave = ["odds_none", "odds_small", "odds_big"], ["leave=0", "leave=1", "leave=2"]
    assert [a.name for a in answers(toy)] == ["fear", *odds, *leave]
    names = [t.name for t in targets(toy, toy_people)]
    assert "mean: fear" in names and any(name.startswith("effect: fear ~ ") for name in names)
    assert len(names) == len(set(names))


def test_people_who_predict_themselves_have_the_numbers_of_people(toy, toy_people):
    for one in known(toy, targets(toy, toy_people), beside(toy_people)):
        assert (one.outcome == one.predicted).all()
        assert len(one.predictors) == len(one.outcome)
    effects = [one for one in known(toy, targets(toy, toy_people), beside(toy_people)) if one.target.kind == "effect"]
    group = toy_people[toy_people["treatment"].isin([effects[0].target.of, effects[0].target.against])]
    assert len(effects[0].outcome) == len(group)


def test_expected_answers_are_used_and_draws_are_averaged(toy, toy_people):
    twice = pd.concat([toy_people.assign(fear=1), toy_people.assign(fear=3)], ignore_index=True)
    wanted = targets(toy, toy_people)[:1]
    assert (known(toy, wanted, beside(toy_people, twice))[0].predicted == 2).all()
    expected = toy_people.assign(fear=1, expected_fear=2.5)
    assert (known(toy, wanted, beside(toy_people, expected))[0].predicted == 2.5).all()
    parts = toy_people.assign(expected_odds_none=10.0, expected_odds_small=20.0)
    big = [t for t in targets(toy, toy_people) if t.name == "mean: odds_big"]
    assert (known(toy, big, beside(toy_people, parts))[0].predicted == 70).all()


@pytest.fixture
def held_out(draw_toy_people):
    """The people of the toy study whom an arm that learnt from the first forty of 160 is compared with."""
    return draw_toy_people(160, 5).iloc[40:].reset_index(drop=True)


@pytest.fixture
def decided(toy, draw_toy_people, held_out):
    """The decision on an arm that answered in this way."""
    return lambda simulated: decide(toy, beside(held_out, simulated), draw_toy_people(160, 5), 1000, 0.2)


def test_a_decision_counts_who_taught(toy, held_out, decided):
    found = decided(held_out)
    assert (found.teaching, found.asked, found.verdict) == (40, 120, "use")
    shuffled = held_out.assign(**{
        c: np.random.default_rng(6).permutation(held_out[c]) for c in toy.answer_columns if not c.startswith("odds")
    })  # fmt: skip
    said = decided(shuffled)
    fear = next(j for t, j in zip(said.targets, said.judged, strict=True) if t.name == "mean: fear")
    # The mean of the same people, in another order: no bias, but nothing that is worth anything either.
    assert fear.bias.value == pytest.approx(0, abs=1e-12) and fear.verdict == "do not use"
    with pytest.raises(InputError, match="not learnt from"):
        decide(toy, Compared("tuned_all_25", 1, held_out, held_out, None), held_out, 1000, 0.2)


def answered(judged, asked=100, held_out=100):
    """A decision on targets of which only what is judged matters."""
    wanted = tuple(Target(replace(ANSWER, column=f"q{k}"), "mean", "", f"target {k}") for k in range(len(judged)))
    return Decision("tuned_all_25", 1, wanted, tuple(judged), 30, asked, held_out, 0.2, 1000)


ANSWER = Answer("fear", "Fear", None, "belief", (1, 2, 3, 4), (1.0, 2.0, 3.0, 4.0))


def found(bias, half, n=100):
    """A judgement on a bias with its interval; predictions are worth nothing."""
    estimate = Estimate(bias, bias - half, bias + half, n)
    nothing = Estimate(0, -0.2, 0.2, n)
    place = "inside" if abs(bias) + half < 0.2 else "outside" if abs(bias) - half > 0.2 else "open"
    settled = float(n) if place != "open" else people_to_settle(estimate, 0.2)
    verdict = "use" if place == "inside" else "do not use"
    worth_of_all = Estimate(float(n), float(n), n + 1.0, n)
    return Judgement(estimate, nothing, worth_of_all, n + 30, 0.5, verdict, "", place, settled)


def test_a_page_says_mislead_only_where_an_interval_lies_beyond_the_margin():
    arms = load_arms()
    wide, inside, outside = found(0.3, 0.2), found(0, 0.1), found(0.5, 0.1)
    for judged in ([wide], [inside, wide], [wide, found(-0.15, 0.1)]):
        said = advice([answered(judged)], arms)
        assert NOT_SHOWN in said and "mislead" not in said
        assert "would show that" in change([answered(judged)], arms)
    said = advice([answered([inside, wide, outside])], arms)
    assert MISLEADING in said and NOT_SHOWN not in said and "on 1 of 3 targets" in said and "target 2" in said
    said = advice([answered([inside, inside])], arms)
    assert "mislead" not in said and NOT_SHOWN not in said and "may stand for answers of people" in said
    # Of several seeds, and from the record, the same is said.
    seeds = [answered([wide]), replace(answered([outside]), seed=2)]
    assert MISLEADING in advice(seeds, arms) and MISLEADING in decided_in_words(record_of(seeds))
    assert "mislead" not in decided_in_words(record_of([answered([wide])]))


def record_of(decisions):
    study = SimpleNamespace(name="toy")
    return json.loads(json.dumps(decision_record(study, decisions), allow_nan=False))


def test_the_people_who_would_settle_a_decision():
    near, far, outside, inside = found(0.1, 0.2), found(0.4, 0.22), found(0.6, 0.1), found(0, 0.1)
    # All must be shown to be within the margin, so the target that needs most decides ...
    assert answered([near, inside, found(0.05, 0.2)]).to_settle == pytest.approx(near.to_settle)
    # ... but one that is beyond it is enough against it.
    assert answered([near, far]).to_settle == pytest.approx(far.to_settle) and far.to_settle < near.to_settle
    assert answered([near, outside]).to_settle == answered([inside]).to_settle == 100
    unknown = found(float("nan"), float("nan"))
    assert np.isnan(answered([near, unknown]).to_settle) and answered([far, unknown]).to_settle > 100
    # An effect that a third of the people tell of needs three times as many of all.
    third = replace(near, bias=replace(near.bias, n=33))
    assert answered([third], asked=99).to_settle == pytest.approx(3 * near.to_settle)


def test_how_many_people_and_simulations_would_settle_it_is_said():
    near = found(0.1, 0.2)
    assert near.to_settle == pytest.approx(100 * (2.927 / 1.645 * 0.2 / 0.1) ** 2, rel=1e-2)
    said = settling(answered([near]))
    assert "about 1,300 held-out participants, each simulated once, in place of 100" in said and "80 %" in said
    assert "would show that the bias on each of these targets lies within the margin" in said
    assert "would show that the bias on target 1 lies outside the margin" in settling(
        answered([near, found(0.4, 0.22)])
    )
    said = settling(answered([near], held_out=5000))
    assert "simulating about 1,300 of the 5,000 held-out participants, not 100" in said
    assert "cannot be told" in settling(answered([found(float("nan"), float("nan"))]))
    assert "so near to the margin" in settling(answered([found(0.2, 0.1)]))


def test_where_nobody_can_be_judged_the_page_says_so(toy):
    arms = load_arms()
    assert advice([], arms) == decided_in_words(record_of([])) == NOBODY
    assert stamp_table(toy, [], arms, "").empty and target_table([]).empty


HOUSE_WORDS = re.compile(
    r"opponent|\blaws?\b|taught|teach|rectif|worth so many|\bfloor|\bceiling|\bduel|\blead(s|ing)?\b|\bmirrored",
    re.IGNORECASE,
)
"""Words that the field does not use in this sense."""


@pytest.mark.parametrize("name", ["12-rectification", "13-decision"])
def test_the_words_of_the_decision_notebooks_are_those_of_the_field(name):
    notebook = nbformat.read(project_folder() / "notebooks" / f"{name}.ipynb", as_version=4)
    said = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    said += [line for c in notebook.cells if c.cell_type == "code" for line in c.source.splitlines() if "-cap:" in line]
    path = r"`[^`]*`"
    assert len(said) >= 8 and not [text for text in said if HOUSE_WORDS.search(re.sub(path, "", text))]


def test_the_words_of_the_decision_page_are_those_of_the_field(toy, held_out, decided):
    arms = load_arms()
    far = held_out.assign(fear=held_out["fear"].max())
    shuffled = held_out.assign(fear=np.random.default_rng(6).permutation(held_out["fear"]))
    for simulated in (held_out, far, shuffled):
        one = decided(simulated)
        tables = [target_table([one]), stamp_table(toy, [one], arms, "a model")]
        said = [advice([one], arms), change([one], arms), *(table.to_string() for table in tables)]
        assert not [text for text in said if HOUSE_WORDS.search(text)]


def test_the_error_rate_stands_directly_beneath_the_verdict():
    cells = nbformat.read(project_folder() / "notebooks" / "13-decision.ipynb", as_version=4).cells
    verdict = next(k for k, cell in enumerate(cells) if cell.cell_type == "code" and "advice(" in cell.source)
    assert cells[verdict + 1].cell_type == "code" and "label: tbl-trust" in cells[verdict + 1].source


def test_targets_of_different_numbers_of_people_stand_in_the_same_columns(held_out, decided):
    found = decided(held_out)
    fewer = (*found.judged[:-1], replace(found.judged[-1], people=80))
    table = target_table([replace(found, judged=fewer)])
    assert table["People"].tolist() == [*["160"] * (len(fewer) - 1), "80"]
    assert not table.isna().any(axis=None)


@pytest.mark.slow
def test_the_analysis_scores_intervals_on_the_people_themselves(toy, draw_toy_people):
    people = draw_toy_people(200, 7)
    held_out = people.iloc[50:].reset_index(drop=True)
    top = held_out["fear"].max()
    far, flat = held_out.assign(fear=top - (np.arange(len(held_out)) % 20 == 0)), held_out.assign(fear=top)
    arms = [Compared("tuned_all_25", seed, said, held_out, ()) for seed, said in ((1, far), (2, flat))]
    both = rectification(toy, arms, people, load_arms(), "held-out", 100)
    table = both[both["seed"] == 1]
    coverage = table[(table["metric"] == "estimator_coverage") & (table["item"] == "mean") & (table["n"] == 50)]
    by_method = coverage.set_index("subgroup")["estimate"]
    # Four standard errors of a share of .95 in the fewest replications that are averaged.
    assert by_method["tuned"] > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 100)
    assert by_method["simulation"] < by_method["tuned"]
    fear = both[(both["metric"] == "answer_correlation") & (both["item"] == "mean: fear") & (both["seed"] == 2)]
    assert len(fear) and fear["estimate"].isna().all()  # what never varies goes together with nothing
    assert rectification(toy, [], people, load_arms(), "held-out", 100).empty


def test_an_answer_that_never_varies_is_left_out(toy, draw_toy_people):
    people = draw_toy_people(200, 8).assign(fear=1)
    held_out = people.iloc[50:].reset_index(drop=True)
    table = rectification(toy, [beside(held_out)], people, load_arms(), "held-out", 20)
    scored = table[table["metric"].str.match("estimator|wrongly")]
    numbers = scored[["estimate", "low", "high"]].to_numpy(dtype=float)
    assert not np.isinf(numbers).any()
    assert set(scored["n"]) == {20, 50, 100}
