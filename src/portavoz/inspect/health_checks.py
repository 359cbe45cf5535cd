"""What the doctor looks at: one sentence on its way through a voice. Each method is a step, and tells what it made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import BackendError

if TYPE_CHECKING:
    from ..families.compact.loop import Compact as Model
    from ..voice import Voice

SENTENCE = "The doctor says that every stage works."


def steps(name: str | None, open_voice: Callable[[], Voice]) -> list[Callable[[], str]]:
    """The steps of the voice that was asked for, in order."""
    from pathlib import Path

    from ..folder import is_checkpoint
    from ..loading.locate import NAME

    place = Path(name or "")
    elsewhere = NAME.fullmatch(name or "") is not None and not place.exists()
    if is_checkpoint(place) or elsewhere:
        letters = Letters(name, open_voice)
        return [letters.voice, letters.text, letters.ids, letters.memory, letters.mel, letters.wave]
    known = Compact(name, open_voice)
    return [known.voice, known.text, known.phonemes, known.durations, known.mel, known.wave]


def _finite(values: Any, name: str) -> None:
    import numpy as np

    if not np.isfinite(values).all():
        raise BackendError(f"{name}: NaN or infinity in it, wanted finite numbers; try another runtime")


def _heard(samples: Any, rate: int) -> str:
    """Length and level of a wave. Raises BackendError for NaN and for silence."""
    import numpy as np

    _finite(samples, "wave")
    loud = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    if loud < 1e-4:
        raise BackendError(
            f"wave: silence (level {loud:.1e}), wanted speech; try another runtime, or install the voice again"
        )
    return f"{len(samples) / rate:.2f} s at {rate} Hz, level {20 * np.log10(loud):.0f} dB"


class Compact:
    """A compact voice."""

    def __init__(self, name: str | None, open_voice: Callable[[], Voice]) -> None:
        self.name, self.open_voice = name, open_voice

    def voice(self) -> str:
        """Open the voice, all of its files compared with their checksums."""
        from ..folder import describe, find, verify
        from ..loading.compact import CompactVoice

        folder = find(self.name)
        verify(folder, describe(folder))
        self.opened = self.open_voice()
        assert isinstance(self.opened.model, CompactVoice)
        self.model: Model = self.opened.model.model
        return f"{self.opened.name} on {self.opened.runtime}, checksums right"

    def text(self) -> str:
        """Words of the sentence."""
        from ..text import normalize

        return normalize(SENTENCE)

    def phonemes(self) -> str:
        """Symbols of the words."""
        from ..text.chunks import split_text

        self.symbols = next(iter(split_text(SENTENCE))).symbols
        return " ".join(self.symbols[1:])

    def durations(self) -> str:
        """Frames of the symbols."""
        self.memory, predicted = self.model.encode(self.symbols)
        self.frames = self.model.durations(self.symbols, predicted)
        return f"{self.frames.sum()} frames for {len(self.frames)} symbols"

    def mel(self) -> str:
        """The mel of the frames."""
        self.spectrum = self.model.mel(self.memory, self.frames)
        low, high = self.spectrum.values.min(), self.spectrum.values.max()
        _finite(self.spectrum.values, "mel")
        return f"{self.spectrum.values.shape[1]} frames of {self.spectrum.spec.mels} bands, {low:.1f} … {high:.1f}"

    def wave(self) -> str:
        """The sound of the mel."""
        import numpy as np

        return _heard(np.concatenate(list(self.model.waves(self.spectrum))), self.model.rate)


class Letters:
    """A SpeechT5 checkpoint, with the first speaker that came with it, or a made one."""

    def __init__(self, name: str | None, open_voice: Callable[[], Voice]) -> None:
        self.name, self.open_voice = name, open_voice

    def voice(self) -> str:
        """Open the checkpoint, every weight of it looked at."""
        import numpy as np

        from ..loading.speecht5 import SpeechT5Voice

        self.opened = self.open_voice()
        if not isinstance(self.opened.model, SpeechT5Voice):
            raise BackendError(f"{self.opened.folder}: a voice of ours under a checkpoint's name; give its folder")
        self.tokenizer, self.model = self.opened.model.tokenizer, self.opened.model.model
        known = self.opened.model.known
        size = self.model.c.speaker_embedding_dim
        self.speaker = next(iter(known.values()), np.full(size, size**-0.5, np.float32))
        who = next(iter(known), "a made speaker, since none came with it")
        return f"{self.opened.name} on {self.opened.runtime}, {who}"

    def text(self) -> str:
        """Letters of the sentence."""
        from ..families.speecht5.text import limit, read

        self.reading = next(iter(read(SENTENCE, self.tokenizer, limit=limit(self.model.c))))
        return "".join(self.reading.symbols)

    def ids(self) -> str:
        """Numbers of the letters."""
        self.numbers = self.tokenizer.ids("".join(self.reading.symbols))
        return f"{len(self.numbers)} of {self.tokenizer.size} known"

    def memory(self) -> str:
        """The text as the decoder looks at it, and a first step."""
        import numpy as np

        ids, c = np.asarray(self.numbers, np.int64)[None], self.model.c
        state = self.model.stages.encode(ids, np.ones(ids.shape, bool), self.speaker[None], 1)
        frame = np.zeros((1, 1, c.num_mel_bins), np.float32)
        frames, stops, _ = self.model.stages.step(frame, state, self.model.masks(0, 1)[:, :1])
        _finite(frames, "mel")
        return f"a first step of {frames.shape[1]} frames, stop {float(stops.sum()):.2f}"

    def mel(self) -> str:
        """The whole sentence, step by step, and its wave."""
        self.said = self.model.generate([self.numbers], self.speaker)[0]
        end = f"; {self.said.warnings[0]}" if self.said.warnings else ""
        return f"{self.said.mel.values.shape[1]} frames of {self.model.c.num_mel_bins} bands{end}"

    def wave(self) -> str:
        """What comes out."""
        return _heard(self.said.wave, self.model.rate)
