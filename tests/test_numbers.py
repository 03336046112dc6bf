"""Answers that are numbers count as the numbers that they are, whatever codes stand for them in the tables."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotlm.analyses.accuracy import accuracy
from pilotlm.analyses.coherence import belief_action_coherence
from pilotlm.analyses.common import Compared, Predicted
from pilotlm.analyses.controls import controls
from pilotlm.analyses.decision import decide
from pilotlm.analyses.divergence import divergence
from pilotlm.analyses.heterogeneity import heterogeneity
from pilotlm.analyses.rectification import Known, known, rectification, targets
from pilotlm.analyses.regression import recovery
from pilotlm.analyses.subgroups import subgroups
from pilotlm.arms import load_arms
from pilotlm.baselines.fit import fit_copula, fit_logit
from pilotlm.data.check import describe_study
from pilotlm.data.draft import Roles, draft_study
from pilotlm.data.prompts import shared_text
from pilotlm.data.sources import load_people
from pilotlm.errors import InputError
from pilotlm.predictions import as_predictions, asked_columns, expected_answers
from pilotlm.report.tables import answers_table, people_table, valid_mass_table
from pilotlm.responses import as_numbers, with_analysis_columns
from pilotlm.stats.regressions import fit
from pilotlm.study import Choice, Regression, Scale, Study, load_study

ROLES = Roles(action="given", beliefs=("trust",), persona=("dose", "sex"), treatment="arm")


def survey(given: list[Any], dose: list[Any], n: int = 80) -> pd.DataFrame:
    """People who were given a message or not, what they take, whom they trust and what they give."""
    rng = np.random.default_rng(3)
    # Every number stands in the file, whatever is drawn.
    drawn = [rng.permutation([*k, *rng.choice(k, n - len(k))]) for k in (np.arange(len(given)), np.arange(len(dose)))]
    return pd.DataFrame({
        "dose": [dose[k] for k in drawn[1]],
        "sex": rng.choice(["woman", "man"], n),
        "arm": [["control", "message"][k % 2] for k in range(n)],
        "trust": rng.integers(1, 6, n),
        "given": [given[k] for k in drawn[0]],
    })  # fmt: skip


def drafted(home: Path, table: pd.DataFrame, name: str = "mine") -> Study:
    data = home.parent / f"{name}.csv"
    table.to_csv(data, index=False)
    draft_study(name, data, ROLES)
    return load_study(name)


def numbers_from_people(study: Study, people: pd.DataFrame) -> dict[str, Known]:
    """Every target where the simulation is a copy of the people."""
    found = known(study, targets(study, people), Compared("base", 1, people, people, ()))
    return {one.target.name: one for one in found}


def standardised(values: pd.Series) -> pd.Series:
    return values if values.nunique() == 2 else (values - values.mean()) / values.std(ddof=0)


def check_against_the_file(study: Study, raw: pd.DataFrame) -> None:
    """Hold means, effects, coefficients and expected answers against pandas and statsmodels on the file's numbers."""
    people = load_people(study).table
    raw = raw.assign(given=raw["given"].astype(float), dose=raw["dose"].astype(float))
    found = numbers_from_people(study, people)
    mean, effect = found["mean: given"], found["effect: given ~ message"]
    for side in (mean.outcome, mean.predicted):
        np.testing.assert_allclose(side, raw["given"])
    by_arm = raw.groupby("arm")["given"].mean()
    treated = effect.predictors[:, 1] == 1
    found_effect = effect.outcome[treated].mean() - effect.outcome[~treated].mean()
    assert found_effect == pytest.approx(by_arm["message"] - by_arm["control"])
    wanted = smf.ols("given ~ trust + message", raw.assign(message=(raw["arm"] == "message").astype(int))).fit()
    table = with_analysis_columns(study, people)
    fitted = fit(study.regressions[0], table)
    assert dict(zip(fitted.terms, fitted.coefficient, strict=True)) == pytest.approx(
        wanted.params.drop("Intercept").to_dict()
    )
    # As a predictor, too.
    on_both = fit(Regression(name="x", label="x", formula="trust ~ given + dose", family="linear"), table)
    other = smf.ols("trust ~ given + dose", raw).fit()
    assert on_both.coefficient == pytest.approx(other.params[["given", "dose"]].to_numpy())
    beforehand = found["coefficient: given ~ dose"]
    np.testing.assert_allclose(beforehand.predictors[:, beforehand.column], standardised(raw["dose"]), atol=1e-12)
    rng = np.random.default_rng(1)
    distributions = {c: rng.dirichlet(np.ones(len(v)), len(people)) for c, v in asked_columns(study).items()}
    ends = raw["given"].min(), raw["given"].max()
    is_scale = isinstance(study.question("given"), Scale)  # which holds every step between the amounts given
    steps = distributions["given"].shape[1]
    amounts = np.linspace(*ends, steps) if is_scale else np.array(sorted(raw["given"].unique()))
    expected = expected_answers(study, distributions)["expected_given"]
    np.testing.assert_allclose(expected, distributions["given"] @ amounts)


