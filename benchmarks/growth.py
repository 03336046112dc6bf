"""How the time of our sampler grows: with participants, with the length of the scenario, with the answers asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from benchmarks import ours
from benchmarks.measuring import Bar, Row, Task, bar_settings, interleaved, middle
from benchmarks.prompts import with_questions, with_scenario
from pilotlm.models.loading import LanguageModel
from pilotlm.study import Study

PARTICIPANTS, SCENARIO, ANSWERS = "growth, participants", "growth, scenario", "growth, answers"
LINEAR = Bar(1.10, "at most")
DOUBLED = Bar(1.15, "at most")
LENGTHS = (1, 2, 4)


def growth_rows(
    language_model: LanguageModel,
    study: Study,
    people: pd.DataFrame,
    *,
    participants: Sequence[int],
    scenario: int,
    answers: int,
    repeats: int,
    say: Callable[[str], object],
) -> list[Row]:
    """The three curves, a row a point.

    ``ours`` is the time of an answer, that is of a filled form, and ``theirs`` that of the point it is held against:
    the first one, or for the scenario the one of half the length.

    Parameters
    ----------
    language_model, study, people
        The study's scenario and form are of the length 1; ``people`` are at least as many as the last of
        ``participants``.
    participants : sequence of int
        How many people, rising.
    scenario, answers : int
        How many people for the two other curves.
    repeats : int
        How often each point is timed.
    say : callable
        Told what goes on.
    """

    def filled(study: Study, count: int) -> Task:
        return lambda: ours.fill_forms(language_model, study, people.head(count))

    say(f"growth: participants {', '.join(map(str, participants))}")
    tasks = [filled(study, count) for count in participants]
    rows = _curve(PARTICIPANTS, participants, participants, interleaved(tasks, repeats), against=0, bar=LINEAR)
    others = ((SCENARIO, with_scenario, scenario, DOUBLED), (ANSWERS, with_questions, answers, None))
    for name, longer, some, bar in others:
        say(f"{name} x{', x'.join(map(str, LENGTHS))}")
        tasks = [filled(longer(study, times), some) for times in LENGTHS]
        seconds = interleaved(tasks, repeats)
        rows += _curve(name, LENGTHS, (some,) * len(LENGTHS), seconds, against=-1 if bar else 0, bar=bar)
    return rows


def _curve(
    name: str,
    sizes: Sequence[int],
    answers: Sequence[int],
    seconds: Sequence[Sequence[float]],
    *,
    against: int,
    bar: Bar | None,
) -> list[Row]:
    """The points of a curve; each is held against the first one, or with -1 against the one before it."""
    each = [[second / count for second in some] for some, count in zip(seconds, answers, strict=True)]
    rows = []
    for k, size in enumerate(sizes):
        other = max(0, k - 1) if against == -1 else against
        mine, theirs = middle(each[k], each[other])
        settings = {
            "size": size, "people": answers[k], "against_size": sizes[other], "repeats": len(seconds[k]),
            "seconds_ours": list(seconds[k]), "seconds_theirs": list(seconds[other]),
            "done_ours": answers[k], "done_theirs": answers[other],
        }  # fmt: skip
        settings |= bar_settings(bar) if k else {}
        rows.append(Row(name, f"ours at {sizes[other]}", mine / theirs, mine, theirs, "s/answer", settings))
    return rows
