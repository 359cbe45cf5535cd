"""mel → wave: two vocoders behind one stage, and how to run either over a mel in chunks.

Both depend on a bounded number of mel frames to either side (`reach`), so a chunk that carries that many
neighbours gives exactly the samples of the whole. The chunk's state is a value: the frames that are still needed,
how far one has come, and the overlap-add of the iSTFT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...audio.stft import OverlapAdd
from ...blocks.hifigan import HifiGan, HifiGanConfig
from ...blocks.istft_head import IstftHead
from ...blocks.pulse_source import joined
from ...weights.cursor import Weights
from .config import CompactConfig

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Spectrum = Callable[[NDArray[np.float32], int], NDArray[np.complex64]]


def hifigan_config(c: CompactConfig) -> HifiGanConfig:
    """The compact family's HiFi-GAN in the block's terms."""
    h = c.hifigan
    return HifiGanConfig(
        model_in_dim=c.mel.mels,
        upsample_initial_channel=h.channels,
        upsample_rates=h.rates,
        upsample_kernel_sizes=h.kernels,
        resblock_kernel_sizes=h.res_kernels,
        resblock_dilation_sizes=h.res_dilations,
    )


def vocoder(w: Weights, c: CompactConfig) -> IstftHead | HifiGan:
    """The vocoder of a mel that the configuration names: log-mel [B, F, mels] → wave [B, F · hop]."""
    if c.vocoder == "istft":
        return IstftHead(w, c.mel, channels=c.istft.channels, inner=c.istft.inner, layers=c.istft.layers)
    return HifiGan(w, hifigan_config(c))


def reach(c: CompactConfig) -> int:
    """Frames to either side that one frame of the vocoder's output depends on."""
    if c.vocoder == "hifigan":
        return hifigan_config(c).reach()
    return 3 * ((c.istft if c.vocoder == "istft" else c.source_filter).layers + 1)


def stage(model: IstftHead | HifiGan) -> Any:
    """What a compiled runtime runs: the spectrum of the iSTFT head (NumPy inverts it), else the wave."""
    return model.spectrum if isinstance(model, IstftHead) else model


class Vocoding(NamedTuple):
    """The state of vocoding: input and output of `vocode`. Each value is used once."""

    held: NDArray[np.float32]
    first: int
    done: int
    overlap: OverlapAdd | None

    @classmethod
    def start(cls, c: CompactConfig, width: int | None = None) -> Vocoding:
        """Nothing heard yet; a frame has `width` numbers (None: a mel's)."""
        overlap = None if c.vocoder == "hifigan" else OverlapAdd(c.mel)
        return cls(np.zeros((0, c.mel.mels if width is None else width), np.float32), 0, 0, overlap)


# Where blocks end, in frames from the start: a short first one, so that sound starts early, then longer, cheaper ones.
# Each is computed before the one before it is heard to its end, also when many streams begin together: on two cores,
# 16 streams that go from 40 straight to 512 run dry by 0.4 to 0.6 s there, with 160 between them by nothing, which
# costs 3.5 % of processor time.
FIRST, STRIDE = (40, 160), 512
LEAST = 160  # fewer frames at the end belong to the block before them, which has their neighbours already


def edge_after(done: int) -> int:
    """The end of the block that starts at frame `done`."""
    last = FIRST[-1]
    return next((edge for edge in FIRST if done < edge), done + STRIDE - (done - last) % STRIDE)


def known(done: int, far: int) -> int:
    """How many frames are needed before the block that starts at frame `done` is computed, if so many come.

    The first block waits for its neighbours alone, as it is what a listener waits for.
    """
    return edge_after(done) + (max(far, LEAST) if done else far)


def vocode(
    run: Run,
    c: CompactConfig,
    state: Vocoding,
    mel: NDArray[np.float32],
    *,
    final: bool,
    spectrum: Spectrum = lambda both, first: joined(both),
) -> tuple[NDArray[np.float32], Vocoding]:
    """The next samples of a wave, given the next frames [frames, mels] of its mel; `final` with the last ones.

    `run` is the vocoder's stage (see `stage`), [1, F, mels] → spectrum [1, F, 2 · bins] or wave [1, F · hop]. Where it
    gives something else of each frame, `spectrum` makes frames [F, bins] of it, told which is their first.
    A block of frames is given out once `reach` frames after it are known (see `known`):

        first        done            ready          end
        |---reach----|=== given out ===|---reach---|       held = first … end, of which done … ready become sound

    Blocks end at fixed places, and what is left at the end is one block, with the block before it where it is short.
    So the stage runs on the same windows however the mel arrives, and a mel in pieces gives the samples of the whole
    mel bit for bit.
    """
    held, first, done, overlap = state
    held, far = np.concatenate([held, mel]), reach(c)
    end, pieces = first + len(held), []
    while done < end and (final or known(done, far) <= end):
        ready = edge_after(done) if known(done, far) <= end else end
        window = held[: min(end, ready + far) - first]
        out = run(window[None])[0]
        if overlap is None:
            pieces.append(out[(done - first) * c.mel.hop : (ready - first) * c.mel.hop])
        else:
            pieces.append(overlap.push(spectrum(out[done - first : ready - first], done)))
        keep = max(first, ready - far)
        held, first, done = held[keep - first :], keep, ready
    if final and overlap is not None:
        pieces.append(overlap.finish())
    wave = np.concatenate([np.zeros(0, np.float32), *pieces])
    return wave.astype(np.float32), Vocoding(held, first, done, overlap)


def pieces(
    run: Run, c: CompactConfig, mel: NDArray[np.float32], *, spectrum: Spectrum = lambda both, first: joined(both)
) -> Iterator[NDArray[np.float32]]:
    """The wave of a whole mel [frames, mels], block after block as they are made; `run` and `spectrum` as `vocode`."""
    state, at, far = Vocoding.start(c, mel.shape[1]), 0, reach(c)
    while at < len(mel):
        stop = min(known(state.done, far), len(mel))
        piece, state = vocode(run, c, state, mel[at:stop], final=stop == len(mel), spectrum=spectrum)
        at = stop
        yield piece
