"""Build the mock lane of TTNN: the real package on a mock device, without a card.

python scripts/ttnn_mock.py                  # build what is missing, and say where it is
python scripts/ttnn_mock.py -- CODE.py ARG   # run a Python file in it, with limits on memory and time
python scripts/ttnn_mock.py --board n300 -- CODE.py ARG     # on two chips

The package checks shapes, dtypes, layouts, sharding and L1, makes its programs and counts them; kernels are empty (a
stub compiler links one for each linker script), so numbers that come back are zeros. Needs Python 3.12 or 3.10, and
Debian's gcc-riscv64-unknown-elf and binutils-riscv64-unknown-elf.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "0.81.1"
PYTHONS = ("3.12", "3.10")
FORMAT = "2"  # another one when what is built beside the package changes
GCC = "riscv64-unknown-elf-gcc"
MEMORY, SECONDS = 24 * 2**30, 900
KERNEL = """
__attribute__((noinline)) unsigned foo(unsigned x) { __asm__ volatile(""); return x + 1; }
__attribute__((section(".start"))) unsigned _start(void) { return foo(1) + foo(2); }
"""
CLUSTER = """arch:
  0: wormhole_b0
chips:
  0: [0, 0, 0, 0]
ethernet_connections: []
chips_with_mmio:
  - 0: 0
harvesting:
  0: {noc_translation: true, harvest_mask: 64, dram_harvesting_mask: 0, eth_harvesting_mask: 0, pcie_harvesting_mask: 0}
boards:
  - - board_id: 1649267441664
    - board_type: n150
    - chips: [0]
"""
# Two chips on a board, joined by two links: an N300.
PAIR = """arch:
  0: wormhole_b0
  1: wormhole_b0
chips:
  0: [0, 0, 0, 0]
  1: [1, 0, 0, 0]
ethernet_connections:
  - - chip: 0
      chan: 8
    - chip: 1
      chan: 0
  - - chip: 0
      chan: 9
    - chip: 1
      chan: 1
chips_with_mmio:
  - 0: 0
harvesting:
  0: {noc_translation: true, harvest_mask: 64, dram_harvesting_mask: 0, eth_harvesting_mask: 0, pcie_harvesting_mask: 0}
  1: {noc_translation: true, harvest_mask: 64, dram_harvesting_mask: 0, eth_harvesting_mask: 0, pcie_harvesting_mask: 0}
boards:
  - - board_id: 1374389534720
    - board_type: n300
    - chips: [0, 1]
