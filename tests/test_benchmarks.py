"""The benchmarks: results of the right shape, peers that do the same work, and a page made from nothing else."""

from __future__ import annotations

import json
import math
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import exactness, growth, memory, ours, sampling, sampling_peers, training, training_peers
from benchmarks.measuring import Bar, Row, faster, interleaved, middle
from benchmarks.page import benchmark_page, read_results
from benchmarks.prompts import prompts_of, with_questions, with_scenario
from benchmarks.run import PARTS, _output, run
from benchmarks.sizes import FULL, TRIAL
from pilotlm.data.sources import load_people
from pilotlm.errors import InputError
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import LanguageModel
from pilotlm.records import write_json
from pilotlm.responses import records
from pilotlm.study import Study, load_study

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = ROOT / "benchmarks" / "results.json"
REQUIREMENTS = ROOT / "benchmarks" / "requirements.txt"
GREEDY = {"do_sample": False}
SETTINGS = {"quick", "threads", "model", "study", "hardware", "versions", "started", "load_at_start"}

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def tiny() -> LanguageModel:
    return ours.fresh_model("tiny-random", "float32")


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("anes96")


@pytest.fixture(scope="module")
def people(study: Study) -> pd.DataFrame:
    return load_people(study).table.head(6)


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Every row has its keys, and every ratio is the median of the paired raw seconds and `ours / theirs`."""
    for row in rows:
        assert set(row) == {"name", "peer", "ratio", "ours", "theirs", "unit", "settings"}
        settings = row["settings"]
        assert set(settings) >= SETTINGS, row["name"]
        if "not_run" in settings:
            assert row["ratio"] is row["ours"] is row["theirs"] is None
            continue
        assert math.isfinite(row["ours"]) and settings["precision"] in ("float32", "bfloat16")
        assert (row["ratio"] is None) == (row["theirs"] is None)
        if row["ratio"] is None:
            continue
        assert row["ratio"] == pytest.approx(row["ours"] / row["theirs"], rel=1e-12)
        if "seconds_theirs" not in settings:
            continue  # counted, or measured once
        mine = [settings["done_ours"] / s for s in settings["seconds_ours"]]
        theirs = [settings["done_theirs"] / s for s in settings["seconds_theirs"]]
        assert len(mine) == len(theirs) == settings["repeats"]
        slower = row["unit"] == "s/answer"
        ratios = [b / a if slower else a / b for a, b in zip(mine, theirs, strict=True)]
        assert row["ratio"] == pytest.approx(statistics.median_low(ratios), rel=1e-9)
        assert settings["prompt_tokens_shared"] > 0 < settings["answer_tokens"]


# What is committed.


def test_committed_results_are_whole():
    rows = json.loads(COMMITTED.read_text(encoding="utf-8"))
    check_rows(rows)
    names = {row["name"] for row in rows}
    assert names == {
        sampling.NAME, sampling.READ, training.NAME, growth.PARTICIPANTS, growth.SCENARIO, growth.ANSWERS,
        memory.NAME, memory.SECONDS, memory.GROWN,
        exactness.LOGITS, exactness.GRADIENTS, exactness.BATCHES, exactness.PRECISION,
    }  # fmt: skip
    assert len({json.dumps(row["settings"]["started"]) for row in rows}) == 1, "all rows are of one run"
    assert not re.search(r'"/|\\\\|\.local\b', COMMITTED.read_text(encoding="utf-8")), "no place is named"


def test_the_peers_are_pinned_and_change_nothing_of_the_lock():
    files = [path.read_text().splitlines() for path in (REQUIREMENTS, ROOT / "requirements.lock")]
    pins = [[line for line in lines if line and not line.startswith(("#", " "))] for lines in files]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+ \\", line) for line in pins[0])
    peers, locked = ({line.split("==")[0].lower().replace("_", "-") for line in lines} for lines in pins)
    assert {"outlines", "trl", "datasets"} <= peers and not peers & locked


# How it is measured.


def test_the_pair_with_the_median_ratio_is_reported():
    # Ratios 2, 5 and 3: the median is 3, of the third repeat.
    assert middle([2.0, 10.0, 6.0], [1.0, 2.0, 2.0]) == (6.0, 2.0)
    row = faster("a", "b", "u/s", ([1.0, 2.0, 4.0], 8), ([8.0, 4.0, 8.0], 4), Bar(4.0, "at least"), {"x": 1})
    # Ours 8, 4, 2 a second, theirs 0.5, 1, 0.5: ratios 16, 4, 4.
    assert (row.ratio, row.ours, row.theirs) == (4.0, 4.0, 1.0)
    assert row.settings["bar"] == 4.0 and row.settings["x"] == 1


def test_tasks_take_turns():
    order: list[str] = []
    seconds = interleaved([lambda: order.append("ours"), lambda: order.append("peer")], 3)
    assert order == ["ours", "peer"] * 3 and [len(some) for some in seconds] == [3, 3]


def test_a_part_or_a_trial_does_not_take_the_place_of_a_full_run():
    assert _output(list(PARTS), quick=False) == COMMITTED
    others = {_output(["sampling"], quick=False), _output(list(PARTS), quick=True), _output(["growth"], quick=True)}
    assert len(others) == 3 and COMMITTED not in others


# What is compared.


def test_prompts_are_those_of_our_sampler(tiny, study, people):
    prompts = prompts_of(study, people, tiny.tokenizer)
    encoder = Encoder(study, tiny.tokenizer)
    for row, person in enumerate(records(people)):
        whole = tuple(tiny.tokenizer(prompts.texts[row] + prompts.forms[row])["input_ids"])
        assert whole[: len(prompts.shared[row]) + len(prompts.own[row])] == prompts.shared[row] + prompts.own[row]
        assert prompts.texts[row] == encoder.text(person) and re.fullmatch(prompts.pattern, prompts.forms[row])
    mean = sum(len(tiny.tokenizer(form)["input_ids"]) for form in prompts.forms) // len(prompts.forms)
    assert prompts.form_tokens == prompts.facts()["answer_tokens"] == mean
    assert not re.fullmatch(prompts.pattern, prompts.forms[0].replace("self: ", "self: 9"))


def test_an_allocation_is_refused(tiny, toy, toy_people):
    with pytest.raises(InputError, match="allocation"):
        prompts_of(toy, toy_people.head(2), tiny.tokenizer)


def test_longer_studies_are_longer_in_one_respect(tiny, study, people):
    plain, scenario, form = (
        prompts_of(other, people.assign(**{f"{q.name}_2": people[q.name] for q in study.questions}), tiny.tokenizer)
        for other in (study, with_scenario(study, 2), with_questions(study, 2))
    )
    text = " ".join(study.treatments[0].scenario.split())
    assert scenario.texts[0] == plain.texts[0].replace(text, f"{text} {text}") and scenario.forms == plain.forms
    lines = plain.forms[0].splitlines()
    again = [line.replace(":", " 2:") for line in lines]
    assert form.forms[0].splitlines() == lines + again


def test_the_ways_of_transformers_write_the_same(tiny):
    """Choosing the likeliest token, in float32, padding and a repeated cache must change nothing."""
    framing = load_study("framing")
    prompts = prompts_of(framing, load_people(framing).table.head(5), tiny.tokenizer)
    assert len(set(map(len, prompts.own))) > 1 < len(set(prompts.shared)), "else nothing is tested"
    one = sampling_peers.batched(tiny, prompts, 1, GREEDY)
    assert {len(answer) for answer in one} == {prompts.form_tokens}
    assert sampling_peers.batched(tiny, prompts, 3, GREEDY) == one
    assert sampling_peers.batched_with_prefix(tiny, prompts, 3, GREEDY) == one


def test_the_constrained_peer_writes_valid_forms(tiny, study, people):
    prompts = prompts_of(study, people, tiny.tokenizer)
    written = sampling_peers.batched_with_prefix(tiny, prompts, 4, constrained=True)
    assert len(written) == len(people)
    assert all(re.match(prompts.pattern, tiny.tokenizer.decode(tokens)) for tokens in written)
    assert len({tuple(tokens) for tokens in written}) > 1


def test_the_trainers_labels_are_the_form(tiny, study, people):
    prompts = prompts_of(study, people, tiny.tokenizer)
    rows = [
        training_peers._row(tiny.tokenizer, text, form)
        for text, form in zip(prompts.texts, prompts.forms, strict=True)
    ]  # fmt: skip
    batch = training_peers.collated(rows, pad=0)
    for row, form in enumerate(prompts.forms):
        kept = batch["labels"][row] != -100
        assert tiny.tokenizer.decode(batch["labels"][row][kept]) == form
        assert int(batch["attention_mask"][row].sum()) == len(rows[row]["input_ids"])


# How exact it is.


def test_ours_is_what_plain_passes_give(tiny, study, people):
    mine = ours.answer_distributions(tiny, study, people.head(2))
    plain = exactness.plain_distributions(tiny, study, people.head(2))
    for a, b in zip(mine, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)  # float32 adds up in another order
    off = exactness.logits_row(tiny, study, people.head(2)).ours
    assert off == max(float(np.abs(a - b).max()) for a, b in zip(mine, plain, strict=True))


def test_another_model_is_not_exact(tiny, study, people):
    """The comparison sees a difference where there is one."""
    other = ours.fresh_model("tiny-random", "float32")
    other.model.lm_head.weight.data *= 1.5
    rows = exactness.precision_rows(tiny, other, study, people)
    assert [row.ours > 1e-4 for row in rows] == [True, True]
    assert rows[0].ours <= rows[1].ours <= 1
    same = exactness.precision_rows(tiny, tiny, study, people)
    assert [row.ours for row in same] == [0.0, 0.0]


def test_total_variation_is_half_the_absolute_difference():
    first, second = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]), np.array([[0.2, 0.5, 0.3], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(exactness.total_variation(first, second), [0.3, 1.0])


# A run.


TRIAL_PARTS = [part for part in PARTS if part != "memory"]


@pytest.fixture(scope="module")
def kept() -> dict[str, list[dict[str, Any]]]:
    """What the trial's run left after each part."""
    return {}


