"""Trials of small pilots: the further baselines, the pools, the leads and their interval, and what is said of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import log_softmax
from scipy.stats import t

from pilotlm.analyses.small_pilots import (
    LEAD_COLUMNS,
    WITH_MODEL,
    Trials,
    half_of_each,
    label_of_trial_arm,
    leads,
    mean_correlation,
    persona_use,
    trial_table,
    two_way_mean,
    with_pools,
)
from pilotlm.baselines.fit import fit_lines_together, fit_logit
from pilotlm.baselines.recalibration import recalibrate
from pilotlm.baselines.sequential import draw_folds
from pilotlm.data.pilot import swapped_personas
from pilotlm.profile import load_profile
from pilotlm.report.thirty import (
    leads_figure,
    leads_table,
    over_best,
    second_finding,
    trial_finding,
    ways_finding,
    ways_table,
)
from pilotlm.study import Study

# The logit over lines.


@pytest.fixture(scope="module")
def battery(toy_content: dict[str, Any]) -> Study:
    """A study that asks six times the same, and for a choice at the end."""
    content = copy.deepcopy(toy_content)
    scale, choice = content["questions"][0], content["questions"][2]
    content["questions"] = [{**scale, "name": f"fear{k}"} for k in range(1, 7)] + [choice]
    content["coherence"]["belief"] = "fear1"
    content["regressions"] = [{**content["regressions"][0], "formula": "fear1 ~ alarm + age"}]
    return Study.model_validate(content)


def people_who_answer_alike(toy_people: pd.DataFrame, alike: float) -> pd.DataFrame:
    """Everybody has a usual answer, given with some probability on each line, else a random one."""
    rng = np.random.default_rng(2)
    usual = rng.integers(1, 5, len(toy_people))
    lines = {}
    for k in range(1, 7):
        lines[f"fear{k}"] = np.where(rng.random(len(usual)) < alike, usual, rng.integers(1, 5, len(usual)))
    return toy_people.assign(**lines)


def losses(study: Study, people: pd.DataFrame, fit: Any, pilot: int = 30) -> float:
    model = fit(study, people.head(pilot), draw_folds(pilot, np.random.default_rng(1)))
    return float(-model.log_likelihood(people.iloc[pilot:]).sum(axis=1).mean())


@pytest.mark.parametrize(("alike", "most"), [(0.8, -0.3), (0.0, 0.2)])
def test_from_thirty_people_it_learns_whether_people_answer_alike(
    battery: Study, toy_people: pd.DataFrame, alike: float, most: float
) -> None:
    people = people_who_answer_alike(toy_people, alike)
    assert losses(battery, people, fit_lines_together) < losses(battery, people, fit_logit) + most


def test_its_cross_validated_loss_is_about_that_of_other_people(battery: Study, toy_people: pd.DataFrame) -> None:
    people, pilots = people_who_answer_alike(toy_people, 0.8), 4
    inside, outside = [], []
    for k in range(pilots):
        pilot = people.iloc[k * 40 : (k + 1) * 40].reset_index(drop=True)
        model = fit_lines_together(battery, pilot, draw_folds(40, np.random.default_rng(k)))
        inside.append(model.cv_loss)
        outside.append(float(-model.log_likelihood(people.iloc[pilots * 40 :]).sum(axis=1).mean()))
    error = np.std(np.subtract(inside, outside), ddof=1) / np.sqrt(pilots)
    # Models inside the pilot are fitted on a fifth fewer people, so their loss is a little larger.
    assert -3 * error - 0.1 < np.mean(inside) - np.mean(outside) < 3 * error + 0.5


def test_without_a_battery_it_is_the_logit(toy: Study, toy_people: pd.DataFrame) -> None:
    folds = draw_folds(40, np.random.default_rng(1))
    both = [fit(toy, toy_people.head(40), folds) for fit in (fit_logit, fit_lines_together)]
    rest = toy_people.iloc[40:]
    one, other = (model.distributions(rest) for model in both)
    assert both[0].settings == both[1].settings
    for column in one:
        np.testing.assert_allclose(one[column], other[column], atol=1e-9)


def test_a_line_is_forecast_from_what_stands_before_it(battery: Study, toy_people: pd.DataFrame) -> None:
    people = people_who_answer_alike(toy_people, 0.8)
    model = fit_lines_together(battery, people.head(30), draw_folds(30, np.random.default_rng(1)))
    later = people.assign(fear5=1, fear6=1, leave=0)
    for line in range(4):
        np.testing.assert_array_equal(model.line_distribution(line, people), model.line_distribution(line, later))
    earlier = people.assign(fear1=5 - people["fear1"])
    assert not np.allclose(model.line_distribution(3, people), model.line_distribution(3, earlier))


# Recalibration.


def drawn(logs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.choice(logs.shape[1], p=np.exp(row)) for row in logs])


def test_a_known_slope_and_known_offsets_are_found_again() -> None:
    rng = np.random.default_rng(0)
    logs = log_softmax(rng.normal(0, 1.5, (6000, 4)), axis=1)
    offsets = np.array([0.8, 0.0, -0.4, -0.4])
    truth = log_softmax(0.6 * logs + offsets, axis=1)
    found = recalibrate({"x": logs}, {"x": drawn(truth, rng)}, draw_folds(6000, rng))["x"]
    # Standard errors are about .02 and .04.
    assert found.slope == pytest.approx(0.6, abs=0.08)
    np.testing.assert_allclose(found.offsets - found.offsets.mean(), offsets, atol=0.16)
    np.testing.assert_allclose(np.exp(found.apply(logs)).sum(axis=1), 1, atol=1e-12)


def test_a_model_that_is_right_stays_nearly_as_it_is() -> None:
    rng = np.random.default_rng(1)
    logs = log_softmax(rng.normal(0, 1, (30, 5)), axis=1)
    found = recalibrate({"x": logs}, {"x": drawn(logs, rng)}, draw_folds(30, rng))["x"]
    new = log_softmax(rng.normal(0, 1, (4000, 5)), axis=1)
    given, rows = drawn(new, rng), np.arange(4000)
    cost = float((new - found.apply(new))[rows, given].mean())
    assert -0.02 < cost < 0.15


def test_what_is_excluded_stays_excluded() -> None:
    rng = np.random.default_rng(2)
    logs = log_softmax(np.where(np.arange(4) == 3, -np.inf, rng.normal(0, 1, (20, 4))), axis=1)
    found = recalibrate({"x": logs}, {"x": drawn(logs, rng)}, draw_folds(20, rng))["x"]
    applied = np.exp(found.apply(logs))
    assert (applied[:, 3] == 0).all() and np.allclose(applied.sum(axis=1), 1)


# Pools and the table of a trial.


def test_the_pool_of_two_arms_by_hand() -> None:
    # sqrt(.8 * .2) on both answers; sqrt(.64 * .5) against sqrt(.36 * .5), that is 4 to 3.
    one, other = {"x": np.array([[0.8, 0.2], [0.64, 0.36]])}, {"x": np.array([[0.2, 0.8], [0.5, 0.5]])}
    np.testing.assert_allclose(half_of_each(one, other)["x"], [[0.5, 0.5], [4 / 7, 3 / 7]])


def test_every_pool_of_the_plan_is_there() -> None:
    even = {"x": np.full((2, 2), 0.5)}
    baselines = dict.fromkeys(["marginals", "logit", "copula", "lines"], even)
    arms = with_pools(baselines, dict.fromkeys(["base", "recalibrated", "tuned"], even))
    without = [arm for arm in arms if arm not in WITH_MODEL]
    assert set(WITH_MODEL) < set(arms) and len(without) == 4 + 6
    assert label_of_trial_arm("logit+lines") == "Logit and logit over lines, pooled"


def test_the_table_of_a_trial(toy: Study, toy_people: pd.DataFrame) -> None:
    folds = draw_folds(40, np.random.default_rng(1))
    model, rest = fit_logit(toy, toy_people.head(40), folds), toy_people.iloc[40:].reset_index(drop=True)
    arms = {"logit": model.distributions(rest)}
    table = trial_table(toy, arms, rest)
    assert list(table) == ["measure", "participant", "logit"] and len(table) == len(rest) + 1
    loss = table[table["measure"] == "loss"]
    assert loss["participant"].tolist() == rest["participant"].tolist()
    np.testing.assert_allclose(loss["logit"], -model.log_likelihood(rest).sum(axis=1), atol=1e-5)
    # rho_S by hand: means less those of the treatment, the correlation over people, the mean over numbers.
    columns, found = ["fear", "odds_none", "odds_small"], []
    numbers = {"fear": [1, 2, 3, 4], "odds_none": [0, 25, 50, 75, 100], "odds_small": [0, 25, 50, 75, 100]}
    for column in columns:
        mean = pd.Series(arms["logit"][column] @ np.array(numbers[column]))
        within = [x - x.groupby(rest["treatment"]).transform("mean") for x in (mean, rest[column].astype(float))]
        found.append(within[0].corr(within[1]))
    assert mean_correlation(toy, arms["logit"], rest) == pytest.approx(np.mean(found), abs=1e-6)


# Leads.


def some_leads(rng: np.random.Generator, pilots: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leads with no mean: of pilots that differ, and of people of whom some come back."""
    people = np.concatenate([rng.choice(300, 100, replace=False) for _ in range(pilots)])
    seeds = np.repeat(np.arange(pilots), 100)
    values = rng.normal(0, spread, pilots)[seeds] + rng.normal(0, 0.5, 300)[people] + rng.normal(0, 0.5, len(people))
    return values, people, seeds


