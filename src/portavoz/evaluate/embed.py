"""Sounds and pictures as data: URLs, so that a page is one file that loads nothing."""

from __future__ import annotations

import base64
import io

import numpy as np

from ..audio.files import to_pcm16
from ..audio.image import png
from ..audio.measures import loudness, peak
from ..audio.mel import mel_spectrogram
from ..audio.resample import resample
from ..flow import MelSpec, Wave
from ..interrupts import deferred

LEVEL = -26.0  # dB of full scale, active speech level of ITU-T P.56: usual in listening tests
HIGHEST = 0.98
SPEC = MelSpec(rate=22050, mels=96, high=11000.0)
RANGE = 8.0  # nepers shown below the loudest: about 70 dB


def level(wave: Wave) -> Wave:
    """The wave at LEVEL, or as near as its peaks allow: louder sounds are preferred otherwise."""
    own = loudness(wave)
    if not np.isfinite(own):
        return wave
    gain = min(10 ** ((LEVEL - own) / 20), HIGHEST / peak(wave.samples))
    return Wave((wave.samples * np.float32(gain)).astype(np.float32), wave.rate)


def sound(wave: Wave) -> str:
    """A wave as FLAC, 16 bit."""
    import soundfile

    buffer = io.BytesIO()
    with deferred():
        soundfile.write(buffer, to_pcm16(wave.samples), wave.rate, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def spectrogram(wave: Wave) -> str:
    """A wave's mel as PNG: a pixel for each frame and band, nothing around them."""
    samples = resample(wave.samples, wave.rate, SPEC.rate)
    mel = mel_spectrogram(np.pad(samples, (0, max(0, SPEC.hop - len(samples)))), SPEC)
    depth = np.clip((mel - mel.max()) / RANGE + 1.0, 0.0, 1.0)
    return png(depth.T)
