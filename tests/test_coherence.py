"""Coherence rules on hand-made answers, independence against shuffling, and the real studies' published gaps."""

import known_truth
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from pilotlm.errors import InputError
from pilotlm.stats.coherence import gap, gap_under_independence, incoherent
from pilotlm.study import MaximisesExpectedPay, NearestOption, SignAgreement, Study, Threshold


def a_study(*questions, treatments=("all",)):
    """A study with these questions and nothing else."""
    words = dict.fromkeys(("title", "about", "citation", "licence", "rights", "instructions"), "words")
    return Study.model_validate({
        "name": "tiny", **words, "source": {"kind": "file", "file": "none.csv"},
        "treatments": [{"name": name, "label": name, "scenario": "s"} for name in treatments],
        "persona": [{"name": "age", "range": [18, 99], "text": "{value} years"}], "questions": list(questions),
    })  # fmt: skip


def gap_of_all_pairs(rule, study, answers):
    """Every row's beliefs with every row's action of the treatment, its own too: the figure usually published."""
    sums = np.zeros(2)
    for _, rows in answers.groupby("treatment"):
        n = len(rows)
        pairs = rows.iloc[np.repeat(np.arange(n), n)].assign(**{rule.action: np.tile(rows[rule.action], n)})
        flags = incoherent(rule, study, pairs)
        sums += np.array([np.nansum(flags), (~np.isnan(flags)).sum()]) / n
    return sums[0] / sums[1]


def scale(name, low, high, role="belief"):
    return {"kind": "scale", "name": name, "role": role, "text": name, "low": low, "high": high}


def choice(name, *codes):
    options = [{"code": code, "text": str(code)} for code in codes]
    return {"kind": "choice", "name": name, "role": "action", "text": name, "options": options}


THRESHOLD = Threshold(kind="threshold", belief="b", at_least=6, action="a")
THRESHOLD_STUDY = a_study(scale("b", 0, 10), choice("a", 0, 1), treatments=("x", "y"))


def test_threshold():
    answers = pd.DataFrame({"b": [6, 6, 5, 5, np.nan], "a": [1, 0, 1, 0, 1], "treatment": "x"})
    assert incoherent(THRESHOLD, THRESHOLD_STUDY, answers) == pytest.approx([0, 1, 1, 0, np.nan], nan_ok=True)


def test_nearest_option():
    study = a_study(scale("me", 1, 7), scale("c", 1, 7), scale("d", 1, 7), choice("vote", 0, 1, 2))
    rule = NearestOption(kind="nearest_option", position="me", options={0: "c", 1: "d"}, action="vote")
    answers = pd.DataFrame(
        {"me": [2, 2, 4, 4, 2], "c": [1, 1, 3, 4, 1], "d": [6, 6, 5, 4, 6], "vote": [0, 1, 1, 0, 2], "treatment": "all"}
    )
    # Nearest chosen; farther chosen; tie on both sides; tie at the same place; an action that is no option.
    assert incoherent(rule, study, answers) == pytest.approx([0, 1, np.nan, np.nan, np.nan], nan_ok=True)


def test_sign_agreement():
    study = a_study(*(scale(q, -2, 2) for q in ("b1", "b2", "a1", "a2")))
    rule = SignAgreement(kind="sign_agreement", pairs=(("b1", "a1"), ("b2", "a2")))
    answers = pd.DataFrame(
        {"b1": [1, 1, 0, 2], "a1": [2, -1, -1, 1], "b2": [-1, 1, 0, -1], "a2": [-2, 1, 1, 1], "treatment": "all"}
    )
    assert incoherent(rule, study, answers).tolist() == [0, 1, 0, 1]


