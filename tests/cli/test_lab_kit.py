"""`portavoz lab kit` and `lab compare KIT PORT.trace`: stage lines, exit codes, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kit_port import Port


def test_a_kit_and_a_port_of_it(run: Any, refused: Any, tmp_path: Path) -> None:
    made = run("lab", "kit", "compact", "--layout", "mlx", "-o", "kit", "--json")
    about = json.loads(made.out)
    assert made.code == 0 and about["layout"] == "mlx" and len(about["stages"]) == 4
    assert set(about["files"]) < {str(p.relative_to(tmp_path / "kit")) for p in (tmp_path / "kit").rglob("*")}
    port = Port(tmp_path / "kit")
    port.every_word()
    port.dump(tmp_path / "words.trace")
    part = run("lab", "compare", "kit", "words.trace")
    lines = part.out.decode().splitlines()
    assert part.code == 3 and lines[0].startswith("UNDECIDABLE: missing, or partial: encode, decode, vocode")
    name, judged, _, units, *_, answer = lines[-4].split()[:6]
    assert (name, judged, answer) == ("words", units, "PASS") and int(units) > 90 and "missing" in lines[-1]
    assert run("lab", "compare", "kit", "words.trace", "--stage", "words").code == 0
    port = Port(tmp_path / "kit")
    port.scale = lambda size: 1.0
    port.everything()
    port.dump(tmp_path / "port.trace")
    done = run("lab", "compare", "kit", "port.trace", "--json")
    report = json.loads(done.out)
    assert done.code == 1 and report["verdict"] == "FAIL" and report["faults"][0]["kind"] == "edge"
    assert [stage["wrong"] > 0 for stage in report["stages"]] == [False, True, True, False], report["first"]
    assert "the kit has words, encode, decode, vocode" in refused(
        "lab", "compare", "kit", "port.trace", "--stage", "mel"
    )


def test_what_is_refused(refused: Any) -> None:
    assert "name the folder with -o" in refused("lab", "kit", "compact")
    assert "there is no kit of the family" in refused("lab", "kit", "nobody", "-o", "kit")
    assert "needs a kit as the reference" in refused("lab", "compare", "compact", "compact", "--stage", "words")
