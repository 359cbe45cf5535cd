"""A signal inside each callback that libsndfile makes: it arrives as an exception, and nothing is damaged or left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portavoz import interrupts
from portavoz.audio import callbacks, files
from portavoz.flow import Wave

FORMATS = ("wav", "flac", "ogg", "mp3")
OLD = b"the old file"
RATE = 16000


@pytest.fixture(params=("ours", "python's"))
def handlers(request: pytest.FixtureRequest) -> Iterator[tuple[int, ...]]:
    """The signals that raise, with the command line's handlers, and with the one of any other Python program."""
    before = {number: signal.getsignal(number) for number in interrupts.NUMBERS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request.param == "ours":
        interrupts.install()
    yield interrupts.NUMBERS if request.param == "ours" else (signal.SIGINT,)
    for number, handler in before.items():
        signal.signal(number, handler)
    interrupts.forget()


class Strike:
    """Sends a signal in the `at`-th call of any of an object's methods; counts the calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type, names: tuple[str, ...]) -> None:
        self.calls, self.at, self.number = 0, 0, signal.SIGINT
        for name in names:
            monkeypatch.setattr(kind, name, self._wrapped(getattr(kind, name)))

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                os.kill(os.getpid(), self.number)
            return method(*args)

        return call

    def each(self, numbers: tuple[int, ...], do: Callable[[], object]) -> Iterator[int]:
        """Run `do` once for each of its calls and each signal; gives the signal that was sent."""
        self.calls = self.at = 0
        do()
        for at in range(1, self.calls + 1):
            for number in numbers:
                self.calls, self.at, self.number = 0, at, signal.Signals(number)
                with pytest.raises(KeyboardInterrupt) as caught:
                    do()
                assert getattr(caught.value, "number", number) == number
                interrupts.forget()
                yield number
        self.at = 0


def sound(seconds: float = 1.0) -> Wave:
    return Wave(np.sin(np.arange(int(seconds * RATE)) / 9).astype(np.float32) * 0.5, RATE)


@pytest.mark.parametrize("format", FORMATS)
def test_reading(format: str, handlers: Any, monkeypatch: Any, tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / f"in.{format}"
    files.write(path, sound())
    strike = Strike(monkeypatch, callbacks.FileSource, ("read", "seek", "tell"))
    sent = list(strike.each(handlers, lambda: files.read(path, rate=22050)))
    assert len(sent) > 10 * len(handlers)
    assert capfd.readouterr() == ("", "")
    assert files.read(path).rate == RATE


@pytest.mark.parametrize("format", FORMATS)
def test_writing(format: str, handlers: Any, monkeypatch: Any, tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / f"out.{format}"
    strike = Strike(monkeypatch, callbacks.FileSink, ("write", "seek", "tell"))
    path.write_bytes(OLD)

    def do() -> None:
        path.write_bytes(OLD)
        files.write(path, sound())

    sent = []
    for number in strike.each(handlers, do):
        sent.append(number)
        # The last callbacks run while the file is closed, before it is renamed.
        assert path.read_bytes() == OLD
        assert os.listdir(tmp_path) == [path.name]
    assert len(sent) >= len(handlers)
    assert capfd.readouterr() == ("", "")


def test_a_signal_waits_for_the_end_of_a_block(handlers: Any) -> None:
    done = []

    def do() -> None:
        with interrupts.deferred():
            with interrupts.deferred():
                os.kill(os.getpid(), handlers[-1])
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        do()
    assert done == ["inner", "outer"]
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), handlers[-1])


def test_a_swallowed_signal_is_raised_between_two_blocks(monkeypatch: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    files.write(path, sound())
    monkeypatch.setattr(interrupts._Pending, "number", signal.SIGTERM)
    for do in (lambda: files.read(path), lambda: files.write(tmp_path / "out.wav", sound())):
        with pytest.raises(interrupts.Interrupted):
            do()
    assert os.listdir(tmp_path) == ["in.wav"]