PAY_STUDY = a_study(
    {
        "kind": "allocation",
        "name": "belief",
        "role": "belief",
        "text": "b",
        "parts": [{"name": "none", "text": "n"}, {"name": "guard", "text": "g"}],
    },
    choice("raid", 0, 1),
    treatments=("x", "y"),
)
PAY = MaximisesExpectedPay(
    kind="maximises_expected_pay",
    belief="belief",
    action="raid",
    pay={"x": {0: (2, 2), 1: (10, -2)}, "y": {0: (2, 2), 1: (4, -2)}},
)


def test_expected_pay():
    # In x the raid pays 12 p - 2: worth it from p = 1/3, a tie there; in y 6 p - 2: worth it from p = 2/3.
    answers = pd.DataFrame(
        {
            "belief_none": [50, 50, 50, 50, 100 / 3, 100 / 3],
            "belief_guard": [50, 50, 50, 50, 200 / 3, 200 / 3],
            "raid": [1, 0, 1, 0, 0, 1],
            "treatment": ["x", "x", "y", "y", "x", "x"],
        }
    )
    assert incoherent(PAY, PAY_STUDY, answers).tolist() == [0, 1, 1, 0, 0, 0]
    with pytest.raises(InputError, match="No pay is given for the treatment 'z'"):
        incoherent(PAY, PAY_STUDY, answers.assign(treatment="z"))


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="needs the column 'a'"):
        gap(THRESHOLD, THRESHOLD_STUDY, pd.DataFrame({"b": [1], "treatment": ["x"]}))
    twice = Threshold(kind="threshold", belief="b", at_least=6, action="b")
    with pytest.raises(InputError, match="same column"):
        gap(twice, THRESHOLD_STUDY, pd.DataFrame({"b": [1], "treatment": ["x"]}))


def test_independence_by_hand():
    def level(rule, study, answers):
        return gap_under_independence(rule, study, answers).value

    # In x everybody believes and acts, in y nobody does: no pairing within a treatment is incoherent.
    apart = pd.DataFrame({"b": [8] * 30 + [2] * 10, "a": [1] * 30 + [0] * 10, "treatment": ["x"] * 30 + ["y"] * 10})
    assert level(THRESHOLD, THRESHOLD_STUDY, apart) == 0
    assert level(THRESHOLD, THRESHOLD_STUDY, apart.assign(treatment="x")) == pytest.approx(2 * 30 * 10 / (40 * 39))
    # x: 6 of the 12 pairs of different rows are incoherent; y: all believe, nobody acts: all. Weights 4 and 12.
    weighted = pd.DataFrame({
        "b": [8, 8, 2, 2] + [8] * 12, "a": [1, 0, 1, 0] + [0] * 12, "treatment": ["x"] * 4 + ["y"] * 12
    })  # fmt: skip
    assert level(THRESHOLD, THRESHOLD_STUDY, weighted) == pytest.approx((4 * 0.5 + 12) / 16)
    # Each treatment has its own pay: at even odds to raid is best in x and not in y.
    raids = pd.DataFrame({
        "belief_none": [50] * 4, "belief_guard": [50] * 4, "raid": [1, 0, 1, 0], "treatment": ["x", "x", "y", "y"]
    })  # fmt: skip
    assert level(PAY, PAY_STUDY, raids) == level(PAY, PAY_STUDY, raids.assign(raid=1)) == pytest.approx(0.5)
    assert level(PAY, PAY_STUDY, raids.assign(raid=1, treatment="y")) == 1


