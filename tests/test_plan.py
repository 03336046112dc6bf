"""What `make plan` says of time, memory and cost: whose times count, and how they are added up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pilotlm.answering.estimates import NodeGuesses
from pilotlm.cli import main
from pilotlm.errors import InputError
from pilotlm.profile import Profile, load_profile
from pilotlm.showing.plan import Expected, Node, Prices, expected_of, nodes_of, plan_table, recorded

DRY_RUN = """\
Job stats:
all    1

[Sat Jan  1 00:00:00 2000]
rule prepare:
    input: notebooks/01-prepare.ipynb, rule=x
    wildcards: study=framing
    resources: tmpdir=/tmp
rule finetune:
    output: wildcards: study=other
    wildcards: study=framing, arm=tuned_all_25, seed=3
    priority: 10
    resources: tmpdir=/tmp, runtime=240, gpu=2, mem_mb=40000, mem=40 GB
localrule baselines_one_25:
    wildcards: study=anes96, seed=1
rule decision_page:
    wildcards: study=anes96
rule all:
    input: results/x/rendered.txt
"""
TRAINED = Node("finetune", {"study": "framing", "arm": "tuned_all_25", "seed": "3"}, 2)


def record(stage: str, seconds: float = 3600, mib: float = 100, **parameters: Any) -> dict[str, Any]:
    model = {"model": "smollm2-135m-instruct", "revision": ""} if stage in ("finetune", "simulate") else {}
    return {
        "stage": stage,
        "parameters": model | parameters,
        "wall_seconds": seconds,
        "peak_memory_mib": mib,
    }


def nothing(_: Node) -> None:
    return None


def minute(_: Node) -> tuple[float, float]:
    return 60.0, 50.0


@pytest.fixture
def quick() -> Profile:
    return load_profile("quick")


def test_nodes_are_read_from_a_dry_run() -> None:
    prepare, trained, opponents, page = nodes_of(DRY_RUN)
    assert prepare == Node("prepare", {"study": "framing"}) and prepare.answerer == ""
    assert trained == TRAINED and (trained.stage, trained.answerer) == ("finetune", "tuned_all_25")
    assert (opponents.stage, opponents.answerer, opponents.study) == ("baselines", "one_25", "anes96")
    assert page.stage == "decision_page"


def test_the_same_arm_counts_before_others_of_the_study_and_seeds_are_averaged(quick: Profile) -> None:
    same = [record("finetune", t, m, study="framing", arm="tuned_all_25") for t, m in ((10, 7), (30, 5))]
    runs = {"reference": [*same, record("finetune", 99, study="framing", arm="tuned_one_25")]}
    assert expected_of(TRAINED, runs, quick, minute) == Expected(20, 7, "run reference")
    assert expected_of(TRAINED, {"reference": runs["reference"][2:]}, quick, minute) == Expected(
        99, 100, "run reference"
    )


def test_runs_count_in_their_order(quick: Profile) -> None:
    runs = {name: [record("finetune", t, study="framing", arm="x")] for name, t in (("quick", 5), ("reference", 9))}
    found = expected_of(TRAINED, runs, quick, minute)
    assert found is not None and (found.source, found.seconds) == ("run quick", 5)


def test_another_model_or_study_gives_way_to_the_guess(quick: Profile) -> None:
    other = {"reference": [record("finetune", 9, study="framing", arm="tuned_all_25", model="else/model")]}
    assert expected_of(TRAINED, other, quick, minute) == Expected(60, 50, "a guess")
    assert expected_of(TRAINED, other, quick, nothing) is None
    elsewhere = {"reference": [record("finetune", 9, 8, study="anes96", arm="tuned_all_25")]}
    assert expected_of(TRAINED, elsewhere, quick, minute) == Expected(60, 50, "a guess")
    assert expected_of(TRAINED, elsewhere, quick, nothing) == Expected(9, 8, "run reference")
    assert expected_of(Node("coherence", {"study": "framing"}), elsewhere, quick, minute) is None


def test_the_table_adds_up_and_tells_what_is_not_known(quick: Profile) -> None:
    runs = {"quick": [record("finetune", 1800, 900, study="framing", arm="tuned_all_25"), record("prepare", 3600, 80)]}
    nodes = [TRAINED, TRAINED, Node("prepare", {"study": "framing"}), Node("render")]
    said = plan_table(nodes, quick, runs, nothing, Prices(core=2, gpu=10))
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line}
    # Two trainings of half an hour, each on one core and two GPUs: 1 core-hour at 2 and 2 GPU-hours at 10.
    assert rows["finetune"] == ["finetune", "2", "1.00", "900", "2", "22.00", "run", "quick"]
    assert rows["prepare"] == ["prepare", "1", "1.00", "80", "0", "2.00", "run", "quick"]
    assert rows["render"] == ["render", "1", "–", "–", "0", "–", "unknown"]
    assert rows["total"] == ["total", "4", "2.00", "900", "2", "24.00"]
    assert said.endswith("left out of the sums: 1.\n")
    assert plan_table([], quick, runs, nothing, Prices()) == "Nothing would run.\n"


def test_threads_of_a_node_count_and_no_price_is_no_cost(quick: Profile) -> None:
    runs = {"quick": [record("finetune", 3600, 900, study="framing", arm="tuned_all_25")]}
    said = plan_table([TRAINED], quick.model_copy(update={"threads": 4}), runs, nothing, Prices())
    assert "4.00" in said and "left out" not in said and said.splitlines()[-3].split()[-1] == "–"


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_a_price_is_a_number_of_at_least_0(price: float) -> None:
    with pytest.raises(InputError, match="at least 0"):
        Prices(gpu=price)


def test_manifests_of_the_profile_come_first_and_broken_ones_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTLM_HOME", str(tmp_path))
    monkeypatch.setenv("PILOTLM_RESULTS", str(tmp_path / "run"))

    def write(folder: str, content: Any) -> None:
        path = tmp_path / folder / "manifest.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    assert recorded("quick") == {}
    good, broken = record("prepare", study="framing"), {"stage": "prepare", "wall_seconds": "long"}
    write("results/reference", {"records": {"framing": {"01-prepare": good, "x": broken, "y": 3}, "z": []}})
    assert recorded("quick") == {"reference": [good]}
    write("run/quick", {"records": {"framing": {"01-prepare": record("prepare", 5)}}})
    assert list(recorded("quick")) == ["quick", "reference"]
    for content in ([], {}, {"records": 3}):
        write("run/quick", content)
        assert list(recorded("quick")) == ["reference"]


def test_guesses_are_those_of_the_estimates() -> None:
    profile = load_profile("smoke")
    guess = NodeGuesses(profile)
    trained, simulated = (guess(stage, "framing", "tuned_all_25", 1) for stage in ("finetune", "simulate"))
    assert trained is not None and simulated is not None and trained[0] > 0 and simulated[0] > 0
    assert trained[1] == simulated[1] > 1000
    gone = NodeGuesses(profile.model_copy(update={"model": "/no/such/folder"}))
    assert gone("finetune", "framing", "tuned_all_25", 1) is None
    assert guess("finetune", "nobody", "tuned_all_25", 1) is None


@pytest.mark.parametrize(
    ("words", "said"), [(["quikc"], "no profile 'quikc'"), (["quick", "--price", "-1"], "at least 0"),
                        (["quick", "--cores", "0"], "At least one process")],
)  # fmt: skip
def test_mistakes_are_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *words]) == 1
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
