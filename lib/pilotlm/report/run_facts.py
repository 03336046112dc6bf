"""How a run was made, in words: model, training, pilots, people, seeds, machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pilotlm import __version__
from pilotlm.report.evidence import PRIMARY, PRIMARY_IN_WORDS
from pilotlm.report.runs import code_of, pilot_sizes, seeds_run, simulated_run
from pilotlm.report.wording import counted, duration, listed, quoted, span, whole
from pilotlm.responses import HUMAN


def facts_of_run(manifest: Mapping[str, Any], metrics: pd.DataFrame) -> dict[str, str]:
    """Everything that the pages say of how a run was made, as texts that are safe in Markdown."""
    where, totals = manifest["environment"], manifest["totals"]
    return {
        "name": quoted(manifest["run"]),
        "date": quoted(str(manifest["finished"])[:10]),
        "code": quoted(code_of(manifest)),
        "version": __version__,
        "model": quoted(manifest["model"]["name"]),
        "model_revision": quoted(manifest["model"]["revision"] or "none"),
        "python": quoted(where["python"]),
        "torch": quoted(where["packages"].get("torch") or "unknown"),
        "transformers": quoted(where["packages"].get("transformers") or "unknown"),
        "machine": quoted(f"{where['system']}, {counted(int(where['cores'] or 1), 'core')}"),
        "time": quoted(duration(totals["wall_seconds"])),
        "memory": quoted(f"{totals['peak_memory_mib']} MiB"),
        "nodes": str(totals["nodes"]),
        "seeds": quoted(_seeds(manifest)),
        "against": _against(metrics),
        "simulated": _simulated(manifest),
        "primary": PRIMARY_IN_WORDS,
        "training": _training(manifest),
        "pool": _pool(manifest),
    }


def setting(manifest: Mapping[str, Any]) -> str:
    """Model and its size, people in the pilot, people simulated, seeds: one line."""
    size = model_size(str(manifest["model"]["name"]))
    sizes = pilot_sizes(manifest)
    parts = [
        f"Model {manifest['model']['name']}{f' ({size})' if size else ''}",
        f"fine-tuned on {span(sizes, whole)} people" if sizes else "not fine-tuned",
        f"{_simulated(manifest)} simulated in each arm",
        _number_of_seeds(manifest),
    ]
    return "; ".join(parts) + "."


def sampling(manifest: Mapping[str, Any], metrics: pd.DataFrame) -> str:
    """What the intervals hold, and between how many people distances are taken."""
    most = max(map(len, seeds_run(manifest).values()), default=0)
    compared = metrics[(metrics["metric"] == PRIMARY[0]) & (metrics["item"] == PRIMARY[1])]["n"].dropna()
    text = (
        f"Pilots were drawn, models trained and answers simulated with {_seeds(manifest)}; intervals include "
        "the variation between seeds and the sampling of people and answers."
        if most > 1
        else "Each arm was drawn, trained and simulated once, so the intervals hold sampling error only and another "
        "seed may give another result."
    )
    sizes = span(compared.tolist(), whole)
    return text if compared.empty else f"{text} Distances are taken between samples of {sizes}."


def model_size(name: str) -> str:
    """How many parameters a model has, as its name says; "" where it does not."""
    found = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", name.lower())
    return f"{found[1]} {'million' if found[2] == 'm' else 'billion'} parameters" if found else ""


def _training(manifest: Mapping[str, Any]) -> str:
    """How the settings of training came about."""
    made = [one["parameters"] for one in _records(manifest) if one.get("stage") == "finetune"]
    if not made:
        return "No model is fine-tuned in this run."
    rates, epochs = (sorted({one[name] for one in made}) for name in ("learning_rate", "epochs"))
    return (
        "It learns from all of the pilot with the same settings for every study: learning rate "
        f"{listed([f'{rate:g}' for rate in rates])}, {listed([str(n) for n in epochs])} epochs."
    )


def _pool(manifest: Mapping[str, Any]) -> str:
    """The baseline that the model is pooled with, and the model's weight."""
    used = sorted({str(one["pooled_with"]) for one in _records(manifest) if one.get("pooled_with")})
    return f"the baseline is the {listed(used or ['copula'])} and $w$ is one half"


def _records(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The records of all notebooks of a run."""
    return [record for of_study in manifest["records"].values() for record in of_study.values()]


def _against(metrics: pd.DataFrame) -> str:
    kinds = set(metrics.loc[metrics["arm"] != HUMAN, "against"].dropna())
    texts = {
        "held-out": "people whose answers neither the arm nor its baselines learnt from",
        "all": "all people, those that an arm learnt from among them, as in the paper",
    }
    return " or with ".join(texts[kind] for kind in sorted(kinds) if kind in texts) or "people"


def _seeds(manifest: Mapping[str, Any]) -> str:
    seeds = sorted({seed for of_study in seeds_run(manifest).values() for seed in of_study})
    return f"{_number_of_seeds(manifest)} ({listed([str(seed) for seed in seeds])})" if seeds else "no seed"


def _number_of_seeds(manifest: Mapping[str, Any]) -> str:
    """As in "3 seeds", or "3 to 5 seeds a study"."""
    numbers = sorted({len(seeds) for seeds in seeds_run(manifest).values()}) or [0]
    return counted(numbers[0], "seed") if len(numbers) == 1 else f"{span(numbers, whole)} seeds a study"


def _simulated(manifest: Mapping[str, Any]) -> str:
    sizes = simulated_run(manifest)
    return f"{span(sizes, whole)} people" if sizes else "no people"
