"""What SpeechT5 refuses and what it says about it: texts, weights, configurations."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import components as lab
import numpy as np
import pytest
from speecht5_models import ALL, CONFIGS, model, reference

from portavoz import families, ops
from portavoz.errors import InputError, SpecError, WeightError
from portavoz.families.reference import package
from portavoz.families.speecht5.config import BASE, TINY, SpeechT5Config
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria, eager

# What is refused, and what is said about it


def test_a_stop_flag_that_never_fires_is_bounded_and_told() -> None:
    m, voice = model("tiny"), lab.speaker(TINY, 0)
    (text,) = lab.rows(TINY, (150,), 0)
    (said,) = m.generate([text], voice, stop=StoppingCriteria(threshold=9.0))
    assert len(said.stops) == TINY.max_speech_positions < 150 * 20 // 2
    assert said.warnings == ("no stop token after 320 steps (0.6 s): output truncated",)


@pytest.mark.parametrize(
    ("ids", "voice", "words"),
    [
        ([[]], np.ones(12), "at least one"),
        ([], np.ones(12), "ids has no rows"),
        ([[1.5, 2.0]], np.ones(12), "whole numbers"),
        ([[1, 1]], np.ones(12), "padding throughout"),
        ([[4, 40]], np.ones(12), "the model knows 0 to 39"),
        ([[-1, 2]], np.ones(12), "ids go from -1"),
        ([[4] * 161], np.ones(12), "161 symbols at once, the model holds 160: split the text"),
        ([[4, 2]], None, "there is no speaker"),
        ([[4, 2]], np.ones(11), r"\(11,\): this model wants 12 numbers"),
        ([[4, 2]], np.ones((3, 12)), r"\(3, 12\)"),
        ([[4, 2]], np.full(12, np.nan), "NaN"),
    ],
)
def test_what_cannot_be_said_is_refused(ids: Any, voice: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model("tiny").generate(ids, voice)
    if len(ids) == 1:
        with pytest.raises(InputError, match=words):
            model("tiny").synthesize(ids[0], voice)


def test_ends_and_masks_that_cannot_be_are_refused() -> None:
    m, voice = model("tiny"), lab.speaker(TINY, 0)
    for bad in ({"threshold": np.nan}, {"minlenratio": -1.0}, {"minlenratio": 3.0, "maxlenratio": 2.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            StoppingCriteria(**bad)
    with pytest.raises(InputError, match=r"asks for 500 steps, the model has 320"):
        m.generate([[4] * 10], voice, stop=StoppingCriteria(0.5, 100.0, 100.0))
    with pytest.raises(InputError, match="masks for 2 rows and 1 rows"):
        m.generate([[4, 2]], voice, masks=[m.masks(0, 9)] * 2)
    with pytest.raises(InputError, match=r"\(2, 20 or more steps, 24\)"):
        m.generate([[4, 2]], voice, masks=[m.masks(0, 9)])


def test_weights_that_are_no_numbers_are_refused() -> None:
    weights, vocoder = reference("tiny").tensors()
    for broken, which in ((weights, "speech_decoder_postnet.feat_out.weight"), (vocoder, "conv_pre.bias")):
        bad = {**broken, which: np.full_like(broken[which], np.nan)}
        sources = (bad, vocoder) if broken is weights else (weights, bad)
        with pytest.raises(WeightError, match=f"{which}: holds NaN"):
            eager(*sources, TINY, ops.open("torch"))
    with pytest.raises(WeightError, match=r"1 unused tensor: speecht5\.extra"):
        eager(
            {**weights, "speecht5.extra": weights["speecht5.encoder.prenet.encode_positions.alpha"]},
            vocoder,
            TINY,
            ops.open("numpy"),
        )
    with pytest.raises(WeightError, match="not in the checkpoint"):
        eager({k: v for k, v in weights.items() if "layers.0.conv" not in k}, vocoder, TINY, ops.open("numpy"))


def test_numbers_that_blow_up_are_an_error_and_no_noise() -> None:
    m, voice = model("tiny"), lab.speaker(TINY, 0)
    stages: Any = m.stages

    def step(*given: Any) -> Any:
        frames, stops, state = stages.step(*given)
        return np.where(frames > 0.5, np.inf, frames), stops, state

    parts = {name: getattr(stages, name) for name in ("encode", "select", "postnet", "vocode")}
    broken = SpeechT5(SimpleNamespace(**parts, step=step), TINY)
    with pytest.raises(WeightError, match="the mel has NaN or infinity"):
        broken.generate([[4, 5, 2]], voice, stop=StoppingCriteria(9.0))
    with pytest.raises(WeightError, match="the mel has NaN or infinity"):
        list(broken.synthesize([4, 5, 2], voice, stop=StoppingCriteria(9.0)).waves)


def test_buffers_of_old_checkpoints_are_left_aside() -> None:
    weights, vocoder = reference("tiny").tensors()
    old = {
        f"speecht5.{side}.prenet.encode_positions.pe": np.zeros((1, 9, 32), np.float32)
        for side in ("encoder", "decoder")
    }
    eager({**weights, **old}, vocoder, TINY, ops.open("numpy"))


# The configuration


@ALL
def test_a_configuration_is_the_references_and_survives_a_round_trip(name: str) -> None:
    c = CONFIGS[name]
    assert reference(name).config == c
    assert SpeechT5Config.from_dict(c.to_dict(), c.vocoder_dict()) == c


def test_what_a_file_leaves_out_has_the_references_default() -> None:
    import transformers

    full = transformers.SpeechT5Config().to_dict()
    assert SpeechT5Config.from_dict({"model_type": "speecht5"}) == SpeechT5Config.from_dict(full) == SpeechT5Config()
    assert (SpeechT5Config().max_text_positions, SpeechT5Config().max_speech_positions) == (450, 4000)
    assert (BASE.max_text_positions, BASE.max_speech_positions, BASE.hop) == (600, 1876, 256)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"architectures": ["SpeechT5ForSpeechToText"]}, "SpeechT5ForSpeechToText .*SpeechT5ForTextToSpeech only"),
        ({"model_type": "t5"}, "'t5'"),
        ({"hiden_size": 32}, "no hiden_size: did you mean hidden_size"),
        ({"hidden_size": 33}, "hidden_size is 33 and encoder_attention_heads 4"),
        ({"hidden_size": "32"}, "hidden_size is '32': wanted a whole number"),
        ({"encoder_layers": 0}, "encoder_layers is 0"),
        ({"max_speech_positions": 10**12}, "max_speech_positions is 1000000000000: wanted at most 1048576"),
        ({"max_text_positions": 131073}, "max_text_positions is 131073: wanted at most 131072"),
        ({"num_hidden_layers": 5}, "num_hidden_layers is 5 and encoder_layers 2"),
        ({"hidden_act": "quick_gelu"}, "hidden_act is 'quick_gelu': wanted one of gelu"),
        ({"layer_norm_eps": 0}, "layer_norm_eps is 0: wanted a number above 0"),
        ({"speech_decoder_prenet_dropout": 0.0}, "prenet_dropout is 0.0"),
        ({"speech_decoder_prenet_dropout": 1}, "prenet_dropout is 1"),
        ({"speech_decoder_postnet_kernel": 4}, "postnet_kernel is 4: wanted an odd number"),
        ({"num_mel_bins": 17}, "model_in_dim is 16: wanted num_mel_bins, which is 17"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        SpeechT5Config.from_dict({**TINY.to_dict(), **changed}, TINY.vocoder_dict())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model_type": "hifigan"}, "SpeechT5HifiGan only"),
        ({"upsample_rates": [4, 4, 4]}, "differ in length"),
        ({"upsample_kernel_sizes": [8, 7]}, "upsamples by 4 with a kernel of 7"),
        ({"upsample_kernel_sizes": [8, 2]}, "upsamples by 4 with a kernel of 2"),
        ({"resblock_kernel_sizes": [3, 4]}, "resblock_kernel_sizes has 4"),
        ({"resblock_dilation_sizes": [[1]]}, "differ in length"),
        ({"upsample_rates": []}, "whole numbers from 1 up"),
        ({"upsample_initial_channel": 3}, "enough to halve"),
        ({"normalize_before": 1}, "vocoder.normalize_before is 1: wanted true or false"),
        ({"upsample_rates": [4, "4"]}, "a list of whole numbers"),
        ({"resblock_dilation_sizes": [1, 3]}, "a list of lists"),
        ({"sampling_rate": "16k"}, "sampling_rate is '16k'"),
        ({"sampling_rate": 0}, "sampling_rate is 0"),
    ],
)
def test_a_vocoder_that_cannot_be_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        SpeechT5Config.from_dict(TINY.to_dict(), {**TINY.vocoder_dict(), **changed})


def test_kernels_that_the_reference_itself_has_no_whole_frames_for() -> None:
    """A kernel longer than its rate by an odd number adds a sample to the whole: no frame has its own samples then."""
    made, torch = package("transformers"), package("torch")
    about = TINY.vocoder_dict() | {"upsample_kernel_sizes": [8, 7]}
    vocoder = made.SpeechT5HifiGan(made.SpeechT5HifiGanConfig(**about)).eval()
    with torch.no_grad():
        lengths = [vocoder(torch.zeros(frames, TINY.num_mel_bins)).shape[-1] for frames in (3, 10)]
    assert lengths == [3 * TINY.hop + 1, 10 * TINY.hop + 1]


def test_named_configurations() -> None:
    family = families.get("speecht5")
    assert family.configuration("base") == BASE
    with pytest.raises(SpecError, match="choose one of tiny, base"):
        family.configuration("huge")
    with pytest.raises(SpecError, match="is of type list"):
        SpeechT5Config.from_dict([])