@pytest.mark.parametrize(("pilots", "spread"), [(8, 0.1), (8, 0.0), (4, 0.1)])
def test_the_interval_over_people_and_pilots_covers(pilots: int, spread: float) -> None:
    rng, covered = np.random.default_rng(3), 0
    for _ in range(200):
        found = two_way_mean(*some_leads(rng, pilots, spread))
        covered += found.low <= 0 <= found.high
    # 95 % and a little more is expected; 200 draws of it lie within 4 standard errors of .0154.
    assert covered / 200 > 0.95 - 4 * 0.0154


def test_the_interval_is_that_of_statsmodels_where_nobody_comes_back() -> None:
    rng = np.random.default_rng(4)
    values, seeds = rng.normal(0.3, 1, 80), np.repeat(np.arange(8), 10)
    wanted = sm.OLS(values, np.ones(80)).fit(cov_type="cluster", cov_kwds={"groups": seeds}).bse[0]
    found = two_way_mean(values, np.arange(80), seeds)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value >= wanted * t.ppf(0.975, 7) * (1 - 1e-9)
    assert found.high - found.value < wanted * t.ppf(0.975, 7) * 1.1


def test_two_pilots_have_no_interval() -> None:
    found = two_way_mean(np.arange(6.0), np.arange(6), np.repeat([1, 2], 3))
    assert found.value == 2.5 and np.isnan([found.low, found.high]).all()


