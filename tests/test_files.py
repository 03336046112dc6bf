"""Files as people have them: encodings, separators, header rows, numbers as they are written, Excel, SPSS and Stata."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyreadstat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotlm.data.cells import meaning_of, several_answers
from pilotlm.data.columns import read_column
from pilotlm.data.tables import Table, read_data_file
from pilotlm.errors import InputError

ROWS = [["âge", "arm", "score"], ["38", "control", "4.1"], ["70", "message", "3.6"], ["20", "control", "4.4"]]
FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def text_of(rows: list[list[str]], separator: str = ",", ends: str = "\n") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator=ends).writerows(rows)
    return file.getvalue()


def read(folder: Path, content: str | bytes, name: str = "people.csv", separator: str | None = None) -> Table:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_data_file(path, separator)


def rows_of(table: Table) -> list[list[str]]:
    return [list(map(str, table.cells.columns)), *table.cells.to_numpy().tolist()]


def refused(folder: Path, content: str | bytes, name: str = "people.csv") -> str:
    with pytest.raises(InputError) as caught:
        read(folder, content, name)
    assert "\n" not in str(caught.value) and name in str(caught.value)
    return str(caught.value)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "windows-1252"]
# More than three letters with accents in a row are taken for another script.
LETTERS = st.text(st.sampled_from("abcXYZéüßñ ,;'\"-1"), min_size=1, max_size=6)
WORDS = LETTERS.filter(lambda word: not re.search("[éüßñ]{4}", word)).map(lambda word: f"w{word.strip()}")


@FEW
@given(
    encoding=st.sampled_from(ENCODINGS), separator=st.sampled_from([",", ";", "\t", "|"]),
    ends=st.sampled_from(["\n", "\r\n", "\r"]), said=st.booleans(), empty=st.booleans(),
    words=st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=4, max_size=6),
)  # fmt: skip
def test_a_table_is_the_same_in_every_encoding_and_with_every_separator(
    tmp_path: Path, encoding: str, separator: str, ends: str, said: bool, empty: bool,
    words: list[tuple[str, str, str]],
) -> None:  # fmt: skip
    rows = [["größe", "second, with a comma", "third"], *map(list, words)]
    text = text_of([*rows, ["", "", ""]] if empty else rows, separator, ends)
    text = f"sep={separator}{ends}{text}" if said else text
    table = read(tmp_path, text.encode(encoding))
    # Beside them there are columns of yes and no, where answers were split.
    assert table.cells[rows[0]].to_numpy().tolist() == rows[1:]
    named = {"utf-16": "UTF-16", "utf-16-le": "UTF-16", "latin-1": "Windows-1252", "windows-1252": "Windows-1252"}
    others = [note for note in table.notes if "several answers in a cell" not in note]
    assert not others if encoding not in named else named[encoding] in others[0]
    assert said or encoding[0] not in "lw" or table.notes[0].endswith("a column is called 'größe'")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xls", b"\xd0\xcf\x11\xe0rest", "old kind (.xls)"),
        (
            "a.xlsx",
            b"PK\x03\x04 and no workbook",
            "no Excel workbook that can be read (BadZipFile)",
        ),
        ("a.sav", b"$FL2 and no more", "no SPSS file that can be read"),
        ("a.dta", b"<stata_dta><header>", "no Stata file that can be read"),
        ("a.rds", b"\x1f\x8brest", "compressed"),
        ("a.por", b"0" * 40 + b"ASCII SPSS PORT FILE", "a portable file of SPSS; save it as .sav"),
        ("a.json", b'[{"a": 1}]', "not a text file of rows and columns"),
        ("a.xml", b"<html><table>", "not a text file of rows and columns"),
        ("a.bin", b"a,b\n1,\0\n", "not a text file"),
        (
            "a.csv",
            "возраст,пол\n30,жен\n".encode("cp1251"),
            "nor Windows-1252 (Latin-1) text; save it as",
        ),
        ("a.csv", "größe,b\nä,1\nö,2\n".encode() + b"\xe4,3\n", "line 4: UTF-8 with a broken letter"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_do(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    assert said in refused(tmp_path, content, name)


def test_what_surrounds_a_table_is_left_out(tmp_path: Path) -> None:
    text = "Export of a survey,,\n\nage,arm,\n30,old,\n,,\n41,new,,\n"
    table = read(tmp_path, text)
    assert rows_of(table) == [["age", "arm"], ["30", "old"], ["41", "new"]]
    assert table.notes == ("lines above the column names are left out: Export of a survey",)
    twice = read(tmp_path, "a,b,a\n1,2,3\n")
    assert rows_of(twice) == [["b"], ["2"]] and "stands more than once" in twice.doubts["a"]
    assert rows_of(read(tmp_path, '\'a\',"He said ""no"""\n1,2\n'))[0] == ["a", 'He said "no"']


