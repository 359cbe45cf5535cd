"""T5's weights under SpeechT5's names: the wrong model, and each difference is named by audit or by parity."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from t5 import NAMES, T5, T5Config
from t5_mapping import DECODER, DIFFERENCES, keys

from portavoz import ops
from portavoz.blocks.layers import Residual
from portavoz.families.speecht5.config import SpeechT5Config
from portavoz.families.speecht5.decoder import decoder_layer
from portavoz.families.speecht5.encoder import TextEncoder
from portavoz.lab.metrics import distance
from portavoz.lab.references.t5 import T5Reference
from portavoz.weights.audit import Report, audit
from portavoz.weights.cursor import Weights

BACK = ops.open("numpy")
KINDS = ["relu", "gated-gelu"]
SIZES: dict[str, Any] = {
    "vocab_size": 61, "d_model": 48, "num_heads": 4, "d_kv": 12, "d_ff": 80, "num_layers": 2, "num_decoder_layers": 2,
}  # fmt: skip
SPEECHT5 = SpeechT5Config(
    vocab_size=61, hidden_size=48, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
    decoder_attention_heads=4, encoder_ffn_dim=80, decoder_ffn_dim=80, encoder_max_relative_position=20,
)  # fmt: skip


class Trunk:
    """What both models have: SpeechT5's text encoder and its decoder layers."""

    def __init__(self, w: Weights) -> None:
        self.memory = TextEncoder(w / "speecht5.encoder", SPEECHT5)
        self.layers = [decoder_layer(w / f"{DECODER}.layers.{i}", SPEECHT5) for i in range(2)]


class Case:
    """A T5, the same tensors under SpeechT5's names, and what a T5 run saw."""

    def __init__(self, kind: str) -> None:
        config = {**SIZES, "feed_forward_proj": kind}
        self.reference = T5Reference.fresh(config, 5)
        tensors = self.reference.tensors()
        self.renamed = keys(gated=kind.startswith("gated")).forward(tensors)
        self.t5 = T5(Weights(NAMES.forward(tensors), BACK), T5Config.of(config))
        self.ids = np.random.default_rng(0).integers(2, 61, (2, 12))
        self.seen = self.reference.record(self.ids, None, self.ids[:, :9])
        self.report = audit(Trunk, self.renamed)

    def naive(self) -> Trunk:
        """The port that renames keys, and gives what is missing or does not fit the values of a new model."""
        w = Weights.fresh(ops.open("numpy"), 0)
        Trunk(w)
        new = w.arrays()
        filled = {path: new[path] for path in (*self.report.missing, *self.report.mis_shaped)}
        return Trunk(Weights({**self.renamed, **filled}, BACK))

    def errors(self, trunk: Trunk, repaired: set[str]) -> dict[str, float]:
        """Each part on what T5's part got: how far is its output from T5's?"""
        near = self.t5.encoder.positions(12, 12) if "relative positions" in repaired else None
        relative = None if near is not None else trunk.memory.encoder.relative
        layer, heard = trunk.memory.encoder.layers[1], trunk.layers[1]
        at, said = "encoder.block.1.layer", "decoder.block.1.layer"
        attended, memory = self.given(f"{at}.0.SelfAttention"), BACK.tensor(self.seen["encoder.final_layer_norm"].y)
        normed = Residual(lambda _: attended, pre=layer.attention_residual.pre)  # the norm is not in question here
        entry = trunk.memory.prenet(BACK.tensor(self.ids))
        got = {
            "norm": (layer.attention_residual.norm(self.given(f"{at}.0.layer_norm")), f"{at}.0.layer_norm"),
            "order": (normed.before(self.given(f"{at}.0")), self.seen[f"{at}.0.SelfAttention"].x),
            "self-attention": (
                layer.attention(attended, layer.attention.remember(attended), None, near, relative=relative),
                f"{at}.0.SelfAttention",
            ),
            "cross-attention": (
                heard.cross_attn(self.given(f"{said}.1.EncDecAttention"), heard.cross_attn.remember(memory)),
                f"{said}.1.EncDecAttention",
            ),
            "feed-forward": (layer.feed_forward(self.given(f"{at}.1.DenseReluDense")), f"{at}.1.DenseReluDense"),
            "entry": (
                entry if "end norm" in repaired else trunk.memory.encoder.norm(entry),
                self.seen["encoder.block.0"].x,
            ),
        }
        wanted = {key: self.seen[want].y if isinstance(want, str) else want for key, (_, want) in got.items()}
        return {key: distance(BACK.numpy(value), wanted[key]).l2 for key, (value, _) in got.items()}

    def given(self, key: str) -> Any:
        return BACK.tensor(self.seen[key].x)

    def repair(self, trunk: Trunk, name: str) -> None:
        """Take one of T5's ways instead of SpeechT5's."""
        layers, twins = trunk.memory.encoder.layers, self.t5.encoder.layers
        for layer, twin in zip(layers, twins):
            if name == "scale":
                layer.attention.scale = twin.attention.scale
            if name == "norm":
                layer.attention_residual.norm, layer.feed_forward_residual.norm = (
                    twin.attention_residual.norm,
                    twin.feed_forward_residual.norm,
                )
            if name == "order":
                layer.attention_residual.pre = layer.feed_forward_residual.pre = True
            if name == "activation":
                layer.feed_forward.activation = twin.feed_forward.activation
            if name == "gate":
                layer.feed_forward.first = twin.feed_forward.first
        if name == "scale":
            for layer in trunk.layers:
                layer.cross_attn.scale = 1.0
        if name == "absolute positions":
            trunk.memory.prenet.positions.table = 0 * trunk.memory.prenet.positions.table


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def complaints(report: Report) -> list[str]:
    return [*report.missing, *report.mis_shaped, *report.left_over]


