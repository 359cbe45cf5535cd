"""The Chatterbox family: letters and a recording in, from a checkpoint's files as they are published or ported."""

from __future__ import annotations

from pathlib import Path

from .. import ops
from ..errors import InputError
from ..families.chatterbox.checkpoint import Checkpoint
from ..families.chatterbox.loop import Chatterbox
from ..families.chatterbox.voice import ChatterboxVoice
from ..families.synthesis import Opened, Options

RUNTIMES = ("eager",)


def opened(folder: Path, options: Options) -> Opened:
    """The voice in a checkpoint's folder. Raises PortavozError."""
    if options.vocoder is not None:
        raise InputError(f"vocoder {str(options.vocoder)!r}: Chatterbox has its own; leave it out")
    runtime, _ = options.choose("chatterbox", RUNTIMES, ("float32",), first="eager")
    checkpoint = Checkpoint.open(folder)
    device = {"device": options.device} if options.device else {}
    stages = checkpoint.eager(ops.open(options.backend or ops.preferred(), **device))
    voice = ChatterboxVoice(
        Chatterbox(stages, checkpoint.config),
        checkpoint.tokenizer(),
        checkpoint.voice(),
        pickled=checkpoint.pickled_voice,
    )
    return Opened(voice, checkpoint.about(), runtime)
