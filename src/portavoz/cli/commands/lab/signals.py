"""Diagnose a sound and its mel spectrogram: what is unusual, and which part of the model is the likely cause.

Of the mel: sign balance, range, spread and energy over channels. Of the wave: hiss above half of Nyquist, duration, DC
and clipping. Of a voice: whether it responds to text, memory, speaker and mel. Expected values come from a reference
(the same text) or a prompt (another text), each a sound or a mel, from a voice that speaks --text, and from the mel's
own definition; figures without an expected value are listed. Mels are .npy or safetensors files, [frames, channels].
Exit code: 0 no symptom, 1 some.

Examples:
  portavoz lab signals noise.wav --reference good.wav
  portavoz lab signals noise.wav --mel noise.npy --prompt speaker.wav --spec mel.json
  portavoz lab signals ours.wav --voice heart --text "The same sentence." --json
  portavoz lab signals --voice my-voice
"""

from __future__ import annotations

import argparse
from typing import Any

from ....config_reader import Reader, read_object
from ....errors import InputError, SpecError
from ....input_files import read_array
from ...options import json_option, print_json
from .swap import request, request_options

MELS = (".npy", ".safetensors")


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab signals` takes."""
    parser.add_argument("wave", metavar="WAV", nargs="?", help="the sound (default: what --voice speaks)")
    parser.add_argument("--mel", metavar="FILE", help="the mel that the sound was made from")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--reference", metavar="FILE", help="a correct sound or mel of the same text")
    known.add_argument("--prompt", metavar="FILE", help="a sound or mel of the same speaker with another text")
    spec = parser.add_mutually_exclusive_group()
    spec.add_argument("--spec", metavar="FILE", help="the mel's definition as JSON: rate, fft, hop, mels, low, high …")
    spec.add_argument("--voice", metavar="VOICE", help="the voice that made it; its responses are tested too")
    request_options(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Diagnose the sound. Raises PortavozError; gives 1 when there is a symptom."""
    from ....lab.signals.diagnosis import lines, listen

    if args.wave is None and args.mel is None and args.voice is None:
        raise InputError("lab signals: give a sound, a --mel or a --voice")
    if args.text is not None and args.voice is None:
        raise InputError("--text needs a voice that speaks it: give --voice too")
    voice = _voice(args) if args.voice is not None else None
    wave = _wave(args.wave, voice.spec.rate if voice else None) if args.wave is not None else None
    spec = voice.spec if voice else _spec(args.spec, wave, args.mel)
    mel = _mel(args.mel, spec) if args.mel is not None else None
    known, planned = _known(args, spec), None
    if voice is not None:
        wave, mel, known, planned = _spoken(args, voice, wave, mel, known)
    found = listen(wave, spec, mel=mel, known=known, planned=planned, responses=voice.responses if voice else ())
    if args.json:
        print_json(found.to_dict())
    else:
        print("\n".join(lines(found)))
    return int(bool(found.symptoms))


class _Voice:
    """What a voice says and listens to."""

    def __init__(self, staged: Any, other: Any) -> None:
        from ....lab.signals.conditioning import responses

        self.values = dict(zip(staged.borders, staged.after(None, {})))
        self.spec, self.rate = staged.spec, staged.rate
        self.responses = list(responses(staged, other))

    @property
    def mel(self) -> Any:
        """[frames, mels]; None where no mel stands between its halves."""
        return self.values["mel"]["mel"][0] if "mel" in self.values else None

    @property
    def wave(self) -> Any:
        """As it is heard."""
        from ....audio.limit import soft_limit
        from ....flow import Wave

        return Wave(soft_limit(self.values["wave"]["wave"]), self.rate)


def _voice(args: argparse.Namespace) -> _Voice:
    from .... import ops
    from ....lab.pipeline.pipeline_loader import check_side, on, other_speaker

    check_side(args.voice)
    back, wanted = ops.open(ops.preferred()), request(args)
    another = other_speaker(args.voice, wanted)
    return _Voice(on(back, args.voice, wanted), None if another is None else on(back, args.voice, another))


def _spoken(args: argparse.Namespace, voice: _Voice, wave: Any, mel: Any, known: Any) -> tuple[Any, Any, Any, Any]:
    """Where nothing else is given, the voice's own speech is what a sound is compared with, or is itself the sound."""
    from ....audio.mel import mel_spectrogram
    from ....lab.signals.signals import ReferenceSound

    if wave is None and mel is None:
        return voice.wave, voice.mel, known, None
    same, own = args.text is not None, voice.mel
    own = mel_spectrogram(voice.wave.samples, voice.spec) if own is None else own
    heard = known or ReferenceSound(own, voice.wave, same_text=same)
    durations = voice.values.get("durations")
    if known is None and same and durations is not None:
        seconds = len(voice.wave.samples) / voice.rate
        return wave, mel, heard, (seconds, durations["durations"].size)
    return wave, mel, heard, None


# Files


def _wave(path: str, rate: int | None) -> Any:
    from ....audio.files import read

    return read(path, rate=rate)


def _known(args: argparse.Namespace, spec: Any) -> Any:
    from ....audio.mel import mel_spectrogram
    from ....lab.signals.signals import ReferenceSound

    path = args.reference or args.prompt
    if path is None:
        return None
    same = args.reference is not None
    if path.endswith(MELS):
        return ReferenceSound(_mel(path, spec), same_text=same)
    wave = _wave(path, spec.rate)
    return ReferenceSound(mel_spectrogram(wave.samples, spec), wave, same_text=same)


def _spec(path: str | None, wave: Any, mel: str | None) -> Any:
    """A definition from a file; else the usual one at the wave's rate, with the mel's number of channels."""
    from ....flow import MelSpec

    if path is not None:
        try:
            return Reader("the mel's definition").read(MelSpec, read_object(path, "see flow.MelSpec"))
        except SpecError as problem:
            raise InputError(f"{path}: cannot be read as a mel's definition ({problem}); see flow.MelSpec") from problem
    if mel is not None:
        raise InputError(f"{mel}: what its numbers mean is unknown; give its definition with --spec, or its --voice")
    return MelSpec(rate=wave.rate, high=min(8000.0, wave.rate / 2))


def _mel(path: str, spec: Any) -> Any:
    """[frames, mels], turned where the channels come first. Raises InputError for what is no mel of this definition."""
    import numpy as np

    values = _array(path)
    a = np.asarray(values.reshape(values.shape[-2:]) if values.ndim == 3 and len(values) == 1 else values)
    if a.ndim != 2 or a.dtype.kind != "f" or spec.mels not in a.shape:
        raise InputError(f"{path}: {a.dtype} {values.shape}, wanted [frames, {spec.mels}] of one utterance; cut it out")
    return a if a.shape[1] == spec.mels else a.T


def _array(path: str) -> Any:
    if not path.endswith(MELS):
        raise InputError(f"{path}: a mel's file ends with {' or '.join(MELS)}; save it as one")
    if path.endswith(".npy"):
        return read_array(path)
    from ....weights import file

    tensors = file.read(path)[0]
    named = [name for name in tensors if name.partition("#")[0] == "mel"] or list(tensors)
    if len(named) != 1:
        raise InputError(f"{path}: {len(named)} tensors in it, and none is the only one called mel; leave one in it")
    return tensors[named[0]]
