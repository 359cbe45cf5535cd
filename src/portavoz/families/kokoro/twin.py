"""A Kokoro file as a reference: its graph, widened, and our blocks with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...flow import Noise
from ..graph_file import open_graph
from ..own_graph import spoken
from ..spec import Arrays, GraphTwin
from ..surgery import draw
from . import names
from .checkpoint import home
from .config import NUMBERS, KokoroConfig
from .eager import Eager
from .rewrite import rewrite
from .styles import Styles, style
from .widen import widen

NAMES = ("result", "result.1")  # as the lab calls a graph's outputs
# Spoken: the graph's nodes are computed one by one in NumPy, and a second of sound takes minutes.
PHONEMES, FRAMES = "nˈImɑn", (1, 1, 1, 2, 1, 2, 1, 1)
NOISE = 1 << 14


def twin(path: Path, seed: int = 0) -> GraphTwin:
    """A graph and our blocks, with a few phonemes of a real style. Raises WeightError for a file without paths."""
    model = open_graph(path)
    rewrite(model, KokoroConfig(), path)
    draws = tuple(value.name for value in model.graph.input if value.name.startswith("noise."))
    widen(model, path)
    found = names.tensors(model, path)
    shape = names.sizes(model, found)
    given = inputs(path, draws, seed)
    return GraphTwin(model, given, found, lambda w, given, edit: spoken(Eager(w, shape, names=NAMES), given, edit))


def inputs(path: Path, draws: tuple[str, ...], seed: int) -> Arrays:
    """Phonemes in a style of the folder's, which `seed` chooses, and noise."""
    styles = Styles(home(path))
    known = list(styles)
    ids = [0, *(NUMBERS[letter] for letter in PHONEMES), 0]
    return {
        "tokens": np.array([ids], np.int64),
        "style": style(known[seed % len(known)], styles).row(len(PHONEMES)),
        "speed": np.ones(1, np.float32),
        "given": np.array(FRAMES, np.int64),
        **draw(Noise(seed), draws, NOISE),
    }
