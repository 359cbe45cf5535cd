"""A family of somebody else's: each letter hums for a while at a pitch of its own. All of it is in this file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from portavoz.blocks.block import Block
from portavoz.families.probe import parity_weights
from portavoz.families.spec import CheckpointPart, FamilySpec, Input, Probe, StageSpec, Target
from portavoz.families.synthesis import SynthesisOptions, SynthesisStream
from portavoz.folder import describe, verify
from portavoz.ops.tap import tap
from portavoz.text.chunks import TextChunk, split_text
from portavoz.weights import file
from portavoz.weights.cursor import Weights

RATE, HOP = 8000, 800


@dataclasses.dataclass(frozen=True)
class Config:
    letters: int = 128
    hidden: int = 12

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Encoder(Block):
    def __init__(self, w: Weights, c: Config) -> None:
        super().__init__(w)
        self.table, self.mix = w.embedding("table", c.letters, c.hidden), w.linear("mix", c.hidden, c.hidden)

    def __call__(self, ids: Any) -> Any:
        return self.ops.gelu(self.mix(self.table(ids)))


class Vocoder(Block):
    def __init__(self, w: Weights, c: Config) -> None:
        super().__init__(w)
        self.out = w.linear("out", c.hidden, HOP)

    def __call__(self, hidden: Any) -> Any:
        return self.ops.tanh(self.out(hidden))


class Model:
    """The eager model: ids [1, S] → hidden [1, S, C] → wave [1, S, hop]; NumPy at its doors."""

    def __init__(self, w: Weights, c: Config) -> None:
        self.ops, self.encoder, self.vocoder = w.ops, Encoder(w / "encoder", c), Vocoder(w / "vocoder", c)

    def encode(self, ids: Any) -> Any:
        return self.ops.numpy(self.encoder(self.ops.tensor(ids)))

    def vocode(self, hidden: Any) -> Any:
        return self.ops.numpy(self.vocoder(self.ops.tensor(hidden)))


class Sessions:
    """The same on compiled stages."""

    def __init__(self, sessions: Any) -> None:
        self.encode = lambda ids: sessions["encode"].run(ids=ids)[0]
        self.vocode = lambda hidden: sessions["vocode"].run(hidden=hidden)[0]


def loop(model: Any, ids: Any) -> Any:
    """The loop, once: every value that crosses a stage's border is named."""
    hidden = tap("hidden", model.encode(ids))
    return tap("wave", model.vocode(hidden).reshape(len(ids), -1))


class Folder:
    """A voice's folder, opened."""

    def __init__(self, folder: Path, lookup: Any = None) -> None:
        self.folder, self.known = folder, describe(folder)
        self.config = Config(**self.known["config"])
        self.about, self.graphs = (lambda: self.known), dict

    def files(self) -> list[Path]:
        verify(self.folder, self.known)
        return [self.folder / "model.safetensors"]

    def tensors(self) -> dict[str, Any]:
        return {"model": file.read(self.files()[0])[0]}

    def eager(self, ops: Any) -> Model:
        return Model(Weights.load(self.files()[0], ops), self.config)


class Hum:
    """What `Voice` speaks through."""

    timed, rate, speakers = False, RATE, ("hum",)

    def __init__(self, model: Any) -> None:
        self.model, self.speaker = model, lambda wanted: 0

    def split_text(self, text: Any, manner: SynthesisOptions) -> Any:
        return split_text(text)

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        ids = np.array([[ord(symbol[0]) for symbol in chunk.symbols]])
        return SynthesisStream((), iter([loop(self.model, ids)[0]]))


def stages(c: Config) -> tuple[StageSpec, ...]:
    ids, hidden = np.arange(22).reshape(2, 11), np.zeros((2, 11, c.hidden), np.float32)
    return (
        StageSpec("encode", {"ids": Input("B S", ids)}, {"hidden": "B S"}, lambda w, c: Encoder(w / "encoder", c)),
        StageSpec("vocode", {"hidden": Input("B S", hidden)}, {"wave": "B S"}, lambda w, c: Vocoder(w / "vocoder", c)),
    )


def write(folder: Path, config: Config) -> Path:
    """A voice with parity weights."""
    file.write(folder / "model.safetensors", parity_weights(lambda w: Model(w, config), 0), {"layout": "torch"})
    data = (folder / "model.safetensors").read_bytes()
    files = {"model.safetensors": {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}}
    about = {"format": 1, "name": "hummer", "family": "hum", "rate": RATE, "speakers": ["hum"], "files": files}
    (folder / "voice.json").write_text(json.dumps({**about, "config": config.to_dict()}))
    return folder


PROBE = Probe(
    configs={"tiny": Config()}, weights=lambda c: parity_weights(lambda w: Model(w, c), 0),
    inputs=lambda c, seed, steps: {"ids": np.random.default_rng(seed).integers(0, c.letters, (2, 11))},
    run=lambda model, given, c: loop(model, given["ids"]),
    decisions=lambda c, values: {"samples": values["wave"][0].shape[1]}, title=lambda c: "hum, tiny",
    bring_up=lambda c: (("encode", "encoder.*"), ("vocode", "vocoder.*")), notes=lambda c: "- gelu by erf; tanh.\n",
    parts=lambda model: (model.encoder, model.vocoder),
)  # fmt: skip
FAMILY = FamilySpec(
    name="hum", title="the humming family", configs={"tiny": Config()}, parse=lambda values, folder: Config(**values),
    parts=(CheckpointPart("model", Model),), stages=stages, runtimes={"eager": ("float32",), "onnx": ("float32",)},
    shown=({"name": "encode", "inputs": ["ids: batch letters"], "outputs": ["hidden: batch letters"]},
           {"name": "vocode", "inputs": ["hidden: batch letters"], "outputs": ["wave: batch samples"]}),
    open=Folder, eager=lambda w, c: Model(w["model"], c), runner=lambda sessions, host, c: Sessions(sessions),
    synthesizer=lambda folder, engine: Hum(engine.one), lengths={"letters": 10},
    exercise=lambda model, c, lengths: loop(model, np.zeros((1, lengths["letters"]), np.int64)),
    probe=Target("toy_family:PROBE"),
)  # fmt: skip
