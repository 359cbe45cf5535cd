"""LJSpeech (public domain, 24 hours, one speaker): 2.6 GB over the net, 3.8 GB more on the disk when unpacked.

    make download-data                              into data/
    python recipes/download.py --out data

A download that was cut off goes on where it was. The archive's checksum is compared before it is unpacked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from portavoz.errors import PortavozError
from portavoz.train.data.download import Archive, fetch, unpack

LJSPEECH = Archive(
    url="https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
    sha256="be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
    folder="LJSpeech-1.1",
)


def main(arguments: Sequence[str] | None = None, archive: Archive = LJSPEECH) -> int:
    """Fetch and unpack; gives the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data"), help="the folder that gets both (default: data)")
    args = parser.parse_args(arguments)
    try:
        name = archive.url.rsplit("/", 1)[-1]
        path = fetch(archive.url, args.out / name, archive.sha256, say=lambda line: print(line, file=sys.stderr))
        print(unpack(path, args.out, archive.folder))
    except PortavozError as problem:
        print(f"download: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
