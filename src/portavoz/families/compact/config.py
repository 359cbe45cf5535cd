"""The compact family's shape: every width and depth, the mel it speaks through, its vocoder. Frozen and strict."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ...config_reader import Range, Reader, check_size
from ...errors import SpecError
from ...flow import MelSpec
from ...text.alphabet import SYMBOLS, VERSION

READER = Reader("the compact configuration", least=1)
Layers = Annotated[int, Range(least=1, most=512)]


@dataclass(frozen=True, slots=True)
class IstftConfig:
    """The iSTFT head (Vocos): channels of the frame stack, channels inside a block, blocks."""

    channels: int = 192
    inner: int = 512
    layers: Layers = 4


@dataclass(frozen=True, slots=True)
class HifiConfig:
    """HiFi-GAN (V3-like): the product of `rates` must be the mel's hop length."""

    channels: int = 128
    rates: tuple[int, ...] = (8, 8, 4)
    kernels: tuple[int, ...] = (16, 16, 8)
    res_kernels: tuple[int, ...] = (3, 5, 7)
    res_dilations: tuple[tuple[int, ...], ...] = ((1, 2), (2, 6), (3, 12))

    def __post_init__(self) -> None:
        for name in ("rates", "kernels", "res_kernels", "res_dilations"):
            if not getattr(self, name):
                raise SpecError(f"hifigan.{name} is []: wanted a list of at least one")


@dataclass(frozen=True, slots=True)
class SourceFilterConfig:
    """The source–filter head: channels of the frame stack, channels inside a block, blocks.

    `dilations` are those of the blocks that draw F0 and loudness; durations are predicted in units of `step` frames.
    """

    channels: int = 224
    inner: int = 640
    layers: Layers = 6
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2)
    step: int = 2


@dataclass(frozen=True, slots=True)
class CompactConfig:
    """Text → durations → mel → wave, non-autoregressive; scalable in `hidden` and in the layers of either side."""

    hidden: int = 128
    heads: int = 2
    inner: int = 384
    kernel: int = 3
    encoder_layers: Layers = 3
    decoder_layers: Layers = 4
    duration_channels: int = 128
    pitch: bool = False
    energy: bool = False
    speakers: int = 1
    secondary: bool = False  # whether secondary stress (digit 2) was learned
    symbols: int = len(SYMBOLS)
    alphabet: int = VERSION
    longest: int = 4096
    mel: MelSpec = field(default_factory=MelSpec)
    vocoder: Literal["istft", "hifigan", "source_filter"] = "istft"
    istft: IstftConfig = field(default_factory=IstftConfig)
    hifigan: HifiConfig = field(default_factory=HifiConfig)
    source_filter: SourceFilterConfig = field(default_factory=SourceFilterConfig)

    def __post_init__(self) -> None:
        if self.hidden % (2 * self.heads):
            raise SpecError(f"hidden is {self.hidden} and heads {self.heads}: hidden must be a multiple of 2 · heads")
        if self.kernel % 2 == 0:
            raise SpecError(f"kernel is {self.kernel}: an odd one keeps the length; use {self.kernel + 1}")
        hop = math.prod(self.hifigan.rates)
        if self.vocoder == "hifigan" and hop != self.mel.hop:
            raise SpecError(f"hifigan.rates multiply to {hop}, the mel's hop length is {self.mel.hop}: make them equal")
        if self.vocoder == "source_filter" and (self.pitch or self.energy):
            raise SpecError("a source–filter voice has F0 and loudness of its own: leave pitch and energy at false")
        if (self.alphabet, self.symbols) != (VERSION, len(SYMBOLS)):
            raise SpecError(
                f"alphabet is {self.alphabet} with {self.symbols} symbols, this portavoz writes "
                f"{VERSION} with {len(SYMBOLS)}: install a portavoz of the voice's time"
            )

    @property
    def most_symbols(self) -> int:
        """The most symbols at once: a symbol lasts several frames, so fewer than `longest`."""
        return self.longest // 4

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for voice.json and a checkpoint's metadata."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CompactConfig:
        """The inverse of `to_dict`.

        Raises SpecError for an unknown key, naming the nearest known one, and for a value that cannot be.
        """
        config = READER.read(cls, values)
        check_size(_numbers(config), READER.what)
        return config


def _numbers(c: CompactConfig) -> int:
    """About how many numbers the model and one longest run of it hold."""
    layers = (c.encoder_layers + c.decoder_layers) * (4 * c.hidden**2 + 2 * c.kernel * c.hidden * c.inner)
    variance = 9 * c.kernel * c.duration_channels * (c.hidden + c.duration_channels)
    tables = (c.symbols + c.speakers + c.longest + c.mel.mels) * c.hidden + c.mel.mels * c.mel.fft
    run = c.heads * c.longest**2
    head = {"istft": _stack(c.istft, c.mel), "hifigan": _hifigan(c.hifigan, c.mel.mels)}
    return layers + variance + tables + run + head.get(c.vocoder, _stack(c.source_filter, c.mel))


def _stack(c: IstftConfig | SourceFilterConfig, mel: MelSpec) -> int:
    wide = 3 if isinstance(c, SourceFilterConfig) else 1
    dilated = 3 * len(c.dilations) * c.channels**2 if isinstance(c, SourceFilterConfig) else 0
    return c.layers * 2 * c.channels * (c.inner + 7) + c.channels * (7 * mel.mels + wide * mel.fft) + dilated


def _hifigan(c: HifiConfig, mels: int) -> int:
    blocks = sum(kernel * 2 * len(dilations) for kernel, dilations in zip(c.res_kernels, c.res_dilations))
    return 7 * mels * c.channels + c.channels**2 * (sum(c.kernels) + blocks * len(c.rates))


# Speaks badly, trains in minutes: for tests and for looking inside. At most 63,330 parameters, vocoder included.
MINIMAL = CompactConfig(
    hidden=32,
    inner=32,
    encoder_layers=1,
    decoder_layers=1,
    duration_channels=32,
    istft=IstftConfig(channels=20, inner=40, layers=1),
)
SMALL = CompactConfig(
    hidden=96,
    inner=256,
    encoder_layers=2,
    decoder_layers=3,
    duration_channels=96,
    istft=IstftConfig(channels=128, inner=320, layers=3),
)
PRODUCTION = CompactConfig()
# What the bundled voice is: no mel between its halves, 24 kHz, an explicit F0.
NATURAL = CompactConfig(
    inner=256,
    encoder_layers=3,
    secondary=True,
    mel=MelSpec(rate=24000, fft=1200, hop=300, window=1200, mels=80, high=12000.0),
    vocoder="source_filter",
)
CONFIGS = {"minimal": MINIMAL, "small": SMALL, "production": PRODUCTION, "natural": NATURAL}


def named(config: str | Mapping[str, Any]) -> CompactConfig:
    """A configuration by name ("minimal", "small", "production", "natural") or by its values. Raises SpecError."""
    if isinstance(config, str):
        if config not in CONFIGS:
            raise SpecError(f"there is no compact configuration {config!r}: choose one of {', '.join(CONFIGS)}")
        return CONFIGS[config]
    return CompactConfig.from_dict(config)
