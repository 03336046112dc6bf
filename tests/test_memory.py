"""The memory that is free for a process, under a container's limit and without one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pilotlm.answering import memory
from pilotlm.answering.memory import free_memory
from pilotlm.answering.models import _check_memory
from pilotlm.errors import InputError

MACHINE = 1000


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 1000 bytes free, whose control groups are the test's to write."""
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=MACHINE))
    return tmp_path


def write(folder: Path, own: str, **files: str) -> None:
    """Files of control groups, `__` for a slash and `_dot_` for a point in their names."""
    (folder / "own").write_text(own)
    for name, text in files.items():
        path = folder / "groups" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_machine_without_limits_has_what_it_says(fake: Path) -> None:
    assert free_memory() == MACHINE
    write(fake, "0::/\n", memory_dot_max="max\n", memory_dot_current="500\n")
    assert free_memory() == MACHINE


@pytest.mark.parametrize(("limit", "used", "free"), [("700", "300", 400), ("5000", "300", MACHINE), ("200", "300", 0)])
def test_version_2_leaves_its_limit_less_what_is_used(fake: Path, limit: str, used: str, free: int) -> None:
    write(fake, "0::/\n", memory_dot_max=limit, memory_dot_current=used)
    assert free_memory() == free


def test_cached_files_are_no_use_that_stays(fake: Path) -> None:
    write(fake, "0::/\n", memory_dot_max="700", memory_dot_current="300", memory_dot_stat="anon 5\ninactive_file 250\n")
    assert free_memory() == 650


def test_the_limit_of_a_group_above_holds_too(fake: Path) -> None:
    write(
        fake, "0::/a/b\n", a__b__memory_dot_max="max", a__b__memory_dot_current="10", a__memory_dot_max="90",
        a__memory_dot_current="20",
    )  # fmt: skip
    assert free_memory() == 70


@pytest.mark.parametrize("path", ["/", "/docker/0123"])
def test_version_1_in_a_container_that_sees_itself_as_the_top(fake: Path, path: str) -> None:
    files = {"limit_in_bytes": "800\n", "usage_in_bytes": "600\n", "stat": "total_inactive_file 100\n"}
    write(fake, f"3:cpu:/x\n4:memory:{path}\n", **{f"memory__memory_dot_{name}": text for name, text in files.items()})
    assert free_memory() == 300
    write(fake, f"4:memory:{path}\n", memory__memory_dot_limit_in_bytes="9223372036854771712\n")
    assert free_memory() == MACHINE


def test_files_that_say_nothing_are_passed_over(fake: Path) -> None:
    write(fake, "nonsense\n0::/\n", memory_dot_max="much", memory_dot_current="-3", memory_dot_stat="inactive_file\n")
    assert free_memory() == MACHINE


def test_a_model_larger_than_a_container_allows_is_not_loaded(fake: Path) -> None:
    write(fake, "0::/\n", memory_dot_max="500", memory_dot_current="200")
    folder = fake / "model"
    folder.mkdir()
    head = json.dumps({"w": {"shape": [100], "dtype": "F32", "data_offsets": [0, 400]}}).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    with pytest.raises(InputError, match="of memory are free"):
        _check_memory("big", folder, "float32")
    _check_memory("big", folder, "bfloat16")
