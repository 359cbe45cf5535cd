"""Measure what the models share and write docs/reuse.md: ``python bench/reuse_page.py`` (``--check``: only compare).

Each model is built and says something under a tracer, so a line counts when it ran, not when somebody imported it.
"""

from __future__ import annotations

import dis
import importlib.util
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from portavoz import ops
from portavoz.families.compact import loop as compact
from portavoz.families.compact.config import CompactConfig, HifiConfig
from portavoz.families.speecht5 import loop as speecht5
from portavoz.families.speecht5 import stages as speecht5_stages
from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.validation import StoppingCriteria
from portavoz.ops.base import COMPOSITE_OPS, LEAF_OPS, STRUCTURAL_OPS
from portavoz.ops.profiler import Profiler
from portavoz.weights.cursor import Weights

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reuse.md"
BLOCKS = ROOT / "src" / "portavoz" / "blocks"
SILENT = {"RESUME", "COPY_FREE_VARS", "MAKE_CELL", "RETURN_GENERATOR", "POP_TOP", "GEN_START"}  # before a body begins
Lines = set[tuple[str, int]]


def say_compact(watch: Profiler) -> None:
    """Text to wave with either of the family's vocoders."""
    for config in (CompactConfig(hidden=32, inner=32), CompactConfig(hidden=32, inner=32, **_hifi())):
        model = compact.Compact(compact.Eager(Weights.fresh(watch), config), config)
        list(model.synthesize(("^", "HH", "AH0", "L", "OW1", "."), adjust=lambda _, d: np.full(len(d), 3)).waves)


def _hifi() -> dict[str, Any]:
    return {"vocoder": "hifigan", "hifigan": HifiConfig(channels=32)}


def say_speecht5(watch: Profiler) -> None:
    """A batch of two padded texts with the attention shown, then one piece by piece."""
    model = speecht5.SpeechT5(speecht5_stages.Eager(Weights.fresh(watch), Weights.fresh(watch, 1), TINY), TINY)
    speaker = np.ones(TINY.speaker_embedding_dim, np.float32)
    stop = StoppingCriteria(threshold=9.0, maxlenratio=2.0)
    model.generate([[4, 5, 6, 7, 2], [4, 5, 2]], speaker, stop=stop, attention=True)
    list(model.synthesize([4, 5, 6, 7, 2], speaker, stop=stop).waves)


def say_t5(watch: Profiler) -> None:
    """A padded batch, greedily, with the T5 of docs/porting.md."""
    spec = importlib.util.spec_from_file_location("t5", ROOT / "tests" / "support" / "t5.py")
    assert spec is not None and spec.loader is not None
    t5 = sys.modules["t5"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(t5)
    sizes = {"vocab_size": 31, "d_model": 24, "num_heads": 3, "d_kv": 8, "d_ff": 40}
    config = t5.T5Config(**sizes, num_layers=2, num_decoder_layers=2, feed_forward_proj="gated-gelu")
    model = t5.T5(Weights.fresh(watch), config)
    t5.generate(model, np.arange(14).reshape(2, 7) + 2, np.arange(7) < np.array([[7], [4]]), steps=5)


MODELS: dict[str, Callable[[Profiler], None]] = {"compact": say_compact, "SpeechT5": say_speecht5, "T5": say_t5}


def bodies(code: CodeType) -> Iterator[int]:
    """The lines of function bodies in a code object; what an import alone runs (module, class) is left out."""
    if code.co_flags & 1:  # CO_OPTIMIZED: a function's
        line = None
        for at in dis.get_instructions(code):
            # From Python 3.13 on `starts_line` is a truth value and `line_number` the number.
            line = getattr(at, "line_number", at.starts_line) or line
            if line is not None and at.opname not in SILENT and line != code.co_firstlineno:
                yield line
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from bodies(inner)


def executable() -> Lines:
    """Every line of a function in blocks/."""
    files = [path for path in sorted(BLOCKS.glob("*.py")) if path.stat().st_size]
    return {
        (path.name, line)
        for path in files
        for line in bodies(compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True))
    }


