"""What this machine has: detected where possible, never assumed."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..graph import processor
from .memory import peak_memory

# Our name of a CPU feature → what /proc/cpuinfo (x86, ARM) and sysctl (macOS) call it.
FEATURES: dict[str, tuple[str, ...]] = {
    "avx2": ("avx2", "hw.optional.avx2_0"),
    "avx512": ("avx512f", "hw.optional.avx512f"),
    "vnni": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "bf16", "hw.optional.arm.feat_bf16"),
    "amx": ("amx_tile", "hw.optional.amx_version"),
    "neon": ("asimd", "neon", "hw.optional.neon", "hw.optional.advsimd"),
    "i8mm": ("i8mm", "hw.optional.arm.feat_i8mm"),
}

# Extra → (what it adds, the modules it brings).
EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "torch": ("the torch back end", ("torch", "onnx")),
    "onnx": ("compiling a checkpoint or a trained voice", ("onnx",)),
    "train": ("training", ("torch", "yaml", "psutil")),
    "evaluate": ("word errors and intelligibility of a voice", ("pocketsphinx", "pystoi")),
    "judge": ("neural judges of a voice", ("faster_whisper",)),
    "pesq": ("PESQ, if its licence allows your use", ("pesq",)),
    "plot": ("plots of a wave and its mel", ("matplotlib",)),
    "hub": ("checkpoints on the hub, and their tokenizers", ("huggingface_hub", "sentencepiece")),
    "open": ("third-party voices that are ONNX files", ("onnx",)),
    "watermark": ("inaudible watermarks, in families that have them", ("perth", "torchaudio", "librosa")),
    "openvino": ("compiled stages on OpenVINO, int8 weights", ("openvino", "nncf", "onnx")),
    "mlx": ("the MLX back end", ("mlx",)),
    "jax": ("JAX programs in the lab", ("jax",)),
    "reference": ("comparing with transformers in the lab", ("transformers",)),
    "stream": ("streamed MP3, Opus and AAC", ("av",)),
    "serve": ("the HTTP server", ("fastapi", "uvicorn", "pydantic_settings", "prometheus_client", "wyoming")),
    "ray": ("the server on Ray Serve", ("ray", "fastapi")),
    "bulk": ("Parquet manifests, object stores, Ray", ("ray", "pyarrow", "fsspec")),
    "tensorboard": ("training logs in TensorBoard", ("tensorboard", "torch")),
    "wandb": ("training logs in Weights & Biases", ("wandb", "torch")),
    "ttnn": ("the TTNN back end; without the package its golden executor runs on torch", ("torch",)),
}


def system() -> dict[str, Any]:
    """Python, the system, the processor's name and the cores this process may use."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": processor.cores(),
    }


def features() -> dict[str, bool] | None:
    """Which of FEATURES the processor reports; None if unknown."""
    listed = _field("flags", "Features") or _sysctl()
    if not listed:
        return None
    words = set(listed.lower().split())
    return {name: any(word in words for word in known) for name, known in FEATURES.items()}


def devices() -> list[str]:
    """Accelerators that the installed back ends can use: "cuda:0 NAME", "mps", "mlx gpu"."""
    from .. import ops

    return [device for name in ops.installed() for device in ops.backend(name).devices()]


def extras() -> dict[str, dict[str, Any]]:
    """Each extra: its purpose, whether all of it is installed, and the install command."""
    return {
        name: {
            "adds": adds,
            "installed": all(find_spec(module) for module in modules),
            "install": f"pip install 'portavoz[{name}]'",
        }
        for name, (adds, modules) in EXTRAS.items()
    }


def memory() -> float:
    """The peak memory of this process in MB; NaN if the system does not report it."""
    peak = peak_memory()
    return float("nan") if peak is None else peak


def cpuinfo() -> str:
    """Linux's description of the processor; "" elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def said(*command: str) -> str | None:
    """The output of a system command; None if it is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def _processor() -> str:
    name = _field("model name", "Model") or said("sysctl", "-n", "machdep.cpu.brand_string")
    return (name or platform.processor() or platform.machine()).strip()


def _field(*names: str) -> str:
    """The value of the first of these fields of /proc/cpuinfo."""
    for line in cpuinfo().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value
    return ""


def _sysctl() -> str:
    """The features that macOS reports as present."""
    lines = (said("sysctl", "hw.optional") or "").splitlines()
    return " ".join(
        name for name, _, value in (line.partition(":") for line in lines) if value.strip() not in ("", "0")
    )
