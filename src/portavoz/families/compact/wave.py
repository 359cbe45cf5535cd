"""mel → wave: two vocoders behind one stage, and how to run either over a mel in chunks.

Both depend on a bounded number of mel frames to either side (`reach`), so a chunk that carries that many
neighbours gives exactly the samples of the whole. The chunk's state is a value: the frames that are still needed,
how far one has come, and the overlap-add of the iSTFT.
"""

from __future__ import annotations

from typing import Any

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
    """What a compiled runtime runs: the spectrum for the iSTFT head (the inverse transform is NumPy's), else the wave."""
    return model.spectrum if isinstance(model, IstftHead) else model
