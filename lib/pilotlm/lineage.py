"""What a run was made from: the code of each stage, studies, arms and lock, and whether they have moved on since."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import grimp

from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.records import project_folder
from pilotlm.stages import ANALYSES
from pilotlm.study import study_file
from pilotlm.yaml_files import read_yaml

NUMBERS = {
    "prepare": "01", "finetune": "02", "simulate": "03", "baselines": "04",
    **{analysis: f"{number:02d}" for number, analysis in enumerate(ANALYSES, 5)}, "decision": "13", "report": "14",
}  # fmt: skip
"""The number of each stage's notebook, which is its place in the story."""
MAKES_ROWS = ("prepare", "finetune", "simulate", "baselines")
MAKES_NUMBERS = (*MAKES_ROWS, *ANALYSES)
_PIN = re.compile(r"^\s*([A-Za-z0-9._-]+)==([^\s;\\+]+)", re.MULTILINE)


def notebook_of(stage: str) -> Path:
    """The notebook of a stage, from the project's folder."""
    return Path("notebooks", f"{NUMBERS[stage]}-{stage}.ipynb")


def module_files(*names: str) -> list[Path]:
    """The files of library modules and of all that they import, from the project's folder, in the order of names."""
    graph = _imports()
    found = set(names) | {module for name in names for module in graph.find_upstream_modules(name)}
    paths = [Path("lib", *name.split(".")) for name in sorted(found)]
    inside = project_folder()
    return [path / "__init__.py" if (inside / path).is_dir() else path.with_suffix(".py") for path in paths]


def stage_modules(stage: str, shown: bool = True) -> list[Path]:
    """The files of the library that a stage's notebook uses, directly or through others.

    Parameters
    ----------
    stage : str
        A key of `NUMBERS`.
    shown : bool
        Whether what only shows numbers counts. It never does where rows are made: another format of a table is no
        reason to fine-tune again.

    Returns
    -------
    list of Path
        From the project's folder.
    """
    names: set[str] = set()
    for source in _code_cells(notebook_of(stage)):
        names |= {n.module for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ImportFrom) and n.module}
    if stage in MAKES_ROWS or not shown:
        names = {name for name in names if not name.startswith("pilotlm.showing.")}
    return module_files(*(names & _imports().modules))


def lineage(studies: Iterable[str], arms: Iterable[str]) -> dict[str, Any]:
    """What the numbers of a run depend on beside its data, as checksums that a comment or a docstring does not change.

    Parameters
    ----------
    studies, arms : iterable of str
        Those of the run.

    Returns
    -------
    dict
        ``code``, ``studies`` and ``arms``: a sha256 for each stage, study and arm; ``lock``: that of the pinned
        versions.
    """
    declared = load_arms()
    chosen = [declared.arm(name) for name in sorted(set(arms))]
    return {
        "code": {stage: code_of(stage) for stage in MAKES_NUMBERS},
        "studies": {name: _specification(name) for name in studies},
        "arms": {arm.name: _sha256(repr((arm, declared.pilot(arm.pilot)))) for arm in chosen},
        "lock": _lock(),
    }


def moved_on(manifest: Mapping[str, Any]) -> list[str]:
    """What is another one now than when a run was made.

    Parameters
    ----------
    manifest : mapping
        Of the run.

    Returns
    -------
    list of str
        Such as "the code of 'simulate'", "the study 'framing'" or "requirements.lock"; empty where nothing is.

    Raises
    ------
    InputError
        If the manifest does not say what its run was made from.
    """
    before = manifest.get("lineage")
    if not isinstance(before, Mapping):
        raise InputError("The manifest does not say what the run was made from; make the run anew.")
    found = [f"the code of '{stage}'" for stage, was in before["code"].items() if _now(code_of, stage) != was]
    found += [f"the study '{name}'" for name, was in before["studies"].items() if _now(_specification, name) != was]
    found += [f"the arm '{name}'" for name, was in before["arms"].items() if _now(_arm, name) != was]
    return found + (["requirements.lock"] if before["lock"] != _lock() else [])


def _now(digest: Any, name: str) -> str | None:
    """A digest, None where what it is of is gone."""
    try:
        return str(digest(name))
    except (InputError, KeyError):
        return None


def _arm(name: str) -> str:
    return str(lineage([], [name])["arms"][name])


@cache
def _imports() -> grimp.ImportGraph:
    return grimp.build_graph("pilotlm", cache_dir=None, exclude_type_checking_imports=True)


def _code_cells(notebook: Path) -> list[str]:
    cells = json.loads((project_folder() / notebook).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def code_of(stage: str) -> str:
    """A sha256 of the notebook and the modules that a stage computes with."""
    parts = _code_cells(notebook_of(stage))
    parts += [(project_folder() / path).read_text(encoding="utf-8") for path in stage_modules(stage, shown=False)]
    return _sha256("\n".join(map(_without_words, parts)))


def _without_words(source: str) -> str:
    """Python without comments, docstrings and layout: what is left decides what is computed."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _only_says(line)]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _only_says(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _specification(study: str) -> str:
    content = read_yaml(study_file(study))
    base = content.get("extends") if isinstance(content, dict) else None
    read = [content, read_yaml(study_file(base)) if base else None]
    # What design variables are called in tables moves no number and no prompt.
    counted = [{key: value for key, value in one.items() if key != "design_labels"} if one else one for one in read]
    return _sha256(json.dumps(counted, sort_keys=True, default=str))


def _lock() -> str:
    path = project_folder() / "requirements.lock"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return _sha256("\n".join(sorted(f"{name.lower()}=={version}" for name, version in _PIN.findall(text))))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
