"""How exact ours is: against plain forward passes, against the plain loss, between batch sizes and precisions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from benchmarks import ours
from benchmarks.measuring import Bar, Row, bar_settings
from pilotlm.models.answer_scoring import AnswerTree, plain_log_probabilities
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import LanguageModel
from pilotlm.models.lora import TuningSettings
from pilotlm.models.loss import accumulate_plainly
from pilotlm.responses import records
from pilotlm.study import Study

LOGITS, GRADIENTS, BATCHES, PRECISION = "exactness, logits", "exactness, gradients", "exactness, batches", "precision"
CLOSE = {LOGITS: Bar(1e-4, "at most"), GRADIENTS: Bar(1e-5, "at most")}
"""Of float32: nats for log-probabilities of answers, relative for gradients."""
SAME = Bar(0.0, "at most")
BATCH_SIZES = (1, 7, 64)


def logits_row(language_model: LanguageModel, study: Study, people: pd.DataFrame) -> Row:
    """The log-probabilities of answers, ours against one plain ``model.forward`` for each answer.

    ``ours`` is the largest absolute difference over people, lines and valid answers, in nats.
    """
    ours_says = ours.answer_distributions(language_model, study, people)
    plain = plain_distributions(language_model, study, people)
    off = max(float(np.abs(a - b).max()) for a, b in zip(ours_says, plain, strict=True))
    count = sum(distribution.size for distribution in plain)
    settings = {"people": len(people), "answers_compared": count}
    return Row(
        LOGITS, "transformers, model.forward", None, off, None, "nats, largest difference",
        {**settings, **bar_settings(CLOSE[LOGITS])},
    )  # fmt: skip


def plain_distributions(language_model: LanguageModel, study: Study, people: pd.DataFrame) -> list[NDArray[np.float64]]:
    """What `ours.answer_distributions` says, without cache, tree or padding: a text is read for each answer."""
    encoder = Encoder(study, language_model.tokenizer)
    distributions: list[list[list[float]]] = [[] for _ in encoder.asked]
    for person in records(people):
        text = encoder.prompt(person).whole
        for line, asked in enumerate(encoder.asked):
            text += asked.label
            with torch.inference_mode():
                found = [
                    plain_log_probabilities(language_model.model, [text + answer], [[len(text)]])[0][0]
                    for answer in AnswerTree.of(asked.answers).scored
                ]
            distributions[line].append(found)
            text += asked.answers[encoder.answer_index(asked, person[asked.slot.column])]
    return [np.array(distribution) for distribution in distributions]


def gradients_row(language_model: LanguageModel, study: Study, people: pd.DataFrame) -> Row:
    """The gradient of a step, ours against the plain loss of the same people read one by one.

    An adapter is put into the model, which is in float32. ``ours`` is the Euclidean norm of the difference over that of
    the plain gradient.
    """
    model = ours.adapted(language_model, TuningSettings())
    # At zero the adapter's second factors would leave the first ones without a gradient.
    generator = torch.Generator().manual_seed(ours.SEED)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) / 100)
    accumulate_plainly(model, ours.examples(study, language_model.tokenizer, people))
    wanted = _gradient(model)
    model.zero_grad()
    ours.add_gradient(model, study, language_model.tokenizer, people)
    off = float((_gradient(model) - wanted).norm() / wanted.norm())
    return Row(
        GRADIENTS, "plain loss, one by one", None, off, None, "relative difference",
        {"people": len(people), "weights_compared": len(wanted), **bar_settings(CLOSE[GRADIENTS])},
    )  # fmt: skip


def _gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([w.grad.flatten() for w in model.parameters() if w.requires_grad and w.grad is not None]).clone()


def batches_row(language_model: LanguageModel, study: Study, people: pd.DataFrame) -> Row:
    """Whether the same people get the same answers at every batch size.

    ``ours`` is the share of people with another answer anywhere than at the largest batch size, the largest such share.
    Float32 is held to 0.
    """
    columns = [asked.slot.column for asked in Encoder(study, language_model.tokenizer).asked]
    tables = {size: ours.fill_forms(language_model, study, people, size)[columns] for size in BATCH_SIZES}
    last = tables[BATCH_SIZES[-1]].to_numpy()
    rates = {size: float((table.to_numpy() != last).any(axis=1).mean()) for size, table in tables.items()}
    exact = language_model.model.dtype == torch.float32
    settings = {"people": len(people), "batch": list(BATCH_SIZES), "share_different": list(rates.values())}
    return Row(
        BATCHES, "ours at other batch sizes", None, max(rates.values()), None, "share of people with another answer",
        {**settings, **bar_settings(SAME if exact else None)},
    )  # fmt: skip


def precision_rows(wide: LanguageModel, narrow: LanguageModel, study: Study, people: pd.DataFrame) -> list[Row]:
    """What bfloat16 does to the distributions of answers, against the same model in float32.

    The mean and the largest total variation distance over people and lines, in [0, 1]; each line is conditional on
    people's own earlier answers.
    """
    distributions = [
        [softmax(distribution, axis=1) for distribution in ours.answer_distributions(model, study, people)]
        for model in (wide, narrow)
    ]
    distance = np.concatenate([total_variation(a, b) for a, b in zip(*distributions, strict=True)])
    settings = {"people": len(people), "distributions": len(distance), "precision": "bfloat16", "study": study.name}
    return [
        Row(PRECISION, "ours in float32", None, value, None, f"total variation, {what}", settings)
        for what, value in (("mean", float(distance.mean())), ("largest", float(distance.max())))
    ]


def total_variation(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the sum of absolute differences of (rows, answers) probabilities: (rows,), in [0, 1]."""
    distance: NDArray[np.float64] = np.abs(first - second).sum(axis=1) / 2
    return distance
