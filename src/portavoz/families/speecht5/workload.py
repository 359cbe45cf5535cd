"""What `portavoz tune` measures of a SpeechT5: one text, one speaker, so many steps of the decoding loop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .config import SpeechT5Config
from .loop import SpeechT5, decode
from .stages import Stages
from .validation import StoppingCriteria
from .vocoder import STRIDE

Floats = NDArray[np.float32]
STEPS, FRAMES = 200, 400  # of a sentence, for which the number of rows is chosen


class Workload:
    """One text, one speaker, and what eager float32 makes of them."""

    # Rows are post-netted and vocoded one by one, whatever the batch.
    by_row: frozenset[str] = frozenset({"postnet", "vocode"})
    sentence: Mapping[str, float] = MappingProxyType(
        {"encode": 1.0, "step": STEPS, "postnet": FRAMES / STRIDE, "vocode": FRAMES / STRIDE}
    )

    def __init__(self, c: SpeechT5Config, steps: int, symbols: int) -> None:
        if not 1 <= steps <= c.max_speech_positions:
            raise InputError(f"{steps} steps: the model has 1 to {c.max_speech_positions}")
        self.c, self.steps = c, steps
        draw = np.random.default_rng(0)
        self.ids = draw.integers(0, c.vocab_size, (1, min(symbols, c.max_text_positions)))
        self.ids[self.ids == c.pad_token_id] = c.eos_token_id
        self.speaker = draw.standard_normal((1, c.speaker_embedding_dim)).astype(np.float32)

    def prepare(self, runner: Stages) -> None:
        self.masks = SpeechT5(runner, self.c).masks(0, self.steps)
        frames = STRIDE + 2 * self.c.vocoder.reach()
        mel, _ = self._decoded(runner, 1)
        self.window = np.resize(mel, (1, frames, self.c.num_mel_bins)).astype(np.float32)

    def output(self, stage: str, runner: Stages) -> Floats:
        return getattr(runner, stage)(self.window) if stage in self.by_row else self._decoded(runner, 1)[0]

    def seconds(self, stage: str, runner: Stages, batch: int) -> float:
        if stage == "step":
            return self._decoded(runner, batch)[1]
        ids, speaker = np.repeat(self.ids, batch, 0), np.repeat(self.speaker, batch, 0)
        took = 0.0
        for _ in range(2):  # the first call of a shape prepares for it
            start = time.perf_counter()
            if stage == "encode":
                runner.encode(ids, ids >= 0, speaker, self.steps)
            else:
                getattr(runner, stage)(self.window)
            took = time.perf_counter() - start
        return took

    def speak(self, runner: Stages, workers: int) -> None:
        ratio = self.steps * self.c.reduction_factor / self.ids.shape[1]
        stop = StoppingCriteria(threshold=self.c.reduction_factor + 1.0, maxlenratio=ratio)
        model = SpeechT5(runner, self.c, workers=workers)
        said = model.synthesize(self.ids[0], self.speaker[0], masks=self.masks, stop=stop)
        for _ in said.waves:
            pass

    def _decoded(self, runner: Stages, batch: int) -> tuple[Floats, float]:
        """A free run: frames [1, steps · r, mels] of the first row, and the median seconds of a step."""
        ids = np.repeat(self.ids, batch, 0)
        state = runner.encode(ids, ids >= 0, np.repeat(self.speaker, batch, 0), self.steps)

        def kept(step: int, rows: Sequence[int]) -> Floats:
            return np.repeat(self.masks[:, None, step], len(rows), 1)

        frames: list[Floats] = []
        times: list[float] = []
        start = time.perf_counter()
        for step in decode(runner, state, kept, self.steps, self.c, rows=batch):
            times.append(time.perf_counter() - start)
            frames.append(step.frames[:1])
            start = time.perf_counter()
        return np.concatenate(frames, 1), float(np.median(times))
