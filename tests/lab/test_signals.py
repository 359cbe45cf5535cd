"""Sounds that are wrong are recognised symptom by symptom, each in its room; sound ones raise none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import portavoz
from portavoz import ops
from portavoz.audio.limit import soft_limit
from portavoz.audio.mel import mel_spectrogram
from portavoz.errors import InputError
from portavoz.flow import MelSpec, Wave
from portavoz.lab.pipeline.pipeline_loader import Request, on
from portavoz.lab.signals.diagnosis import Report, lines, listen, sentence
from portavoz.lab.signals.signals import ReferenceSound, bounds

REFERENCE = "A pot of tea helps to pass the evening, and four hours of steady work faced us before it could be made."

# Few sibilants: half a second of them is mostly above half of Nyquist at 24 kHz, and then any hiss would be usual.
PROMPT = "The boy and his brother would row on the river in the morning, and they came home again at noon."


class Spoken:
    """A text in the bundled voice: its wave as it is heard, and the mel of it [frames, mels]."""

    def __init__(self, text: str) -> None:
        self.staged = on(ops.open("torch"), "heart", Request(text))
        values = dict(zip(self.staged.borders, self.staged.after(None, {})))
        self.durations = values["durations"]["durations"]
        self.wave = Wave(soft_limit(values["wave"]["wave"]), self.staged.rate)
        assert self.staged.spec is not None
        self.spec = self.staged.spec
        self.mel = mel_spectrogram(self.wave.samples, self.spec)

    def heard(self, *, same_text: bool, wave: bool = True) -> ReferenceSound:
        return ReferenceSound(self.mel, self.wave if wave else None, same_text=same_text)


@pytest.fixture(scope="module")
def reference() -> Spoken:
    return Spoken(REFERENCE)


@pytest.fixture(scope="module")
def prompt() -> Spoken:
    return Spoken(PROMPT)


def names(report: Report) -> set[str]:
    return {symptom.name for symptom in report.symptoms}


def rooms(report: Report) -> dict[str, str]:
    return {symptom.name: symptom.room for symptom in report.symptoms}


# What is sound


@pytest.mark.parametrize("with_wave", [True, False])
def test_the_bundled_voice_raises_no_symptom(reference: Spoken, prompt: Spoken, with_wave: bool) -> None:
    planned = (len(reference.wave.samples) / reference.wave.rate, reference.durations.size)
    for known in (reference.heard(same_text=True, wave=with_wave), prompt.heard(same_text=False, wave=with_wave)):
        found = listen(reference.wave, reference.spec, mel=reference.mel, known=known, planned=planned)
        assert found.symptoms == [], lines(found)
        judged = {sign.name for sign in found.signs if sign.judged}
        assert {"positive values", "spread over channels", "energy above half of Nyquist", "seconds"} <= judged
    assert lines(found)[0] == "no symptom"


def test_as_it_comes_out_of_the_package(prompt: Spoken) -> None:
    speech = portavoz.load().speak(REFERENCE)
    wave = Wave(speech.samples, speech.rate)
    assert listen(wave, prompt.spec, known=prompt.heard(same_text=False)).symptoms == []


def test_without_anything_to_compare_with_little_is_judged(reference: Spoken) -> None:
    found = listen(reference.wave, reference.spec, mel=reference.mel)
    assert found.symptoms == []
    left = found.to_dict()["not_judged"]
    assert {"positive values", "seconds", "DC ÷ RMS", "energy above half of Nyquist"} <= set(left)
    assert lines(found)[-1].startswith("not evaluated, for lack of a reference or a prompt: positive values")


# The story: 53 % positive in −3.8 … 4.2, flat over channels, 82 % of the energy is hiss, 2.72 s instead of 4.68 s


def hissing(samples: int, share: float, draw: np.random.Generator) -> np.ndarray:
    """Noise with this share of its energy above half of Nyquist."""
    spectrum = np.fft.rfft(draw.standard_normal(samples))
    half = len(spectrum) // 2
    spectrum[:half] *= math.sqrt((1 - share) / share)
    wave = np.fft.irfft(spectrum, samples)
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def story(spec: MelSpec) -> tuple[np.ndarray, Wave]:
    draw, frames = np.random.default_rng(8), round(2.72 * spec.rate / spec.hop)
    x = draw.uniform(0, 1, (frames, spec.mels))
    mel = np.where(x < 0.53, x / 0.53 * 4.2, (x - 0.53) / 0.47 * -3.8).astype(np.float32)
    return mel, Wave(hissing(frames * spec.hop, 0.82, draw), spec.rate)


def lasting(said: Spoken, seconds: float) -> ReferenceSound:
    """The reference cut to so many seconds: what should have been said."""
    frames = round(seconds * said.spec.rate / said.spec.hop)
    return ReferenceSound(said.mel[:frames], Wave(said.wave.samples[: frames * said.spec.hop], said.spec.rate))


def test_the_story_is_recognised_symptom_by_symptom(reference: Spoken) -> None:
    assert len(reference.mel) * reference.spec.hop / reference.spec.rate > 4.68
    mel, wave = story(reference.spec)
    assert mel.min() > -3.81 and mel.max() < 4.21 and 0.52 < (mel > 0).mean() < 0.54
    found = listen(wave, reference.spec, mel=mel, known=lasting(reference, 4.68))
    accused = rooms(found)
    told_of = {s.name: s.text for s in found.symptoms}
    assert told_of["positive values"].startswith("positive values 5")
    assert told_of["largest value"].startswith("largest value 4.20, expected at most 3.4")
    assert told_of["lowest value"].startswith("lowest value -3.")
    assert "no formants" in told_of["spread over channels"]
    assert told_of["energy above half of Nyquist"].startswith("energy above half of Nyquist 82")
    assert told_of["seconds"].startswith("seconds 2.7")
    # Each in its room: the mel is the decoder's, so the hiss is not the vocoder's; the length is nobody's but theirs.
    assert accused.pop("seconds") == "tokens or durations"
    assert set(accused.values()) == {"decoder"}
    assert "vocoder is not accused" in told_of["energy above half of Nyquist"]
    assert lines(found)[0].endswith("symptoms: look at decoder; tokens or durations")


def test_the_storys_wave_by_itself_leaves_open_who_hisses(reference: Spoken) -> None:
    found = listen(story(reference.spec)[1], reference.spec, known=lasting(reference, 4.68))
    assert rooms(found)["energy above half of Nyquist"] == "vocoder or decoder"
    assert rooms(found)["seconds"] == "tokens or durations"


# One thing at a time

Change = Callable[[np.ndarray], np.ndarray]

MELS: dict[str, tuple[Change, set[str]]] = {
    "logarithm of ten": (lambda mel: mel * np.float32(0.4343), {"lowest value"}),
    "normalised": (lambda mel: (mel - mel.mean()) / mel.std(), {"positive values", "lowest value"}),
    "louder than can be": (lambda mel: mel + np.float32(4), {"largest value", "positive values", "highest value"}),
    "below the floor": (lambda mel: mel - np.float32(3), {"smallest value"}),
    "channels flipped": (lambda mel: mel[:, ::-1], {"profile over channels"}),
    "channels in another order": (
        lambda mel: mel[:, np.random.default_rng(0).permutation(mel.shape[1])], {"steps between channels"},
    ),
    "one frame for ever": (lambda mel: np.repeat(mel[60:61], len(mel), 0), {"spread over time"}),
    "flat over channels": (lambda mel: 0 * mel + mel.mean(1, keepdims=True), {"spread over channels"}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MELS))
def test_a_wrong_mel_accuses_the_decoder(name: str, reference: Spoken, prompt: Spoken) -> None:
    change, wanted = MELS[name]
    mel = np.ascontiguousarray(change(reference.mel), np.float32)
    found = listen(reference.wave, reference.spec, mel=mel, known=prompt.heard(same_text=False))
    assert wanted <= names(found), lines(found)
    assert set(rooms(found).values()) == {"decoder"}


def shifted(samples: np.ndarray) -> np.ndarray:
    return samples + np.float32(0.1)


WAVES: dict[str, tuple[Change, set[str], str]] = {
    "pushed": (shifted, {"DC ÷ RMS"}, "output"),
    "clipped": (lambda x: np.clip(4 * x, -1, 1), {"samples at full scale"}, "output"),
    "hissing": (
        lambda x: x + np.float32(0.8) * hissing(len(x), 0.9, np.random.default_rng(1)),
        {"energy above half of Nyquist"}, "vocoder",
    ),
    "another rate": (lambda x: np.repeat(x, 2), {"frames of the wave"}, "vocoder"),
    "another sentence": (lambda x: np.roll(x, len(x) // 2), {"wave's mel from the mel"}, "vocoder"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(WAVES))
def test_a_wrong_wave_of_a_right_mel(name: str, reference: Spoken, prompt: Spoken) -> None:
    change, wanted, room = WAVES[name]
    wave = Wave(change(reference.wave.samples), reference.wave.rate)
    found = listen(wave, reference.spec, mel=reference.mel, known=prompt.heard(same_text=False))
    assert wanted <= names(found), lines(found)
    assert {rooms(found)[one] for one in wanted} == {room}


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_wrong_duration_accuses_the_durations_alone(factor: float, reference: Spoken) -> None:
    right = portavoz.load().speak(REFERENCE)
    slow = portavoz.load().speak(REFERENCE, speed=1 / factor)
    wave = Wave(slow.samples, slow.rate)
    planned = (len(right.samples) / right.rate, reference.durations.size)
    for more in ({"known": reference.heard(same_text=True)}, {"planned": planned}):
        found = listen(wave, reference.spec, **more)
        assert rooms(found) == {"seconds": "tokens or durations"}, lines(found)


def test_what_a_definition_allows_is_what_a_loud_wave_has() -> None:
    for spec in (MelSpec(), MelSpec(log="10", mels=80, mean=-4.0, std=4.0), MelSpec(power=2.0, norm="none")):
        low, high = bounds(spec)
        time = np.arange(spec.rate) / spec.rate
        loudest = [np.sign(np.sin(2 * np.pi * hz * time)).astype(np.float32) for hz in (100, 440, 1000, 3000)]
        mels = [mel_spectrogram(wave, spec) for wave in [*loudest, np.zeros(spec.rate, np.float32)]]
        assert min(mel.min() for mel in mels) == pytest.approx(low, abs=1e-5)
        assert low < max(mel.max() for mel in mels) <= high


def test_what_cannot_be_listened_to_is_refused(reference: Spoken) -> None:
    with pytest.raises(InputError, match="the wave has 16000 Hz, the mel is made at 24000 Hz"):
        listen(Wave(np.zeros(100, np.float32), 16000), reference.spec)
    with pytest.raises(InputError, match="the mel: empty, or NaN or infinity in it"):
        listen(None, reference.spec, mel=np.full((9, 80), np.nan, np.float32))
    with pytest.raises(InputError, match="is too short; give some seconds"):
        listen(reference.wave, reference.spec, known=ReferenceSound(reference.mel[:9], None), mel=reference.mel)


def test_figures_in_words(reference: Spoken) -> None:
    found = listen(None, reference.spec, mel=reference.mel, known=reference.heard(same_text=True))
    words = {sign.name: sentence(sign) for sign in found.mel}
    assert words["smallest value"].endswith("expected at least -11.53 (the MelSpec's floor)")
    assert " % (the reference)" in words["positive values"]
    assert words["seconds"].endswith("its pauses either way)")
