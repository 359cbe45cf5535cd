"""How fast does SpeechT5 speak on each runtime and precision, beside transformers with the same weights?

    python bench/speecht5.py [--rounds 3] [--parts sentence,batch,step,engines] [--config base] [--json FILE]

One text of 60 symbols and 200 steps (6.4 s of audio), or eight of 30 to 60 symbols; random weights of the published
size, the same for all; what is compared takes turns, the least of all rounds counts. `1t` is one thread for
everything; `2t` two: transformers works with both in each operation, we make the sound on the second (`ahead`).
Signal over error against float32 is given in dB: on random weights it ranks engines, and certifies nothing.

- *sentence*: text to wave, and the first audio of a stream    - *batch*: eight sentences, in turn and together
- *step*: one decoder step, early and late, beside reading as many bytes once    - *engines*: each stage on each engine
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from _measure import Report, Took, interleaved, parser, table, timed

# What is above says how many threads the packages below may use.
# isort: split
import numpy as np
import torch

from portavoz import families
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.runtime import RUNTIMES
from portavoz.graph import processor
from portavoz.graph.cache import Cache
from portavoz.graph.compile import Assembled, Choice, Origin, assemble, plan

SYMBOLS, STEPS, ROWS = 60, 200, 8
NEVER = 9.0  # a threshold that no sum of stop probabilities reaches
EARLY, LATE = slice(5, 15), slice(190, 200)
# What we hold ourselves to: ratio of the report → at least (or at most).
TARGETS = {
    "hf_sentence_1t_s / float32_sentence_1t_s": (1.6, "at least"),
    "hf_sentence_2t_s / float32_sentence_2t_s": (1.6, "at least"),
    "hf_sentence_2t_s / int8_sentence_2t_s": (4.0, "at least"),
    "hf_in_turn_1t_s / int8_batch_1t_s": (8.0, "at least"),
    "hf_batch_1t_s / int8_batch_1t_s": (3.0, "at least"),
    "hf_in_turn_2t_s / int8_batch_2t_s": (8.0, "at least"),
    "hf_batch_2t_s / int8_batch_2t_s": (3.0, "at least"),
    "int8_step_s / read_int8_s": (3.0, "at most"),
    "int8_first_audio_1t_s / half_second_s": (1.0, "at most"),
    "int8_first_audio_2t_s / half_second_s": (1.0, "at most"),
    "int8_step_late_s / int8_step_early_s": (1.15, "at most"),
    "float32_step_late_s / float32_step_early_s": (1.15, "at most"),
}
FAMILY = families.get("speecht5")


def plans() -> dict[str, dict[str, Choice]]:
    """The engines that are compared."""
    return {
        f"{runtime}_{precision}": plan(FAMILY, runtime, precision)
        for runtime, known in RUNTIMES.items()
        for precision in known
        if precision != "bfloat16" or processor.bfloat16()
    }


def mixed(stages: Mapping[str, Assembled]) -> dict[str, Any]:
    """The engines, and put together of them "float32" and "int8"."""
    rest = stages["openvino_bfloat16" if processor.bfloat16() else "openvino_float32"]
    # One row at a time ONNX Runtime's steps are best; OpenVINO's convolutions and encoder are, everywhere we looked.
    step = stages["onnx_int8"]
    parts = {**rest.sessions, "step": step.sessions["step"]}
    int8 = FAMILY.runner(parts, rest.host, rest.runner.c)
    runners = {name: one.runner for name, one in stages.items()}
    return {**runners, "float32": runners["openvino_float32"], "int8": int8}


class Work:
    """The texts, the reference and ours on the same weights."""

    def __init__(self, config: str, cache: Cache) -> None:
        self.reference = Reference.fresh(families.get("speecht5").configuration(config))
        self.c = c = self.reference.config
        draw = np.random.default_rng(0)
        lengths = np.linspace(SYMBOLS // 2, SYMBOLS, ROWS).astype(int)
        self.rows = [np.append(draw.integers(4, c.vocab_size, n - 1), c.eos_token_id) for n in lengths]
        self.one = self.rows[-1]
        self.speaker = draw.standard_normal(c.speaker_embedding_dim).astype(np.float32)
        self.ratio = STEPS * c.reduction_factor / SYMBOLS
        self.stop = StoppingCriteria(threshold=NEVER, maxlenratio=self.ratio)
        origin = Origin.given(FAMILY, c, dict(zip(("model", "vocoder"), self.reference.tensors())))
        self.stages = mixed({name: assemble(origin, chosen, cache) for name, chosen in plans().items()})

    def model(self, name: str, workers: int = 0) -> SpeechT5:
        """Ours on an engine."""
        return SpeechT5(self.stages[name], self.c, workers=workers)

    def hf(self, rows: list[Any], threads: int) -> Any:
        """The reference says rows together: its own call, with its vocoder."""
        torch.set_num_threads(threads)
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), self.c.pad_token_id)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.from_numpy(row)
        with torch.no_grad():
            return self.reference.model.generate_speech(
                ids, torch.from_numpy(self.speaker)[None].repeat(len(rows), 1), (ids != self.c.pad_token_id).long(),
                threshold=NEVER, maxlenratio=self.ratio, vocoder=self.reference.vocoder,
            )  # fmt: skip

    def say(self, name: str) -> Any:
        """Ours says the sentence, whole."""
        torch.set_num_threads(1)
        return self.model(name).generate([self.one], self.speaker, stop=self.stop)[0]

    def stream(self, name: str, workers: int, *, first: bool = False) -> Any:
        """Ours says it in pieces, on one thread or with the sound beside the loop."""
        torch.set_num_threads(1)
        waves = self.model(name, workers).synthesize(self.one, self.speaker, stop=self.stop).waves
        return next(waves) if first else list(waves)

    def batch(self, name: str, workers: int) -> Any:
        """Ours says eight sentences together, as `Voice.speak` does; `workers` make the sound beside the loop."""
        torch.set_num_threads(1)
        said = self.model(name, workers).synthesize_batch(self.rows, self.speaker, stop=self.stop)
        return [list(row.waves) for row in said]


def sentence(work: Work, report: Report, rounds: int) -> None:
    """Text to wave, one sentence."""
    calls: dict[str, Callable[[], Any]] = {f"hf_sentence_{n}t": lambda n=n: work.hf([work.one], n) for n in (1, 2)}
    for name in work.stages:
        calls[f"{name}_sentence_1t"] = lambda name=name: work.say(name)
        calls[f"{name}_sentence_2t"] = lambda name=name: work.stream(name, 1)
    for name in ("float32", "int8"):
        calls[f"{name}_stream_1t"] = lambda name=name: work.stream(name, 0)
        for n in (1, 2):
            calls[f"{name}_first_audio_{n}t"] = lambda name=name, n=n: work.stream(name, n - 1, first=True)
    took = measured(report, calls, rounds)
    seconds = STEPS * work.c.reduction_factor * work.c.hop / work.c.sampling_rate
    rows = {name: [took[name].seconds, took[name].seconds / seconds, took[name].cpu] for name in calls}
    table("one sentence", ["s", "RTF", "cpu s"], rows, ".3f")
    report.figures["half_second_s"] = 0.5
    errors(work, report)


def errors(work: Work, report: Report) -> None:
    """How far each engine's mel and wave are from eager float32, in dB; see the top about what that says."""
    wanted, rows = work.say("eager_float32"), dict[str, list[float | None]]()
    for name in work.stages:
        said = work.say(name)
        for what in ("mel", "wave"):
            pair = (said.mel.values, wanted.mel.values) if what == "mel" else (said.wave, wanted.wave)
            report.figures[f"{name}_{what}_snr_db"] = snr(*pair)
        rows[name] = [report.figures[f"{name}_{what}_snr_db"] for what in ("mel", "wave")]
    table("signal over error, dB (ranks only)", ["mel", "wave"], rows, ".1f")


