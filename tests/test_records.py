from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlm.errors import InputError
from pilotlm.records import (
    Places,
    cache_folder,
    data_folder,
    environment,
    file_sha256,
    git_state,
    project_folder,
    read_csv,
    read_json,
    read_parquet,
    results_folder,
    text_sha256,
    whole_file,
    whole_folder,
    write_csv,
    write_json,
    write_parquet,
    write_text,
)

TABLE = pd.DataFrame({"a": [1, 2], "b": [1 / 3, 1e-9], "c": ["é", "x,y"]})


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_what_is_written_is_whole_or_not_there(
    tmp_path: Path, error: type[BaseException], there: bool, whole: Any
) -> None:
    path = tmp_path / "outer" / "table.csv"
    inside = path if whole is whole_file else path / "part"
    if there:
        write_text(inside, "old")
    with pytest.raises(error), whole(path) as temporary:
        (temporary if whole is whole_file else temporary / "part").write_text("half")
        assert temporary.parent == path.parent and (whole is whole_folder or temporary.suffix == path.suffix)
        raise error
    assert [p.name for p in path.parent.iterdir()] == (["table.csv"] if there else [])
    assert not there or inside.read_text() == "old"


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with whole_folder(tmp_path / "adapter") as temporary:
            (temporary / name).touch()
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]
    assert [p.name for p in (tmp_path / "adapter").iterdir()] == ["second"]


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    with whole_folder(tmp_path / "b"):
        pass
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o755


def test_json_bytes_do_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": [1, 0.1], "a": {"z": "é", "y": None}})
    write_json(tmp_path / "b", {"a": {"y": None, "z": "é"}, "b": [1, 0.1]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text(encoding="utf-8")) == {"b": [1, 0.1], "a": {"z": "é", "y": None}}


def test_csv_bytes_do_not_depend_on_the_last_digits(tmp_path: Path) -> None:
    write_csv(tmp_path / "a", TABLE)
    write_csv(tmp_path / "b", TABLE.assign(b=TABLE["b"] * (1 + 1e-15)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() == 'a,b,c\n1,0.3333333333,é\n2,1e-09,"x,y"\n'.encode()


RUN_BY_SPREADSHEETS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\n=1", "'=1", "''@x", "=", "-", "-x"]
PLAIN = ["-1", "+2.5", "-1e-3", "plain", "'quoted'", "a=b", "x,y", "'", "\u2212x"]


@pytest.mark.parametrize(
    ("text", "written"), [*((text, f"'{text}") for text in RUN_BY_SPREADSHEETS), *((text, text) for text in PLAIN)]
)
def test_only_a_text_that_a_spreadsheet_would_run_is_defused(tmp_path: Path, text: str, written: str) -> None:
    table = pd.DataFrame({"item": [text, "x"], "n": [-1.5, 2]})
    write_csv(tmp_path / "a.csv", table)
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["item", "n"], [written, "-1.5"], ["x", "2"]]
    pd.testing.assert_frame_equal(read_csv(tmp_path / "a.csv", "the test", ["item"]), table)


@given(texts=st.lists(st.text(st.sampled_from("'=+-@\t\nx1. ,\""), min_size=1, max_size=6), min_size=1, max_size=4))
def test_every_text_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    table = pd.DataFrame({"item": texts, "n": 1})
    write_csv(path, table)
    pd.testing.assert_frame_equal(read_csv(path, "the test", ["item"]), table)


def test_line_breaks_of_other_systems_do_not_break_a_row(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"item": ["a\r=1", "\rb", "c\r\nd"], "n": 1}))
    assert read_csv(tmp_path / "a.csv", "the test", ["item"])["item"].tolist() == ["a\n=1", "\nb", "c\nd"]


def test_a_table_without_texts_is_left_alone(tmp_path: Path) -> None:
    before = TABLE.copy(deep=True)
    write_csv(tmp_path / "a.csv", TABLE.assign(c="=1"))
    pd.testing.assert_frame_equal(TABLE, before)
    with pytest.raises(InputError, match=r"b.csv is missing; the test makes it"):
        read_csv(tmp_path / "b.csv", "the test", [])


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "NaN", "\ud83d"])
def test_json_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=r"a.json is not JSON that can be read; remove it, and the test makes it anew"):
        read_json(tmp_path / "a.json", "the test")


def test_a_missing_or_broken_table_says_what_makes_it(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", TABLE)
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "a.parquet", "the test"), TABLE)
    with pytest.raises(InputError, match=r"people.parquet is missing; 01-prepare makes it"):
        read_parquet(tmp_path / "people.parquet", "01-prepare")
    (tmp_path / "people.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"not a readable Parquet file .*; remove it, and 01-prepare makes it anew"):
        read_parquet(tmp_path / "people.parquet", "01-prepare")


def test_checksums(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "a") == text_sha256("abc") == abc


def test_folders_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (project_folder() / "pyproject.toml").is_file()
    for name, folder in {"HOME": project_folder, "RESULTS": results_folder, "CACHE": cache_folder}.items():
        monkeypatch.setenv(f"PILOTLM_{name}", str(tmp_path / name))
        assert folder() == tmp_path / name
    assert data_folder() == tmp_path / "HOME" / "data"
    monkeypatch.delenv("PILOTLM_RESULTS")
    assert results_folder() == tmp_path / "HOME" / "results"


def test_files_of_arms_seeds_and_studies_never_meet() -> None:
    paths = [
        path
        for run in ("a", "b")
        for study in ("s", "t")
        for places in [Places(run, study)]
        for path in (
            places.people, places.measures("x"), places.record("x"),
            *(f(arm, seed) for f in (places.adapter, places.responses) for arm in ("x", "y") for seed in (1, 2)),
        )
    ]  # fmt: skip
    assert len(set(paths)) == len(paths)


def test_the_environment_is_told_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLM_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() == {"git_revision": None, "git_dirty": None}
    told = environment()
    assert told["packages"]["numpy"] and told["lock_sha256"] is None


def test_a_text_that_pandas_takes_for_missing_or_a_number_stays_a_text(tmp_path: Path) -> None:
    texts = ["null", "NA", "nan", "None", "N/A", "2024", "1e3", "0x1F", "on", "plain"]
    table = pd.DataFrame({"study": texts, "estimate": [np.nan, 1.0, *([2.5] * 8)]})
    write_csv(tmp_path / "a.csv", table)
    found = read_csv(tmp_path / "a.csv", "a test", ["study"])
    assert found["study"].tolist() == texts
    assert np.isnan(found["estimate"][0]) and found["estimate"][1:].tolist() == table["estimate"][1:].tolist()