def trials(lead: float, study: str = "framing", later: float | None = None) -> Trials:
    """Three pilots in which the pool leads the best baseline, the copula, by so much; three more with a later arm."""
    rng = np.random.default_rng(5)
    tables = {}
    for seed in (5, 6, 7) if later is None else (10, 11, 12, 5, 6, 7):
        copula = rng.normal(5, 0.2, 40)
        arms = {"logit": copula + 0.5, "copula": copula, "tuned": copula + 1 + rng.normal(0, 0.05, 40),
                "tuned+logit": copula - lead + rng.normal(0, 0.05, 40)}  # fmt: skip
        if later is not None and seed > 7:
            arms["tuned+copula"] = copula - later + rng.normal(0, 0.05, 40)
        loss = pd.DataFrame({"measure": "loss", "participant": np.arange(1, 41), **arms})
        rho = pd.DataFrame([{"measure": "rho_S", **dict.fromkeys(arms, 0.2)}])
        tables[seed] = pd.concat([loss, rho], ignore_index=True)
    return Trials.of(study, "n_30", tables)


def test_the_rival_is_the_best_without_a_model() -> None:
    one = trials(0.3)
    assert one.best_without_model() == "copula" and one.arms == ["logit", "copula", "tuned", "tuned+logit"]
    table = leads([one])
    assert list(table) == list(LEAD_COLUMNS) and set(table["pilots"]) == {3} and set(table["people"]) == {40}
    mine = table[(table["arm"] == "tuned+logit")].set_index("rival")
    assert mine.loc["copula", "lead"] == pytest.approx(0.3, abs=0.05)
    assert mine.loc["logit", "lead"] == pytest.approx(0.8, abs=0.05)
    assert over_best(table, "n_30")["arm"].tolist() == ["tuned", "tuned+logit"]
    # In whichever order the arms come.
    turned = over_best(table.iloc[::-1].sort_values("rival", ascending=False, kind="stable"), "n_30")
    assert set(turned["rival"]) == {"copula"} and sorted(turned["arm"]) == ["tuned", "tuned+logit"]


