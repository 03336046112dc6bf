"""The reference of the library, read from its source: public functions and classes, floor by floor.

Nothing is imported, so the pages are the same where a package such as torch is missing.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

from pilotlm.showing.quoting import card_markdown, without_shortcodes
from pilotlm.showing.staged import SHOWN

LIBRARY = Path(__file__).resolve().parents[1]
FLOORS = {
    "ground": "Studies, arms, records, and what everybody stands on",
    "instrument": "From the study's file to people, pilots and prompts",
    "answering": "Who answers: language models, fine-tuning, and baselines without a model",
    "measures": "Statistics on arrays and tables, which know no study",
    "analyses": "The measures of a study's arms beside its people",
    "reference": "A run that is kept with the code: packed, put back and checked",
    "collecting": "What an analysis reads",
    "showing": "Figures, tables, pages",
    "cli": "The command line",
}
"""The floors of the library from the lowest up, with what each is for."""
_SINGLE = ("reference", "collecting", "cli")
_SECTION = re.compile(r"^(?P<name>[A-Z][A-Za-z ]+)\n-{3,}\n", re.MULTILINE)
_ENTRIES = ("Parameters", "Attributes", "Returns", "Yields", "Raises")


@dataclass(frozen=True)
class Documented:
    """A public function or class.

    Attributes
    ----------
    name : str
        Its name.
    signature : str
        How it is called and what it gives; empty for a class.
    docstring : str
        As written, without indentation.
    methods : tuple of Documented
        The public methods of a class that have a docstring.
    """

    name: str
    signature: str
    docstring: str
    methods: tuple[Documented, ...] = ()


def floor_modules() -> dict[str, tuple[Path, ...]]:
    """The files of each floor's modules, in the order of their names."""
    found = {floor: tuple(sorted((LIBRARY / floor).glob("[a-z]*.py"))) for floor in FLOORS}
    ground = [path for path in sorted(LIBRARY.glob("[a-z]*.py")) if path.stem not in _SINGLE]
    return {**found, "ground": tuple(ground), **{name: (LIBRARY / f"{name}.py",) for name in _SINGLE}}


def documented(path: Path) -> tuple[str, tuple[Documented, ...]]:
    """The docstring of a module, and its public functions and classes in the order of the file.

    Parameters
    ----------
    path : Path
        A Python file.

    Returns
    -------
    tuple of str and tuple of Documented
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return ast.get_docstring(tree) or "", _public(tree.body)


def reference_pages() -> dict[str, str]:
    """The pages of the reference: a file's name and its Markdown, one a floor, and the part that lists them."""
    files = floor_modules()
    pages = {f"reference/{floor}.qmd": _floor_page(floor, paths) for floor, paths in files.items()}
    return {**pages, "_reference.qmd": _contents(files)}


def _public(body: list[ast.stmt]) -> tuple[Documented, ...]:
    found = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            text = inspect.cleandoc(ast.get_docstring(node) or "")
            if isinstance(node, ast.ClassDef):
                methods = tuple(one for one in _public(node.body) if one.docstring)
                found.append(Documented(node.name, "", text, methods))
            else:
                found.append(Documented(node.name, _signature(node), text))
    return tuple(found)


def _signature(node: ast.FunctionDef) -> str:
    gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){gives}"


def _module_name(path: Path) -> str:
    return ".".join(["pilotlm", *path.relative_to(LIBRARY).with_suffix("").parts])


def _contents(files: dict[str, tuple[Path, ...]]) -> str:
    parts = []
    for floor, paths in files.items():
        lines = []
        for path in paths:
            name, about = _module_name(path), documented(path)[0].partition("\n\n")[0]
            lines.append(f"- [`{name}`](/{SHOWN}/reference/{floor}.qmd#{_anchor(name)}): {_text(about)}")
        parts.append(f"## {floor.capitalize()}\n\n{FLOORS[floor]}.\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _floor_page(floor: str, paths: tuple[Path, ...]) -> str:
    modules = [_module_part(path) for path in paths]
    front = f'---\ntitle: "Reference: {floor}"\nengine: markdown\ntoc-depth: 3\n---'
    return "\n\n".join([front, f"{FLOORS[floor]}.", *modules]) + "\n"


def _module_part(path: Path) -> str:
    name = _module_name(path)
    about, found = documented(path)
    heading = f"## {name.removeprefix('pilotlm.')} {{#{_anchor(name)}}}"
    return "\n\n".join([heading, _text(about), *(_entry(one, name) for one in found)])


def _entry(one: Documented, module: str) -> str:
    code = f"```python\n{without_shortcodes(one.signature or 'class ' + one.name)}\n```"
    methods = [f"`{without_shortcodes(method.signature)}`\n:   {_text(_summary(method))}" for method in one.methods]
    parts = [
        f"### {one.name} {{#{_anchor(f'{module}.{one.name}')}}}",
        code,
        docstring_markdown(one.docstring),
        *methods,
    ]
    return "\n\n".join(part for part in parts if part)


def _summary(one: Documented) -> str:
    return one.docstring.partition("\n\n")[0]


def docstring_markdown(text: str) -> str:
    """A docstring in NumPy's style as Markdown: its text, then each section with its entries as a list of definitions.

    Parameters
    ----------
    text : str
        Without indentation.

    Returns
    -------
    str
        Markdown in which what the docstring says is only text, code and emphasis.
    """
    pieces = _SECTION.split(text)
    parts = [_text(pieces[0])]
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        shown = _entries(body) if name in _ENTRIES else _text(body)
        parts.append(f"**{name}**\n\n{shown}" if shown else f"**{name}**")
    return "\n\n".join(part for part in parts if part)


def _entries(body: str) -> str:
    """The entries of a section: a line that is not indented, and the indented lines below it."""
    found: list[tuple[str, list[str]]] = []
    for line in body.strip("\n").split("\n"):
        if line and not line[0].isspace():
            found.append((line, []))
        elif found:
            found[-1][1].append(line.strip())
    # A term without a definition is no list of definitions, so an empty one holds a space that does not break.
    return "\n\n".join(f"`{without_shortcodes(term)}`\n:   {_text(' '.join(said)) or '&nbsp;'}" for term, said in found)


def _text(text: str) -> str:
    """A text of a docstring as Markdown; code stands in single or double backticks there."""
    return card_markdown(re.sub(r"``([^`]+)``", r"`\1`", text)).strip()


def _anchor(name: str) -> str:
    # Functions and classes may differ by a capital only.
    return "api-" + name.replace(".", "-").replace("_", "-")
