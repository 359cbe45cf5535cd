"""From figures to rooms: each sign that is out of its range says what it looks like, and which part it accuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...flow import MelSpec, Wave
from .conditioning import Response
from .signals import Measurement, ReferenceSound, agreement, of_length, of_mel, of_plan, of_wave

DURATIONS, DECODER, VOCODER, OUTPUT = "tokens or durations", "decoder", "vocoder", "output"
# What a sign out of its range looks like, and whom it accuses.
MEANINGS = {
    "smallest value": ("below the floor that this logarithm has: another log, mean or std", DECODER),
    "largest value": ("louder than any wave can be: another log, mean or std, or values that explode", DECODER),
    "positive values": ("signs in another balance: not in this mel's units, or noise", DECODER),
    "lowest value": ("the quietest values are not this mel's: normalised otherwise, or a floor of noise", DECODER),
    "highest value": ("the loudest values are not this mel's: normalised otherwise", DECODER),
    "spread over channels": ("no formants, all channels alike or too far apart: noise, or no conditioning", DECODER),
    "spread over time": ("the same at all times, or too restless: it does not follow its input", DECODER),
    "steps between channels": (
        "neighbouring channels are too unlike, or too alike: in another order, or smeared",
        DECODER,
    ),
    "steps between frames": ("too restless or too smooth over time: noise, smeared, or another hop", DECODER),
    "profile over channels": (
        "other channels are loud than in this mel: flipped, shifted or in another order",
        DECODER,
    ),
    "channels": ("energy in the wrong channels: flipped, shifted, or another filterbank", DECODER),
    "energy above half of Nyquist": ("hiss: energy where speech has little", VOCODER),
    "DC ÷ RMS": ("the wave is pushed to one side", OUTPUT),
    "samples at full scale": ("clipped: too loud for its format", OUTPUT),
    "seconds": ("the wrong length, and a decoder says as much as it is told to", DURATIONS),
    "frames of the wave": ("the wave is not as long as its mel: another hop or rate", VOCODER),
    "wave's mel from the mel": ("the wave does not sound as its mel says", VOCODER),
}


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that is wrong: what it looks like, the room that it accuses, and the figure behind it."""

    name: str
    room: str
    text: str
    sign: Measurement | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"name": self.name, "room": self.room, "text": self.text}


@dataclass(slots=True)
class Report:
    """Every sign, and the symptoms among them; `responses` of a voice to its conditions."""

    mel: list[Measurement] = field(default_factory=list)
    wave: list[Measurement] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    symptoms: list[Symptom] = field(default_factory=list)

    @property
    def signs(self) -> list[Measurement]:
        """All of them."""
        return [*self.mel, *self.wave]

    @property
    def rooms(self) -> list[str]:
        """The accused rooms, each once."""
        return list(dict.fromkeys(s.room for s in self.symptoms))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "symptoms": [s.to_dict() for s in self.symptoms],
            "rooms": self.rooms,
            "mel": [s.to_dict() for s in self.mel],
            "wave": [s.to_dict() for s in self.wave],
            "not_judged": [s.name for s in self.signs if not s.judged],
            "responses": [r.to_dict() for r in self.responses],
        }


def listen(
    wave: Wave | None,
    spec: MelSpec,
    *,
    mel: NDArray[Any] | None = None,
    known: ReferenceSound | None = None,
    planned: tuple[float, int] | None = None,
    responses: Sequence[Response] = (),
) -> Report:
    """Everything that a wave, its mel [frames, mels] and a voice show.

    known: a reference or a prompt; planned: seconds and symbols of what a voice would say. Raises InputError for a
    wave at another rate than the spec's and for numbers that are not finite.
    """
    out = Report(responses=list(responses))
    for name, values in (("the wave", None if wave is None else wave.samples), ("the mel", mel)):
        if values is not None and (not values.size or not np.isfinite(values).all()):
            raise InputError(f"{name}: empty, or NaN or infinity in it; look for where they come from with lab compare")
    if wave is not None and wave.rate != spec.rate:
        raise InputError(f"the wave has {wave.rate} Hz, the mel is made at {spec.rate} Hz; give the wave at that rate")
    if mel is not None:
        out.mel = list(of_mel(mel, spec, known))
    if wave is not None:
        out.wave = list(of_wave(wave, spec, known))
        if mel is not None:
            out.wave += agreement(wave, mel, spec, sound=not any(sign.wrong for sign in out.mel))
        out.wave += _length(len(wave.samples) / wave.rate, spec, known, planned)
    elif mel is not None:
        out.mel += _length(len(mel) * spec.hop / spec.rate, spec, known, planned)
    out.symptoms = _symptoms(out, heard_mel=mel is not None)
    return out


