"""The natural voice's folder, of a training's result.

python recipes/voice/heart.py runs/heart/source_filter.safetensors OUT
"""

from __future__ import annotations

import argparse
from pathlib import Path

from portavoz.train.voice.bundle import bundle

CARD = {
    "summary": "One synthetic American woman, distilled from a freely licensed neural teacher.",
    "teachers": {"heart": "hibari-tts 0.2.1, itself a student of Kokoro-82M's af_heart"},
    "texts": "example sentences of WordNet 3.0; made ones: questions, exclamations, lists, dialogue, numbers",
    "licences": {
        "this voice": "Apache-2.0",
        "heart": "hibari-tts and Kokoro-82M: Apache-2.0",
        "texts": "WordNet-3.0 (Princeton University)",
    },
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    print(bundle([options.weights], options.out, name="heart", speakers=["heart"], card=CARD))


if __name__ == "__main__":
    main()
