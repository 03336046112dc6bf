"""The one way to a random generator: from a key of numbers and words, so that nothing depends on an order of calls."""

from __future__ import annotations

import zlib

import numpy as np


def generator(*parts: int | str | bytes) -> np.random.Generator:
    """A generator for one purpose.

    Parameters
    ----------
    *parts : int, str or bytes
        For example the seed, the study and the purpose. The last one is a word that says what is drawn, because NumPy
        fills up a short list with zeros, so that 1 and (1, 0) would be one generator. A text counts as its CRC-32,
        bytes as a number each.

    Returns
    -------
    numpy.random.Generator
    """
    if not parts or isinstance(parts[-1], int):
        raise ValueError(f"the last part must be a word that says what is drawn, got {parts}")
    key: list[int] = []
    for part in parts:
        key += [part] if isinstance(part, int) else part if isinstance(part, bytes) else [zlib.crc32(part.encode())]
    return np.random.default_rng(key)


def numbered(*numbers: int) -> np.random.Generator:
    """A generator for one of many equal things, such as a row: seed, participant and draw, always as many numbers."""
    return np.random.default_rng(numbers)


def torch_seed(*numbers: int) -> int:
    """A seed for torch from the same kind of key as `numbered`."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