def test_independence_takes_each_pair_of_different_rows():
    study = a_study(scale("me", 1, 7), scale("c", 1, 7), scale("d", 1, 7), choice("vote", 0, 1))
    rule = NearestOption(kind="nearest_option", position="me", options={0: "c", 1: "d"}, action="vote")
    rng = np.random.default_rng(10)
    answers = pd.DataFrame(rng.integers(1, 8, (13, 3)), columns=["me", "c", "d"])
    answers = answers.assign(vote=rng.integers(0, 2, 13), treatment=["x"] * 8 + ["y"] * 4 + ["z"])
    study = study.model_copy(update={"treatments": THRESHOLD_STUDY.treatments})

    def by_hand(table):
        sums = np.zeros(2)
        for _, rows in table.groupby("treatment"):
            n = len(rows)
            pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
            if not pairs:
                continue
            both = rows.iloc[[i for i, _ in pairs]].assign(vote=rows["vote"].to_numpy()[[j for _, j in pairs]])
            flags = incoherent(rule, study, both)
            sums += n * np.array([np.nansum(flags), (~np.isnan(flags)).sum()]) / len(pairs)
        return sums[0] / sums[1]

    found = gap_under_independence(rule, study, answers)
    assert found.value == pytest.approx(by_hand(answers), abs=1e-12)
    assert found.low < found.value < found.high and found.n == 13


@pytest.mark.slow
@pytest.mark.parametrize(("size", "linked"), [(6, 0.8), (75, 0.0)])
def test_the_level_under_independence_has_no_bias_and_its_interval_covers(linked, size):
    rng = np.random.default_rng(1)
    believe, act = np.repeat([0.3, 0.6, 0.5, 0.7], size), np.repeat([0.5, 0.2, 0.4, 0.6], size)
    treatment = np.repeat(["x", "y", "z", "w"], size)
    study = a_study(scale("b", 0, 10), choice("a", 0, 1), treatments=("x", "y", "z", "w"))
    same = linked * np.minimum(believe, act) + (1 - linked) * believe * act
    truth = np.mean(believe * (1 - act) + (1 - believe) * act)
    found = []
    for _ in range(200):
        b = rng.random(4 * size) < believe
        a = rng.random(4 * size) < np.where(b, same / believe, (act - same) / (1 - believe))
        answers = pd.DataFrame({"b": np.where(b, 8, 2), "a": a.astype(int), "treatment": treatment})
        found.append(gap_under_independence(THRESHOLD, study, answers))
    values = np.array([one.value for one in found])
    # 200 samples: the mean within four of its standard errors; the share that covers has one of .015.
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(200))
    assert 0.9 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.995


def test_nothing_applies():
    answers = pd.DataFrame({"b": [np.nan] * 3, "a": [0, 1, 1], "treatment": "x"})
    for measure in (gap, gap_under_independence):
        found = measure(THRESHOLD, THRESHOLD_STUDY, answers)
        assert np.isnan([found.value, found.low]).all() and found.n == 0


def test_framing_gap_of_people():
    study = a_study(scale("p_harm", 2, 8), choice("cong_mesg", 0, 1), treatments=("t1", "t2", "t3", "t4"))
    rule = Threshold(kind="threshold", belief="p_harm", at_least=6, action="cong_mesg")
    people = known_truth.framing()
    result, independent = (measure(rule, study, people) for measure in (gap, gap_under_independence))
    assert round(100 * result.value, 1) == 36.2 and result.n == 265
    # The known 54.2 % takes the whole sample as one group and all pairs; within its four treatments that is 53.8 %,
    # and without the pairs of people with themselves, which draw it towards the gap, 54.0 %.
    assert round(100 * gap_of_all_pairs(rule, study, people), 1) == 53.8
    assert round(100 * independent.value, 1) == 54.0
    assert round(100 * gap_of_all_pairs(rule, study, people.assign(treatment="t1")), 1) == 54.2
    assert result.high < independent.low < independent.value < independent.high


def test_anes96_gap_of_people():
    table = sm.datasets.anes96.load_pandas().data.assign(treatment="all")
    study = a_study(*(scale(name, 1, 7) for name in ("selfLR", "ClinLR", "DoleLR")), choice("vote", 0, 1))
    rule = NearestOption(kind="nearest_option", position="selfLR", options={0: "ClinLR", 1: "DoleLR"}, action="vote")
    result = gap(rule, study, table)
    assert round(100 * result.value, 1) == 12.4
    assert round(100 * (1 - result.n / 944), 1) == 13.5
    assert gap_under_independence(rule, study, table).value > 0.4
