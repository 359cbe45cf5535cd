"""Joins the trained halves into the voice folder that ships, with its card.

    python recipes/voice/bundle.py runs/two/acoustic.safetensors runs/two-tune/vocoder.safetensors OUT
        [--report rms.json slt.json] [--minutes 75]

The voice has its speakers in an order of its own, whatever that of the corpus was. The reports are what evaluate.py
wrote, one for each speaker, and say themselves of whom: their figures go on the card.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portavoz.train.data.corpus import Corpus
from portavoz.train.tasks import initialization
from portavoz.train.tasks.pretrained import trained
from portavoz.train.voice.bundle import bundle
from portavoz.weights import file

NAME = "arctic"  # both teachers are voices of CMU ARCTIC
SPEAKERS = ("rms", "slt")  # the first speaks where none is named: rms, whom the judge understands better
CARD: dict[str, Any] = {
    "summary": "Two synthetic English speakers, distilled from freely licensed engines: no real speech was available.",
    "teachers": {
        "rms": "flite's cmu_us_rms (clustergen, 16 kHz; the band above 7.6 kHz was filled up)",
        "slt": "festival's voice_cmu_us_slt_arctic_hts (HMM speech synthesis, 32 kHz)",
    },
    "texts": "example sentences of WordNet 3.0, and made ones with numbers, dates and questions",
    "licences": {
        "this voice": "Apache-2.0, with the notices of its teachers kept (THIRD_PARTY.md)",
        "rms": "flite's, a permissive one (Carnegie Mellon University)",
        "slt": "EST-2003 and BSD-3-Clause (Carnegie Mellon University, Nagoya Institute of Technology)",
        "texts": "WordNet-3.0 (Princeton University)",
    },
    "limits": "Each sounds like its teacher: clear and robotic. English only, no emotions.",
}


def reordered(half: Path, speakers: Sequence[str], out: Path) -> Path:
    """The acoustic half, written to `out` with its speakers in another order; SystemExit where they are others."""
    tensors, metadata = file.read(half)
    known = json.loads(metadata.get("speakers", "[]"))
    if sorted(known) != sorted(speakers):
        raise SystemExit(f"{half}: has the speakers {', '.join(known) or 'of no name'}, wanted {', '.join(speakers)}")
    tensors[initialization.SPEAKERS] = initialization.table(tensors[initialization.SPEAKERS], known, speakers)
    file.write(out, tensors, {**metadata, "speakers": json.dumps(speakers)})
    return out


def reported(paths: Sequence[Path], speakers: Sequence[str]) -> dict[str, Any]:
    """The figures by speaker, in the voice's order; evaluate.py ends a report's `voice` with the speaker's name."""
    found = {json.loads(path.read_text())["voice"].rpartition(", ")[2]: path for path in paths}
    if len(found) < len(paths) or not {*found} <= {*speakers}:
        raise SystemExit(f"the reports are of {', '.join(found)}; wanted at most one of each of {', '.join(speakers)}")
    return {name: figures(found[name]) for name in speakers if name in found}


def figures(path: Path) -> dict[str, Any]:
    """The rates and measurements of a report, without the sentences that were misheard."""
    report = json.loads(path.read_text())
    rates = ("sentences", "words", "teacher", "voice", "difference", "low", "high")
    modes = {mode: {k: round(found[k], 4) for k in rates} for mode, found in report["modes"].items()}
    signals = {name: {k: round(found[k], 4) for k in ("teacher", "voice")} for name, found in report["signals"].items()}
    ratio = round(report["duration_ratio"], 4)
    return {"judge": report["judge"], "word errors": modes, "signals": signals, "duration_ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description="Bundle trained halves into a voice folder.")
    parser.add_argument("acoustic", type=Path)
    parser.add_argument("vocoder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--corpus", type=Path, default=Path("corpus-two"))
    parser.add_argument("--report", type=Path, nargs="+", default=[], help="what evaluate.py wrote, for the card")
    parser.add_argument("--minutes", type=float, help="how long the trainings took")
    options = parser.parse_args()
    tensors, config = trained(options.acoustic)
    corpus = Corpus(options.corpus, config.mel)
    frames = sum(u.frames.stop - u.frames.start for u in corpus.split("train"))
    card = {
        **CARD,
        "hours": round(frames * config.mel.hop / config.mel.rate / 3600, 2),
        "parameters": sum(a.size for half in (tensors, trained(options.vocoder)[0]) for a in half.values()),
        "training_minutes": options.minutes,
        "figures": reported(options.report, SPEAKERS),
    }
    with tempfile.TemporaryDirectory() as folder:
        acoustic = reordered(options.acoustic, SPEAKERS, Path(folder) / options.acoustic.name)
        print(bundle([acoustic, options.vocoder], options.out, name=NAME, speakers=SPEAKERS, card=card))


if __name__ == "__main__":
    main()
