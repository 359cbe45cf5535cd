"""Sizes of Chatterbox's four models, and the variants that are published: English, multilingual, turbo.

The defaults are the English checkpoint's. Names are those of the reference's own constructors where it has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from ...config_reader import Range, Reader, check_size
from ...errors import InputError
from ...flow import MelSpec

CODES = 6561  # entries of the S3 code book: 3 levels in 8 dimensions
PROMPT_RATE = 16_000  # Hz: what the voice encoder, the x-vector and the S3 tokenizer hear

# The mel between decoder and vocoder, and that of a prompt; magnitudes are sqrt(re² + im² + 1e-9) before the log.
MEL = MelSpec(rate=24_000, fft=1920, hop=480, window=1920, mels=80, low=0.0, high=8000.0, padding="same")

READER = Reader("the Chatterbox configuration", most=1 << 18)
Layers = Annotated[int, Range(least=0, most=512)]


@dataclass(frozen=True, slots=True)
class TokensConfig:
    """T3: text and prompt → speech tokens. `backbone` is "llama" or "gpt2"; `positions` learned ones beside it."""

    backbone: str = "llama"
    hidden: int = 1024
    inner: int = 4096
    layers: Layers = 30
    heads: int = 16
    eps: float = 1e-5
    rope_base: float = 500_000.0
    rope_factor: float = 8.0
    rope_low: float = 1.0
    rope_high: float = 4.0
    rope_original: int = 8192
    longest: int = 4096
    text_vocab: int = 704
    speech_vocab: int = 8194
    positions: bool = True
    max_text: int = 2050
    max_speech: int = 4100
    start_text: int = 255
    stop_text: int = 0
    start_speech: int = 6561
    stop_speech: int = 6562
    speaker: int = 256
    prompt_tokens: int = 150
    perceiver: bool = True
    queries: int = 32
    perceiver_heads: int = 4
    emotion: bool = True
    aligned_heads: tuple[tuple[int, int], ...] = ()

    def before_text(self, prompt: int) -> int:
        """How many steps stand before the text: speaker, prompt (as it is, or resampled), emotion."""
        return 1 + (self.queries if self.perceiver else prompt) + self.emotion

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance pairs the text with an empty one."""
        return self.backbone == "llama"


@dataclass(frozen=True, slots=True)
class VoiceConfig:
    """The voice encoder: mel of a prompt → one vector for T3."""

    mels: int = 40
    hidden: int = 256
    layers: Layers = 3
    size: int = 256


@dataclass(frozen=True, slots=True)
class XVectorConfig:
    """CAMPPlus: filter bank of a prompt → x-vector for the flow."""

    mels: int = 80
    planes: int = 32
    channels: int = 128
    growth: int = 32
    bottleneck: int = 4
    layers: tuple[int, ...] = (12, 24, 16)
    dilations: tuple[int, ...] = (1, 2, 2)
    size: int = 192


@dataclass(frozen=True, slots=True)
class CodesConfig:
    """The S3 tokenizer: log-mel of a prompt → tokens of the code book."""

    mels: int = 128
    hidden: int = 1280
    heads: int = 20
    layers: Layers = 6
    longest: int = 2048
    kernel: int = 31


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """Token encoder and flow-matching estimator: tokens, prompt mel and x-vector → mel."""

    hidden: int = 512
    heads: int = 8
    inner: int = 2048
    layers: Layers = 6
    up_layers: Layers = 4
    longest: int = 5000
    lookahead: int = 3
    mels: int = 80
    speaker: int = 192
    channels: int = 256
    blocks: Layers = 4
    middle: Layers = 12
    estimator_heads: int = 8
    head_size: int = 64
    steps: Layers = 10
    schedule: str = "cosine"
    guidance: float = 0.7
    meanflow: bool = False


@dataclass(frozen=True, slots=True)
class VocoderConfig:
    """HiFT: mel → wave by a harmonic source, transposed convolutions and an inverse Fourier transform."""

    mels: int = 80
    channels: int = 512
    f0_channels: int = 512
    harmonics: int = 8
    rates: tuple[int, ...] = (8, 5, 3)
    kernels: tuple[int, ...] = (16, 11, 7)
    source_kernels: tuple[int, ...] = (7, 7, 11)
    res_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)
    fft: int = 16
    hop: int = 4
    slope: float = 0.1
    limit: float = 0.99
    sine: float = 0.1
    noise: float = 0.003
    voiced: float = 10.0


