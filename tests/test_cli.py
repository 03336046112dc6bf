from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from pilotlm.cli import main
from pilotlm.errors import InputError
from pilotlm.execution import parse_parameters


@pytest.fixture
def csv(project: Path) -> Path:
    path = project / "my.csv"
    rows = [{"age": 20 + k, "arm": "ab"[k % 2], "worry": k % 5, "acts": ["no", "yes"][k % 3 == 0]} for k in range(40)]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook that fails when it is told to."""
    return write_notebook(
        tmp_path / "some.ipynb", "seed = 1\nname = 'a'", "assert seed < 5, f'seed {seed} is too large'\nname, seed"
    )


def write_notebook(path: Path, parameters: str, code: str) -> Path:
    new_cell, kernel = nbformat.v4.new_code_cell, {"name": "python3", "language": "python", "display_name": "Python 3"}
    cells = [new_cell(parameters, metadata={"tags": ["parameters"]}), new_cell(code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def failed(words: list[str | Path], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that ends with 1: one line on standard error, nothing on standard output."""
    assert main(list(map(str, words))) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("pilotlm: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_a_study_of_one_s_own_in_two_commands(csv: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["new-study", "mine", "--data", str(csv), "--treatment", "arm", "--beliefs", "worry", "--persona", "age"]
    assert main([*words, "--action", "acts"]) == 0
    assert capsys.readouterr().out.startswith(f"Wrote {project / 'data' / 'mine' / 'study.yml'}. ")
    assert main(["check", "mine"]) == 0
    out, err = capsys.readouterr()
    assert "40 rows read from mine.csv" in out and "You take part in a survey." in out and err == ""
    assert main(["check", str(project / "data" / "mine" / "study.yml")]) == 0
    assert capsys.readouterr().out == out


def test_mistakes_are_one_line(csv: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no column 'act'; did you mean 'acts'?" in failed(
        ["new-study", "m", "--data", csv, "--action", "act"], capsys
    )
    assert "There is no file" in failed(["new-study", "m", "--data", project / "none.csv"], capsys)
    assert "'a b' is not allowed" in failed(["new-study", "a b", "--data", csv], capsys)
    assert "There is no study 'm'" in failed(["check", "m"], capsys)
    assert "No study file at" in failed(["check", project / "m.yml"], capsys)
    assert not list((project / "data").iterdir())


def test_execute_runs_a_notebook_with_parameters(notebook: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "done.ipynb"
    assert main(["execute", str(notebook), str(output), "seed=3", "name=b"]) == 0
    assert "('b', 3)" in output.read_text()
    assert [path.name for path in output.parent.iterdir()] == ["done.ipynb"]


def test_an_unknown_parameter_stops_before_anything_runs(
    notebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = failed(["execute", notebook, tmp_path / "out" / "done.ipynb", "sed=3"], capsys)
    assert "some.ipynb has no parameter 'sed'; did you mean 'seed'? Allowed: name, seed" in said
    assert not (tmp_path / "out").exists()


def test_a_failed_run_leaves_the_earlier_output_and_its_own_beside_it(
    notebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out" / "done.ipynb"
    output.parent.mkdir()
    output.write_text("earlier")
    said = failed(["execute", notebook, output, "seed=7"], capsys)
    assert "some.ipynb failed: AssertionError: seed 7 is too large" in said and "failed-done.ipynb" in said
    assert output.read_text() == "earlier"
    assert sorted(path.name for path in output.parent.iterdir()) == ["done.ipynb", "failed-done.ipynb"]
    assert json.loads((output.parent / "failed-done.ipynb").read_text())["nbformat"] == 4


def test_other_mistakes_of_execute(notebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no notebook" in failed(["execute", tmp_path / "sume.ipynb", tmp_path / "o.ipynb"], capsys)
    assert "is written name=value, got 'seed'" in failed(["execute", notebook, tmp_path / "o.ipynb", "seed"], capsys)
    (tmp_path / "broken.ipynb").write_text("{")
    assert "broken.ipynb is not a notebook that can be run" in failed(
        ["execute", tmp_path / "broken.ipynb", tmp_path / "o"], capsys
    )


READ_BY_YAML = ["2024", "on", "0x1F", "1e3", "null", "yes", "2024-11-28", "1_000", "1.0", "NA", "~", "[1", "{x: 1}", ""]
"""Texts that YAML reads as something else, or not at all."""


def test_a_text_stays_a_text_and_a_number_becomes_one(tmp_path: Path) -> None:
    names = [f"name_{k}" for k in range(len(READ_BY_YAML))]
    values = ["seed = 1", "rate = 0.5", "distributions = True", *(f"{name} = 'a'" for name in names)]
    code = f"[seed, rate, distributions, {', '.join(names)}]"
    notebook, done = write_notebook(tmp_path / "some.ipynb", "\n".join(values), code), tmp_path / "done.ipynb"
    words = [f"{name}={text}" for name, text in zip(names, READ_BY_YAML, strict=True)]
    assert main(["execute", str(notebook), str(done), "seed=2", "rate=1e-3", "distributions=false", *words]) == 0
    shown = nbformat.read(done, as_version=4).cells[-1].outputs[0]["data"]["text/plain"]
    # YAML takes 1e-3 for a text; every number of a stage is read as one by its declaration.
    assert ast.literal_eval(shown) == [2, "1e-3", False, *READ_BY_YAML]


def test_words_are_cut_at_the_first_equals_sign() -> None:
    assert parse_parameters(["a=b=c", "b=", "c=3e-4 1e-3"]) == {"a": "b=c", "b": "", "c": "3e-4 1e-3"}
    for word in ("a", "=1", ""):
        with pytest.raises(InputError, match="name=value"):
            parse_parameters([word])


@pytest.mark.parametrize("words", [[], ["chek"], ["check"], ["new-study", "x"]])
def test_a_command_line_that_cannot_be_read_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2 and capsys.readouterr().err.startswith("usage: pilotlm")


def test_help_is_there_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], *([command, "--help"] for command in ("new-study", "check", "execute", "render"))):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0 and "usage: pilotlm" in capsys.readouterr().out


def test_an_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(name: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("pilotlm.data.check.describe_study", interrupted)
    assert main(["check", "framing"]) == 130
    assert capsys.readouterr().err == "pilotlm: stopped\n"


def test_mistakes_are_found_before_torch_is_imported(csv: Path) -> None:
    code = (
        "import sys; from pilotlm.cli import main; assert main(['check', 'none']) == 1;"
        f"assert main(['new-study', 'x', '--data', {str(csv)!r}]) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_command_leaves_out_the_grammars_and_puts_them_back() -> None:
    """In a process of its own: here nbformat may have been imported before."""
    program = (
        "import sys; from pilotlm.cli import main; main(['execute', 'nowhere.ipynb', 'out.ipynb']); "
        "print('nbformat' in sys.modules, 'lark' in sys.modules, 'rfc3987_syntax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]
    assert "There is no notebook nowhere.ipynb" in done.stderr
