"""The variance between seeds: by hand, against known components, and in an analysis."""

from __future__ import annotations

from dataclasses import replace

import known_truth
import numpy as np
import pytest
from numpy.typing import NDArray

from pilotlm.analyses.seed_variance import MEASURES, variance_over_seeds
from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.measures.seed_variance import SeedVariance, influences, interactions, pilot_draw, split_over_seeds
from pilotlm.showing.seed_table import NAMES, seed_table

Array = NDArray[np.float64]


def test_influences_of_a_mean_give_its_variance() -> None:
    x = np.array([1.0, 4.0, 4.0, 9.0])
    without = (x.sum() - x) / 3
    assert np.square(influences(without)).sum() == pytest.approx(x.var(ddof=1) / 4)


def test_a_split_by_hand() -> None:
    # The first participant is answered for alike in both seeds, the second in the first alone, the third the other way.
    split = split_over_seeds([1.0, 4.0], [[1.0, 2.0, 1.0], [1.0, 0.0, -1.0]])
    assert split.total.value == pytest.approx(4.5)
    assert split.sampling.value == pytest.approx(0 + 2 + 2)
    assert split.rest.value == pytest.approx(0.5)
    assert split.total.low == pytest.approx(4.5 / 5.023886, rel=1e-6)  # chi-square with one degree of freedom
    assert {part.n for part in (split.total, split.sampling, split.rest)} == {2}


@pytest.mark.parametrize(
    ("estimates", "influence"), [([1.0], [[1.0, 2.0]]), ([1.0, np.nan], np.ones((2, 3))), ([1.0, 2.0], np.ones((3, 3)))]
)
def test_what_cannot_be_split_is_refused(estimates: list[float], influence: Array) -> None:
    with pytest.raises(InputError, match="needs 2 or more"):
        split_over_seeds(estimates, influence)
    with pytest.raises(InputError, match="jackknife needs 2"):
        influences([1.0])


def answered(seeds: int, sd: tuple[float, float, float], share: float, rng: np.random.Generator) -> SeedVariance:
    """A mean over participants, of whom a share is in each seed: effects of seed, participant, and answer."""
    people, taken = 200, int(200 * share)
    persons, values, influence = rng.normal(0, sd[1], people), [], np.zeros((seeds, people))
    for line, effect in zip(influence, rng.normal(0, sd[0], seeds), strict=True):
        here = rng.permutation(people)[:taken]
        y = effect + persons[here] + rng.normal(0, sd[2], taken)
        values.append(y.mean())
        line[here] = influences((y.sum() - y) / (taken - 1))
    return split_over_seeds(values, influence)


def test_what_pairs_add_twice_is_taken_away() -> None:
    """The square of a mean around 0 is made by pairs alone: its variance is 2 / n², the jackknife's twice that."""
    rng, n, repeats = np.random.default_rng(9), 30, 400
    pairs = np.array([(i, j) for i in range(n) for j in range(i)])
    jackknife, excess = np.zeros(repeats), np.zeros(repeats)
    for k in range(repeats):
        x = rng.normal(size=n)
        single, both = ((x.sum() - x) / (n - 1)) ** 2, ((x.sum() - x[pairs].sum(axis=1)) / (n - 2)) ** 2
        jackknife[k] = np.square(influences(single)).sum()
        excess[k] = np.mean(interactions(x.mean() ** 2, single[pairs], both, n) ** 2) / 2
    # Four standard errors, and the terms of order 1 / n that the second order leaves.
    for values, truth in ((jackknife, 4 / n**2), (jackknife - excess, 2 / n**2)):
        assert values.mean() == pytest.approx(truth, abs=4 * values.std() / repeats**0.5 + 4 / n * truth)


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("sd", [(0.1, 1.0, 1.0), (0.0, 1.0, 1.0), (0.1, 2.0, 0.5)])
def test_known_components_are_recovered_and_covered(sd: tuple[float, float, float], share: float) -> None:
    """Seeds share participants: their own level adds nothing to the variance between seeds that all of them are in."""
    rng = np.random.default_rng(5)
    found = [answered(3, sd, share, rng) for _ in range(600)]
    # A mean over taken of 200 people, drawn without replacement: its part of their variance is (1 - share).
    sampling = (sd[2] ** 2 + (1 - share) * sd[1] ** 2) / (200 * share)
    truths = {"sampling": sampling, "rest": sd[0] ** 2, "total": sd[0] ** 2 + sampling}
    for name, truth in truths.items():
        values = np.array([getattr(one, name).value for one in found])
        # Four standard errors; the finite population itself varies, which moves the truth of sampling by 1 %.
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(600) + 0.01 * sampling, name
    for name in ("total", "rest"):
        inside = np.mean([getattr(one, name).low <= truths[name] <= getattr(one, name).high for one in found])
        # Exact for the total; a share of .95 among 600 has a standard error of .009, and four of them are .036.
        assert inside > 0.95 - 0.036, name


TWIN = "tuned_all_25_same_pilot"


@pytest.fixture(scope="module")
def compared():
    rng = np.random.default_rng(2)
    people = known_truth.fresh(160, rng)
    return [
        known_truth.arm(name, seed, known_truth.distorted(160, rng, kept), people)
        for name, shares in (("base", (0.5, 0.5, 0.5)), ("tuned_all_25", (0.9, 0.5, 0.1)), (TWIN, (0.9, 0.9)))
        for seed, kept in enumerate(shares)
    ]


@pytest.fixture(scope="module")
def table(compared):
    whole = variance_over_seeds(known_truth.study(), compared, load_arms(), "all")
    return whole.set_index(["arm", "metric", "item"]).sort_index()


