"""Loops: teacher-forced steps, a cache beside recomputation, solvers of equations, free runs and what they decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from portavoz.errors import InputError
from portavoz.lab import tap
from portavoz.lab.align.matching import Pairing
from portavoz.lab.compare import compare, forced, mirrored
from portavoz.lab.forcing.loops import free, stepwise, summary
from portavoz.lab.forcing.noise_floor import traced
from portavoz.lab.forcing.teacher_forcing import Forcing
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.report.text import exit_code, first_line, lines, to_dict
from portavoz.lab.trace.recorder import record

STEPS, WIDTH = 10, 6


class Solver(nn.Module):
    """Flow matching by Euler's method, with guidance: every method may be replaced by one with a fault in it."""

    steps, rate = STEPS, 0.7

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.start, self.mean = torch.randn(1, 8, WIDTH), torch.randn(1, 8, WIDTH)
        self.into, self.out = nn.Linear(2 * WIDTH + 1, 16), nn.Linear(16, WIDTH)

    def times(self) -> torch.Tensor:
        return 1 - torch.cos(torch.linspace(0, 1, self.steps + 1) * math.pi / 2)

    def field(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        both, mean = torch.cat([x, x]), torch.cat([self.mean, torch.zeros_like(self.mean)])
        late = t.reshape(1, 1, 1).expand(2, 8, 1)
        return tap("field", self.out(torch.tanh(self.into(torch.cat([both, mean, late], -1)))))

    def guided(self, known: torch.Tensor, blank: torch.Tensor, step: int) -> torch.Tensor:
        return (1 + self.rate) * known - self.rate * blank

    def stride(self, times: torch.Tensor, i: int) -> torch.Tensor:
        return times[i + 1] - times[i]

    def forward(self) -> torch.Tensor:
        x, times = tap("state", self.start), tap("times", self.times())
        for i in range(len(times) - 1):
            tap("t", times[i])
            change = tap("velocity", self.guided(*self.field(x, times[i]).chunk(2), i))
            x = tap("state", x + self.stride(times, i) * change)
        return x


def solver(**parts: Any) -> TorchProgram:
    """A solver with some of its parts replaced."""
    made = Solver().eval()
    for name, part in parts.items():
        setattr(made, name, part)
    return TorchProgram(made, name="solver")


FAULTS: dict[str, tuple[dict[str, Any], str, str, list[int]]] = {
    "linear for cosine": ({"times": lambda: torch.linspace(0, 1, STEPS + 1)}, "value:times", "linear", [0]),
    "32 steps": ({"steps": 32}, "shape:times", "32 cosine steps where 10 cosine ones", [0]),
    "sign of guidance": (
        {"guided": lambda known, blank, i: 0.3 * known + 0.7 * blank}, "value:velocity", "opposite sign",
        list(range(STEPS)),
    ),
    "rate of guidance": (
        {"guided": lambda known, blank, i: 1.5 * known - 0.5 * blank}, "value:velocity", "rate of 0.5 where 0.7",
        list(range(STEPS)),
    ),
    "halves exchanged": (
        {"guided": lambda known, blank, i: 1.7 * blank - 0.7 * known}, "value:velocity", "halves exchanged",
        list(range(STEPS)),
    ),
    "guidance off from step 7": (
        {"guided": lambda known, blank, i: 1.7 * known - 0.7 * blank if i < 7 else known}, "value:velocity",
        "guidance at a rate of 0 ", [7, 8, 9],
    ),
    "a stride of 1/10": (
        {"stride": lambda times, i: torch.tensor(0.1)}, "value:state", "a step of 0.1", list(range(1, STEPS + 1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS))
@pytest.mark.parametrize("method", ["forced", "mirrored"])
def test_a_fault_in_a_solver_is_named_with_its_steps_and_its_cause(name: str, method: str) -> None:
    parts, wanted, cause, steps = FAULTS[name]
    if method == "forced":
        verdict = forced(traced(solver()), solver(**parts))
    else:
        verdict = mirrored(solver(), record(solver(**parts)))
    first = verdict.faults[0]
    assert first.id == wanted, lines(verdict)
    assert first.calls == steps or name == "32 steps"
    assert any(word in first.cause for word in cause.split("|")), first.cause


def test_a_faultless_solver_passes_and_its_schedule_is_verified() -> None:
    verdict = compare(solver(), solver(), free_running=True)
    report = to_dict(verdict)
    assert verdict.answer == "PASS" and all(row["same"] for row in report["free_running"]), lines(verdict)
    assert report["verified"]["schedule"].startswith("t, times")
    assert f"up to {STEPS + 1} calls" in report["verified"]["steps"]
    assert report["verified"]["order of joined inputs"].startswith(f"{STEPS} inputs")
    assert not any("--free" in what for what in report["not_tested"])
    assert any("--free" in what for what in to_dict(compare(solver(), solver()))["not_tested"])


# Free runs


class Speaker(nn.Module):
    """A loop that says a token a step until it has had enough."""

    def __init__(self, enough: float) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table, self.next, self.enough = nn.Embedding(9, WIDTH), nn.Linear(WIDTH, 9), enough

    def forward(self) -> torch.Tensor:
        token, weight, said = torch.tensor([[3]]), torch.tensor(0.0), []
        for step in range(40):
            scores = tap("scores", self.next(self.table(token) * math.cos(step)))
            token = tap("token", scores.argmax(-1))
            weight = weight + torch.sigmoid(scores).mean()
            said.append(token)
            if bool(tap("done", weight > self.enough)):
                break
        return torch.cat(said, 1).float()


def test_a_loop_that_ends_elsewhere_shows_in_a_free_run_only() -> None:
    port = TorchProgram(Speaker(6.0))
    short = compare(TorchProgram(Speaker(4.0)), port, free_running=True)
    assert short.answer == "FAIL" and short.faults[0].id == "value:done", lines(short)
    rows = {row.name: row for row in short.free}
    assert rows["done"].kind == "decision" and rows["scores"].kind == "number"
    assert rows["done"].first == rows["token"].calls[0] - 1 and rows["token"].calls[1] > rows["token"].calls[0]
    assert rows["scores"].first is None and "came" in summary(short.free)
    same = compare(TorchProgram(Speaker(4.0)), TorchProgram(Speaker(4.0)), free_running=True)
    assert same.answer == "PASS" and summary(same.free) == ""
    assert any(line.startswith("run freely: ") and "as often" in line for line in lines(same))


def test_what_only_a_free_run_decides_is_never_pass() -> None:
    """A state behind the last tap: forced, every step is the reference's; free, the port drifts."""

    def program(drift: float) -> Callable[[], torch.Tensor]:
        torch.manual_seed(2)
        layer, ends = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)

        def run() -> torch.Tensor:
            x = torch.ones(1, 1, WIDTH)
            for _ in range(6):
                x = tap("x", torch.tanh(layer(x))) * drift
                tap("end", (ends(x) > 0.2).long())
            return ends(x)

        return run

    verdict = compare(TorchProgram(program(1.0)), TorchProgram(program(1.0)), free_running=True)
    assert verdict.answer == "PASS"
    rows = free(TorchProgram(program(1.0)), record(TorchProgram(program(1.001))))
    assert next(row for row in rows if row.name == "x").first == 1 and "'x' leaves" in summary(rows)


# A cache beside recomputation


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
    assert sum(check.ref.endswith("encoder_attn.q_proj#71") for check in verdict.checks) == 2 * TINY.decoder_layers
    first = forced(trace, port(lost=70)).faults[0]
    assert first.unit == "speecht5.decoder.wrapped_decoder.layers.1.self_attn.k_proj" and first.calls == [70]


def test_steps_that_are_nowhere_are_refused() -> None:
    model = Attending().eval()
    with pytest.raises(InputError, match="has 9 steps on axis 1"):
        stepwise(TorchProgram(model), 9)


def test_a_trace_without_floors_is_compared_too() -> None:
    reference, port = record(solver()), record(solver(rate=0.7))
    assert all(row.same for row in free(reference, port))
    assert np.isfinite(free(reference, port)[0].worst)


def test_a_named_value_that_only_the_file_came_to_is_handed_on() -> None:
    """A loop that the plain run left earlier goes on with the file's numbers, so that it decides as the file did."""
    numbers = torch.arange(6.0).reshape(1, 6)
    trace = record(TorchProgram(lambda: tap("heard", numbers)))
    key = next(key for key, unit in trace.units.items() if unit.kind == "value" and "heard" in key)
    seen: list[Any] = []
    TorchProgram(lambda: seen.append(tap("heard", 2 * numbers))).run(Forcing(Pairing(layers={}, units={}), trace, {}))
    assert key in trace.units and torch.equal(seen[0], numbers)
