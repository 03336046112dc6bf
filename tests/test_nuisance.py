"""What is only held constant in a regression is estimated, but neither reported nor scored."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from pydantic import ValidationError

from pilotlm.stats.refits import refit
from pilotlm.stats.regressions import design_of, fit
from pilotlm.study import Regression


def regression(**more):
    return Regression(name="r", label="R", formula="y ~ x + C(village) + z", family="linear", **more)


@pytest.fixture
def rows():
    rng = np.random.default_rng(1)
    village = rng.integers(1, 6, size=120)
    x, z = rng.normal(size=(2, 120)) + village
    return pd.DataFrame({"x": x, "z": z, "village": village, "y": x - z + 3 * village + rng.normal(size=120)})


def test_its_terms_are_estimated_and_not_shown(rows):
    found, whole = fit(regression(nuisance=("village",)), rows), fit(regression(), rows)
    assert found.terms == ("x", "z") and len(whole.terms) == 6
    reference = smf.ols("y ~ x + C(village) + z", rows).fit()
    assert found.coefficient == pytest.approx(reference.params[["x", "z"]].to_numpy())
    assert found.standard_error == pytest.approx(reference.bse[["x", "z"]].to_numpy())


def test_draws_leave_it_out_too(rows):
    one = regression(nuisance=("village",))
    counts = np.random.default_rng(2).multinomial(120, np.full(120, 1 / 120), size=3)
    drawn = refit(one, design_of(one, rows, None), counts)
    assert drawn.terms == ("x", "z")
    for k in range(3):
        again = fit(one, rows.loc[np.repeat(np.arange(120), counts[k])], rows)
        assert drawn.coefficient[k] == pytest.approx(again.coefficient)


def test_a_nuisance_is_a_predictor(toy):
    content = toy.model_dump(exclude_none=True)
    content["regressions"][0]["nuisance"] = ["nobody"]
    with pytest.raises(ValidationError, match=r"nuisance of .* names 'nobody'"):
        type(toy).model_validate(content)
