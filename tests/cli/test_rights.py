"""Folders and files that the user may not read or write, met by a user who really may not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import unprivileged

import portavoz

# locked: a folder that may not be entered; locked.…: files that may not be read; closed: a folder that may not be
# changed.
LINES = (
    ("say", "Hello.", "--voice", "locked"),
    ("say", "Hello.", "--voice", "locked/voice"),
    ("say", "--file", "locked.txt"),
    ("say", "--file", "locked/a.txt"),
    ("say", "Hello.", "--lexicon", "locked.txt"),
    ("say", "Hello.", "-o", "closed/out.wav"),
    ("say", "Hello.", "-o", "locked/out.wav"),
    ("text", "Hello.", "--lexicon", "locked/l.txt"),
    ("show", "locked"),
    ("show", "locked/voice"),
    ("train", "locked.yaml", "--out", "run"),
    ("train", "locked/c.yaml", "--out", "run"),
    ("compress", "locked", "-o", "x", "--as", "int8"),
    ("evaluate", "locked", "--corpus", "locked"),
    ("listen", "locked", "locked", "-o", "x.html"),
    ("bulk", "locked.txt", "out"),
    ("bulk", "open.txt", "closed/out"),
    ("bulk", "open.txt", "locked/out"),
    ("serve", "--config", "locked.yaml"),
    ("serve", "--voice-folder", "locked", "--port", "0"),
    ("tune", "locked"),
    ("weights", "audit", "locked.safetensors"),
    ("weights", "audit", "locked"),
    ("weights", "convert", "locked.safetensors", "x.safetensors"),
    ("weights", "convert", "open.safetensors", "closed/x.safetensors"),
    ("weights", "convert", "locked.pt", "x.safetensors", "--trust-pickle"),
    ("weights", "diff", "locked.safetensors", "open.safetensors"),
    ("weights", "repair", "locked.safetensors", "--against", "open.safetensors"),
    ("lab", "check", "locked.trace"),
    ("lab", "compare", "locked.trace", "locked.trace"),
    ("lab", "compare", "compact", "locked/p.trace"),
    ("lab", "kit", "compact", "-o", "closed/kit"),
    ("lab", "signals", "locked.wav"),
    ("lab", "signals", "--mel", "locked.npy"),
    ("lab", "signals", "--mel", "open.npy", "--spec", "locked.json"),
)


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[tuple[str, ...], tuple[int, str]]]:
    """What each line ended with. (pytest's own folders are closed to others, so this one lies beside them.)"""
    import numpy as np
    from safetensors.numpy import save_file

    place = Path(tempfile.mkdtemp(prefix="portavoz-rights-"))
    try:
        (place / "locked" / "voice").mkdir(parents=True)
        (place / "closed").mkdir()
        for ending in ("txt", "yaml", "safetensors", "pt", "trace", "wav", "npy", "json"):
            (place / f"locked.{ending}").write_text("x", encoding="utf-8")
        (place / "open.txt").write_text("Hello.\n", encoding="utf-8")
        save_file({"a": np.ones((2, 3), np.float32)}, place / "open.safetensors")
        np.save(place / "open.npy", np.ones((20, 80), np.float32))
        for path in place.iterdir():
            path.chmod(0 if path.name.startswith("locked") else 0o555 if path.is_dir() else 0o644)
        place.chmod(0o777)
        source = str(Path(portavoz.__file__).parents[1])
        env = {**os.environ, "PYTHONPATH": source, "HOME": str(place), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, unprivileged.__file__, str(place)]
        done = subprocess.run(command, input=json.dumps(LINES), env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        yield {line: (code, said) for line, (code, said) in zip(LINES, json.loads(done.stdout))}
    finally:
        (place / "locked").chmod(0o700)
        shutil.rmtree(place)


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_what_may_not_be_touched_is_one_sentence(
    answers: dict[tuple[str, ...], tuple[int, str]], line: tuple[str, ...]
) -> None:
    code, said = answers[line]
    assert code == 2, said
    assert "internal error" not in said
    assert "Error:" not in said
    last = said.splitlines()[-1]
    assert last.startswith("portavoz: ")
    assert "locked" in last or "closed" in last
    assert len(said) < 2000
