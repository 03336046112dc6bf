"""What a file shows by itself is proposed by new-study, warned of by check, and obeyed once the study says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlm.cli import main
from pilotlm.data.cells import order_of
from pilotlm.data.detectors import detections_of, is_record, missing_codes
from pilotlm.data.draft import Roles, draft_study
from pilotlm.data.sources import load_people
from pilotlm.data.tables import Table
from pilotlm.errors import InputError
from pilotlm.study import Study, load_study

N = 60
ROLES = {"action": "donate", "beliefs": ("trust",), "persona": ("age", "sex"), "treatment": "arm"}


def survey(**columns: Any) -> pd.DataFrame:
    """People with an arm, a belief and an action; a column given as None is taken out."""
    rng = np.random.default_rng(1)
    table: dict[str, Any] = {
        "age": rng.permutation(np.arange(20, 20 + N)), "sex": rng.choice(["woman", "man"], N),
        "arm": cycle("message", "control"), "trust": cycle(1, 2, 3, 4, 5),
        "donate": rng.integers(0, 2, N),
    }  # fmt: skip
    return pd.DataFrame({name: values for name, values in (table | columns).items() if values is not None})


def cycle(*values: Any) -> list[Any]:
    """The values in turn, one a row."""
    return [values[k % len(values)] for k in range(N)]


def some(values: Any, other: Any, rows: int = 6) -> list[Any]:
    """The values with another one in some rows."""
    return [other if k < rows else value for k, value in enumerate(values)]


@pytest.fixture
def drafted(project: Path) -> Any:
    """Write a file, draft a study for it, and give what was said, what check says, and the study."""

    def draft(table: pd.DataFrame, **roles: Any) -> tuple[str, str, Study]:
        table.to_csv(project / "survey.csv", index=False)
        said: list[str] = []
        draft_study("mine", project / "survey.csv", Roles(**(ROLES | roles)), said.append)
        return "\n".join(said), checked(), load_study("mine")

    return draft


def checked() -> str:
    from pilotlm.data.check import describe_study

    return describe_study("mine")


def change(**keys: Any) -> None:
    """Change keys of the study file; None takes one out."""
    path = load_study("mine").folder / "study.yml"
    content = {key: value for key, value in (yaml.safe_load(path.read_text()) | keys).items() if value is not None}
    path.write_text(yaml.safe_dump(content, sort_keys=False))


# Codes for missing answers.


@pytest.mark.parametrize(
    ("numbers", "codes"),
    [
        ([-9, 1, 2, 3, 4, 5], [-9]), ([-9, 0, 1], [-9]), ([-99, -9, *range(1, 8)], [-99, -9]),
        ([*range(1, 6), 8, 9], [8, 9]), ([*range(11)], []), ([*range(1, 10)], []), ([*range(1, 6), 99], [99]),
        ([*range(18, 81), 999], [999]), ([*range(18, 81), 99], [99]), ([*range(18, 98), 98, 99], []),
        ([-1, 1, 2, 3, 4, 5], [-1]), ([-1, *range(11)], [-1]), ([-1, 0, 1], []), ([*range(-3, 4)], []),
        ([*range(-5, 6), -9], [-9]), ([*range(-5, 6)], []), ([-3, -1, 1, 3], []), ([0, 1, 9], [9]),
        ([1, 2, 7, 9], [7, 9]),
        ([1, 2, 3, 4, 5, 7], []), ([0, 25, 50, 99], [99]), ([0, 99], []), ([0, 100], []), ([-37.5, -9, 4, 8], []),
        ([0.5, 1.5, 2.5, 99], [99]), ([0, 2, 3, 9], []), ([1, 1001, 5_000_000], []),
        ([*range(0, 8000, 500), 9999], [9999]),
    ],
)  # fmt: skip
def test_a_code_lies_outside_the_rest(numbers: list[float], codes: list[float]) -> None:
    assert list(missing_codes(numbers)) == codes


@settings(max_examples=60, deadline=None)
@given(low=st.integers(0, 1), length=st.integers(1, 10), code=st.sampled_from([-9, -99, 99, 999, -999, -8, 88, 9999]))
def test_a_code_beside_any_short_scale_is_found(low: int, length: int, code: int) -> None:
    scale = range(low, low + length + 1)
    assert missing_codes([*scale, code]) == (code,) and missing_codes(scale) == ()


def test_codes_are_proposed_for_all_columns_or_for_one(drafted: Any) -> None:
    table = survey(age=some(range(20, 20 + N), -9), trust=some(cycle(1, 2, 3, 4, 5), -9), hope=cycle(*range(11)))
    table["donate"] = some(table["donate"], 9, 8)
    said, check, study = drafted(table, beliefs=("trust", "hope"))
    assert study.missing == (-9,) and study.question("donate").missing == (9,)
    assert study.question("hope").values[-1] == 10
    assert "'donate': 9 lies outside the rest (0 to 1)" in said and "outside the rest" not in check
    assert study.persona[0].range == (26, 79) and study.question("trust").values == (1, 2, 3, 4, 5)
    assert "are dropped because a value is missing: 'donate' in 8, 'trust' in 6, 'age' in 6" in check
    people = load_people(study)
    assert people.dropped == {"age": 6, "trust": 6, "donate": 8} and people.rows_dropped == 8
    questions = yaml.safe_load((study.folder / "study.yml").read_text())["questions"]
    questions[0] |= {"low": -9}
    persona = [{"name": "age", "text": "{value}", "range": [-9, 99]}]
    change(missing=None, questions=questions, persona=persona, subgroups=None)
    assert "'trust': -9 lies outside the rest (1 to 5) and may stand for a missing answer" in checked()


def test_a_code_of_one_column_is_none_of_the_answers_of_another(drafted: Any) -> None:
    table = survey(trust=some(cycle(1, 2, 3, 4, 5), -1), donate=some(cycle(0, 1), -1), sex=some(cycle("f", "m"), 99, 2))
    said, _, study = drafted(table)
    assert study.missing == (-1,) and study.question("donate").values == (0, 1)
    assert [level.text for level in study.persona[1].levels or ()] == ["f", "m"] and study.persona[1].missing == (99,)
    assert "'sex': 99 lies outside the rest" in said


def test_words_for_no_answer_are_missing_and_other_words_among_numbers_are_named(drafted: Any) -> None:
    age, trust = some(range(20, 20 + N), "DATA_EXPIRED"), some(cycle(1, 2, 3, 4, 5), "Prefer not to say")
    said, _, study = drafted(survey(age=age, trust=trust))
    assert set(study.missing) == {"DATA_EXPIRED", "Prefer not to say"}
    assert "read as missing answers: 'DATA_EXPIRED'" in said
    study.folder.rename(study.folder.with_name("old"))
    with pytest.raises(
        InputError, match=r"row 3, column 'age': 'thirty' is no number.*'thirty', 'n/k'.*--missing 'thirty'"
    ):
        drafted(survey(age=[20, 21, "thirty", "n/k", *range(24, 20 + N)]))
    assert drafted(survey(age=[20, 21, "thirty", *range(23, 20 + N)]), missing=("thirty",))[2].missing == ("thirty",)


def test_no_opinion_is_an_answer_except_on_a_scale(drafted: Any) -> None:
    words = ["Agree", "Disagree", "Neither agree nor disagree", "Don't know"]
    _, _, study = drafted(survey(trust=cycle(*words), donate=cycle("Red", "Blue", "Don't know")))
    trust, donate = study.questions
    assert [option.text for option in trust.options] == ["Disagree", "Neither agree nor disagree", "Agree"]
    assert len(donate.options) == 3 and trust.missing + study.missing != () and donate.nominal


# Ids, weights and rows to leave out.


def test_an_id_with_several_rows_is_named_or_said(drafted: Any, project: Path) -> None:
    people = survey().head(20).assign(person=[f"p{k}" for k in range(20)])
    rounds = pd.concat([people.assign(round=k, trust=1 + k % 5, donate=k % 2) for k in range(12)])
    said, check, study = drafted(rounds)
    assert study.participant == "person" and "20 people in 240 rows, 12 rows each" in said and "looks like" not in check
    used = {column for q in study.questions for columns in q.source_columns.values() for column in columns}
    assert not {"person", "round"} & used
    change(participant=None)
    assert "'person' looks like the id of people with several rows each" in checked()
    # By what it holds alone it is said, and not written.
    study.folder.rename(study.folder.with_name("old"))
    said, check, study = drafted(rounds.rename(columns={"person": "x"}))
    assert study.participant is None and "write participant: x" in said and "write participant: x" in check


@pytest.mark.parametrize("name", ["subject", "x", "region"])
def test_an_id_with_different_numbers_of_rows_is_found(name: str) -> None:
    rng = np.random.default_rng(2)
    who = np.repeat(np.arange(30), rng.integers(2, 6, 30) if name != "x" else np.where(np.arange(30) % 6, 8, 5))
    cells = pd.DataFrame({name: who, "arm": who % 2, "age": 20 + 3 * (who % 15), "y": rng.integers(0, 9, len(who))})
    found = detections_of(Table(cells.astype(str).astype(object), "x"))
    assert [one.columns for one in found if one.key == "participant"] == [(name,)] * (name != "region")


def test_waves_of_people_are_no_repetition_and_a_scale_is_no_id(drafted: Any) -> None:
    table = survey(
        wave=some(cycle(1), 2, 12), id=[k if k > 11 else 12 + k for k in range(N)], PID=cycle(0, 1, 2, 3, 3, 4, 5)
    )
    said, _, study = drafted(table, persona=("age", "PID"))
    assert study.participant == "id" and not study.keep and "'id' looks like the id" in said and "'PID'" not in said
    assert load_people(study).rows_dropped == 0


def test_a_weight_becomes_nothing_by_itself(drafted: Any) -> None:
    table = survey(weight=[0.4 if k % 2 else 4 for k in range(N)])
    said, check, study = drafted(table, action=None, beliefs=(), persona=(), treatment=None)
    for text in (said, check, (study.folder / "study.yml").read_text()):
        assert "'weight' looks like a survey weight and is not used: all numbers are of the sample" in text
    assert "weight" not in {*(v.name for v in study.persona), *study.answer_columns}
    assert study.action_columns == ("donate",)
    change(weight="weight")
    assert "survey weight" not in checked()


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("pspwght", [0.5, 1.5], True), ("wt_final", [0.5, 1.5], True), ("Gewicht", [1, 2], True),
        ("weight", [1200, 3400], True), ("weight", [61, 85], False), ("weight_kg", [1, 2], False),
        ("birthweight", [2.5, 3.1], False), ("x", [0.5, 1.5], False), ("weight", ["low", "high"], False),
        ("WEIGHT_2", [0.5, 1.5], True), ("final_weight", [0.5, 1.5], True), ("rakedwt", [0.5, 1.5], True),
        ("post_stratification", [0.5, 1.5], True), ("growth", [0.5, 1.5], False), ("weighted_score", [0.5, 1.5], False),
    ],
)  # fmt: skip
def test_what_looks_like_a_weight(name: str, values: list[Any], found: bool) -> None:
    cells = pd.DataFrame({name: [str(values[k % 2]) for k in range(40)]}, dtype=object)
    assert [detection.key for detection in detections_of(Table(cells, "x"))] == ["weight"] * found


def test_rows_are_left_out_by_what_the_file_says_of_them(drafted: Any) -> None:
    table = survey(Finished=some(["True"] * N, "False", 12), Status=some(["IP Address"] * N, "Survey Preview", 4))
    table.insert(0, "id", [f"x{k % 56}" for k in range(N)])
    said, check, study = drafted(table)
    for rows, column in ((12, "Finished"), (4, "Status"), (4, "id")):
        assert f"keep: {{{column}: {{" in said and f"leaves out {rows} of 60 rows" in said
        assert f"'{column}' in {rows}" in check
    people = load_people(study)
    assert len(people.table) == N - 12 and people.left_out == {"id": 4, "Status": 4, "Finished": 12}
    # The first with an id is the first of those who finished: the others of x0 to x3 stay.
    assert people.table["participant"].tolist() == list(range(13, 61)) and "leaves out" not in check
    change(keep=None)
    assert "keep: {Finished: {is_in: ['True']}} leaves out 12 of 60 rows" in checked()


@pytest.mark.parametrize(
    ("column", "values", "keep"),
    [
        ("FINISHED", ["1", "0"], "is_in: ['1']"), ("Progress", ["100", "47"], "at_least: 100"),
        ("submitdate", ["2024-01-01", ""], "not_in: ['']"), ("participant._is_bot", ["0", "1"], "not_in: ['1']"),
        ("survey_complete", ["2", "0"], "is_in: ['2']"), ("Status", ["APPROVED", "TIMED-OUT"], "not_in: [TIMED-OUT]"),
        ("Status", ["0", "1"], "not_in: ['1']"), ("attention_check", ["pass", "fail"], "is_in: [pass]"),
        ("attention_check", ["4", "2"], "is_in: ['4']"), ("consent", ["I agree", "I do not agree"], "is_in: [I agree]"),
        ("failed_attention_check", ["0", "1"], "not_in: ['1']"), ("relationship", ["complete", "single"], None),
        ("status", ["married", "single"], None),
    ],
)  # fmt: skip
def test_what_is_proposed_to_be_left_out(column: str, values: list[str], keep: str | None) -> None:
    cells = pd.DataFrame({column: [values[k % 5 == 1] for k in range(40)]}, dtype=object)
    said = [detection.said for detection in detections_of(Table(cells, "x"))]
    assert said == ([f"keep: {{{column}: {{{keep}}}}} leaves out 8 of 40 rows"] if keep else [])


@pytest.mark.parametrize(
    ("keep", "rows"),
    [
        ({"arm": "control"}, 30), ({"arm": ["Control", "message"]}, 60), ({"trust": {"not_in": [1, 2]}}, 36),
        ({"trust": {"at_least": 2, "at_most": 3}}, 24), ({"sex": {"first": True}}, 2),
        ({"trust": 1, "arm": "control"}, 6),
    ],
)  # fmt: skip
def test_a_study_says_which_rows_count(drafted: Any, keep: dict[str, Any], rows: int) -> None:
    drafted(survey())
    change(keep=keep)
    people = load_people(load_study("mine"))
    assert (len(people.table), people.rows_read, people.rows_dropped) == (rows, N, 0)


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ({"armm": 1}, "no column 'armm', which 'keep' needs; did you mean 'arm'"),
        ({"arm": "none"}, "'keep' leaves out every row, by 'arm' (60 rows)"), ({"arm": {}}, "needs a value"),
        ({"arm": {"isin": 1}}, "unknown key 'isin'"), ([1], "keep"), ({"arm": None}, "keep > arm"),
    ],
)  # fmt: skip
def test_a_wrong_condition_is_one_sentence(drafted: Any, keep: Any, said: str) -> None:
    drafted(survey())
    change(keep=keep)
    with pytest.raises(InputError) as caught:
        load_people(load_study("mine"))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["StartDate", "Duration (in seconds)", "IPAddress", "ResponseId", "PROLIFIC_PID", "participant.code", "Status",
     "LocationLatitude", "Q12_First Click", "session.is_demo", "Zeitstempel", "Timestamp",
     "TIME_SUM", "E-mail Address"],
)  # fmt: skip
def test_records_of_survey_programs_become_nothing_by_themselves(drafted: Any, name: str) -> None:
    assert is_record(name) and not any(map(is_record, ("age", "trust", "time", "id card", "paid", "start", "role")))
    _, _, study = drafted(survey(**{name: cycle(*range(5))}), action=None, beliefs=(), persona=(), treatment=None)
    assert study.action_columns == ("donate",) and "trust" in study.belief_columns
    assert name not in {variable.source_column for variable in study.persona}


# Order and spelling.


@pytest.mark.parametrize(
    "words",
    [
        "Strongly disagree|Disagree|Neither|Agree|Strongly agree", "Never|Sometimes|Often",
        "strongly disagree|disagree|Somewhat disagree|neither agree nor disagree|somewhat agree|agree|STRONGLY AGREE",
        "Very dissatisfied|Dissatisfied|Neutral|Satisfied|Very satisfied",
        "Not at all|A little|A moderate amount|A lot",
        "Extremely unlikely|Somewhat unlikely|Neither likely nor unlikely|Somewhat likely|Extremely likely",
        "Not at all important|Slightly important|Moderately important|Very important|Extremely important",
        "Never|Rarely|About half the time|Most of the time|Always", "Never|Monthly|Weekly|Daily",
        "Poor|Fair|Good|Excellent",
        "low|medium|high",
        "Less than high school|High school graduate|Some college|Bachelor's degree|Master's degree|PhD",
        "No formal qualifications|Secondary education (e.g. GED/GCSE)|High school diploma/A-levels|"
        "Technical/community college|Undergraduate degree (BA/BSc/other)|Graduate degree (MA/MSc/MPhil/other)|"
        "Doctorate degree (PhD/other)",
        "Under 18|18-24|25-34|35-44|65+", "Under $25,000|$25,000 to $49,999|$50,000 or more", "0|1|2|3 or more",
        "No|Maybe|Yes", "Definitely not|Probably not|Might or might not|Probably yes|Definitely yes",
        "Very liberal|Liberal|Moderate|Conservative|Very conservative", "Much worse|About the same|Somewhat better",
        "trifft nicht zu|trifft eher nicht zu|trifft eher zu|trifft zu", "nie|selten|manchmal|oft|immer",
        "pas du tout d'accord|plutôt pas d\u2019accord|plutôt d'accord|tout à fait d'accord",
        "no|yes", "non|oui", "N|Y",
    ],
)  # fmt: skip
def test_words_are_put_in_their_order(words: str) -> None:
    order = words.split("|")
    for shift in range(len(order)):
        mixed = order[shift:] + order[:shift]
        ranks = order_of(mixed)
        assert ranks is not None and sorted(mixed, key=lambda word: ranks[mixed.index(word)]) == order


@pytest.mark.parametrize(
    "words",
    ["Democrat|Republican|Independent", "TV|radio|web", "arm 1|arm 2|arm 10", "Married|Single|Divorced",
     "agree|satisfied",
     "control|low|high", "2024-01-01|2024-02-01|2024-03-01", "12:30|13:30|14:30", "male|female|other",
     "agree|Agree", "a"],
)  # fmt: skip
def test_other_words_have_no_order(words: str) -> None:
    assert order_of(words.split("|")) is None


def test_an_order_is_marked_as_guessed_and_a_lacking_one_is_said(drafted: Any) -> None:
    words = ["Often", "Never", "Sometimes"]
    said, check, study = drafted(survey(trust=cycle(*words), donate=cycle("TV", "web", "radio")))
    assert [option.text for option in study.questions[0].options] == ["Never", "Sometimes", "Often"]
    text = (study.folder / "study.yml").read_text()
    assert "IN AN ORDER THAT WAS GUESSED from what they mean are the words of trust" in text
    assert "the words of 'trust' are put in the order of their meaning" in said
    line = next(line for line in check.splitlines() if "no order is taken" in line)
    assert "'donate'" in line and "'trust'" not in line


def test_spellings_of_a_word_are_one_answer(drafted: Any) -> None:
    table = survey(sex=cycle("Woman", "woman", "WOMAN ", "Man"),
                   donate=cycle("Yes", "yes", "No"), arm=cycle("Control", "control", "msg"))  # fmt: skip
    said, check, study = drafted(table)
    people = load_people(study).table
    assert [len(v.levels or ()) for v in study.persona] == [0, 2] and people["donate"].mean() == pytest.approx(2 / 3)
    assert people["treatment"].value_counts().tolist() == [40, 20] and "other spellings of one answer: " in check
    assert "'sex': read as other spellings" in said


# Designs.


def test_a_factorial_design_has_a_code_a_factor(drafted: Any) -> None:
    table = survey(frame=cycle("loss", "gain"), dose=cycle("high", "control", "low"))
    _, _, study = drafted(table, treatment="frame,dose")
    assert len(study.treatments) == 6 and study.design_columns == ("gain", "high", "low")
    first = study.treatments[0]
    assert first.name == "loss_control" and dict(first.when) == {"frame": "loss", "dose": "control"}
    assert not any(first.codes.values())
    assert study.regressions[0].treatment_terms == ("gain", "high", "low")
    assert load_people(study).table["treatment"].value_counts().tolist() == [10] * 6


@pytest.mark.parametrize(("baseline", "first"), [(None, "control"), ("message", "message"), ("Message", "message")])
def test_the_control_is_the_baseline(drafted: Any, baseline: str | None, first: str) -> None:
    _, _, study = drafted(survey(), baseline=baseline)
    assert study.treatments[0].name == first and study.design_columns == tuple({"control", "message"} - {first})
    assert [t.codes[study.design_columns[0]] for t in study.treatments] == [0, 1]


def test_a_wrong_baseline_is_one_sentence(drafted: Any) -> None:
    with pytest.raises(
        InputError, match=r"--baseline: the column 'arm' has no value 'none'.*Allowed: control, message"
    ):
        drafted(survey(), baseline="none")


def test_columns_of_one_question_are_joined(drafted: Any) -> None:
    halves = [k % 2 == 0 for k in range(N)]
    give = [k % 4 // 2 for k in range(N)]
    table = survey(donate=None, give_A=[g if h else "" for g, h in zip(give, halves, strict=True)],
                   give_B=["" if h else g for g, h in zip(give, halves, strict=True)])  # fmt: skip
    said, check, study = drafted(table, action="give_A+give_B")
    assert study.questions[-1].source_columns == {"give": ("give_A", "give_B")}
    assert "filled in different rows" not in said + check
    assert load_people(study).table["give"].tolist() == give
    study.folder.rename(study.folder.with_name("old"))
    said, check, _ = drafted(table, action="give_A")
    assert all("'give_A' and 'give_B' are filled in different rows" in text for text in (said, check))
    table.loc[1, "give_A"] = 1 - table.loc[1, "give_B"]
    study.folder.rename(study.folder.with_name("older"))
    with pytest.raises(InputError, match=r"row 2: 'give_B' says .*only one may be filled in a row"):
        drafted(table, action="give_A+give_B")


def test_a_conjoint_is_refused(drafted: Any) -> None:
    rows = [(f"p{p}", t, k, ["low", "high"][(p + k) % 2], p % 3, int(k == (p + t) % 2))
            for p in range(10) for t in range(4) for k in range(2)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["respondent", "task", "profile", "price", "age", "chosen"])
    with pytest.raises(
        InputError, match=r"holds a conjoint: of the rows of each 'task' one has 'chosen'.*a row of each task"
    ):
        drafted(table, action="chosen", beliefs=(), persona=("age",), treatment=None)


def test_several_answers_in_a_cell_become_columns(drafted: Any) -> None:
    news = ["TV;web", "web", "TV;radio", "TV"]
    said, check, study = drafted(survey(news=cycle(*news)), persona=("age", "news"))
    assert [variable.source_column for variable in study.persona] == ["age", "news: TV", "news: web", "news: radio"]
    assert load_people(study).table["news_TV"].mean() == 0.75
    assert all("'news' has several answers in a cell, read as columns of yes and no" in text for text in (said, check))
    study.folder.rename(study.folder.with_name("old"))
    with pytest.raises(InputError, match=r"'news' has several answers in a cell; name one of .*'news: TV'"):
        drafted(survey(news=cycle(*news)), action="news")


def test_a_ticked_box_is_yes_and_an_empty_one_no(drafted: Any) -> None:
    _, _, study = drafted(survey(TV=["TV" * (k % 3 == 0) for k in range(N)]), persona=("age", "TV"))
    assert load_people(study).table["TV"].mean() == pytest.approx(1 / 3)


# Names on the command line.


@pytest.mark.parametrize(
    "words",
    [["--beliefs", "Do you trust us, all in all?,hope", "--persona", "age"],
     ["--beliefs", "Do you trust us, all in all?", "--beliefs", "hope", "--persona", "age"],
     ["--beliefs", '"Do you trust us, all in all?","hope"', "--persona", "age"],
     ["--beliefs", "Do you  trust us, all in all? , hope", "--persona", " age "]],
)  # fmt: skip
def test_names_with_commas_can_be_named(project: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    table = survey(hope=cycle(*range(4))).rename(columns={"trust": "Do you trust us, all in all?"})
    table.to_csv(project / "survey.csv", index=False)
    assert main(["new-study", "mine", "--data", str(project / "survey.csv"), "--action", "donate", *words]) == 0
    assert capsys.readouterr().out.startswith("Wrote ")
    study = load_study("mine")
    assert study.belief_columns == ("Do_you_trust_us_all_in_all", "hope") and len(study.persona) == 1
    assert study.questions[0].text == "Do you trust us, all in all?"


def test_the_command_line_takes_every_role(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    survey(w=1.5, who=range(N), frame=cycle(0, 1, 2)).to_csv(project / "survey.csv", index=False)
    words = ["--treatment", "arm", "--treatment", "frame", "--baseline", "message,1", "--missing", "-1"]
    words += ["--participant", "who", "--weight", "w"]
    assert main(["new-study", "mine", "--data", str(project / "survey.csv"), *words]) == 0
    study = load_study("mine")
    assert (study.participant, study.weight, study.missing) == ("who", "w", ("-1",))
    assert study.treatments[0].when == {"arm": "message", "frame": 1} and len(study.treatments) == 6
    capsys.readouterr()


def test_sixty_columns_that_are_not_needed_are_one_line(drafted: Any) -> None:
    table = survey(**{f"x{k}": cycle(0, 1, 2) for k in range(60)}, codes=cycle("6,9", "6"))
    _, _, study = drafted(table)
    lines = (study.folder / "study.yml").read_text().splitlines()
    assert len([line for line in lines if "not needed" in line]) == 1
    assert any("codes: cannot be read" in line for line in lines)
