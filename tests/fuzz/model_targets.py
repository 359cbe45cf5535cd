"""More of what is fuzzed: open voices' files, what trainings, kits and the server keep, listeners' answers."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import mutation
import numpy as np
from targets import Target, headed, json_of, tensors, texts, values, written

from portavoz.evaluate import ratings
from portavoz.families.kokoro import config as kokoro
from portavoz.families.kokoro.styles import STYLE, Styles, style
from portavoz.families.piper import config as piper
from portavoz.lab.checkpoint import prepare
from portavoz.lab.kit import kit
from portavoz.ops.ttnn import schedule
from portavoz.serve.recordings import Recording
from portavoz.serve.store import Store
from portavoz.train.data import corpus, features
from portavoz.train.loop import checkpoint
from portavoz.weights import shards

ID = "voice_" + "0123456789ab" * 2
RECORDING = {"id": ID, "name": "x", "model": "m", "seconds": 2.0, "created": 1_700_000_000, "consent": "true"}
ANSWERS = {
    "format": ratings.FORMAT, "version": ratings.VERSION, "page": "p", "listener": "l", "test": "mos",
    "answers": [{"sentence": "s", "system": "a", "score": 4}, {"sentence": "s", "system": "b", "score": 3}],
}  # fmt: skip
KIT = {
    "format": kit.FORMAT, "version": kit.VERSION, "family": "compact", "config": {}, "layout": "torch",
    "tensors": {"a": {"role": "linear", "shape": [2, 3]}}, "stages": [{"name": "encode", "file": "encode.safetensors"}],
}  # fmt: skip
SCHEDULE = (
    '[defaults]\ndtype = "bfloat16"\n[[rule]]\nmatch = ["*.conv*"]\nfidelity = "hifi4"\ngrid = [8, 8]\n'
    "[buckets]\nT = 64\n"
)
SAVED = {
    "__metadata__": {"step": "40", "config": '{"steps": 40}', "state": '{"best": 1.5}', "layout": "torch"},
    "model/a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
}
PREPARED = {
    "__metadata__": {
        "backend": "ttnn", "schedule": "bfloat16", "layout": "ttnn",
        "prepared": '{"a": {"dtype": "bfloat16", "order": [1, 0], "memory": "dram"}}',
    },
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
}  # fmt: skip
INDEX = {"metadata": {"total_size": 24}, "weight_map": {"a": "model-1.safetensors", "b": "model-1.safetensors"}}
CORPUS = {"rate": 22050, "alphabet": 1, "speakers": ["ann", "bob"], "made_from": "x"}


def _metadata(header: Any, data: bytes) -> Any:
    """A safetensors file of which one text of the metadata is changed, or the whole header."""
    whole = headed(header, data)

    def make(chance: random.Random) -> bytes:
        if chance.random() < 0.4:
            return whole(chance)
        about = dict(header["__metadata__"])
        key = chance.choice(sorted(about))
        try:
            about[key] = json.dumps(mutation.of_value(json.loads(about[key]), chance))
        except ValueError:
            about[key] = mutation.of_text(about[key], chance)
        return tensors({**header, "__metadata__": about}, data)

    return make


def _archive() -> bytes:
    made = io.BytesIO()
    np.savez(made, af_x=np.ones((510, 1, STYLE), np.float32))
    return made.getvalue()


def _styles(path: Path) -> None:
    held = Styles(path.parent)
    for name in held:
        style(name, held)


def _kit(path: Path) -> None:
    for name in ("weights", "inputs"):
        header = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
        (path.parent / f"{name}.safetensors").write_bytes(tensors(header, bytes(24)))
    kit.open_kit(path.parent)


def _stored(path: Path) -> None:
    Store(path.parent, 10, "voice", Recording).listed()


def _few_bytes(content: bytes) -> Any:
    """Changes in the first and in the last kilobyte, where an archive keeps its structure."""

    def make(chance: random.Random) -> bytes:
        if chance.random() < 0.5:
            return mutation.of_bytes(content[:1024], chance) + content[1024:]
        return content[:-1024] + mutation.of_bytes(content[-1024:], chance)

    return make


def _answers(path: Path) -> None:
    ratings.join([path])


TARGETS: dict[str, Target] = {
    "Piper values": Target(values(piper.MEDIUM.to_dict()), lambda found, _: piper.parse(found)),
    "Kokoro values": Target(values(kokoro.KokoroConfig().to_dict()), lambda found, _: kokoro.parse(found)),
    "Kokoro styles": Target(_few_bytes(_archive()), written("voices.bin", _styles)),
    "ttnn schedule": Target(texts(SCHEDULE), written("s.toml", schedule.load)),
    "training checkpoint": Target(_metadata(SAVED, bytes(24)), written("c.safetensors", checkpoint.load)),
    "prepared weights": Target(_metadata(PREPARED, bytes(24)), written("p.safetensors", prepare.read)),
    "shard index": Target(json_of(INDEX), written("m.safetensors.index.json", shards.index)),
    "corpus.json": Target(json_of(CORPUS), written("corpus.json", lambda path: corpus.Corpus.names(path.parent))),
    "digests": Target(
        json_of({"x": [1, 2, "ff"]}), written("digests.json", lambda path: features.digests(path, [path]))
    ),
    "kit.json": Target(json_of(KIT), written("kit.json", _kit)),
    "stored recording": Target(json_of(RECORDING), written(f"{ID}.json", _stored)),
    "listening answers": Target(json_of(ANSWERS), written("a.json", _answers)),
}  # fmt: skip
