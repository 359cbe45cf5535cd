"""Which family opens what: the name in a voice.json, or the kind of model in a checkpoint's config.json."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..families.chatterbox.checkpoint import is_chatterbox
from ..families.synthesis import MOST_ROWS, BatchSynthesizer, Family, Opened, Options, SynthesisOptions, SynthesisStream
from ..folder import checkpoint, describe, is_checkpoint

__all__ = [
    "FAMILIES",
    "MOST_ROWS",
    "BatchSynthesizer",
    "Family",
    "Opened",
    "Options",
    "SynthesisOptions",
    "SynthesisStream",
    "opened",
]

# A new family is one line here and one file beside this one, with `opened(folder, about, options) -> Opened`.
FAMILIES = ("compact", "speecht5")


def opened(folder: Path, options: Options) -> Opened:
    """The model in a voice folder or a checkpoint folder, by its family. Raises PortavozError for what cannot be."""
    if is_chatterbox(folder):
        from . import chatterbox

        return chatterbox.opened(folder, options)
    if is_checkpoint(folder):
        about = checkpoint(folder)
        if about["family"] not in FAMILIES or about["family"] == "compact":
            raise InputError(
                f"{folder}: a checkpoint of {about['architecture']} (model_type {about['family']!r}); of checkpoints "
                "as Hugging Face has them this portavoz speaks with SpeechT5ForTextToSpeech; choose another one"
            )
    else:
        about = describe(folder)
        if about["family"] not in FAMILIES:
            raise InputError(f"{folder}: family {about['family']!r} is not known to this portavoz; install a newer one")
    family: Any = importlib.import_module(f".{about['family']}", __name__)
    return family.opened(folder, about, options)
