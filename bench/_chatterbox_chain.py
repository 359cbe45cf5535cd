"""One speaker of `chatterbox_speed.py --parts chain`, a process of its own, so that its peak memory is its own.

    python bench/_chatterbox_chain.py make|open|serve NAME FOLDER CASE THREADS TOKENS

`make` writes a prompt and, where none is, a checkpoint of random weights with the published sizes, `open` fills the
compile cache, `serve` answers each JSON line with one: {"do": "say"} with what each part took, {"do": "mel"} after
writing a mel of given tokens.
CASE is "hf" (chatterbox-tts) or a runtime and a precision of ours, such as "openvino_int8".
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
TEXT = "The old house stood at the end of the lane, near the river."
NEVER = -1  # a stop token that is not drawn: random weights would stop anywhere
PROMPT = 5.3  # seconds


class Clock:
    """Seconds and processor seconds of each part of an utterance."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {}
        self._last = time.perf_counter(), time.process_time()

    def done(self, part: str) -> None:
        now = time.perf_counter(), time.process_time()
        self.parts[part] = [b - a for a, b in zip(self._last, now)]
        self._last = now


def peak() -> float:
    """The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def filled(tokens: Any, count: int) -> Any:
    """The valid ones of the tokens, repeated until there are so many: the same work after T3 for every speaker."""
    import numpy as np

    return np.resize(np.asarray(tokens)[np.asarray(tokens) < 6561], count)


class Ours:
    """A folder on a runtime of ours."""

    def __init__(self, folder: Path, case: str, threads: int, count: int) -> None:
        import portavoz
        from portavoz.families.chatterbox.loop import Chatterbox

        runtime, precision = case.split("_")
        if runtime == "eager":
            import torch

            torch.set_num_threads(threads)
        self.voice: Any = portavoz.load(folder, runtime=runtime, precision=precision, threads=threads).model
        model, self.count = self.voice.model, count
        unending = dataclasses.replace(model.c.tokens, stop_speech=NEVER)
        self.loop = Chatterbox(model.stages, dataclasses.replace(model.c, tokens=unending))
        self.how = self.loop.generation(most=count)

    def say(self, prompt: str) -> dict[str, list[float]]:
        """Everything from the prompt's file and the text to the wave."""
        import numpy as np

        from portavoz.audio.files import read
        from portavoz.families.chatterbox.loop import SILENCE, Utterance
        from portavoz.families.chatterbox.text import punctuated
        from portavoz.flow import Noise

        clock, loop, noise = Clock(), self.loop, Noise(3)
        recording = read(Path(prompt))
        voice = loop.clone(recording.samples, recording.rate)
        getattr(loop.stages, "prefixes", {}).clear()  # each round hears the prompt anew
        loop.stages.condition(voice.speaker, voice.t3_prompt, voice.emotion)
        clock.done("prompt")
        ids = self.voice.tokenizer.ids(punctuated(TEXT, loop.c.variant), None)
        drawn = list(loop.tokens(ids, voice, self.how, noise, Utterance()))
        clock.done("tokens")
        self.tokens = filled(drawn, self.count)
        if loop.c.variant == "turbo":
            self.tokens = np.append(self.tokens, SILENCE)
        frames = 2 * (voice.flow_prompt.shape[1] + len(self.tokens))
        mel = loop.mel(self.tokens, voice, self.how, loop.start(noise, frames))
        clock.done("mel")
        self.said, self.made = len(loop.wave(mel, noise)) / loop.rate, voice
        clock.done("wave")
        return clock.parts

    def mel(self, given: str, out: str) -> None:
        """The mel of the tokens and the voice in a file, from noise that is always the same."""
        import numpy as np

        from portavoz.families.chatterbox.prompt import Conditionals
        from portavoz.flow import Noise

        loop, voice = self.loop, Conditionals.load(given + ".safetensors", self.loop.c)
        tokens = np.load(given + ".npy")
        start = loop.start(Noise(3), 2 * (voice.flow_prompt.shape[1] + len(tokens)))
        np.save(out, loop.mel(tokens, voice, self.how, start).values)

    def keep(self, given: str) -> None:
        """Write tokens and voice for `mel`."""
        import numpy as np

        self.made.save(given + ".safetensors")
        np.save(given + ".npy", self.tokens)