KINDS: dict[str, tuple[list[Any], list[Any]]] = {
    "amounts": ([0, 0.5, 1, 2.5, 10], [0, 0.1, 2.5]),
    "halves": ([1, 1.5, 2, 2.5, 3], [0.5, 1, 1.5, 2]),
    "below zero": ([-10, -2.5, 0, 2.5, 10], [-0.5, 0, 2]),
    "doses": ([0, 5, 10, 50, 100], [0, 5, 10, 50, 100]),
    "far apart": ([0, 1, 7, 1000, 100_000], [0, 3, 100_000]),
    "shares": ([0.1, 0.25, 0.9], [0.05, 0.5, 0.55]),
    "two doses": ([0, 0.5, 3], [0.5, 4]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_a_file_are_the_numbers_of_every_analysis(project: Path, kind: str) -> None:
    raw = survey(*KINDS[kind])
    check_against_the_file(drafted(project, raw), raw)


def test_one_of_two_amounts_is_a_share_as_an_answer_and_an_amount_as_a_predictor(project: Path) -> None:
    raw = survey([10, 50], [0.5, 4])
    study = drafted(project, raw)
    assert [(o.code, o.value) for o in study.question("given").options] == [(0, 10), (1, 50)]  # type: ignore[union-attr]
    people = load_people(study).table
    distribution = np.random.default_rng(2).dirichlet([1, 1], len(people))
    distributions = {"trust": np.full((len(people), 5), 0.2), "given": distribution}
    simulated = people.assign(**expected_answers(study, distributions))
    wanted = targets(study, people)
    found = {one.target.name: one for one in known(study, wanted, Compared("base", 1, simulated, people, ()))}
    np.testing.assert_array_equal(found["mean: given=1"].outcome, raw["given"] == 50)
    np.testing.assert_allclose(found["mean: given=1"].predicted, distribution[:, 1])
    table = with_analysis_columns(study, people)
    of_file = raw.assign(gave=(raw["given"] == 50).astype(int), message=(raw["arm"] == "message").astype(int))
    for regression, formula, engine in (
        (study.regressions[0], "gave ~ trust + message", smf.logit),
        (Regression(name="x", label="x", formula="trust ~ given", family="linear"), "trust ~ given", smf.ols),
    ):
        reference = engine(formula, of_file).fit()
        assert fit(regression, table).coefficient == pytest.approx(
            reference.params.drop("Intercept").to_numpy(), rel=1e-5
        )


# Numbers that would be taken for codes of a missing answer are another matter.
steps = st.lists(st.integers(-400, 400).map(lambda n: 5 * n), min_size=3, max_size=9, unique=True).map(sorted)
number_sets = st.builds(lambda whole, over: [w / over for w in whole], steps, st.sampled_from([1, 2, 4, 10, 64, 1000]))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(given=number_sets, dose=number_sets)
def test_any_numbers_are_the_numbers_of_every_analysis(
    tmp_path_factory: pytest.TempPathFactory, given: list[float], dose: list[float]
) -> None:
    home = tmp_path_factory.mktemp("any") / "project"
    (home / "data").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_HOME", str(home))
        raw = survey(given, dose)
        check_against_the_file(drafted(home, raw), raw)


# Amounts with a unit, and what is no amount.


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["$0", "$0.50", "$1", "$2.50", "$10"], (0, 0.5, 1, 2.5, 10)),
        (["0 %", "5 %", "12.5 %", "100 %"], (0, 5, 12.5, 100)),
        (["0%", "50%", "100%"], (0, 50, 100)),
        (["EUR 5", "EUR 20", "EUR 100"], (5, 20, 100)),
        (["5\u00a0€", "10\u00a0€", "50\u00a0€"], (5, 10, 50)),
        (["-$5", "$0", "$20"], (-5, 0, 20)),
        (["5,00 €", "20,50 €", "1.250,75 €"], (5, 20.5, 1250.75)),
    ],
)
def test_amounts_with_one_unit_are_numbers_in_their_order(
    project: Path, texts: list[str], numbers: tuple[float, ...]
) -> None:
    study = drafted(project, survey(texts[::-1], [1, 2, 3]))
    question = study.question("given")
    assert isinstance(question, Choice) and question.ordered
    assert [option.raw for option in question.options] == list(numbers) and question.numbers == numbers
    assert [" ".join(text.split()) for text in texts] == [option.written for option in question.options]
    assert study.regressions[0].formula == "given ~ trust + message"


