"""What `Voice` speaks through: a Chatterbox with its tokenizer, and voices made of prompts."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...audio import files
from ...errors import InputError
from ...flow import Noise, Wave
from ...text.chunks import AFTER_PARAGRAPH, AFTER_SENTENCE, TextChunk
from ...text.normalize import Spoken
from ...text.split import sentences
from ..spec import Engine
from ..synthesis import SynthesisOptions, SynthesisStream
from .checkpoint import DEFAULT, Checkpoint
from .loop import Chatterbox, Generation, Utterance
from .prompt import LONGEST, Conditionals
from .streaming import stream
from .text import Tokenizer, punctuated
from .watermark import Watermarker, available, marked, watermarker

LIMIT = 280  # characters in a piece: a sentence or two, well under the forty seconds that are said at once
CLONES = 64  # voices of recordings that are kept: about half a megabyte each
LONGEST_FILE = 600.0  # seconds of a recording that is read at all
OPTIONS = {
    "exaggeration": "how strongly it is felt, 0 to 2 (0.5 is neutral; not in turbo)",
    "cfg_weight": "how closely the text is followed, 0 to 10 (0 is off; not in turbo)",
    "temperature": "how freely tokens are drawn, 0 to 5 (0 takes the likeliest)",
    "repetition_penalty": "how much less likely a token becomes that was said, 0.1 to 10",
    "min_p": "tokens below this share of the likeliest one's probability are never drawn",
    "top_p": "only the likeliest tokens with this much of the probability are drawn",
    "flow_steps": "steps from noise to mel",
    "flow_schedule": "cosine or linear: how the steps are spread",
    "language": "of the multilingual model, such as de",
    "whole": "make each sentence as a whole, the reference's order of work: true unless it is streamed",
    "watermark": "false leaves out the inaudible mark, which a sentence gets where the extra watermark is installed",
    "require_watermark": "refuse to speak where the sound cannot be marked",
}


def synthesizer(checkpoint: Checkpoint, engine: Engine) -> ChatterboxVoice:
    """The voice of a checkpoint."""
    model = Chatterbox(engine.one, checkpoint.config)
    return ChatterboxVoice(model, checkpoint.tokenizer(), checkpoint.voice(), pickled=checkpoint.pickled_voice)


class ChatterboxVoice:
    """A Chatterbox with its tokenizer, and the voice that came with it, if one did."""

    timed = False
    options: Mapping[str, str] = OPTIONS

    def __init__(
        self, model: Chatterbox, tokenizer: Tokenizer, default: Conditionals | None, *, pickled: bool = False
    ) -> None:
        self.model, self.tokenizer, self.default, self.pickled = model, tokenizer, default, pickled
        self.rate = model.rate
        self._clones: dict[str, Conditionals] = {}
        self._lock = threading.Lock()

    @property
    def speakers(self) -> tuple[str, ...]:
        """The voice that came with the checkpoint."""
        return (DEFAULT,) if self.default is not None else ()

    def clone(self, wave: Wave) -> Conditionals:
        """The voice of a recording, made once for each. Raises InputError for a prompt that has none."""
        samples = np.ascontiguousarray(wave.samples)
        key = hashlib.sha256(samples.tobytes() + f"{samples.dtype}/{samples.shape}/{wave.rate}".encode()).hexdigest()
        with self._lock:
            voice = self._clones.pop(key, None) or self.model.clone(samples, wave.rate)
            self._clones[key] = voice  # the last one that was asked for is the last one to go
            if len(self._clones) > CLONES:
                del self._clones[next(iter(self._clones))]
            return voice

    def speaker(self, wanted: Any) -> Conditionals:
        """A voice: one that was cloned, a recording, a saved voice's file, or None for the one that came with it."""
        if isinstance(wanted, Conditionals):
            return wanted
        if wanted is None or wanted in (DEFAULT, 0):
            return self._default()
        if isinstance(wanted, Wave):
            return self.clone(wanted)
        if not isinstance(wanted, (str, Path)):
            raise InputError(f"speaker {wanted!r}: give a recording, a saved voice (.safetensors), or clone() one")
        path = Path(wanted)
        if path.suffix == ".safetensors":
            return Conditionals.load(path, self.model.c)
        return self.clone(files.read(path, max_seconds=LONGEST_FILE))

    def _default(self) -> Conditionals:
        if self.default is not None:
            return self.default
        pickle = " (its conds.pt is a pickle: portavoz weights convert makes conds.safetensors of it)"
        raise InputError(
            f"no voice came with this checkpoint{pickle if self.pickled else ''}: give a recording of 1 to "
            f"{LONGEST:g} s as the prompt (--prompt me.wav, or speaker=voice.clone('me.wav'))"
        )

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        """Sentences, in pieces of a few hundred characters. Raises InputError for what Chatterbox cannot be told."""
        manner.only_letters("Chatterbox")
        self._generation(manner)
        self._watermarker(manner)
        return _chunks(text)

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        """One piece, said; each piece of a text is drawn with the same seed, by the same voice."""
        how, options = self._generation(manner), manner.options
        voice: Conditionals = manner.speaker.with_emotion(options.get("exaggeration"))
        ids = self.tokenizer.ids(punctuated("".join(chunk.symbols), self.model.c.variant), options.get("language"))
        said, marker = Utterance(list(voice.notes)), self._watermarker(manner)
        if options.get("whole", manner.whole or marker is not None):  # a mark is one of the whole sentence
            waves = self._whole(ids, voice, how, manner.seed, said)
        else:
            waves = stream(self.model, ids, voice, how, Noise(manner.seed), said)
        if marker is not None:
            waves = marked(waves, marker, self.rate)
        return SynthesisStream((), waves, said.warnings, watermarked=marker is not None)

    def _whole(
        self, ids: NDArray[np.int64], voice: Conditionals, how: Generation, seed: int, said: Utterance
    ) -> Iterator[NDArray[np.float32]]:
        made = self.model.generate(ids, voice, how, seed=seed)
        said.warnings.extend(made.warnings)
        yield made.wave

    def _watermarker(self, manner: SynthesisOptions) -> Watermarker | None:
        """What marks the sound. Raises InputError and MissingExtra for a mark that is required and cannot be made."""
        o = manner.options
        if o.get("require_watermark"):
            if o.get("watermark") is False:
                raise InputError("require_watermark: the option watermark is false; leave one of them out")
            return watermarker()
        return None if o.get("watermark") is False else available()

    def _generation(self, manner: SynthesisOptions) -> Generation:
        o = manner.options
        return self.model.generation(
            guidance=o.get("cfg_weight"), temperature=o.get("temperature"), penalty=o.get("repetition_penalty"),
            min_p=o.get("min_p"), top_p=o.get("top_p"), steps=o.get("flow_steps"), schedule=o.get("flow_schedule"),
        )  # fmt: skip


def _chunks(text: str | Iterable[str]) -> Iterator[TextChunk]:
    for sentence in sentences(text):
        parts = list(_parts(sentence.text))
        for number, (part, start) in enumerate(parts, 1):
            last = number == len(parts)
            silence = AFTER_PARAGRAPH if sentence.paragraph_end else AFTER_SENTENCE
            yield _chunk(part, sentence.start + start, silence if last else 0.0)


def _chunk(text: str, start: int, pause: float) -> TextChunk:
    if not any(c.isalnum() for c in text):
        return TextChunk((), (), (), (), (text,), pause)
    word = Spoken(text, start, start + len(text), (text,), "")
    return TextChunk(tuple(text), (0,) * len(text), (word,), (), (), pause)


def _parts(text: str) -> Iterator[tuple[str, int]]:
    """A sentence in pieces of LIMIT characters, cut behind a comma or a blank where there is one; and where each is."""
    start = 0
    while len(text) - start > LIMIT:
        window = text[start : start + LIMIT]
        cut = max(window.rfind(mark) for mark in (", ", "; ", ": ")) + 1 or window.rfind(" ") + 1 or LIMIT
        yield text[start : start + cut].strip(), start
        start += cut
    if text[start:].strip():
        yield text[start:].strip(), start
