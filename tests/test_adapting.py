from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plain import log_likelihood

from pilotlm.errors import InputError
from pilotlm.models.adapters import save_adapter, with_adapter
from pilotlm.models.loading import LanguageModel, load_model
from pilotlm.models.lora import Tuned, TuningSettings, fine_tune
from pilotlm.study import Study

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
QUICK = TuningSettings(learning_rate=1e-2, epochs=3, least_steps=0, batch=4, rank=2, alpha=4)


@pytest.fixture
def tiny() -> LanguageModel:
    """Loaded anew for each test: an adapter is put into the model itself."""
    return load_model("tiny-random")


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    return draw_toy_people(20, 4)


@pytest.fixture(scope="module")
def saved(
    cache: Path, tmp_path_factory: pytest.TempPathFactory, toy: Study, people: pd.DataFrame
) -> tuple[Path, Tuned]:
    folder = tmp_path_factory.mktemp("adapters") / "arm-s1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_CACHE", str(cache))
        base = load_model("tiny-random")
        tuned = fine_tune(base, toy, people.head(14), QUICK, 1)
    save_adapter(tuned, folder, base, {"study": "toy", "arm": "arm", "seed": 1})
    return folder, tuned


def card_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "pilotlm.json").read_text(encoding="utf-8")))


def test_an_adapter_answers_the_same_after_it_was_saved(
    tiny: LanguageModel, saved: tuple[Path, Tuned], toy: Study, people: pd.DataFrame
) -> None:
    folder, tuned = saved
    wanted = log_likelihood(replace(tiny, model=tuned.model), toy, people)
    before = log_likelihood(tiny, toy, people)
    merged = with_adapter(tiny, folder, card_of(folder))
    # Merged weights are rounded once more, to seven digits.
    np.testing.assert_allclose(log_likelihood(merged, toy, people), wanted, atol=1e-5)
    assert np.abs(wanted - before).max() > 1e-2
    assert (merged.name, merged.revision) == (tiny.name, tiny.revision)
    assert not merged.model.training and not [name for name, _ in merged.model.named_parameters() if "lora" in name]


def test_the_folder_of_an_adapter_says_what_it_is(saved: tuple[Path, Tuned]) -> None:
    folder, tuned = saved
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "history.csv", "pilotlm.json",
    }  # fmt: skip
    assert card_of(folder) == {
        "base_model": "tiny-random", "base_revision": "random weights, seed 0", "study": "toy", "arm": "arm", "seed": 1,
        "learning_rate": 1e-2, "epochs": 3,
    }  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), tuned.history)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "treat it as you treat the data" in text and "- study: toy\n" in text


@pytest.mark.parametrize("asked", [{"name": "other"}, {"revision": "random weights, seed 1"}])
def test_another_base_model_is_refused(tiny: LanguageModel, saved: tuple[Path, Tuned], asked: dict[str, str]) -> None:
    folder, _ = saved
    other = replace(tiny, **asked)
    with pytest.raises(InputError) as error:
        with_adapter(other, folder, card_of(folder))
    assert str(error.value) == (
        f"The adapter in {folder} was trained on tiny-random at random weights, seed 0, not on {other.name} at "
        f"{other.revision}; fine-tune again or ask for its own base model."
    )
    assert not hasattr(tiny.model, "peft_config")


@pytest.mark.parametrize("lacking", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_that_lacks_a_file_is_refused(
    tiny: LanguageModel, saved: tuple[Path, Tuned], tmp_path: Path, lacking: str
) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(saved[0], folder)
    (folder / lacking).unlink()
    with pytest.raises(InputError) as error:
        with_adapter(tiny, folder, card_of(folder))
    assert str(error.value) == f"The adapter in {folder} lacks {lacking}; fine-tune again."