def snr(ours: Any, wanted: Any) -> float:
    """Signal over error, in dB; identical is 300."""
    error = float(np.mean((np.asarray(ours, np.float64) - wanted) ** 2))
    return 10 * float(np.log10(float(np.mean(np.asarray(wanted, np.float64) ** 2)) / max(error, 1e-30)))


def batch(work: Work, report: Report, rounds: int) -> None:
    """Eight sentences of 30 to 60 symbols: the reference in turn and together, ours together."""
    calls: dict[str, Callable[[], Any]] = {}
    for n in (1, 2):
        calls[f"hf_in_turn_{n}t"] = lambda n=n: [work.hf([row], n) for row in work.rows]
        calls[f"hf_batch_{n}t"] = lambda n=n: work.hf(work.rows, n)
        for name in ("float32", "int8", "openvino_int8"):
            calls[f"{name}_batch_{n}t"] = lambda name=name, n=n: work.batch(name, n - 1)
    took = measured(report, calls, rounds)
    table("eight sentences", ["s", "cpu s"], {name: [took[name].seconds, took[name].cpu] for name in calls}, ".3f")


def measured(report: Report, calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Took]:
    """The least of each, in turn; noted as figures."""
    took = interleaved({name: lambda call=call: timed(call) for name, call in calls.items()}, rounds)
    report.figures.update({f"{name}_s": each.seconds for name, each in took.items()})
    return took


