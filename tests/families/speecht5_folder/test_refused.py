"""Folders, options and texts that do not fit: one sentence each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
from speecht5_folders import SPEAKER, edited, refused, rewritten

import portavoz
from portavoz.errors import BackendError, InputError, PortavozError, SpecError, WeightError
from portavoz.families.synthesis import SynthesisOptions, SynthesisRequest
from portavoz.text.lexicon import Lexicon

ALPHA = "speecht5.encoder.prenet.encode_positions.alpha"

HARM: dict[str, tuple[str, Callable[[dict[str, np.ndarray]], object], str]] = {
    "missing": ("", lambda t: t.pop(ALPHA), f"{ALPHA}: not in the checkpoint"),
    "extra": ("", lambda t: t.update(extra=np.ones(1)), "1 unused tensor: extra; is this the right model?"),
    "mis-shaped": ("", lambda t: t.update({ALPHA: np.ones(3, np.float32)}), "the checkpoint has (3,), the model wants"),
    "NaN": ("", lambda t: t["speech_decoder_postnet.feat_out.weight"].fill(np.nan), "feat_out.weight: holds NaN"),
    "infinity": ("vocoder", lambda t: t["conv_post.bias"].fill(np.inf), "conv_post.bias: holds NaN or infinity"),
    "vocoder missing": ("vocoder", lambda t: t.pop("conv_pre.weight"), "conv_pre.weight: not in the checkpoint"),
    "vocoder extra": ("vocoder", lambda t: t.update(more=np.ones(1)), "1 unused tensor: more"),
    "vocoder turned": (
        "vocoder",
        lambda t: t.update({"upsampler.0.weight": t["upsampler.0.weight"].transpose(1, 0, 2)}),
        "upsampler.0.weight: the checkpoint has (16, 32, 8), the model wants (32, 16, 8)",
    ),
    "half a pair": (
        "vocoder",
        lambda t: t.update({"conv_pre.weight_g": t.pop("conv_pre.weight")}),
        "weight norm has two tensors, conv_pre.weight_v is not there",
    ),
}


@pytest.mark.parametrize("options", [{}, {"backend": "numpy"}], ids=["lean", "blocks"])
@pytest.mark.parametrize("name", HARM)
def test_weights_that_do_not_fit(copy: Path, name: str, options: dict[str, str]) -> None:
    place, change, said = HARM[name]
    rewritten(copy / place, change)
    sentence = refused(WeightError, lambda: portavoz.load(copy, **options))
    assert sentence.startswith(f"{copy / place / 'model.safetensors'}: ") and said in sentence


@pytest.mark.parametrize("place", ["", "vocoder"])
@pytest.mark.parametrize("content", [None, b"", b"nothing of the kind"])
def test_weight_files_that_cannot_be_read(copy: Path, place: str, content: bytes | None) -> None:
    path = copy / place / "model.safetensors"
    if content is None:
        path.unlink()
        assert "neither model.safetensors nor" in refused(WeightError, lambda: portavoz.load(copy))
        return
    path.write_bytes(content)
    assert "not a readable safetensors file" in refused(WeightError, lambda: portavoz.load(copy))


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"model_type": "bert", "architectures": ["BertModel"]}, InputError, "a checkpoint of BertModel"),
        ({"model_type": "gone", "architectures": "gone"}, InputError, "an architecture that it does not name"),
        ({"architectures": ["SpeechT5ForSpeechToText"]}, SpecError, "is of SpeechT5ForSpeechToText"),
        ({"hidden_size": 33}, SpecError, "hidden_size is 33"),
        ({"hidden_size": 64}, WeightError, "the model wants"),
        ({"vocab_size": 9}, InputError, "the model knows 9; use the files of one checkpoint"),
        ({"num_mel_bins": 8}, SpecError, "vocoder.model_in_dim is 16: wanted num_mel_bins, which is 8"),
    ],
    ids=str,
)
def test_configurations_of_something_else(
    copy: Path, changes: dict[str, object], kind: type[PortavozError], said: str
) -> None:
    edited(copy / "config.json", **changes)
    assert said in refused(kind, lambda: portavoz.load(copy))


def test_files_around_the_weights(copy: Path) -> None:
    edited(copy / "vocoder" / "config.json", model_type="univnet", architectures=["UnivNetModel"])
    assert "the vocoder's configuration is of UnivNetModel" in refused(SpecError, lambda: portavoz.load(copy))
    (copy / "vocoder" / "config.json").write_text("[1]", encoding="utf-8")
    assert "type list, wanted an object" in refused(InputError, lambda: portavoz.load(copy))
    shutil.rmtree(copy / "vocoder")
    assert "no vocoder in its vocoder or hifigan/" in refused(InputError, lambda: portavoz.load(copy))
    assert "there is no such folder" in refused(InputError, lambda: portavoz.load(copy, vocoder="nowhere"))
    said = refused(InputError, lambda: portavoz.load(copy, vocoder=copy / ".."))
    assert "config.json: there is no such file; give a folder that save_pretrained wrote" in said
    (copy / "config.json").write_text("{", encoding="utf-8")
    assert "config.json: cannot be read as JSON" in refused(InputError, lambda: portavoz.load(copy))


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        (SynthesisOptions(options={"exaggeration": 1}), "there is no option 'exaggeration'"),
        (SynthesisOptions(speed=2.0), "SpeechT5 does not support `speed`"),
        (SynthesisOptions(), "no speaker: this model needs a speaker embedding of"),
    ],
)
def test_what_it_cannot_do_is_refused_before_a_weight_is_read(copy: Path, manner: SynthesisOptions, said: str) -> None:
    shutil.rmtree(copy / "speakers", ignore_errors=True)
    for path in (copy / "model.safetensors", copy / "vocoder" / "model.safetensors"):
        path.write_bytes(b"never read")
    assert said in refused(InputError, lambda: portavoz.load(copy, request=SynthesisRequest("Hello.", None, manner)))


def test_a_tokenizer_must_be_there(copy: Path) -> None:
    (copy / "spm_char.model").unlink()
    assert "there is no spm_char.model, so text cannot be tokenized" in refused(InputError, lambda: portavoz.load(copy))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"runtime": "abacus"}, "runtime 'abacus': the speecht5 family runs on"),
        ({"precision": "int3"}, "on the runtime eager the speecht5 family has float32 or bfloat16"),
        (
            {"runtime": "onnx", "precision": "int3"},
            "the speecht5 family has float32",
        ),
        ({"backend": "numpy", "precision": "int8"}, "the speecht5 family has float32 only"),
        ({"runtime": "onnx", "backend": "torch"}, "runtime 'onnx' takes no backend or device ('torch')"),
        ({"backend": "abacus"}, "there is no back end 'abacus'"),
    ],
    ids=str,
)
def test_runtimes_and_precisions(folder: Path, options: dict[str, str], said: str) -> None:
    assert said in refused(BackendError, lambda: portavoz.load(folder, **options))


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ({}, "no speaker: this model needs a speaker embedding of 12 numbers"),
        ({"speaker": "none.npy"}, "speaker 'none.npy': there is no such file"),
        ({"speaker": np.ones(512)}, "(512,), this model wants an embedding of 12 numbers"),
        ({"speaker": np.full(12, np.nan)}, "holds NaN, infinity or"),
        ({"speaker": SPEAKER, "speed": 1.5}, "SpeechT5 does not support `speed`"),
        ({"speaker": SPEAKER, "lexicon": Lexicon({})}, "SpeechT5 reads letters"),
        ({"speaker": SPEAKER, "durations": lambda s, d: d}, "SpeechT5 does not predict durations"),
        ({"speaker": SPEAKER, "seed": 0.5}, "seed is 0.5"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_manners_that_it_has_not(folder: Path, manner: dict[str, Any], said: str) -> None:
    assert said in refused(InputError, lambda: portavoz.load(folder).stream("Hello.", **manner))


def test_texts(folder: Path) -> None:
    voice = portavoz.load(folder)
    for text in ("", "...", "日本語"):
        assert "there is nothing to say" in refused(InputError, lambda t=text: voice.speak(t, speaker=SPEAKER))
    speech = voice.speak("Hello 日本, [[HH AH0]] you.", speaker=SPEAKER)
    unread = [warning for warning in speech.warnings if "speech is missing" not in warning]
    assert unread == [f"{t} could not be read and was left out" for t in ("'日本,'", "'[[HH AH0]]'")]
    raw: Any = voice.model
    said = refused(InputError, lambda: raw.model.synthesize(np.full(161, 5), SPEAKER))
    assert "161 symbols at once, the model holds 160: split the text" in said


def test_a_stop_flag_that_never_fires_is_bounded_and_told(tmp_path: Path) -> None:
    checkpoints.written(tmp_path / "endless", prob_bias=-30.0)
    voice = portavoz.load(tmp_path / "endless")
    speech = voice.speak("Hi. Me. So.", speaker=SPEAKER)
    assert len(speech.warnings) == 1
    assert "no stop token after" in speech.warnings[0]
    steps = 10 * len(voice.model.tokenizer.ids("Hi."))
    assert speech.duration < 3 * (2 * steps * 16 / 16000 + 0.6)


def test_numbers_that_overflow_on_the_way(copy: Path) -> None:
    """Finite weights, and still no sound: the loop says so instead of giving noise."""
    rewritten(copy, lambda t: t["speech_decoder_postnet.feat_out.weight"].fill(3e38))
    with np.errstate(all="ignore"):
        said = refused(WeightError, lambda: portavoz.load(copy).speak("Hi.", speaker=SPEAKER))
    assert "has NaN or infinity in it" in said
