"""Checkpoints as they are published and as ports leave them; every tensor has a place; what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chatterbox_models as models
import numpy as np
import pytest

from portavoz import ops
from portavoz.errors import InputError, SpecError, WeightError
from portavoz.families.chatterbox.checkpoint import Checkpoint
from portavoz.families.chatterbox.file_set import is_chatterbox, part_files
from portavoz.families.chatterbox.prompt import Conditionals
from portavoz.weights import file
from portavoz.weights.layout import relayout

NAMES = ["tiny", "tiny-turbo", "tiny-multilingual"]


@pytest.mark.parametrize("name", NAMES)
def test_a_published_checkpoint_is_read_and_every_tensor_taken(name: str, tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice", name)
    assert is_chatterbox(folder)
    checkpoint = Checkpoint.open(folder)
    assert checkpoint.config == models.config(name)
    stages = checkpoint.eager(ops.open("torch"))  # finish() refuses unused tensors
    tokens = np.array([[5, 77, 6560]])
    np.testing.assert_array_equal(stages.mu(tokens), models.stages(name).mu(tokens))
    assert checkpoint.tokenizer().variant == checkpoint.config.variant


def turned(part: str, roles: dict[tuple[str, str], str]) -> dict[str, np.ndarray]:
    """A model's folded tensors in MLX's layout."""
    return {
        key: np.ascontiguousarray(relayout(value, roles.get((part, key), ""), "torch", "mlx"))
        for key, value in models.tensors(part).items()
    }


def ported(folder: Path, tmp_path: Path) -> Checkpoint:
    """A port's files: fp16 in MLX's layout without the vocoder, which has a file of its own and no prefix."""
    roles = Checkpoint.open(models.published(tmp_path / "published")).roles()
    gen = {k: v for k, v in turned("s3gen", roles).items() if not k.startswith("tokenizer._mel")}
    half = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in gen.items()}
    file.write(folder / "s3gen_fp16.safetensors", without(half, "mel2wav."), {"format": "mlx"})
    vocoder = {k.removeprefix("mel2wav."): v for k, v in gen.items() if k.startswith("mel2wav.")}
    file.write(folder / "hift.safetensors", vocoder, {"layout": "mlx"})
    both = {f"t3.{k}": v for k, v in models.raw("t3").items()} | {f"ve.{k}": v for k, v in models.raw("voice").items()}
    file.write(folder / "model.safetensors", both, {"format": "pt"})
    (folder / "config.json").write_text((tmp_path / "published" / "config.json").read_text())
    return Checkpoint.open(folder)


def without(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k: v for k, v in tensors.items() if not k.startswith(prefix)}


def test_a_ports_files_are_read_in_their_own_layout_precision_and_prefixes(tmp_path: Path) -> None:
    (tmp_path / "port").mkdir()
    stages, want = ported(tmp_path / "port", tmp_path).eager(ops.open("torch")), models.stages()
    tokens = np.array([[5, 77, 6560, 1]])
    assert models.relative(stages.mu(tokens), want.mu(tokens)) < 3e-3  # half precision
    mel, excitation = want.mu(tokens), np.full((1, 8 * 480, 1), 0.1, np.float32)
    assert models.relative(stages.vocode(mel, excitation), want.vocode(mel, excitation)) < 1e-6


def test_keys_without_the_estimators_step_are_refused_instead_of_left_at_their_start(tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice")
    gen, _ = file.read(folder / "s3gen.safetensors")
    shorter = {k.replace("flow.decoder.estimator.", "flow.decoder."): v for k, v in gen.items()}
    file.write(folder / "s3gen.safetensors", shorter, {"format": "pt"})
    with pytest.raises(WeightError, match=r"flow\.decoder\.estimator\.time_mlp.*not in the checkpoint; same ending"):
        Checkpoint.open(folder).eager(ops.open("torch"))


def test_a_matrix_stored_the_other_way_round_is_refused_by_its_shape(tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice")
    gen, _ = file.read(folder / "s3gen.safetensors")
    key = "flow.encoder.encoders.0.feed_forward.w_1.weight"
    file.write(folder / "s3gen.safetensors", {**gen, key: np.ascontiguousarray(gen[key].T)}, {"format": "pt"})
    with pytest.raises(WeightError, match=r"w_1\.weight: the checkpoint has \(64, 96\), the model wants \(96, 64\)"):
        Checkpoint.open(folder).eager(ops.open("torch"))


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("ve.safetensors", r"the voice encoder \(ve\.safetensors\)"),
        (
            "s3gen.safetensors",
            r"the S3 tokenizer, the x-vector model, the flow, the vocoder "
            r"\(s3gen\.safetensors, of turbo s3gen_meanflow\.safetensors\)",
        ),
        ("t3_cfg.safetensors", r"T3 \(t3_cfg\.safetensors, t3_mtl23ls_v2\.safetensors or t3_turbo_v1\.safetensors\)"),
    ],
)
def test_a_missing_file_is_named(gone: str, said: str, tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice")
    (folder / gone).unlink()
    with pytest.raises(InputError, match=f"{said} missing; fetch the whole checkpoint"):
        Checkpoint.open(folder)
    file.write(folder / gone, {"model.norm.weight": np.ones(4, np.float32)}, {"format": "pt"})
    with pytest.raises(InputError, match=f"{said} missing .{gone}: no part of Chatterbox is in it.; fetch"):
        Checkpoint.open(folder)


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"there is no tokenizer\.json"):
        Checkpoint.open(folder).tokenizer()


def test_files_of_two_variants_are_refused(tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice")
    other = models.published(tmp_path / "turbo", "tiny-turbo")
    (folder / "s3gen.safetensors").write_bytes((other / "s3gen_meanflow.safetensors").read_bytes())
    with pytest.raises(WeightError, match="voice: s3gen is turbo's"):
        Checkpoint.open(folder)
    about = json.loads((other / "config.json").read_text()) | {"variant": "english"}
    (other / "config.json").write_text(json.dumps(about))
    with pytest.raises(WeightError, match=r"turbo: config\.json says english, and t3 is turbo's"):
        Checkpoint.open(other)


def test_of_a_published_folder_with_several_models_one_speaks_and_the_others_can_be_chosen(tmp_path: Path) -> None:
    """As on the hub: English beside two editions of the multilingual T3, all of them with one s3gen."""
    folder = models.published(tmp_path / "voice")
    other = models.published(tmp_path / "other", "tiny-multilingual")
    for name in ("t3_23lang.safetensors", "t3_mtl23ls_v2.safetensors"):
        (folder / name).write_bytes((other / "t3_mtl23ls_v2.safetensors").read_bytes())
    english = Checkpoint.open(folder)
    assert {path.name for path in english.weights} == {"t3_cfg.safetensors", "s3gen.safetensors", "ve.safetensors"}
    note = english.about()["note"]
    assert 'the english one speaks: a config.json with {"family": "chatterbox", "variant": …}' in note
    assert part_files(folder)["t3"].name == "t3_cfg.safetensors"
    (folder / "config.json").write_bytes((other / "config.json").read_bytes())
    chosen = Checkpoint.open(folder)
    assert chosen.config == models.config("tiny-multilingual")
    assert {path.name for path in chosen.weights} >= {"t3_mtl23ls_v2.safetensors"}
    assert 'chooses "english"' in chosen.note


def test_turbo_is_published_beside_a_flow_that_it_does_not_use(tmp_path: Path) -> None:
    folder, other = models.published(tmp_path / "turbo", "tiny-turbo"), models.published(tmp_path / "other")
    (folder / "s3gen.safetensors").write_bytes((other / "s3gen.safetensors").read_bytes())
    checkpoint = Checkpoint.open(folder)
    assert {path.name for path in checkpoint.weights} == {
        "t3_turbo_v1.safetensors", "s3gen_meanflow.safetensors", "ve.safetensors",
    }  # fmt: skip
    assert checkpoint.note == ""
    assert checkpoint.tokenizer().path.name == "vocab.json"


def test_a_ports_own_configuration_is_no_obstacle(tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice")
    for kind, ours in (("chatterbox", True), ("chatterbox_turbo", True), ("llama", False)):
        (folder / "config.json").write_text(json.dumps({"model_type": kind, "version": "1.0"}))
        assert is_chatterbox(folder) is ours
    (folder / "config.json").write_text('{"model_type": "chatterbox"}')
    # It says no sizes, so they are the published ones.
    assert Checkpoint.open(folder).config.tokens.layers == 30


def test_two_files_with_the_same_part_are_refused(tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice")
    (folder / "copy.safetensors").write_bytes((folder / "ve.safetensors").read_bytes())
    with pytest.raises(WeightError, match=r"voice encoder.*copy"):
        Checkpoint.open(folder)


def test_a_pickle_stays_closed_and_the_way_out_is_said(tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice")
    (folder / "s3gen.safetensors").rename(folder / "s3gen.pt")
    (folder / "ve.safetensors").rename(folder / "ve.pt")
    (folder / "t3_cfg.pt").write_bytes(b"")  # not wanted: its safetensors are there
    with pytest.raises(InputError, match="a pickle, which can run code") as refused:
        Checkpoint.open(folder)
    convert = "portavoz weights convert {0}.pt {0}.safetensors --trust-pickle"
    wanted = [convert.format(folder / name) for name in ("ve", "s3gen")]
    assert str(refused.value).endswith(" and ".join(wanted))


def test_an_unknown_setting_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    folder = models.published(tmp_path / "voice")
    about = json.loads((folder / "config.json").read_text())
    about["tokens"]["layer"] = 3
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(SpecError, match=r"no tokens\.layer: did you mean tokens\.layers"):
        Checkpoint.open(folder)


def test_a_voice_is_saved_and_loaded_and_another_models_is_refused(tmp_path: Path) -> None:
    c = models.config()
    voice = Conditionals(
        speaker=np.ones((1, 1, c.tokens.speaker), np.float32),
        t3_prompt=np.array([[1, 2]]),
        flow_prompt=np.array([[3, 4, 5]]),
        mel=np.zeros((1, 6, 80), np.float32),
        x_vector=np.ones((1, 1, c.xvector.size), np.float32),
        emotion=0.25,
    )
    voice.save(tmp_path / "conds.safetensors")
    again = Conditionals.load(tmp_path / "conds.safetensors", c)
    assert again.emotion == 0.25
    np.testing.assert_array_equal(again.flow_prompt, voice.flow_prompt)
    with pytest.raises(WeightError, match=r"t3\.speaker_emb is .*wanted finite numbers \[\.\., 256\]"):
        Conditionals.load(tmp_path / "conds.safetensors", models.CONFIGS["base"])


def test_the_references_pickled_voice_is_converted_on_the_callers_word(tmp_path: Path) -> None:
    import torch

    from portavoz.weights.convert import convert

    c = models.config()
    t3 = {
        "speaker_emb": torch.rand(1, c.tokens.speaker), "clap_emb": None, "cond_prompt_speech_emb": None,
        "cond_prompt_speech_tokens": torch.tensor([[5, 6, 7]]), "emotion_adv": torch.full((1, 1, 1), 0.75),
    }  # fmt: skip
    gen = {
        "prompt_token": torch.tensor([[8, 9]]), "prompt_token_len": torch.tensor([2]), "prompt_feat_len": None,
        "prompt_feat": torch.rand(1, 4, 80), "embedding": torch.rand(1, c.xvector.size),
    }  # fmt: skip
    torch.save({"t3": t3, "gen": gen}, tmp_path / "conds.pt")
    convert(tmp_path / "conds.pt", tmp_path / "conds.safetensors", trust_pickle=True)
    voice = Conditionals.load(tmp_path / "conds.safetensors", c)
    assert voice.emotion == 0.75
    np.testing.assert_array_equal(voice.t3_prompt, [[5, 6, 7]])
    np.testing.assert_array_equal(voice.mel, gen["prompt_feat"].numpy())
