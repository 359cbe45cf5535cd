"""Joins the trained halves into the voice folder that ships, with its card.

    python recipes/voice/bundle.py runs/two/acoustic.safetensors runs/two-tune/vocoder.safetensors OUT
        [--report slt.json rms.json] [--minutes 75]

The reports are what evaluate.py wrote, one for each speaker in their order: their figures go on the card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from portavoz.train.bundle import bundle, trained
from portavoz.train.corpus import Corpus

NAME = "slt"
CARD: dict[str, Any] = {
    "summary": "Two synthetic English speakers, distilled from freely licensed engines: no real speech was available.",
    "teachers": {
        "slt": "festival's voice_cmu_us_slt_arctic_hts (HMM speech synthesis, 32 kHz)",
        "rms": "flite's cmu_us_rms (clustergen, 16 kHz; the band above 7.6 kHz was filled up)",
    },
    "texts": "example sentences of WordNet 3.0, and made ones with numbers, dates and questions",
    "licences": {
        "this voice": "Apache-2.0, with the notices of its teachers kept (THIRD_PARTY.md)",
        "slt": "EST-2003 and BSD-3-Clause (Carnegie Mellon University, Nagoya Institute of Technology)",
        "rms": "flite's, a permissive one (Carnegie Mellon University)",
        "texts": "WordNet-3.0 (Princeton University)",
    },
    "limits": "Each sounds like its teacher: clear and robotic. English only, no emotions.",
}


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
        "figures": {name: figures(report) for name, report in zip(corpus.speakers, options.report)},
    }
    halves = [options.acoustic, options.vocoder]
    print(bundle(halves, options.out, name=NAME, speakers=corpus.speakers, card=card))


if __name__ == "__main__":
    main()
