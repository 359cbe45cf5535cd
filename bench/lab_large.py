"""What does the lab cost on a large model: a stranger's port of a transformer, without a fault and with one?

    python bench/lab_large.py [--width 1024] [--layers 12] [--steps 512] [--json FILE]

Twelve layers of 12 · width² weights each (50 MB at width 1024), reference and port with weights of their own, one
thread. Each case runs in a process of its own, whose peak of resident memory counts. Targets: a comparison at most 4
plain runs of the port and 30 s; its memory at most twice that of the two models in one process, run plainly.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections import OrderedDict
from typing import Any

from _measure import Report, parser, timed

# What is above says how many threads the packages below may use.
# isort: split
import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 16
CASES = {"plain": "", "clean": "", "no scale": "scale", "a transposed weight": "transposed", "a stale layer": "stale"}


class Layer(nn.Module):
    """Attention and a feed-forward part, each behind its norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        q, k, v = (f(h).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def port(w: dict[str, Tensor], x: Tensor, layers: int, fault: str) -> Tensor:
    """The same by hand: packed projections, channels first in its products; the fault is in the sixth layer."""
    for n in range(layers):
        here = fault if n == layers // 2 else ""
        name, width = f"layers.{n}.", x.shape[-1]
        h = F.layer_norm(x, (width,), w[f"{name}norm1.weight"], w[f"{name}norm1.bias"])
        whole = h @ w[f"{name}qkv.weight"].T + w[f"{name}qkv.bias"]
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in whole.chunk(3, -1))
        scale = 1.0 if here == "scale" else (width // HEADS) ** -0.5
        y = ((q * scale @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).flatten(2)
        out, down = w[f"{name}out.weight"], w[f"{name}down.weight"]
        x = x + F.linear(y, out.T if here == "transposed" else out, w[f"{name}out.bias"])
        h = F.layer_norm(x, (width,), w[f"{name}norm2.weight"], w[f"{name}norm2.bias"])
        h = F.gelu(F.linear(h, w[f"{name}up.weight"], w[f"{name}up.bias"]))
        x = x + F.linear(h, down * 1.01 if here == "stale" else down, w[f"{name}down.bias"])
    return x


def packed(model: nn.Module, layers: int) -> dict[str, Tensor]:
    """The port's weights."""
    w = {name: t.detach().clone() for name, t in model.state_dict().items()}
    for n in range(layers):
        for role in ("weight", "bias"):
            parts = [w.pop(f"layers.{n}.{part}.{role}") for part in "qkv"]
            w[f"layers.{n}.qkv.{role}"] = torch.cat(parts)
    return w


def main() -> None:
    """Measure, print, write."""
    options = parser(__doc__, rounds=1)
    for name, value in (("width", 1024), ("layers", 12), ("steps", 512)):
        options.add_argument(f"--{name}", type=int, default=value)
    options.add_argument("--case", choices=list(CASES), default="", help="one case, in this process")
    args = options.parse_args()
    if args.case:
        print(json.dumps(case(args.case, args.width, args.layers, args.steps)))
        return
    report = Report("lab_large", {"width": args.width, "layers": args.layers, "steps": args.steps})
    report.figures["layer_mb"] = 12 * args.width**2 * 4 / 1e6
    found: dict[str, dict[str, Any]] = {}
    for name in CASES:
        how = [f"--{key}={getattr(args, key)}" for key in ("width", "layers", "steps")]
        done = subprocess.run([sys.executable, __file__, "--case", name, *how], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the case {name!r} ended with {done.returncode}: {done.stderr[-2000:]}")
        one = found[name] = json.loads(done.stdout.splitlines()[-1])
        word = name.replace(" ", "_")
        report.figures |= {f"{word}_{key}": value for key, value in one.items() if isinstance(value, float)}
        if name != "plain":
            plain = found["plain"]
            report.figures[f"{word}_beyond_4_plain_runs_cpu_s"] = one["cpu_s"] - 4 * plain["cpu_s"]
            print(f"{name}: {one['answer']}, {one['first']}", file=sys.stderr)
            report.ratio(f"{word}_cpu_s", "plain_cpu_s")
            report.ratio(f"{word}_peak_mb", "plain_peak_mb")
    report.finish(args.json)


def case(name: str, width: int, layers: int, steps: int) -> dict[str, Any]:
    """One case; seconds are the processor's."""
    from portavoz.lab import compare
    from portavoz.lab.instrument.torch import TorchProgram

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(OrderedDict(layers=nn.Sequential(*(Layer(width) for _ in range(layers)))))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    w, x = packed(model, layers), torch.randn(1, steps, width)
    with torch.no_grad():
        model(x)
        plain = min(timed(lambda: port(w, x, layers, "")).cpu for _ in range(2))
    out: dict[str, Any] = {"cpu_s": plain, "answer": "", "first": ""}
    if name != "plain":
        reference = TorchProgram(lambda: model(x), modules={"": model})
        other = TorchProgram(lambda: port(w, x, layers, CASES[name]))
        took = timed(lambda: out.update(verdict=compare(reference, other)))
        verdict = out.pop("verdict")
        first = verdict.faults[0] if verdict.faults else None
        out |= {"cpu_s": took.cpu, "answer": verdict.answer, "first": f"{first.id}: {first.cause}" if first else ""}
    out["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return out


if __name__ == "__main__":
    main()
