"""How fast are Chatterbox's parts beside chatterbox-tts with the same weights, on each runtime?

    python bench/chatterbox_speed.py [--parts step flow vocode] [--config base] [--layers 30] [--frames 250] [--json F]
    python bench/chatterbox_speed.py --parts chain [--config turbo] [--threads 2] [--tokens 125] [--folder F]

Random weights of the published sizes, the same for all, with one thread; what is compared takes turns, the least of all
rounds counts. *step*: one token of T3 (with guidance two rows) at a context of 250, beside reading as many bytes once;
*flow*: one of the flow's steps (with guidance two rows) over so many frames; *vocode*: the sound of so many frames.
`error`: how far a runtime's result is from eager float32 (relative L2). With fewer `--layers` or `--middle` stages T3
and the flow are shorter, and all their figures with them: what a layer costs is the same. The first run exports and
compiles; later ones find the graphs.

*chain*, alone: from a text and a prompt's file to so many `--tokens` (25 a second) of sound, the reference's `generate`
beside ours, each a process that opens with a full compile cache; processor seconds of each part, RTF on the clock and
peak memory. `mel_db`: the signal over the error of the mel of the same tokens and noise, beside eager float32's. The
checkpoint of random weights is written to `--folder`, else to a place that is removed again (3 GB).
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from _chatterbox_turns import chain
from _measure import Report, interleaved, parser, table, timed

# What is above says how many threads the packages below may use.
# isort: split
import numpy as np
import torch

from portavoz import families, ops
from portavoz.families.chatterbox import reference
from portavoz.families.chatterbox.config import CONFIGS, ChatterboxConfig
from portavoz.families.chatterbox.names import folded
from portavoz.families.chatterbox.sessions import HIDDEN, Sessions
from portavoz.families.chatterbox.stages import Eager
from portavoz.families.chatterbox.tokens import State
from portavoz.graph import processor
from portavoz.graph.compile import Origin, assemble, plan
from portavoz.weights.cursor import Weights

CONTEXT, TOKEN = 250, 7
PARTS = ("t3", "s3gen", "voice")
RUNTIMES = (("onnx", "float32"), ("onnx", "int8"), ("openvino", "float32"), ("openvino", "bfloat16"))
RUNTIMES = (*RUNTIMES, ("openvino", "int8"))
STAGES = {"step": "step", "flow": "velocity", "vocode": "vocode"}


class Work:
    """The reference and ours on the same weights."""

    def __init__(self, c: ChatterboxConfig, frames: int) -> None:
        self.c, self.frames, self.rows = c, frames, 2 if c.tokens.guided else 1
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = {
                "t3": reference.t3(c.tokens),
                "s3gen": reference.s3gen(c),
                "voice": reference.voice_encoder(c.voice),
            }
        self.theirs = {name: module.eval() for name, module in made.items()}
        back = ops.open("torch")
        tensors = {n: {k: v.numpy() for k, v in m.state_dict().items()} for n, m in self.theirs.items()}
        self.parts = {name: folded(tensors[name], c) for name in PARTS}
        self.ours = Eager({name: Weights(self.parts[name], back) for name in PARTS}, c)
        draw = np.random.default_rng(0)
        rows = 1 if c.flow.meanflow else 2
        self.x = draw.standard_normal((rows, frames, c.spec.mels)).astype(np.float32)
        self.speaker = draw.standard_normal((rows, 1, c.spec.mels)).astype(np.float32)
        self.excitation = 0.1 * draw.standard_normal((1, frames * c.spec.hop, 1)).astype(np.float32)
        noise = torch.Generator().manual_seed(0)
        self.embeds = 0.02 * torch.randn(self.rows, CONTEXT, c.tokens.hidden, generator=noise)

    def compiled(self, part: str, runtimes: list[str]) -> Iterator[tuple[str, Sessions]]:
        """One stage on each runtime and precision that is asked for and there."""
        family = families.get("chatterbox")
        for runtime, precision in RUNTIMES:
            name = f"{runtime}_{precision}"
            if (runtimes and name not in runtimes) or (precision == "bfloat16" and not processor.bfloat16()):
                continue
            if part == "vocode" and precision == "int8":
                continue  # it stays in float32
            origin = Origin.given(family, self.c, self.parts)
            origin.groups = {group: specs for group, specs in origin.groups.items() if group == STAGES[part]}
            choices = {
                k: dataclasses.replace(v, precision=precision) for k, v in plan(family, *_known(runtime)).items()
            }
            yield name, assemble(origin, choices).runner

    def step(self) -> tuple[dict[str, Callable[[], Any]], Callable[[Sessions], Callable[[], Any]]]:
        """One token on each side, the context before it computed once."""
        from portavoz.blocks.causal import causal_mask
        from portavoz.families.chatterbox.tokens import empty_past

        one, model, tokens = self.embeds[:, :1], self.theirs["t3"], self.c.tokens
        past = model.tfmr(inputs_embeds=self.embeds, use_cache=True).past_key_values
        t3, back = self.ours.t3, self.ours.ops
        empty = empty_past(back, tokens, self.rows, CONTEXT + 1)
        _, mine = t3.backbone(self.embeds, empty, causal_mask(back, CONTEXT))
        token = back.tensor(np.array([[TOKEN]]))

        def hf() -> None:
            out = model.tfmr(inputs_embeds=one, past_key_values=past, use_cache=True, output_hidden_states=True)
            model.speech_head(out.hidden_states[-1])
            past.crop(-1)

        def on(stages: Sessions) -> Callable[[], Any]:
            shape = (self.rows, CONTEXT, tokens.heads, -1)
            own = stages._room(self.rows, 320)
            for layer, cache in zip(own, mine):
                for kind, x in zip(layer, (cache.k, cache.v)):
                    kind[:, :, :CONTEXT] = x[:, :CONTEXT].numpy().reshape(shape).transpose(0, 2, 1, 3)
            state = stages._state(CONTEXT, 0, own)

            def call() -> Any:
                logits = stages.step(TOKEN, state).logits
                state.length, state.spoken = CONTEXT, 0
                state.arrays["hidden"][..., CONTEXT] = HIDDEN
                return logits

            return call

        # Its caches are written at the same place again.
        lean = lambda: t3.step(token, State(mine, 0))[0].numpy()[:, 0]  # noqa: E731
        weights = list(model.tfmr.parameters())
        return {"hf": hf, "eager": lean, "read_float32": lambda: [p.sum() for p in weights]}, on

    def flow(self) -> tuple[dict[str, Callable[[], Any]], Callable[[Sessions], Callable[[], Any]]]:
        """One step of the flow, both rows."""
        turned = torch.from_numpy(self.x).transpose(1, 2).contiguous()
        rows, (now, then) = len(self.x), (torch.full((len(self.x),), t) for t in (0.4, 0.5))
        estimator, mask = self.theirs["s3gen"].flow.decoder.estimator, torch.ones(rows, 1, self.frames)
        spoken = torch.from_numpy(self.speaker[:, 0])
        times = {"r": then} if self.c.flow.meanflow else {}

        def on(stages: Any) -> Callable[[], Any]:
            return lambda: stages.velocity(self.x, self.x, self.speaker, self.x, (0.4, 0.5))

        return {
            "hf": lambda: estimator(turned, mask, turned, now, spoken, turned, **times), "eager": on(self.ours)
        }, on  # fmt: skip

    def vocode(self) -> tuple[dict[str, Callable[[], Any]], Callable[[Sessions], Callable[[], Any]]]:
        """The sound of the mel."""
        mel, sound = (torch.from_numpy(a).transpose(1, 2) for a in (self.x[:1], self.excitation))
        hift = self.theirs["s3gen"].mel2wav

        def on(stages: Any) -> Callable[[], Any]:
            return lambda: stages.vocode(self.x[:1], self.excitation)

        return {"hf": lambda: hift.decode(mel, sound), "eager": on(self.ours)}, on


def _known(runtime: str) -> tuple[str, str]:
    return runtime, "float32"


def measured(work: Work, part: str, runtimes: list[str], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and errors of one part by name."""
    calls, on = getattr(work, part)()
    wanted, errors = np.asarray(calls["eager"](), np.float64), dict[str, float]()
    for name, stages in work.compiled(part, runtimes):
        calls[name] = call = on(stages)
        errors[f"{name}_{part}_error"] = float(np.linalg.norm(call() - wanted) / np.linalg.norm(wanted))
    cases: Mapping[str, Any] = {name: (lambda call=call: timed(call, 2)) for name, call in calls.items()}
    took = interleaved(cases, rounds)
    return {f"{name}_{part}_s": took[name].seconds for name in calls}, errors


