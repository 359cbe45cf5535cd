"""A JAX program as a side of a comparison: its traced products, activations, draws, loops and named values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from portavoz.lab.compare import compare
from portavoz.lab.instrument.jax import JaxProgram
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.trace.recorder import record
from portavoz.ops.tap import tap


class Small(torch.nn.Module):
    """A lookup, a convolution, attention of one head, a feed-forward part."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.conv = torch.nn.Embedding(9, 6), torch.nn.Conv1d(6, 8, 3, padding=1)
        self.q, self.k, self.out = (torch.nn.Linear(8, 8) for _ in range(3))
        self.up = torch.nn.ConvTranspose1d(8, 4, 4, 2, padding=1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.conv(self.letters(ids).transpose(1, 2)).transpose(1, 2))
        y = (self.q(x) @ self.k(x).transpose(1, 2) / 8**0.5).softmax(-1) @ x
        x = tap("state", x + torch.nn.functional.gelu(self.out(y)))
        return self.up(x.transpose(1, 2)).transpose(1, 2)


torch.manual_seed(0)
MODEL, IDS = Small(), torch.randint(0, 9, (2, 7))
WEIGHTS = {name: t.detach().numpy() for name, t in MODEL.state_dict().items()}


def theirs() -> TorchProgram:
    return TorchProgram(lambda: MODEL(IDS), modules={"": MODEL})


def port(w: Any, fault: str = "") -> Any:
    """Channels last throughout, as it is written in JAX."""
    x = w["letters.weight"][jnp.asarray(IDS.numpy())]
    kernel = w["conv.weight"][..., ::-1] if fault == "flipped" else w["conv.weight"]
    last = ("NWC", "WIO", "NWC")
    x = jax.lax.conv_general_dilated(x, kernel.transpose(2, 1, 0), (1,), "SAME", dimension_numbers=last)
    x = jnp.tanh(x + w["conv.bias"])
    q, k = x @ w["q.weight"].T + w["q.bias"], jnp.einsum("btc,oc->bto", x, w["k.weight"]) + w["k.bias"]
    scores = jnp.einsum("btc,bsc->bts", q, k) * (1.0 if fault == "scale" else 8**-0.5)
    y = jax.nn.softmax(scores, -1) @ x
    x = tap("state", x + jax.nn.gelu(y @ w["out.weight"].T + w["out.bias"], approximate=fault == "tanh"))
    kernel = jnp.flip(w["up.weight"], -1).transpose(2, 0, 1)
    return w["up.bias"] + jax.lax.conv_general_dilated(
        x, kernel, (1,), [(2, 2)], lhs_dilation=(2,), dimension_numbers=last
    )


@pytest.mark.parametrize(
    ("fault", "named", "cause"),
    [
        ("", "", ""),
        ("scale", "edge:/softmax.0", "scale"),
        pytest.param("flipped", "leaf:conv", "way round", marks=pytest.mark.slow),
        pytest.param("tanh", "facts:/gelu.0", "approximate", marks=pytest.mark.slow),
    ],
)
def test_a_port_in_jax(fault: str, named: str, cause: str) -> None:
    verdict = compare(theirs(), JaxProgram(lambda w: port(w, fault), WEIGHTS))
    assert verdict.answer == ("FAIL" if fault else "PASS"), verdict.faults
    assert verdict.pairing.seen == 1 and not verdict.pairing.unmatched
    if fault:
        assert [one.id for one in verdict.faults] == [named] and cause in verdict.faults[0].cause


@pytest.mark.slow
def test_a_file_of_one() -> None:
    program = JaxProgram(port, WEIGHTS)
    assert compare(theirs(), record(program)).answer == "PASS"


def test_loops_are_followed_and_constants_are_weights() -> None:
    """A scan over steps, a while loop, a branch, a draw; the weight is only closed over."""
    weight = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)

    def run(w: Any) -> Any:
        noise = jax.random.normal(jax.random.key(0), (3, 4))

        def step(h: Any, x: Any) -> Any:
            h = jnp.tanh((x + h) @ jnp.asarray(weight))
            return h, h

        last, every = jax.lax.scan(step, jnp.zeros(4) + jnp.zeros((1, 4)), noise[:, None])
        doubled = jax.lax.fori_loop(0, 2, lambda i, a: a * 2, last)
        return jax.lax.cond(doubled.sum() > -1e9, lambda a: a, lambda a: -a, doubled), every

    found = record(JaxProgram(run))
    ops = [unit.op for unit in found.units.values()]
    assert ops.count("linear") == 3 and ops.count("normal") == 1
    assert next(u for u in found.units.values() if u.op == "linear").path.startswith("~")
    assert np.allclose(found.array("result#0", "out"), 4 * found.array("result.1#0", "out")[-1])


@pytest.mark.slow
def test_a_reference_in_jax() -> None:
    assert compare(JaxProgram(port, WEIGHTS), theirs()).answer == "PASS"
