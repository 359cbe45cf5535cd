"""The compact family's faults: in its weights, in the glue between its layers, in its formulas."""

from __future__ import annotations

from .faults_structure import FORMULAS, GLUE
from .faults_weights import WEIGHTS

FAULTS = [*WEIGHTS, *GLUE, *FORMULAS]
