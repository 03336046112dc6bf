"""How many different answers there are among any number of people, up to as many as there are."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from pilotlm.errors import InputError
from pilotlm.measures.heterogeneity import unique_interval
from pilotlm.measures.intervals import Estimate

_STEPS = (1, 1.5, 2, 3, 5, 7.5)


def curve_sizes(n: int) -> list[int]:
    """The numbers of rows at which a curve up to n rows is taken, evenly spread on a logarithmic scale.

    Parameters
    ----------
    n : int
        The largest number, at least 1.

    Returns
    -------
    list of int
        5, 10, 15, 20, 30, 50, 75, 100, ... as far as they are below n, then n. Curves of different n share all but
        their last number.

    Raises
    ------
    InputError
        If n is under 1.
    """
    if n < 1:
        raise InputError(f"A curve needs 1 row or more, got {n}.")
    decades = range(1, len(str(n)) + 1)
    grid = [5, *(round(step * 10**decade) for decade in decades for step in _STEPS)]
    return [*(size for size in grid if size < n), n]


def rarefaction_curve(codes: ArrayLike, sizes: Sequence[int], level: float = 0.95) -> list[Estimate]:
    """The rarefaction curve: the expected number of different codes among so many rows, each with its interval.

    Parameters
    ----------
    codes : (N,) int array_like
        Codes, at least 2.
    sizes : sequence of int
        Numbers of rows, each 1 to N.
    level : float
        Nominal coverage of each interval, between 0 and 1; it does not hold for the curve as a whole.

    Returns
    -------
    list of Estimate
        One a size; the interval is over fresh samples of all N rows.

    Raises
    ------
    InputError
        As in `unique_interval`.

    Notes
    -----
    The variance that Heck et al. give with the same expectation is that over draws from the N rows at hand, which is
    zero at N. It says nothing of other people, so it is not used.

    References
    ----------
    Hurlbert (1971), The nonconcept of species diversity: a critique and alternative parameters, Ecology 52, 577-586;
    Heck, van Belle & Simberloff (1975), Explicit calculation of the rarefaction diversity measurement and the
    determination of sufficient sample size, Ecology 56, 1459-1461.
    """
    return [unique_interval(codes, size, level) for size in sizes]
