"""A page for listeners: held-out sentences said by the teacher, the voice, hibari-tts by itself, and flite.

    python recipes/voice/listen.py --corpus corpus-heart --out sounds [--count 8] [--voice FOLDER]
    portavoz listen sounds/teacher sounds/voice sounds/hibari sounds/flite --test mos -o listen.html

The teacher reads what our front end wrote; hibari-tts has one of its own. flite is left out where it is not installed.
Needs hibari-tts.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from shutil import copy, which

import numpy as np

import portavoz
from portavoz.audio.files import write
from portavoz.flow import Wave
from portavoz.train.data.corpus import index

RATE = 24_000


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("corpus-heart"), help="what neural.py made")
    parser.add_argument("--out", type=Path, default=Path("sounds"))
    parser.add_argument("--voice", type=Path)
    parser.add_argument("--count", type=int, default=8)
    options = parser.parse_args()
    from hibari import Hibari  # pyright: ignore[reportMissingImports] (an environment for the recipe has it)

    voice, hibari = portavoz.load(options.voice), Hibari()
    for name in ("teacher", "voice", "hibari", *(["flite"] if which("flite") else [])):
        (options.out / name).mkdir(parents=True, exist_ok=True)
    rows = [row for row in index(options.corpus) if row["split"] == "held_out"][: options.count]
    for row in rows:
        file, text = f"{row['id']}.wav", str(row["text"])
        copy(options.corpus / str(row["wav"]), options.out / "teacher" / file)
        voice.speak(text).save(options.out / "voice" / file)
        write(options.out / "hibari" / file, Wave(np.asarray(hibari(text), np.float32), RATE))
        if which("flite"):
            subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", options.out / "flite" / file], check=True)


if __name__ == "__main__":
    main()
