"""portavoz: text to speech, each model written once and proven layer by layer.

>>> import portavoz
>>> speech = portavoz.load().speak("Hello from a voice that came with the package.")
>>> speech.save("hello.wav")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .deadline import time_limit
    from .speech import Phoneme, Speech, Word
    from .voice import Voice, load

# ONNX Runtime (1.31) writes an identifier and a database, and may send events, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["Phoneme", "Speech", "Voice", "Word", "__version__", "load", "time_limit"]


def __getattr__(name: str) -> Any:
    # Importing portavoz costs nothing; NumPy comes with the first thing that needs it.
    if name == "time_limit":
        from . import deadline

        return deadline.time_limit
    if name in __all__:
        from . import voice

        return getattr(voice, name)
    raise AttributeError(f"module 'portavoz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
