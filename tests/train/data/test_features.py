"""Features of recordings are kept by content, made once, and never half."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
from recordings import tone

from portavoz.flow import MelSpec
from portavoz.train.data.features import Cut, Features


def test_features_follow_content_not_names(tmp_path):
    tone(tmp_path / "a.wav")
    first = Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec())
    made = (first.place / "mels.f32").stat().st_mtime_ns
    os.utime(tmp_path / "a.wav")
    again = Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec())
    assert (again.place / "mels.f32").stat().st_mtime_ns == made
    tone(tmp_path / "a.wav", level=0.1)
    other = Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec())
    assert other.key != first.key
    assert not np.array_equal(other.mels, first.mels)
    cut = Features(tmp_path, [Cut(tmp_path / "a.wav", 0.25, 0.75)], MelSpec())
    assert abs(cut.frames[0] - 43) <= 1


def test_a_cache_that_is_not_whole_is_made_again(tmp_path):
    tone(tmp_path / "a.wav")
    first = Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec())
    wanted, place = np.array(first.mels), first.place
    del first
    (place / "mels.f32").write_bytes(b"torn")
    (place.parent / f"{place.name}.99999.part").mkdir()
    assert np.array_equal(Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec()).mels, wanted)
    assert not list(place.parent.glob("*.part"))


BUILD = """
import sys
from pathlib import Path
from portavoz.flow import MelSpec
from portavoz.train.data.features import Cut, Features
folder = Path(sys.argv[1])
print(Features(folder, [Cut(p) for p in sorted(folder.glob("*.wav"))], MelSpec()).mels.sum())
"""


def test_two_processes_make_one_cache(tmp_path):
    for i in range(6):
        tone(tmp_path / f"{i}.wav", 2.0, level=0.1 + 0.1 * i)
    running = [
        subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[0].strip() for process in running]
    assert [p.returncode for p in running] == [0, 0]
    assert said[0] == said[1]
    assert len([p for p in (tmp_path / "features").iterdir() if p.is_dir()]) == 1


def test_a_killed_build_leaves_nothing_that_counts(tmp_path):
    for i in range(40):
        tone(tmp_path / f"{i:02}.wav", 3.0)
    process = subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path)], stdout=subprocess.PIPE)
    gone = threading.Event()
    while not list((tmp_path).glob("features/*.part/mels.f32")) and process.poll() is None:
        gone.wait(0.005)
    process.kill()
    process.wait()
    process.stdout.close()
    assert not [p for p in (tmp_path / "features").iterdir() if p.is_dir() and p.suffix != ".part"]
    made = Features(tmp_path, [Cut(p) for p in sorted(tmp_path.glob("*.wav"))], MelSpec())
    assert len(made.frames) == 40
    assert not list((tmp_path / "features").glob("*.part"))