@pytest.mark.parametrize("unit", ["{:,.2f} €", "${:,.2f}", "{:.1f} %", "{:.2f}"])
def test_many_amounts_with_one_unit_are_a_number(project: Path, unit: str) -> None:
    raw = survey(list(range(7)), [1, 2, 3])
    raw["spent"] = [unit.format(3.5 + 41.25 * k) for k in range(len(raw))]
    raw.to_csv(project.parent / "spent.csv", index=False)
    draft_study("spent", project.parent / "spent.csv", replace(ROLES, persona=("spent",)))
    study = load_study("spent")
    assert study.persona[0].range == (3.5, pytest.approx(3.5 + 41.25 * (len(raw) - 1), abs=0.06))


@pytest.mark.parametrize(
    "texts",
    [
        ["$1", "€2", "$3"], ["1 kg", "2 kg", "3 kg"], ["arm 1", "arm 2", "arm 10"],
        ["%", "$", "5"], ["$5%", "$6%", "$7%"],
    ],
)  # fmt: skip
def test_words_have_no_number(project: Path, texts: list[str]) -> None:
    study = drafted(project, survey(texts, [1, 2, 3]))
    question = study.question("given")
    assert isinstance(question, Choice) and not question.ordered
    assert [option.value for option in question.options] == [None] * 3 and "given" not in study.numbers
    assert not study.regressions


