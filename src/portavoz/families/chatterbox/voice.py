"""What `Voice` speaks through: a Chatterbox with its tokenizer, and voices made of prompts."""

from __future__ import annotations

import hashlib
import itertools
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
from ..synthesis import PROMPT_SECONDS, SynthesisOptions, SynthesisRequest, SynthesisStream, check_options
from .checkpoint import DEFAULT, Checkpoint
from .loop import Chatterbox, Generation, Utterance
from .prompt import SHORTEST, Conditionals, checked
from .sampling import check_number
from .streaming import stream
from .text import Tokenizer, punctuated
from .watermark import Watermarker, available, marked, watermarker

LIMIT = 280  # characters in a piece: a sentence or two, well under the forty seconds that are said at once
CLONES = 64  # voices of recordings that are kept: about half a megabyte each
OPTIONS = {
    "exaggeration": "how strongly it is felt, 0 to 2 (0.5 is neutral; not in turbo)",
    "cfg_weight": "how closely the text is followed, 0 to 10 (0 is off; not in turbo)",
    "temperature": "how freely tokens are drawn, 0 to 5 (0 takes the likeliest)",
    "repetition_penalty": "how much less likely a token becomes that was said, 0.1 to 10",
    "min_p": "tokens below this share of the likeliest one's probability are never drawn",
    "top_p": "only the likeliest tokens with this much of the probability are drawn",
    "top_k": "only so many of the likeliest tokens are drawn (0 is all)",
    "flow_steps": "steps from noise to mel, 1 to 1000",
    "flow_schedule": "cosine or linear: how the steps are spread",
    "flow_guidance": "how closely the mel follows tokens and voice, 0 to 10 (0 is off; not in turbo)",
    "language": "of the multilingual model, such as de",
    "whole": "make each sentence as a whole, the reference's order of work: true unless it is streamed",
    "watermark": "false leaves out the inaudible mark, which a sentence gets where the extra watermark is installed",
    "require_watermark": "refuse to speak where the sound cannot be marked",
}


def synthesizer(checkpoint: Checkpoint, engine: Engine) -> ChatterboxVoice:
    """The voice of a checkpoint."""
    model = Chatterbox(engine.one, checkpoint.config)
    return ChatterboxVoice(model, checkpoint.tokenizer(), checkpoint.voice(), pickled=checkpoint.pickled_voice)


def refuse(checkpoint: Checkpoint, request: SynthesisRequest) -> None:
    """Raises InputError for a prompt, a text or a setting that cannot be, before a weight is read."""
    model = Chatterbox(None, checkpoint.config)
    voice = ChatterboxVoice(model, checkpoint.tokenizer(), checkpoint.voice(), pickled=checkpoint.pickled_voice)
    prompt, speaker = request.prompt, request.manner.speaker
    if prompt is not None:
        checked(prompt.samples, prompt.rate, SHORTEST[checkpoint.config.variant], prompt.channels)
    elif speaker is None or str(speaker).endswith((DEFAULT, ".safetensors")):
        voice.speaker(speaker)
    check_options(request.manner.options, OPTIONS, checkpoint.about()["name"])
    pieces = voice.split_text(request.text or "", request.manner)
    if request.text is not None:
        punctuated(request.text)
        for piece in itertools.islice(pieces, 1):
            voice.read(piece, request.manner.options)


