"""Put what bench/speecht5.py measured into docs/benchmarks.md, and draw where the stages stand under the roof.

python bench/speecht5.py --json runs/bench/speecht5.json
python bench/speecht5_page.py runs/bench/speecht5.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURE = ROOT / "docs" / "benchmarks.md", "img/speecht5-roof.png"
BEGIN, END = "<!-- speecht5: begin (bench/speecht5_page.py) -->", "<!-- speecht5: end -->"
NAMES = {
    "hf": "transformers",
    "eager_float32": "eager, float32",
    "eager_bfloat16": "eager, bfloat16",
    "onnx_float32": "ONNX Runtime, float32",
    "onnx_int8": "ONNX Runtime, int8",
    "openvino_float32": "OpenVINO, float32",
    "openvino_bfloat16": "OpenVINO, bfloat16",
    "openvino_int8": "OpenVINO, int8",
    "int8": "mixed: decoder int8 on ONNX Runtime, the rest bfloat16 on OpenVINO",
}
# Ratio of the report → what it is, the aim, and whether that is a least or a most.
AIMS = {
    "hf_sentence_1t_s / float32_sentence_1t_s": ("text → wave, float32, 1 thread each: times as fast", 1.6, "≥"),
    "hf_sentence_2t_s / float32_sentence_2t_s": ("the same, 2 threads each", 1.6, "≥"),
    "hf_sentence_1t_s / int8_sentence_1t_s": ("text → wave, decoder int8, 1 thread each", 4.0, "≥"),
    "hf_sentence_2t_s / int8_sentence_2t_s": ("the same, 2 threads each (sound beside the loop)", 4.0, "≥"),
    "hf_sentence_1t_s / int8_sentence_2t_s": ("the same on 2 threads, transformers on 1", 4.0, "≥"),
    "hf_in_turn_1t_s / int8_batch_1t_s": ("8 sentences as a batch, int8; transformers in turn, 1 thread", 8.0, "≥"),
    "hf_batch_1t_s / int8_batch_1t_s": ("the same; transformers as a batch, 1 thread", 3.0, "≥"),
    "hf_in_turn_2t_s / int8_batch_2t_s": ("8 sentences; transformers in turn, 2 threads each", 8.0, "≥"),
    "hf_batch_2t_s / int8_batch_2t_s": ("the same; transformers as a batch, 2 threads each", 3.0, "≥"),
    "int8_step_s / read_int8_s": ("a step, int8, over reading its weights once", 3.0, "≤"),
    "int8_first_audio_1t_s / half_second_s": ("first audio of a stream, int8, 1 thread, over half a second", 1.0, "≤"),
    "int8_first_audio_2t_s / half_second_s": ("the same, sound beside the loop", 1.0, "≤"),
    "int8_step_late_s / int8_step_early_s": ("step 195 over step 10, int8", 1.15, "≤"),
    "float32_step_late_s / float32_step_early_s": ("the same, float32", 1.15, "≤"),
}


def main(path: str) -> None:
    """Read the report, write page and picture."""
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    f: dict[str, float] = report["figures"]
    draw(f, PAGE.parent / PICTURE)
    text = "\n\n".join([head(report), aims(f), engines(f), batches(f), roof(f)])
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before.rstrip()}\n\n{BEGIN}\n\n{text}\n\n{END}\n{after.lstrip()}", encoding="utf-8")


def head(report: dict[str, Any]) -> str:
    """What was measured."""
    s, machine = report["settings"], report["machine"]
    return f"""## SpeechT5 beside `transformers`

