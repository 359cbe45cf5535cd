"""portavoz: text to speech, each model written once and proven layer by layer.

>>> import portavoz
>>> speech = portavoz.load().speak("Hello from a voice that came with the package.")
>>> speech.save("hello.wav")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .speech import Phoneme, Speech, Word
    from .voice import Voice, load

__version__ = "0.1.0"
__all__ = ["Phoneme", "Speech", "Voice", "Word", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # Importing portavoz costs nothing; NumPy comes with the first thing that needs it.
    if name in __all__:
        from . import voice

        return getattr(voice, name)
    raise AttributeError(f"module 'portavoz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