# Second header rows.


def qualtrics(n: int, texts: bool, ids: bool) -> list[list[str]]:
    rng = np.random.default_rng(1)
    rows = [["ResponseId", "Q1", "Q2", "arm"]]
    rows += [["Response ID", "How old are you?", "Do you <b>agree</b>?", "arm"]] * texts
    rows += [[f'{{"ImportId":"{name}","timeZone":"Europe/Berlin"}}' for name in rows[0]]] * ids
    return rows + [
        [f"R_{k}", str(rng.integers(18, 80)), str(rng.choice(["Yes", "No"])), f"arm {k % 2}"] for k in range(n)
    ]


@pytest.mark.parametrize(("texts", "ids"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize(("encoding", "separator"), [("utf-8-sig", ","), ("utf-16", "\t")])
def test_header_rows_of_qualtrics_are_nobody(
    tmp_path: Path, texts: bool, ids: bool, encoding: str, separator: str
) -> None:
    table = read(tmp_path, text_of(qualtrics(20, texts, ids), separator).encode(encoding))
    assert len(table.cells) == 20 and table.cells["Q1"].str.isdigit().all()
    assert any("what the columns are" in note for note in table.notes)
    assert read_column(table, ("Q2",), "Q2").wording == ("Do you agree ?" if texts else None)


def test_header_rows_of_surveymonkey_name_the_columns_of_one_question(tmp_path: Path) -> None:
    head = [["Respondent ID", "How old are you?", "What do you read?", "", "", "Give?"],
            ["", "Open-Ended Response", "TV", "Web", "Other (please specify)", "Response"]]  # fmt: skip
    people = [[str(100 + 7 * k), str(20 + k), "TV" * (k % 2), "Web" * (k % 3 > 0), "", "yes"] for k in range(30)]
    table = read(tmp_path, text_of(head + people))
    names = ["What do you read?: TV", "What do you read?: Web", "What do you read?: Other (please specify)"]
    assert list(table.cells.columns) == ["Respondent ID", "How old are you?", *names, "Give?"]
    assert len(table.cells) == 30 and not table.wordings


@FEW
@given(
    first=st.lists(st.sampled_from(["NA", "", "5", "f", "old", "yes"]), min_size=4, max_size=4), n=st.integers(3, 40)
)
def test_the_first_person_is_never_taken_for_a_header(tmp_path: Path, first: list[str], n: int) -> None:
    first = [cell if kind != "n" or cell in ("NA", "") else "5" for cell, kind in zip(first, "nwnw", strict=True)]
    people = [[str(k % 7), "f", str(k % 5), "old"] for k in range(n)]
    table = read(tmp_path, text_of([["a", "b", "c", "d"], ["1", "f", *first[2:]], *people]))
    assert len(table.cells) == n + 1


# Numbers.


@pytest.mark.parametrize(
    ("cells", "decimal", "semicolons", "numbers"),
    [
        (["4,1", "3", "0,25"], True, True, ["4.1", "3", "0.25"]),
        (["0,125", "1,250"], True, True, ["0.125", "1.250"]),
        (["1.234,5", "2"], False, False, ["1234.5", "2"]),
        (["1,234,567", "950"], False, False, ["1234567", "950"]),
        (["1,234.50", "12"], False, False, ["1234.50", "12"]),
        (["1.234.567", "12"], True, True, ["1234567", "12"]),
        (["16 250", "1\u202f000", "12'500"], False, False, ["16250", "1000", "12500"]),
        (["12,5 %", "3 %"], True, True, ["12.5", "3"]),
        (["$1,250,000", "$5"], False, False, ["1250000", "5"]),
        (["1.250", "2.5"], False, False, ["1.250", "2.5"]),
        (["1.250", "2.500", "0.5"], False, True, ["1.250", "2.500", "0.5"]),
        (["1.250", "2.500"], True, False, ["1.250", "2.500"]),
        (["a,b", "1,2"], True, True, ["a,b", "1,2"]),
        (["1,2,5", "1,2"], True, True, ["1,2,5", "1,2"]),
    ],
)
def test_numbers_are_read_where_no_doubt_is_left(
    cells: list[str], decimal: bool, semicolons: bool, numbers: list[str]
) -> None:
    found = meaning_of(cells, decimal, semicolons)
    if cells[0] != "a,b":
        assert found.doubt is None and [found.plain.get(cell, cell) for cell in cells] == numbers


@pytest.mark.parametrize(
    ("cells", "semicolons", "cell", "why"),
    [
        (["16,250", "950"], False, "16,250", "thousands"), (["16,250", "950"], True, "16,250", "thousands"),
        (["16.250", "12.500"], True, "16.250", "thousands"),
        (["16.250", "950"], False, "16.250", "thousands"), (["12,340", "1,5"], True, "12,340", "thousands"),
        (["$2,500", "$5"], False, "$2,500", "thousands"), (["4,1", "3"], False, "4,1", "decimal comma"),
    ],
)  # fmt: skip
def test_a_number_that_may_be_two_is_refused(cells: list[str], semicolons: bool, cell: str, why: str) -> None:
    found = meaning_of(cells, semicolons, semicolons)
    assert found.doubt is not None and found.doubt[0] == cell and why in found.doubt[1] and not found.plain
    assert cell.replace(",", ".").strip("$") not in found.doubt[1].replace(repr(cell), "")


@FEW
@given(numbers=st.lists(st.integers(-10**7, 10**7), min_size=1, max_size=9),
       group=st.sampled_from([",", ".", " ", "'"]),
       decimals=st.sampled_from([0, 1, 2, 4]))  # fmt: skip
def test_thousands_never_become_decimals(numbers: list[int], group: str, decimals: int) -> None:
    point = "," if group == "." else "."
    cells = [f"{n:,}".replace(",", group) + (f"{point}{'5' * decimals}" if decimals else "") for n in numbers]
    for semicolons in (False, True):
        found = meaning_of(cells, semicolons, semicolons)
        for cell, number in zip(cells, numbers, strict=True):
            said = found.plain.get(cell, cell)
            with_decimals = number + (float(f"0.{'5' * decimals}") if decimals else 0) * (-1 if cell[0] == "-" else 1)
            separated = group in cell and found.doubt is None and (semicolons or group != ".")
            assert not separated or float(said) == pytest.approx(with_decimals) or "," in said


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["1 - not at all", "2", "3", "5 - completely"], {"1.0": "not at all", "5.0": "completely"}),
        (["1. Red", "2. Green"], {"1.0": "Red", "2.0": "Green"}),
        (["Never (1)", "2", "Always (3)"], {"1.0": "Never", "3.0": "Always"}),
        (["Not at all", "2", "3", "Completely"], {"1.0": "Not at all", "4.0": "Completely"}),
        (["1 never", "2", "3 always"], {"1.0": "never", "3.0": "always"}),
        (["1 child", "2 children", "3 or more"], {}),
        (["1 - yes", "1 - no", "2"], {}), (["18-24", "25-34"], {}), (["1 kg", "2 kg"], {}), (["3-bed", "2-bed"], {}),
        (["2024-01-05", "2024-02-06"], {}),
    ],
)  # fmt: skip
def test_numbers_with_words_beside_them(cells: list[str], labels: dict[str, str]) -> None:
    assert meaning_of(cells, False, False).labels == labels