def step(work: Work, report: Report, rounds: int) -> None:
    """A decoder step, by its number; and how long it takes to read the bytes of its weights once."""
    names = [name for name in work.stages if name not in ("float32", "int8")]
    least = {name: np.full(STEPS, np.inf) for name in ["hf", *names]}
    weights = sum(a.nbytes for name, a in _lean(work).items() if name.startswith("step."))
    reads = {"float32": np.ones(weights // 8), "int8": np.ones(weights // 32)}
    for kind in reads:
        report.figures[f"read_{kind}_s"] = np.inf
    for _ in range(rounds):
        least["hf"] = np.minimum(least["hf"], _hf_steps(work))
        for name in names:
            least[name] = np.minimum(least[name], _steps(work, name))
        for kind, array in reads.items():
            took = timed(lambda array=array: array.view(np.int64).sum(), 5).seconds
            report.figures[f"read_{kind}_s"] = min(report.figures[f"read_{kind}_s"], took)
    rows, f = dict[str, list[float | None]](), report.figures
    least |= {"float32": least["openvino_float32"], "int8": least["onnx_int8"]}
    for name, each in least.items():
        f[f"{name}_step_early_s"], f[f"{name}_step_late_s"] = (
            float(np.median(each[EARLY])),
            float(np.median(each[LATE])),
        )
        f[f"{name}_step_s"] = float(np.median(each))
        rows[name] = [f[f"{name}_step_{when}s"] * 1e3 for when in ("", "early_", "late_")]
        rows[name].append(f[f"{name}_step_late_s"] / f[f"{name}_step_early_s"])
    table("one step, 1 thread, ms", ["median", "step 10", "step 195", "late/early"], rows, ".2f")
    f["step_weights_float32_mb"], f["step_weights_int8_mb"] = weights / 1e6, weights / 4e6
    for name in ("openvino_float32", "onnx_float32", "onnx_int8", "openvino_int8"):
        report.ratio(f"{name}_step_s", f"read_{name.split('_')[1]}_s")
    table("reading its weights once, ms", ["ms"], {kind: [f[f"read_{kind}_s"] * 1e3] for kind in reads}, ".2f")


def _lean(work: Work) -> Mapping[str, Any]:
    from portavoz.families.speecht5.fused_decoder import fuse_weights

    return fuse_weights(work.reference.tensors()[0], work.c)


def _hf_steps(work: Work) -> Any:
    """Seconds of each of the reference's steps in one run."""
    times: list[float] = []
    hook = work.reference.model.speech_decoder_postnet.prob_out.register_forward_hook(
        lambda *_: times.append(time.perf_counter())
    )
    try:
        work.hf([work.one], 1)
    finally:
        hook.remove()
    took = np.diff(times)
    return np.append(took[:1], took)


def _steps(work: Work, name: str) -> Any:
    """Seconds of each step on an engine, running freely."""
    torch.set_num_threads(1)
    stages, c, times = work.stages[name], work.c, np.zeros(STEPS)
    kept = np.ones((c.speech_decoder_prenet_layers, 1, c.speech_decoder_prenet_units), np.float32)
    state = stages.encode(work.one[None], work.one[None] >= 0, work.speaker[None], STEPS)
    frame = np.zeros((1, 1, c.num_mel_bins), np.float32)
    for i in range(STEPS):
        start = time.perf_counter()
        frames, _, state = stages.step(frame, state, kept)
        times[i], frame = time.perf_counter() - start, frames[:, -1:]
    return times


def engines(work: Work, report: Report, rounds: int) -> None:
    """The stages beside the decoder, on each engine, one thread; and what this core can do at most."""
    c, mel = work.c, np.random.default_rng(1).standard_normal((1, STEPS * work.c.reduction_factor, work.c.num_mel_bins))
    mel, ids, speaker = mel.astype(np.float32), work.one[None], work.speaker[None]
    torch.set_num_threads(1)
    calls: dict[str, Callable[[], Any]] = {}
    for name, stages in {"hf": work.reference, **work.stages}.items():
        more = () if name == "hf" else (STEPS,)
        calls[f"{name}_encode"] = lambda s=stages, more=more: s.encode(ids, ids >= 0, speaker, *more)
        calls[f"{name}_postnet"] = lambda s=stages: s.postnet(mel)
        calls[f"{name}_vocode"] = lambda s=stages: s.vocode(mel)
    square = torch.ones(1024, 1024)
    calls["product"] = lambda: square @ square
    measured(report, calls, rounds)
    f, kinds = report.figures, ("encode", "postnet", "vocode")
    table(
        "stages, 1 thread, ms", kinds, {n: [f[f"{n}_{k}_s"] * 1e3 for k in kinds] for n in ["hf", *work.stages]}, ".1f"
    )
    weights = sum(a.size for name, a in _lean(work).items() if name.startswith(("speecht5.encoder", "memory")))
    f["vocode_multiply_adds"], f["encode_multiply_adds"] = (
        float(vocoder_work(c) * mel.shape[1]),
        float(weights * len(ids[0])),
    )
    f["encode_weights_float32_mb"] = weights * 4e-6
    f["vocode_weights_float32_mb"] = sum(a.nbytes for a in work.reference.tensors()[1].values()) / 1e6
    f["peak_multiply_adds_per_s"] = 1024**3 / f["product_s"]
    f["vocode_at_peak_s"] = f["vocode_multiply_adds"] / f["peak_multiply_adds_per_s"]
    report.ratio("float32_vocode_s", "vocode_at_peak_s")


def vocoder_work(c: Any) -> int:
    """Multiply–adds of the vocoder for one mel frame."""
    v, rate = c.vocoder, 1
    width = v.upsample_initial_channel
    total = v.model_in_dim * width * 7
    for up, kernel in zip(v.upsample_rates, v.upsample_kernel_sizes):
        total += rate * width * (width // 2) * kernel
        rate, width = rate * up, width // 2
        for k, dilations in zip(v.resblock_kernel_sizes, v.resblock_dilation_sizes):
            total += rate * width * width * k * 2 * len(dilations)
    return total + rate * width * 7


PARTS = {"sentence": sentence, "batch": batch, "step": step, "engines": engines}


def main() -> None:
    """Measure, print, write JSON where asked."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--parts", default=",".join(PARTS), help="of sentence, batch, step, engines (default: all)")
    options.add_argument("--config", default="base", help="base (the published size) or tiny")
    options.add_argument("--cache", metavar="DIR", help="where compiled stages are kept (default: the user's place)")
    args = options.parse_args()
    chosen = {name: part for name, part in PARTS.items() if name in args.parts.split(",")}
    settings = {"rounds": args.rounds, "config": args.config, "symbols": SYMBOLS, "steps": STEPS, "rows": ROWS}
    work, report = Work(args.config, Cache(args.cache)), Report("speecht5", settings)
    settings["plans"] = {name: {s: dataclasses.asdict(x) for s, x in each.items()} for name, each in plans().items()}
    for part in chosen.values():
        part(work, report, args.rounds)
    ratios(report)
    report.finish(args.json)


def ratios(report: Report) -> None:
    """Ours beside the reference; the targets with their verdicts."""
    for name in TARGETS:
        report.ratio(*name.split(" / "))
    rows: dict[str, list[float | None]] = {}
    for name, (target, side) in TARGETS.items():
        if name in report.ratios:
            met = report.ratios[name] >= target if side == "at least" else report.ratios[name] <= target
            rows[name] = [report.ratios[name], target, float(met)]
    table("ratio", ["measured", "target", "met"], rows, ".2f")
    for part in ("sentence_1t", "sentence_2t", "vocode", "encode", "postnet", "step"):
        for name in [n.removesuffix(f"_{part}_s") for n in report.figures if n.endswith(f"_{part}_s")]:
            if name != "hf":
                report.ratio(f"hf_{part}_s", f"{name}_{part}_s")


if __name__ == "__main__":
    main()