def _length(
    seconds: float, spec: MelSpec, known: ReferenceSound | None, planned: tuple[float, int] | None
) -> list[Measurement]:
    if planned is not None:
        return [of_plan(seconds, *planned, spec)]
    if known is not None and known.same_text:
        return [of_length(seconds, known, spec)]
    return [Measurement("seconds", seconds)]


def _symptoms(out: Report, *, heard_mel: bool) -> list[Symptom]:
    wrong_mel = any(sign.wrong and _meaning(sign)[1] == DECODER for sign in out.mel)
    found: list[Symptom] = []
    for sign in out.signs:
        if not sign.wrong:
            continue
        text, room = _meaning(sign)
        if room == VOCODER and sign.name.startswith("energy"):
            if wrong_mel:
                room, text = DECODER, f"{text}; the mel asks for it, so the vocoder is not accused"
            elif not heard_mel:
                room, text = f"{VOCODER} or {DECODER}", f"{text}; the mel would tell which (--mel)"
        found.append(Symptom(sign.name, room, f"{sentence(sign)}: {text}", sign))
    for response in out.responses:
        if response.dead:
            found.append(Symptom(f"{response.cause} → {response.effect}", response.room, response.text()))
    return found


def _meaning(sign: Measurement) -> tuple[str, str]:
    return MEANINGS[sign.name if sign.name in MEANINGS else sign.name.partition(" ")[0]]


def sentence(sign: Measurement) -> str:
    """A sign in figures: ``positive values 53 %, expected 0 … 4 % (the reference)``."""
    if not sign.judged:
        return f"{sign.name} {_figure(sign, sign.value)}"
    low, high = (_figure(sign, end, unit=False) for end in (sign.low, sign.high))
    if math.isinf(sign.low):
        wanted = f"at most {high}"
    elif math.isinf(sign.high):
        wanted = f"at least {low}"
    else:
        wanted = f"{low} … {high}"
    return f"{sign.name} {_figure(sign, sign.value)}, expected {wanted}{' %' if sign.share else ''} ({sign.basis})"


def _figure(sign: Measurement, value: float, *, unit: bool = True) -> str:
    if sign.share:
        return f"{100 * min(max(value, 0.0), 1.0):.3g}{' %' if unit else ''}"
    digits = 0 if sign.name == "frames of the wave" else 2
    return f"{round(value, digits) + 0.0:.{digits}f}"  # adding 0.0 turns −0 into 0


def lines(report: Report) -> list[str]:
    """Symptoms first, then every figure."""
    n = len(report.symptoms)
    head = f"{n} symptom{'s' if n > 1 else ''}: look at {'; '.join(report.rooms)}" if n else "no symptom"
    out = [head, *(f"  {s.room}: {s.text}" for s in report.symptoms)]
    for name, signs in (("mel", report.mel), ("wave", report.wave)):
        fine = [sign for sign in signs if sign.judged and not sign.wrong]
        out += [f"{name}: {sentence(sign)}" for sign in fine]
    out += [r.text() for r in report.responses if not r.dead]
    left = [sentence(sign) for sign in report.signs if not sign.judged]
    if left:
        out.append(f"not evaluated, for lack of a reference or a prompt: {'; '.join(left)}")
    return out
