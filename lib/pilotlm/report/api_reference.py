"""The reference of the library: quartodoc reads the docstrings, a page a room; nothing is imported for it."""

from __future__ import annotations

import re
from pathlib import Path

import griffe
from plum import dispatch
from quartodoc import Builder
from quartodoc.renderers import MdRenderer

from pilotlm.records import write_text
from pilotlm.report.notebooks import table_as_html
from pilotlm.report.wording import without_shortcodes

_TABLE = re.compile(r"(?:^\|.*\n?)+", re.MULTILINE)
LIBRARY = Path(__file__).resolve().parents[1]


class _Renderer(MdRenderer):  # type: ignore[misc]
    """quartodoc's own, which knows no sections of what is yielded and of warnings."""

    style = "pilotlm"

    @dispatch  # type: ignore[untyped-decorator]
    def render(self, el: griffe.DocstringSectionYields | griffe.DocstringSectionWarns) -> str:
        return "\n\n".join(one.description for one in el.value)


def write_reference(folder: Path) -> None:
    """Write a page for each room of the library and one that lists them, as Quarto reads them, into a folder."""
    pages = [
        {"kind": "page", "path": room, "summary": {"name": room, "desc": ", ".join(modules)},
         "contents": [{"name": module, "children": "embedded"} for module in modules]}
        for room, modules in rooms().items()
    ]  # fmt: skip
    section = {"title": "Rooms", "desc": "All of it is taken from the docstrings.", "contents": pages}
    folder.mkdir(parents=True, exist_ok=True)
    builder = Builder(
        "pilotlm", sections=[section], dir=str(folder), title="Library reference", parser="numpy",
        source_dir=str(LIBRARY.parent), renderer=_Renderer(),
    )  # fmt: skip
    builder.out_inventory = str(folder / "objects.json")
    builder.build()
    for path in sorted(folder.glob("*.qmd")):
        text = path.read_text(encoding="utf-8")
        if path.stem != "index":  # its links lead to pages, which Quarto must see
            text = _TABLE.sub(lambda table: table_as_html(table[0]), text)
        write_text(path, without_shortcodes(text))


def rooms() -> dict[str, list[str]]:
    """The modules of each folder of the library, without their package; those beside the folders are "pilotlm"."""
    found: dict[str, list[str]] = {"pilotlm": []}
    for path in sorted(LIBRARY.rglob("[a-z]*.py")):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        found.setdefault(parts[0] if len(parts) > 1 else "pilotlm", []).append(".".join(parts))
    return found
