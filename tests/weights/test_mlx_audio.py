"""Files of mlx-audio load here, and ours load there by its own loaders: names by rules, layouts as declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import yaml
from mlx.utils import tree_flatten
from mlx_audio.codec.models.vocos.vocos import Vocos
from mlx_audio.tts.models.melotts.hifigan import Generator
from mlx_audio.utils import apply_quantization, load_weights

from portavoz import ops
from portavoz.blocks.hifigan import HifiGan, HifiGanConfig
from portavoz.blocks.istft_head import IstftHead
from portavoz.errors import WeightError
from portavoz.families.compact.config import PRODUCTION, CompactConfig
from portavoz.flow import MelSpec
from portavoz.weights import file
from portavoz.weights.cursor import Weights
from portavoz.weights.names import Names

VOCOS = Names(
    "backbone.embed.{p}               <-> embed.{p}",
    "backbone.norm.{p}                <-> norm.{p}",
    "backbone.convnext.{i}.dwconv.{p} <-> blocks.{i}.depthwise.{p}",
    "backbone.convnext.{i}.norm.{p}   <-> blocks.{i}.norm.{p}",
    "backbone.convnext.{i}.pwconv1.{p} <-> blocks.{i}.wide.{p}",
    "backbone.convnext.{i}.pwconv2.{p} <-> blocks.{i}.narrow.{p}",
    "backbone.convnext.{i}.gamma      <-> blocks.{i}.gamma",
    "backbone.final_layer_norm.{p}    <-> last.{p}",
    "head.out.{p}                     <-> head.{p}",
)
HIFIGAN = Names(
    "conv_pre.conv.{p}                  <-> conv_pre.{p}",
    "ups.{i}.conv_t.{p}                 <-> upsampler.{i}.{p}",
    "resblocks.{i}.{which}.{j}.conv.{p} <-> resblocks.{i}.{which}.{j}.{p}",
    "conv_post.conv.{p}                 <-> conv_post.{p}",
)
SPEC = MelSpec(rate=24000, fft=64, hop=16, window=64, mels=20)
SIZE = {"channels": 64, "inner": 128, "layers": 2}
BACK_ENDS = ["mlx", "torch", "numpy"]


def hparams(spec: MelSpec, channels: int, inner: int, layers: int) -> dict[str, Any]:
    """Their configuration of our vocoder."""
    backbone = {"input_channels": spec.mels, "dim": channels, "intermediate_dim": inner, "num_layers": layers}
    features = {"sample_rate": spec.rate, "n_fft": spec.fft, "hop_length": spec.hop, "n_mels": spec.mels}
    return {
        "feature_extractor": {"class_path": "vocos.MelSpectrogramFeatures", "init_args": features},
        "backbone": {"init_args": backbone},
        "head": {"init_args": {"dim": channels, "n_fft": spec.fft, "hop_length": spec.hop}},
    }


def spoken(model: Any, mel: np.ndarray) -> np.ndarray:
    """Their spectrum before its inverse: [1, frames, 2 · bins], real parts first."""
    size, phase = mx.split(model.head.out(model.backbone(mx.array(mel))), 2, axis=-1)
    size = mx.clip(mx.exp(size), None, 1e2)
    return np.array(mx.concatenate([size * mx.cos(phase), size * mx.sin(phase)], -1)).astype(np.float64)


def lively(model: nn.Module, seed: int = 5) -> nn.Module:
    """Numbers that are nowhere at their first values, so that a tensor that was left out is seen."""
    draw = np.random.default_rng(seed)
    names = [
        (k, mx.array((np.array(v) + 0.1 * draw.standard_normal(v.shape)).astype(np.float32)))
        for k, v in tree_flatten(model.parameters())
    ]
    model.load_weights(names, strict=True)
    return model


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32)


def saved(model: nn.Module, folder: Path, config: dict[str, Any] | None = None) -> Path:
    """A folder as mlx-audio's converter leaves it."""
    folder.mkdir()
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config or {}))
    return folder


def ours(folder: Path, names: Names, back: Any, **constants: np.ndarray) -> Weights:
    """A cursor over their file under our names."""
    tensors, about = file.read(folder / "model.safetensors")
    return Weights({**names.forward(tensors), **constants}, back, layout=file.layout(about))


def unscaled(mels: int) -> dict[str, np.ndarray]:
    """What our vocoders know of a corpus, and theirs do not."""
    return {"mean": np.zeros(mels, np.float32), "scale": np.ones(mels, np.float32)}


def far(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


# Theirs in ours


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "4 bits", "8 bits"])
def test_a_vocos_of_mlx_audio_speaks_here(kind: str, name: str, tmp_path: Path) -> None:
    model, mel, config = lively(Vocos.from_hparams(hparams(SPEC, **SIZE))), normal(1, 9, SPEC.mels), {}
    if kind.endswith("bits"):
        config = {"quantization": {"group_size": 32, "bits": int(kind[0])}}
        nn.quantize(model, **config["quantization"])
    else:
        model.set_dtype(getattr(mx, kind))
    folder = saved(model, tmp_path / "theirs", config)
    model.set_dtype(mx.float32)  # the numbers of the file, added up with all digits
    want = spoken(model, mel)

    back = ops.open(name)
    w = ours(folder, VOCOS, back, **unscaled(SPEC.mels))
    vocoder = IstftHead(w, SPEC, **SIZE)
    w.finish()
    assert far(back.numpy(vocoder.spectrum(back.tensor(mel))), want) < 2e-5


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_hifigan_of_mlx_audio_speaks_here(name: str, tmp_path: Path) -> None:
    shape = {"upsample_rates": [4, 2], "upsample_kernel_sizes": [8, 4], "upsample_initial_channel": 16}
    shape |= {"resblock_kernel_sizes": [3, 7], "resblock_dilation_sizes": [[1, 3], [1, 2]]}
    model: Any = lively(Generator(12, "1", **shape))
    model.conv_post.conv = lively(nn.Conv1d(4, 1, 7, padding=3))  # theirs has no bias; the published ones do
    folder, x = saved(model, tmp_path / "theirs"), normal(1, 6, 12)
    back = ops.open(name)
    w = ours(folder, HIFIGAN, back, **unscaled(12))
    vocoder = HifiGan(w, HifiGanConfig(model_in_dim=12, **shape))
    w.finish()

    # Both up to the last activation, whose slope is 0.1 in theirs and 0.01 in the published checkpoints.
    y = mx.array(x).swapaxes(1, 2)
    y = model.conv_pre(y)
    for i in range(2):
        y = model.ups[i](nn.leaky_relu(y, 0.1))
        y = (model.resblocks[2 * i](y) + model.resblocks[2 * i + 1](y)) / 2
    want = np.array(mx.tanh(model.conv_post(nn.leaky_relu(y, 0.01))))[:, 0]
    assert far(back.numpy(vocoder(back.tensor(x))), want) < 2e-5


