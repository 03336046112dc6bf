from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotlm.arms import load_arms
from pilotlm.data.check import describe_study
from pilotlm.data.conversion import valid_name, valid_names
from pilotlm.data.draft import Roles, draft_study
from pilotlm.data.draft_text import _sections
from pilotlm.data.pilot import draw_pilot
from pilotlm.data.sources import load_people
from pilotlm.errors import InputError
from pilotlm.responses import with_analysis_columns
from pilotlm.stats.regressions import fit
from pilotlm.study import RESERVED, Choice, Scale, Study, load_study

N = 60


def survey(**columns: Any) -> pd.DataFrame:
    """A survey as people have it in a spreadsheet; a column given as None is taken out."""
    rng = np.random.default_rng(1)
    table: dict[str, Any] = {
        "ResponseId": [f"R_{k}" for k in range(N)],
        "wave": 1,
        "Age (years)": rng.integers(18, 80, N),
        "Gender": rng.choice(["male", "female"], N),
        "Region": [["west", "north", "south"][k % 3] for k in range(N)],
        "arm": [["new", "old"][k % 2] for k in range(N)],
        "worry": rng.integers(1, 6, N),
        "trust": rng.integers(0, 11, N),
        "acts": rng.choice(["yes", "no"], N),
    }
    return pd.DataFrame({name: values for name, values in (table | columns).items() if values is not None})


def draft(folder: Path, table: pd.DataFrame, name: str = "mine", separator: str = ",", **roles: Any) -> Study:
    """Write a file and draft a study for it."""
    data = folder / "survey.csv"
    table.to_csv(data, index=False, sep=separator)
    path = draft_study(name, data, Roles(**roles))
    assert path == folder / "project" / "data" / name / "study.yml"
    return load_study(name)


def refused(folder: Path, table: pd.DataFrame | None = None, **roles: Any) -> str:
    """The sentence with which a draft is refused, which leaves nothing behind."""
    before = sorted(folder.rglob("data/*"))
    with pytest.raises(InputError) as caught:
        draft(folder, survey() if table is None else table, **roles)
    assert sorted(folder.rglob("data/*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(project: Path) -> Path:
    return project.parent


def test_a_draft_loads_with_its_people_and_says_what_it_guessed(folder: Path) -> None:
    study = draft(folder, survey(), treatment="arm")
    people = load_people(study).table
    assert len(people) == N
    assert [field.name for field in study.persona] == ["Age_years", "Gender", "Region"]
    assert [(q.name, q.role, q.kind) for q in study.questions] == [
        ("worry", "belief", "scale"), ("trust", "belief", "scale"), ("acts", "action", "choice"),
    ]  # fmt: skip
    assert [(t.name, dict(t.when), dict(t.codes)) for t in study.treatments] == [
        ("new", {"arm": "new"}, {"old": 0.0}), ("old", {"arm": "old"}, {"old": 1.0}),
    ]  # fmt: skip
    assert [s.variable for s in study.subgroups] == ["Gender"]
    assert study.regressions[0].formula == "acts ~ worry + trust + old" and study.regressions[0].family == "logit"
    text = (study.folder / "study.yml").read_text()
    assert "#   ResponseId: has another value in every row" in text and "#   wave: has one value, '1'" in text
    assert (study.folder / "mine.csv").read_bytes() == (folder / "survey.csv").read_bytes()
    assert "| Rows | 60 in the file" in (study.folder / "card.md").read_text()


def test_what_a_draft_names_can_be_run(folder: Path) -> None:
    study = draft(folder, survey(), treatment="arm")
    people = load_people(study).table
    for design in (design for design in load_arms().pilots.values() if design.people is None):
        assert draw_pilot(study, people, design, 1).held_out
    fitted = fit(study.regressions[0], with_analysis_columns(study, people))
    assert set(fitted.terms) == {"worry", "trust", "old"}
    assert "The prompt of a made-up participant" in describe_study("mine")


def test_words_stay_in_the_order_of_appearance_and_a_comment_says_so(folder: Path) -> None:
    study = draft(folder, survey())
    region = next(field for field in study.persona if field.name == "Region")
    assert [level.text for level in region.levels or ()] == ["west", "north", "south"] and not region.ordered
    text = (study.folder / "study.yml").read_text()
    place = text.index("IN THE ORDER OF APPEARANCE")
    assert "Region" in text[place:].split("\n")[0] and place < text.index("raw: west")


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (["yes", "no"], {"no": 0, "yes": 1}),
        (["TRUE", "FALSE"], {"FALSE": 0, "TRUE": 1}),
        (["on", "off"], {"off": 0, "on": 1}),
        (["sell", "buy"], {"sell": 0, "buy": 1}),
        (["y", "n"], {"n": 0, "y": 1}),
        (["~", "null-ish"], {"~": 0, "null-ish": 1}),
        (["- a", "b: c"], {"- a": 0, "b: c": 1}),
        (["it's", 'so "much"'], {"it's": 0, 'so "much"': 1}),
        (["#no", "[x], {y}"], {"#no": 0, "[x], {y}": 1}),
        (["1e3x", "012-3"], {"1e3x": 0, "012-3": 1}),
        (["2024-01-01", "12:30"], {"2024-01-01": 0, "12:30": 1}),
    ],
)
def test_words_survive_the_file_whatever_yaml_thinks_of_them(
    folder: Path, words: list[str], codes: dict[str, int]
) -> None:
    answers = [words[k % 2] for k in range(N)]
    study = draft(folder, survey(acts=answers), action="acts")
    action = study.questions[-1]
    assert isinstance(action, Choice) and {option.raw: option.code for option in action.options} == codes
    assert load_people(study).table["acts"].tolist() == [codes[answer] for answer in answers]


