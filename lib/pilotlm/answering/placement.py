"""Where the layers of a model lie that one GPU cannot hold: spread over all GPUs, by accelerate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

MOST_OF_ONE = 0.5
"""The share of a GPU's free memory that weights may take; activations and an adapter's training need the rest."""


def placement(location: Path | str, dtype: torch.dtype, options: dict[str, Any]) -> dict[str, Any]:
    """Say how a model is to be loaded where there are several GPUs.

    Parameters
    ----------
    location : Path or str
        A folder, or an id of a hub.
    dtype : torch.dtype
        Of the weights.
    options : dict
        Further options of ``from_pretrained``.

    Returns
    -------
    dict
        ``device_map`` for ``from_pretrained`` where there are several GPUs and the weights take more than
        `MOST_OF_ONE` of what is free on the first; else nothing. A program is kept to some of the GPUs by the
        environment variable CUDA_VISIBLE_DEVICES.
    """
    gpus = torch.cuda.device_count()
    if gpus < 2:
        return {}
    model = _without_weights(AutoConfig.from_pretrained(location, **options))
    needed = dtype.itemsize * sum(weight.numel() for weight in model.parameters())
    free, _ = torch.cuda.mem_get_info(0)
    return {"device_map": spread(model, range(gpus))} if needed > MOST_OF_ONE * free else {}


def spread(model: PreTrainedModel, devices: Sequence[int | str]) -> dict[str, int | str]:
    """Spread the layers of a model evenly over devices, in order.

    Parameters
    ----------
    model : PreTrainedModel
        Its weights are not needed.
    devices : sequence of int or str
        At least one: the number of a GPU, or "cpu" or "disk".

    Returns
    -------
    dict
        The device of each module, by name. What stands before and after the layers is all on the first device, so that
        texts are given to it and logits come from it. A model without a list of its layers is all on the first.
    """
    layers = model.config.get_text_config().num_hidden_layers
    path = next(
        (
            name.split(".")
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.ModuleList) and len(module) == layers
        ),
        None,
    )
    if path is None:
        return {"": devices[0]}
    places: dict[str, int | str] = {}
    owner: torch.nn.Module = model
    for depth, part in enumerate(path):
        beside = (name for name, _ in owner.named_children() if name != part)
        places |= {".".join([*path[:depth], name]): devices[0] for name in beside}
        owner = owner.get_submodule(part)
    return places | {".".join([*path, str(k)]): devices[k * len(devices) // layers] for k in range(layers)}


def _without_weights(config: PreTrainedConfig) -> PreTrainedModel:
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model
