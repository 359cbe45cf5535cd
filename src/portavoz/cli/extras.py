"""What `say` gives beside the sound: captions, times of words, a picture, diagnostics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..atomic import atomic, check_new_file
from ..errors import InputError, MissingExtra
from ..text.captions import VTT_HEADER, Caption, Captions, as_json, srt, vtt

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from ..lab.signals.diagnosis import Report
    from ..speech import Phoneme, Speech


PICTURED = 60.0  # seconds; a picture of more would show nothing


class Timestamps:
    """OUT.srt, OUT.vtt or OUT.json, written while the sound is made and whole or not at all, like the sound."""

    def __init__(self, out: str, kind: str) -> None:
        self.path, self.kind = Path(out).with_suffix(f".{kind}"), kind
        self.captions, self.count, self.seconds = Captions(), 0, 0.0

    def __enter__(self) -> Timestamps:
        self._stack = ExitStack()
        self._file: IO[str] = self._stack.enter_context(atomic(self.path, "w"))
        if self.kind == "json":
            self._file.write('{"words": [')
        elif self.kind == "vtt":
            self._file.write(VTT_HEADER)
        return self

    def write(self, part: Speech) -> None:
        """The words of one piece of speech."""
        self.seconds += part.duration
        if self.kind != "json":
            self._captions(self.captions.push(part.words))
            return
        for word in part.words:
            self._file.write(f"{',' if self.count else ''}\n  {as_json(word)}")
            self.count += 1

    def _captions(self, ready: Iterable[Caption]) -> None:
        for caption in ready:
            self.count += 1
            self._file.write(srt(caption, self.count) if self.kind == "srt" else vtt(caption))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.kind != "json":
            self._captions(self.captions.finish())
        elif kind is None:
            self._file.write(f'\n], "seconds": {json.dumps(round(self.seconds, 4))}}}\n')
        self._stack.__exit__(kind, error, trace)


class Picture:
    """The wave, its mel, and which phoneme is where: the first minute, drawn when the sound is finished."""

    def __init__(self, path: str, rate: int) -> None:
        from ..audio.plot import KINDS

        # Before minutes of speech are made, not after.
        if find_spec("matplotlib") is None:
            raise MissingExtra("matplotlib", "plot", "--plot")
        if Path(path).suffix.lower().lstrip(".") not in KINDS:
            raise InputError(f"{path}: a picture's name ends with .{', .'.join(KINDS)}; change the ending")
        check_new_file(path)
        self.path, self.rate, self.seconds = path, rate, 0.0
        self.pieces: list[NDArray[np.float32]] = []
        self.phonemes: list[Phoneme] = []

    def __enter__(self) -> Picture:
        return self

    def write(self, part: Speech) -> None:
        """One piece of speech."""
        if self.seconds < PICTURED:
            self.pieces.append(part.samples)
            self.phonemes += [phoneme for word in part.words for phoneme in word.phonemes]
            self.seconds += part.duration

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._draw()

    def _draw(self) -> None:
        import numpy as np

        from ..audio.mel import mel_spectrogram
        from ..audio.plot import plot_speech, save
        from ..flow import MelSpec, Wave

        samples, spec = np.concatenate(self.pieces), MelSpec(rate=self.rate)
        symbols, ends = [], []
        for phoneme in self.phonemes:
            symbols += ["", phoneme.symbol]
            ends += [phoneme.start, phoneme.end]
        frames = np.diff(ends, prepend=0.0) * spec.rate / spec.hop
        mel = mel_spectrogram(samples, spec)
        save(plot_speech(Wave(samples, self.rate), mel, spec=spec, symbols=symbols, durations=frames), self.path)


class Diagnostics:
    """The figures of `lab signals` of what was said, its first minute; `prompt`: a recording of the same speaker."""

    def __init__(self, rate: int, prompt: str | None) -> None:
        self.rate, self.prompt, self.seconds = rate, prompt, 0.0
        self.pieces: list[NDArray[np.float32]] = []

    def __enter__(self) -> Diagnostics:
        return self

    def write(self, part: Speech) -> None:
        """One piece of speech."""
        if self.seconds < PICTURED:
            self.pieces.append(part.samples)
            self.seconds += part.duration

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        pass

    def report(self) -> Report:
        """What `portavoz.lab.signals.diagnosis.listen` finds."""
        import numpy as np

        from ..audio.files import read
        from ..audio.mel import mel_spectrogram
        from ..flow import MelSpec, Wave
        from ..lab.signals.diagnosis import listen
        from ..lab.signals.signals import ReferenceSound

        spec, known = MelSpec(rate=self.rate, high=min(8000.0, self.rate / 2)), None
        if self.prompt is not None:
            heard = read(self.prompt, rate=self.rate, first=PICTURED)
            known = ReferenceSound(mel_spectrogram(heard.samples, spec), heard, same_text=False)
        return listen(Wave(np.concatenate(self.pieces), self.rate), spec, known=known)