@pytest.mark.parametrize(
    ("texts", "said"),
    [(["0,5", "1,5", "10"], "has a decimal comma"), (["0,50 €", "2,50 €", "10 €"], "has a decimal comma"),
     (["500", "1,000", "2,500"], "may have a separator of thousands or of decimals")],
)  # fmt: skip
def test_commas_in_numbers_are_never_guessed_at(project: Path, texts: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        drafted(project, survey(texts, [1, 2, 3]))


def test_the_model_reads_and_writes_the_numbers_of_the_file(project: Path) -> None:
    study = drafted(project, survey(["0", "0.5", "1", "2.5", "10"], [1, 2, 3]))
    assert "(0; 0.5; 1; 2.5; 10)" in shared_text(study).splitlines()[-1]
    text = (study.folder / "study.yml").read_text()
    assert "{code: 4, raw: 2.5, text: '2.5', value: 2.5, answer: '2.5'}" in text
    assert "2.5 (code 4, worth 2.5)" in describe_study("mine") and "stand in" not in describe_study("mine")


def test_numbers_that_are_their_own_codes_need_no_value(project: Path) -> None:
    study = drafted(project, survey([0, 1, 7, 1000, 100_000], [0, 3, 100_000]))
    assert study.numbers == {} and study.question("given").numbers == (0, 1, 7, 1000, 100_000)
    assert "stand in" not in describe_study("mine")


# What a study file may say.


def with_fear(content: dict[str, Any], options: list[dict[str, Any]], ordered: bool = True) -> dict[str, Any]:
    """The toy study with other answers to the question on fear."""
    fear = {"kind": "choice", "name": "fear", "role": "belief", "text": "How afraid?", "ordered": ordered}
    return {**content, "questions": [{**fear, "options": options}, *content["questions"][1:]]}


def options(values: list[Any]) -> list[dict[str, Any]]:
    words = ["none", "a little", "some", "much"]
    found = [{"code": k + 1, "text": word} for k, word in enumerate(words[: len(values)])]
    return [one if v is None else {**one, "value": v} for one, v in zip(found, values, strict=True)]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, None, 1, 2], ["'fear'", "'a little' has no value but 'none' has", "all or to none"]),
        ([0, 1, 1, 2], ["'fear'", "must rise", "'some' has 1 after 1"]),
        ([0, 5, 2.5, 10], ["'fear'", "must rise", "'some' has 2.5 after 5", "smallest to the largest"]),
        ([0, 1, "many", 2], ["the value of 'some' must be a number", "'many'"]),
        ([0, 1, "2,5", 4], ["the value of 'some' must be a number", "'2,5'"]),
        ([0, True, 2, 3], ["the value of 'a little' must be a number"]),
        ([0, 1, 2, float("inf")], ["the value of 'much' must be a number"]),
        ([0, 1, 2, 1e16], ["the value of 'much' must be a number from -1e+15 to 1e+15"]),
    ],
)
def test_a_wrong_value_names_the_option(
    project: Path, toy_content: dict[str, Any], values: list[Any], said: list[str]
) -> None:
    for kind in ("question", "persona"):
        content = copy.deepcopy(toy_content)
        if kind == "question":
            content = with_fear(content, options(values))
        else:
            content["persona"][2] |= {"name": "fear", "ordered": True, "levels": options(values)}
            content["questions"][0]["name"] = "alarmed"
            content |= {"coherence": None, "subgroups": [], "regressions": []}
        path = project / f"{kind}.yml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        with pytest.raises(InputError) as caught:
            load_study(path)
        message = str(caught.value)
        assert "\n" not in message and all(word in message for word in said), message


