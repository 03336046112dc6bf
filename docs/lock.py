"""Give the pinned versions of the locks the sha256 of their files: the last step of `make lock`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, GPU = ROOT / "requirements.lock", ROOT / "requirements-gpu.lock"
PEERS = ROOT / "benchmarks" / "requirements.txt"
LOCK_SAYS = "# Every package of the environment; made by 'make lock', installed with --no-deps (see Makefile)."
GPU_SAYS = "# What torch's GPU build needs beyond requirements.lock; made by 'make lock', installed with it."
PEERS_SAY = (
    "# What the benchmarks' peers need beyond requirements.lock; `make bench` installs it with --no-deps.\n"
    "# Versions are chosen by hand, with the lock's as constraints, so that it stays as it is; `make lock` adds hashes."
)
OTHER_BUILDS = {
    # The CPU build for Linux on x86_64 and Python 3.11, version 2.13.0+cpu.
    "torch": ("6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",),
}
"""Package, then the sha256 of wheels of the same version that only other indexes have; a user's own builds go here."""
_NAME = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_PIN = re.compile(r"^[A-Za-z0-9._-]+==[^\s\\]+", re.MULTILINE)


def with_hashes(says: str, pins: str, hashed: str) -> str:
    """A lock: the pins in their order and spelling, each with its hashes.

    Parameters
    ----------
    says : str
        Its first lines.
    pins : str
        Lines that begin with ``name==version``.
    hashed : str
        The same packages as the resolver writes them, with the hashes of their files.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a pin has no hash there, or another version.
    """
    there = dict(_blocks(hashed))
    return "\n".join([says, *(_one(pin, there) for pin in _PIN.findall(pins))]) + "\n"


def beyond(pins: str, hashed: str) -> str:
    """The packages of a resolver's output that are not among the pins, as a lock."""
    pinned = {_canonical(name) for name in _NAME.findall(pins)}
    return "\n".join([GPU_SAYS, *(block for name, block in _blocks(hashed) if name not in pinned)]) + "\n"


def _one(pin: str, there: dict[str, str]) -> str:
    name, _, version = pin.partition("==")
    head, _, hashes = there.get(_canonical(name), "").partition(" \\\n")
    if not hashes or head.partition("==")[2] != version:
        raise ValueError(f"There is no hash of {pin}.")
    others = "".join(f"    --hash=sha256:{digest} \\\n" for digest in OTHER_BUILDS.get(name, ()))
    return f"{pin} \\\n{others}{hashes}"


def _blocks(hashed: str) -> Iterator[tuple[str, str]]:
    """Each package with its lines, which end where none is continued."""
    for block in re.split(r"\n(?! )", hashed.strip()):
        if name := _NAME.match(block):
            yield _canonical(name[1]), block


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    pins, hashed, gpu, peers = (Path(word).read_text(encoding="utf-8") for word in sys.argv[1:])
    written = {
        LOCK: with_hashes(LOCK_SAYS, pins, hashed),
        GPU: beyond(pins, gpu),
        PEERS: with_hashes(PEERS_SAY, PEERS.read_text(encoding="utf-8"), peers),
    }
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
