"""The compact family's stages as compiled graphs: exported from the torch back end, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..families.compact.acoustic import layout
from ..families.compact.config import CompactConfig
from ..families.compact.loop import STAGES, Compact, Eager, Floats, inputs
from ..ops import open as open_ops
from ..weights.cursor import Weights
from .onnx import Session


class Compiled:
    """The stages on ONNX Runtime, one file each: encode.onnx, decode.onnx, vocode.onnx."""

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        self.sessions = {name: Session(Path(folder) / f"{name}.onnx", threads=threads) for name in STAGES}

    def encode(
        self, ids: NDArray[np.int64], speaker: NDArray[np.int64], pitch: Floats | None = None
    ) -> tuple[Floats, Floats]:
        moved = {} if pitch is None else {"pitch": pitch}
        memory, log_durations = self.sessions["encode"].run(ids=ids, speaker=speaker, **moved)
        return memory, log_durations

    def decode(self, memory: Floats, index: NDArray[np.int64], place: Floats) -> Floats:
        return self.sessions["decode"].run(memory=memory, index=index, place=place)[0]

    def vocode(self, mel: Floats) -> Floats:
        return self.sessions["vocode"].run(mel=mel)[0]


def compiled(folder: str | Path, c: CompactConfig, *, threads: int = 1) -> Compact:
    """A compact model whose stages ONNX Runtime runs."""
    return Compact(Compiled(folder, threads=threads), c)


def export_stages(weights: str | Path, c: CompactConfig, folder: str | Path, *, half: bool = True) -> list[Path]:
    """Write encode.onnx, decode.onnx and vocode.onnx of a safetensors file. Needs the extra `torch`."""
    from ..atomic import atomic
    from .export import export

    open_ops("torch")  # it says what is missing, and how to get it
    from .export_ops import ExportOps

    w = Weights.load(weights, ExportOps())
    model = Eager(w, c)
    w.finish()
    # Two rows and eleven symbols: sizes that are no width of any model, so no axis is taken for a constant.
    ids, speaker = np.arange(22).reshape(2, 11) % c.symbols, np.zeros(2, np.int64)
    index, place = layout(np.full((2, 11), 4))
    memory, _ = model.encode(ids, speaker)
    mel = model.decode(memory, index, place)
    calls = {
        "encode": (model.acoustic.encode, (ids, speaker)),
        "decode": (model.acoustic.decode, (memory, index, place)),
        "vocode": (model.stage, (mel,)),
    }
    if c.pitch:
        moved = (ids, speaker, np.zeros(2, np.float32))
        calls["encode"] = (lambda ids, speaker, pitch: model.acoustic.encode(ids, speaker, pitch=pitch), moved)
    paths = []
    for name, (stage, examples) in calls.items():
        named = list(zip(inputs(c, name), examples))
        graph = export(stage, named, STAGES[name]["outputs"], w=w, half=half)
        paths.append(Path(folder) / f"{name}.onnx")
        with atomic(paths[-1], "wb") as out:
            out.write(graph)
    return paths
