"""What a stranger gets: the wheel, installed alone in a new environment, speaks with the network cut off."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

# Read by Python at start-up from PYTHONPATH: whatever is imported later, no socket leaves this process.
NO_NETWORK = """
import sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"):
        raise RuntimeError(f"this process reached for the network: {event} {args[1:]}")

sys.addaudithook(refuse)
"""
SENTENCE = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it would be released."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("portavoz-*.whl"))


@pytest.fixture(scope="module")
def alone(wheel: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The bin folder of a new environment that has the wheel and its base dependencies, nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "install",
        "--quiet",
        "--no-compile",
    ]
    subprocess.run([*pip, "--constraint", str(root / "constraints.txt"), str(wheel)], check=True)
    yield folder / "bin"
    shutil.rmtree(folder)  # half a gigabyte that pytest would keep three times


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with an empty home, in which Python refuses every connection."""
    folder = tmp_path_factory.mktemp("offline")
    (folder / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    (folder / "home").mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "PYTHONPATH": str(folder), "COLUMNS": "100"}


def isolated() -> list[str]:
    """A prefix that takes the network away from the whole process, native code too, where the system lets us."""
    prefix = ["unshare", "--net", "--map-root-user"]
    works = shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    return prefix if works else []


def loudness(samples: np.ndarray) -> float:
    """The root mean square of `samples` in decibels below full scale."""
    return float(20 * np.log10(np.sqrt(np.mean(samples.astype(np.float64) ** 2)) + 1e-12))


def assert_speech(path: Path) -> None:
    """A wave file that could be `SENTENCE`: its length, its level, its voiced share; not noise, not silence."""
    samples, rate = soundfile.read(path)
    assert samples.ndim == 1
    assert rate >= 16000
    assert 1.5 < len(samples) / rate < 6.0
    assert -36 < loudness(samples) < -8
    assert np.abs(samples).max() <= 1.0
    assert np.mean(np.abs(samples) > 0.999) < 0.001
    frame = rate // 50
    levels = [loudness(samples[i : i + frame]) for i in range(0, len(samples) - frame, frame)]
    assert np.mean([level > -50 for level in levels]) > 0.5
    assert max(levels) - np.quantile(levels, 0.1) > 15  # speech rises and falls; noise stands still
    power = np.abs(np.fft.rfft(samples)) ** 2
    below = np.fft.rfftfreq(len(samples), 1 / rate) < 4000
    assert power[below].sum() > 0.7 * power.sum()


def test_network_trap_works(offline: dict[str, str]) -> None:
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True)
    assert done.returncode != 0
    assert "reached for the network" in done.stderr


def test_wheel_is_small_and_carries_the_voice(wheel: Path) -> None:
    files = {info.filename: info.file_size for info in zipfile.ZipFile(wheel).infolist()}
    voice = {name: size for name, size in files.items() if "/families/compact/voice/" in name}
    assert wheel.stat().st_size < 20_000_000
    assert {"voice.json", "model.safetensors"} <= {Path(name).name for name in voice}
    assert any(name.endswith(".onnx") for name in voice)
    assert sum(voice.values()) <= 19_000_000
    assert {"py.typed", "LICENSE", "NOTICE", "THIRD_PARTY.md"} <= {Path(name).name for name in files}


def test_base_install_has_no_framework(alone: Path) -> None:
    code = "import importlib.metadata as m; print(*(d.name.lower() for d in m.distributions()))"
    names = set(
        subprocess.run([alone / "python", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "portavoz" in names
    assert not names & {"torch", "mlx", "ttnn", "openvino", "ray", "transformers", "librosa", "scipy", "jaxtyping"}


def test_command_line_speaks_offline(alone: Path, offline: dict[str, str], tmp_path: Path) -> None:
    wav = tmp_path / "say.wav"
    command = [*isolated(), str(alone / "portavoz"), "say", SENTENCE, "-o", str(wav)]
    done = subprocess.run(command, env=offline, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_speech(wav)


def test_python_speaks_offline(alone: Path, offline: dict[str, str], tmp_path: Path) -> None:
    code = (
        f"import portavoz; s = portavoz.load().speak({SENTENCE!r}); "
        "import soundfile; soundfile.write('say.wav', s.samples, s.rate)"
    )
    command = [*isolated(), str(alone / "python"), "-W", "error", "-c", code]
    done = subprocess.run(command, env=offline, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_speech(tmp_path / "say.wav")


def test_import_is_light(alone: Path) -> None:
    code = "import sys, portavoz; print(*sorted(sys.modules))"
    start = time.perf_counter()
    done = subprocess.run([alone / "python", "-c", code], capture_output=True, text=True, check=True)
    print(f"import portavoz, whole process: {time.perf_counter() - start:.3f} s")
    heavy = {"numpy", "torch", "onnxruntime", "soundfile", "soxr", "num2words", "safetensors", "rich"}
    assert not set(done.stdout.split()) & heavy
    assert "portavoz" in done.stdout.split()


def test_version_is_one(alone: Path, root: Path) -> None:
    code = "import portavoz, importlib.metadata as m; print(portavoz.__version__, m.version('portavoz'))"
    said = subprocess.run([alone / "python", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == said[1]
    assert f"## {said[0]}" in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_satisfy_the_ranges(root: Path) -> None:
    """Each base dependency has a tested version in constraints.txt."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("\ndependencies = [", 1)[1].split("]", 1)[0]
    names = set(re.findall(r'"([\w-]+)>=', block))
    pinned = {
        line.split("==")[0].lower() for line in (root / "constraints.txt").read_text().splitlines() if "==" in line
    }
    assert len(names) >= 7
    assert names <= pinned


def test_make_commands_of_the_readme_exist(root: Path) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {"say", "test"} <= named
    assert named <= targets


def test_no_machine_paths(root: Path) -> None:
    """Nothing that git keeps names a folder of the machine it was written on."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout.decode()
    names = [
        name
        for name in listed.split("\0")
        if Path(name).suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".json", ""}
        # A container has folders of its own.
        and name not in ("deploy/Dockerfile", "tests/serve/test_deploy.py")
    ]
    path = re.compile(r"""(?<![\w.$}/])/(?:work|root|home|Users|opt|tmp)/\w""")
    guilty = [n for n in names if n and (root / n).is_file() and path.search((root / n).read_text(encoding="utf-8"))]
    assert len(names) > 20
    assert guilty == []
