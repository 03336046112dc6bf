"""Every row of a tidy table has an interval, a human and a random benchmark and an n, but for what is said here."""

from dataclasses import replace

import known_truth
import numpy as np
import pandas as pd
import pytest

from pilotlm.analyses.accuracy import accuracy
from pilotlm.analyses.coherence import belief_action_coherence
from pilotlm.analyses.common import Predicted
from pilotlm.analyses.controls import controls
from pilotlm.analyses.divergence import divergence
from pilotlm.analyses.heterogeneity import heterogeneity
from pilotlm.analyses.rectification import rectification
from pilotlm.analyses.regression import recovery
from pilotlm.analyses.subgroups import subgroups
from pilotlm.arms import load_arms
from pilotlm.baselines.fit import baselines

pytestmark = pytest.mark.slow

ARMS = ("tuned_all_25", "tuned_all_25_balanced", "tuned_all_25_nopersona")
COLUMNS = ("low", "high", "human_benchmark", "random_benchmark")
BENCHMARKS = ("human_benchmark", "random_benchmark")
LACKING = {
    **dict.fromkeys(("p_value", "cv_loss", "estimator_width", "estimator_effective"), COLUMNS),
    **{f"{kind}_{claim}_p": COLUMNS for kind in ("equivalence", "difference") for claim in ("balanced", "nopersona")},
    **dict.fromkeys(("nll_over_baseline", "nll_over_unshuffled", "coefficient", "gap_independent"), BENCHMARKS),
    **dict.fromkeys(("answer_correlation", "estimator_coverage"), BENCHMARKS),
    **dict.fromkeys(("wrongly_used", "wrongly_rectified", "wrongly_refused"), BENCHMARKS),
    "rho_S": ("human_benchmark",),
    **dict.fromkeys(("equivalence_balanced", "equivalence_nopersona"), ("random_benchmark",)),
    **dict.fromkeys(("sign_f1", "false_positive_rate"), ("random_benchmark",)),
}
"""Measure, then the columns that it has no value in: differences, tests and scores are read by themselves."""


@pytest.fixture(scope="module")
def table():
    """All analyses of a study, on people, baselines and simulations that are other people."""
    study, rng = known_truth.study(), np.random.default_rng(1)
    people = known_truth.fresh(240, rng)
    arms = [known_truth.arm(name, 1, known_truth.fresh(240, rng), people) for name in ARMS]
    fitted = [one for one in baselines(study, people, load_arms(), "all_25", 1) if one.predictions is not None]
    compared = [known_truth.arm(one.arm.name, 1, one.responses, rows(people, one.responses)) for one in fitted]
    predicted = [
        Predicted.of(c, one.arm.pilot, one.predictions)
        for c, one in zip(compared, fitted, strict=True)
        if one.predictions is not None
    ]
    few = study.model_copy(update={"regressions": study.regressions[:1]})
    parts = [
        heterogeneity(study, arms, people, "all", 20),
        divergence(study, arms, people, "all", 20),
        subgroups(study, arms, people, "all", 20),
        belief_action_coherence(study, arms, people, "all", 20),
        recovery(few, arms, people, "all", 20),
        accuracy(study, predicted, [*map(cv_loss, fitted)], people, load_arms(), "held-out", 20),
        rectification(study, [replace(arms[0], pilot=())], known_truth.fresh(300, rng), load_arms(), "held-out", 20),
        controls(study, compared, predicted, people, load_arms(), "held-out", 20),
    ]
    whole = pd.concat(parts, ignore_index=True)
    # People as an arm of their own are what the others are held against.
    return whole[(whole["arm"] != "human") & whole["estimate"].notna()]


def cv_loss(one):
    facts = {"estimate": one.cv_loss, "n": one.people}
    return {"arm": one.arm.name, "seed": 1, "metric": "cv_loss", "item": "all", **facts}


def rows(people, responses):
    return people[people["participant"].isin(responses["participant"])].reset_index(drop=True)


def test_what_a_measure_has_is_what_the_library_says(table):
    found = table.groupby("metric")[[*COLUMNS, "n"]].agg(lambda column: column.notna().mean())
    wrong = [
        (metric, column, float(found.loc[metric, column]))
        for metric in found.index
        for column in COLUMNS
        if found.loc[metric, column] != (0 if column in LACKING.get(metric, ()) else 1)
    ]
    assert not wrong
    assert (found["n"] == 1).all() and (table["n"] >= 1).all()


def test_intervals_hold_their_estimates(table):
    known = table.dropna(subset=["low", "high"])
    assert (known["low"] <= known["estimate"] + 1e-12).all() and (known["estimate"] <= known["high"] + 1e-12).all()


def test_nothing_is_excused_that_is_not_measured(table):
    """A name in the table of excuses that no analysis gives would be a forgotten one."""
    elsewhere = {"nll_over_unshuffled"}  # of shuffled pilots, which only a model has
    assert set(LACKING) <= set(table["metric"]) | elsewhere
