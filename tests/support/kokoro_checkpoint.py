"""Small random weights under the names that kokoro-v1_0.pth has: `module.`, weight norms, gamma and beta."""

from __future__ import annotations

from typing import Any

import numpy as np

from portavoz.families.kokoro.sizes import KokoroSizes

SMALL = KokoroSizes(
    symbols=178, longest=64, embedding=8, bert=16, heads=1, inner=24, layers=12, hidden=12, style=128, depth=2, most=5,
    wide=14, residual=4, first=16, rates=(4, 2), kernels=(8, 4), res_kernels=(3, 5), dilations=(1, 3),
    source_kernels=(3, 5), fft=8, hop=2, harmonics=2,
)  # fmt: skip


class _Made:
    """Tensors by name."""

    def __init__(self, seed: int) -> None:
        self.out: dict[str, Any] = {}
        self.rng = np.random.default_rng(seed)

    def tensor(self, name: str, *shape: int, scale: float = 1.0, add: float = 0.0) -> None:
        self.out[name] = (add + scale * self.rng.normal(size=shape)).astype(np.float32)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        self.tensor(f"{name}.weight", outputs, inputs, scale=inputs**-0.5)
        self.tensor(f"{name}.bias", outputs, scale=0.1)

    def conv(self, name: str, first: int, second: int, k: int, *, bias: int = 0, normed: bool = True) -> None:
        """Weight [first, second, k]; the norm is over all axes but the first."""
        if normed:
            self.tensor(f"{name}.weight_g", first, 1, 1, scale=0.1, add=0.6)
        self.tensor(f"{name}.weight_v" if normed else f"{name}.weight", first, second, k, scale=(second * k) ** -0.5)
        if bias:
            self.tensor(f"{name}.bias", bias, scale=0.1)

    def lstm(self, name: str, inputs: int, channels: int) -> None:
        for end in ("l0", "l0_reverse"):
            for role, width in (("weight_ih", inputs), ("weight_hh", channels)):
                self.tensor(f"{name}.{role}_{end}", 4 * channels, width, scale=width**-0.5)
            for role in ("bias_ih", "bias_hh"):
                self.tensor(f"{name}.{role}_{end}", 4 * channels, scale=0.1)

    def norm(self, name: str, channels: int, roles: tuple[str, str] = ("weight", "bias")) -> None:
        self.tensor(f"{name}.{roles[0]}", channels, scale=0.2, add=1.0)
        self.tensor(f"{name}.{roles[1]}", channels, scale=0.2)

    def styled(self, name: str, inputs: int, outputs: int, style: int, *, up: bool = False) -> None:
        self.linear(f"{name}.norm1.fc", style, 2 * inputs)
        self.linear(f"{name}.norm2.fc", style, 2 * outputs)
        self.conv(f"{name}.conv1", outputs, inputs, 3, bias=outputs)
        self.conv(f"{name}.conv2", outputs, outputs, 3, bias=outputs)
        if inputs != outputs:
            self.conv(f"{name}.conv1x1", outputs, inputs, 1)
        if up:
            self.conv(f"{name}.pool", inputs, 1, 3, bias=inputs)

    def snakes(self, name: str, channels: int, kernel: int, c: KokoroSizes) -> None:
        for i in range(len(c.dilations)):
            for n in (1, 2):
                self.linear(f"{name}.adain{n}.{i}.fc", c.style, 2 * channels)
                self.conv(f"{name}.convs{n}.{i}", channels, channels, kernel, bias=channels)
                self.tensor(f"{name}.alpha{n}.{i}", 1, channels, 1, scale=0.1, add=1.0)


