"""The voice folder of a training's result, with its card.

    python recipes/voice/heart.py runs/heart/source_filter.safetensors OUT [--report heart=judged.json …]

A report is what ``portavoz evaluate OUT --speaker NAME --text held-out.txt --asr whisper --mos distillmos --json FILE``
wrote: the figures of that speaker (and of the teacher, with ``--corpus``, which has recordings) go on the card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from portavoz.train.tasks.pretrained import trained
from portavoz.train.voice.bundle import bundle

NAME = "heart"
KOKORO = "hibari-tts 0.2.1's spectra with durations, F0, loudness and envelopes of Kokoro-82M's"
TEACHERS = {
    NAME: "hibari-tts 0.2.1, itself a student of Kokoro-82M's af_heart",
    "bella": f"{KOKORO} af_bella",
    "eric": f"{KOKORO} am_eric, a semitone higher",
    "michael": f"{KOKORO} am_michael, three semitones higher, a quarter of the envelopes",
}
CARD: dict[str, Any] = {
    "summary": "Four synthetic Americans, two women and two men, distilled from freely licensed neural teachers.",
    "teachers": TEACHERS,
    "texts": "example sentences of WordNet 3.0; made ones: questions, exclamations, lists, dialogue, numbers",
    "licences": {
        "this voice": "Apache-2.0",
        **dict.fromkeys(TEACHERS, "hibari-tts and Kokoro-82M: Apache-2.0"),
        "texts": "WordNet-3.0 (Princeton University)",
    },
    "limits": "English only, four speakers, no emotions.",
    "hours": {NAME: 12.1, "bella": 1.2, "eric": 1.0, "michael": 0.8},
}
FIGURES = {"mos_estimate": "naturalness", "word_error": "word errors"}


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """Naturalness beside understanding, each with its 95 % interval. SystemExit where either was not measured."""
    columns = {column["kind"]: column["figures"] for column in report["columns"]}
    absent = [key for key in FIGURES if key not in columns["voice"]]
    if absent:
        raise SystemExit(f"the report has no {', '.join(absent)}: run evaluate with --asr whisper --mos distillmos")
    found: dict[str, Any] = {
        "sentences": len(report["sentences"]), "judge": report["judge"], "mos model": report["mos_model"]["name"],
    }  # fmt: skip
    for key, name in FIGURES.items():
        voice = columns["voice"][key]
        found[name] = {
            "voice": round(voice["value"], 4),
            "low": round(voice["low"], 4),
            "high": round(voice["high"], 4),
        }
        if key in columns.get("recording", {}):
            found[name]["teacher"] = round(columns["recording"][key]["value"], 4)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--report", action="append", default=[], metavar="SPEAKER=FILE", help="what evaluate wrote")
    parser.add_argument("--contrast", type=float, default=0.2, help="of the spectra; 0: as they were trained")
    parser.add_argument("--minutes", type=float, help="how many processor minutes the training took")
    options = parser.parse_args()
    card = {**CARD, "parameters": sum(a.size for a in trained(options.weights)[0].values())}
    if options.minutes is not None:
        card["training_minutes"] = options.minutes
    reports = [report.partition("=")[::2] for report in options.report]
    if reports:
        card["figures"] = {who: figures(json.loads(Path(file).read_text(encoding="utf-8"))) for who, file in reports}
    card["contrast"] = options.contrast
    made = bundle(
        [options.weights], options.out, name=NAME, speakers=list(TEACHERS), card=card, contrast=options.contrast
    )
    print(made)


if __name__ == "__main__":
    main()
