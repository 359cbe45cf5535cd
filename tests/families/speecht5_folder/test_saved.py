"""Back to a folder that the reference opens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from speecht5_folders import SPEAKER, TEXTS, close, expected, spoken

import portavoz
from portavoz.errors import WeightError
from portavoz.families.speecht5.checkpoint import Checkpoint, save
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.stages import Eager
from portavoz.ops.base import Ops
from portavoz.weights import file
from portavoz.weights.cursor import Weights


def strictly(folder: Path) -> Reference:
    """Open with the reference, which must find every key that it wants and no other."""
    from transformers import SpeechT5ForTextToSpeech, SpeechT5HifiGan

    pair = []
    for kind, place in ((SpeechT5ForTextToSpeech, folder), (SpeechT5HifiGan, folder / "vocoder")):
        model, found = kind.from_pretrained(place, output_loading_info=True, local_files_only=True)
        assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
        assert {*model.state_dict()} == {*file.read(place / "model.safetensors")[0]}
        pair.append(model)
    return Reference(*pair)


def test_saved_back_it_is_the_same_checkpoint(reference: tuple[Path, Reference], tmp_path: Path) -> None:
    opened = Checkpoint.open(reference[0])
    model, vocoder = opened.tensors().values()
    save(tmp_path / "again", opened.config, model, vocoder, source=opened.folder, speakers={"anna": SPEAKER})
    again = strictly(tmp_path / "again")
    for ours, theirs in ((again.model, reference[1].model), (again.vocoder, reference[1].vocoder)):
        assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
        assert ours.config.to_diff_dict() == theirs.config.to_diff_dict()
    from transformers import SpeechT5Tokenizer

    assert SpeechT5Tokenizer.from_pretrained(tmp_path / "again")("Hello <mask>").input_ids == (
        opened.tokenizer().ids("Hello <mask>")
    )
    voice = portavoz.load(tmp_path / "again")
    assert voice.speakers == ("anna",)
    assert close(voice.speak(TEXTS[0]).samples, spoken(reference))
    counters = [name for name in file.read(tmp_path / "again" / "model.safetensors")[0] if name.endswith("_tracked")]
    assert len(counters) == opened.config.speech_decoder_postnet_layers


def test_weights_of_our_own_open_in_the_reference(reference: tuple[Path, Reference], tmp_path: Path) -> None:
    """Ours to theirs: fresh weights, as a training has them, without counters."""
    config = Checkpoint.open(reference[0]).config
    roots = Weights.fresh(Ops(), 1), Weights.fresh(Ops(), 2)
    Eager(*roots, config)
    save(tmp_path / "ours", config, roots[0].arrays(), roots[1].arrays(), source=reference[0])
    theirs = strictly(tmp_path / "ours")
    voice = portavoz.load(tmp_path / "ours")
    assert close(voice.speak("Hi.", speaker=SPEAKER).samples, expected(voice, theirs, "Hi."))


def test_what_does_not_fit_is_not_saved(folder: Path, tmp_path: Path) -> None:
    opened = Checkpoint.open(folder)
    model, vocoder = map(dict, opened.tensors().values())
    model.pop("speech_decoder_postnet.prob_out.bias")
    with pytest.raises(WeightError, match=r"prob_out.bias: not in the checkpoint"):
        save(tmp_path / "no", opened.config, model, vocoder)
    assert not (tmp_path / "no").exists()