@settings(deadline=None)
@given(st.one_of(st.text(min_size=1), st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_section_is_read_back_as_it_was(value: str | int | float) -> None:
    content = {"name": value, "persona": [{"raw": value, "text": "x"}], "missing": [value]}
    assert yaml.safe_load("\n\n# A comment.\n".join(_sections(content).values())) == content


@pytest.mark.parametrize(
    ("answers", "kind", "values"),
    [
        ([1, 3, 5], "scale", (1, 2, 3, 4, 5)),
        ([-3, 0, 3], "scale", tuple(range(-3, 4))),
        ([0, 25, 100], "scale", (0, 25, 50, 75, 100)),
        ([0, 10, 1000], "scale", tuple(range(0, 1001, 10))),
        ([1, 2], "choice", (0, 1)),
        ([0.5, 1.5, 1], "choice", (1, 2, 3)),
        ([1, 1001, 5_000_000], "choice", (1, 1001, 5_000_000)),
    ],
)
def test_numbers_become_the_closed_question_that_holds_them(
    folder: Path, answers: list[float], kind: str, values: tuple[int, ...]
) -> None:
    given_answers = [answers[k % len(answers)] for k in range(N)]
    study = draft(folder, survey(acts=given_answers))
    action = study.questions[-1]
    assert action.kind == kind
    if isinstance(action, Choice):
        assert tuple(option.code for option in action.options) == values and action.ordered
        assert [float(option.raw_value) for option in action.options] == sorted(answers)
    elif isinstance(action, Scale):
        assert tuple(range(action.low, action.high + 1, action.step)) == values
    read = load_people(study).table["acts"].rank(method="dense")
    assert len(read) == N and read.tolist() == pd.Series(given_answers).rank(method="dense").tolist()


def test_a_continuous_answer_says_what_to_do(folder: Path) -> None:
    continuous = np.linspace(0, 1, N) ** 2
    said = refused(folder, survey(acts=continuous), action="acts")
    assert "The column 'acts' has 60 different numbers from 0 to 1" in said and "--action" in said and "round" in said
    assert "--beliefs" in refused(folder, survey(worry=continuous), beliefs=("worry",))
    # As a guess it is passed over, and becomes part of the persona.
    assert draft(folder, survey(acts=continuous), "other").action_columns == ("trust",)
    study = draft(folder, survey(trust=continuous))
    assert study.belief_columns == ("arm_2", "worry") and "trust" in {field.name for field in study.persona}


def test_a_number_of_many_values_is_a_range_and_of_few_is_levels(folder: Path) -> None:
    study = draft(folder, survey(Gender=[1 + k % 2 for k in range(N)], income=np.linspace(0.5, 1e6, N)), persona=(
        "Age (years)", "Gender", "income"))  # fmt: skip
    age, gender, income = study.persona
    assert age.range is not None and age.column == "Age (years)" and gender.levels is not None
    assert [(level.code, level.raw) for level in gender.levels] == [(1, None), (2, None)]
    assert income.range == (0.5, 1e6)


def test_words_for_missing_are_listed_and_their_rows_dropped(folder: Path) -> None:
    table = survey()
    table["worry"] = ["NA", "", *table["worry"].astype(str)[2:]]
    study = draft(folder, table)
    people = load_people(study)
    assert study.missing == ("NA",) and (people.rows_read, people.rows_dropped) == (N, 2)


def test_columns_of_no_use_are_left_out_and_named(folder: Path) -> None:
    table = survey(
        comment=[f"I think {k // 2}" for k in range(N)], number=range(1, N + 1), seldom=["x", "y"] + [""] * (N - 2),
        user_id=[k * k for k in range(N)], empty="",
    )  # fmt: skip
    table = table[[*[c for c in table.columns if c != "acts"], "acts"]]
    text = (draft(folder, table).folder / "study.yml").read_text()
    for names, reason in {
        "comment": "has 30 different texts", "ResponseId, user_id, number": "has another value in every row",
        "empty": "is empty", "seldom": "is empty in 58 of 60 rows",
    }.items():  # fmt: skip
        assert f"#   {names}: {reason}" in text


def test_no_more_than_eight_persona_fields_are_guessed(folder: Path) -> None:
    table = survey(**{f"x{k}": [j % (k + 2) for j in range(N)] for k in range(12)})
    study = draft(folder, table)
    assert len(study.persona) == 8
    assert "not needed; name them with --persona" in (study.folder / "study.yml").read_text()
    assert len(draft(folder, table, "other", persona=tuple(f"x{k}" for k in range(10))).persona) == 10


def test_at_least_one_column_is_kept_for_the_persona(folder: Path) -> None:
    keep = dict.fromkeys(["ResponseId", "wave", "Age (years)", "Gender", "Region", "arm"])
    study = draft(folder, survey(**keep))
    assert [field.name for field in study.persona] == ["worry"] and study.belief_columns == ("trust",)
    said = refused(folder, survey(**keep, worry=None, trust=None), name="other")
    assert "leaves no column for the persona" in said


def test_roles_are_kept_in_the_order_named(folder: Path) -> None:
    study = draft(folder, survey(), action="worry", beliefs=("acts", "trust"), persona=("Gender",), treatment="wave")
    assert [q.name for q in study.questions] == ["acts", "trust", "worry"]
    assert [t.when for t in study.treatments] == [{"wave": 1}]


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ({"action": "act"}, "has no column 'act'; did you mean 'acts'? Allowed: Age (years), "),
        ({"action": "acts, worry"}, "A study has one action; columns that hold one question"),
        ({"treatment": "Arm"}, "has no column 'Arm'; did you mean 'arm'?"),
        ({"beliefs": ("worry", "acts"), "action": "acts"}, "The column 'acts' is named twice"),
        ({"action": "wave"}, "The column 'wave' has one value, '1', so the action cannot be a closed question"),
        ({"persona": ("ResponseId",)}, "'ResponseId' has 60 different texts and cannot be a persona field"),
        ({"treatment": "ResponseId"}, "'ResponseId' has 60 different texts and cannot name the treatments"),
    ],
)
def test_a_role_that_cannot_be_is_one_sentence(folder: Path, roles: dict[str, Any], said: str) -> None:
    assert said in refused(folder, **roles)


