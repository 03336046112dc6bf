"""The machine and the versions of a run, in general terms: no host name and no path."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from pilotlm.records import git_state, versions

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "numpy", "accelerate", "outlines", "trl", "datasets")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile")
"""The parts of an x86 processor that decide how fast it multiplies matrices, bfloat16 above all."""


def run_facts(threads: int, quick: bool) -> dict[str, Any]:
    """What holds for all rows of a run, ready for JSON; ``quick`` if its sizes are those of a trial."""
    return {
        "threads": threads,
        "quick": quick,
        "started": datetime.now(UTC).isoformat(timespec="minutes"),
        "load_at_start": round(os.getloadavg()[0], 2),
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        **git_state(),
    }


def hardware() -> dict[str, Any]:
    """The processor, its cores and flags, the memory, and the accelerators that torch finds."""
    cpuinfo = Path("/proc/cpuinfo")
    first = cpuinfo.read_text(encoding="utf-8").split("\n\n")[0] if cpuinfo.is_file() else ""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    flags = set(fields.get("flags", "").split())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "cores": cores(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "memory_gib": round(pages / 2**30),
        "gpus": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())],
        "system": f"{platform.system()} {platform.machine()}",
    }


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
