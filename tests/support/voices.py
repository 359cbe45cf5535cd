"""Voices for tests: the smallest compact model with first values, exported like a real one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

import portavoz
from portavoz.families.compact.config import MINIMAL, CompactConfig
from portavoz.families.compact.loop import Eager
from portavoz.ops import open as open_ops
from portavoz.train.voice.bundle import bundle
from portavoz.weights import file
from portavoz.weights.cursor import Weights

SPEAKERS = ("first", "second")


def tiny(folder: Path, *, name: str = "tiny", seed: int = 1) -> Path:
    """A voice folder with two speakers that babbles: first values, but a duration of some frames for each symbol."""
    config = dataclasses.replace(MINIMAL, speakers=len(SPEAKERS))
    folder.mkdir(parents=True)
    file.write(folder / "fresh.safetensors", first_values(config, seed), metadata(config))
    bundle(
        [folder / "fresh.safetensors"],
        folder,
        name=name,
        speakers=SPEAKERS,
        card={"licence": "none", "about": "a test"},
    )
    (folder / "fresh.safetensors").unlink()
    return folder


def metadata(config: CompactConfig) -> dict[str, str]:
    """What the weights' file says about itself."""
    return {"family": "compact", "layout": "torch", "config": json.dumps(config.to_dict())}


def first_values(config: CompactConfig, seed: int) -> dict[str, np.ndarray]:
    """Weights by path as a training begins with them, shifted so that the model is heard."""
    w = Weights.fresh(open_ops("numpy"), seed)
    Eager(w, config)
    arrays = {path: np.array(a) for path, a in w.arrays().items()}
    # log(1 + 6 frames), and a mel about as loud as speech.
    arrays["acoustic.durations.out.bias"] += np.log(7.0)
    arrays["acoustic.decoder.mean"] -= 4.0
    arrays["acoustic.decoder.scale"] *= 2.0
    return arrays


def fingerprint() -> str:
    """A number for everything that the files of `tiny` depend on; another one means making it again."""
    import torch

    source = Path(portavoz.__file__).parent
    rooms = ("ops", "weights", "blocks", "families", "graph", "train/voice/bundle.py")
    files = sorted(f for room in rooms for f in [source / room, *(source / room).rglob("*")] if f.suffix == ".py")
    digest = hashlib.sha256(torch.__version__.encode())
    for path in [*files, Path(__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def copied(voice: Path, to: Path) -> Path:
    """A copy that a test may break."""
    shutil.copytree(voice, to)
    return to


def edited(voice: Path, **changes: object) -> None:
    """Change keys of voice.json; None takes one out."""
    about = json.loads((voice / "voice.json").read_text(encoding="utf-8"))
    for key, value in changes.items():
        if value is None:
            about.pop(key)
        else:
            about[key] = value
    (voice / "voice.json").write_text(json.dumps(about), encoding="utf-8")
