"""Reading people: explicit recodes that are exact, and one clear sentence where the data do not fit."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pilotlm.data.sources import load_people
from pilotlm.errors import InputError
from pilotlm.study import Study, load_study

HEADER = "id,arm,age,sex,worry,act,p,q"
ROWS = ("1,new,30,f,3,yes,40,60", "2,old,41,m,1,no,0,100", "3,new,29.5,f,5,no,100,0")


def study_of(folder: Path, **changes: Any) -> Study:
    """A small study that reads ``people.csv`` in its own folder."""
    content: dict[str, Any] = {
        "name": "small", "title": "Small", "about": "A test.", "citation": "none", "licence": "none", "rights": "none",
        "source": {"kind": "file", "file": "people.csv"},
        "instructions": "Fill in the form.",
        "treatments": [
            {"name": "new", "label": "New", "when": {"arm": "new"}, "codes": {"new": 1}, "scenario": "New."},
            {"name": "old", "label": "Old", "when": {"arm": "old"}, "codes": {"new": 0}, "scenario": "Old."},
        ],
        "persona": [
            {"name": "age", "text": "You are {value}.", "range": [18, 99]},
            {"name": "sex", "text": "You are {value}.", "levels": [
                {"code": 0, "raw": "m", "text": "a man"}, {"code": 1, "raw": "f", "text": "a woman"}]},
        ],
        "questions": [
            {"kind": "scale", "name": "worry", "role": "belief", "text": "Worried?", "low": 1, "high": 5},
            {"kind": "choice", "name": "act", "role": "action", "text": "Act?", "options": [
                {"code": 0, "raw": False, "text": "no"}, {"code": 1, "raw": True, "text": "yes"}]},
            {"kind": "allocation", "name": "odds", "role": "belief", "text": "Odds?", "step": 10, "parts": [
                {"name": "p", "column": "p", "text": "p"}, {"name": "q", "column": "q", "text": "q"}]},
        ],
    }  # fmt: skip
    study = Study.model_validate({**content, **changes})
    study._folder = folder
    return study


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    """Write the data file."""
    path = folder / "people.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def refused(study: Study) -> str:
    """The message with which loading fails: one line, one sentence."""
    with pytest.raises(InputError) as caught:
        load_people(study)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_recodes_and_keys(tmp_path: Path) -> None:
    path = write(tmp_path, *ROWS)
    people = load_people(study_of(tmp_path))
    assert people.table["treatment"].tolist() == ["new", "old", "new"]
    assert people.table["sex"].tolist() == [1, 0, 1]
    assert people.table["act"].tolist() == [1, 0, 0]
    assert people.table["odds_p"].tolist() == [40, 0, 100]
    assert people.table["participant"].tolist() == [1, 2, 3]
    assert people.table.dtypes[["age", "sex", "worry", "act"]].tolist() == ["float64", "int64", "int64", "int64"]
    assert people.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (people.rows_read, people.rows_dropped, people.where) == (3, 0, "people.csv")


def test_incomplete_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = ("1,new,,f,3,yes,40,60", "2,,41,m,1,no,0,100", "3,new,29,f,-9,no,100,0", "4,new,29,f,2,no,NA,NA", ROWS[1])
    write(tmp_path, *rows)
    people = load_people(study_of(tmp_path, missing=[-9, "NA"]))
    assert people.table["participant"].tolist() == [5]
    assert (people.rows_read, people.rows_dropped) == (5, 4)
    assert people.table["age"].dtype == "int64"


@pytest.mark.parametrize("written", ["1", "1.0", "01", "+1", " 1 ", "1e0"])
@pytest.mark.parametrize("raw", [1, 1.0, "1"])
def test_numbers_match_however_they_are_written(tmp_path: Path, raw: Any, written: str) -> None:
    levels = [{"code": 7, "raw": raw, "text": "one"}, {"code": 2, "raw": 2, "text": "two"}]
    write(tmp_path, f"1,new,30,{written},3,yes,40,60")
    persona = [{"name": "sex", "text": "{value}.", "levels": levels}]
    assert load_people(study_of(tmp_path, persona=persona)).table["sex"].tolist() == [7]


@pytest.mark.parametrize(("separator", "said"), [(";", ";"), ("   ", "whitespace")])
def test_a_separator_is_said(tmp_path: Path, separator: str, said: str) -> None:
    write(tmp_path, *(row.replace(",", separator) for row in ROWS), header=HEADER.replace(",", separator))
    source = {"kind": "file", "file": "people.csv", "separator": said}
    assert len(load_people(study_of(tmp_path, source=source)).table) == 3


def test_two_treatments_for_one_row(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)
    treatments = [
        {"name": "any", "label": "Any", "when": {}, "scenario": "Any."},
        {"name": "old", "label": "Old", "when": {"arm": "old"}, "scenario": "Old."},
    ]
    message = refused(study_of(tmp_path, treatments=treatments))
    assert "row 2: arm = 'old' belongs to more than one treatment (any, old)" in message
    assert "any: every row" in message


def test_a_code_cannot_be_missing_and_allowed(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)
    message = refused(study_of(tmp_path, missing=[30]))
    assert "row 1, column 'age': '30' stands under 'missing' and is also an allowed value" in message


def test_two_levels_with_one_raw_value(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)
    levels = [{"code": 0, "raw": "1", "text": "a"}, {"code": 1, "raw": 1.0, "text": "b"}]
    persona = [{"name": "sex", "text": "{value}.", "levels": levels}]
    assert "two levels of 'sex' have the same raw value 1.0" in refused(study_of(tmp_path, persona=persona))


def test_a_separator_that_is_none(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)
    source = {"kind": "file", "file": "people.csv", "separator": ", "}
    assert "separator ', ' is not allowed; allowed: one character" in refused(study_of(tmp_path, source=source))


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    source = {"kind": "file", "file": "people.csv", "how_to_get": "ask the\n  archive."}
    message = refused(study_of(tmp_path, source=source))
    assert str(tmp_path / "people.csv") in message and message.endswith("which is not there; ask the archive.")
    assert "put it there" in refused(study_of(tmp_path))


def test_a_file_beside_a_study_file_anywhere(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)
    study = study_of(tmp_path)
    path = tmp_path / "mine.yml"
    path.write_text(study.model_dump_json(exclude_none=True))
    assert len(load_people(load_study(path)).table) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"package": "no_such_package"}, ["package 'no_such_package', which is not installed"]),
        ({"file": "no.csv"}, ["no 'no.csv' in the installed package statsmodels 0."]),
        ({"sha256": "0" * 64}, ["statsmodels 0.", "sha256 a17d4f27", "allowed: 000000000000...", "requirements.lock"]),
    ],
)
def test_a_file_in_a_package(tmp_path: Path, changes: dict[str, str], words: list[str]) -> None:
    framing = load_study("framing")
    source = framing.source.model_dump() | changes
    message = refused(study_of(tmp_path, source=source))
    assert all(word in message for word in words), message


def download_of(path: Path, **changes: str) -> dict[str, str]:
    """A source whose address answers to nobody."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"kind": "url", "url": "http://127.0.0.1:9/people.csv", "file": "people.csv", "sha256": sha256} | changes


