"""Faults of SpeechT5, planted in our port of it; `transformers` is the reference."""

from __future__ import annotations

from .faults_structure import FORMULAS, GLUE
from .faults_weights import WEIGHTS

FAULTS = [*WEIGHTS, *GLUE, *FORMULAS]
