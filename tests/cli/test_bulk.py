"""`portavoz bulk`: a dry run, a run, its report and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bulk_jobs import write_manifest

Refused = Callable[..., str]


def test_a_dry_run_checks_and_estimates_and_writes_nothing(run: Any, tiny: Path, tmp_path: Path) -> None:
    write_manifest(Path("m.jsonl"), 5)
    done = run("bulk", "m.jsonl", "out", "--dry-run", "--voice", str(tiny))
    assert done.code == 0
    first, second = done.out.decode().splitlines()
    assert first.startswith("m.jsonl: 5 items, ") and first.endswith(" characters, 0 bad lines")
    assert second.startswith("estimate: ") and " minutes of sound, " in second
    with Path("m.jsonl").open("a") as out:
        out.write('{"id": "item-1", "text": "Again."}\n')
    done = run("bulk", "m.jsonl", "out", "--dry-run", "--voice", str(tiny))
    assert done.code == 1
    assert b"  line 6 (id 'item-1'): id 'item-1' is that of line 2\n" in done.out
    report = json.loads(run("bulk", "m.jsonl", "out", "--dry-run", "--voice", str(tiny), "--json").out)
    assert (report["items"], report["bad_lines"], len(report["bad"])) == (5, 1, 1)
    assert report["estimate"]["hours"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.jsonl"]


def test_a_run_reports_and_resumes(run: Any, refused: Refused, tiny: Path) -> None:
    write_manifest(Path("m.jsonl"), 2)
    words = ("bulk", "m.jsonl", "out", "--voice", str(tiny), "--workers", "1", "--speed", "4")
    done = run(*words)
    assert (done.code, done.out) == (0, b"")
    assert done.err.startswith("portavoz: out: 2 spoken, ") and ", RTF " in done.err
    done = run(*words, "--json")
    assert (done.code, json.loads(done.out)["already"]) == (0, 2)
    assert "began with other settings: speed 4.0 → 5.0" in refused(*words, "--speed", "5")
    with Path("m.jsonl").open("a") as out:
        out.write('{"id": "new", "text": "您好"}\n')
    assert "1 new (first line 3, id 'new'); give --update" in refused(*words)
    done = run(*words, "--update")
    assert done.code == 1
    assert "1 failed (see out/failed.jsonl)" in done.err


def test_what_cannot_be_is_one_line(refused: Refused, tiny: Path) -> None:
    assert "missing.csv: cannot be read" in refused("bulk", "missing.csv", "out")
    Path("m.csv").write_text("id,text\na,One.\n../b,Two.\n")
    assert "1 bad line: line 3 (id '../b')" in refused("bulk", "m.csv", "out", "--voice", str(tiny))
    assert "workers is 0" in refused("bulk", "m.csv", "out", "--workers", "0")
    assert "workers is 0" in refused("bulk", "m.csv", "out", "--workers", "0", "--dry-run")
    assert "format 'aac'" in refused("bulk", "m.csv", "out", "--format", "aac")
    assert "needs --state" in refused("bulk", "m.csv", "s3://bucket/out")
    assert "NUL" in refused("bulk", "m.csv", "o\0ut")
    assert "'x': there is no such folder" in refused("bulk", "m.csv", "out", "--voice", "x")
    assert "--set 'x': write NAME=VALUE" in refused("bulk", "m.csv", "out", "--set", "x")
