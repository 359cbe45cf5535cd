"""The figures by name: definition, unit, direction, and how sentences are joined."""

from __future__ import annotations

from typing import Literal, NamedTuple

Parts = dict[str, tuple[float, float]]  # a sentence's share in each figure: total and weight


class Metric(NamedTuple):
    """One figure. `root`: the square root of the mean (for squares); `scale` and `digits` are for people."""

    title: str
    unit: str
    better: Literal["lower", "higher", "one"]
    about: str
    root: bool = False
    scale: float = 1.0
    digits: int = 2


METRICS: dict[str, Metric] = {
    "word_error": Metric(
        "word error", "%", "lower", "words the recogniser got wrong ÷ words said", scale=100, digits=1
    ),
    "mcd": Metric("mel cepstral distortion", "dB", "lower", "distance from the recording, time-aligned"),
    "mel_error": Metric("mel error", "dB", "lower", "mean distance of mels made with the recording's own durations"),
    "f0_cents": Metric(
        "F0 error", "cents", "lower", "root mean square where both are voiced; 100 are a semitone", root=True, digits=0
    ),
    "log_f0": Metric("log-F0 error", "ln Hz", "lower", "the same in natural logarithms", root=True, digits=3),
    "gross_pitch": Metric(
        "gross pitch error", "%", "lower", "frames voiced in both that are more than 20 % off", scale=100, digits=1
    ),
    "fine_pitch": Metric(
        "fine pitch error", "cents", "lower", "the F0 error without those frames", root=True, digits=0
    ),
    "voicing_error": Metric(
        "voicing error", "%", "lower", "frames where only one of the two is voiced", scale=100, digits=1
    ),
    "duration_ratio": Metric("duration ratio", "", "one", "length without outer silence ÷ the recording's", digits=3),
    "duration_error": Metric(
        "duration error", "ms", "lower", "root mean square over symbols", root=True, scale=1000, digits=1
    ),
    "pesq": Metric("PESQ", "MOS-LQO", "higher", "ITU-T P.862.2, wide band: a prediction, about 1 to 4.64"),
    "stoi": Metric("STOI", "", "higher", "short-time objective intelligibility, 0 to 1", digits=3),
    "estoi": Metric("ESTOI", "", "higher", "its extended form, 0 to 1", digits=3),
    "mos_estimate": Metric("MOS estimate", "MOS", "higher", "output of the given model"),
    "real_time_factor": Metric("real-time factor", "", "lower", "seconds of processing ÷ seconds of audio", digits=4),
}
ALONE = ("word_error", "mos_estimate", "real_time_factor")  # the others compare with a recording


def shown(name: str, value: float, *, signed: bool = False) -> str:
    """A figure as people read it, without its unit."""
    metric = METRICS[name]
    return f"{value * metric.scale:{'+' if signed else ''}.{metric.digits}f}"
