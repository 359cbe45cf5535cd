"""A Piper file as a reference: its graph with the weights under their paths, and our blocks with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..graph_file import open_graph
from ..own_graph import spoken
from ..spec import Arrays, GraphTwin
from .checkpoint import beside
from .config import BEGIN, END, PAD, read
from .eager import Eager
from .names import rename, sizes, tensors
from .rewrite import LENGTHS, PRIOR, rewrite

NAMES = ("result", "result.1")  # as the lab calls a graph's outputs
PHONEMES = 4  # that are spoken: the graph's nodes are computed one by one in NumPy, a second takes minutes


def twin(path: Path, seed: int = 0) -> GraphTwin:
    """A graph and our blocks, with a few phonemes and drawn noise as inputs. Raises WeightError for a rounded file."""
    c, model = read(beside(path)), open_graph(path)
    found = tensors(model, path)
    shape = sizes(model, found, path)
    rewrite(model, c, path)
    rename(model)
    return GraphTwin(
        model, inputs(c.ids, seed), found, lambda w, given, edit: spoken(Eager(w, shape, names=NAMES), given, edit)
    )


def inputs(ids: Any, seed: int) -> Arrays:
    """Phonemes of the voice and noise."""
    draw = np.random.default_rng(seed)
    known = [many[0] for one, many in ids.items() if one not in (PAD, BEGIN, END)]
    spoken = [n for one in draw.choice(known, PHONEMES) for n in (int(one), ids[PAD][0])]
    row = np.array([[ids[BEGIN][0], ids[PAD][0], *spoken, ids[END][0]]], np.int64)
    return {
        "input": row,
        "input_lengths": np.array([row.shape[1]], np.int64),
        "scales": np.array([0.667, 0.5, 0.8], np.float32),
        "sid": np.zeros(1, np.int64),
        "given": np.full(1, -1, np.float32),
        LENGTHS: draw.standard_normal(2 * row.shape[1]).astype(np.float32),
        PRIOR: draw.standard_normal(8192).astype(np.float32),
    }