@torch.inference_mode()
def main() -> None:
    options = parser(__doc__, rounds=3)
    options.add_argument("--config", default="base", help="base, turbo or tiny")
    options.add_argument("--layers", type=int, help="of T3 (default: all)")
    options.add_argument("--middle", type=int, help="stages in the middle of the flow's estimator (default: all)")
    options.add_argument("--frames", type=int, default=250, help="of the mel, 50 a second")
    options.add_argument("--parts", nargs="+", default=list(STAGES), choices=[*STAGES, "chain"])
    options.add_argument("--runtimes", nargs="+", default=[], help="such as openvino_int8 (default: all that are here)")
    options.add_argument("--threads", type=int, default=1, help="of the chain's speakers")
    options.add_argument("--tokens", type=int, default=125, help="of the chain, 25 a second")
    options.add_argument("--folder", type=Path, help="where the chain's checkpoint is, or is written to")
    args = options.parse_args()
    if "chain" in args.parts:
        report = Report("chatterbox-chain", {"rounds": args.rounds, "config": args.config, "threads": args.threads})
        chain(report, args.config, args.runtimes, args.rounds, args.folder, args.threads, args.tokens)
        report.finish(args.json)
        return
    torch.set_num_threads(1)
    c = CONFIGS[args.config]
    if args.layers:
        c = dataclasses.replace(c, tokens=dataclasses.replace(c.tokens, layers=args.layers))
    if args.middle:
        c = dataclasses.replace(c, flow=dataclasses.replace(c.flow, middle=args.middle))
    work = Work(c, args.frames)
    settings = {"rounds": args.rounds, "config": args.config, "frames": args.frames, "layers": c.tokens.layers}
    report = Report("chatterbox", settings)
    for part in args.parts:
        seconds, errors = measured(work, part, args.runtimes, args.rounds)
        report.figures.update(seconds)
        table(
            f"{part}: seconds",
            ["least", "error"],
            {n: [s, errors.get(n[:-2] + "_error")] for n, s in seconds.items()},
            ".4g",
        )
        report.figures.update(errors)
        for name in seconds:
            if name != f"hf_{part}_s":
                report.ratio(f"hf_{part}_s", name)
        report.ratio(f"eager_{part}_s", f"openvino_int8_{part}_s")
    report.ratio("eager_step_s", "read_float32_step_s")
    report.finish(args.json)


if __name__ == "__main__":
    main()
