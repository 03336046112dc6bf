"""The only place where the benchmarks touch our sampler and trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pilotlm.models import lora
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import LanguageModel, load_model
from pilotlm.models.lora import TuningSettings
from pilotlm.models.loss import Example, accumulate_gradient, example_of
from pilotlm.models.prefix_cache import attending
from pilotlm.models.simulate import Respondent, answer_as, given_distributions, respondent
from pilotlm.responses import records
from pilotlm.study import Study

SEED = 1


def fresh_model(name: str, precision: str) -> LanguageModel:
    """A model of one's own: a peer must not see what ours does to a model, nor ours what a peer does."""
    return load_model(name, dtype=precision)


def fill_forms(
    language_model: LanguageModel, study: Study, people: pd.DataFrame, batch: int | None = None
) -> pd.DataFrame:
    """Let the model answer as some people, ``batch`` of them read at a time, by default as many as the library takes.

    A row a person: the answers and the valid mass of each line.
    """
    options: dict[str, Any] = {} if batch is None else {"batch": batch}
    answering = respondent(language_model, Encoder(study, language_model.tokenizer), people)
    return answer_as(answering, people, SEED, **options)


def answer_distributions(
    language_model: LanguageModel, study: Study, people: pd.DataFrame
) -> list[NDArray[np.float64]]:
    """The log-probability of every valid answer of every line, given the person's own earlier answers.

    For each line of the form (people, answers) nats, over all texts that the model might write, not over valid answers
    alone.
    """
    encoder = Encoder(study, language_model.tokenizer)
    filled = given_distributions(Respondent(language_model, encoder), people)
    asked = [line for line, encoded in enumerate(encoder.slots) if not encoded.slot.follows]
    return [filled.distributions[line] + np.log(filled.valid_mass[:, [line]]) for line in asked]


def adapted(language_model: LanguageModel, settings: TuningSettings) -> Any:
    """The model with a new adapter, as our trainer puts it in."""
    return lora._with_new_adapter(language_model.model, settings, SEED).eval()


def add_gradient(model: Any, study: Study, tokenizer: Any, people: pd.DataFrame) -> float:
    """Add the gradient of some people's loss to the adapter; returns the loss in nats an answer token."""
    with attending(model):
        return accumulate_gradient(model, examples(study, tokenizer, people))


def examples(study: Study, tokenizer: Any, people: pd.DataFrame) -> Sequence[Example]:
    """People with their answers in tokens."""
    encoder = Encoder(study, tokenizer)
    return [example_of(encoder, person) for person in records(people)]


class Training:
    """Our trainer, a step at a time: the gradient of a batch, clipped, and a step of the optimiser.

    The adapter is put into the base model; people are taken in turn, over and over.
    """

    def __init__(
        self, language_model: LanguageModel, study: Study, people: pd.DataFrame, settings: TuningSettings
    ) -> None:
        self._examples = examples(study, language_model.tokenizer, people)
        self._model = adapted(language_model, settings)
        weights = [weight for weight in self._model.parameters() if weight.requires_grad]
        self._optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
        self._batch, self._next = settings.batch, 0

    def step(self) -> None:
        """Train on the next batch."""
        rows = [(self._next + k) % len(self._examples) for k in range(self._batch)]
        self._next += self._batch
        self._optimiser.zero_grad()
        with attending(self._model):
            accumulate_gradient(self._model, [self._examples[row] for row in rows])
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimiser.step()
