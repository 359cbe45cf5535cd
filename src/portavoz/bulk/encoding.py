"""Samples → the bytes of a sound file: the same bytes for the same samples and id, whichever process makes them."""

from __future__ import annotations

import hashlib
import io
import math
from typing import TYPE_CHECKING

from ..audio.files import FORMATS as WRITTEN
from ..errors import InputError
from ..interrupts import deferred
from . import ogg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = {**WRITTEN, "opus": ("OGG", "OPUS")}
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
PEAK = 0.98  # what normalised sound stays below


def encode(samples: NDArray[np.float32], rate: int, format: str, id: str) -> bytes:
    """A whole sound file of mono `[samples]` in −1 … 1 (16 bit where the format has bits).

    Opus has five rates: other sound is resampled to the next higher one. The serial number of Ogg streams comes from
    `id`. Raises InputError for a rate that the format cannot have.
    """
    import soundfile

    from ..audio.files import BLOCK, to_pcm16

    samples, rate = _for_opus(samples, rate) if format == "opus" else (samples, rate)
    kind, subtype = FORMATS[format]
    target = io.BytesIO()
    try:
        with deferred(), soundfile.SoundFile(target, "w", rate, 1, subtype, format=kind) as sound:
            # Vorbis overflows the stack when it is given a long wave at once.
            for start in range(0, len(samples), BLOCK):
                sound.write(to_pcm16(samples[start : start + BLOCK]))
    except soundfile.SoundFileError as error:
        reason = str(error).split(": ", 1)[-1].rstrip(".")
        raise InputError(f"{kind} at {rate} Hz cannot be written ({reason}); choose another format") from error
    data = target.getvalue()
    if kind != "OGG":
        return data
    return ogg.with_serial(data, int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "little"))


def _for_opus(samples: NDArray[np.float32], rate: int) -> tuple[NDArray[np.float32], int]:
    from ..audio.resample import resample

    wanted = next((one for one in OPUS_RATES if one >= rate), OPUS_RATES[-1])
    return (samples if wanted == rate else resample(samples, rate, wanted)), wanted


def normalised(samples: NDArray[np.float32], rate: int, target: float) -> tuple[NDArray[np.float32], float | None]:
    """Samples at `target` LUFS (ITU-R BS.1770-4), and the loudness reached; quieter where a peak would be cut.

    Silence, and sound of less than 0.4 s, has no loudness: it stays as it is, and None is returned with it.
    """
    import numpy as np

    from ..audio.loudness import lufs

    level, peak = lufs(samples, rate), float(np.abs(samples).max(initial=0.0))
    if not math.isfinite(level) or not peak:
        return samples, None
    gain = min(10 ** ((target - level) / 20), PEAK / peak)
    return (samples * np.float32(gain)).astype(np.float32), round(level + 20 * math.log10(gain), 2)
