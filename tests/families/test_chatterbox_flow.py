"""Token encoder, estimator and the flow's steps against chatterbox-tts's own classes."""

from __future__ import annotations

from typing import Any

import chatterbox_models as models
import numpy as np
import pytest
import torch

from portavoz.blocks.flow_matching import time_embedding
from portavoz.families.chatterbox.decoder import Estimator
from portavoz.families.chatterbox.encoder import SpeakerProjection, TokenEncoder

LIMIT = 1e-5
VARIANTS = ["tiny", "tiny-turbo"]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def theirs(x: np.ndarray) -> Any:
    """[B, T, C] → [B, C, T], as the reference has it."""
    return torch.from_numpy(x).transpose(1, 2).contiguous()


@torch.no_grad()
def test_the_token_encoder_is_the_references() -> None:
    w, flow = models.cursor("s3gen"), models.theirs("s3gen").flow
    ours = TokenEncoder(w / "flow", models.config().flow)
    tokens = np.random.default_rng(3).integers(0, 6561, (1, 61))
    hidden, _ = flow.encoder(flow.input_embedding(torch.from_numpy(tokens)), torch.tensor([61]))
    want = flow.encoder_proj(hidden).numpy()
    assert models.relative(w.ops.numpy(ours(w.ops.tensor(tokens))), want) <= LIMIT


@torch.no_grad()
def test_each_layer_of_the_token_encoder_sees_a_row_of_small_variance_as_the_reference_does() -> None:
    """An eps of 1e-5 instead of 1e-12 would be invisible with rows of unit variance."""
    w, flow = models.cursor("s3gen"), models.theirs("s3gen").flow
    ours = TokenEncoder(w / "flow", models.config().flow)
    x = normal(1, 30, models.config().flow.hidden, seed=4) * np.float32(1e-3)
    positions = flow.encoder.embed.pos_enc.position_encoding(0, 30)
    mask = torch.ones(1, 1, 30, dtype=torch.bool)
    for layer, reference in zip(ours.layers + ours.up_layers, [*flow.encoder.encoders, *flow.encoder.up_encoders]):
        want = reference(torch.from_numpy(x), mask, positions)[0].numpy()
        got = w.ops.numpy(layer(w.ops.tensor(x), ours.positions(30)))
        assert models.relative(got, want) <= LIMIT


@torch.no_grad()
def test_the_speaker_is_normalised_before_it_is_projected() -> None:
    w, flow, c = models.cursor("s3gen"), models.theirs("s3gen").flow, models.config().flow
    ours, vector = SpeakerProjection(w / "flow", c), 7 * normal(1, c.speaker)
    want = flow.spk_embed_affine_layer(torch.nn.functional.normalize(torch.from_numpy(vector), dim=1)).numpy()
    assert models.relative(w.ops.numpy(ours(w.ops.tensor(vector[:, None])))[:, 0], want) <= LIMIT


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_the_estimator_is_the_references_at_any_time_and_beside_padding(name: str) -> None:
    w, c = models.cursor("s3gen", name), models.config(name).flow
    estimator, ops = models.theirs("s3gen", name).flow.decoder.estimator, w.ops
    ours = Estimator(w / "flow.decoder.estimator", c)
    x, mu, prompt = (normal(2, 40, 80, seed=i) for i in range(3))
    speaker = normal(2, 80, seed=9)
    real = np.ones((2, 40, 1), np.float32)
    real[1, 31:] = 0
    for now, then in ((0.0, 0.5), (0.37, 1.0)):
        t, r = torch.full((2,), now), torch.full((2,), then) if c.meanflow else None
        want = estimator(
            theirs(x), theirs(real), theirs(mu), t, torch.from_numpy(speaker), theirs(prompt), r
        ).transpose(1, 2)
        embedded = [ops.tensor(np.tile(time_embedding(at, 4 * c.mels), (2, 1))) for at in (now, then)]
        given = [ops.tensor(a) for a in (x, mu, speaker[:, None], prompt)]
        mask = ops.tensor(real[:, None, None, :, 0] > 0)
        got = ops.numpy(ours(*given, ours.time(*embedded), ops.tensor(real), mask))
        assert models.relative(got, want.numpy()) <= LIMIT


@torch.no_grad()
def test_each_stage_of_the_estimator_is_the_references() -> None:
    w, c = models.cursor("s3gen"), models.config().flow
    estimator, ops = models.theirs("s3gen").flow.decoder.estimator, w.ops
    ours = Estimator(w / "flow.decoder.estimator", c)
    time = normal(1, 4 * c.channels, seed=2)
    pairs = [(ours.down, estimator.down_blocks[0]), (ours.up, estimator.up_blocks[0])]
    pairs += list(zip(ours.middle, estimator.mid_blocks))
    for stage, (resnet, blocks, *_) in pairs:
        x = normal(1, 25, resnet.res_conv.in_channels, seed=5)
        want = resnet(theirs(x), torch.ones(1, 1, 25), torch.from_numpy(time))
        got = stage.resnet(ops.tensor(x), ops.tensor(time))
        assert models.relative(ops.numpy(got), want.transpose(1, 2).numpy()) <= LIMIT
        x = normal(1, 25, c.channels, seed=6)
        for block, layer in zip(blocks, stage.transformers):
            want = block(torch.from_numpy(x), torch.zeros(1, 1, 25))
            assert models.relative(ops.numpy(layer(ops.tensor(x))), want.numpy()) <= LIMIT