class ChatterboxVoice:
    """A Chatterbox with its tokenizer, and the voice that came with it, if one did."""

    timed = False
    options: Mapping[str, str] = OPTIONS

    def __init__(
        self, model: Chatterbox, tokenizer: Tokenizer, default: Conditionals | None, *, pickled: Path | None = None
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
        facts = f"{samples.dtype}/{samples.shape}/{wave.rate}/{wave.channels}"
        key = hashlib.sha256(samples.tobytes() + facts.encode()).hexdigest()
        with self._lock:
            voice = self._clones.pop(key, None) or self.model.clone(samples, wave.rate, wave.channels)
            self._clones[key] = voice  # the last one that was asked for is the last one to go
            if len(self._clones) > CLONES:
                del self._clones[next(iter(self._clones))]
            return voice

    def speaker(self, wanted: Any) -> Conditionals:
        """A voice: one that was cloned, a recording, a saved voice's file, or None for the one that came with it."""
        if isinstance(wanted, Conditionals):
            return wanted
        if wanted is None or (isinstance(wanted, str | int) and wanted in (DEFAULT, 0)):
            return self._default()
        if isinstance(wanted, Wave):
            return self.clone(wanted)
        if not isinstance(wanted, (str, Path)):
            raise InputError(f"speaker {wanted!r}: give a recording, a saved voice (.safetensors), or clone() one")
        path = Path(wanted)
        if path.suffix == ".safetensors":
            return Conditionals.load(path, self.model.c)
        return self.clone(files.read(path, first=PROMPT_SECONDS + 1))

    def _default(self) -> Conditionals:
        if self.default is not None:
            return self.default
        shortest, old = SHORTEST[self.model.c.variant], self.pickled
        pickle = (
            f", or convert the pickled voice, which can run code: portavoz weights convert {old} "
            f"{old.with_suffix('.safetensors')} --trust-pickle"
            if old
            else ""
        )
        raise InputError(
            f"no voice came with this checkpoint: give a recording of {shortest:g} to {PROMPT_SECONDS:g} s as the "
            f"prompt (--prompt me.wav, or speaker=voice.clone('me.wav')){pickle}"
        )

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        """Sentences, in pieces of a few hundred characters. Raises InputError for unsupported options."""
        manner.only_letters("Chatterbox")
        self._check_options(manner.options)
        self._generation(manner)
        self._watermarker(manner)
        return _chunks(text)

    def _check_options(self, o: Mapping[str, Any]) -> None:
        """Raises InputError for a setting of another kind, and for one that this variant does not have."""
        c = self.model.c
        for name in ("whole", "watermark", "require_watermark"):
            if not isinstance(o.get(name, True), bool):
                raise InputError(f"{name} is {o[name]!r}: give true or false")
        if "exaggeration" in o:
            check_number("exaggeration", o["exaggeration"], 0, 2)
        absent = {"exaggeration": not c.tokens.emotion, "cfg_weight": not c.tokens.guided, "min_p": not c.tokens.guided,
                  "flow_guidance": c.flow.meanflow, "language": c.variant != "multilingual"}  # fmt: skip
        for name, gone in absent.items():
            if gone and o.get(name) and o[name] != "en":
                raise InputError(f"{name}: the {c.variant} model has no such setting; leave it out")

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        """One piece, said; each piece of a text is drawn with the same seed, by the same voice."""
        how, options = self._generation(manner), manner.options
        voice: Conditionals = manner.speaker.with_emotion(options.get("exaggeration"))
        ids, unknown = self.read(chunk, options)
        said, marker = Utterance(list(voice.notes)), self._watermarker(manner)
        if unknown:
            said.warnings.append(f"the model does not know {' '.join(unknown)}, and cannot say what it stands for")
        if options.get("whole", manner.whole or marker is not None):  # a mark is one of the whole sentence
            waves = self._whole(ids, voice, how, manner.seed, said)
        else:
            waves = stream(self.model, ids, voice, how, Noise(manner.seed), said)
        if marker is not None:
            waves = marked(waves, marker, self.rate)
        return SynthesisStream((), waves, said.warnings, watermarked=marker is not None)

    def read(self, chunk: TextChunk, options: Mapping[str, Any]) -> tuple[NDArray[np.int64], str]:
        """A piece's ids, and the characters that the model does not know; see `Tokenizer.read`."""
        text = punctuated("".join(chunk.symbols), self.model.c.variant)
        return self.tokenizer.read(text, options.get("language"))

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
            min_p=o.get("min_p"), top_p=o.get("top_p"), top_k=o.get("top_k"), steps=o.get("flow_steps"),
            schedule=o.get("flow_schedule"), rate=o.get("flow_guidance"),
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
