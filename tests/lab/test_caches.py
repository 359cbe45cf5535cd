"""A cache beside recomputation of all steps at once: step by step the same, a lost row named at its step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from portavoz.errors import InputError
from portavoz.lab.compare import forced
from portavoz.lab.forcing.loops import stepwise
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.report.text import exit_code, first_line, lines


class Attention(nn.Module):
    """Attention to what `keys` and `values` hold, hidden where the future is."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))
        self.norm = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor, past: Any = None, keep: Any = None) -> tuple[torch.Tensor, Any]:
        q, k, v = (f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (self.q, self.k, self.v))
        k = k if keep is None else keep(k)
        if past is not None:
            k, v = (torch.cat([a, b], 2) for a, b in zip(past, (k, v)))
        hidden = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).triu(1 + k.shape[2] - q.shape[2])
        scores = (q @ k.transpose(-1, -2) / 2).masked_fill(hidden, -1e9)
        y = torch.softmax(scores, -1) @ v
        return self.norm(x + self.o(y.transpose(1, 2).flatten(2))), (k, v)


class Attending(nn.Module):
    """Two layers of causal attention, over a whole history at once, or step by step with a cache."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.ModuleList(Attention() for _ in range(2))
        self.x = torch.randn(2, 76, 8)

    def forward(self) -> torch.Tensor:
        x = self.x
        for layer in self.layers:
            x, _ = layer(x)
        return x

    def loop(self, keep: Callable[[int, int, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """`keep` may change the keys that layer i keeps at a step."""
        caches: list[Any] = [None, None]
        out = []
        for step in range(76):
            x = self.x[:, step : step + 1]
            for i, layer in enumerate(self.layers):
                x, caches[i] = layer(x, caches[i], partial(keep, i, step))
            out.append(x)
        return torch.cat(out, 1)


def test_a_cache_is_compared_with_recomputation_step_by_step() -> None:
    model = Attending().eval()
    trace = stepwise(TorchProgram(model, modules={"": model}), 76, only="*s.*")
    right = TorchProgram(lambda: model.loop(lambda i, step, k: k), modules={"": model})
    verdict = forced(trace, right)
    assert verdict.answer == "PASS" and verdict.pairing.coverage == 1, lines(verdict)
    assert verdict.largest_clean < 8
    wrong = TorchProgram(
        lambda: model.loop(lambda i, step, k: k * 0 if (i, step) == (1, 70) else k), modules={"": model}
    )
    verdict = forced(trace, wrong)
    first = verdict.faults[0]
    assert first.kind == "edge" and "softmax" in first.unit and min(first.calls) == 70, lines(verdict)
    assert "from call 70 on" in first_line(verdict) and exit_code(verdict) == 1


def test_our_cache_is_the_references_recomputation_step_by_step() -> None:
    """`transformers` reads 72 frames at once, ours one by one; a row that is lost at step 70 is named there."""
    from portavoz.families.faults import Wrapped
    from portavoz.families.speecht5.config import TINY
    from portavoz.families.speecht5.probe import inputs
    from portavoz.families.speecht5.reference.transformers import Injected, Reference
    from portavoz.families.speecht5.stages import Eager
    from portavoz.lab.instrument.ops import OpsProgram

    steps = 72
    model, probe = Reference.fresh(TINY, 0), inputs(TINY, steps=steps)
    frames = np.random.default_rng(5).standard_normal((2, steps, TINY.num_mel_bins)).astype(np.float32)

    def whole() -> None:
        state, decoder = model.encode(probe["ids"], probe["mask"], probe["speaker"]), model.model.speecht5.decoder
        with Injected(probe["masks"]):
            hidden = decoder.prenet(torch.from_numpy(frames), state.speaker)
            out = decoder.wrapped_decoder(
                hidden_states=hidden, encoder_hidden_states=state.memory, encoder_attention_mask=state.mask,
                use_cache=False, return_dict=True,
            )  # fmt: skip
            model.model.speech_decoder_postnet.feat_out(out.last_hidden_state)

    reference = TorchProgram(whole, modules={"": model.model}, name="all steps at once")
    trace = stepwise(reference, steps, only="speech*decoder*")

    def port(lost: int = -1) -> OpsProgram:
        def build(w: Any) -> Callable[[], None]:
            stages = Eager(w, w / "vocoder", TINY)
            layer = stages.acoustic.decoder.layers[1]
            own = layer.self_attn
            layer.self_attn = Wrapped(own, lambda f, *x, **n: f(*x, **n))
            layer.self_attn.__dict__["extend"] = lambda cache, x: own.extend(
                cache, x if cache.length != lost else x * 0.0
            )

            def run() -> None:
                state = stages.encode(probe["ids"], probe["mask"], probe["speaker"], steps + 1)
                for step in range(steps):
                    _, _, state = stages.step(
                        frames[:, step : step + 1], state, np.repeat(probe["masks"][:, step, None], 2, 1)
                    )

            return run

        tensors, vocoder = model.tensors()
        return OpsProgram(build, {**tensors, **{f"vocoder.{k}": v for k, v in vocoder.items()}})

    verdict = forced(trace, port())
    assert not verdict.faults and verdict.largest_clean < 8, lines(verdict)
    assert (
        sum(check.ref.endswith(f"encoder_attn.q_proj#{steps - 1}") for check in verdict.checks)
        == 2 * TINY.decoder_layers
    )
    first = forced(trace, port(lost=steps - 2)).faults[0]
    assert first.unit == "speecht5.decoder.wrapped_decoder.layers.1.self_attn.k_proj" and first.calls == [steps - 2]


def test_steps_that_are_nowhere_are_refused() -> None:
    model = Attending().eval()
    with pytest.raises(InputError, match="has 9 steps on axis 1"):
        stepwise(TorchProgram(model), 9)
