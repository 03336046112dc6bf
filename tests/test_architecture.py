"""The plan of the house: who may import whom, that the library is silent, and that notebooks are clean."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import grimp
import nbformat
import pytest

from pilotlm.stages import STAGES

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "lib" / "pilotlm"

# The ground is single modules, from the lowest up; a line with several names is a room whose modules do not know
# each other.
GROUND = (
    ("errors", "randomness"),
    ("records", "yaml_files", "variables"),
    ("questions",),
    ("study_parts",),
    ("study", "arms", "execution"),
    ("predictions", "responses", "stages"),
    ("profile",),
)
ROOMS = (
    "ground",
    "data",
    "graph",
    "baselines",
    "models",
    "stats",
    "analyses",
    "reference",
    "collecting",
    "report",
    "cli",
    "__main__",
)
COMMAND = ("pilotlm.cli", "pilotlm.__main__")
HEAVY = ("torch", "transformers", "peft")
WITH_MODEL = (
    *("loading", "chat", "encoding", "prefix_cache", "answer_scoring", "simulate"),
    *("free_text", "pool", "loss", "lora", "adapters", "new_people"),
)
"""The modules of ``models``, which know torch."""
WITHOUT_MODEL = f"""
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("pilotlm", include_external_packages=True)


def inside(graph: grimp.ImportGraph) -> list[str]:
    return sorted(module for module in graph.modules if module.startswith("pilotlm."))


def room(module: str) -> int:
    """The place of the room that a module stands in."""
    first = module.split(".")[1]
    if any(first in level for level in GROUND):
        return 0
    assert first in ROOMS, f"{module} stands in no room; give it one in this test and in the architecture"
    return ROOMS.index(first)


def imports(graph: grimp.ImportGraph) -> list[tuple[str, str]]:
    return [
        (importer, imported)
        for importer in inside(graph)
        for imported in sorted(graph.find_modules_directly_imported_by(importer))
        if imported.startswith("pilotlm.")
    ]


def test_imports_go_downwards_only(graph: grimp.ImportGraph) -> None:
    upwards = [f"{a} imports {b}" for a, b in imports(graph) if room(b) > room(a)]
    assert not upwards


def test_the_ground_has_an_order_of_its_own(graph: grimp.ImportGraph) -> None:
    level = {f"pilotlm.{name}": k for k, names in enumerate(GROUND) for name in names}
    assert set(level) <= set(inside(graph))
    wrong = [f"{a} imports {b}" for a, b in imports(graph) if a in level and level.get(b, 99) >= level[a]]
    assert not wrong


def test_measures_stand_on_the_ground_alone(graph: grimp.ImportGraph) -> None:
    own = ROOMS.index("stats")
    wrong = [f"{a} imports {b}" for a, b in imports(graph) if room(a) == own and room(b) not in (0, own)]
    assert not wrong


def test_no_two_public_things_have_one_name() -> None:
    owners: dict[str, list[str]] = {}
    for path in LIBRARY.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            made = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
            if isinstance(node, ast.Assign):
                made = [target.id for target in node.targets if isinstance(target, ast.Name)]
            for name in made:
                if not name.startswith("_"):
                    owners.setdefault(name, []).append(path.relative_to(LIBRARY).as_posix())
    assert not {name: where for name, where in owners.items() if len(where) > 1}


def test_a_module_is_read_in_a_sitting() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in LIBRARY.rglob("*.py")}
    assert not {path.name: count for path, count in lines.items() if count > 450}


def test_there_is_no_circle(graph: grimp.ImportGraph) -> None:
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for importer, imported in imports(graph):
        sorter.add(importer, imported)
    sorter.prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("package", HEAVY)
def test_few_modules_know_a_model(graph: grimp.ImportGraph, package: str) -> None:
    known = set(graph.find_modules_that_directly_import(package)) if package in graph.modules else set()
    assert known <= {f"pilotlm.models.{name}" for name in WITH_MODEL}


@pytest.mark.parametrize("package", HEAVY)
def test_nothing_that_is_shown_needs_a_model(graph: grimp.ImportGraph, package: str) -> None:
    free = [m for m in inside(graph) if m.removeprefix("pilotlm.models.") not in WITH_MODEL and m not in COMMAND]
    chains = [graph.find_shortest_chain(importer=m, imported=package) for m in free if package in graph.modules]
    assert not [chain for chain in chains if chain]


@pytest.mark.slow
def test_analyses_and_pages_run_where_there_is_no_torch() -> None:
    modules = [
        f"pilotlm.{path.relative_to(LIBRARY).with_suffix('').as_posix().replace('/', '.')}"
        for folder in ("stats", "analyses", "report", "data", "baselines")
        for path in sorted((LIBRARY / folder).glob("[a-z]*.py"))
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MODEL, *modules, "pilotlm.collecting", "pilotlm.profile"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: path.relative_to(LIBRARY).as_posix())
def test_the_library_is_silent_and_takes_its_generators(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    called = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    assert not [
        f for f in called if isinstance(f, ast.Name) and f.id in ("print", "eval", "exec", "input", "breakpoint")
    ]
    drawn = {f.attr for f in called if isinstance(f, ast.Attribute) and ast.unparse(f.value) in ("np.random", "random")}
    assert drawn <= {"default_rng", "Generator", "SeedSequence", "Philox", "PCG64"}
    assert ast.get_docstring(ast.parse(source)), "every module says what it is for"
    if path.name != "cli.py":
        assert "sys.stdout" not in source and "sys.stderr" not in source


NOTEBOOKS = pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)


def code_cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@NOTEBOOKS
def test_notebook_sources_have_no_outputs(path: Path) -> None:
    for cell in code_cells(path):
        assert cell.outputs == [] and cell.execution_count is None


@NOTEBOOKS
def test_the_parameters_of_a_notebook_are_those_of_its_stage(path: Path) -> None:
    number, _, stage = path.stem.rpartition("-")
    assert number.isdigit() and stage in STAGES
    first, second = code_cells(path)[:2]
    assert first.metadata.get("tags") == ["parameters"]
    assert not [cell for cell in code_cells(path)[1:] if "parameters" in cell.metadata.get("tags", [])]
    assigned: dict[str, Any] = {}
    for line in ast.parse(first.source).body:
        assert isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name), "scalars only, nothing derived"
        assigned[line.targets[0].id] = ast.literal_eval(line.value)
    assert assigned == STAGES[stage]().model_dump()
    assert f'begin("{stage}", globals())' in second.source


@NOTEBOOKS
def test_a_notebook_says_what_it_asks(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_every_stage_has_one_notebook() -> None:
    stages = [path.stem.rpartition("-")[2] for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert stages == list(STAGES)
