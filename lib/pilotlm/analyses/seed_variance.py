"""What the measures of an arm vary by between seeds: sampling, pilot draw, and training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set

import numpy as np
import pandas as pd
from scipy.stats import entropy

from pilotlm.analyses.answers import estimated, marginal_codes, sizes
from pilotlm.analyses.compared import Compared, same_participants, tidy
from pilotlm.arms import Arms
from pilotlm.measures.coherence import incoherent
from pilotlm.measures.divergence import counts, joint_codes, js_distance
from pilotlm.measures.intervals import Estimate, FloatArray, IntArray
from pilotlm.measures.seed_variance import SeedVariance, influences, interactions, pilot_draw, split_over_seeds
from pilotlm.responses import SMALLEST_GROUP
from pilotlm.study import Study

AT_A_TIME = 256
PAIRS = 400
"""Pairs of participants in each seed that show what pairs add; all of them would take hours."""
Without = Callable[[IntArray], FloatArray]
"""A measure without the rows in each line of a (lines, rows) array."""


def variance_over_seeds(study: Study, compared: Sequence[Compared], arms: Arms, against: str) -> pd.DataFrame:
    """Split the variance between the seeds of an arm, for the measures of `MEASURES` (``item``).

    - ``seed_variance``: of the measure over the seeds, in its squared unit.
    - ``seed_variance_sampling``: the part that the people who are answered for, and their answers, make.
    - ``seed_variance_rest``: the remainder, which is pilot draw and training together; negative values say that it
      cannot be told from 0. For the base model, which learns from nobody, there is nothing in it; for opponents, which
      are fitted without chance, it is pilot draw alone; for an arm whose seeds share a pilot it is training alone.
    - ``seed_variance_training``: the remainder of the twin, which is the same arm with one pilot in every seed. It is
      that of the one pilot, which stands for any.
    - ``seed_variance_pilot``: the remainder less that of the twin; negative values say that it cannot be told from 0.

    The last two are there for an arm whose twin has two seeds or more as well; of several twins the first declared is
    taken. The two arms' samplings are taken as independent though they share people, and so are their totals though
    they share the seed that draws the common pilot; this makes the interval too long rather than too short, see
    `pilotlm.measures.seed_variance.pilot_draw`.

    All are taken on the participants who are simulated and their own answers, one row each and as many in every seed;
    distances are those of all these rows, not of halves as in `pilotlm.analyses.divergence.divergence`. A participant
    stands for both rows, so that the people compared with, who are other ones in each seed, count as sampling too. In
    simulation sampling is met within a fifth; where nearly all structures are different, counts and entropy vary by
    less than that, and the rest is then too small. From the pilot draw that falls out as far as both arms have it.

    Parameters
    ----------
    study : Study
        The study.
    compared : sequence of Compared
        The arms, all seeds.
    arms : Arms
        The declared arms, which say what is whose twin.
    against : {"held-out", "all"}
        Whom the arms are compared with.

    Returns
    -------
    DataFrame
        A tidy table; ``seed`` is 0, ``n`` the number of seeds. No rows for an arm with a single seed, in which nothing
        can be split.
    """
    present = dict.fromkeys(one.arm for one in compared)
    splits = {arm: dict(_of_arm(study, [one for one in compared if one.arm == arm])) for arm in present}
    twins = _twins(arms, {arm for arm, split in splits.items() if split})
    rows = [
        {"arm": arm, "seed": 0, "metric": f"seed_variance{part}", "item": item, **estimated(found)}
        for arm, split in splits.items()
        for item, one in split.items()
        for part, found in _parts(one, splits.get(twins.get(arm, ""), {}).get(item))
    ]
    return tidy(study, against, rows)


def _twins(arms: Arms, split: Set[str]) -> dict[str, str]:
    """Arms with a new pilot in every seed, and for each the one among those split that keeps its pilot."""
    kept = {name: arms.drawn_anew(arm) for name, arm in arms.arms.items() if name in split}
    # Backwards, so that of several the first declared stays.
    return {anew.name: name for name, anew in reversed(kept.items()) if anew is not None}


def _parts(split: SeedVariance, twin: SeedVariance | None) -> Iterator[tuple[str, Estimate]]:
    yield from (("", split.total), ("_sampling", split.sampling), ("_rest", split.rest))
    if twin is not None:
        yield from (("_training", twin.rest), ("_pilot", pilot_draw(split, twin)))


def _of_arm(study: Study, seeds: Sequence[Compared]) -> Iterator[tuple[str, SeedVariance]]:
    """The split of each measure that the arm has, by name."""
    pairs = [same_participants(one.simulated, one.human) for one in seeds]
    n = min(len(simulated) for simulated, _ in pairs)
    if len(seeds) < 2 or n < SMALLEST_GROUP:
        return
    drawn = [_first_of(one, study, pair, n) for one, pair in zip(seeds, pairs, strict=True)]
    participants = [human["participant"].to_numpy() for _, human in drawn]
    for name, measure in MEASURES.items():
        measured = [measure(study, simulated, human) for simulated, human in drawn]
        if any(without is None for without in measured):
            continue
        seen = _Seeds([w for w in measured if w is not None], participants)
        yield name, seen.split(seeds[0].generator(study, f"pairs {name}"))


def _first_of(one: Compared, study: Study, pair: tuple[pd.DataFrame, ...], n: int) -> tuple[pd.DataFrame, ...]:
    """The same n participants of both tables, drawn at random where there are more."""
    rows = np.sort(one.generator(study, "seed variance").permutation(len(pair[0]))[:n])
    return tuple(table.iloc[rows].reset_index(drop=True) for table in pair)


class _Seeds:
    """A measure in all seeds of an arm, with n participants in each."""

    def __init__(self, measured: Sequence[Without], participants: Sequence[IntArray]) -> None:
        self._measured, self._n = measured, len(participants[0])
        everybody = np.unique(np.concatenate(list(participants)))
        # The row of each participant in each seed, -1 where there is none.
        self._rows = np.full((len(measured), len(everybody)), -1)
        for rows, present in zip(self._rows, participants, strict=True):
            rows[np.searchsorted(everybody, present)] = np.arange(self._n)
        alone = np.arange(self._n)[:, None]
        self._whole = np.array([without(alone[:1, :0])[0] for without in measured])
        self._single = np.array([without(alone) for without in measured])

    def split(self, rng: np.random.Generator) -> SeedVariance:
        influence = np.zeros(self._rows.shape)
        for line, rows, single in zip(influence, self._rows, self._single, strict=True):
            line[rows >= 0] = influences(single)[rows[rows >= 0]]
        return split_over_seeds(self._whole, influence, self._excess(rng))

    def _excess(self, rng: np.random.Generator) -> float:
        """Half the mean square of interactions that the seeds do not share: their variance over the seeds."""
        seeds = len(self._measured)
        apart = []
        for s in range(seeds):
            present = np.flatnonzero(self._rows[s] >= 0)
            pairs = present[np.array([rng.choice(self._n, 2, replace=False) for _ in range(PAIRS)])]
            added = np.array([self._interactions(t, pairs) for t in range(seeds)])
            others = (added.sum(axis=0) - added[s]) / (seeds - 1)
            apart.append(np.mean(added[s] * (added[s] - others)))
        return float(np.mean(apart)) / 2

    def _interactions(self, seed: int, pairs: IntArray) -> FloatArray:
        """Those of pairs of participants in a seed, 0 where one of them is not in it."""
        found, rows = np.zeros(len(pairs)), self._rows[seed][pairs]
        both = (rows >= 0).all(axis=1)
        if not both.any():
            return found
        left = rows[both]
        single = self._single[seed][left]
        found[both] = interactions(self._whole[seed], single, self._measured[seed](left), self._n)
        return found


def _unique(study: Study, simulated: pd.DataFrame, human: pd.DataFrame) -> Without:
    return _of_structures(study, simulated, human, lambda counted: np.asarray((counted > 0).sum(axis=1), dtype=float))


def _entropy(study: Study, simulated: pd.DataFrame, human: pd.DataFrame) -> Without:
    return _of_structures(study, simulated, human, lambda counted: np.asarray(entropy(counted, base=2, axis=1)))


def _of_structures(
    study: Study, simulated: pd.DataFrame, human: pd.DataFrame, of: Callable[[IntArray], FloatArray]
) -> Without:
    columns = list(study.belief_columns)
    codes, _, size = joint_codes(simulated[columns], human[columns])
    return _by_parts(lambda left: of(_counted_without(codes, size, left)))


def _marginal_distance(study: Study, simulated: pd.DataFrame, human: pd.DataFrame) -> Without:
    columns = zip(marginal_codes(study, simulated), marginal_codes(study, human), sizes(study), strict=True)
    each = [_distance(*column) for column in columns]
    return lambda left: np.asarray(np.mean([without(left) for without in each], axis=0))


def _joint_distance(study: Study, simulated: pd.DataFrame, human: pd.DataFrame) -> Without:
    columns = list(study.belief_columns)
    return _distance(*joint_codes(simulated[columns], human[columns]))


def _distance(ours: IntArray, people: IntArray, size: int) -> Without:
    return _by_parts(lambda left: js_distance(_counted_without(ours, size, left), _counted_without(people, size, left)))


def _gap(study: Study, simulated: pd.DataFrame, human: pd.DataFrame) -> Without | None:
    if study.coherence is None:
        return None
    flags = incoherent(study.coherence, study, simulated)
    applies, wrong = (~np.isnan(flags)).astype(float), np.nan_to_num(flags)
    if applies.sum() < SMALLEST_GROUP:
        return None
    return lambda left: (wrong.sum() - wrong[left].sum(axis=1)) / (applies.sum() - applies[left].sum(axis=1))


def _counted_without(codes: IntArray, size: int, left: IntArray) -> IntArray:
    """How often each code occurs without the rows of each line: (lines, size)."""
    counted = np.tile(counts(codes, size), (len(left), 1))
    for column in left.T:
        counted[np.arange(len(left)), codes[column]] -= 1
    return counted


def _by_parts(of: Without) -> Without:
    """The same, a few lines at a time: a table of counts is made for each of them."""
    return lambda left: np.concatenate([of(left[k : k + AT_A_TIME]) for k in range(0, len(left), AT_A_TIME)])


MEASURES: dict[str, Callable[[Study, pd.DataFrame, pd.DataFrame], Without | None]] = {
    "unique_structures": _unique,
    "entropy": _entropy,
    "marginal_distance": _marginal_distance,
    "joint_distance": _joint_distance,
    "gap": _gap,
}
"""The measures that are split, by name; the distances are the mean over single answers, and of belief structures."""
