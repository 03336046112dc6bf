"""What a run is: its studies, and the table that says how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pilotlm.arms import Arms
from pilotlm.errors import InputError, nearest
from pilotlm.records import REFERENCE, Places, is_packed, read_json, results_folder
from pilotlm.stages import SCRATCH


def studies_of_run(run: str, asked: list[str]) -> list[str]:
    """The studies of a run that have measures.

    Parameters
    ----------
    run : str
        The run.
    asked : list of str
        Which, in that order; all in the order of their names when empty.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If there are none, or one that was asked for is missing.
    """
    there = sorted(path.parent.parent.name for path in (results_folder() / run).glob("*/measures/heterogeneity.csv"))
    for name in asked:
        if name not in there:
            raise InputError(f"run '{run}' has no measures of the study '{name}'; {nearest(name, there)}.")
    if not there:
        raise InputError(
            f"run '{run}' has no measures yet: run an analysis with run={run} first, or `make paper` for a whole run."
        )
    return asked or there


def seeds_run(manifest: Mapping[str, Any], study: str = "") -> list[int]:
    """The seeds that arms were fine-tuned, simulated or fitted with, in order; of one study, or of all.

    Counted in the records of the notebooks: a tidy table also has rows that belong to no seed, such as people's.
    """
    return sorted({int(record["parameters"]["seed"]) for record in _answering(manifest, study)})


def arms_run(manifest: Mapping[str, Any], study: str, arms: Arms) -> list[str]:
    """The arms that answered in a study, models before the baselines that were fitted on their pilots."""
    records = _answering(manifest, study)
    models = [str(r["parameters"]["arm"]) for r in records if r["stage"] == "simulate"]
    pilots = [str(r["parameters"]["pilot"]) for r in records if r["stage"] == "baselines"]
    fitted = [arm.name for pilot in pilots for arm in arms.baselines_of(pilot)]
    return list(dict.fromkeys([*models, *fitted]))


def simulated_run(manifest: Mapping[str, Any], study: str = "") -> list[int]:
    """How many people the language models of a study, or of all, answered for: the different numbers, in order."""
    return sorted({int(r["simulated"]) for r in _answering(manifest, study) if r.get("simulated")})


def _answering(manifest: Mapping[str, Any], study: str) -> list[Mapping[str, Any]]:
    """The records of the notebooks that have a seed: those in which somebody learns or answers."""
    chosen = [manifest["records"].get(study, {})] if study else manifest["records"].values()
    return [record for records in chosen for record in records.values() if "seed" in record.get("parameters", {})]


def run_to_report(run: str) -> tuple[str, str]:
    """The run to report on: the reference run where the default one holds no measures; and what must be said of it.

    Parameters
    ----------
    run : str
        The run that was asked for.

    Returns
    -------
    run : str
    note : str
        "" where it is the one that was asked for.
    """
    there = any((results_folder() / run).glob("*/measures/*.csv"))
    if run != SCRATCH or there or not is_packed(results_folder() / REFERENCE):
        return run, ""
    return REFERENCE, f"The run '{run}' holds no measures yet, so this page shows the reference run."


def model_of_run(places: Places) -> str:
    """The language models that answered a study in a run, with the beginning of their revisions; "" where none did."""
    paths = sorted(places.record("x").parent.glob("03-simulate-*.json"))
    records = [read_json(path, "the simulation") for path in paths]
    names = [
        f"{r['model']} ({r['model_revision'][:12]})" if r.get("model_revision") else str(r["model"]) for r in records
    ]
    return ", ".join(dict.fromkeys(names))


def run_table(run: str) -> pd.DataFrame:
    """Two columns that say what was run, where, and how long it took; from the manifest.

    Parameters
    ----------
    run : str
        A run whose report has been written.

    Returns
    -------
    DataFrame
        Text.
    """
    manifest = read_json(results_folder() / run / "manifest.json", "the notebook 14-report.ipynb")
    environment = manifest["environment"]
    records = [record for study in manifest["records"].values() for record in study.values()]
    packages = environment["packages"]
    facts: dict[str, Any] = {
        "Language model": ", ".join(sorted({str(r["model"]) for r in records if r.get("model")})) or "none",
        "Notebooks run": len(records),
        "Computing time": f"{sum(r['wall_seconds'] for r in records) / 60:.1f} minutes, all notebooks added up",
        "Largest memory of a notebook": f"{max((r['peak_memory_mib'] for r in records), default=0)} MiB",
        "Machine": f"{environment['system']}, {environment['cores']} cores",
        "Python, torch, transformers": f"{environment['python']}, {packages['torch']}, {packages['transformers']}",
        "Revision": environment["git_revision"] or "not a git checkout",
        "Changed since that revision": {True: "yes", False: "no", None: "unknown"}[environment["git_dirty"]],
    }
    return pd.DataFrame({"What": list(facts), "Value": [str(value) for value in facts.values()]})
