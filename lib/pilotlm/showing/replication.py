"""The replication README: where data come from and on what terms, what was run on what, and where seeds are set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilotlm.errors import InputError
from pilotlm.records import project_folder
from pilotlm.showing.quoting import quoted, slug
from pilotlm.showing.report import read_manifest
from pilotlm.showing.staged import table_of
from pilotlm.showing.wording import duration
from pilotlm.study import Download, Generated, LocalFile, PackageFile, Study, load_study, study_names

SEEDS = (
    ("Pilot rows", "lib/pilotlm/instrument/pilot.py", "study, design and the notebook's parameter `seed`"),
    ("Whom to simulate, wordings", "lib/pilotlm/instrument/pilot.py", "study, purpose and `seed`"),
    ("Order of training", "lib/pilotlm/answering/lora.py", "`seed` and the epoch"),
    ("Weights of a new adapter", "lib/pilotlm/answering/lora.py", "`seed`, in a state of torch that is put back"),
    ("Answers drawn", "lib/pilotlm/answering/simulate.py", "`seed`, participant and draw: no row depends on a batch"),
    ("Free text", "lib/pilotlm/answering/free_text.py", "`seed`, participant and draw"),
    ("Random halves, resamples", "lib/pilotlm/analyses/compared.py", "`seed`, study, arm and measure"),
    ("Synthetic people", "data/hunt2025-synthetic/study.yml", "the key `seed` of `source`"),
)
"""What is random, the file that seeds it, and what the seed is made of."""


def data_statements() -> str:
    """Availability and rights of every study of the project, as its file states them.

    Returns
    -------
    str
        Markdown: a summary, then a section a study.

    Raises
    ------
    InputError
        If a study's file is not valid.
    """
    studies = [load_study(name) for name in study_names()]
    summary = table_of(
        ["Study", "People", "Public", "How it is had"],
        [(s.name, "synthetic" if s.synthetic else "real", *_access(s)) for s in studies],
        (22, 12, 12, 54),
    )
    return "\n\n".join([summary, *(_statement(study) for study in studies)]) + "\n"


def software(manifest: Mapping[str, Any]) -> str:
    """The versions that were really run, from the manifest, as Markdown."""
    environment = manifest["environment"]
    rows = [("Python", environment["python"])]
    rows += [(name, version or "as in the checkout") for name, version in environment["packages"].items()]
    rows += [
        ("requirements.lock, sha256", environment.get("lock_sha256") or "not there"),
        ("Language model", manifest["model"]["name"]),
        ("Its revision", manifest["model"]["revision"] or "none"),
    ]
    return table_of(["What", "Version"], rows, (34, 66)) + "\n"


def running_times(run: str) -> str:
    """Time, memory and machine of every profile whose manifest is here, and the stages of one run.

    Parameters
    ----------
    run : str
        The run whose stages are shown.

    Returns
    -------
    str
        Markdown.
    """
    profiles = sorted(path.stem for path in (project_folder() / "config").glob("*.yml") if path.stem != "arms")
    rows = [_profile_row(name) for name in dict.fromkeys([*profiles, run])]
    heads = ["Run", "Notebooks", "Computing time", "Most memory", "Machine"]
    stages = table_of(["Stage", "Notebooks", "Computing time", "Most memory"], _stage_rows(run), (30, 20, 25, 25))
    return f"{table_of(heads, rows, (16, 12, 22, 16, 34))}\n\nThe stages of this run:\n\n{stages}\n"


def seeds(run: str) -> str:
    """Which seeds a run had, and where each is set, as Markdown."""
    records = _records(read_manifest(run))
    used = sorted({int(record["parameters"]["seed"]) for record in records if "seed" in record.get("parameters", {})})
    where = "\n".join(f"| {what} | `{file}` | {of} |" for what, file, of in SEEDS)
    heads = "| What is random | Where it is seeded | With |\n|---------|-------------|------------|"
    said = f"Seeds of this run: {', '.join(map(str, used)) or 'none'}."
    return f"{said} No global state of a random generator is left changed.\n\n{heads}\n{where}\n"


def _access(study: Study) -> tuple[str, str]:
    """Whether a study's data are public, and how they are had."""
    source = study.source
    if isinstance(source, PackageFile):
        return "yes", f"inside the package {source.package} of the lock, file {source.file}"
    if isinstance(source, Download):
        return "yes", f"downloaded on first use as {source.file}, or put below the folder that PILOTLM_DATA names"
    if isinstance(source, Generated):
        return "yes", f"drawn by the generator {source.generator}, {source.n} rows, seed {source.seed}"
    assert isinstance(source, LocalFile)
    return "no", source.how_to_get or f"a file of one's own, {source.file}"


def _statement(study: Study) -> str:
    source = study.source
    checksum = source.sha256 if isinstance(source, PackageFile | Download) else None
    rows = [
        ("Source", study.citation), ("doi", study.doi or "none"), ("Licence", study.licence), ("Rights", study.rights),
        ("Address", source.url if isinstance(source, Download) else "none"),
        ("sha256", checksum or "none; a run's manifest holds that of its rows"),
    ]  # fmt: skip
    return f"### {quoted(study.name)} {{#data-{slug(study.name)}}}\n\n{table_of(['What', 'Statement'], rows, (14, 86))}"


def _profile_row(name: str) -> tuple[str, ...]:
    try:
        manifest = read_manifest(name)
    except InputError:
        return (name, "not run here", "–", "–", "–")
    totals, environment = manifest["totals"], manifest["environment"]
    machine = f"{environment['system']}, {environment['cores']} cores, Python {environment['python']}"
    return (name, str(totals["nodes"]), duration(totals["wall_seconds"]), f"{totals['peak_memory_mib']} MiB", machine)


def _stage_rows(run: str) -> list[tuple[str, ...]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for record in _records(read_manifest(run)):
        found.setdefault(str(record["stage"]), []).append(record)
    return [
        (
            stage, str(len(mine)), duration(sum(float(one["wall_seconds"]) for one in mine)),
            f"{max(int(one['peak_memory_mib']) for one in mine)} MiB",
        )
        for stage, mine in found.items()
    ]  # fmt: skip


def _records(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [record for study in manifest["records"].values() for record in study.values()]
