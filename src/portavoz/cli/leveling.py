"""What `say` does to the sound between the voice and the file: a gain, a loudness, another sample rate."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .sink import Sink

BLOCK = 1 << 16  # samples read back at once


def level_options(parser: argparse._ActionsContainer) -> None:
    """``--gain``, ``--loudness`` and ``--rate``."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--gain", metavar="DB", type=float, default=0.0, help="gain in dB (negative is softer)")
    how.add_argument(
        "--loudness", metavar="LUFS", type=float, help="integrated loudness of the file by ITU-R BS.1770, such as -16"
    )
    parser.add_argument("--rate", metavar="HZ", type=int, help="sample rate of the file (default: the voice's own)")


def check_levels(args: argparse.Namespace) -> None:
    """Raises InputError for values out of range."""
    from ..audio.loudness import MAX_GAIN, MAX_LUFS, MIN_GAIN, MIN_LUFS
    from ..audio.resample import check_rate

    if not MIN_GAIN <= args.gain <= MAX_GAIN:
        raise InputError(f"--gain {args.gain:g}: give decibels from {MIN_GAIN:g} to {MAX_GAIN:g}, such as -6 or 3")
    if args.loudness is not None and not MIN_LUFS <= args.loudness <= MAX_LUFS:
        raise InputError(
            f"--loudness {args.loudness:g}: give LUFS from {MIN_LUFS:g} to {MAX_LUFS:g}, such as -16 or -23"
        )
    if args.loudness is not None and args.output == "-" and (args.stream or args.format == "raw"):
        raise InputError(
            "--loudness needs the whole sound first, so it cannot be streamed; use --gain, or write a file"
        )
    if args.rate is not None:
        check_rate(args.rate, "--rate", "choose another, such as 48000")


@contextmanager
def leveled(sink: Sink, rate: int, args: argparse.Namespace) -> Iterator[Sink]:
    """A sink that passes sound of `rate` Hz on to `sink` as `level_options` say."""
    chain: Any = sink
    if args.rate not in (None, rate):
        chain = _Resampled(chain, rate, args.rate)
    if args.loudness is None:
        chain = _Amplified(chain, args.gain) if args.gain else chain
        yield chain
    else:
        with tempfile.TemporaryFile(prefix="portavoz-") as kept:
            spool = _Spooled(kept, rate)
            yield spool
            spool.pass_on(chain, args.loudness)
    if isinstance(chain, _Resampled):
        chain.finish()


class _Amplified:
    def __init__(self, sink: Sink, gain: float) -> None:
        self.sink, self.gain = sink, gain

    def write(self, samples: NDArray[np.float32]) -> None:
        from ..audio.loudness import amplify

        self.sink.write(amplify(samples, self.gain))


class _Resampled:
    def __init__(self, sink: Sink, rate: int, wanted: int) -> None:
        import soxr

        self.sink = sink
        self.stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")

    def write(self, samples: NDArray[np.float32]) -> None:
        self.sink.write(self.stream.resample_chunk(samples))

    def finish(self) -> None:
        """The last samples, which the filter still holds."""
        import numpy as np

        self.sink.write(self.stream.resample_chunk(np.zeros(0, np.float32), last=True))


class _Spooled:
    """Keeps the sound in a temporary file until its loudness is known."""

    def __init__(self, file: Any, rate: int) -> None:
        from ..audio.loudness import LoudnessMeter

        self.file, self.meter = file, LoudnessMeter(rate)

    def write(self, samples: NDArray[np.float32]) -> None:
        self.meter.add(samples)
        self.file.write(samples.tobytes())

    def pass_on(self, sink: Sink, loudness: float) -> None:
        """Write all of it to `sink` at a loudness in LUFS; silence stays what it is."""
        import numpy as np

        found = self.meter.lufs()
        out = _Amplified(sink, loudness - found if math.isfinite(found) else 0.0)
        self.file.seek(0)
        while block := self.file.read(4 * BLOCK):
            out.write(np.frombuffer(block, np.float32))