"""
CLUSTERS = {"n150": CLUSTER, "n300": PAIR}
STUB = r"""#!/bin/sh
# Links one empty RV32 kernel for each linker script, then copies it. It compiles nothing.
C=%(cache)s; N=$C/null.o; out=; T=; js=; mf=; L=; c=0; hdr=0
while [ $# -gt 0 ]; do case "$1" in
 --version) echo "riscv-tt-elf-g++ (tenstorrent/sfpi:7.89.0[1050]) 15.1.0"; exit 0;;
 -o) out=$2; shift;; -MF) mf=$2; shift;; -c) c=1;; c++-header) hdr=1;;
 -T) T=$2; shift;; -T*) T=${1#-T};; -L*) L="$L $1";; -Wl,--just-symbols=*) js=$1;;
esac; shift; done
[ -n "$mf" ] && printf '%%s:\n' "$out" > "$mf"
[ $hdr = 1 ] && { : > "$out"; exit 0; }
[ $c = 1 ] && { [ -n "$mf" ] || printf '%%s:\n' "$out" > "${out%%.*}.d"; exec cp $N "$out"; }
key=$(printf '%%s|%%s' "$T" "$js" | md5sum | cut -c1-16)
[ -f $C/$key.elf ] || { %(gcc)s -march=rv32im -mabi=ilp32 -nostdlib -nostartfiles -fno-lto \
 -Wl,-z,max-page-size=16 -Wl,-z,common-page-size=16 $L -T"$T" $js -Wl,--emit-relocs $N -o $C/$key.$$ \
 && mv $C/$key.$$ $C/$key.elf || exit 1; }
exec cp $C/$key.elf "$out"
"""


class Missing(Exception):
    """What the mock lane needs and this machine has not."""


def root() -> Path:
    """Where the lane is built and kept."""
    given = os.environ.get("PORTAVOZ_TTNN_MOCK")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) if given else Path(base) / "portavoz" / f"ttnn-mock-{VERSION}"


def interpreter() -> str:
    """A Python that the package has wheels for. Raises Missing."""
    tried: list[str] = []
    for version in PYTHONS:
        tried += [path for path in (shutil.which(f"python{version}"),) if path]
        # pyenv keeps its Pythons side by side: in the home folder, and beside the one that runs.
        for versions in (Path.home() / ".pyenv" / "versions", Path(sys.base_prefix).parent):
            tried += sorted(map(str, versions.glob(f"{version}.*/bin/python")))
    for path in tried:
        done = subprocess.run([path, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() in ("(3, 12)", "(3, 10)"):
            return path
    raise Missing("no Python 3.12 or 3.10 is here (ttnn has wheels for these)")


def build(folder: Path | None = None) -> Path:
    """Build what is missing of the lane. Raises Missing naming what cannot be had here."""
    folder = folder or root()
    if (folder / "done").is_file() and (folder / "done").read_text() == FORMAT:
        return folder
    for tool in (GCC, "riscv64-unknown-elf-objcopy"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not here: apt-get install gcc-riscv64-unknown-elf binutils-riscv64-unknown-elf")
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "venv" / "bin" / "python"
    if not python.is_file():
        subprocess.run([interpreter(), "-m", "venv", str(folder / "venv")], check=True)
    packages = [f"ttnn=={VERSION}", "safetensors", "filelock", "platformdirs"]
    done = subprocess.run([python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"the package index has no ttnn {VERSION} for this Python: {done.stderr.strip()[-200:]}")
    _runtime(folder, python)
    (folder / "done").write_text(FORMAT)
    return folder


def _runtime(folder: Path, python: Path) -> None:
    """The package's runtime folder with the stub in the place of its compiler."""
    code = "import importlib.util as u; print(u.find_spec('ttnn').submodule_search_locations[0])"
    package = Path(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip())
    shutil.rmtree(folder / "root", ignore_errors=True)
    binaries = folder / "root" / "runtime" / "sfpi" / "compiler" / "bin"
    binaries.mkdir(parents=True)
    for name in ("tt_metal", "ttnn"):
        if (package / name).exists():
            (folder / "root" / name).symlink_to(package / name)
    (folder / "root" / "runtime" / "hw").symlink_to(package / "runtime" / "hw")
    elf = folder / "elf"
    elf.mkdir(exist_ok=True)
    (elf / "null.c").write_text(KERNEL)
    flags = ["-march=rv32im", "-mabi=ilp32", "-ffreestanding", "-O2", "-c"]
    subprocess.run([GCC, *flags, str(elf / "null.c"), "-o", str(elf / "null.o")], check=True)
    stub = binaries / "riscv-tt-elf-g++"
    stub.write_text(STUB % {"cache": elf, "gcc": GCC})
    stub.chmod(0o755)
    (binaries / "riscv-tt-elf-objcopy").symlink_to(str(shutil.which("riscv64-unknown-elf-objcopy")))
    for board, text in CLUSTERS.items():
        (folder / f"{board}.yaml").write_text(text)


def environment(folder: Path, board: str = "n150") -> dict[str, str]:
    """What the package must see, over this process' own."""
    return {
        **os.environ,
        "TT_METAL_MOCK_CLUSTER_DESC_PATH": str(folder / f"{board}.yaml"),
        "TT_METAL_RUNTIME_ROOT": str(folder / "root"),
        "TT_METAL_CACHE": str(folder / "kernels"),
        "TT_LOGGER_LEVEL": "FATAL",
        "LOGURU_LEVEL": "WARNING",
    }


def run(
    arguments: list[str], *, path: Path | None = None, seconds: int = SECONDS, board: str = "n150"
) -> subprocess.CompletedProcess[str]:
    """Run Python in the lane, in a process of its own with limits. `path`: a folder with modules."""
    folder = build()
    arguments = [str(Path(a).resolve()) if a.endswith(".py") else a for a in arguments]
    given = environment(folder, board) | ({"PYTHONPATH": str(path)} if path else {})
    return subprocess.run(
        ["prlimit", f"--data={MEMORY}", folder / "venv" / "bin" / "python", *arguments],
        env=given, capture_output=True, text=True, timeout=seconds, cwd=folder,  # the package writes reports there
    )  # fmt: skip


def main() -> int:
    """Build, and run what stands behind --."""
    try:
        folder = build()
        print(folder, file=sys.stderr)
        arguments, board = sys.argv[1:], "n150"
        if arguments[:1] == ["--board"] and arguments[1:2] and arguments[1] in CLUSTERS:
            board, arguments = arguments[1], arguments[2:]
        if arguments[:1] != ["--"]:
            return 0
        done = run(arguments[1:], board=board, path=Path(__file__).resolve().parent.parent / "src")
    except (Missing, subprocess.TimeoutExpired) as problem:
        print(f"the mock lane cannot be built here: {problem}", file=sys.stderr)
        return 3
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr[-4000:])
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