def test_rows_that_are_never_complete_are_an_error(folder: Path) -> None:
    half = [str(k % 3) if k < N // 2 else "" for k in range(N)]
    other = [str(k % 3) if k >= N // 2 else "" for k in range(N)]
    said = refused(folder, survey(worry=half, trust=other), beliefs=("worry", "trust"))
    assert "has a value in all of the columns" in said and "'worry' (30 of 60 rows)" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no rows of data"),
        (b"a\n1\n2\n", "leaves no column for the persona|no column of use"),
        (b"a,b,c\n'1,5',1,2\n'2,5',2,1\n".replace(b"'", b'"'), "cannot be read: '1,5' has a decimal comma"),
    ],
)
def test_a_file_that_is_no_table_is_one_sentence(folder: Path, content: bytes, said: str) -> None:
    (folder / "bad.csv").write_bytes(content)
    with pytest.raises(InputError, match=said):
        draft_study("mine", folder / "bad.csv", Roles())
    assert not list((folder / "project" / "data").iterdir())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", ".hidden", "a b", "-x", "a.yml"])
def test_a_name_that_is_not_allowed_is_refused(folder: Path, name: str) -> None:
    assert f"The study name '{name}' is not allowed" in refused(folder, name=name)


def test_a_study_that_is_there_is_left_alone(folder: Path) -> None:
    study = draft(folder, survey())
    before = {path: path.read_bytes() for path in study.folder.iterdir()}
    assert "There is already a folder" in refused(folder)
    assert "There is already a study" in refused(folder, name="MINE")
    assert {path: path.read_bytes() for path in study.folder.iterdir()} == before


