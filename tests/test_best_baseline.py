"""The baseline that arms are compared with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pilotlm.analyses.accuracy import best_baseline
from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.arms import Arms, load_arms


@pytest.fixture(scope="module")
def arms() -> Arms:
    return load_arms()


def line(arm: str, loss: float, seed: int = 1, metric: str = "cv_loss", study: str = "framing") -> dict[str, object]:
    return {"study": study, "arm": arm, "seed": seed, "metric": metric, "item": "all", "estimate": loss, "n": 40}


def table(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(METRIC_COLUMNS))


def test_the_smallest_mean_over_the_seeds_is_the_best(arms: Arms) -> None:
    rows = [line("logit_all_25", 7.0, 1), line("logit_all_25", 9.0, 2), line("copula_all_25", 6.0, 1),
            line("copula_all_25", 11.0, 2), line("marginals_all_25", 8.5, 1),
            line("marginals_all_25", 8.5, 2)]  # fmt: skip
    assert best_baseline(table(*rows), "framing", "all_25", arms) == "logit_all_25"
    assert best_baseline(table(*rows[::-1]), "framing", "all_25", arms) == "logit_all_25"


def test_nothing_but_the_loss_inside_the_pilot_is_read(arms: Arms) -> None:
    inside = [line("logit_all_25", 7.0), line("marginals_all_25", 7.1)]
    others = [
        line("marginals_all_25", -5.0, metric="nll"), line("bootstrap_all_25", -5.0, metric="joint_distance"),
        line("marginals_all_25", 0.0, study="anes96"), line("logit_one_25", 1.0), line("tuned_all_25", 0.0),
        line("marginals_all_25", -9.0, metric="nll_over_people"), line("human", 0.0, 0),
    ]  # fmt: skip
    assert best_baseline(table(*others, *inside), "framing", "all_25", arms) == "logit_all_25"


def test_all_are_judged_on_the_same_pilots(arms: Arms) -> None:
    # In the second pilot, which only the copula has, everything is easy to forecast.
    rows = [line("logit_all_25", 7.0, 1), line("copula_all_25", 8.0, 1), line("copula_all_25", 1.0, 2)]
    assert best_baseline(table(*rows), "framing", "all_25", arms) == "logit_all_25"


def test_where_no_baseline_has_a_loss_none_is_the_best(arms: Arms) -> None:
    assert best_baseline(table(), "framing", "all_25", arms) is None
    assert best_baseline(table(line("logit_all_25", 7.0)), "framing", "one_25", arms) is None
    assert best_baseline(table(line("logit_all_25", np.nan)), "framing", "all_25", arms) is None


def test_of_equals_the_first_declared_is_taken(arms: Arms) -> None:
    rows = [line("copula_all_25", 7.0), line("marginals_all_25", 7.0)]
    assert best_baseline(table(*rows), "framing", "all_25", arms) == "marginals_all_25"
