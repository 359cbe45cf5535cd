"""Look at the built files before anyone else does: ``python scripts/check_release.py dist``.

The wheel must carry the voice and the licences and stay under 20 MB, the changelog must speak of the version, and
nothing may be in there that belongs to a developer's machine.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

LIMIT = 20_000_000  # bytes of the wheel
WANTED = ("portavoz/__init__.py", "portavoz/py.typed", "voice.json", "model.safetensors", ".onnx", "LICENSE", "NOTICE")
UNWANTED = re.compile(r"(\.venv|__pycache__|\.pyc|/runs/|/corpus/|\.wav)")


def problems(folder: Path) -> list[str]:
    """Each thing that is wrong with the release in `folder`, as a sentence."""
    wheels, archives = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(archives) != 1:
        return [f"{folder} holds {len(wheels)} wheels and {len(archives)} source archives; wanted one of each"]
    wheel, archive = wheels[0], archives[0]
    names = zipfile.ZipFile(wheel).namelist()
    found = [f"the wheel has no {want}" for want in WANTED if not any(name.endswith(want) for name in names)]
    size = wheel.stat().st_size
    if size >= LIMIT:
        found.append(f"the wheel has {size / 1e6:.1f} MB; wanted less than {LIMIT / 1e6:.0f}")
    with tarfile.open(archive) as tar:
        names += tar.getnames()
    found += [f"{name} does not belong in a release" for name in names if UNWANTED.search(name)]
    version = wheel.name.split("-")[1]
    if f"## {version}" not in Path("CHANGELOG.md").read_text(encoding="utf-8"):
        found.append(f"CHANGELOG.md says nothing of {version}")
    return found


if __name__ == "__main__":
    faults = problems(Path(sys.argv[1]))
    print("\n".join(faults) or "the release is in order")
    sys.exit(1 if faults else 0)
