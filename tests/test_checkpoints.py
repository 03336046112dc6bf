from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from plain import random_model
from safetensors.torch import save_file

from pilotlm.data.prompts import Wording
from pilotlm.models import lora
from pilotlm.models.lora import Candidate, Checkpoint, Tuned, TuningSettings, fine_tune
from pilotlm.models.simulate import PlainReadingWarning
from pilotlm.study import Study

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
CPU = torch.device("cpu")


# The file.


def some_candidates() -> list[Candidate]:
    """One that has learnt something and one that has not."""
    generator = torch.Generator().manual_seed(0)
    weights = {f"layer.{k}.weight": torch.randn(3, k + 1, generator=generator) for k in range(12)}
    start = {"learning_rate": 1e-3, "epoch": 0, "train_loss": math.nan, "validation_nll": 1 / 3}
    first = Candidate(1e-3, weights, 1 / 3, weights, [start])
    optimiser = torch.optim.AdamW([torch.nn.Parameter(weight.clone()) for weight in weights.values()], lr=1e-3)
    for group in optimiser.param_groups:
        for k, weight in enumerate(group["params"]):
            # One weight has no gradient and so no state.
            weight.grad = None if k == 3 else torch.randn(weight.shape, generator=generator)
    optimiser.step()
    second = replace(
        first, learning_rate=0.1, best_state={name: weight + 1 for name, weight in weights.items()}, best_nll=0.1,
        history=[*first.history, {"learning_rate": 0.1, "epoch": 1, "train_loss": math.inf, "validation_nll": 0.1}],
        optimiser=copy.deepcopy(optimiser.state_dict()), best_epoch=1, epoch=2,
    )  # fmt: skip
    return [first, second]