`python bench/speecht5.py --rounds {s["rounds"]}`, written here by `bench/speecht5_page.py`. Random weights of
the published size, the same for all; a text of {s["symbols"]} symbols, {s["steps"]} steps, 6.4 s of sound; eight texts
of 30 to 60 symbols as the batch. The least of {s["rounds"]} rounds, in turn; the machine's load at the end was
{machine["load_1min"]} on {machine["cores"]} cores. With two threads `transformers` uses both in every operation; we
decode on one and make the sound on the other. Signal over error is against eager float32; on random weights it ranks
engines and certifies nothing."""


def aims(f: dict[str, float]) -> str:
    """What we hold ourselves to."""
    lines = ["| ratio | aim | measured | |", "| --- | --- | --- | --- |"]
    for name, (what, aim, side) in AIMS.items():
        above, below = name.split(" / ")
        value = f[above] / f[below]
        met = value >= aim if side == "≥" else value <= aim
        lines.append(f"| {what} | {side} {aim:g} | **{value:.2f}** | {'met' if met else 'not met'} |")
    return "\n".join(lines)


def engines(f: dict[str, float]) -> str:
    """Every engine, alone."""
    lines = [
        "| engine | sentence, s, 1 thread | 2 threads | step, ms | step 195 ÷ 10 | encode, ms | vocode, ms | SNR, dB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, shown in NAMES.items():
        if f"{name}_sentence_1t_s" in f:
            growth = f[f"{name}_step_late_s"] / f[f"{name}_step_early_s"]
            quality = f.get(f"{name}_mel_snr_db")
            said = "–" if quality is None else "exact" if quality > 200 else f"{quality:.0f}"
            lines.append(
                f"| {shown} | {f[f'{name}_sentence_1t_s']:.2f} | {f[f'{name}_sentence_2t_s']:.2f} "
                f"| {f[f'{name}_step_s'] * 1e3:.1f} | {growth:.2f} | {f[f'{name}_encode_s'] * 1e3:.0f} "
                f"| {f[f'{name}_vocode_s'] * 1e3:.0f} | {said} |"
            )
    return "\n".join(lines)


def batches(f: dict[str, float]) -> str:
    """Eight sentences in seconds."""
    shown = {
        "hf_in_turn": "`transformers`, one after the other",
        "hf_batch": "`transformers`, as a batch",
        "float32_batch": "OpenVINO, float32, as a batch",
        "int8_batch": "mixed int8, as a batch",
        "openvino_int8_batch": "OpenVINO, int8, as a batch",
    }
    lines = ["| eight sentences, s | 1 thread | 2 threads |", "| --- | --- | --- |"]
    lines += [f"| {what} | {f[f'{name}_1t_s']:.2f} | {f[f'{name}_2t_s']:.2f} |" for name, what in shown.items()]
    audio = (
        f"First audio of a stream, int8: {f['int8_first_audio_1t_s'] * 1e3:.0f} ms on one thread, "
        f"{f['int8_first_audio_2t_s'] * 1e3:.0f} ms with the sound beside the loop."
    )
    return "\n".join(lines) + "\n\n" + audio


def roof(f: dict[str, float]) -> str:
    """What bounds the two halves."""
    f32, int8, peak = f["read_float32_s"], f["read_int8_s"], f["peak_multiply_adds_per_s"]
    step = f["onnx_float32_step_s"], f["onnx_int8_step_s"]
    vocode = f["openvino_float32_vocode_s"]
    rows = (
        ("step, float32", f"{f['step_weights_float32_mb']:.0f} MB of weights", f32 * 1e3, step[0] * 1e3),
        ("step, int8", f"{f['step_weights_int8_mb']:.0f} MB of weights", int8 * 1e3, step[1] * 1e3),
        (
            "vocoder, float32",
            f"{f['vocode_multiply_adds'] / 1e9:.0f} G multiply–adds",
            f["vocode_at_peak_s"] * 1e3,
            vocode * 1e3,
        ),
    )
    table = "\n".join(f"| {n} | {w} | {least:.1f} | {took:.1f} | {took / least:.2f} |" for n, w, least, took in rows)
    slow, fast = (f[f"step_weights_{k}_mb"] / 1e3 / f[f"read_{k}_s"] for k in ("float32", "int8"))
    return f"""A decoder step reads all of its weights for one pair of frames, so memory bounds it; the vocoder is
arithmetic. One core here reads {slow:.1f} GB/s from memory, {fast:.1f} GB/s where the last cache holds a part, and does
{peak / 1e9:.0f} billion float32 multiply–adds a second in a large product.

| stage, 1 thread | work | at the roof, ms | measured, ms | ratio |
| --- | --- | --- | --- | --- |
{table}

![SpeechT5's stages under the roofs of memory and arithmetic]({PICTURE})"""


def draw(f: dict[str, float], path: Path) -> None:
    """Multiply–adds a second over multiply–adds a byte of weights, with the two roofs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    peak, fast = f["peak_multiply_adds_per_s"] / 1e9, f["step_weights_float32_mb"] / 1e3 / f["read_float32_s"]
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    x = np.geomspace(0.1, 3000, 200)
    axes.loglog(x, np.minimum(peak, fast * x), color="0.3", lw=1.5)
    axes.text(0.12, fast * 0.12 * 1.25, f"memory, {fast:.0f} GB/s", rotation=33, fontsize=8, color="0.3")
    axes.text(400, peak * 1.08, f"arithmetic, float32, {peak:.0f} G/s", fontsize=8, color="0.3", ha="center")
    size = {"float32": 1.0, "bfloat16": 0.5, "int8": 0.25}
    marks = {"step": "o", "encode": "s", "vocode": "^"}
    work = {
        "step": f["step_weights_float32_mb"] * 1e6 / 4, "encode": f["encode_multiply_adds"],
        "vocode": f["vocode_multiply_adds"],
    }  # fmt: skip
    for i, name in enumerate(
        n for n in ("onnx_float32", "onnx_int8", "openvino_float32", "openvino_bfloat16") if f"{n}_step_s" in f
    ):
        for stage, mark in marks.items():
            if name == "onnx_int8" and stage == "vocode":
                continue  # its vocoder is the float32 one
            stored = f[f"{stage}_weights_float32_mb"] * 1e6 * size[name.split("_")[1]]
            axes.plot(
                work[stage] / stored, work[stage] / f[f"{name}_{stage}_s"] / 1e9, mark, color=f"C{i}",
                label=f"{stage}: {NAMES[name]}",
            )  # fmt: skip
    axes.set(xlabel="multiply–adds a byte of weights", ylabel="billion multiply–adds a second")
    axes.legend(fontsize=6.5, loc="lower right", ncols=2)
    axes.grid(alpha=0.3, which="both", lw=0.4)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(sys.argv[1])
