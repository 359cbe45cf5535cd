"""How fast are Chatterbox's parts beside chatterbox-tts with the same weights?

    python bench/chatterbox_speed.py [--rounds 3] [--config base] [--frames 200] [--json FILE]

Random weights of the published sizes, the same for both, on PyTorch in float32, with one thread; what is compared takes
turns, the least of all rounds counts. *step*: one token of T3 with guidance (two rows) at a context of 250, beside
reading as many bytes once; *flow*: one of the flow's steps with guidance; *vocode*: the mel's sound.
"""

from __future__ import annotations

import warnings
from typing import Any

from _measure import Report, interleaved, parser, table, timed

# What is above says how many threads the packages below may use.
# isort: split
import numpy as np
import torch

from portavoz import ops
from portavoz.families.chatterbox import reference
from portavoz.families.chatterbox.config import CONFIGS, ChatterboxConfig
from portavoz.families.chatterbox.names import folded
from portavoz.families.chatterbox.stages import Eager
from portavoz.weights.cursor import Weights

CONTEXT = 250
PARTS = ("t3", "s3gen", "voice")


class Work:
    """The reference and ours on the same weights."""

    def __init__(self, c: ChatterboxConfig, frames: int) -> None:
        self.c, self.frames = c, frames
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
        roots = {name: Weights(folded(tensors[name], c), back) for name in PARTS}
        self.ours, self.t = Eager(roots, c), back.tensor
        draw = np.random.default_rng(0)
        self.x = draw.standard_normal((2, frames, c.spec.mels)).astype(np.float32)
        self.speaker = draw.standard_normal((2, 1, c.spec.mels)).astype(np.float32)
        self.excitation = 0.1 * draw.standard_normal((1, frames * c.spec.hop, 1)).astype(np.float32)
        self.embeds = 0.02 * torch.randn(2, CONTEXT, c.tokens.hidden, generator=torch.Generator().manual_seed(0))

    def steps(self) -> dict[str, Any]:
        """One token on each side, the context before it computed once."""
        from portavoz.blocks.causal import causal_mask
        from portavoz.families.chatterbox.tokens import empty_past

        one, model, tokens = self.embeds[:, :1], self.theirs["t3"], self.c.tokens
        past = model.tfmr(inputs_embeds=self.embeds, use_cache=True).past_key_values
        t3, back = self.ours.t3, self.ours.ops
        _, mine = t3.backbone(self.embeds, empty_past(back, tokens, 2, CONTEXT + 1), causal_mask(back, CONTEXT))

        def hf() -> None:
            out = model.tfmr(inputs_embeds=one, past_key_values=past, use_cache=True, output_hidden_states=True)
            model.speech_head(out.hidden_states[-1])
            past.crop(-1)

        weights = list(model.tfmr.parameters())
        return {
            "hf_step_s": hf,
            "eager_step_s": lambda: t3.head(
                t3.backbone(one, mine)[0]
            ),  # its caches are written at the same place again
            "read_float32_s": lambda: [p.sum() for p in weights],
        }

    def flow(self) -> dict[str, Any]:
        """One step of the flow, both rows."""
        turned = torch.from_numpy(self.x).transpose(1, 2).contiguous()
        estimator, mask = self.theirs["s3gen"].flow.decoder.estimator, torch.ones(2, 1, self.frames)
        spoken, at = torch.from_numpy(self.speaker[:, 0]), torch.full((2,), 0.4)
        return {
            "hf_flow_s": lambda: estimator(turned, mask, turned, at, spoken, turned),
            "eager_flow_s": lambda: self.ours.velocity(self.x, self.x, self.speaker, self.x, (0.4, 0.5)),
        }

    def vocode(self) -> dict[str, Any]:
        """The sound of the mel."""
        mel, sound = (torch.from_numpy(a).transpose(1, 2) for a in (self.x[:1], self.excitation))
        hift = self.theirs["s3gen"].mel2wav
        return {
            "hf_vocode_s": lambda: hift.decode(mel, sound),
            "eager_vocode_s": lambda: self.ours.vocode(self.x[:1], self.excitation),
        }


@torch.inference_mode()
def main() -> None:
    options = parser(__doc__, rounds=3)
    options.add_argument("--config", default="base", help="base or tiny")
    options.add_argument("--frames", type=int, default=200, help="of the mel, 50 a second")
    args = options.parse_args()
    torch.set_num_threads(1)
    work = Work(CONFIGS[args.config], args.frames)
    report = Report("chatterbox", {"rounds": args.rounds, "config": args.config, "frames": args.frames})
    for part in (work.steps, work.flow, work.vocode):
        cases = {name: (lambda call=call: timed(call)) for name, call in part().items()}
        report.figures.update({name: took.seconds for name, took in interleaved(cases, args.rounds).items()})
    for part in ("step", "flow", "vocode"):
        report.ratio(f"hf_{part}_s", f"eager_{part}_s")
    report.ratio("eager_step_s", "read_float32_s")
    table("seconds", ["least"], {name: [value] for name, value in report.figures.items()})
    report.show()
    report.write(args.json)


if __name__ == "__main__":
    main()