@pytest.fixture(scope="module")
def trial(kept: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """All that runs without other packages than the lock's: peers that are missing must be named, not left out."""
    with pytest.MonkeyPatch.context() as patch:
        for package in ("outlines", "trl", "datasets"):
            patch.setitem(sys.modules, package, None)
        return run(TRIAL, TRIAL_PARTS, 1, lambda _: None, kept.__setitem__)


@pytest.mark.slow
def test_a_run_has_every_row(trial, kept):
    check_rows(trial)
    assert list(kept) == TRIAL_PARTS and [row for part in kept.values() for row in part] == trial
    peers = [row["peer"] for row in trial if row["name"] == sampling.NAME]
    names = [sampling_peers.ONE, sampling_peers.FREE, sampling_peers.CONSTRAINED, sampling_peers.OUTLINES]
    assert peers == names * 2
    missing = {row["peer"]: row["settings"]["not_run"] for row in trial if "not_run" in row["settings"]}
    assert set(missing) == {sampling_peers.OUTLINES, training_peers.TRL}
    assert all("not installed" in why for why in missing.values())
    values = {(row["name"], row["settings"].get("precision")): row["ours"] for row in trial}
    assert values[exactness.LOGITS, "float32"] < 1e-4 and values[exactness.GRADIENTS, "float32"] < 1e-4
    assert values[exactness.BATCHES, "float32"] == 0
    # A scenario is held against the size before it.
    rows = [row["settings"] for row in trial if row["name"] == growth.SCENARIO]
    assert [(settings["size"], settings["against_size"]) for settings in rows] == [(1, 1), (2, 1), (4, 2)]
    bars = [row["settings"].get("bar") for row in trial if row["name"] == growth.PARTICIPANTS]
    assert bars == [None, *[1.10] * (len(TRIAL.participants) - 1)]


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own():
    here = memory.peak_mebibytes()
    ballast = np.ones(int((here + 200) * 2**17))  # this process then holds more than the other will
    row = memory.memory_row(TRIAL.model, TRIAL.study, 1, 2, 1)
    assert ballast.sum() > 0 and 50 < row.ours < memory.peak_mebibytes() - 100
    assert row.settings["bar"] == 3072 and row.unit == "MiB"


def test_memory_says_why_it_was_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    row = memory.memory_row(TRIAL.model, TRIAL.study, 1, 2, 1)
    assert row.ours is None and "benchmarks" in row.settings["not_run"]


# The page.


def results(rows: list[dict[str, Any]], folder: Path) -> tuple[Row, ...]:
    write_json(folder / "results.json", rows)
    return read_results(folder / "results.json")


@pytest.mark.slow
def test_the_page_says_what_the_rows_say(trial, tmp_path):
    shown = results(trial, tmp_path)
    page = re.sub(r"\\(.)", r"\1", benchmark_page(shown))
    for row in shown:
        value = row.ratio if row.ratio is not None else row.ours
        assert row.peer in page and (value is None or f"| {value:.3g}" in page), row
    held = [row for row in shown if row.met is not None]
    met = [row for row in held if row.met]
    assert f"{len(met)} of {len(held)} aims are met" in page and len(met) < len(held)
    assert "trial" in page and "not installed" in page and "GPU" in page
    assert page.count("| not met") + page.count("| not run") == len(held) - len(met)


@pytest.mark.parametrize(("kind", "value", "met"), [
    ("at least", 3.0, True), ("at least", 2.99, False), ("at most", 3.0, True), ("at most", 3.01, False),
    ("at least", None, False),
])  # fmt: skip
def test_a_bar_is_met_or_not(kind, value, met):
    assert Row("n", "p", None, value, None, "u", {"bar": 3.0, "bar_kind": kind}).met is met
    assert Row("n", "p", None, value, None, "u", {}).met is None


def test_the_committed_page_is_that_of_the_committed_results(tmp_path):
    assert COMMITTED.with_name("page.md").read_text(encoding="utf-8") == benchmark_page(read_results())
    assert read_results(tmp_path / "results.json") == ()


@pytest.mark.parametrize("text", ["{", '{"name": 1}', '[{"name": "a"}]'])
def test_a_broken_file_is_an_error(text, tmp_path):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match="make bench"):
        read_results(tmp_path / "results.json")


def test_the_full_run_has_the_sizes_that_the_bars_speak_of():
    assert FULL.repeats >= 3 and FULL.memory == 929 and 64 in FULL.batches
    assert FULL.participants[-1] == 10 * FULL.participants[0] and FULL.people[-1] == 100_000