def present(case: Case) -> list[str]:
    """The differences that this T5 has: v1.0 has no gate."""
    gated = any("gate_dense" in path for path in case.renamed)
    return [d.name for d in DIFFERENCES if gated or d.name != "gate"]


def test_the_keys_lead_there_and_back(case: Case) -> None:
    gated = "gate" in present(case)
    tensors = case.reference.tensors()
    back = keys(gated=gated).backward(case.renamed)
    assert all(back[key] is value for key, value in back.items() if key in tensors)
    gone = {"lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    assert set(back) == set(tensors) - gone


def test_the_audit_complains_about_differences_and_nothing_else(case: Case) -> None:
    """Every path that is missing, mis-shaped or left over has one difference that explains it, and none is unseen."""
    explained: dict[str, int] = {d.name: 0 for d in DIFFERENCES if d.paths and d.name in present(case)}
    assert not case.report.ok
    for path in complaints(case.report):
        (name,) = [d.name for d in DIFFERENCES if d.paths and re.fullmatch(d.paths, path)]
        explained[name] += 1
    assert all(explained.values()), explained
    # per layer: 4 + 2 in the encoder, 8 + 2 in the decoder
    assert explained["biases"] == 2 * 6 + 2 * 10
    assert [*case.report.mis_shaped] == ["speecht5.encoder.wrapped_encoder.embed_positions.pe_k.weight"]


def test_renamed_keys_alone_are_another_model(case: Case) -> None:
    memory = case.naive().memory(BACK.tensor(case.ids))
    assert distance(BACK.numpy(memory), case.reference.encode(case.ids)).l2 > 0.5


def test_parity_names_each_difference(case: Case) -> None:
    """Without repairs each part of the table is off; with all none is; with all but one that one's parts are."""
    names = present(case)
    shows = {d.name: set(d.shows) for d in DIFFERENCES if d.name in names}

    def off(left_out: set[str]) -> set[str]:
        trunk, done = case.naive(), set(names) - left_out
        for name in done:
            case.repair(trunk, name)
        errors = case.errors(trunk, done)
        assert all(e < 1e-5 or e > 1e-4 for e in errors.values()), errors
        return {key for key, e in errors.items() if e > 1e-4}

    assert off(set(names)) == set().union(*shows.values())
    assert off(set()) == set()
    for name, parts in shows.items():
        assert off({name}) == parts, name


def test_the_page_has_the_table(root: Path) -> None:
    page = (root / "docs" / "porting.md").read_text(encoding="utf-8")
    for d in DIFFERENCES:
        found = ", ".join([*["audit"] * bool(d.paths), *d.shows])
        assert f"| {d.name} | {d.t5} | {d.speecht5} | {found} |" in page
