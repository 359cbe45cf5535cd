"""A voice's halves, each beside a recording with labels: what its vocoder and its acoustic half cost.

`vocoded`: the recording's own mel through the voice's vocoder. `griffin_lim`: the same mel without any vocoder, as a
floor. `timed`: the whole voice, with the recording's durations instead of its own. All three say the same at the same
time as the recording, so they can be heard beside it sample by sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..audio.griffin_lim import mel_to_wave
from ..audio.limit import soft_limit
from ..audio.mel import mel_spectrogram
from ..audio.resample import resample
from ..families.synthesis import TimedModel, TimedSynthesizer
from ..flow import Mel, MelSpec, Wave
from ..voice import Voice
from .metrics import Parts
from .sentences import Sentence

VARIANTS = {
    "vocoded": "the recording's mel through the voice's vocoder",
    "griffin_lim": "the recording's mel through Griffin-Lim, without a vocoder",
    "timed": "the voice with the recording's durations",
}


def timed_model(voice: Voice) -> TimedModel | None:
    """The model inside a voice whose halves can be heard by themselves, or None when it has no such halves."""
    return voice.model.timed_model() if isinstance(voice.model, TimedSynthesizer) else None


def variants(model: TimedModel, sentence: Sentence, recording: Wave, speaker: int) -> tuple[dict[str, Wave], Parts]:
    """The waves of VARIANTS, and one sentence's shares in `mel_error` and `duration_error` where it has labels.

    The mel error is the mean absolute difference over frames and bands in dB: 20 / ln 10 times that of natural logs.
    """
    spec = model.spec
    samples = resample(recording.samples, recording.rate, spec.rate)
    true = mel_spectrogram(samples, spec)
    waves = {
        "vocoded": _sound(model, Mel(true[None], spec)),
        "griffin_lim": Wave(mel_to_wave(true, spec), spec.rate),
    }
    durations = _frames(sentence, spec, len(true))
    if durations is None or len(sentence.symbols) > model.most_symbols:
        return waves, {}
    memory, predicted = model.encode(sentence.symbols, speaker)
    mel = model.mel(memory, durations)
    waves["timed"] = _sound(model, mel)
    wrong = 20 / np.log(10) * np.abs(mel.values[0] - true).mean(dtype=np.float64)
    lasting = model.durations(sentence.symbols, predicted)
    seconds = (lasting - durations) * (spec.hop / spec.rate)
    return waves, {
        "mel_error": (float(wrong) * len(true), len(true)),
        "duration_error": (float((seconds**2).sum()), len(seconds)),
    }


def _sound(model: TimedModel, mel: Mel) -> Wave:
    return Wave(soft_limit(np.concatenate(list(model.waves(mel)))), model.rate)


def _frames(sentence: Sentence, spec: MelSpec, total: int) -> NDArray[np.int64] | None:
    """Each symbol's frames, as a training on these labels would count them; None without labels."""
    if not sentence.ends:
        return None
    ends = np.round(np.asarray(sentence.ends) * spec.rate / spec.hop).astype(np.int64)
    ends[-1] = total
    durations = np.diff(ends, prepend=0)
    return durations if (durations >= 0).all() else None
