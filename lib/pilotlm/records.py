"""Where things are kept, and how they are written: whole or not at all, with a record of how they came to be."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotlm.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

REPORTED_PACKAGES = (
    "numpy", "pandas", "peft", "pilotlm", "pydantic", "safetensors", "scikit-learn", "scipy", "statsmodels",
    "tokenizers", "torch", "transformers",
)  # fmt: skip

PACKED = "packed.json"
"""The file that lists all others of a packed run with their checksums; only packing makes it."""
ORIGIN = "origin.json"
"""Where and when a study's part of a run was made, in the folder of a study that was put there from another run."""
REFERENCE = "reference"
"""The packed run that is kept with the code."""
_NUMBER = r"[+-]?[0-9.]+(e[+-]?[0-9]+)?\Z"
_RUN_BY_SPREADSHEETS = re.compile(rf"(?!{_NUMBER})'*[=+\-@\t\n]")
_DEFUSED = re.compile(rf"'(?!{_NUMBER})'*[=+\-@\t\n]")


def project_folder() -> Path:
    """The folder of the project: ``PILOTLM_HOME``, else the checkout that the library lies in, else this folder."""
    named = os.environ.get("PILOTLM_HOME")
    if named:
        return Path(named).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "data").is_dir() else Path.cwd()


def data_folder() -> Path:
    """The folder of the studies."""
    return project_folder() / "data"


def cache_folder() -> Path:
    """The folder of downloads and converted models: ``PILOTLM_CACHE``, else the user's cache."""
    named = os.environ.get("PILOTLM_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "pilotlm"


def results_folder() -> Path:
    """The folder of all runs: ``PILOTLM_RESULTS``, else ``results`` in the project."""
    named = os.environ.get("PILOTLM_RESULTS")
    return Path(named).expanduser().resolve() if named else project_folder() / "results"


def is_packed(folder: Path) -> bool:
    """Whether a folder holds a packed run; see `pilotlm.reference`."""
    return (folder / PACKED).is_file()


@dataclass(frozen=True)
class Places:
    """Where the files of one study in one run, a folder under ``results``, lie."""

    run: str
    study: str

    @property
    def folder(self) -> Path:
        """The folder of this study in this run."""
        return results_folder() / self.run / self.study

    @property
    def people(self) -> Path:
        """The people's answers."""
        return self.folder / "people.parquet"

    def adapter(self, arm: str, seed: int) -> Path:
        """The folder of a fine-tuned arm's adapter."""
        return self.folder / "adapters" / f"{arm}-s{seed}"

    def responses(self, arm: str, seed: int) -> Path:
        """The responses of an arm."""
        return self.folder / "responses" / f"{arm}-s{seed}.parquet"

    def unfinished(self, node: str) -> Path:
        """The folder of what a node keeps while it works, to go on from after a kill."""
        return self.folder / "unfinished" / node

    def predictions(self, arm: str, seed: int) -> Path:
        """How probable an arm held each answer of each person."""
        return self.folder / "predictions" / f"{arm}-s{seed}.parquet"

    def trial(self, pilot: str, seed: int) -> Path:
        """The losses of all arms at one small pilot."""
        return self.folder / "trials" / f"{pilot}-s{seed}.csv"

    def ways(self, pilot: str, seed: int) -> Path:
        """The losses of every way of using the persona at one small pilot."""
        return self.folder / "ways" / f"{pilot}-s{seed}.csv"

    def measures(self, analysis: str) -> Path:
        """The tidy table of an analysis."""
        return self.folder / "measures" / f"{analysis}.csv"

    @property
    def decision(self) -> Path:
        """The decision on augmenting the pilot."""
        return self.folder / "decision.json"

    def record(self, node: str) -> Path:
        """The record of one stage: its part of the manifest."""
        return self.folder / "records" / f"{node}.json"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path whose content takes the place of ``path`` when the block ends without an error.

    When the block fails it is removed, and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The same as `whole_file` for a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole, keys sorted."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole, numbers with ten significant digits so that equal runs give equal bytes.

    A text that a spreadsheet would run is written with an apostrophe before it, as OWASP advises against CSV injection
    (https://owasp.org/www-community/attacks/CSV_Injection); `read_csv` takes it away again.
    Line breaks become line feeds.
    """
    with whole_file(path) as temporary:
        texts = table.select_dtypes(["str", "object"]).columns
        safe = table.assign(**{name: _each(table[name], _defused) for name in texts})
        safe.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n")


def read_csv(path: Path, made_by: str, texts: Iterable[str]) -> pd.DataFrame:
    """Read a table that `write_csv` wrote."""
    import pandas as pd

    _must_be_there(path, made_by)
    try:
        # A study may be called null or NA: only what is empty is missing.
        table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        what = f"{path} is not a readable CSV file ({' '.join(str(error).split())})"
        raise InputError(f"{what}; remove it, and {made_by} makes it anew.") from None
    written = table.columns.intersection(list(texts))
    return table.assign(**{name: _each(table[name], lambda x: x[1:] if _DEFUSED.match(x) else x) for name in written})


def _must_be_there(path: Path, made_by: str) -> None:
    if not path.is_file():
        raise InputError(f"{path} is missing; {made_by} makes it.")


def read_json(path: Path, made_by: str) -> dict[str, Any]:
    """Read a JSON file that holds an object."""
    _must_be_there(path, made_by)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not JSON that can be read; remove it, and {made_by} makes it anew.")
    return content


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, whole."""
    with whole_file(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_parquet(path: Path, made_by: str) -> pd.DataFrame:
    """Read a Parquet file."""
    import pandas as pd

    _must_be_there(path, made_by)
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        what = f"{path} is not a readable Parquet file ({' '.join(str(error).split())})"
        raise InputError(f"{what}; remove it, and {made_by} makes it anew.") from None


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """The sha256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def table_sha256(table: pd.DataFrame) -> str:
    """The sha256 of a table's content, in hexadecimal."""
    return text_sha256(table.to_csv(index=False))


def library_sha256() -> str:
    """The sha256 of all modules of the library, in hexadecimal."""
    folder = Path(__file__).parent
    return text_sha256(" ".join(file_sha256(path) for path in sorted(folder.rglob("*.py"))))


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The versions of some packages; None where one is not installed."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def environment() -> dict[str, Any]:
    """The machine and the versions that a run used."""
    lock = project_folder() / "requirements.lock"
    return {
        "python": platform.python_version(),
        "packages": versions(REPORTED_PACKAGES),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "lock_sha256": file_sha256(lock) if lock.is_file() else None,
        **git_state(),
    }


def origin_of(manifest: Mapping[str, Any], study: str) -> dict[str, Any]:
    """When and in which environment a study's part of a run was made; a packed run may hold parts of several runs."""
    facts = manifest["studies"][study]
    return {name: facts.get(name, manifest[name]) for name in ("finished", "environment")}


def git_state() -> dict[str, Any]:
    """The revision of the checkout and whether it has changes; None where git or the checkout is missing."""
    try:
        revision = _git("rev-parse", "HEAD")
        dirty = bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return {"git_revision": None, "git_dirty": None}
    return {"git_revision": revision, "git_dirty": dirty}


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=project_folder(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _each(texts: pd.Series, change: Callable[[str], str]) -> pd.Series:
    import pandas as pd

    changed = [change(text) if isinstance(text, str) else text for text in texts]
    return pd.Series(changed, index=texts.index, dtype=texts.dtype)


def _defused(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # pandas writes a bare return without quotes
    return f"'{text}" if _RUN_BY_SPREADSHEETS.match(text) else text
