"""Chatterbox at its published sizes, with random weights: every component, and where every tensor goes."""

from __future__ import annotations

import gc
from typing import Any

import chatterbox_models as models
import numpy as np
import pytest
import torch

from portavoz import ops
from portavoz.blocks.flow_matching import time_embedding
from portavoz.families.chatterbox import reference
from portavoz.families.chatterbox.config import CONFIGS
from portavoz.families.chatterbox.names import folded
from portavoz.families.chatterbox.stages import Eager
from portavoz.families.chatterbox.tokens import T3, empty_past
from portavoz.weights.cursor import Weights

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*sdp_kernel:FutureWarning")]
LIMIT = 1e-5
# Keys of the reference's state dicts, counted on its own classes.
COUNTS = {"base": (292, 2490, 16), "multilingual": (292, 2490, 16), "turbo": (299, 2491, 16)}


@pytest.mark.parametrize("name", COUNTS)
def test_every_tensor_of_the_reference_is_used_or_left_for_a_reason(name: str) -> None:
    c = CONFIGS[name]
    with torch.device("meta"):
        parts = (reference.t3(c.tokens), reference.flow(c.flow), reference.vocoder(c.vocoder, c.spec.rate))
        others = (reference.codes(c.codes), reference.xvector(c.xvector), reference.voice_encoder(c.voice))
    names = dict(zip(("t3", "flow.", "mel2wav.", "tokenizer.", "speaker_encoder.", "voice"), (*parts, *others)))
    roots: dict[str, dict[str, Any]] = {"t3": {}, "s3gen": {}, "voice": {}}
    for prefix, module in names.items():
        root = roots["s3gen"] if prefix.endswith(".") else roots[prefix]
        for key, tensor in module.state_dict().items():
            path = prefix * prefix.endswith(".") + key
            root[path] = np.broadcast_to(np.float32(1), tuple(tensor.shape))
    assert tuple(len(root) for root in roots.values()) == COUNTS[name]
    cursors = {part: Shapes(folded_shapes(root, c), ops.open("numpy")) for part, root in roots.items()}
    Eager(cursors, c)
    for w in cursors.values():
        w.finish()
        assert all(len(why.split()) > 2 for why in w.record.ignored.values())


class Shapes(Weights):
    """A cursor over tensors without memory."""


def folded_shapes(root: dict[str, Any], c: Any) -> dict[str, Any]:
    """Weight norm's pairs as the kernels that they make, without computing them; GPT-2's matrices turned."""
    ending = ".parametrizations.weight.original"
    out = {k: v for k, v in root.items() if ending not in k}
    for key, value in root.items():
        if key.endswith(ending + "1"):
            out[key.removesuffix(ending + "1") + ".weight"] = value
    return folded(out, c)


def test_t3s_prefill_and_steps_far_out_are_the_references() -> None:
    c = CONFIGS["base"].tokens
    model = reference.sensitised("t3", CONFIGS["base"], models.sensitise)
    embeds = 0.3 * torch.randn(2, 140, c.hidden, generator=torch.Generator().manual_seed(1))
    w = Weights({k: v.numpy() for k, v in model.state_dict().items()}, ops.open("torch"))
    ours = T3(w, c)
    with torch.no_grad():
        out = model.tfmr(inputs_embeds=embeds, use_cache=True)
        mask = torch.tril(torch.ones(1, 1, 140, 140, dtype=torch.bool))
        hidden, past = ours.backbone(embeds, empty_past(w.ops, c, 2, 200), mask)
        assert models.relative(hidden.numpy(), out.last_hidden_state.numpy()) <= LIMIT
        for i in range(50):
            step = embeds[:, i : i + 1]
            out = model.tfmr(inputs_embeds=step, past_key_values=out.past_key_values, use_cache=True)
            hidden, past = ours.backbone(step, past)
        assert models.relative(hidden.numpy(), out.last_hidden_state.numpy()) <= LIMIT
        logits = model.speech_head(out.last_hidden_state)
        assert models.relative(ours.head(hidden).numpy(), logits.numpy()) <= LIMIT