def equal(a: Any, b: Any) -> bool:
    """Whether two nests of tables, lists, tensors and numbers are the same; what is no number is equal to itself."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b or (a != a and b != b))


def test_candidates_are_kept_as_they_are(tmp_path: Path) -> None:
    path, candidates = tmp_path / "new" / "file.pt", some_candidates()
    Checkpoint(path, "this").save(candidates)
    found = Checkpoint(path, "this").load(CPU)
    assert found is not None and len(found) == 2
    for before, after in zip(candidates, found, strict=True):
        assert not [name for name, value in vars(before).items() if not equal(value, getattr(after, name))]


def test_an_optimiser_goes_on_from_what_was_kept(tmp_path: Path) -> None:
    path, candidates = tmp_path / "file.pt", some_candidates()
    Checkpoint(path, "this").save(candidates)
    found = Checkpoint(path, "this").load(CPU)
    assert found is not None
    ends = []
    for state in (candidates[1].optimiser, found[1].optimiser):
        weights = [torch.nn.Parameter(weight.clone()) for weight in candidates[1].state.values()]
        optimiser = torch.optim.AdamW(weights, lr=7.0)
        optimiser.load_state_dict(copy.deepcopy(state))  # type: ignore[arg-type]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimiser.step()
        ends.append(weights)
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_nothing_is_kept_where_there_is_no_path() -> None:
    checkpoint = Checkpoint(None, "this")
    checkpoint.save(some_candidates())
    assert checkpoint.load(CPU) is None


def _change(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(bytes(content))


FOREIGN: dict[str, Callable[[Path], object]] = {
    "nothing": Path.unlink,
    "an empty file": lambda path: path.write_bytes(b""),
    "half a file": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "the end is missing": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a text": lambda path: path.write_text("not a checkpoint"),
    "safe tensors": lambda path: save_file({"x": torch.ones(2)}, path),
    "another object": lambda path: torch.save([torch.ones(2)], path),
    "code": lambda path: torch.save({"key": "this", "candidates": [Path("x")]}, path),
    "its key alone": lambda path: torch.save({"key": "this"}, path),
    "its key and no candidates": lambda path: torch.save({"key": "this", "candidates": [{}, 7]}, path),
    "another key": lambda path: Checkpoint(path, "that").save(some_candidates()),
    "a folder": lambda path: [path.unlink(), path.mkdir()],
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_of_this_training_is_not_used(tmp_path: Path, what: str) -> None:
    path = tmp_path / "file.pt"
    Checkpoint(path, "this").save(some_candidates())
    FOREIGN[what](path)
    assert Checkpoint(path, "this").load(CPU) is None


def test_a_writing_that_fails_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, candidates = tmp_path / "file.pt", some_candidates()
    Checkpoint(path, "this").save(candidates[:1])

    def fail(content: Any, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        Checkpoint(path, "this").save(candidates)
    found = Checkpoint(path, "this").load(CPU)
    assert found is not None and len(found) == 1 and [p.name for p in tmp_path.iterdir()] == ["file.pt"]


# A training that is killed.

SETTINGS = TuningSettings(
    learning_rates=(1e-2, 3e-3), epochs=3, least_steps=0, patience=3, batch=3, rank=2, alpha=4, warmup=5,
    schedule="cosine",
)  # fmt: skip
"""Three steps an epoch: steps 1 to 3 and 4 to 6 are the first rung, 7 to 12 the second."""
STEPS = 12


class KilledError(Exception):
    """In place of a signal."""


@pytest.fixture(scope="module")
def pilot(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two parts of a pilot."""
    people = draw_toy_people(11, 4)
    return people.iloc[:8].reset_index(drop=True), people.iloc[8:].reset_index(drop=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a checkpoint is kept."""
    return tmp_path / "kept.pt"


def train(
    toy: Study, pilot: tuple[pd.DataFrame, pd.DataFrame], path: Path | None, stop: int = 0, **changes: Any
) -> tuple[Tuned | None, list[int]]:
    """Train a small model, until a step; returns what came out, and the numbers of the steps taken."""
    taken: list[int] = []

    def note(what: str, done: int, total: int) -> None:
        taken.append(done)
        assert total == STEPS or changes
        if done == stop:
            raise KilledError

    given = {"seed": 1, **{name: changes.pop(name) for name in ("seed", "wording") if name in changes}}
    model = changes.pop("model", None) or random_model(num_hidden_layers=1)
    settings = replace(SETTINGS, **changes)
    try:
        return fine_tune(model, toy, *pilot, settings, progress=note, checkpoint=path, **given), taken
    except KilledError:
        return None, taken


@pytest.fixture(scope="module")
def through(cache: Path, toy: Study, pilot: tuple[pd.DataFrame, pd.DataFrame]) -> Tuned:
    """The training that nothing happened to, and that kept nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_CACHE", str(cache))
        tuned, taken = train(toy, pilot, None)
    assert tuned is not None and taken == [*range(1, STEPS + 1)]
    assert tuned.epochs > 1, "what is kept is of the second rung"
    return tuned


def same(a: Tuned | None, b: Tuned) -> bool:
    assert a is not None
    pd.testing.assert_frame_equal(a.history, b.history, check_exact=True)
    weights = [{n: w for n, w in tuned.model.named_parameters() if "lora" in n} for tuned in (a, b)]
    assert equal(*weights) and any(weight.abs().max() > 0 for name, weight in weights[0].items() if "lora_B" in name)
    return (a.learning_rate, a.epochs, a.validation_nll) == (b.learning_rate, b.epochs, b.validation_nll)


# At the first step; in the middle of an epoch; at its end; between two candidates; in the second rung; at the end.
@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 3, 4, 7, 8, 11, 12])
def test_what_was_killed_goes_on_to_the_same_end(
    toy: Study, pilot: tuple[pd.DataFrame, pd.DataFrame], through: Tuned, path: Path, step: int
) -> None:
    _, taken = train(toy, pilot, path, step)
    assert taken == [*range(1, step + 1)]
    torch.manual_seed(step)  # of no concern
    tuned, rest = train(toy, pilot, path)
    # The epoch of three steps that was under way is taken again.
    assert rest == [*range(3 * ((step - 1) // 3) + 1, STEPS + 1)]
    assert same(tuned, through)


def test_it_may_be_killed_again_and_again(
    toy: Study, pilot: tuple[pd.DataFrame, pd.DataFrame], through: Tuned, path: Path
) -> None:
    for step in (2, 5, 8, 10):
        train(toy, pilot, path, step)
    assert same(train(toy, pilot, path)[0], through)


@pytest.mark.parametrize("number", [2, 4])
def test_it_may_be_killed_while_it_validates(
    toy: Study, pilot: tuple[pd.DataFrame, pd.DataFrame], through: Tuned, path: Path, number: int
) -> None:
    validate, calls = lora._Trainer.validate, [0]

    def killed(self: Any) -> float:
        calls[0] += 1
        if calls[0] == number:
            raise KilledError
        return validate(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lora._Trainer, "validate", killed)
        train(toy, pilot, path)
    tuned, rest = train(toy, pilot, path)
    # The first validation is of the model as it came, every other one ends an epoch of three steps, which is lost.
    assert rest == [*range(3 * (number - 2) + 1, STEPS + 1)]
    assert same(tuned, through)


def test_a_training_that_is_done_is_not_done_again(
    toy: Study, pilot: tuple[pd.DataFrame, pd.DataFrame], through: Tuned, path: Path
) -> None:
    assert same(train(toy, pilot, path)[0], through)
    tuned, rest = train(toy, pilot, path)
    assert rest == [] and same(tuned, through)


def test_a_training_that_reads_plainly_goes_on_too(
    toy: Study, pilot: tuple[pd.DataFrame, pd.DataFrame], path: Path
) -> None:
    def windowed(where: Path | None, stop: int = 0) -> Tuned | None:
        with pytest.warns(PlainReadingWarning):
            return train(toy, pilot, where, stop, model=random_model("Mistral", sliding_window=64, num_hidden_layers=1),
                         learning_rates=(1e-2,), epochs=2)[0]  # fmt: skip

    whole = windowed(None)
    assert windowed(path, 4) is None and whole is not None
    assert same(windowed(path), whole)


def other_people(parts: tuple[pd.DataFrame, pd.DataFrame], part: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A pilot in which one answer of one person is another one."""
    train, validation = (table.copy() for table in parts)
    changed = (train, validation)[part]
    changed.loc[2, "leave"] = (changed.loc[2, "leave"] + 1) % 3
    return train, validation


OTHERS: dict[str, dict[str, Any]] = {
    "learning rates": {"learning_rates": (1e-2, 1e-4)},
    "rank": {"rank": 3},
    "schedule": {"schedule": "constant"},
    "at a time": {"at_a_time": 2},
    "seed": {"seed": 2},
    "wording": {"wording": Wording(with_persona=False)},
}


@pytest.mark.parametrize("what", [*OTHERS, "training part", "validation part", "model", "a broken file", "nothing"])
def test_only_the_same_training_goes_on(
    toy: Study, pilot: tuple[pd.DataFrame, pd.DataFrame], path: Path, what: str
) -> None:
    train(toy, pilot, path, 4)
    changes: dict[str, Any] = dict(OTHERS.get(what, {}))
    if what.endswith("part"):
        pilot = other_people(pilot, ["training part", "validation part"].index(what))
    if what == "model":
        changes["model"] = replace(random_model(num_hidden_layers=1), revision="random weights, seed 1")
    if what == "a broken file":
        path.write_bytes(path.read_bytes()[:-1])
    # One more step shows where it begins.
    _, taken = train(toy, pilot, path, 1 if what != "nothing" else 4, **changes)
    assert taken == ([4] if what == "nothing" else [1])