def test_the_finding_follows_the_leads() -> None:
    def said(*pairs: tuple[float, str]) -> str:
        return trial_finding(leads([trials(lead, study) for lead, study in pairs]), "n_30")

    met = said((0.3, "framing"), (0.2, "anes96"))
    assert "better than the best arm without a language model in" in met and "all 2 studies, is met" in met
    mixed = said((0.3, "framing"), (-0.3, "anes96"))
    assert "forecasts them worse in" in mixed and "is not met" in mixed
    none = said((-0.3, "framing"))
    assert "better than the best arm without a language model in no study" in none and "is worse in" in none
    assert "cannot tell in" in said((0.0, "framing"))
    assert "a small lead" in said((0.04, "framing"))


def test_an_arm_that_was_added_later_is_judged_by_the_pilots_that_have_it() -> None:
    table = leads([trials(0.3, later=0.2)])
    pilots = table[table["rival"] == "copula"].set_index("arm")["pilots"]
    assert pilots.to_dict() == {"logit": 6, "tuned": 6, "tuned+logit": 6, "tuned+copula": 3}
    found = table[table["arm"] == "tuned+copula"].set_index("rival").loc["copula"]
    assert found["lead"] == pytest.approx(0.2, abs=0.05) and found["low"] > 0.1
    said = second_finding(table, "n_30")
    assert "3 pilots drawn later" in said and "pooled with the copula forecasts people better" in said
    assert second_finding(leads([trials(0.3)]), "n_30") == ""
    assert "in no study" in second_finding(leads([trials(0.3, later=-0.2)]), "n_30")


def test_what_is_shown(toy: Study) -> None:
    table = leads([trials(0.3), trials(-0.3, "anes96")])
    shown = leads_table(table, "n_30")
    assert len(shown) == 4 and shown["Arm"].tolist()[:2] == ["Fine-tuned", "Fine-tuned, pooled with the logit"]
    assert shown["Lead over the best without a model"].iloc[1].startswith("0.3")
    assert leads_figure(table, "n_30").axes


# Ways of using the persona.