@dataclass(frozen=True, slots=True)
class ChatterboxConfig:
    """One variant: "english", "multilingual" or "turbo", and the sizes of its models."""

    variant: str = "english"
    tokens: TokensConfig = field(default_factory=TokensConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    xvector: XVectorConfig = field(default_factory=XVectorConfig)
    codes: CodesConfig = field(default_factory=CodesConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)

    @property
    def spec(self) -> MelSpec:
        """What the numbers of its mel mean."""
        return MEL

    def to_dict(self) -> dict[str, Any]:
        """The values that `parse` reads."""
        return asdict(self)


ENGLISH = ChatterboxConfig()
MULTILINGUAL = replace(
    ENGLISH,
    variant="multilingual",
    tokens=TokensConfig(text_vocab=2454, aligned_heads=((12, 15), (13, 11), (9, 2))),
)
TURBO = replace(
    ENGLISH,
    variant="turbo",
    tokens=TokensConfig(
        backbone="gpt2", layers=24, longest=8196, text_vocab=50276, speech_vocab=6563, positions=False,
        prompt_tokens=375, perceiver=False, emotion=False,
    ),
    flow=FlowConfig(steps=2, schedule="linear", meanflow=True),
)  # fmt: skip


VARIANTS = {"english": ENGLISH, "multilingual": MULTILINGUAL, "turbo": TURBO}


def small(config: ChatterboxConfig) -> ChatterboxConfig:
    """The same variant with few layers and narrow ones: for tests and first tries; untrained, it only babbles."""
    layers = max((layer for layer, _ in config.tokens.aligned_heads), default=1) + 1
    tokens = replace(
        config.tokens, hidden=64, inner=96, layers=layers, heads=4, queries=5, perceiver_heads=2, speaker=24,
        aligned_heads=tuple((layer, head % 4) for layer, head in config.tokens.aligned_heads),
        text_vocab=min(config.tokens.text_vocab, 2454), longest=2048, max_speech=1100,
    )  # fmt: skip
    return replace(
        config,
        tokens=tokens,
        voice=VoiceConfig(hidden=32, size=24),
        xvector=XVectorConfig(planes=4, channels=8, growth=4, bottleneck=2, size=20),
        codes=CodesConfig(mels=24, hidden=128, heads=2, layers=2),
        flow=replace(
            config.flow, hidden=64, heads=4, inner=96, layers=2, up_layers=1, speaker=20, channels=32, blocks=1,
            middle=1, estimator_heads=2, head_size=16,
        ),
        vocoder=VocoderConfig(channels=64, f0_channels=32),
    )  # fmt: skip


CONFIGS = {
    "tiny": small(ENGLISH), "tiny-multilingual": small(MULTILINGUAL), "tiny-turbo": small(TURBO),
    "multilingual": MULTILINGUAL, "turbo": TURBO, "base": ENGLISH,
}  # fmt: skip


def parse(values: Mapping[str, Any]) -> ChatterboxConfig:
    """A config from JSON's values, e.g. ``{"variant": "turbo", "tokens": {"layers": 2}}``.

    What is not given is the variant's own. Raises InputError for an unknown variant, SpecError for an unknown name.
    """
    variant = values.get("variant", "english")
    if not isinstance(variant, str) or variant not in VARIANTS:
        raise InputError(f"chatterbox: there is no variant {variant!r}; choose one of {', '.join(VARIANTS)}")
    config = READER.read(ChatterboxConfig, values, base=VARIANTS[variant])
    check_size(_numbers(config), READER.what)
    return config


def _numbers(c: ChatterboxConfig) -> int:
    """About how many numbers the four models hold."""
    t, f, v = c.tokens, c.flow, c.vocoder
    tokens = t.layers * (4 * t.hidden**2 + 3 * t.hidden * t.inner) + t.longest * (t.hidden // max(1, t.heads))
    tables = (2 * t.text_vocab + 2 * t.speech_vocab + t.max_text + t.max_speech + t.queries) * t.hidden
    wide = f.estimator_heads * f.head_size
    estimator = (2 * f.blocks + f.middle) * f.channels * (4 * wide + 16 * f.channels)
    flow = (f.layers + f.up_layers) * (4 * f.hidden**2 + 2 * f.hidden * f.inner) + f.longest * f.hidden + estimator
    codes = c.codes.layers * 12 * c.codes.hidden**2 + (c.codes.longest + 3 * c.codes.mels) * c.codes.hidden
    voice = c.voice.layers * 8 * c.voice.hidden * (c.voice.hidden + c.voice.mels) + c.voice.hidden * c.voice.size
    grown = c.xvector.channels + sum(c.xvector.layers) * c.xvector.growth
    xvector = sum(c.xvector.layers) * 4 * grown * c.xvector.growth * c.xvector.bottleneck + grown * c.xvector.size
    blocks = 6 * sum((*v.res_kernels, *v.source_kernels)) * len(v.rates)
    vocoder = v.channels**2 * (sum(v.kernels) + blocks) + 12 * v.f0_channels**2 + 7 * v.mels * v.channels
    return tokens + tables + flow + codes + voice + xvector + vocoder
