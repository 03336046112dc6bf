"""The table of distributions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pilotlm.errors import InputError
from pilotlm.predictions import (
    PREDICTION_COLUMNS,
    as_predictions,
    asked_columns,
    check_predictions,
    predictions_of,
    read_predictions,
    write_predictions,
)
from pilotlm.records import Places
from pilotlm.study import Study

PEOPLE = [7, 3, 12]


def arrays(study: Study) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {c: rng.dirichlet(np.ones(len(v)), size=len(PEOPLE)) for c, v in asked_columns(study).items()}


@pytest.fixture
def table(toy: Study) -> pd.DataFrame:
    return as_predictions(toy, PEOPLE, arrays(toy))


def test_what_follows_from_others_is_not_asked(toy: Study) -> None:
    assert list(asked_columns(toy)) == ["fear", "odds_none", "odds_small", "leave"]
    assert asked_columns(toy)["odds_small"] == (0, 25, 50, 75, 100)


def test_a_table_gives_its_arrays_back_in_any_order(toy: Study, table: pd.DataFrame) -> None:
    assert tuple(table.columns) == PREDICTION_COLUMNS and len(table) == 3 * (4 + 5 + 5 + 3)
    shuffled = table.sample(frac=1, random_state=1)
    found, given = predictions_of(toy, shuffled, [12, 7]), arrays(toy)
    for column, distribution in given.items():
        np.testing.assert_array_equal(found[column], distribution[[2, 0]])


def test_a_file_holds_the_table(toy: Study, table: pd.DataFrame, tmp_path: Path) -> None:
    path = Places("r", "toy").predictions("logit_all_25", 3)
    assert path.relative_to(tmp_path / "results").as_posix() == "r/toy/predictions/logit_all_25-s3.parquet"
    write_predictions(path, toy, table)
    pd.testing.assert_frame_equal(read_predictions(path, toy, "x"), table)
    with pytest.raises(InputError, match=r"missing; the notebook makes it"):
        read_predictions(path.with_name("y.parquet"), toy, "the notebook")


def change(table: pd.DataFrame, **new: Any) -> pd.DataFrame:
    """The table with values of its first row replaced: participant 7, column fear, value 1."""
    changed = table.copy()
    for name, value in new.items():
        changed.loc[0, name] = value
    return changed


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.drop(columns="value"), r"here: the distributions lack the column\(s\) value"),
        (lambda t: change(t, column="fer"), "here: 'fer' is not asked in study 'toy'; asked: fear, odds_none"),
        (lambda t: change(t, value=9), r"participant 7, column 'fear': 9 is not allowed \(1 to 4\)"),
        (lambda t: change(t, value=2), "participant 7, column 'fear' has a value twice or not at all"),
        (lambda t: t.drop(index=0), "participant 7, column 'fear' has a value twice or not at all"),
        (lambda t: pd.concat([t, t.head(1)]), "participant 7, column 'fear' has a value twice or not at all"),
        (
            lambda t: t[(t["column"] != "leave") | (t["participant"] != 3)],
            "participant 3 has no distribution for .*'leave'",
        ),
        (lambda t: change(t, probability=-0.1), r"participant 7, column 'fear' has a probability outside"),
        (lambda t: change(t, probability=np.nan), r"participant 7, column 'fear' has a probability outside"),
        (lambda t: t.assign(probability=t["probability"] * 0.999), "column 'fear' has probabilities that do not sum"),
    ],
)
def test_a_table_that_is_not_valid_names_the_place(toy: Study, table: pd.DataFrame, spoil: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        check_predictions(toy, spoil(table), "here")
    assert "\n" not in str(caught.value)


def test_arrays_of_other_columns_or_shapes_are_refused(toy: Study, table: pd.DataFrame) -> None:
    distributions = arrays(toy)
    with pytest.raises(InputError, match="they must be of fear, odds_none, odds_small, leave"):
        as_predictions(toy, PEOPLE, {"fear": distributions["fear"]})
    with pytest.raises(InputError, match=r"'leave' has the shape \(2, 3\), not \(3, 3\)"):
        as_predictions(toy, PEOPLE, {**distributions, "leave": distributions["leave"][:2]})
    with pytest.raises(InputError, match="lack the participant 4"):
        predictions_of(toy, table, [4, 7])