def test_a_missing_file_is_refused_before_anything_is_written(folder: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*none.csv"):
        draft_study("mine", folder / "none.csv", Roles())
    assert not list((folder / "project" / "data").iterdir())


def test_an_error_half_way_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilotlm.data.draft.load_people", lambda study: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draft(folder, survey())
    assert not list((folder / "project" / "data").iterdir())


def test_a_sign_rule_is_guessed_for_scales_around_zero_alone(folder: Path) -> None:
    around = [k % 5 - 2 for k in range(N)]
    rule = draft(folder, survey(worry=around, acts=around)).coherence
    assert rule is not None and rule.kind == "sign_agreement" and rule.pairs == (("worry", "acts"),)
    assert draft(folder, survey(acts=around), "other").coherence is None


@pytest.mark.parametrize(
    "columns", [{}, {"acts": [["a", "b", "c"][k % 3] for k in range(N)]}, {"worry": None, "trust": None}]
)
def test_the_examples_in_comments_are_valid(folder: Path, columns: dict[str, Any]) -> None:
    study = draft(folder, survey(**columns))
    text = (study.folder / "study.yml").read_text()
    for start in ("# coherence:", "# regressions:"):
        head, found, example = text.partition(start)
        if found:
            block, _, rest = example.partition("\n\n")
            text = (
                f"{head}{found[2:]}" + "\n".join(line.removeprefix("# ") for line in block.split("\n")) + "\n\n" + rest
            )
    (study.folder / "study.yml").write_text(text)
    changed = load_study("mine")
    assert changed.coherence is not None and changed.regressions


def test_names_are_made_valid_and_keep_the_column(folder: Path) -> None:
    table = survey().rename(columns={"worry": "class", "trust": "Vertrauen (0–10)", "Gender": "treatment", "arm": "C"})
    study = draft(folder, table)
    renamed = {v.name: v.column for v in (*study.persona, *study.questions)}  # type: ignore[union-attr]
    assert renamed["class_value"] == "class" and renamed["Vertrauen_0_10"] == "Vertrauen (0–10)"
    assert renamed["treatment_2"] == "treatment" and renamed["C_value"] == "C"
    assert fit(study.regressions[0], with_analysis_columns(study, load_people(study).table)).n == N


@pytest.mark.parametrize(
    ("words", "name"),
    [("age", "age"), ("Ä ö", "A_o"), ("2nd", "v2nd"), ("年齢", "variable"), ("_x", "x"), ("if", "if_value"),
     ("C", "C_value"), ("a.b-c", "a_b_c"), ("x" * 50, "x" * 50)],
)  # fmt: skip
def test_a_valid_name(words: str, name: str) -> None:
    assert valid_name(words, ()) == name
    assert valid_name(words, (name,)) == f"{name}_2"


@given(st.lists(st.text(min_size=1), unique=True))
def test_valid_names_are_different_and_free(words: list[str]) -> None:
    names = valid_names(words, RESERVED)
    assert len(set(names)) == len(words) and not set(names) & RESERVED


CELLS = st.sampled_from(
    ["", "NA", "0", "1", "2", "-3", "1.5", "7.0", "yes", "no", "a, b", "x'y", "{value}", "é\n2", "#", "1e400", "1_0"]
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_table_gives_a_draft_that_loads_or_one_sentence(
    data: st.DataObject, tmp_path_factory: Any, folder: Path
) -> None:
    width, height = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 14))
    heads = data.draw(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6),
                               min_size=width, max_size=width, unique=True))  # fmt: skip
    rows = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=height, max_size=height))
    path = tmp_path_factory.mktemp("any") / "any.csv"
    pd.DataFrame(rows, columns=heads).to_csv(path, index=False, sep=data.draw(st.sampled_from([",", ";", "\t"])))
    name = path.parent.name
    try:
        draft_study(name, path, Roles())
    except InputError as error:
        assert "any.csv" in str(error) or "column" in str(error)
        assert not (folder / "project" / "data" / name).exists()
    else:
        assert describe_study(name)
