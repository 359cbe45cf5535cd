"""Training on MLX equals training on torch: only the model runs there."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from portavoz.cli import main
from portavoz.errors import MissingExtra, SpecError
from portavoz.families.compact.config import MINIMAL
from portavoz.train.config import TrainConfig
from portavoz.train.loop.trainer import Trainer

HIFI = {**MINIMAL.to_dict(), "vocoder": "hifigan", "hifigan": {"channels": 16}}
VARIED = {**MINIMAL.to_dict(), "pitch": True, "energy": True}
KINDS: dict[str, dict[str, Any]] = {
    "acoustic": {"losses": {"ssim": 0.5, "mel_l2": 0.1}},
    "acoustic with pitch and energy": {"model": VARIED},
    "only the decoder": {"only": ["acoustic.decoder"]},
    "istft": {"part": "vocoder"},
    "hifigan": {"part": "vocoder", "model": HIFI},
    "adversarial": {"part": "vocoder", "losses": {"adversarial": 0.2, "features": 0.4}, "discriminator_channels": 4},
}

# Of a step: its gradients, the weights after it, their average.
TOLERANCES = {"istft": (4e-3, 4e-4, 1e-3), "adversarial": (4e-3, 4e-4, 1e-3), "hifigan": (5e-5, 5e-5, 1e-4)}


def config(corpus: Path, **more: Any) -> TrainConfig:
    values = {"corpus": str(corpus), "model": "minimal", "batch": 3, "frames": 8, "steps": 4, "every": 2, "warmup": 2}
    return TrainConfig.from_dict({**values, "threads": 1, **more})


def far(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Relative L2 of all tensors together."""
    assert a.keys() == b.keys()
    x, y = (torch.cat([t.detach().flatten().double() for t in side.values()]) for side in (a, b))
    return float((x - y).norm() / y.norm())


def pair(kind: str, corpus: Path, folder: Path) -> list[Trainer]:
    """The same training on torch and on MLX."""
    return [Trainer(config(corpus, backend=name, **KINDS[kind]), folder / name) for name in ("torch", "mlx")]


def gathered(side: Trainer) -> dict[str, torch.Tensor]:
    return {k: t.grad for k, t in side.tensors.items() if t.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_is_torchs(kind: str, corpus: Path, tmp_path: Path) -> None:
    here, there = pair(kind, corpus, tmp_path)
    first = {k: t.detach().clone() for k, t in here.tensors.items()}
    want, got = here.train_step(), there.train_step()
    assert got == pytest.approx(want, rel=1e-5)
    # What a fresh iSTFT vocoder says is nearly nothing, and the loss takes its log: to move torch's own weights by 1e-7
    # moves its gradients by 6e-4. HiFi-GAN's move by up to 1.5e-5 with the processor that sums them. The next test
    # holds the models themselves to 1e-5.
    gradients, steps, averages = TOLERANCES.get(kind, (1e-5, 1e-5, 1e-4))
    assert far(gathered(there), gathered(here)) <= gradients
    assert far(there.tensors, here.tensors) <= steps
    assert far(here.tensors, first) > 1e-4  # it was a step
    assert there.averaged() == pytest.approx(here.averaged(), rel=averages)


@pytest.mark.parametrize("kind", ["istft", "hifigan"])
def test_a_push_on_the_wave_gives_torchs_gradients(kind: str, corpus: Path, tmp_path: Path) -> None:
    sides = pair(kind, corpus, tmp_path)
    rows = sides[0].task.rows(0)
    mels = np.stack([sides[0].task._mel(u)[start : start + frames] for u, start, frames in rows])
    for side in sides:
        wave = side.task._wave(mels)
        wave.backward(torch.randn(wave.shape, generator=torch.Generator().manual_seed(1)))
    here, there = (gathered(side) for side in sides)
    assert far(there, here) <= 1e-5
    assert all(float(t.norm()) > 0 for t in there.values())


def test_pieces_of_a_batch_add_up_there_too(corpus: Path, tmp_path: Path) -> None:
    whole = Trainer(config(corpus, backend="mlx"), tmp_path / "whole")
    parts = Trainer(config(corpus, backend="mlx", accumulate=3), tmp_path / "parts")
    assert parts.train_step() == pytest.approx(whole.train_step(), rel=1e-5)
    assert far(gathered(parts), gathered(whole)) <= 1e-5


def test_where_mlx_runs_out_of_memory_the_batch_is_computed_in_smaller_pieces(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side, whole = (Trainer(config(corpus, backend="mlx"), tmp_path / name) for name in ("tight", "whole"))
    own = side.task.run.model.decoder.stack
    real = type(own).__call__

    def tight(stack: Any, x: Any, **more: Any) -> Any:
        if stack is own and x.shape[0] > 1:
            raise RuntimeError("[malloc] Unable to allocate 123 bytes.")
        return real(stack, x, **more)

    monkeypatch.setattr(type(own), "__call__", tight)
    assert side.train_step() == pytest.approx(whole.train_step(), rel=1e-5)
    assert (side.pieces, whole.pieces) == (3, 1)


def test_what_began_on_torch_goes_on_on_mlx(corpus: Path, tmp_path: Path) -> None:
    cut, whole = config(corpus, steps=2), config(corpus)
    Trainer(cut, tmp_path / "cut").run()
    went_on = Trainer(replace(whole, backend="mlx"), tmp_path / "cut")
    assert went_on.step == 2
    went_on.run()
    torchs = Trainer(whole, tmp_path / "torch")
    torchs.run()
    # Adam divides by what is near zero: a few weights' rounding is all that may differ.
    assert far(went_on.tensors, torchs.tensors) < 1e-3


def test_a_voice_learns_on_mlx_from_the_command_line(
    corpus: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = str(root / "recipes" / "smoke.yaml"), str(tmp_path / "out")
    settings = [f"corpus={corpus}", "backend=mlx", "steps=40", "every=20", "threads=1"]
    assert main(["train", recipe, *settings, "--out", out, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert Path(said["output"]).is_file() and said["steps"] == 40
    rows = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]


def test_what_it_cannot_be_is_one_sentence_each(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="backend 'abacus': choose one of torch, mlx"):
        config(corpus, backend="abacus")
    for more in ({"precision": "bfloat16"}, {"recompute": True}):
        with pytest.raises(SpecError, match="backend 'mlx' trains in float32 and recomputes activations anyway"):
            config(corpus, backend="mlx", **more)
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    with pytest.raises(MissingExtra, match=r"pip install 'portavoz\[mlx\]'"):
        Trainer(config(corpus, backend="mlx"), tmp_path)
