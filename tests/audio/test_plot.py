"""Pictures say what is in the numbers, and can be written."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from portavoz.audio.mel import mel_spectrogram
from portavoz.audio.plot import plot_alignment, plot_attention, plot_mel, plot_speech, save
from portavoz.errors import InputError, MissingExtra
from portavoz.flow import MelSpec, Wave

SPEC = MelSpec()
WAVE = Wave((0.3 * np.sin(2 * np.pi * 1000 * np.arange(22050) / 22050)).astype(np.float32), 22050)
MEL = mel_spectrogram(WAVE.samples, SPEC)
SYMBOLS = ["^", "HH", "AH0", "L", "OW1", " ", "W", "ER1", "L", "D", "."]
DURATIONS = np.array([8, 3, 2, 9, 14, 0, 5, 15, 9, 6, 15])


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[-2].texts]


def test_hertz_stand_where_their_sound_is() -> None:
    axes = plot_mel(MEL, SPEC).axes[0]
    ticks = {label.get_text(): place for place, label in zip(axes.get_yticks(), axes.get_yticklabels())}
    assert abs(ticks["1000"] - MEL.mean(axis=0).argmax()) < 0.6
    assert axes.get_xlim() == (0.0, pytest.approx(len(MEL) * 256 / 22050))
    assert axes.get_xlabel() == "seconds"


def touch(figure: Figure) -> bool:
    figure.savefig(io.BytesIO(), dpi=130)
    boxes = [text.get_window_extent() for text in figure.axes[-2].texts]
    return any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[k + 1 :])


def test_symbols_stand_in_their_time_and_do_not_touch() -> None:
    figure = plot_speech(WAVE, MEL, spec=SPEC, symbols=SYMBOLS, durations=DURATIONS, title="hello world for $5 or $6")
    assert labels(figure) == [symbol for symbol in SYMBOLS if symbol != " "]
    edges = np.cumsum([0, *DURATIONS]) * 256 / 22050
    places = [text.get_position()[0] for text in figure.axes[1].texts]
    middles = ((edges[:-1] + edges[1:]) / 2)[DURATIONS > 0]
    np.testing.assert_allclose(places, middles)
    assert not touch(figure)


@pytest.mark.parametrize("durations", [np.full(86, 1), np.array([1, 3] * 21 + [2])])
def test_many_short_symbols_share_rows(durations: np.ndarray) -> None:
    figure = plot_alignment(durations, ["AH0"] * len(durations), mel=MEL, spec=SPEC)
    assert len(labels(figure)) == len(durations)
    assert len({text.get_position()[1] for text in figure.axes[0].texts}) in (2, 3)
    assert not touch(figure)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_pictures_are_saved(tmp_path: Path, kind: str) -> None:
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    save(plot_mel(MEL, SPEC, title="mel"), tmp_path / f"a.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes().startswith(start)
    assert os.listdir(tmp_path) == [f"a.{kind}"]


def png(figure: Figure, folder: Path) -> bytes:
    save(figure, folder / "a.png")
    return (folder / "a.png").read_bytes()


def test_the_same_picture_has_the_same_bytes(tmp_path: Path) -> None:
    first = png(plot_mel(MEL, SPEC), tmp_path)
    assert png(plot_mel(MEL, SPEC), tmp_path) == first
    assert png(plot_mel(MEL + np.linspace(0, 1, 64, dtype=np.float32), SPEC), tmp_path) != first


@pytest.mark.parametrize("frames", [0, 1])
def test_hardly_any_sound_can_be_drawn(frames: int, tmp_path: Path) -> None:
    wave = Wave(WAVE.samples[: frames * 256], 22050)
    for figure in (
        plot_speech(wave, MEL[:frames], spec=SPEC, symbols=["."], durations=[frames]),
        plot_mel(MEL[:frames], MelSpec(log="none", power=2.0)),
    ):
        assert png(figure, tmp_path).startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 durations for 1 symbols"):
        plot_alignment([1, 2], ["^"], mel=MEL, spec=SPEC)
    with pytest.raises(InputError, match=r"\[frames, 80\]"):
        plot_mel(MEL, MelSpec(mels=80))
    with pytest.raises(InputError, match=r"\.png"):
        save(plot_mel(MEL, SPEC), tmp_path / "a.gif")
    with pytest.raises(InputError, match="does not exist"):
        save(plot_mel(MEL, SPEC), tmp_path / "none" / "a.png")


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"portavoz\[plot\]"):
        plot_mel(MEL, SPEC)


def test_the_room_is_light_and_pyplot_is_never_touched(tmp_path: Path) -> None:
    program = (
        "import sys, portavoz.audio.mel, portavoz.audio.files, portavoz.audio.plot, portavoz.audio.measures\n"
        "print(sorted({'matplotlib', 'soundfile', 'soxr', 'scipy', 'torch'} & set(sys.modules)))\n"
        "import numpy as np; from portavoz.flow import MelSpec\n"
        "figure = portavoz.audio.plot.plot_mel(np.zeros((9, 80), np.float32), MelSpec(mels=80))\n"
        "portavoz.audio.plot.save(figure, sys.argv[1])\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_attention_has_a_panel_for_each_layer() -> None:
    weights = np.random.default_rng(0).random((3, 7, 5))
    panels = plot_attention(weights, symbols=["a", "b", "$", "d", "."]).axes
    assert len(panels) == 3
    assert np.array_equal(panels[1].images[0].get_array(), weights[1].T)
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["a", "b", r"\$", "d", "."]
    with pytest.raises(InputError, match="attention weights"):
        plot_attention(weights[0])
    with pytest.raises(InputError, match="2 symbols"):
        plot_attention(weights, symbols=["a", "b"])
