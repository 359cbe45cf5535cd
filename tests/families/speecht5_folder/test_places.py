"""Where weights, vocoder and speakers may be, and every form that checkpoints have."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from speecht5_folders import SPEAKER, TEXTS, close, expected, refused, rewritten, spoken

import portavoz
from portavoz.errors import InputError, WeightError
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.weights import file, shards
from portavoz.weights.convert import convert


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_damaged_weights_are_found_before_they_are_compiled(
    copy: Path, runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAVOZ_CACHE", str(tmp_path / "cache"))
    rewritten(copy, lambda t: t.update(extra=np.ones(1)))
    assert "1 unused tensor: extra" in refused(WeightError, lambda: portavoz.load(copy, runtime=runtime))
    rewritten(copy, lambda t: (t.pop("extra"), t["speech_decoder_postnet.feat_out.weight"].fill(np.nan)))
    assert "feat_out.weight: holds NaN" in refused(WeightError, lambda: portavoz.load(copy, runtime=runtime))


def test_speakers_that_came_with_the_folder(copy: Path, reference: tuple[Path, Reference]) -> None:
    file.write(copy / "speakers.safetensors", {"anna": SPEAKER}, {})
    (copy / "speakers").mkdir()
    np.save(copy / "speakers" / "bert.npy", checkpoints.voice(1))
    voice = portavoz.load(copy)
    assert voice.speakers == ("anna", "bert")
    wanted = expected(voice, reference[1], TEXTS[0])
    for speaker in (None, "anna", 0):
        assert close(voice.speak(TEXTS[0], speaker=speaker).samples, wanted)
    for speaker in ("bert", 1, str(copy / "speakers" / "bert.npy")):
        assert close(
            voice.speak(TEXTS[0], speaker=speaker).samples,
            expected(voice, reference[1], TEXTS[0], speaker=checkpoints.voice(1)),
        )
    mixed = voice.speak(TEXTS[0], speaker="anna:0.7+bert:0.3").samples
    assert not np.array_equal(mixed[:30], voice.speak(TEXTS[0], speaker="anna").samples[:30])
    with pytest.raises(InputError, match=r"'carl': there is no such file; give a name \(anna, bert\)"):
        voice.speak(TEXTS[0], speaker="carl")


@pytest.mark.parametrize("place", ["hifigan", "../speecht5_hifigan", "../elsewhere"])
def test_places_of_the_vocoder(copy: Path, place: str) -> None:
    wanted = portavoz.load(copy).speak(TEXTS[0], speaker=SPEAKER).samples
    (copy / "vocoder").rename(copy / place)
    voice = portavoz.load(copy, vocoder=copy / place if "elsewhere" in place else None)
    assert np.array_equal(voice.speak(TEXTS[0], speaker=SPEAKER).samples, wanted)


def test_shards(copy: Path, reference: tuple[Path, Reference]) -> None:
    (copy / "model.safetensors").unlink()
    reference[1].model.save_pretrained(copy, max_shard_size="30KB")
    assert len(list(copy.glob("model-*.safetensors"))) > 2
    assert close(portavoz.load(copy).speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))
    next(copy.glob("model-00002-*.safetensors")).unlink()
    with pytest.raises(WeightError, match=r"model-00002-.*lists this shard, it is not there"):
        portavoz.load(copy)


def old(vocoder: Any) -> dict[str, torch.Tensor]:
    """The vocoder's tensors with weight norm as PyTorch 1 spelled it."""
    out: dict[str, torch.Tensor] = {}
    for name, tensor in vocoder.state_dict().items():
        if name.endswith(".weight"):
            stem, norm = name.removesuffix("weight"), tensor.flatten(1).norm(dim=1).reshape(-1, 1, 1)
            out[f"{stem}weight_g"], out[f"{stem}weight_v"] = norm, tensor * 3.0
        else:
            out[name] = tensor
    return out


def new(vocoder: Any) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vocoder.apply_weight_norm()
    return vocoder.state_dict()


