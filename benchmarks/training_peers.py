"""Peers that fine-tune: TRL's SFTTrainer and the Trainer of `transformers`, on the same people, loss on the form only.

Both have the same adapter and precision as ours, and neither evaluates, saves or logs. A step is timed from its
beginning to its end, the optimiser included and the set-up and the reading of data left out.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from benchmarks.prompts import Prompts
from pilotlm.models.loading import LanguageModel
from pilotlm.models.lora import TuningSettings

TRL, TRAINER = "TRL, SFTTrainer", "transformers, Trainer"
WARMUP = 1
"""Steps that are not counted."""


class StepClock(TrainerCallback):  # type: ignore[misc]
    """Times each step, and does something else after it, outside the time."""

    def __init__(self, between: Callable[[], object]) -> None:
        self.seconds: list[float] = []
        self._between = between
        self._started = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop the clock."""
        self.seconds.append(time.perf_counter() - self._started)
        self._between()


def trl_steps(
    language_model: LanguageModel, prompts: Prompts, settings: TuningSettings, steps: int, between: Callable[[], object]
) -> list[float]:
    """Train with TRL's SFTTrainer, as its documentation says for prompts with completions.

    The seconds of each of the timed ``steps``, which come after `WARMUP` others; ``between`` is done after each step,
    outside the time.

    Raises
    ------
    ImportError
        If TRL is not installed.
    """
    from datasets import Dataset, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    pairs = _repeated(list(zip(prompts.texts, prompts.forms, strict=True)), settings.batch * (steps + WARMUP))
    data = Dataset.from_list([{"prompt": text, "completion": form} for text, form in pairs])
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            **_arguments(settings, steps, folder), completion_only_loss=True, max_length=None, packing=False
        )
        trainer = SFTTrainer(
            model=language_model.model, args=arguments, train_dataset=data,
            processing_class=language_model.tokenizer, peft_config=lora(settings),
        )  # fmt: skip
        return _timed(trainer, between)


def trainer_steps(
    language_model: LanguageModel, prompts: Prompts, settings: TuningSettings, steps: int, between: Callable[[], object]
) -> list[float]:
    """The same as `trl_steps` with the Trainer of `transformers` and a collator that pads."""
    tokenizer = language_model.tokenizer
    rows = [_row(tokenizer, text, form) for text, form in zip(prompts.texts, prompts.forms, strict=True)]
    data = _repeated(rows, settings.batch * (steps + WARMUP))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=get_peft_model(language_model.model, lora(settings)),
            args=TrainingArguments(**_arguments(settings, steps, folder), remove_unused_columns=False),
            train_dataset=data,  # type: ignore[arg-type]
            data_collator=lambda batch: collated(batch, tokenizer.pad_token_id),
        )
        return _timed(trainer, between)


def lora(settings: TuningSettings) -> LoraConfig:
    """The adapter that ours trains."""
    return LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
    )


def collated(rows: Sequence[dict[str, list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """Rows as a rectangle, padded on the right; padded labels are not counted."""
    longest = max(len(row["input_ids"]) for row in rows)
    fills = {"input_ids": pad, "labels": -100, "attention_mask": 0}
    return {
        name: torch.tensor([[*row[name], *[fill] * (longest - len(row[name]))] for row in rows])
        for name, fill in fills.items()
    }


def _row(tokenizer: Any, text: str, form: str) -> dict[str, list[int]]:
    whole = tokenizer(text + form, add_special_tokens=False)["input_ids"]
    before = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    labels = [-100] * before + whole[before:]
    return {"input_ids": whole, "labels": labels, "attention_mask": [1] * len(whole)}


def _arguments(settings: TuningSettings, steps: int, folder: str) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "max_steps": steps + WARMUP,
        "per_device_train_batch_size": settings.batch,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        # TRL's own defaults would recompute activations, which is slower, and train in bfloat16.
        "activation_checkpointing": False,
        "bf16": False,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": False,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 1,
    }


def _timed(trainer: Any, between: Callable[[], object]) -> list[float]:
    clock = StepClock(between)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    return clock.seconds[WARMUP:]


def _repeated(items: list[Any], count: int) -> list[Any]:
    """As many items as asked for, from the start again where they do not suffice."""
    return [items[k % len(items)] for k in range(count)]
