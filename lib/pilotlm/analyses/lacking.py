"""Which measures have no interval, floor or ceiling, and why: in every other row of a tidy table all of them stand."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

INTERVAL, FLOOR, CEILING = ("low", "high"), ("floor",), ("ceiling",)
_TEST = "a p-value is itself the statement; under its hypothesis it is uniform"
_DIFFERENCE = "a difference: that to people is 0 by definition, and the ends of the scale are those of its two parts"
_CHANCE = "no random benchmark has one score: what it calls significant depends on what it answers"

_SCORE = "a score of an estimator, of a plan or of a verdict; people alone are the row that it is read beside"

_SPREAD = "a variance between seeds: it says how sure an estimate is, not how near to people"

LACKING: Mapping[str, Mapping[tuple[str, ...], str]] = MappingProxyType(
    {
        "p_value": {INTERVAL + FLOOR + CEILING: _TEST},
        "association_interaction_p": {INTERVAL + FLOOR + CEILING: _TEST},
        "group_association_interaction_p": {INTERVAL + FLOOR + CEILING: _TEST},
        "coefficient_equivalence_p": {INTERVAL + FLOOR + CEILING: _TEST},
        "coefficient_difference_p": {INTERVAL + FLOOR + CEILING: _TEST},
        "equivalence_balanced_p": {INTERVAL + FLOOR + CEILING: _TEST},
        "equivalence_nopersona_p": {INTERVAL + FLOOR + CEILING: _TEST},
        "difference_balanced_p": {INTERVAL + FLOOR + CEILING: _TEST},
        "difference_nopersona_p": {INTERVAL + FLOOR + CEILING: _TEST},
        "association_interaction": {FLOOR + CEILING: _DIFFERENCE},
        "group_association_interaction": {FLOOR + CEILING: _DIFFERENCE},
        "coefficient_equivalence": {FLOOR + CEILING: _DIFFERENCE},
        "nll_over_people": {FLOOR + CEILING: _DIFFERENCE},
        "nll_over_baseline": {FLOOR + CEILING: _DIFFERENCE},
        "cv_loss": {INTERVAL + FLOOR + CEILING: "it only orders the baselines, on the same folds of the same people"},
        "nll_over_unshuffled": {FLOOR + CEILING: _DIFFERENCE},
        "equivalence_balanced": {CEILING: _DIFFERENCE},
        "equivalence_nopersona": {CEILING: _DIFFERENCE},
        "coefficient": {FLOOR + CEILING: "in a unit of its own; judged by overlap, equivalence and concordance"},
        "gap_independent": {
            FLOOR + CEILING: "it is the random benchmark of the gap, and is judged by no scale of its own"
        },
        "gap_not_applicable": {INTERVAL + FLOOR + CEILING: "a description of the rows that a rule leaves out"},
        "coefficients_equivalent": {INTERVAL + CEILING: "a tally of tests"},
        "sign_f1": {CEILING: _CHANCE},
        "sign_f1_at_n": {CEILING: _CHANCE},
        "false_positive_rate": {CEILING: _CHANCE},
        "false_positive_rate_at_n": {CEILING: _CHANCE},
        "interval_overlap": {
            INTERVAL: "a single overlap piles up at 0 and near 1; the equivalence of the coefficient has one",
            CEILING: _CHANCE,
        },
        "mean_interval_overlap": {CEILING: _CHANCE},
        "calibration": {CEILING: "a curve: the human benchmark is where it lies if every probability is right"},
        "answer_correlation": {FLOOR + CEILING: "a bound on what predictions are worth, not a distance to people"},
        "gain": {FLOOR + CEILING: "as the correlation that it is made of"},
        "equivalence_of_target": {FLOOR + CEILING: _DIFFERENCE},
        "estimator_coverage": {FLOOR + CEILING: _SCORE},
        "estimator_coverage_least": {INTERVAL + FLOOR + CEILING: _SCORE},
        "estimator_width": {INTERVAL + FLOOR + CEILING: _SCORE},
        "estimator_effective": {INTERVAL + FLOOR + CEILING: _SCORE},
        "plan_right": {FLOOR + CEILING: _SCORE},
        "plan_goes_on": {INTERVAL + FLOOR + CEILING: _SCORE},
        "plan_power": {INTERVAL + FLOOR + CEILING: _SCORE},
        "wrongly_used": {FLOOR + CEILING: _SCORE},
        "wrongly_rectified": {FLOOR + CEILING: _SCORE},
        "wrongly_refused": {FLOOR + CEILING: _SCORE},
        "seed_variance": {FLOOR + CEILING: _SPREAD},
        "seed_variance_sampling": {FLOOR + CEILING: _SPREAD},
        "seed_variance_rest": {FLOOR + CEILING: _SPREAD},
        "seed_variance_training": {FLOOR + CEILING: _SPREAD},
        "seed_variance_pilot": {FLOOR + CEILING: _SPREAD},
        "calibration_error": {CEILING: "uniform probabilities are nearly right on average and say nothing"},
    }
)
"""Measure, then the columns of a tidy table that it lacks and the reason."""


def lacking(metric: str) -> dict[str, str]:
    """The columns that a measure has no value in, each with the reason.

    Parameters
    ----------
    metric : str
        Its name in a tidy table.

    Returns
    -------
    dict of str to str
        Column, then reason; empty for a measure with an interval, a floor and a ceiling.
    """
    found = LACKING.get(metric, {})
    return {column: reason for columns, reason in found.items() for column in columns}