@pytest.mark.parametrize("measure", list(MEASURES))
def test_leaving_one_out_is_measuring_without_it(compared, measure):
    study, few = known_truth.study(), compared[0].simulated[:40]
    human, nobody = compared[0].human[:40], np.zeros((1, 0), dtype=int)
    without = MEASURES[measure](study, few, human)
    assert without is not None
    for rows in ([], [0], [39], [0, 7], [12, 39]):
        parts = (part.drop(index=rows).reset_index(drop=True) for part in (few, human))
        anew = MEASURES[measure](study, *parts)
        assert anew is not None and anew(nobody)[0] == pytest.approx(without(np.array([rows], dtype=int))[0], abs=1e-12)


def test_seeds_that_are_alike_are_told_from_seeds_that_are_not(table):
    # Answers of anybody at all are as varied as people's; what they break is the bond of beliefs, action and treatment.
    # Shares of .9, .5 and .1 that answer for themselves have gaps of .25, .30 and .35 (8,000 rows of each), a variance
    # of .0027 between seeds; for equal shares it is 0. Sampling of 160 rows makes .0012 of it.
    found = table["estimate"]
    assert found["tuned_all_25", "seed_variance_rest", "gap"] > 0.001 > found["base", "seed_variance_rest", "gap"]
    for measure in MEASURES:
        whole = found["base", "seed_variance_sampling", measure] + found["base", "seed_variance_rest", measure]
        assert whole == pytest.approx(found["base", "seed_variance", measure])


def test_a_twin_that_keeps_its_pilot_tells_pilot_draw_and_training_apart(table):
    columns, arm = ["estimate", "low", "high", "n"], "tuned_all_25"
    for measure in MEASURES:
        training, rest = (
            table.loc[arm, "seed_variance_training", measure],
            table.loc[TWIN, "seed_variance_rest", measure],
        )
        assert list(training[columns]) == list(rest[columns]) and training["n"] == 2
        pilot = table.loc[arm, "seed_variance_pilot", measure]
        both = table.loc[arm, "seed_variance_rest", measure]["estimate"]
        assert pilot["estimate"] == pytest.approx(both - training["estimate"])
        assert pilot["low"] < pilot["estimate"] < pilot["high"] and pilot["n"] == 2
    with_twin = table.reset_index().query("metric in ['seed_variance_training', 'seed_variance_pilot']")["arm"]
    assert set(with_twin) == {arm}


def test_what_only_seeds_with_a_pilot_each_differ_in_is_pilot_draw():
    # Shares of 1 and of 0 that answer for themselves have gaps of .24 and .36: a variance of .0041 over eight seeds.
    # Sampling of 300 rows makes .0006 of variance, and with seven degrees of freedom its standard error is .0003.
    rng = np.random.default_rng(11)
    people = known_truth.fresh(300, rng)
    arms = [
        known_truth.arm(name, seed, known_truth.distorted(300, rng, kept), people)
        for name, shares in (("tuned_all_25", (1.0, 0.0) * 4), (TWIN, (0.5,) * 8))
        for seed, kept in enumerate(shares)
    ]
    found = variance_over_seeds(known_truth.study(), arms, load_arms(), "all").set_index(["arm", "metric", "item"])
    training, pilot = (found.loc["tuned_all_25", f"seed_variance_{part}", "gap"] for part in ("training", "pilot"))
    assert training["low"] < 0 < training["high"] and abs(training["estimate"]) < 0.001
    assert 0 < pilot["low"] < 0.0041 < pilot["high"] and pilot["n"] == 8


def test_a_twin_with_one_seed_tells_nothing_apart(compared):
    few = [one for one in compared if (one.arm, one.seed) != (TWIN, 1)]
    found = variance_over_seeds(known_truth.study(), few, load_arms(), "all")
    assert set(found["metric"]) == {"seed_variance", "seed_variance_sampling", "seed_variance_rest"}


def test_the_pilot_draw_of_two_splits_by_hand():
    anew, kept = (split_over_seeds(y, [[1.0, 2.0, 1.0], [1.0, 0.0, -1.0]]) for y in ([1.0, 4.0], [2.0, 3.0]))
    found = pilot_draw(anew, kept)
    assert found.value == pytest.approx((4.5 - 4) - (0.5 - 4)) and found.n == 2
    assert found.low < found.value < found.high


def test_a_single_seed_has_nothing_to_split(compared):
    assert variance_over_seeds(known_truth.study(), compared[:1], load_arms(), "all").empty


def test_seeds_that_answer_for_nobody_in_common_are_split(compared):
    """A large study of which few are simulated: no pair of participants is in two seeds."""
    apart = [
        replace(
            one,
            simulated=one.simulated.assign(participant=one.simulated["participant"] + 1000 * one.seed),
            human=one.human.assign(participant=one.human["participant"] + 1000 * one.seed),
        )
        for one in compared[:3]
    ]
    table = variance_over_seeds(known_truth.study(), apart, load_arms(), "all")
    assert set(table["item"]) == set(MEASURES) and table["estimate"].notna().all()


def test_the_table_shows_every_measure_in_its_unit(compared):
    shown = seed_table(variance_over_seeds(known_truth.study(), compared, load_arms(), "all"), load_arms())
    assert list(shown["Measure"]) == [*NAMES.values()] * 3 and set(NAMES) == set(MEASURES)
    # Standard deviations: a variance below 0 is shown as 0.
    assert list(shown["Seeds"]) == ["3"] * 10 + ["2"] * 5
    assert not shown[["Pilot and training", "Pilot draw"]].apply(lambda column: column.str.contains("-")).any(axis=None)
    with_twin = shown["Arm"] == "Fine-tuned, 25 % of all"
    for heading in ("Training", "Pilot draw"):
        assert (shown.loc[~with_twin, heading] == "–").all() and shown.loc[with_twin, heading].str.contains(
            "[", regex=False
        ).all()