def test_a_name_that_no_rule_knows_is_one_sentence(tmp_path: Path) -> None:
    folder = saved(Vocos.from_hparams(hparams(SPEC, **SIZE)), tmp_path / "theirs")
    tensors, _ = file.read(folder / "model.safetensors")
    with pytest.raises(WeightError, match=r"head\.istft\.window: obeys 0 rules, must be 1; fix the table of names"):
        VOCOS.forward({**tensors, "head.istft.window": np.zeros(4, np.float32)})


# Ours in theirs: the vocoder of the configuration `production`


@pytest.fixture(scope="module")
def voice() -> tuple[Weights, IstftHead, CompactConfig]:
    fresh = Weights.fresh(ops.open("numpy"), 5)
    IstftHead(fresh, PRODUCTION.mel, **vars_of(PRODUCTION))
    draw = np.random.default_rng(5)
    moved = {k: (a + 0.02 * draw.standard_normal(a.shape)).astype(np.float32) for k, a in fresh.arrays().items()}
    w = Weights(moved, ops.open("mlx"))
    return w, IstftHead(w, PRODUCTION.mel, **vars_of(PRODUCTION)), PRODUCTION


def vars_of(config: CompactConfig) -> dict[str, int]:
    return {name: getattr(config.istft, name) for name in ("channels", "inner", "layers")}


def said(voice: tuple[Weights, IstftHead, CompactConfig], mel: np.ndarray) -> np.ndarray:
    w, vocoder, _ = voice
    return w.ops.numpy(vocoder.spectrum(w.ops.tensor(mel)))


def exported(voice: tuple[Weights, IstftHead, CompactConfig], layout: str) -> dict[str, np.ndarray]:
    arrays = voice[0].arrays(layout)
    return VOCOS.backward({k: a for k, a in arrays.items() if k not in ("mean", "scale")})


def heard(voice: tuple[Weights, IstftHead, CompactConfig], model: Any) -> tuple[np.ndarray, np.ndarray]:
    """What theirs and ours make of one mel."""
    w, _, config = voice
    mel = normal(1, 12, config.mel.mels) * 2 - 5
    mean, scale = (w.arrays()[name] for name in ("mean", "scale"))
    return spoken(model, (mel - mean) / scale), said(voice, mel)


def test_our_vocoder_opens_with_the_loader_of_vocos(voice: Any, tmp_path: Path) -> None:
    """It takes PyTorch's layout and moves the axes itself; it is not strict, so numbers are compared."""
    config = hparams(voice[2].mel, **vars_of(voice[2]))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    file.write(tmp_path / "model.safetensors", exported(voice, "torch"), {"format": "pt"})
    got, want = heard(voice, Vocos.from_pretrained(str(tmp_path)))
    assert far(got, want) < 2e-5


@pytest.mark.parametrize("bits", [None, 4, 8])
def test_our_vocoder_opens_with_the_common_loader(bits: int | None, tmp_path: Path, voice: Any) -> None:
    """Strict, in MLX's layout, as it is and quantised."""
    config: dict[str, Any] = {}
    model: Any = Vocos.from_hparams(hparams(voice[2].mel, **vars_of(voice[2])))
    arrays = exported(voice, "mlx")
    if bits:
        config = {"quantization": {"group_size": 32, "bits": bits}}
        for path in [k for k in arrays if k.endswith(("pwconv1.weight", "pwconv2.weight"))]:
            parts = mx.quantize(mx.array(arrays[path]), 32, bits)
            stem = path.removesuffix("weight")
            arrays.update(zip((path, f"{stem}scales", f"{stem}biases"), (np.array(part) for part in parts)))
    file.write(tmp_path / "model.safetensors", arrays, {"format": "mlx"})
    (tmp_path / "config.json").write_text(json.dumps(config))

    weights = load_weights(tmp_path)
    apply_quantization(model, config, weights)
    model.load_weights(list(weights.items()), strict=True)
    got, want = heard(voice, model)
    if bits:
        tensors, about = file.read(tmp_path / "model.safetensors")
        back = ops.open("torch")
        constants = {k: a for k, a in voice[0].arrays().items() if k in ("mean", "scale")}
        again = Weights({**VOCOS.forward(tensors), **constants}, back, layout=file.layout(about))
        vocoder = IstftHead(again, voice[2].mel, **vars_of(voice[2]))
        again.finish()
        assert far(got, want) > 1e-4  # it is another model now
        want = back.numpy(vocoder.spectrum(back.tensor(normal(1, 12, voice[2].mel.mels) * 2 - 5)))
    assert far(got, want) < 2e-5