def ways(lead: float, cost: float) -> dict[int, pd.DataFrame]:
    """Three pilots on which one way leads the usual one by so much, and another's persona costs it so much."""
    rng, tables = np.random.default_rng(3), {}
    for seed in (1, 2, 3):
        usual = rng.normal(5, 1, 50)
        tables[seed] = pd.concat([
            pd.DataFrame({"way": "Persona last", "participant": range(50), "own": usual, "other": usual + 0.01}),
            pd.DataFrame({"way": "Persona first", "participant": range(50), "own": usual - lead,
                          "other": usual - lead + cost}),
            pd.DataFrame({"way": "Logit", "participant": range(50), "own": usual - 1, "other": usual}),
        ], ignore_index=True)  # fmt: skip
    return tables


def test_what_another_persona_costs_is_found() -> None:
    used = persona_use(ways(0.3, 0.7)).set_index("way")
    assert used["lead"].to_dict() == pytest.approx({"Persona last": 0, "Persona first": 0.3, "Logit": 1})
    assert used["cost"].to_dict() == pytest.approx({"Persona last": 0.01, "Persona first": 0.7, "Logit": 1})
    assert (used["lead_low"] <= used["lead"] + 1e-9).all() and (used["pilots"] == 3).all()


def test_the_finding_on_ways_follows_them() -> None:
    def said(lead: float) -> str:
        return ways_finding(persona_use(ways(lead, 0.7)).assign(study="anes96"))

    assert "smaller loss than the usual way: persona first." in said(0.3) and "a larger one" not in said(0.3)
    assert "smaller loss than the usual way: none." in said(-0.3) and "a larger one: persona first." in said(-0.3)
    assert "Shown to read who answers: persona first (0.70" in said(0.3)
    table = ways_table(persona_use(ways(0.3, 0.7)))
    assert table["Way"].tolist() == ["Persona last", "Persona first", "Logit"]
    assert table["Lead over the usual way"].iloc[0] == ""


def test_everybody_is_given_another_persona_of_the_same_treatment(toy: Study, toy_people: pd.DataFrame) -> None:
    swapped = swapped_personas(toy, toy_people)
    fields = [field.name for field in toy.persona]
    rest = [column for column in toy_people if column not in fields]
    pd.testing.assert_frame_equal(swapped[rest], toy_people[rest])
    for treatment, mine in toy_people.groupby("treatment"):
        given = swapped[swapped["treatment"] == treatment][fields].to_numpy()
        np.testing.assert_array_equal(given, np.roll(mine[fields].to_numpy(), -1, axis=0))


# The trials that are kept.

KEPT = Path(__file__).resolve().parents[1] / "results" / "thirty"


def test_the_leads_that_are_kept_are_those_of_the_trials_that_are_kept() -> None:
    tables: dict[tuple[str, str], dict[int, pd.DataFrame]] = {}
    for path in sorted(KEPT.glob("*/trials/*.csv")):
        pilot, _, seed = path.stem.rpartition("-s")
        tables.setdefault((path.parts[-3], pilot), {})[int(seed)] = pd.read_csv(path)
    found = leads([Trials.of(study, pilot, of_seed) for (study, pilot), of_seed in tables.items()])
    pd.testing.assert_frame_equal(found, pd.read_csv(KEPT / "leads.csv"), check_dtype=False, atol=1e-8)


def test_the_ways_that_are_kept_are_those_of_their_pilots() -> None:
    tables = {int(path.stem.rpartition("-s")[2]): pd.read_csv(path) for path in KEPT.glob("anes96/ways/n_60-s*.csv")}
    assert tables and set(tables) <= set(load_profile("thirty").ways["anes96"])
    found = persona_use(tables).assign(study="anes96")
    pd.testing.assert_frame_equal(found, pd.read_csv(KEPT / "ways.csv"), check_dtype=False, atol=1e-8)


def test_only_trials_of_the_plan_are_kept() -> None:
    profile = load_profile("thirty")
    planned = {f"{study}/trials/{pilot}-s{seed}.csv" for study in profile.studies
               for pilot, seeds in profile.trials.items() for seed in seeds}  # fmt: skip
    assert {path.relative_to(KEPT).as_posix() for path in KEPT.glob("*/trials/*.csv")} <= planned
