"""Texts for a voice, and when two speeches are one."""

from __future__ import annotations

import numpy as np

import portavoz

TEXT = "Dr. Smith paid $3.50, and left. Why did she go? Nobody knows!\n\nA second paragraph, with a (bracketed) word."

SHORT = "Good morning, everyone."


def same(a: portavoz.Speech, b: portavoz.Speech) -> bool:
    return a.samples.shape == b.samples.shape and bool(np.array_equal(a.samples, b.samples)) and a.words == b.words
