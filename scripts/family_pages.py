"""Write docs/families/*.md: what each family is made of, counted and timed on this machine, with its pictures.

    python scripts/family_pages.py

Parameters, shapes, words and multiply–adds are the same everywhere; the share of time is this machine's.
"""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from portavoz import ops
from portavoz.inspect import model_summary
from portavoz.ops.profiler import Profiler
from portavoz.ops.timing import Timing

DOCS = Path(__file__).resolve().parent.parent / "docs"


class Page(NamedTuple):
    """What a family's page says besides its numbers: title, configuration, lengths, components, flow, words."""

    title: str
    config: str
    lengths: dict[str, int]
    components: dict[str, str]  # name → pattern of paths, searched in this order
    flow: list[tuple[str, str]]  # what travels, and the stage that takes it
    text: str
    end: str = ""


PAGES = {
    "compact": Page(
        "The compact family",
        "production",
        {"symbols": 64, "frames": 384},
        {
            "text encoder": r"^acoustic\.encoder",
            "duration predictor": r"^acoustic\.durations",
            "mel decoder": r"^acoustic",
            "vocoder": r"^vocoder",
        },
        [("ids", "encode"), ("memory, durations", "regulate"), ("memory by frame", "decode"), ("mel", "vocode"),
         ("spectrum", "istft"), ("wave", "")],
        "Text to mel in one pass, in the manner of FastSpeech (arXiv:1905.09263): each symbol's memory is repeated for "
        "as many frames as the duration predictor says, then a decoder of the same layers makes the mel. The vocoder "
        "stays at the frame rate and ends in an inverse Fourier transform (Vocos, arXiv:2306.00814).",
    ),
    "speecht5": Page(
        "The SpeechT5 family",
        "base",
        {"symbols": 60, "steps": 200},
        {
            "text pre-net": r"^speecht5\.encoder\.prenet",
            "encoder": r"^speecht5\.encoder",
            "decoder pre-net": r"^speecht5\.decoder\.prenet",
            "decoder": r"^speecht5\.decoder|^$",  # the root makes the caches
            "frame and stop heads": r"^speech_decoder_postnet(\.feat_out|\.prob_out|$)",
            "post-net": r"^speech_decoder_postnet",
            "vocoder": r"^vocoder",
        },
        [("ids", "encode"), ("memory", "step (a loop)"), ("frames, stop", "postnet"), ("mel", "vocode"), ("wave", "")],
        "An encoder reads the letters; a decoder makes two frames a step, hears the second of them in the next step, "
        "and says when it is done (arXiv:2110.07205). The pre-net drops out while it speaks: its masks are inputs. "
        "A post-net corrects the whole mel, HiFi-GAN (arXiv:2010.05646) makes the wave.",
        "\n## Where the decoder looks\n\n![Cross-attention of a run](../img/speecht5-attention.png)\n\n"
        "Cross-attention weights, mean over heads, of each decoder layer over the steps of one run. The weights of "
        "this model are random (the configuration `tiny`, drawn from a seed), so no diagonal can be expected; "
        "`SpeechT5.generate(…, look=True)` gives the same numbers for a trained checkpoint.\n",
    ),
}  # fmt: skip


def survey(name: str) -> tuple[dict[str, dict[str, Any]], float]:
    """The components' sums, and the seconds of one utterance."""
    page = PAGES[name]
    config = model_summary.family(name).configs[page.config]
    torch = ops.open(ops.preferred())
    timed = model_summary.visit(name, config, lambda: Timing(torch), lengths=page.lengths, times=2)
    counted = model_summary.visit(name, config, lambda: Profiler(torch), lengths=page.lengths)
    sums = {key: dict[str, Any](words=Counter(), macs=0, bytes=0, parameters=0) for key in page.components}
    for prefix in timed:
        counting: Profiler = counted[prefix][0]
        for path in {**counting.weights, **counting.paths}:
            part = sums[_component(page, model_summary.full(prefix, path))]
            for count in (counting.weights.get(path), counting.paths.get(path)):
                if count:
                    part["words"] += count.words
                    part["macs"] += count.multiply_adds
                    part["bytes"] += count.weight_bytes + count.activation_bytes
                    part["parameters"] += count.parameters
    seconds = _own_seconds(timed)
    for path, own in seconds.items():
        part = sums[_component(page, path)]
        part["seconds"] = part.get("seconds", 0.0) + own
    return sums, sum(seconds.values())


def _component(page: Page, path: str) -> str:
    for key, pattern in page.components.items():
        if re.search(pattern, path):
            return key
    return next(iter(page.components)) if not path else list(page.components)[-1]


def _own_seconds(timed: dict[str, tuple[Any, Any]]) -> dict[str, float]:
    """Seconds spent at each path itself, what is below it taken away."""
    own: dict[str, float] = {}
    for prefix, (watch, _) in timed.items():
        for path, seconds in watch.seconds.items():
            below = [p for p in watch.seconds if p != path and (p.startswith(path + ".") or not path)]
            nearest = [p for p in below if not any(p.startswith(q + ".") for q in below if q != p)]
            own[model_summary.full(prefix, path)] = max(0.0, seconds - sum(watch.seconds[p] for p in nearest))
    return own


