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
from pilotlm.models.lora import Checkpoint, Training, Tuned, TuningSettings, fine_tune
from pilotlm.models.simulate import PlainReadingWarning
from pilotlm.study import Study

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
CPU = torch.device("cpu")


# The file.


def some_training() -> Training:
    """One that has learnt something."""
    generator = torch.Generator().manual_seed(0)
    weights = {f"layer.{k}.weight": torch.randn(3, k + 1, generator=generator) for k in range(12)}
    optimiser = torch.optim.AdamW([torch.nn.Parameter(weight.clone()) for weight in weights.values()], lr=1e-3)
    for group in optimiser.param_groups:
        for k, weight in enumerate(group["params"]):
            # One weight has no gradient and so no state.
            weight.grad = None if k == 3 else torch.randn(weight.shape, generator=generator)
    optimiser.step()
    return Training(weights, 2, copy.deepcopy(optimiser.state_dict()), [1 / 3, math.inf])


def equal(a: Any, b: Any) -> bool:
    """Whether two nests of tables, lists, tensors and numbers are the same; what is no number is equal to itself."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b or (a != a and b != b))


def test_a_training_is_kept_as_it_is(tmp_path: Path) -> None:
    path, training = tmp_path / "new" / "file.pt", some_training()
    Checkpoint(path, "this").save(training)
    found = Checkpoint(path, "this").load(CPU)
    assert found is not None and equal(vars(training), vars(found))


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
    "code": lambda path: torch.save({"key": "this", "training": [Path("x")]}, path),
    "its key alone": lambda path: torch.save({"key": "this"}, path),
    "its key and no training": lambda path: torch.save({"key": "this", "training": {"other": 7}}, path),
    "another key": lambda path: Checkpoint(path, "that").save(some_training()),
    "a folder": lambda path: [path.unlink(), path.mkdir()],
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_of_this_training_is_not_used(tmp_path: Path, what: str) -> None:
    path = tmp_path / "file.pt"
    Checkpoint(path, "this").save(some_training())
    FOREIGN[what](path)
    assert Checkpoint(path, "this").load(CPU) is None


# A training that is killed.

SETTINGS = TuningSettings(
    learning_rate=1e-2, epochs=4, least_steps=0, batch=3, rank=2, alpha=4, warmup=5, schedule="cosine"
)
"""Three steps an epoch."""
STEPS = 12


class KilledError(Exception):
    """In place of a signal."""


@pytest.fixture(scope="module")
def pilot(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    return draw_toy_people(8, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a checkpoint is kept."""
    return tmp_path / "kept.pt"


def train(
    toy: Study, pilot: pd.DataFrame, path: Path | None, stop: int = 0, **changes: Any
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
        return fine_tune(model, toy, pilot, settings, progress=note, checkpoint=path, **given), taken
    except KilledError:
        return None, taken


@pytest.fixture(scope="module")
def through(cache: Path, toy: Study, pilot: pd.DataFrame) -> Tuned:
    """The training that nothing happened to, and that kept nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_CACHE", str(cache))
        tuned, taken = train(toy, pilot, None)
    assert tuned is not None and taken == [*range(1, STEPS + 1)]
    return tuned


def same(a: Tuned | None, b: Tuned) -> bool:
    assert a is not None
    pd.testing.assert_frame_equal(a.history, b.history, check_exact=True)
    weights = [{n: w for n, w in tuned.model.named_parameters() if "lora" in n} for tuned in (a, b)]
    assert equal(*weights) and any(weight.abs().max() > 0 for name, weight in weights[0].items() if "lora_B" in name)
    return a.settings == b.settings


def test_what_is_killed_again_and_again_goes_on_to_the_same_end(
    toy: Study, pilot: pd.DataFrame, through: Tuned, path: Path
) -> None:
    begins = 1
    # At the first step; in the middle of an epoch; at its end; at the start of another; at the end.
    for step in (1, 2, 3, 4, 7, 8, 11, 12, 0):
        torch.manual_seed(step)  # of no concern
        tuned, taken = train(toy, pilot, path, step)
        # The epoch of three steps that was under way is taken again.
        assert taken == [*range(begins, (step or STEPS) + 1)]
        begins = 3 * ((step - 1) // 3) + 1
    assert same(tuned, through)


def test_a_training_that_is_done_is_not_done_again(toy: Study, pilot: pd.DataFrame, through: Tuned, path: Path) -> None:
    assert same(train(toy, pilot, path)[0], through)
    tuned, rest = train(toy, pilot, path)
    assert rest == [] and same(tuned, through)


def test_a_training_that_reads_plainly_goes_on_too(toy: Study, pilot: pd.DataFrame, path: Path) -> None:
    def windowed(where: Path | None, stop: int = 0) -> Tuned | None:
        with pytest.warns(PlainReadingWarning):
            return train(toy, pilot, where, stop, model=random_model("Mistral", sliding_window=64, num_hidden_layers=1),
                         epochs=2)[0]  # fmt: skip

    whole = windowed(None)
    assert windowed(path, 4) is None and whole is not None
    assert same(windowed(path), whole)


def other_people(pilot: pd.DataFrame) -> pd.DataFrame:
    """A pilot in which one answer of one person is another one."""
    changed = pilot.copy()
    changed.loc[2, "leave"] = (changed.loc[2, "leave"] + 1) % 3
    return changed


OTHERS: dict[str, dict[str, Any]] = {
    "learning rate": {"learning_rate": 1e-4},
    "rank": {"rank": 3},
    "schedule": {"schedule": "constant"},
    "at a time": {"at_a_time": 2},
    "seed": {"seed": 2},
    "wording": {"wording": Wording(with_persona=False)},
}


@pytest.mark.parametrize("what", [*OTHERS, "people", "model", "nothing"])
def test_only_the_same_training_goes_on(toy: Study, pilot: pd.DataFrame, path: Path, what: str) -> None:
    train(toy, pilot, path, 4)
    changes: dict[str, Any] = dict(OTHERS.get(what, {}))
    if what == "people":
        pilot = other_people(pilot)
    if what == "model":
        changes["model"] = replace(random_model(num_hidden_layers=1), revision="random weights, seed 1")
    # One more step shows where it begins.
    _, taken = train(toy, pilot, path, 1 if what != "nothing" else 4, **changes)
    assert taken == ([4] if what == "nothing" else [1])
