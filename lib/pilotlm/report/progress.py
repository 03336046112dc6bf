"""Progress bars for whatever takes more than a few seconds, with rate and remaining time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

SECONDS_BETWEEN = 2.0


@contextmanager
def rows_done(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that counts participants; call what it yields with the number done since the last call."""
    with tqdm(total=total, desc=what, unit=" people", mininterval=SECONDS_BETWEEN) as bar:

        def show(done: int) -> None:
            bar.update(done)

        yield show


@contextmanager
def steps(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar that counts training steps; call what it yields with a note, the steps done and the steps in all."""
    with tqdm(desc=what, unit=" steps", mininterval=SECONDS_BETWEEN) as bar:

        def show(note: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)

        yield show