def write(name: str) -> None:
    """One family's page."""
    page, family = PAGES[name], model_summary.family(name)
    rows = model_summary.tree(name, family.configs[page.config], lengths=page.lengths)
    sums, seconds = survey(name)
    lengths = ", ".join(f"{n} {what}" for what, n in page.lengths.items())
    lines = [
        f"# {page.title}\n",
        page.text + "\n",
        f"This page is made by `python scripts/family_pages.py`; `portavoz show {name}` prints the tree. "
        f"Configuration `{page.config}`, one utterance of {lengths}, float32; time: eager PyTorch on {_machine()}, "
        f"{seconds:.2f} s in all (the second of two utterances).\n",
        f"![The way of the data](../img/{name}-flow.svg)\n",
        "## Stages\n",
        "| stage | takes | makes |\n| --- | --- | --- |",
        *(f"| `{s['name']}` | {', '.join(s['inputs'])} | {', '.join(s['outputs'])} |" for s in family.stages),
        "\n## Components\n",
        "| component | parameters | multiply–adds | MB of weights and activations | share of time | words |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for key, part in sums.items():
        words = ", ".join(f"{word} {n:,}" for word, n in part["words"].most_common(5))
        share = part.get("seconds", 0.0) / seconds
        size = f"{part['bytes'] / 1e6:,.1f}"
        lines.append(f"| {key} | {part['parameters']:,} | {part['macs']:,} | {size} | {share:.1%} | {words} |")
    whole = {key: sum(part[key] for part in sums.values()) for key in ("parameters", "macs", "bytes")}
    lines.append(f"| all | {whole['parameters']:,} | {whole['macs']:,} | {whole['bytes'] / 1e6:,.1f} | 100 % | |")
    lines += [
        "\nWords are counted by call, the five most frequent of each component.\n",
        "## Tree\n",
        "A `*` stands for the numbers of twins, which are added up; shapes are those of the first call of the first "
        "twin, so a step's are those of one step.\n",
        "| path | twins | takes | makes | parameters | multiply–adds |",
        "| --- | ---: | --- | --- | ---: | ---: |",
        *map(_row, rows),
        page.end,
    ]
    target = DOCS / "families" / f"{name}.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines), encoding="utf-8")
    _flow(page, DOCS / "img" / f"{name}-flow.svg")


def _row(row: dict[str, Any]) -> str:
    takes, makes = (model_summary.brief(row[key]) for key in ("takes", "makes"))
    path, sums = row["path"] or "(the model)", f"{row['parameters']:,} | {row['multiply_adds']:,}"
    return f"| `{path}` | {row['twins']} | {takes} | {makes} | {sums} |"


def _machine() -> str:
    from portavoz.inspect import system_info

    return f"{system_info.system()['processor']}, {system_info.system()['cores']} cores, {platform.system()}"


def _flow(page: Page, path: Path) -> None:
    """Stages as boxes, what travels between them on the arrows."""
    step, height, parts = 190, 96, []
    for i, (what, stage) in enumerate(page.flow):
        x = 20 + i * step
        parts.append(f'<text x="{x + 38}" y="20" class="w">{what}</text>')
        parts.append(f'<path d="M{x} 52 H{x + 76}" class="a"/>')
        if stage:
            parts.append(f'<rect x="{x + 82}" y="30" width="102" height="44" rx="6" class="b"/>')
            parts.append(f'<text x="{x + 133}" y="56" class="s">{stage}</text>')
    width = 20 + (len(page.flow) - 1) * step + 110
    style = (
        ".w{font:12px sans-serif;text-anchor:middle;fill:#1f3044}.s{font:bold 12px sans-serif;text-anchor:middle;"
        "fill:#1f3044}.b{fill:#eef2f6;stroke:#1f3044}.a{stroke:#1f3044;fill:none;marker-end:url(#m)}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    marker = '<marker id="m" orient="auto" markerWidth="8" markerHeight="8" refX="6" refY="3"><path d="M0 0L6 3L0 6z"/>'
    path.write_text(f"{head}<style>{style}</style><defs>{marker}</marker></defs>{''.join(parts)}</svg>\n", "utf-8")


def attention() -> None:
    """The picture of cross-attention, from a run of the smallest model with drawn weights."""
    import numpy as np

    from portavoz.audio import plot
    from portavoz.families.speecht5.config import TINY
    from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria
    from portavoz.families.speecht5.stages import Eager
    from portavoz.weights.cursor import Weights

    words = ops.open("numpy")
    stages = Eager(Weights.fresh(words, 3), Weights.fresh(words, 4), TINY)
    ids = np.random.default_rng(0).integers(3, TINY.vocab_size, 24)
    stop = StoppingCriteria(threshold=9.0, maxlenratio=4.0)
    said = SpeechT5(stages, TINY).generate([ids], np.ones(TINY.speaker_embedding_dim, np.float32), stop=stop, look=True)
    weights = said[0].alignment
    assert weights is not None
    figure = plot.plot_attention(weights.mean(1), title="cross-attention of a model with random weights")
    plot.save(figure, DOCS / "img" / "speecht5-attention.png")


JOBS: list[Callable[[], None]] = [lambda: write("compact"), lambda: write("speecht5"), attention]

if __name__ == "__main__":
    for job in JOBS:
        job()