def reached(say: Callable[[Profiler], None]) -> tuple[Lines, set[str]]:
    """The lines of blocks/ and the ops that a model runs, while it is built and while it speaks."""
    seen: Lines = set()
    folder, watch = str(BLOCKS), Profiler(ops.open("torch"))

    def within(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            seen.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
        return within

    def tracer(frame: FrameType, event: str, _: Any) -> Any:
        return within if frame.f_code.co_filename.startswith(folder) else None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        say(watch)
    finally:
        sys.settrace(before)
    return seen, set(watch.total.ops)


def page() -> str:
    """docs/reuse.md as it must be now."""
    every, found = executable(), {name: reached(say) for name, say in MODELS.items()}
    lines = {name: part[0] & every for name, part in found.items()}
    words = {name: part[1] for name, part in found.items()}
    files = sorted({name for name, _ in every})
    rows = [_row(f"`{name}`", {at for at in every if at[0] == name}, lines) for name in files]
    both, three = words["compact"] & words["SpeechT5"], set.intersection(*words.values())
    known = {*LEAF_OPS, *STRUCTURAL_OPS, *COMPOSITE_OPS}
    total = lines["compact"] & lines["SpeechT5"]
    shared = lines["SpeechT5"] & (lines["compact"] | lines["T5"])
    text = TEXT.format(
        rows="\n".join([*rows, _row("**all**", every, lines)]),
        count=len(known),
        both=len(both),
        used=", ".join(f"{name} {len(part)}" for name, part in words.items()),
        both_words=_words(both),
        three=len(three),
        three_words=_words(three),
        own=", ".join(f"{name}: {_words(part - both) or 'none'}" for name, part in words.items() if name != "T5"),
        nobody=_words(known - set.union(*words.values())),
        lines=len(total),
        compact=_share(total, lines["compact"]),
        speecht5=_share(total, lines["SpeechT5"]),
        anyone=_share(shared, lines["SpeechT5"]),
    )
    parts = (part if part[0] in "#|" else textwrap.fill(part, 120) for part in text.strip().split("\n\n"))
    return "\n\n".join(parts) + "\n"


def _row(name: str, every: Lines, lines: dict[str, Lines]) -> str:
    own = {model: part & every for model, part in lines.items()}
    counts = [len(every), *(len(part) for part in own.values())]
    both = len(own["compact"] & own["SpeechT5"])
    return f"| {name} | {' | '.join(map(str, counts))} | {both} | {len(set.intersection(*own.values()))} |"


def _words(words: set[str]) -> str:
    return " ".join(f"`{word}`" for word in sorted(words))


def _share(part: Lines, whole: Lines) -> str:
    return f"{len(part) / len(whole):.0%}".replace("%", " %")


TEXT = """# Code shared between models

`ops` has the operations that a model may use, and `blocks/` layers for more than one model. This page shows how much of
either the models share. It is generated by `python bench/reuse_page.py`, which builds each model, runs it under a
tracer, and counts a line when it ran: the compact family with both of its mel vocoders; SpeechT5 with a padded batch,
with its attention weights, and as a stream; and the T5 of [Port a model](porting.md), which is not a family but shows
what a third model can reuse.

## Ops

Of the {count} ops, the models use: {used}. Both families use {both}: {both_words}.

All three models use {three}: {three_words}.

What only one family uses: {own}.

None of the three uses at inference: {nobody}. Of these `istft` and `stft` are used in training; other families use the
rest.

## Lines of `blocks/`

Lines inside functions; what an import alone runs does not count.

| file | lines | compact | SpeechT5 | T5 | both families | all three |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

Both families run {lines} lines: {compact} of what compact runs there, {speecht5} of what SpeechT5 does. Of SpeechT5's
lines, {anyone} are also run by compact or T5; what is left makes keys for distances, cuts
the vocoder's windows from part to part, and shows the attention's weights.
"""


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
        print("docs/reuse.md is up to date" if same else "docs/reuse.md is old: run python bench/reuse_page.py")
        sys.exit(0 if same else 1)
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
