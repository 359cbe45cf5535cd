"""Mutated ONNX files in a process of its own, which a fault in native code may end: prints how many cases ended how.

python onnx_child.py GRAPH FOLDER SEED COUNT
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import fuzzing
import mutation
import numpy as np

from portavoz.families.spec import Input, StageSpec
from portavoz.graph.declared import DeclaredSession

SPEC = StageSpec(
    "encode",
    {"ids": Input("batch symbols", np.zeros((1, 5), np.int64)), "speaker": Input("batch", np.zeros(1, np.int64))},
    {"memory": "batch symbols", "log_durations": "batch symbols"},
    lambda w, c: lambda x: x,
)


def main(graph: str, folder: str, seed: str, count: str) -> None:
    content, path = Path(graph).read_bytes(), Path(folder) / "g.onnx"
    seen = {"accepted": 0, "refused": 0}
    for number in range(int(count)):
        path.write_bytes(mutation.of_bytes(content, random.Random(f"{seed}/{number}")))
        inputs = {"ids": np.ones((1, 5), np.int64), "speaker": np.zeros(1, np.int64)}
        found = fuzzing.outcome(lambda inputs=inputs: DeclaredSession(path, SPEC).run(**inputs), limited=False)
        seen[found] = seen.get(found, 0) + 1
        print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