@pytest.mark.parametrize("spelling", [old, new])
def test_pickled_checkpoints_and_every_spelling_of_weight_norm(
    copy: Path, reference: tuple[Path, Reference], spelling: Callable[[Any], dict[str, torch.Tensor]]
) -> None:
    """As the published files are: pickles, with the tables of sines that old releases stored."""
    state = dict(reference[1].model.state_dict())
    for side in ("encoder", "decoder"):
        state[f"speecht5.{side}.prenet.encode_positions.pe"] = torch.zeros(1, 160, 32)
    second = Reference.open(reference[0], reference[0] / "vocoder").vocoder
    for place, tensors in ((copy, state), (copy / "vocoder", spelling(second))):
        (place / "model.safetensors").unlink()
        torch.save(tensors, place / "pytorch_model.bin")
        with pytest.raises(WeightError, match=r"portavoz weights convert .*pytorch_model.bin .* --trust-pickle"):
            portavoz.load(copy)
        convert(place / "pytorch_model.bin", place / "model.safetensors", trust_pickle=True)
    assert close(portavoz.load(copy).speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))


def test_a_pickled_checkpoint_in_several_files(copy: Path, reference: tuple[Path, Reference]) -> None:
    state = reference[1].model.state_dict()
    names = [f"pytorch_model-0000{n}-of-00003.bin" for n in (1, 2, 3)]
    places = {key: names[number % 3] for number, key in enumerate(state)}
    (copy / "model.safetensors").unlink()
    for name in names:
        torch.save({key: tensor for key, tensor in state.items() if places[key] == name}, copy / name)
    index = copy / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    said = refused(WeightError, lambda: portavoz.load(copy))
    assert f"portavoz weights convert {index} {copy / 'model.safetensors'} --trust-pickle" in said
    before = sorted(copy.iterdir())
    with pytest.raises(WeightError, match="a pickle is a program"):
        convert(index, copy / "model.safetensors")
    assert sorted(copy.iterdir()) == before
    report = convert(index, copy / "model.safetensors", trust_pickle=True)
    assert report["tensors"] == len(state)
    assert report["metadata"]["converted_from"] == index.name
    assert sorted(copy.iterdir()) == sorted([*before, copy / "model.safetensors"])
    assert close(portavoz.load(copy).speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))

    (copy / "model.safetensors").unlink()
    (copy / names[1]).unlink()
    with pytest.raises(WeightError, match=r"00002-of-00003.bin: pytorch_model.bin.index.json lists this shard"):
        convert(index, copy / "model.safetensors", trust_pickle=True)
    index.write_text(json.dumps({"weight_map": {"a": "../a.bin"}}))
    with pytest.raises(WeightError, match=r"a is said to be in '../a.bin', wanted a file with .bin or .pt"):
        convert(index, copy / "model.safetensors", trust_pickle=True)
    assert not (copy / "model.safetensors").exists()


def test_half_precision_files(copy: Path, reference: tuple[Path, Reference]) -> None:
    half = {k: (v.astype(np.float16) if v.dtype == np.float32 else v) for k, v in shards.read(copy)[0].items()}
    file.write(copy / "model.safetensors", half, {"format": "pt"})
    speech = portavoz.load(copy).speak("Hi.", speaker=SPEAKER)
    assert speech.samples.dtype == np.float32 and np.isfinite(speech.samples).all()


@pytest.mark.slow
def test_the_published_size_from_a_pickle_to_sound(tmp_path: Path) -> None:
    reference = checkpoints.written(tmp_path / "base", base=True)
    folder = tmp_path / "base"
    for place, module, count in ((folder, reference.model, 396), (folder / "vocoder", reference.vocoder, 158)):
        (place / "model.safetensors").unlink()
        torch.save(module.state_dict(), place / "pytorch_model.bin")
        done = convert(place / "pytorch_model.bin", place / "model.safetensors", trust_pickle=True)
        assert done["tensors"] == count
    voice, speaker = portavoz.load(folder), checkpoints.voice(size=512)
    said = voice.speak("Hi.", speaker=speaker)
    assert close(said.samples, expected(voice, reference, "Hi.", speaker=speaker))
    shutil.rmtree(folder)  # more than a gigabyte