@pytest.mark.parametrize(
    ("cells", "answers"),
    [
        (["TV;radio", "radio", "TV;web", "web"], ("TV", "radio", "web")),
        (["TV;radio;", "radio;", "TV;web;", "TV;radio;web;"], ("TV", "radio", "web")),
        (["TV, radio", "radio, web", "TV"], ("TV", "radio", "web")),
        (["1,2,5", "2", "1,5", "5"], ("1", "2", "5")),
        (["4,1", "3,6", "2,2", "1,9"], None), (["Berlin, Germany", "Munich, Germany"], None),
        (["yes", "no"], None), ([f"{k},250" for k in range(40)], None),
    ],
)  # fmt: skip
def test_several_answers_in_a_cell_are_split(tmp_path: Path, cells: list[str], answers: tuple[str, ...] | None) -> None:
    found = several_answers(cells)
    assert (tuple(found) or None) == answers
    if answers and ";" in cells[0]:
        table = read(tmp_path, text_of([["news", "x"], *([cell, "1"] for cell in [*cells, ""])]))
        said = table.cells[f"news: {answers[0]}"].tolist()
        assert said == [*("yes" if answers[0] in cell else "no" for cell in cells), ""]


# Workbooks and statistics files.


def test_a_workbook_is_read_from_the_sheet_that_holds_a_table(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "About"
    book.active["A1"] = "A survey"
    sheet = book.create_sheet("Data")
    for row in (["Survey"], [], ["age", "arm", "gives", None], [38, "old", True], [], [41.5, " new ", False]):
        sheet.append(row)
    book.save(tmp_path / "people.xlsx")
    table = read_data_file(tmp_path / "people.xlsx")
    assert rows_of(table) == [["age", "arm", "gives"], ["38", "old", "TRUE"], ["41.5", "new", "FALSE"]]
    assert "the sheet 'Data', not from 'About'" in table.notes[0]


def statistics_file(folder: Path, kind: str) -> Path:
    frame = pd.DataFrame({
        "age": [30.0, 41, 998, 25], "trust": [1, 7, 4, -9], "party": [1, 2, 2, 1], "edu": [1, 3, 2, 1],
    }).astype({"trust": "int32", "party": "int32", "edu": "int32"})  # fmt: skip
    said: dict[str, Any] = {
        "column_labels": {"age": "How old are you?", "trust": "Do you trust the büro?"},
        "variable_value_labels": {
            "trust": {-9: "No answer", 1: "not at all", 7: "fully"}, "age": {998: "Refused"},
            "party": {1: "Red", 2: "Green", 3: "Blue"}, "edu": {1: "1 low", 2: "2 middle", 3: "3 high"},
        },
    }  # fmt: skip
    if kind == "sav":
        pyreadstat.write_sav(frame, folder / "people.sav", missing_ranges={"age": [{"lo": 900, "hi": 999}]}, **said)
    else:
        pyreadstat.write_dta(frame, folder / "people.dta", **said)
    return folder / f"people.{kind}"


@pytest.mark.parametrize("kind", ["sav", "dta"])
def test_labels_of_statistics_files_are_wordings_options_and_ends(tmp_path: Path, kind: str) -> None:
    table = read_data_file(statistics_file(tmp_path, kind))
    age, trust, party, edu = (read_column(table, (name,), name) for name in table.cells.columns)
    assert age.wording == "How old are you?" and age.numbers == (25, 30, 41) and age.kind == "numbers"
    assert table.cells["age"].tolist()[2] == ("" if kind == "sav" else "998")
    assert any("declares missing" in note and "998 in 'age'" in note for note in table.notes) == (kind == "sav")
    assert trust.kind == "numbers" and trust.ends == {1: "not at all", 7: "fully"} and trust.missing == (-9,)
    assert [value.text for value in party.values] == ["Red", "Green", "Blue"] and not party.ordered
    assert [value.text for value in edu.values] == ["low", "middle", "high"] and edu.ordered