class Theirs:
    """chatterbox-tts's own `generate`, with the same weights; torchaudio's two functions are ours where it is not."""

    def __init__(self, name: str, folder: Path, threads: int, count: int) -> None:
        import chatterbox_models as models
        import torch

        torch.set_num_threads(threads)
        variant, self.count = models.config(name).variant, count
        parts = {part: models.theirs(part, name) for part in ("t3", "s3gen", "voice")}
        self.tts = models.reference.pipeline(parts, str(folder / "tokenizer.json"), variant)
        self.tts.t3.hp.stop_speech_token = NEVER
        self.tts.norm_loudness = lambda wave, rate: wave  # its package for it is not installed
        self._without_torchaudio(models)
        most = {"max_gen_len": count - 1} if variant == "turbo" else {"max_new_tokens": count}
        self._watch(self.tts.t3, "inference_turbo" if variant == "turbo" else "inference", "tokens", most)
        self._watch(self.tts, "prepare_conditionals", "prompt", {})
        self._watch(self.tts.s3gen, "flow_inference", "mel", {})

    def _without_torchaudio(self, models: Any) -> None:
        import numpy as np
        import torch

        from portavoz.audio.fbank import fbank
        from portavoz.families.chatterbox.features import sinc_resampled

        vector, gen = models.reference.models("s3gen.xvector"), models.reference.models("s3gen.s3gen")
        vector.Kaldi.fbank = lambda wave, num_mel_bins: torch.from_numpy(fbank(wave[0].numpy(), 16_000, num_mel_bins))
        gen.get_resampler = lambda a, b, device: (
            lambda waves: torch.from_numpy(np.stack([sinc_resampled(wave, a, b) for wave in waves.numpy()]))
        )

    def _watch(self, owner: Any, name: str, part: str, given: dict[str, Any]) -> None:
        import torch

        call: Callable[..., Any] = getattr(owner, name)

        def watched(*args: Any, **named: Any) -> Any:
            made = call(*args, **{**named, **given})
            self.clock.done(part)
            return torch.from_numpy(filled(made.reshape(-1), self.count)[None]) if part == "tokens" else made

        setattr(owner, name, watched)

    def say(self, prompt: str) -> dict[str, list[float]]:
        """Everything from the prompt's file and the text to the wave."""
        import torch

        self.clock = Clock()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wave = self.tts.generate(TEXT, audio_prompt_path=prompt)
        self.clock.done("wave")
        self.said = wave.shape[-1] / self.tts.sr
        return self.clock.parts


def serve(speaker: Any, prompt: str, lines: Any, out: Any) -> None:
    """Answer each line of `lines`."""
    for line in lines:
        asked = json.loads(line)
        if asked["do"] == "say":
            answer = {"parts": speaker.say(prompt), "seconds": speaker.said, "peak": peak()}
        else:
            getattr(speaker, asked["do"])(**asked["with"])
            answer = {"peak": peak()}
        print(json.dumps(answer), file=out, flush=True)


def main() -> None:
    what, name, folder, case, threads, count = sys.argv[1:]
    place = Path(folder)
    if what == "make":
        import chatterbox_models as models

        if not (place / "config.json").exists():
            models.published(place, name)
        models.prompt(place, PROMPT)
        return
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reference prints, and draws bars of progress
    os.environ["TQDM_DISABLE"] = "1"
    small = int(threads), int(count)
    speaker = Theirs(name, place, *small) if case == "hf" else Ours(place, case, *small)
    if what == "serve":
        print(json.dumps({"peak": peak()}), file=out, flush=True)
        serve(speaker, next(str(path) for path in place.glob("prompt-*.wav")), sys.stdin, out)


if __name__ == "__main__":
    main()
