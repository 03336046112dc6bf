"""How exact ours is: against plain forward passes, against the plain loss, between batch sizes and precisions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks import ours
from benchmarks.measuring import Bar, Row, bar_settings
from pilotlm.models.answer_scoring import AnswerTree
from pilotlm.models.encoding import Encoder, Tokens
from pilotlm.models.loading import LanguageModel
from pilotlm.models.lora import TuningSettings
from pilotlm.responses import records
from pilotlm.study import Study

LOGITS, GRADIENTS, BATCHES, PRECISION = "exactness, logits", "exactness, gradients", "exactness, batches", "precision"
CLOSE = {LOGITS: Bar(1e-4, "at most"), GRADIENTS: Bar(1e-5, "at most")}
"""Of float32: nats for log-probabilities of answers, relative for gradients."""
SAME = Bar(0.0, "at most")
BATCH_SIZES = (1, 7, 64)


def logits_row(language_model: LanguageModel, study: Study, people: pd.DataFrame) -> Row:
    """The log-probabilities of answers, ours against one plain ``model.forward`` for each answer.

    Returns
    -------
    Row
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
        prompt = encoder.prompt(person)
        text = [*prompt.shared, *prompt.scenario, *prompt.persona]
        for line, asked in enumerate(encoder.asked):
            text += asked.label
            distributions[line].append(
                [_plain(language_model, text, answer) for answer in AnswerTree.of(asked.answers).scored]
            )
            text += asked.answers[encoder.answer_index(asked, person[asked.slot.column])]
    return [np.array(distribution) for distribution in distributions]


def _plain(language_model: LanguageModel, text: list[int], answer: Tokens) -> float:
    """The log-probability of an answer behind a text, in nats."""
    tokens = torch.tensor([[*text, *answer]], device=language_model.device)
    with torch.inference_mode():
        logits = language_model.model(input_ids=tokens, use_cache=False).logits[0, len(text) - 1 : -1]
    steps = logits.double().log_softmax(-1).gather(1, tokens[0, len(text) :, None])
    return float(steps.sum())


def gradients_row(language_model: LanguageModel, study: Study, people: pd.DataFrame) -> Row:
    """The gradient of a step, ours against the plain loss of the same people read one by one.

    Parameters
    ----------
    language_model : LanguageModel
        In float32; an adapter is put into it.
    study : Study
        The study.
    people : DataFrame
        The participants of the step.

    Returns
    -------
    Row
        ``ours`` is the Euclidean norm of the difference over that of the plain gradient.
    """
    model = ours.adapted(language_model, TuningSettings())
    _randomise(model)
    plain_loss(model, Encoder(study, language_model.tokenizer), people).backward()
    wanted = _gradient(model)
    model.zero_grad()
    ours.add_gradient(model, study, language_model.tokenizer, people)
    off = float((_gradient(model) - wanted).norm() / wanted.norm())
    return Row(
        GRADIENTS, "plain loss, one by one", None, off, None, "relative difference",
        {"people": len(people), "weights_compared": len(wanted), **bar_settings(CLOSE[GRADIENTS])},
    )  # fmt: skip


def plain_loss(model: torch.nn.Module, encoder: Encoder, people: pd.DataFrame) -> torch.Tensor:
    """The mean cross-entropy of the answers' tokens in nats, each person's whole text read by itself."""
    losses = []
    for person in records(people):
        prompt = encoder.prompt(person)
        text = [*prompt.shared, *prompt.scenario, *prompt.persona]
        places: list[int] = []
        for asked in encoder.asked:
            answer = asked.answers[encoder.answer_index(asked, person[asked.slot.column])]
            text += asked.label
            places += range(len(text), len(text) + len(answer))
            text += answer
        tokens = torch.tensor([text], device=next(model.parameters()).device)
        logs = model(input_ids=tokens, use_cache=False).logits[0].float().log_softmax(-1)
        losses.append(-logs[[place - 1 for place in places], tokens[0, places]])
    return torch.cat(losses).mean()


def _randomise(model: torch.nn.Module) -> None:
    """Give the adapter's second factors small random values: at zero the first ones have no gradient."""
    generator = torch.Generator().manual_seed(ours.SEED)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) / 100)


def _gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([w.grad.flatten() for w in model.parameters() if w.requires_grad and w.grad is not None]).clone()


def batches_row(language_model: LanguageModel, study: Study, people: pd.DataFrame) -> Row:
    """Whether the same people get the same answers at every batch size.

    Returns
    -------
    Row
        ``ours`` is the share of people with another answer anywhere than at the largest batch size, the largest such
        share. Float32 is held to 0.
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
    """What bfloat16 does to the distributions of answers, against float32.

    Parameters
    ----------
    wide, narrow : LanguageModel
        The same model in float32 and in bfloat16.
    study : Study
        The study.
    people : DataFrame
        All of its participants; each line is conditional on their own earlier answers.

    Returns
    -------
    list of Row
        The mean and the largest total variation distance over people and lines, in [0, 1].
    """
    distributions = [
        [_valid(distribution) for distribution in ours.answer_distributions(model, study, people)]
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


def _valid(distribution: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities as probabilities among the valid answers."""
    weights = np.exp(distribution - distribution.max(axis=1, keepdims=True))
    share: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return share