@pytest.mark.parametrize("place", ["small", "."])
def test_a_named_folder_goes_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    source = download_of(write(folder, *ROWS))
    monkeypatch.setenv("PILOTLM_DATA", str(tmp_path))
    people = load_people(study_of(tmp_path, source=source))
    assert len(people.table) == 3 and "PILOTLM_DATA" in people.where


def test_another_file_in_the_named_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = download_of(write(tmp_path, *ROWS), sha256="0" * 64)
    monkeypatch.setenv("PILOTLM_DATA", str(tmp_path))
    message = refused(study_of(tmp_path, source=source))
    assert "people.csv is not the file that the study was written for" in message and "allowed: 000000000000" in message


@pytest.mark.parametrize("cached", [[], ["another"]])
def test_a_failed_download_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: list[str]
) -> None:
    source = download_of(write(tmp_path, *ROWS))
    # What is wrong in the cache is fetched anew, and never used.
    (tmp_path / "cache" / "data" / "small").mkdir(parents=True)
    for text in cached:
        (tmp_path / "cache" / "data" / "small" / "people.csv").write_text(text)
    monkeypatch.setenv("PILOTLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PILOTLM_DATA", str(tmp_path / "elsewhere"))
    message = refused(study_of(tmp_path, source=source))
    assert "'small' could not download http://127.0.0.1:9/people.csv" in message
    assert "needs the network, or a folder named by PILOTLM_DATA that holds small/people.csv" in message
    assert str(tmp_path / "elsewhere" / "small" / "people.csv") in message


def test_the_cache_is_used_without_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "cache" / "data" / "small"
    cached.mkdir(parents=True)
    source = download_of(write(cached, *ROWS))
    monkeypatch.setenv("PILOTLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PILOTLM_DATA", raising=False)
    assert len(load_people(study_of(tmp_path, source=source)).table) == 3


class Quiet(SimpleHTTPRequestHandler):
    """A file server that logs nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A source whose address serves the data file, and an empty cache."""
    folder = tmp_path / "served"
    folder.mkdir()
    path = write(folder, *ROWS)
    monkeypatch.setenv("PILOTLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PILOTLM_DATA", raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield download_of(path, url=f"http://127.0.0.1:{server.server_address[1]}/people.csv")
    server.shutdown()
    server.server_close()


def test_a_download_is_kept(tmp_path: Path, served: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    people = load_people(study_of(tmp_path, source=served))
    assert (len(people.table), people.where) == (3, served["url"])
    assert (tmp_path / "cache" / "data" / "small" / "people.csv").is_file()
    assert capfd.readouterr() == ("", "")


def test_a_download_that_is_another_file(tmp_path: Path, served: dict[str, str]) -> None:
    message = refused(study_of(tmp_path, source=served | {"sha256": "0" * 64}))
    assert "what came has another sha256" in message
    assert not (tmp_path / "cache" / "data" / "small" / "people.csv").exists()