def test_values_without_an_order_are_refused_but_two_need_none(toy_content: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'fear' has values, so it has an order; add 'ordered: true'"):
        Study.model_validate(with_fear(toy_content, options([0, 1, 5, 9]), ordered=False))
    two = Study.model_validate(with_fear(toy_content, options([10, 50]), ordered=False))
    assert two.numbers == {"fear": {1: 10.0, 2: 50.0}}


def test_what_names_an_option_in_a_regression_names_its_code(
    toy_content: dict[str, Any], toy_people: pd.DataFrame
) -> None:
    study = Study.model_validate(with_fear(toy_content, options([10, 20, 50, 90])))
    table = with_analysis_columns(study, toy_people)
    one = Regression(name="x", label="x", formula="age ~ C(fear)", family="linear", only={"fear": (1, 2, 4)})
    found = fit(one, table, table)
    means = toy_people.groupby("fear")["age"].mean()
    assert found.terms == ("C(fear)[T.2]", "C(fear)[T.4]")
    assert found.coefficient == pytest.approx((means[[2, 4]] - means[1]).to_numpy())


def test_ordered_words_keep_their_codes_and_check_says_so(
    toy_content: dict[str, Any], toy_project: Path, toy_people: pd.DataFrame
) -> None:
    content = copy.deepcopy(with_fear(toy_content, options([None] * 4)))
    content["persona"][2]["ordered"] = True
    path = toy_project / "data" / "toy" / "study.yml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    raw = toy_people.assign(sex=np.where(toy_people["sex"] == 1, "f", "m"), alarm=toy_people["treatment"] == "alarm")
    raw.assign(alarm=raw["alarm"].astype(int)).to_csv(path.parent / "toy.csv", index=False)
    study = load_study("toy")
    assert as_numbers(study, toy_people) is toy_people
    lines = [line for line in describe_study("toy").splitlines() if "stand in for the answers" in line]
    assert len(lines) == 1 and "'region' (codes 1 to 3), 'fear' (codes 1 to 4)" in lines[0] and "`value`" in lines[0]
    path.write_text(yaml.safe_dump(with_fear(toy_content, options([0, 1, 5, 9]))), encoding="utf-8")
    assert "stand in" not in describe_study("toy")


# A question with values beside the scale whose numbers they are: no analysis may see a difference.

JOINT_MEASURES = ("joint_distance",)
REPEATS = 5
NUMBERS = {"fear": (-4, 0, 4, 8), "calls": (-4, 0, 4, 8), "pays": (-10, 0, 10, 20), "region": (1, 2, 5)}
CODES = {"fear": (37, 3, 905, -20), "calls": (2, 1, 4, 3), "pays": (-1, 500, 1, 0), "region": (30, 10, 20)}
RULES: list[dict[str, Any]] = [
    {"kind": "threshold", "belief": "fear", "at_least": 4, "action": "leave", "acts": 1},
    {"kind": "nearest_option", "position": "fear", "options": {0: "calls", 1: "pays"}, "action": "leave"},
    {"kind": "sign_agreement", "pairs": [["fear", "pays"], ["calls", "pays"]]},
]


def twin_content(content: dict[str, Any], rule: dict[str, Any], valued: bool) -> dict[str, Any]:
    """The toy study with three questions and a persona field whose answers are numbers; valued: under other codes."""

    def asked(name: str, role: str) -> dict[str, Any]:
        numbers, codes = NUMBERS[name], CODES[name]
        shared = {"name": name, "role": role, "text": "How much?"}
        if not valued:
            return {**shared, "kind": "scale", "low": numbers[0], "high": numbers[-1], "step": numbers[1] - numbers[0]}
        found = [{"code": c, "text": str(v), "answer": str(v), "value": v} for c, v in zip(codes, numbers, strict=True)]
        return {**shared, "kind": "choice", "ordered": True, "options": found}

    def level(k: int) -> dict[str, Any]:
        number, code = NUMBERS["region"][k], CODES["region"][k]
        return {"code": code, "text": f"zone {k}", "value": number} if valued else {"code": number, "text": f"zone {k}"}

    new = copy.deepcopy(content)
    new["persona"][2] |= {"ordered": True, "levels": [level(k) for k in range(3)]}
    new["questions"][:1] = [asked("fear", "belief"), asked("calls", "belief"), asked("pays", "action")]
    low = [CODES[n][0] if valued else NUMBERS[n][0] for n in ("fear", "region")]
    new["subgroups"] = [{"variable": "region", "label": "Region", "groups": {"first": [low[1]]}},
                        {"variable": "region", "label": "Region", "cuts": [2, 5]}][1:]  # fmt: skip
    new["derived"] = [
        {"name": "both", "kind": "mean", "of": ["fear", "pays"]},
        {"name": "bold", "kind": "any_at_least", "of": ["fear", "calls"], "at_least": 8},
    ]
    new["coherence"] = rule
    linear = {"family": "linear", "treatment_terms": ["alarm"]}
    new["regressions"] = [
        {"name": "pays", "label": "Pays", "formula": "pays ~ alarm + fear*age + region", **linear},
        {"name": "both", "label": "Both", "formula": "both ~ alarm + calls", "covariance": "robust", **linear},
        {"name": "bold", "label": "Bold", "formula": "bold ~ alarm + pays + region", "family": "logit"},
        {"name": "some", "label": "Some", "formula": "pays ~ alarm + age", "only": {"fear": [low[0]]}, **linear},
        {"name": "by", "label": "By", "formula": "pays ~ alarm + C(calls)", "nuisance": ["calls"], **linear},
    ]
    return new


def twin_people(n: int, seed: int, valued: bool) -> pd.DataFrame:
    """People of the twin studies: the same ones, in the codes of either."""
    rng = np.random.default_rng(seed)
    alarm, region = rng.permutation(np.arange(n) % 2), rng.choice(3, n, p=[0.4, 0.35, 0.25])
    fear = np.clip(np.round(alarm + region / 2 + rng.normal(0, 0.9, n)), 0, 3).astype(int)
    places = {
        "fear": fear, "region": region, "calls": rng.integers(0, 4, n),
        "pays": np.clip(np.round(fear * 0.6 + rng.normal(0, 0.8, n)), 0, 3).astype(int),
    }  # fmt: skip
    quarters = rng.multinomial(4, [0.5, 0.3, 0.2], n)
    code = CODES if valued else NUMBERS
    return pd.DataFrame({
        "study": "toy", "arm": "human", "seed": 0, "participant": np.arange(1, n + 1), "draw": 0,
        "treatment": np.where(alarm, "alarm", "calm"), "in_pilot": False,
        "age": rng.integers(18, 81, n), "sex": rng.integers(0, 2, n),
        **{name: np.array(code[name])[place] for name, place in places.items()},
        **{f"odds_{part}": 25 * quarters[:, k] for k, part in enumerate(("none", "small", "big"))},
        "leave": np.where(rng.random(n) < 0.25 * fear, 1, rng.choice([0, 2], n)),
    })  # fmt: skip


def tables_of_all_analyses(study: Study, valued: bool, everything: bool) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every number that is worked out of answers: the analyses, the baselines' distributions, tables of means."""
    people, arms = twin_people(200, 1, valued), load_arms()
    held_out = people.iloc[60:].reset_index(drop=True)
    rng = np.random.default_rng(5)
    compared, predicted = [], []
    for seed in (1, 2):
        answers = twin_people(140, 6 + seed, valued)[list(study.answer_columns)]
        distributions = {c: rng.dirichlet(np.ones(len(v)), len(held_out)) for c, v in asked_columns(study).items()}
        rows = held_out.assign(**answers)
        if seed == 1:  # the other has drawn answers alone, as free text has
            rows = rows.assign(**expected_answers(study, distributions))
        one = Compared("base", seed, rows, held_out, ())
        compared.append(one)
        predicted.append(Predicted.of(one, "all_25", as_predictions(study, held_out["participant"], distributions)))
        yield f"expected {seed}", expected_answers(study, distributions)
    usual = (people, "held-out", REPEATS)
    yield "coherence", belief_action_coherence(study, compared, *usual)
    if not everything:
        return
    for analysis in (heterogeneity, divergence, subgroups, recovery):
        table = analysis(study, compared, *usual)
        # The uniform answers of a joint random benchmark are drawn by the number of the cell, which goes by the
        # order of codes.
        joint = table["item"].isin(["beliefs", "answers"]) & table["metric"].isin(JOINT_MEASURES)
        yield analysis.__name__, table.assign(**{c: table[c].mask(joint) for c in ("random_benchmark", "scaled")})
    yield "accuracy", accuracy(study, predicted, [], people, arms, "held-out", REPEATS)
    yield "controls", controls(study, compared, predicted, people, arms, "held-out", REPEATS)
    yield "rectification", rectification(study, compared[1:], people, arms, "held-out", REPEATS)
    decision = decide(study, compared[0], people, 500, 0.2)
    yield "decision", pd.DataFrame([
        {"target": t.name, "bias": j.bias.value, "low": j.bias.low, "rho": j.correlation.value, "said": j.verdict}
        for t, j in zip(decision.targets, decision.judged, strict=True)
    ])  # fmt: skip
    for fitted in (fit_logit, fit_copula):
        model = fitted(study, people.iloc[:60].reset_index(drop=True), np.arange(60) % 5)
        yield fitted.__name__, pd.DataFrame(model.log_likelihood(held_out))
    for describe in (people_table, answers_table, valid_mass_table):
        yield describe.__name__, describe(study, people).drop(columns="Allowed", errors="ignore")


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["kind"]))
def test_codes_never_pass_for_numbers(project: Path, toy_content: dict[str, Any], rule: dict[str, Any]) -> None:
    found = []
    for valued in (False, True):
        study = Study.model_validate(twin_content(toy_content, rule, valued))
        found.append(dict(tables_of_all_analyses(study, valued, everything=rule is RULES[0])))
    scales, choices = found
    for name, scale in scales.items():
        assert len(scale) > 1, f"{name} is empty and tells nothing"
        # What is summed in another order differs in its last digits.
        pd.testing.assert_frame_equal(choices[name], scale, rtol=1e-7, atol=1e-9, obj=name, check_dtype=False)
