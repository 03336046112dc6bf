"""How much is run: the full benchmark, a trial of some minutes, and what tests run."""

from __future__ import annotations

from dataclasses import dataclass

from pilotlm.models.loading import EMBEDDED, TINY


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run.

    Attributes
    ----------
    model : str
        The model.
    study : str
        The study whose people and wording are used.
    scenario_times : int
        How often its scenario is repeated, so that prompts have a usual length.
    repeats : int
        How often everything that is compared is timed.
    ours : int
        People that our sampler answers for in a repeat.
    one, batched, outlines : int
        People that a peer answers for in a repeat: one at a time, batched (at most), and `outlines`.
    batches, outlines_batches : tuple of int
        Batch sizes of the batched peers and of `outlines`, of which the fastest is taken.
    training_batches : tuple of int
        Batch sizes of the training peers of which the fastest is taken.
    participants : tuple of int
        Points of the growth curve.
    people : tuple of int
        Points of the growth curve of the model of random weights.
    scenario, answers : int
        People of the two other growth curves. What is read once for all of them weighs less the more they are.
    memory : int
        People of the memory's run.
    plain, gradient, same : int
        People whose logits, gradient and rows at other batch sizes are compared.
    precision_study : str
        The study whose people's distributions are compared between precisions.
    precision : int
        How many of them at most.
    """

    model: str = EMBEDDED
    study: str = "anes96"
    scenario_times: int = 6
    repeats: int = 3
    ours: int = 128
    one: int = 3
    batched: int = 64
    outlines: int = 16
    batches: tuple[int, ...] = (16, 64)
    outlines_batches: tuple[int, ...] = (16,)
    training_batches: tuple[int, ...] = (4, 8)
    participants: tuple[int, ...] = (24, 240)
    people: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    scenario: int = 32
    answers: int = 16
    memory: int = 929
    plain: int = 3
    gradient: int = 8
    same: int = 24
    precision_study: str = "framing"
    precision: int = 64


FULL = Sizes()
QUICK = Sizes(
    repeats=1, ours=16, one=1, batched=16, outlines=8, batches=(16,), outlines_batches=(8,), training_batches=(1, 4),
    participants=(4, 40), people=(100, 1_000), scenario=16, answers=4, memory=32, plain=1, gradient=2, same=8,
    precision=12,
)  # fmt: skip
TRIAL = Sizes(
    model=TINY, scenario_times=1, repeats=1, ours=4, one=1, batched=3, outlines=2, batches=(2,), outlines_batches=(2,),
    training_batches=(1, 2), participants=(1, 2, 4), people=(2, 4), scenario=2, answers=2, memory=4, plain=1,
    gradient=2, same=8, precision=3,
)  # fmt: skip
