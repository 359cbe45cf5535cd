"""One cross-attention for all: that of TrOCR's decoder layer and of Mllama's text model, from transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import MllamaTextConfig, TrOCRConfig
from transformers.models.mllama.modeling_mllama import MllamaTextCrossAttention
from transformers.models.trocr.modeling_trocr import TrOCRDecoderLayer

from portavoz import ops
from portavoz.blocks.attention import Attention, Cache
from portavoz.blocks.feed_forward import FeedForward
from portavoz.blocks.layers import DecoderLayer
from portavoz.families.reference import sensitise
from portavoz.lab.metrics import distance
from portavoz.weights.cursor import Weights
from portavoz.weights.names import Names

BACK_ENDS = sorted(ops.BACKENDS)
B, T, S, WIDTH, HEADS, SEEN = 2, 5, 11, 24, 3, 40
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
MLLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def tensors(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in module.state_dict().items()}


def additive(allowed: np.ndarray) -> torch.Tensor:
    """The reference's way to write a mask: the smallest number where nothing may be seen."""
    return torch.where(torch.from_numpy(allowed.copy()), 0.0, torch.finfo(torch.float32).min)


def off(got: Any, want: torch.Tensor) -> float:
    return distance(got, want.detach().numpy()).l2


def trocr(seed: int, activation: str = "gelu") -> TrOCRDecoderLayer:
    config = TrOCRConfig(
        d_model=WIDTH, decoder_attention_heads=HEADS, decoder_ffn_dim=56, cross_attention_hidden_size=SEEN,
        activation_function=activation, is_decoder=True,
    )  # fmt: skip
    return sensitise(TrOCRDecoderLayer(config, layer_idx=0), seed)


def trocr_port(module: TrOCRDecoderLayer, name: str, activation: str = "gelu") -> DecoderLayer:
    names = Names(
        "{part}.{p}.{t} <-> {part}.{p}.{t}",
        "fc1.{t} <-> feed_forward.fc1.{t}",
        "fc2.{t} <-> feed_forward.fc2.{t}",
        "{sum}_layer_norm.{t} <-> {sum}_layer_norm.{t}",
    )
    w = Weights(names.forward(tensors(module)), ops.open(name))
    layer = DecoderLayer(
        w,
        Attention(w / "self_attn", WIDTH, HEADS, names=PROJECTIONS),
        Attention(w / "encoder_attn", WIDTH, HEADS, names=PROJECTIONS, memory=SEEN),
        FeedForward(w / "feed_forward", WIDTH, 56, names=("fc1", "fc2"), activation=activation),
        norms=[w.layer_norm(f"{sum}_layer_norm", WIDTH) for sum in ("self_attn", "encoder_attn", "final")],
        pre=False,
    )
    w.finish()
    return layer


TEXT = np.arange(S)[None] < np.array([[S], [S - 4]])
CAUSAL = np.tri(T, dtype=bool)[None, None]


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_cross_attention_is_trocrs_with_its_weights(name: str, seed: int) -> None:
    module = trocr(seed).encoder_attn
    w = Weights(tensors(module), ops.open(name))
    block = Attention(w, WIDTH, HEADS, names=PROJECTIONS, memory=SEEN)
    w.finish()
    x, memory = normal(B, T, WIDTH, seed=seed), normal(B, S, SEEN, seed=seed)
    mask = np.broadcast_to(TEXT[:, None, None], (B, 1, T, S))
    want, weights = module(torch.from_numpy(x), torch.from_numpy(memory), attention_mask=additive(mask),
                           output_attentions=True)  # fmt: skip
    back = block.ops
    given = back.tensor(x), block.remember(back.tensor(memory)), back.tensor(TEXT[:, None, None])
    assert off(back.numpy(block(*given)), want) < 1e-5
    got, seen = block.with_attention(*given)
    assert off(back.numpy(got), want) < 1e-5
    assert off(back.numpy(seen), weights) < 1e-5


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_the_whole_layer_is_trocrs_at_once_and_step_by_step(name: str, activation: str) -> None:
    module = trocr(2, activation)
    layer = trocr_port(module, name, activation)
    back, x, memory = layer.ops, normal(B, T, WIDTH), normal(B, S, SEEN)
    mask = np.broadcast_to(TEXT[:, None, None], (B, 1, T, S))
    want = module(
        torch.from_numpy(x),
        attention_mask=additive(np.broadcast_to(CAUSAL, (B, 1, T, T))),
        encoder_hidden_states=torch.from_numpy(memory),
        encoder_attention_mask=additive(mask),
    )[0]
    heard, text = layer.cross_attn.remember(back.tensor(memory)), back.tensor(TEXT[:, None, None])
    own = Cache.empty(back, B, T, WIDTH)
    got, _ = layer(back.tensor(x), own, heard, text, causal=back.tensor(CAUSAL))
    assert off(back.numpy(got), want) < 1e-5
    own, steps = Cache.empty(back, B, T + 2, WIDTH), []
    for i in range(T):
        y, own = layer(back.tensor(x[:, i : i + 1]), own, heard, text)
        steps.append(back.numpy(y))
    assert off(np.concatenate(steps, 1), want) < 1e-5


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize(("heads", "groups"), [(6, 2), (6, 3), (4, 4), (5, 1)])
def test_cross_attention_is_mllamas_with_shared_heads_and_norms(name: str, heads: int, groups: int) -> None:
    config = MllamaTextConfig(
        hidden_size=heads * 8, num_attention_heads=heads, num_key_value_heads=groups, rms_norm_eps=1e-5,
        cross_attention_layers=[0], num_hidden_layers=1, attn_implementation="eager",
    )  # fmt: skip
    module = sensitise(MllamaTextCrossAttention(config, layer_idx=0), heads)
    w = Weights(tensors(module), ops.open(name))
    block = Attention(w, heads * 8, heads, names=MLLAMA, bias=False, groups=groups, eps=1e-5)
    w.finish()
    x, memory = normal(B, T, heads * 8), normal(B, S, heads * 8)
    mask = np.broadcast_to(TEXT[:, None, None], (B, 1, T, S))
    want, weights = module(torch.from_numpy(x), torch.from_numpy(memory), attention_mask=additive(mask))
    back = block.ops
    kept = block.remember(back.tensor(memory))
    assert kept.k.shape == (B, S, groups * 8)
    given = back.tensor(x), kept, back.tensor(TEXT[:, None, None])
    assert off(back.numpy(block(*given)), want) < 1e-5
    assert off(back.numpy(block.with_attention(*given)[1]), weights) < 1e-5


@pytest.mark.parametrize("name", BACK_ENDS)
def test_weights_on_request_change_nothing(name: str) -> None:
    """Heads wider than the model, a bias, a mask: `look` gives what the call gives, and its rows sum to 1."""
    back = ops.open(name)
    block = Attention(Weights.fresh(back, 0), 7, 2, bias=False, scale=1.0, size=9, memory=5)
    memory = block.remember(back.tensor(normal(B, S, 5)))
    bias, text = back.tensor(normal(1, 2, T, S)), back.tensor(TEXT[:, None, None])
    y, weights = block.with_attention(back.tensor(normal(B, T, 7)), memory, text, bias)
    assert distance(back.numpy(y), back.numpy(block(back.tensor(normal(B, T, 7)), memory, text, bias))).l2 < 1e-6
    weights = back.numpy(weights)
    assert weights.shape == (B, 2, T, S)
    assert np.allclose(weights.sum(-1), 1, atol=1e-6)
    assert (weights[1, :, :, S - 4 :] == 0).all()
