"""How much memory a process may still take: the machine's, or less where a container has a limit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""The limit, what is used of it, and the part of that which is cached files, in versions 2 and 1 of control groups."""


def free_memory() -> int:
    """The bytes that are free for this process: the machine's, or those of a control group where they are fewer."""
    return max(0, min([int(psutil.virtual_memory().available), *_left_in_groups()]))


def _left_in_groups() -> Iterator[int]:
    for folder in _folders():
        for limit, usage, cached in _FILES:
            allowed, used = _number(folder / limit), _number(folder / usage)
            if allowed is not None and used is not None:
                # The system drops cached files before it ends a process for want of memory.
                yield allowed - max(0, used - _cached(folder, cached))


def _folders() -> Iterator[Path]:
    """The folders of this process's control group and of those above, whose limits hold too.

    A container often sees its own group as the top and its path as that of the host, so what is missing is passed over.
    """
    for line in _text(_OWN).splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers in ("", "memory"):
            top = _GROUPS / controllers
            own = top / path.strip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _cached(folder: Path, name: str) -> int:
    words = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    return int(words[name]) if words.get(name, "").isdecimal() else 0


def _number(path: Path) -> int | None:
    """A file's number; None where it is missing or says "max"."""
    word = _text(path).strip()
    return int(word) if word.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
