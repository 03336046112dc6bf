"""Our own question: whether a fine-tuned model is better than plain statistics fitted on the same people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pilotlm.arms import OPPONENTS, Arm
from pilotlm.showing.evidence import Evidence, Value, clear_sign, scores
from pilotlm.showing.published import EVEN, MIXED, MODEL, OPPONENT, Judged
from pilotlm.showing.wording import counted, decimals, listed, percent1, span

Score = tuple[Value, ...]
"""What an arm is judged on; its first value is the one that is shown."""


def opponents_distance(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """Whose belief structures are nearer to people's."""

    def score(arm: Arm) -> Score | None:
        joint = evidence.value(arm.name, "joint_distance", "beliefs")
        return None if joint is None else (joint,)

    duels = _duels(evidence, score, lambda s: s[0].estimate, lambda ours, theirs: clear_sign(theirs[0], ours[0]))
    return _outcome(duels, decimals, "people to people")


def opponents_gap(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """Whose belief-action gap is nearer to people's, among those who show any coherence."""

    def score(arm: Arm) -> Score | None:
        gap = evidence.value(arm.name, "gap")
        return (gap,) if gap is not None and gap.known else None

    return _outcome(_duels(evidence, score, _gap_badness, _nearer_gap), percent1, "people")


def opponents_regression(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """Who recovers the signs of the regressions better."""
    known = {name: pair for name, pair in scores(evidence, evidence.present).items() if pair[0].known and pair[1].known}
    duels = _duels(evidence, lambda arm: known.get(arm.name), lambda s: -s[0].estimate, _better_signs)
    return _outcome(duels, decimals, "as many people")


def _coherent(gap: Value) -> bool:
    return gap.high < gap.ceiling


def _gap_badness(score: Score) -> float:
    gap = score[0]
    # Without coherence a gap near to people's is an accident of the margins, hence worse than any coherent one.
    return abs(gap.estimate - gap.floor) + (0.0 if _coherent(gap) else 1.0)


def _nearer_gap(ours: Score, theirs: Score) -> int:
    if not _coherent(ours[0]) and not _coherent(theirs[0]):
        return 0
    difference = _gap_badness(theirs) - _gap_badness(ours)
    clear = abs(difference) > math.hypot(ours[0].half, theirs[0].half)
    return int(math.copysign(1, difference)) if clear else 0


def _better_signs(ours: Score, theirs: Score) -> int:
    def better(one: Score, other: Score) -> bool:
        # Who calls nothing significant makes no false call either, which is no merit beside people's own rate.
        allowed = max(other[1].estimate, other[1].floor)
        return clear_sign(one[0], other[0]) > 0 and one[1].estimate <= allowed

    return 1 if better(ours, theirs) else -1 if better(theirs, ours) else 0


@dataclass(frozen=True)
class _Duel:
    """A fine-tuned arm, the best opponent on the same rows, and who is ahead: 1 the model, -1 the opponent, 0 none."""

    opponent: Arm
    ours: Value
    theirs: Value
    sign: int


def _duels(
    evidence: Evidence,
    score: Callable[[Arm], Score | None],
    badness: Callable[[Score], float],
    judge: Callable[[Score, Score], int],
) -> list[_Duel]:
    duels = []
    for arm in evidence.tuned:
        ours = score(arm)
        theirs = [(found, other) for other in evidence.opponents(arm) if (found := score(other)) is not None]
        if arm.persona and ours is not None and theirs:
            best, opponent = min(theirs, key=lambda pair: badness(pair[0]))
            duels.append(_Duel(opponent, ours[0], best[0], judge(ours, best)))
    return duels


def _outcome(duels: Sequence[_Duel], written: Callable[[float], str], people: str) -> Judged | None:
    if not duels:
        return None
    signs = {duel.sign for duel in duels}
    verdict = {1: MODEL, -1: OPPONENT, 0: EVEN}[signs.pop()] if len(signs) == 1 else MIXED
    ours = (
        f"fine-tuned {span([duel.ours.estimate for duel in duels], written)}, best opponent "
        f"{span([duel.theirs.estimate for duel in duels], written)}, {people} "
        f"{span([duel.ours.floor for duel in duels], written)}"
    )
    ahead, behind = (sum(duel.sign == sign for duel in duels) for sign in (1, -1))
    best = listed(list(dict.fromkeys(OPPONENTS[duel.opponent.answerer].lower() for duel in duels)))
    total = counted(len(duels), "fine-tuned arm")
    why = f"Of {total}, {ahead} ahead of and {behind} behind the best opponent on the same rows ({best})."
    return Judged(ours, verdict, why)
