"""The SpeechT5 family's shape, read from the reference's own config.json files. Frozen and strict.

The names of the fields are the reference's, letter for letter, and so are the values that a file leaves out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

from ...blocks.hifigan import HifiGanConfig
from ...config_reader import Reader, check_size
from ...errors import SpecError
from ...flow import MelSpec

ARCHITECTURE, MODEL = "SpeechT5ForTextToSpeech", "speecht5"
VOCODER_ARCHITECTURE, VOCODER_MODEL = "SpeechT5HifiGan", "speecht5_hifigan"
# Tables of positions are as long as the configuration says: no file may ask for more memory than there is.
MOST_POSITIONS = 1 << 17
# The reference's names of an activation → the block's.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
# Other names under which files say the same thing.
ALIASES = {"num_hidden_layers": "encoder_layers", "num_attention_heads": "encoder_attention_heads"}
# Names that look like a field of ours and are about training, or about the halves that read sound.
OTHERS = {
    "encoder_layerdrop", "decoder_layerdrop", "speech_decoder_postnet_dropout", "positional_dropout",
    "decoder_start_token_id", "sep_token_id", "scale_embedding", "conv_dim", "conv_stride", "conv_kernel",
    "num_feat_extract_layers", "max_length", "sampling_rate", "num_conv_pos_embeddings",
}  # fmt: skip

READER = Reader("the SpeechT5 configuration", OTHERS, most=1 << 20)
LAYERS = 512  # the most of a stack


@dataclass(frozen=True, slots=True)
class SpeechT5Config:
    """Text → mel by an encoder and an autoregressive decoder, mel → wave by HiFi-GAN. arXiv:2110.07205.

    `speech_decoder_prenet_dropout` is the probability with which the pre-net *keeps* a value while it speaks, and
    kept values are divided by 1 − it: the reference's own arithmetic, harmless at the published 0.5.
    """

    vocab_size: int = 81
    hidden_size: int = 768
    encoder_layers: int = 12
    encoder_attention_heads: int = 12
    encoder_ffn_dim: int = 3072
    encoder_max_relative_position: int = 160
    decoder_layers: int = 6
    decoder_attention_heads: int = 12
    decoder_ffn_dim: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    num_mel_bins: int = 80
    reduction_factor: int = 2
    speech_decoder_prenet_layers: int = 2
    speech_decoder_prenet_units: int = 256
    speech_decoder_prenet_dropout: float = 0.5
    speech_decoder_postnet_layers: int = 5
    speech_decoder_postnet_units: int = 256
    speech_decoder_postnet_kernel: int = 5
    speaker_embedding_dim: int = 512
    max_text_positions: int = 450
    max_speech_positions: int = 4000
    bos_token_id: int = 0
    pad_token_id: int = 1
    eos_token_id: int = 2
    vocoder: HifiGanConfig = field(default_factory=HifiGanConfig)
    sampling_rate: int = 16000

    def __post_init__(self) -> None:
        _check_numbers(self)
        for side in ("encoder", "decoder"):
            heads = getattr(self, f"{side}_attention_heads")
            if self.hidden_size % heads:
                raise _wrong(f"hidden_size is {self.hidden_size} and {side}_attention_heads {heads}", "a multiple")
        if self.hidden_size % 2:
            raise _wrong(f"hidden_size is {self.hidden_size}", "an even number, for sines beside cosines")
        if self.hidden_act not in ACTIVATIONS:
            raise _wrong(f"hidden_act is {self.hidden_act!r}", f"one of {', '.join(ACTIVATIONS)}")
        if not 0 < self.speech_decoder_prenet_dropout < 1:
            raise _wrong(
                f"speech_decoder_prenet_dropout is {self.speech_decoder_prenet_dropout!r}",
                "more than 0 and less than 1 (it is the share that is kept: at 0 the decoder would hear nothing)",
            )
        if self.speech_decoder_postnet_kernel % 2 == 0:
            raise _wrong(
                f"speech_decoder_postnet_kernel is {self.speech_decoder_postnet_kernel}",
                "an odd number, which keeps the length",
            )
        _check_vocoder(self.vocoder, self.num_mel_bins)

    @property
    def hop(self) -> int:
        """Samples a frame: the product of the vocoder's rates."""
        return math.prod(self.vocoder.upsample_rates)

    @property
    def postnet_reach(self) -> int:
        """Frames to either side that one frame after the post-net depends on."""
        return self.speech_decoder_postnet_layers * (self.speech_decoder_postnet_kernel // 2)

    @property
    def mel(self) -> MelSpec:
        """What the mel's numbers mean: the published feature extractor's, at this rate and hop."""
        return MelSpec(
            rate=self.sampling_rate, fft=1024, hop=self.hop, window=1024, mels=self.num_mel_bins,
            low=80.0, high=7600.0, log="10", floor=1e-10, padding="center",
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The model's config.json, for a folder that the reference opens."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("vocoder", "sampling_rate")}
        return {"architectures": [ARCHITECTURE], "model_type": MODEL, "is_encoder_decoder": True, **own}

    def vocoder_dict(self) -> dict[str, Any]:
        """The vocoder's config.json."""
        own = {key: _lists(value) for key, value in dataclasses.asdict(self.vocoder).items()}
        head = {"architectures": [VOCODER_ARCHITECTURE], "model_type": VOCODER_MODEL}
        return {**head, "sampling_rate": self.sampling_rate, **own}

    @classmethod
    def from_dict(cls, model: Any, vocoder: Any = None) -> SpeechT5Config:
        """The configuration in two config.json files, the model's and its vocoder's (None: the published one).

        What is missing has the reference's own default. Raises SpecError for another architecture, for a value
        that cannot be, and for a key that is nearly one of ours.
        """
        _check_kind(model, "the model's", ARCHITECTURE, MODEL)
        given: dict[str, Any] = dict(model)
        values = {ALIASES.get(key, key): value for key, value in given.items()}
        for alias, name in ALIASES.items():
            if alias in model and name in model and model[alias] != model[name]:
                raise _wrong(f"{alias} is {model[alias]!r} and {name} {model[name]!r}", "the same number twice")
        ready = READER.fields(cls, {k: v for k, v in values.items() if k not in ("vocoder", "sampling_rate")})
        if vocoder is not None:
            _check_kind(vocoder, "the vocoder's", VOCODER_ARCHITECTURE, VOCODER_MODEL)
            ready["vocoder"] = READER.read(HifiGanConfig, vocoder, where="vocoder.")
            ready |= READER.fields(cls, {"sampling_rate": vocoder.get("sampling_rate", 16000)}, where="vocoder.")
        config = cls(**ready)
        check_size(_numbers(config), READER.what)
        return config


def _numbers(c: SpeechT5Config) -> int:
    """About how many numbers the model and one longest run of it hold."""
    h, units, v = c.hidden_size, c.speech_decoder_postnet_units, c.vocoder
    encoder = c.encoder_layers * (4 * h**2 + 2 * h * c.encoder_ffn_dim)
    decoder = c.decoder_layers * (8 * h**2 + 2 * h * c.decoder_ffn_dim)
    tables = (c.vocab_size + c.max_text_positions + c.max_speech_positions + c.speaker_embedding_dim) * h
    prenet = c.speech_decoder_prenet_units * (c.speech_decoder_prenet_layers * c.speech_decoder_prenet_units + h)
    postnet = c.speech_decoder_postnet_layers * c.speech_decoder_postnet_kernel * units * (units + c.num_mel_bins)
    run = (c.encoder_attention_heads + c.encoder_max_relative_position) * c.max_text_positions**2
    blocks = sum(k * 2 * len(d) for k, d in zip(v.resblock_kernel_sizes, v.resblock_dilation_sizes))
    vocoder = v.upsample_initial_channel**2 * (sum(v.upsample_kernel_sizes) + blocks * len(v.upsample_rates))
    first = 7 * v.model_in_dim * v.upsample_initial_channel + h * c.num_mel_bins * c.reduction_factor
    return encoder + decoder + tables + prenet + postnet + run + vocoder + first


def _wrong(what: str, wanted: str) -> SpecError:
    return SpecError(f"the SpeechT5 configuration's {what}: wanted {wanted}")


def _check_kind(values: Any, whose: str, architecture: str, kind: str) -> None:
    if not isinstance(values, Mapping):
        raise SpecError(f"{whose} configuration is of type {type(values).__name__}: give the values of its config.json")
    given: Any = values.get("architectures") or [architecture]
    listed: list[Any] = given if isinstance(given, list) else [given]
    found = values.get("model_type", kind)
    if architecture not in listed or found != kind:
        named = f"{', '.join(map(str, listed))} (model_type {found!r})"
        raise SpecError(f"{whose} configuration is of {named}: this family speaks with {architecture} only")


def _check_numbers(c: SpeechT5Config) -> None:
    for name, hint in get_type_hints(SpeechT5Config).items():
        value, least = getattr(c, name), 0 if name.endswith("token_id") else 1
        if hint is int and value < least:
            raise _wrong(f"{name} is {value!r}", f"a whole number from {least} up")
        if hint is float and not value > 0:
            raise _wrong(f"{name} is {value!r}", "a number above 0")
        if name.endswith("_layers") and value > LAYERS:
            raise _wrong(f"{name} is {value!r}", f"at most {LAYERS}")
        if name.endswith("_positions") and value > MOST_POSITIONS:
            raise _wrong(f"{name} is {value!r}", f"at most {MOST_POSITIONS}")


def _check_vocoder(v: HifiGanConfig, mels: int) -> None:
    lists = [v.upsample_rates, v.upsample_kernel_sizes, v.resblock_kernel_sizes, *v.resblock_dilation_sizes]
    numbers = [v.model_in_dim, v.upsample_initial_channel, *(n for part in lists for n in part)]
    if not all(n > 0 for n in numbers) or not all(lists):
        raise _wrong("vocoder has a width, rate or kernel below 1", "whole numbers from 1 up")
    if v.model_in_dim != mels:
        raise _wrong(f"vocoder.model_in_dim is {v.model_in_dim}", f"num_mel_bins, which is {mels}")
    if len(v.upsample_rates) != len(v.upsample_kernel_sizes):
        raise _wrong("vocoder.upsample_rates and upsample_kernel_sizes differ in length", "one kernel a rate")
    if len(v.resblock_kernel_sizes) != len(v.resblock_dilation_sizes):
        raise _wrong("vocoder.resblock_kernel_sizes and resblock_dilation_sizes differ in length", "one list a kernel")
    if v.upsample_initial_channel < 2 ** len(v.upsample_rates):
        raise _wrong(
            f"vocoder.upsample_initial_channel is {v.upsample_initial_channel}", "enough to halve at each rate"
        )
    for rate, kernel in zip(v.upsample_rates, v.upsample_kernel_sizes):
        if kernel < rate or (kernel - rate) % 2:
            raise _wrong(
                f"vocoder upsamples by {rate} with a kernel of {kernel}",
                "a kernel at least as long, by an even number, so that a frame is a whole number of samples",
            )
    for kernel in v.resblock_kernel_sizes:
        if kernel % 2 == 0:
            raise _wrong(f"vocoder.resblock_kernel_sizes has {kernel}", "odd numbers, which keep the length")


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


# Says nothing sensible, runs in milliseconds: for tests and for looking inside.
TINY = SpeechT5Config(
    vocab_size=40, hidden_size=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=48,
    encoder_max_relative_position=8, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=48, num_mel_bins=16,
    speech_decoder_prenet_units=24, speech_decoder_postnet_layers=3, speech_decoder_postnet_units=20,
    speaker_embedding_dim=12, max_text_positions=160, max_speech_positions=320,
    vocoder=HifiGanConfig(
        model_in_dim=16, upsample_initial_channel=32, upsample_rates=(4, 4), upsample_kernel_sizes=(8, 8),
        resblock_kernel_sizes=(3, 5), resblock_dilation_sizes=((1, 3), (1, 3)),
    ),
)  # fmt: skip
# The published text-to-speech checkpoint's.
BASE = SpeechT5Config(max_text_positions=600, max_speech_positions=1876)
CONFIGS = {"tiny": TINY, "base": BASE}