def published(c: KokoroSizes, seed: int = 0) -> dict[str, Any]:
    """The checkpoint's tensors; its five parts are dictionaries in the published file, and prefixes here."""
    m = _Made(seed)
    _bert(m, c)
    m.linear("bert_encoder.module", c.bert, c.hidden)
    _predictor(m, c)
    text = "text_encoder.module"
    m.tensor(f"{text}.embedding.weight", c.symbols, c.hidden)
    for i in range(c.depth):
        m.conv(f"{text}.cnn.{i}.0", c.hidden, c.hidden, c.kernel, bias=c.hidden)
        m.norm(f"{text}.cnn.{i}.1", c.hidden, ("gamma", "beta"))
    m.lstm(f"{text}.lstm", c.hidden, c.hidden // 2)
    _decoder(m, c)
    m.out["predictor.module.F0_proj.bias"][:] = 150
    m.out["decoder.module.generator.conv_post.weight_g"] *= 0.1
    return m.out


def _bert(m: _Made, c: KokoroSizes) -> None:
    e, layer = "bert.module.embeddings", "bert.module.encoder.albert_layer_groups.0.albert_layers.0"
    m.out[f"{e}.position_ids"] = np.arange(c.longest)[None]
    for name, rows in (("word", c.symbols), ("position", c.longest), ("token_type", 2)):
        m.tensor(f"{e}.{name}_embeddings.weight", rows, c.embedding)
    m.norm(f"{e}.LayerNorm", c.embedding)
    m.linear("bert.module.encoder.embedding_hidden_mapping_in", c.embedding, c.bert)
    for name in ("query", "key", "value", "dense"):
        m.linear(f"{layer}.attention.{name}", c.bert, c.bert)
    m.norm(f"{layer}.attention.LayerNorm", c.bert)
    m.linear(f"{layer}.ffn", c.bert, c.inner)
    m.linear(f"{layer}.ffn_output", c.inner, c.bert)
    m.norm(f"{layer}.full_layer_layer_norm", c.bert)
    m.linear("bert.module.pooler", c.bert, c.bert)


def _predictor(m: _Made, c: KokoroSizes) -> None:
    p, n = "predictor.module", c.hidden
    for i in range(c.depth):
        m.lstm(f"{p}.text_encoder.lstms.{2 * i}", n + c.style, n // 2)
        m.linear(f"{p}.text_encoder.lstms.{2 * i + 1}.fc", c.style, 2 * n)
    m.lstm(f"{p}.lstm", n + c.style, n // 2)
    m.linear(f"{p}.duration_proj.linear_layer", n, c.most)
    m.lstm(f"{p}.shared", n + c.style, n // 2)
    for track in ("F0", "N"):
        for i, (a, b) in enumerate(((n, n), (n, n // 2), (n // 2, n // 2))):
            m.styled(f"{p}.{track}.{i}", a, b, c.style, up=i == 1)
        m.conv(f"{p}.{track}_proj", 1, n // 2, 1, bias=1, normed=False)


def _decoder(m: _Made, c: KokoroSizes) -> None:
    d, g = "decoder.module", "decoder.module.generator"
    m.styled(f"{d}.encode", c.hidden + 2, c.wide, c.style)
    for i in range(4):
        m.styled(f"{d}.decode.{i}", c.wide + 2 + c.residual, c.wide if i < 3 else c.first, c.style, up=i == 3)
    m.conv(f"{d}.F0_conv", 1, 1, 3, bias=1)
    m.conv(f"{d}.N_conv", 1, 1, 3, bias=1)
    m.conv(f"{d}.asr_res.0", c.residual, c.hidden, 1, bias=c.residual)
    m.linear(f"{g}.m_source.l_linear", c.harmonics + 1, 1)
    width = c.first
    for i, kernel in enumerate(c.kernels):
        m.conv(f"{g}.ups.{i}", width, width // 2, kernel, bias=width // 2)
        width //= 2
        down = 2 * c.rates[1] if i == 0 else 1
        m.conv(f"{g}.noise_convs.{i}", width, c.fft + 2, down, bias=width, normed=False)
        m.snakes(f"{g}.noise_res.{i}", width, c.source_kernels[i], c)
        for j, kind in enumerate(c.res_kernels):
            m.snakes(f"{g}.resblocks.{i * len(c.res_kernels) + j}", width, kind, c)
    m.conv(f"{g}.conv_post", c.fft + 2, width, 7, bias=c.fft + 2)
