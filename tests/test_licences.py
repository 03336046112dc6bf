"""Every package, data set and model is listed with a licence that allows what we do with it."""

from __future__ import annotations

import importlib.metadata

import pytest

from docs.licences import EXCEPTIONS, MODELS, PAGE, acceptable, licence_of, locked, parts_of
from pilotlm.study import load_study, study_names

ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")] for line in PAGE.read_text(encoding="utf-8").splitlines()
]
LISTED = {row[0]: row[1:] for row in ROWS if len(row) >= 2}


@pytest.mark.parametrize("package", locked())
def test_a_package_of_the_lock_is_listed_with_an_acceptable_licence(package: str) -> None:
    version, licence = LISTED[package][:2]
    assert version == locked()[package], "run `make licences`"
    assert acceptable(package, licence), licence
    try:
        stated = licence_of(package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed, so only the page could be looked at")
    if importlib.metadata.version(package).partition("+")[0] != version:
        pytest.skip(f"{package} is installed in another version than that of the lock")
    assert stated.replace("|", "/") == licence, "run `make licences`"


def test_every_study_and_model_is_listed() -> None:
    for name in study_names():
        assert LISTED[name] == [" ".join(load_study(name).licence.split())]
    assert all(LISTED[name] == list(said) for name, said in MODELS.items())


def test_exceptions_are_packages_of_the_lock() -> None:
    assert set(EXCEPTIONS) <= set(locked())


@pytest.mark.parametrize(
    ("licence", "good"),
    [("MIT", True), ("BSD-3-Clause AND MIT", True), ("BSD License; GNU General Public License (GPL)", False),
     ("MIT AND GPL-3.0-only", False), ("Proprietary", False), ("Limited use", False), ("", False), ("UNKNOWN", False),
     ("Apache-2.0 WITH LLVM-exception AND BSL-1.0", True), ("AGPL-3.0", False), ("LGPL-2.1", False)],
)  # fmt: skip
def test_what_is_acceptable(licence: str, good: bool) -> None:
    assert acceptable("x", licence) is good
    assert parts_of("A AND B; C") == ["A", "B", "C"]
