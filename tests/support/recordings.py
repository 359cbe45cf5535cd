"""Sounds and labels of a corpus, as people have them."""

from __future__ import annotations

import numpy as np

from portavoz.audio.files import write
from portavoz.flow import Wave

RATE = 22050


def tone(path, seconds=1.0, *, rate=RATE, level=0.3, silence=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    quiet = np.zeros(int(silence * rate), np.float32)
    wave = level * np.sin(np.arange(int(seconds * rate)) * 0.05).astype(np.float32)
    write(path, Wave(np.concatenate([quiet, wave, quiet]), rate))


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.0
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.0
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.4
            text = "see"
        intervals [3]:
            xmin = 0.4
            xmax = 0.8
            text = "me"
        intervals [4]:
            xmin = 0.8
            xmax = 1.0
            text = ""
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.0
        intervals: size = 6
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = "sil"
        intervals [2]:
            xmin = 0.1
            xmax = 0.2
            text = "S"
        intervals [3]:
            xmin = 0.2
            xmax = 0.4
            text = "IY1"
        intervals [4]:
            xmin = 0.4
            xmax = 0.5
            text = "M"
        intervals [5]:
            xmin = 0.5
            xmax = 0.8
            text = "IY1"
        intervals [6]:
            xmin = 0.8
            xmax = 1.0
            text = "sp"
"""
