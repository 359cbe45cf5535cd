"""mel → wave: two vocoders behind one stage, and how to run either over a mel in chunks.

Both depend on a bounded number of mel frames to either side (`reach`), so a chunk that carries that many
neighbours gives exactly the samples of the whole. The chunk's state is a value: the frames that are still needed,
how far one has come, and the overlap-add of the iSTFT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...audio.stft import OverlapAdd
from ...blocks.hifigan import HifiGan, HifiGanConfig
from ...blocks.istft_head import IstftHead
from ...weights.cursor import Weights
from .config import CompactConfig


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
    """The vocoder that the configuration names: log-mel [B, F, mels] → wave [B, F · hop]."""
    if c.vocoder == "istft":
        return IstftHead(w, c.mel, channels=c.istft.channels, inner=c.istft.inner, layers=c.istft.layers)
    return HifiGan(w, hifigan_config(c))


def reach(c: CompactConfig) -> int:
    """Mel frames to either side that one frame of the vocoder's output depends on."""
    return 3 * (c.istft.layers + 1) if c.vocoder == "istft" else hifigan_config(c).reach()


def stage(model: IstftHead | HifiGan) -> Any:
    """What a compiled runtime runs: the spectrum of the iSTFT head (NumPy inverts it), else the wave."""
    return model.spectrum if isinstance(model, IstftHead) else model


class Vocoding(NamedTuple):
    """How far a mel has come on its way to a wave: what `vocode` takes and gives back. Each value is used once."""

    held: NDArray[np.float32]
    first: int
    done: int
    overlap: OverlapAdd | None

    @classmethod
    def start(cls, c: CompactConfig) -> Vocoding:
        """Nothing heard yet."""
        overlap = OverlapAdd(c.mel) if c.vocoder == "istft" else None
        return cls(np.zeros((0, c.mel.mels), np.float32), 0, 0, overlap)


def vocode(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    c: CompactConfig,
    state: Vocoding,
    mel: NDArray[np.float32],
    *,
    final: bool,
) -> tuple[NDArray[np.float32], Vocoding]:
    """The next samples of a wave, given the next frames [frames, mels] of its mel; `final` with the last ones.

    `run` is the vocoder's stage (see `stage`), [1, F, mels] → spectrum [1, F, 2 · bins] or wave [1, F · hop].
    A frame is given out once `reach` frames after it are known:

        first        done            ready          end
        |---reach----|=== given out ===|---reach---|       held = first … end, of which done … ready become sound
    """
    held = np.concatenate([state.held, mel])
    end, far = state.first + len(held), reach(c)
    ready = end if final else max(state.done, end - far)
    if ready == state.done:
        rest = state.overlap.finish() if final and state.overlap else np.zeros(0, np.float32)
        return rest.astype(np.float32), state._replace(held=held)
    out = run(held[None])[0]
    if state.overlap is None:
        wave = out[(state.done - state.first) * c.mel.hop : (ready - state.first) * c.mel.hop]
    else:
        part = out[state.done - state.first : ready - state.first]
        bins = part.shape[-1] // 2
        wave = state.overlap.push(part[:, :bins] + 1j * part[:, bins:])
        if final:
            wave = np.concatenate([wave, state.overlap.finish()])
    keep = max(0, ready - far)
    return wave.astype(np.float32), Vocoding(
        held[max(0, keep - state.first) :], max(keep, state.first), ready, state.overlap
    )
