"""One item → its sound file, its times, its record. The same item makes the same bytes in every process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JobError, PortavozError
from ..text.captions import as_json
from . import voices
from .encoding import encode, normalised
from .item import Item
from .ledger import Ledger
from .output import Output, sha256
from .settings import Settings

if TYPE_CHECKING:
    from ..speech import Speech
    from ..text.lexicon import Lexicon

Record = dict[str, Any]


class Speaker:
    """Speaks items into `output` and notes each in the ledger, which its user sets, when its file is there.

    known: what the job knows of each voice ("identity", "batch"); raises JobError where the voice here is another one.
    alive: asked before a file gets its name, so that nothing appears when the job has gone.
    """

    def __init__(
        self,
        settings: Settings,
        known: Mapping[str, Mapping[str, Any]],
        output: Output,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.settings, self.known, self.output, self.alive = settings, known, output, alive
        self.ledger: Ledger | None = None
        self.voices = voices.Voices(settings.voice, settings.load)
        self._lexicon: Lexicon | None = None
        self._verified: set[str] = set()

    def __call__(self, item: Item) -> Record:
        """Speak an item; its record, in which a failure is a reason. Raises JobError for what fails every item."""
        try:
            record, files = self._spoken(item)
        except JobError:
            raise
        except PortavozError as problem:
            record, files = failed(item, str(problem)), {}
        except MemoryError:
            record, files = failed(item, "not enough memory; split the text, or start fewer workers"), {}
        except Exception as problem:  # noqa: BLE001 (one item's defect must not end a job of days)
            record, files = failed(item, f"internal error: {type(problem).__name__}: {str(problem)[:200]}"), {}
        try:
            if not self.alive():
                raise JobError("the job has gone")
            paths = [self.output.put(name, data) for name, data in files.items()]
            if self.ledger is not None:
                self.ledger.append(record, [path for path in paths if isinstance(path, Path)])
        except OSError as problem:
            raise JobError(
                f"cannot be written ({problem.strerror or problem}); free space or fix permissions, and the same "
                "command resumes"
            ) from problem
        return record

    def _spoken(self, item: Item) -> tuple[Record, dict[str, bytes]]:
        speech = self._speech(item)
        samples, loudness = speech.samples, None
        if self.settings.loudness is not None:
            samples, loudness = normalised(samples, speech.rate, self.settings.loudness)
        data = encode(samples, speech.rate, self.settings.format, item.id)
        record: Record = {
            "item": f"{item.digest:016x}", "audio": audio_name(self.settings, item.id), "bytes": len(data),
            "sha256": sha256(data), "seconds": round(speech.duration, 4), "rate": speech.rate,
        }  # fmt: skip
        if self.settings.loudness is not None:
            record["loudness"] = loudness
        if speech.warnings:
            record["warnings"] = list(speech.warnings[:20])
        # The sound comes last: when it is there, all of the item is.
        files = {name: text.encode() for name, text in self._beside(item, speech).items()}
        if files:
            record["beside"] = [[name, len(content), sha256(content)] for name, content in files.items()]
        return record, {**files, record["audio"]: data}

    def _speech(self, item: Item) -> Speech:
        voice = self.voices[item.voice]
        known = self.known[str(item.voice)]
        if str(item.voice) not in self._verified:
            if voices.identity(voice) != known["identity"]:
                raise JobError(
                    f"voice {item.voice or 'default'}: not the one that the job began with; install that one"
                )
            self._verified.add(str(item.voice))
        return voice.speak(
            item.text, speed=item.speed, seed=item.seed, speaker=voices.speaker(voice, item.speaker),
            pauses=self.settings.pauses, lexicon=self._own_lexicon(), batch=known["batch"],
            options=self.settings.options, markup=self.settings.markup,
        )  # fmt: skip

    def _own_lexicon(self) -> Lexicon | None:
        if self._lexicon is None and self.settings.lexicon is not None:
            from ..text.lexicon import Lexicon

            self._lexicon = Lexicon.open(self.settings.lexicon)
        return self._lexicon

    def _beside(self, item: Item, speech: Speech) -> dict[str, str]:
        words = f'"words": [{", ".join(map(as_json, speech.words))}]'
        if self.settings.layout == "webdataset":
            values = {"text": item.text, "voice": item.voice, "speaker": item.speaker, "speed": item.speed,
                      "seed": item.seed, **item.extra, "seconds": round(speech.duration, 4)}  # fmt: skip
            line = json.dumps(values, ensure_ascii=False)
            return {f"{item.id}.json": f"{line[:-1]}, {words}}}\n" if self.settings.timings else f"{line}\n"}
        if self.settings.timings:
            return {f"timings/{item.id}.json": f'{{{words}, "seconds": {round(speech.duration, 4)}}}\n'}
        return {}


def audio_name(settings: Settings, id: str) -> str:
    """The name of an item's sound file below OUT; of a shard's item, below the staging folder."""
    before = {"files": "audio/", "ljspeech": "wavs/", "webdataset": ""}[settings.layout]
    return f"{before}{id}.{settings.format}"


def failed(item: Item, reason: str) -> Record:
    """The record of an item that was not spoken."""
    return {"item": f"{item.digest:016x}", "failed": " ".join(reason.split())[:500]}
