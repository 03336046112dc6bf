"""The arms that an analysis holds against people: what a run has simulated, or, before any run, the baselines."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.analyses.common import Compared, Predicted
from pilotlm.arms import Arm, Arms
from pilotlm.baselines.fit import Baseline, baselines
from pilotlm.data.pilot import draw_pilot, limited_note
from pilotlm.data.sampling import dropped_note, sampling_note, takes_all_rows
from pilotlm.data.sources import people_of
from pilotlm.errors import InputError, nearest, plain
from pilotlm.predictions import read_predictions, write_predictions
from pilotlm.records import (
    PACKED,
    REFERENCE,
    Places,
    file_sha256,
    is_packed,
    library_sha256,
    read_json,
    results_folder,
    text_sha256,
    whole_folder,
    write_json,
)
from pilotlm.reference import PACKED_BY, unpack
from pilotlm.responses import (
    SMALLEST_GROUP,
    count_people,
    one_row_each,
    persons_of,
    read_responses,
    write_responses,
)
from pilotlm.stages import SCRATCH, AnalysisParameters, Begun, notebook_of

_FILE = re.compile(r"(?P<arm>[a-z0-9_]+)-s(?P<seed>\d+)\.parquet\Z")
NOTHING_SIMULATED = (
    "Nothing has been simulated under this run yet, so this page shows the baselines that need no language "
    "model, fitted now on 25 % of all treatments. `make paper` simulates the rest."
)


@dataclass(frozen=True, eq=False)
class Collected:
    """What an analysis works on.

    Attributes
    ----------
    people : DataFrame
        All participants.
    compared : tuple of Compared
        The arms that have at least `pilotlm.responses.SMALLEST_GROUP` answers to compare, models first.
    note : str
        What the page must say about them; "" when there is nothing to say.
    fitted : tuple of Baseline
        Before any run: the baselines that stand in for what it would simulate.
    """

    people: pd.DataFrame
    compared: tuple[Compared, ...]
    note: str
    fitted: tuple[Baseline, ...] = ()


def collect(begun: Begun) -> Collected:
    """Read the responses of a run and put the right people beside each arm.

    The parameters ``arms`` and ``seeds`` of the analysis choose among what there is; an `InputError` names an arm that
    was asked for and has no responses.
    """
    begun, of_reference = with_reference(begun)
    parameters: AnalysisParameters = begun.parameters
    study, places = begun.study, begun.places
    people = people_of(study, places)
    there = _responses_there(places, begun.arms)
    asked = _asked(parameters, there, begun.arms)
    fitted: tuple[Baseline, ...] = ()
    if not there:
        fitted = tuple(baselines(study, people, begun.arms, "all_25", 1))
        pairs = [(b.arm, 1, b.responses) for b in fitted if not asked or b.arm.name in {arm for arm, _ in asked}]
        note = NOTHING_SIMULATED
    else:
        pairs = [
            (begun.arms.arm(a), s, read_responses(places.responses(a, s), study, "the simulation")) for a, s in asked
        ]
        note = ""
    every = [_compared(begun, people, arm, seed, table) for arm, seed, table in pairs]
    compared = tuple(one for one in every if count_people(one.simulated) >= SMALLEST_GROUP)
    left_out, fewer = _left_out(every, begun.arms), _fewer(compared, parameters) or note
    notes = (of_reference, *_of_people(begun, people), left_out, fewer)
    return Collected(people, compared, " ".join(filter(None, notes)), fitted)


def collect_predictions(begun: Begun, collected: Collected) -> tuple[tuple[Predicted, ...], str]:
    """Read the distributions of the arms collected, in their order, and what the page must say of arms without any."""
    begun, _ = with_reference(begun)
    study = begun.study
    if collected.fitted:
        distributions = {(b.arm.name, 1): b.predictions for b in collected.fitted if b.predictions is not None}
    else:
        paths = {(one.arm, one.seed): begun.places.predictions(one.arm, one.seed) for one in collected.compared}
        distributions = {
            key: read_predictions(path, study, "the simulation") for key, path in paths.items() if path.is_file()
        }
    found, without = [], []
    for one in collected.compared:
        arm = begun.arms.arm(one.arm)
        if (one.arm, one.seed) in distributions:
            found.append(Predicted.of(one, arm.pilot, distributions[one.arm, one.seed]))
        elif arm.has_predictions:
            without.append(f"{arm.label} (seed {one.seed})")
    notes = []
    if any(not begun.arms.arm(one.arm).has_predictions for one in collected.compared):
        notes.append("A bootstrap of the pilot gives no probability to an answer that the pilot lacks, so it has none.")
    if without:
        notes.append(
            f"This run holds no predictive distributions of {'; '.join(without)}: what was simulated before they were "
            "kept must be simulated again to be judged here."
        )
    return tuple(found), " ".join(notes)


def collect_cv_losses(begun: Begun, collected: Collected) -> list[dict[str, Any]]:
    """Read the cross-validated losses of the baselines of every pilot that an arm collected was fitted on.

    Rows of the metric ``cv_loss``: nats a person inside the pilot, n people of it. All baselines of a pilot are among
    them, whichever were asked for: which is the best does not depend on what is shown.
    """
    begun, _ = with_reference(begun)
    told: list[tuple[str, int, Mapping[str, Any]]] = [(b.arm.name, 1, b.facts) for b in collected.fitted]
    if not told:
        arms = [(begun.arms.arm(one.arm), one.seed) for one in collected.compared]
        notebook = notebook_of("baselines")
        for pilot, seed in dict.fromkeys((arm.pilot, arm.draws_pilot_by(seed)) for arm, seed in arms):
            path = begun.places.record(f"{notebook.stem}-{pilot}-s{seed}")
            if path.is_file():
                record = read_json(path, f"the notebook {notebook.name}")
                told += [(name, seed, facts) for name, facts in record["baselines"].items()]
    # A bootstrap has none, nor has what was fitted before such losses were kept.
    return [
        {"metric": "cv_loss", "item": "all", "arm": arm, "seed": seed, "estimate": loss, "n": facts["people"]}
        for arm, seed, facts in told
        if (loss := facts.get("cv_loss")) is not None
    ]


def with_reference(begun: Begun) -> tuple[Begun, str]:
    """The run that an analysis reads: its own, or the reference run where the default one holds nothing of the study.

    Nothing is to be written in the places of the reference run. What the page must say of it comes second.
    """
    packed = results_folder() / REFERENCE
    own = begun.parameters.run != SCRATCH or any((begun.places.folder / "responses").glob("*.parquet"))
    if own or not is_packed(packed) or not (packed / begun.study.name).is_dir():
        return begun, ""
    manifest = read_json(packed / "manifest.json", PACKED_BY)
    # Baselines are fitted again: where the code is another one, so is the copy.
    key = text_sha256(f"{file_sha256(packed / PACKED)} {library_sha256()}")[:12]
    shown = replace(begun, parameters=begun.parameters.model_copy(update={"run": f".{REFERENCE}-{key}"}))
    if not shown.places.folder.is_dir():
        with whole_folder(shown.places.folder) as folder:
            _unpack_whole(packed / begun.study.name, folder, begun, manifest["records"][begun.study.name])
    note = (
        f"Nothing has been simulated under the run '{SCRATCH}' yet, so this page shows the reference run of "
        f"{str(manifest['finished'])[:10]}, `results/{REFERENCE}`. `make paper` makes a run of your own."
    )
    return shown, note


def _unpack_whole(packed: Path, folder: Path, begun: Begun, records: Mapping[str, Any]) -> None:
    """A packed study as its run had it: what models answered, baselines fitted again, measures and records."""
    people = people_of(begun.study, begun.places)
    unpack(packed, folder, begun.study, people, records)
    shutil.copytree(packed / "measures", folder / "measures")
    for node, record in records.items():
        write_json(folder / "records" / f"{node}.json", record)
        if record["stage"] == "baselines":
            given = record["parameters"]
            settings = (given["pilot"], given["seed"], given["simulated"], given["people"])
            for one in baselines(begun.study, people, begun.arms, *settings):
                name = f"{one.arm.name}-s{given['seed']}.parquet"
                write_responses(folder / "responses" / name, begun.study, one.responses)
                if one.predictions is not None:
                    write_predictions(folder / "predictions" / name, begun.study, one.predictions)


def _compared(begun: Begun, people: pd.DataFrame, arm: Arm, seed: int, table: pd.DataFrame) -> Compared:
    pilot, human = None, people
    if begun.parameters.against == "held-out":
        drawn = draw_pilot(begun.study, people, begun.arms.pilot(arm.pilot), arm.draws_pilot_by(seed))
        human = people[people["participant"].isin(drawn.held_out)]
        persons = persons_of(people).set_axis(people["participant"])
        pilot = tuple(dict.fromkeys(persons[list(drawn.participants)].tolist()))
    human = human if takes_all_rows(begun.stage) else one_row_each(human)
    simulated = table[table["participant"].isin(human["participant"])]
    return Compared(arm.name, seed, simulated.reset_index(drop=True), human.reset_index(drop=True), pilot)


def _of_people(begun: Begun, people: pd.DataFrame) -> Iterator[str]:
    """What a page says of people with several rows, weights and, where a decision is made, of who was left out."""
    yield plain(sampling_note(begun.study, people, begun.stage))
    if begun.stage != "decision":
        return
    designs = {begun.arms.arm(arm).pilot for arm in begun.parameters.arms.split()}
    yield from (limited_note(begun.study, people, begun.arms.pilot(name)) for name in sorted(designs))
    path = begun.places.record(notebook_of("prepare").stem)
    if path.is_file():
        record = read_json(path, "the notebook 01-prepare")
        yield plain(dropped_note(record.get("rows_read", 0), record.get("dropped", {}), record.get("left_out", {})))
        yield from map(plain, record.get("notices", ()))


def _responses_there(places: Places, arms: Arms) -> list[tuple[str, int]]:
    """Arms and seeds with responses, in the order of the declared arms."""
    folder = places.responses("x", 0).parent
    found = [_FILE.match(path.name) for path in sorted(folder.glob("*.parquet"))]
    keys = [(match["arm"], int(match["seed"])) for match in found if match and match["arm"] in arms.arms]
    order = list(arms.arms)
    return sorted(keys, key=lambda key: (order.index(key[0]), key[1]))


def _asked(parameters: AnalysisParameters, there: list[tuple[str, int]], arms: Arms) -> list[tuple[str, int]]:
    names = parameters.arms.split()
    try:
        seeds = [int(word) for word in parameters.seeds.split()]
    except ValueError:
        what = f"The parameter 'seeds' must be whole numbers separated by spaces, got '{parameters.seeds}'."
        raise InputError(what) from None
    for name in names:
        arms.arm(name)
        if there and name not in {arm for arm, _ in there}:
            raise InputError(
                f"run '{parameters.run}' has no responses of the arm '{name}'; {nearest(name, {a for a, _ in there})}."
            )
    if not there:
        return [(name, 1) for name in names]
    return [(arm, seed) for arm, seed in there if (not names or arm in names) and (not seeds or seed in seeds)]


def _left_out(every: list[Compared], arms: Arms) -> str:
    """A sentence for the page on arms with too few answers to compare; forms of free text may be unreadable."""
    few = [one for one in every if count_people(one.simulated) < SMALLEST_GROUP]
    if not few:
        return ""
    names = ", ".join(f"{arms.arm(one.arm).label} ({count_people(one.simulated)})" for one in few)
    forms = all(arms.arm(one.arm).decoding == "free" for one in few)
    what = "forms could be read" if forms else "held-out participants have simulated answers"
    return f"Left out, because fewer than {SMALLEST_GROUP} {what}: {names}."


def _fewer(compared: tuple[Compared, ...], parameters: AnalysisParameters) -> str:
    """A sentence for the page when fewer are simulated than there are people to compare with."""
    fewer = [one for one in compared if count_people(one.simulated) < count_people(one.human)]
    if not fewer:
        return ""
    counts = sorted({count_people(one.simulated) for one in fewer})
    some = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    people = sorted({count_people(one.human) for one in fewer})
    of = f"{people[0]} to {people[-1]}" if len(people) > 1 else f"{people[0]}"
    who = "held-out people" if parameters.against == "held-out" else "people"
    return f"To save time {some} of {of} {who} are simulated in each arm; every benchmark is taken at the same number."