@pytest.fixture(scope="module")
def gen() -> Any:
    gc.collect()
    return reference.sensitised("s3gen", CONFIGS["base"], models.sensitise)


@torch.no_grad()
def test_the_parts_of_s3gen_are_the_references(gen: Any) -> None:
    from portavoz.families.chatterbox.codes import SpeechTokenizer, tokens
    from portavoz.families.chatterbox.decoder import Estimator
    from portavoz.families.chatterbox.encoder import TokenEncoder
    from portavoz.families.chatterbox.speaker import VoiceEncoder, XVector
    from portavoz.families.chatterbox.vocoder import HiFT

    c, random = CONFIGS["base"], np.random.default_rng(2)
    w = Weights(folded({k: v.numpy() for k, v in gen.state_dict().items()}, c), ops.open("torch"))
    t, n = w.ops.tensor, w.ops.numpy

    encoder = reference.sensitised("voice", c, models.sensitise)
    pieces = np.abs(random.standard_normal((3, 160, c.voice.mels))).astype(np.float32)
    own = Weights({k: v.numpy() for k, v in encoder.state_dict().items()}, w.ops)
    got = n(VoiceEncoder(own, c.voice)(t(pieces)))[:, 0]
    assert models.relative(got, encoder(torch.from_numpy(pieces)).numpy()) <= LIMIT

    mel = random.standard_normal((1, 300, 128)).astype(np.float32)
    want, _ = gen.tokenizer.quantize(torch.from_numpy(mel).transpose(1, 2), torch.tensor([300], dtype=torch.int32))
    np.testing.assert_array_equal(tokens(n(SpeechTokenizer(w / "tokenizer", c.codes)(t(mel)))), want.numpy())

    bank = 3 * random.standard_normal((1, 350, 80)).astype(np.float32)
    want = gen.speaker_encoder(torch.from_numpy(bank)).numpy()
    assert models.relative(n(XVector(w / "speaker_encoder", c.xvector)(t(bank)))[:, 0], want) <= LIMIT

    ids = random.integers(0, 6561, (1, 90))
    hidden, _ = gen.flow.encoder(gen.flow.input_embedding(torch.from_numpy(ids)), torch.tensor([90]))
    mu = gen.flow.encoder_proj(hidden)
    assert models.relative(n(TokenEncoder(w / "flow", c.flow)(t(ids))), mu.numpy()) <= LIMIT

    ours, theirs = Estimator(w / "flow.decoder.estimator", c.flow), gen.flow.decoder.estimator
    x, prompt = (random.standard_normal((1, 180, 80)).astype(np.float32) for _ in range(2))
    speaker = random.standard_normal((1, 80)).astype(np.float32)
    turned = [torch.from_numpy(a).transpose(1, 2) for a in (x, mu.numpy(), prompt)]
    want = theirs(
        turned[0], torch.ones(1, 1, 180), turned[1], torch.tensor([0.4]), torch.from_numpy(speaker), turned[2]
    )
    time = ours.time(t(time_embedding(0.4, 320)[None]))
    got = ours(t(x), t(mu.numpy()), t(speaker[:, None]), t(prompt), time)
    assert models.relative(n(got), want.transpose(1, 2).numpy()) <= LIMIT

    x, excitation = x[:, :60], 0.1 * random.standard_normal((1, 60 * 480, 1)).astype(np.float32)
    hift = HiFT(w / "mel2wav", c.vocoder, c.spec.rate)
    want = gen.mel2wav.decode(torch.from_numpy(x).transpose(1, 2), torch.from_numpy(excitation).transpose(1, 2))
    assert models.relative(n(hift(t(x), t(excitation))), want.numpy()) <= LIMIT
