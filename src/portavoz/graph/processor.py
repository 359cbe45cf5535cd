"""Processor features that determine how a stage should run: detected, never assumed."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path


@functools.cache
def bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; emulation is 5–18 times slower."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags()))


def native_precisions() -> frozenset[str]:
    """The precisions that this processor multiplies natively: "bfloat16", and "int8" with accumulation."""
    whole = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"} & set(flags())
    return frozenset(["bfloat16"] * bfloat16() + ["int8"] * bool(whole))


def flags() -> list[str]:
    """The processor's features as the system calls them, in lower case; empty if unknown."""
    if platform.system() == "Darwin" and shutil.which("sysctl"):
        said = subprocess.run(["sysctl", "hw.optional.arm.FEAT_BF16"], capture_output=True, text=True).stdout
        return ["bf16"] if said.strip().endswith("1") else []
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    listed = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return listed.partition(":")[2].lower().split()


def kind() -> str:
    """A checksum of its features: measurements on one kind do not apply to another."""
    return hashlib.sha256(" ".join(sorted(flags())).encode()).hexdigest()[:16]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
