"""What do the words and the loop cost a training? Steps a second of the acoustic half beside a plain torch.nn twin.

    python bench/training.py [--rounds 4] [--json FILE]

The twin is what one would write by hand: torch.nn modules, AdamW, clipping, batches made beforehand and kept in memory.
Ours is the whole step of `portavoz train`: its batch made from the corpus, its guards' checks, its moving average. Both
begin with the same weights, see the same batches and must give the same losses. One thread, generated sounds.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

from _measure import Report, interleaved, parser, timed

# ruff: isort: split
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portavoz.blocks.attention import rotary
from portavoz.blocks.durations import pad_rows
from portavoz.families.compact.acoustic import layout
from portavoz.families.compact.config import CompactConfig, named
from portavoz.train.config import TrainConfig
from portavoz.train.data import toy
from portavoz.train.loop.trainer import Trainer

STEPS = 8


class Layer(nn.Module):
    """Pre-norm self-attention with rotary positions, and a convolutional feed-forward half."""

    def __init__(self, c: CompactConfig) -> None:
        super().__init__()
        self.heads = c.heads
        self.norm1, self.norm2 = nn.LayerNorm(c.hidden), nn.LayerNorm(c.hidden)
        self.attention = nn.ModuleDict({n: nn.Linear(c.hidden, c.hidden) for n in ("q", "k", "v", "out")})
        wide = nn.Conv1d(c.hidden, c.inner, c.kernel, padding=c.kernel // 2)
        self.feed_forward = nn.ModuleDict({"wide": wide, "narrow": nn.Linear(c.inner, c.hidden)})

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], keep: Tensor, mask: Tensor) -> Tensor:
        y, a = self.norm1(x), self.attention
        q, k, v = (a[n](y).unflatten(2, (self.heads, -1)).transpose(1, 2) for n in ("q", "k", "v"))
        q, k = (_turned(z, *turn) for z in (q, k))
        x = x + a["out"](F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))
        wide = self.feed_forward["wide"]((self.norm2(x) * keep).transpose(1, 2)).transpose(1, 2)
        return x + self.feed_forward["narrow"](F.gelu(wide))


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Stack(nn.Module):
    """Layers and a last norm."""

    def __init__(self, c: CompactConfig, layers: int) -> None:
        super().__init__()
        self.layers, self.norm = nn.ModuleList(Layer(c) for _ in range(layers)), nn.LayerNorm(c.hidden)
        self.cos, self.sin = (torch.from_numpy(t) for t in rotary(c.longest, c.hidden // c.heads))

    def forward(self, x: Tensor, keep: Tensor, mask: Tensor) -> Tensor:
        turn = (self.cos[: x.shape[1]], self.sin[: x.shape[1]])
        for layer in self.layers:
            x = layer(x, turn, keep, mask)
        return self.norm(x)


class Twin(nn.Module):
    """The acoustic half by hand; its parameters have our paths without the first word."""

    def __init__(self, c: CompactConfig) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"embedding": nn.Embedding(c.symbols, c.hidden)})
        self.encoder["speaker"] = nn.Embedding(c.speakers, c.hidden)
        self.encoder["stack"] = Stack(c, c.encoder_layers)
        inner = c.duration_channels
        convs = [nn.Conv1d(n, inner, 3, padding=1) for n in (c.hidden, inner)]
        self.durations = nn.ModuleDict({"convs": nn.ModuleList(convs), "out": nn.Linear(inner, 1)})
        self.durations["norms"] = nn.ModuleList(nn.LayerNorm(inner) for _ in range(2))
        self.decoder = nn.ModuleDict({"place": nn.Linear(2, c.hidden), "out": nn.Linear(c.hidden, c.mel.mels)})
        self.decoder["stack"] = Stack(c, c.decoder_layers)

    def forward(self, b: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        said, heard = b["said"], b["heard"]
        x = self.encoder["stack"](self.encoder["embedding"](b["ids"]), said, b["said_mask"])
        x = x + self.encoder["speaker"](b["speaker"])[:, None]
        d = x
        for i in range(2):
            conv, norm = (self.durations[kind].get_submodule(str(i)) for kind in ("convs", "norms"))
            d = norm(F.relu(conv((d * said).transpose(1, 2)).transpose(1, 2)))
        frames = x.gather(1, b["index"][..., None].expand(-1, -1, x.shape[2]))
        y = self.decoder["stack"](frames + self.decoder["place"](b["place"]), heard, b["heard_mask"])
        return self.decoder["out"](y), self.durations["out"](d * said)


def batch(trainer: Trainer, step: int) -> dict[str, Tensor]:
    """The batch of a step as tensors, padding and masks included."""
    corpus, rows = trainer.corpus, trainer.task.rows(step)
    durations = pad_rows([corpus.durations[u.symbols] for u in rows])
    index, place = layout(durations)
    made: dict[str, Any] = {"ids": pad_rows([corpus.ids[u.symbols] for u in rows]), "durations": durations}
    made.update(index=index, place=place, speaker=np.array([u.speaker for u in rows]))
    made["mel"] = pad_rows([corpus.mels[u.frames] for u in rows])
    for name, count in (("said", [u.symbols.stop - u.symbols.start for u in rows]), ("heard", durations.sum(1))):
        real = np.arange(max(count))[None] < np.asarray(count)[:, None]
        made[name], made[f"{name}_mask"] = real[..., None].astype(np.float32), real[:, None, None]
    return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in made.items()}


def main() -> None:
    options = parser(__doc__, rounds=4)
    options.add_argument("--model", default="production", help="its shape (default: %(default)s)")
    args = options.parse_args()
    torch.set_num_threads(1)
    report = Report("training", {"rounds": args.rounds, "model": args.model, "steps": STEPS, "batch": 16})
    with tempfile.TemporaryDirectory() as folder:
        corpus = toy.make(f"{folder}/toy", count=96)
        config = TrainConfig(corpus=str(corpus), model=args.model, batch=16, steps=1000, threads=1)
        trainer = Trainer(config, f"{folder}/out")
        twin = Twin(named(args.model))
        ours = {k.removeprefix("acoustic."): t.detach().clone() for k, t in trainer.tensors.items()}
        twin.load_state_dict(ours)
        optimiser = torch.optim.AdamW(twin.parameters(), lr=config.rate, betas=(0.9, 0.98), foreach=True)
        batches = [batch(trainer, step) for step in range(STEPS)]
        mean, scale = (torch.from_numpy(a) for a in trainer.corpus.statistics())

        def by_hand(b: dict[str, Tensor]) -> float:
            mel, durations = twin(b)
            heard = b["heard"]
            error = ((mel * scale + mean - b["mel"]).abs() / scale * heard).sum() / (heard.sum() * mel.shape[2])
            squares = (durations[..., 0] - torch.log1p(b["durations"].float())) ** 2 * b["said"][..., 0]
            loss = error + squares.sum() / b["said"].sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(twin.parameters(), config.clip, foreach=True)
            optimiser.step()
            return float(loss.detach())

        first, second = trainer.train_step()["loss"], by_hand(batches[0])
        if abs(first - second) > 1e-4 * first:
            raise SystemExit(f"the twin's loss is {second}, ours is {first}: they are not the same work")

        def whole() -> None:
            trainer.step = 0
            for _ in range(STEPS):
                trainer.train_step()

        def twins() -> None:
            for b in batches:
                by_hand(b)

        took = interleaved({"portavoz": lambda: timed(whole), "torch_nn": lambda: timed(twins)}, args.rounds)
        began = time.perf_counter()
        for step in range(STEPS):
            batch(trainer, step)
        loading = time.perf_counter() - began
    for name, one in took.items():
        report.figures[f"{name}_steps_per_s"] = STEPS / one.seconds
    report.figures["loading_share"] = loading / took["portavoz"].seconds
    report.ratio("portavoz_steps_per_s", "torch_nn_steps_per_s")
    report.finish(args.json, digits=3)


if __name__ == "__main__":
    main()
