"""Manifests: every way of writing one, and every kind of bad line, named with its number before anything is spoken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portavoz.bulk import Settings
from portavoz.bulk.check import Checked, check_manifest
from portavoz.bulk.item import BadLine, Item
from portavoz.bulk.manifest import MOST_LINE, read
from portavoz.bulk.snapshot import Snapshot
from portavoz.errors import InputError

DEFAULTS: dict[str, Any] = {"voice": None, "speaker": None, "speed": 1.0, "seed": 0}


def lines(path: Path, content: str | bytes, *, keep_extra: bool = False) -> list[Item | BadLine]:
    """What a manifest of this content is read as."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read(str(path), DEFAULTS, keep_extra=keep_extra))


def bad(path: Path, content: str | bytes) -> list[tuple[int, str]]:
    """The bad lines: number and reason."""
    return [(one.line, one.reason) for one in lines(path, content) if isinstance(one, BadLine)]


SAME = [
    ("m.csv", 'id,text,speaker,speed,seed\na,"One, two.",first,,\nb,Three.,,0.5,7\n'),
    ("m.csv", '\ufeffspeed;seed;speaker;text;id\r\n;;first;One, two.;a\r\n\r\n0.5;7;;Three.;b\r\n'),
    ("m.csv", "id|text|speaker|speed|seed\na|One, two.|first||\nb|Three.||0.5|7\n"),
    ("m.tsv", "id\ttext\tspeaker\tspeed\tseed\na\tOne, two.\tfirst\t\t\nb\tThree.\t\t0.5\t7"),
    ("m.jsonl", '{"id":"a","text":"One, two.","speaker":"first"}\n\n{"id":"b","text":"Three.","speed":0.5,"seed":7}\n'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content"), SAME, ids=lambda v: v[:10])
def test_every_format_says_the_same(tmp_path: Path, name: str, content: str) -> None:
    first, second = lines(tmp_path / name, content)
    assert isinstance(first, Item) and isinstance(second, Item)
    assert (first.id, first.text, first.speaker, first.speed, first.seed) == ("a", "One, two.", "first", 1.0, 0)
    assert (second.id, second.text, second.speaker, second.speed, second.seed) == ("b", "Three.", None, 0.5, 7)


def test_parquet_says_the_same(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{"id": "a", "text": "One, two.", "speed": None}, {"id": "b", "text": "Three.", "speed": 0.5}]
    parquet.write_table(pyarrow.Table.from_pylist([*rows, {"id": "c", "text": " "}]), tmp_path / "m.parquet")
    first, second, third = read(str(tmp_path / "m.parquet"), DEFAULTS)
    assert isinstance(first, Item) and isinstance(second, Item)
    assert (first.line, first.text, first.speed, second.speed) == (1, "One, two.", 1.0, 0.5)
    assert third == BadLine(3, "c", "the text is empty")
    (tmp_path / "m.parquet").write_bytes(b"PAR1, or not")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        list(read(str(tmp_path / "m.parquet"), DEFAULTS))


def test_plain_text_has_its_line_numbers_as_ids(tmp_path: Path) -> None:
    found = lines(tmp_path / "m.txt", "One.\n\n  Three, with é.\n")
    assert [(one.id, one.line) for one in found] == [("000001", 1), ("000003", 3)]
    assert isinstance(found[1], Item) and found[1].text == "Three, with é."


BAD_IDS = (
    "../up",
    "/etc/x",
    "a/b",
    "a\\b",
    ".hidden",
    "-option",
    "a.",
    "a b",
    "con",
    "NUL.x",
    "a:b",
    "x" * 201,
    "",
    "~a",
    "a\x7f",
)


@pytest.mark.parametrize("id", BAD_IDS, ids=lambda v: repr(v[:10]))
def test_ids_play_no_tricks_with_paths(tmp_path: Path, id: str) -> None:
    line = json.dumps({"id": id, "text": "Hello."})
    [(number, reason)] = bad(tmp_path / "m.jsonl", f'{{"id": "fine", "text": "One."}}\n{line}\n')
    assert number == 2
    assert "id" in reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "a"}', "the text is empty"),
        ('{"id": "a", "text": " \\n "}', "the text is empty"),
        ('{"id": "a", "text": "…!"}', "nothing to say"),
        ('{"id": "a", "text": 5}', "text is of type int"),
        ('{"id": "a", "text": "x\\u0000y"}', "control character"),
        ('{"id": "a", "text": "\\ud800"}', "not UTF-8"),
        ('{"id": "a\\ud800", "text": "One."}', "not UTF-8"),
        ('{"text": "One."}', "no id"),
        ('{"id": true, "text": "One."}', "no id"),
        ('{"id": "a", "text": "One.", "speed": 0}', "speed is '0'"),
        ('{"id": "a", "text": "One.", "speed": "fast"}', "speed is 'fast'"),
        ('{"id": "a", "text": "One.", "speed": NaN}', "speed is 'nan'"),
        ('{"id": "a", "text": "One.", "seed": 1.5}', "seed is '1.5'"),
        ('{"id": "a", "text": "One.", "seed": 1e99}', "seed is '1e+99'"),
        ('{"id": "a", "text": "One.", "seed": 99999999999999999999}', "seed is '9999"),
        ('{"id": "a", "text": "One.", "speaker": [1]}', "speaker is [1]"),
        ('{"id": "a", "text": "One.", "voice": 3}', "voice is 3"),
        ('{"id": "a", "text": "One.", "txet": "x"}', "unknown column 'txet'"),
        ('{"id": "a", "text": "One."', "not JSON"),
        ("[1, 2]", "type list, wanted a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"id": 1' + "0" * 5000 + ', "text": "One."}', "not JSON"),
        (json.dumps({"id": "a", "text": "One. " * 5000}), "a text of 25000 characters"),
    ],
    ids=lambda v: v[:24],
)  # fmt: skip
def test_bad_lines_have_a_number_and_a_reason(tmp_path: Path, line: str, reason: str) -> None:
    [(number, said)] = bad(tmp_path / "m.jsonl", f'{{"id": "fine", "text": "One."}}\n\n{line}\n')
    assert number == 3
    assert reason in said


@pytest.mark.parametrize(
    ("content", "number", "reason"),
    [
        ("id,text\na,One.\nb\n", 3, "1 columns, the first line has 2"),
        ("id,text\na,One.\nb,Two.,Three.\n", 3, "3 columns"),
        ('id,text\na,"One\nb,Two.\n', 2, "is a quote not closed?"),
        (b"id,text\na,caf\xe9.\n", 2, "not UTF-8"),
        (b"id,text\n\xff,One.\n", 2, "not UTF-8"),
        ('id,text\n"a\nb",One.\n', 2, "letters, digits"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_lines_of_csv(tmp_path: Path, content: str | bytes, number: int, reason: str) -> None:
    [(found, said)] = bad(tmp_path / "m.csv", content)
    assert found == number
    assert reason in said


def test_lines_after_a_bad_one_keep_their_numbers(tmp_path: Path) -> None:
    content = f"id,text\na,One.\n{'x' * (MOST_LINE + 1)}\nb\n" + 'c,"Two\nlines."\n,Four.\nd,Five.\n'
    found = lines(tmp_path / "m.csv", content)
    assert [(one.line, one.id, isinstance(one, Item)) for one in found] == [
        (2, "a", True), (3, "", False), (4, "b", False), (5, "c", True), (7, "", False), (8, "d", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("m.csv", "a,One.\nb,Two.\n", "no column 'text'"),
        ("m.csv", "", "no column 'text'"),
        ("m.csv", "text\nOne.\n", "no column 'id'"),
        ("m.csv", "id,text,text\n", "twice"),
        ("m.csv", "id,text\na,One.\n".encode("utf-16"), "it is UTF-16"),
        ("m.csv", "x" * (MOST_LINE + 1) + "\nid,text\n", "line 1: a line of more than 1048576 bytes"),
        ("m.xls", "", "a manifest's name ends with .csv"),
        ("m", "", "a manifest's name ends with .csv"),
    ],
    ids=lambda v: str(v)[:40],
)  # fmt: skip
def test_what_is_no_manifest_is_refused_whole(tmp_path: Path, name: str, content: str | bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        lines(tmp_path / name, content)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "endless", "nul"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"m\.csv"):
        list(read(f"{path}{chr(0) if kind == 'nul' else ''}.csv" if kind == "nul" else str(path), DEFAULTS))


def test_extra_columns_are_kept_where_asked(tmp_path: Path) -> None:
    [item] = lines(tmp_path / "m.csv", "id,text,split\na,One.,train\n", keep_extra=True)
    assert isinstance(item, Item) and item.extra == {"split": "train"}


def checked(folder: Path, content: str, tiny: Path, **settings: Any) -> Checked:
    """A manifest's full check with the small voice."""
    (folder / "m.jsonl").write_text(content, encoding="utf-8")
    (folder / "next").mkdir()
    return check_manifest(str(folder / "m.jsonl"), Settings(voice=str(tiny), **settings), folder / "next")


def manifest(*rows: dict[str, Any]) -> str:
    """A JSONL manifest."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def test_the_check_sees_repeated_ids_voices_and_speakers(tmp_path: Path, tiny: Path) -> None:
    rows = [
        {"id": "a", "text": "One."},
        {"id": "b", "text": "Two.", "speaker": "second"},
        {"id": "a", "text": "Three."},
        {"id": "A", "text": "Four."},
        {"id": "c", "text": "Five.", "speaker": "nobody"},
        {"id": "d", "text": "Six.", "voice": "owner/name"},
        {"id": "e", "text": "Seven.", "speaker": 1},
        {"id": "f", "text": "Eight.", "speaker": 9},
        {"id": "caf\u00e9", "text": "Nine."},
        {"id": "cafe\u0301", "text": "Ten."},
    ]
    found = checked(tmp_path, manifest(*rows), tiny)
    said = {one.line: one.reason for one in found.first_bad}
    assert sorted(said) == [3, 4, 5, 6, 8, 10]
    assert "that of line 1" in said[3] and "some file systems take both for one" in said[4]
    assert "nobody" in said[5]
    assert "neither bundled nor a folder here" in said[6]
    assert "that of line 9" in said[10]
    assert (found.items, found.bad) == (4, 6)
    with Snapshot(tmp_path / "next") as items:
        assert [item.line for item in items] == [1, 2, 7, 9]
        assert items[2].text == "Seven."
    assert len((tmp_path / "next" / "bad.jsonl").read_text().splitlines()) == 6
    assert found.describe_bad(1) == ["line 3 (id 'a'): id 'a' is that of line 1", "5 more"]


def test_a_default_voice_that_cannot_be_opened_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no voice of that name"):
        checked(tmp_path, manifest({"id": "a", "text": "One."}), tmp_path / "nobody")


def test_a_key_of_webdataset_has_no_dot(tmp_path: Path, tiny: Path) -> None:
    found = checked(
        tmp_path, manifest({"id": "a.b", "text": "One."}, {"id": "c", "text": "Two."}), tiny, layout="webdataset"
    )
    assert "first dot" in found.first_bad[0].reason


def test_an_empty_manifest_is_refused(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        checked(tmp_path, "\n", tiny)


LONG = """
import sys, tracemalloc
from portavoz.bulk.manifest import read
tracemalloc.start()
found = list(read(sys.argv[1], {"voice": None, "speaker": None, "speed": 1.0, "seed": 0}))
assert [(one.line, one.reason[:9]) for one in found[:-1]] == [(2, "a line of")], found[:2]
assert found[-1].id == "b", found[-1]
print(tracemalloc.get_traced_memory()[1])
"""


def hollow(path: Path, before: bytes, size: int, after: bytes) -> Path:
    """A manifest with a line of `size` zeros, which are a hole in the file."""
    with path.open("wb") as file:
        file.write(before)
        file.seek(size)
        file.write(after)
    return path


@pytest.mark.parametrize("size", [50_000_000, pytest.param(1_000_000_000, marks=pytest.mark.slow)])
def test_a_line_of_a_gigabyte_costs_no_memory(tmp_path: Path, size: int) -> None:
    path = hollow(tmp_path / "m.csv", b"id,text\n", size, b"\nb,One.\n")
    done = subprocess.run([sys.executable, "-c", LONG, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 * MOST_LINE


WHOLE = """
import resource, sys
from portavoz.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "first", "line"), [
    ("m.csv", b"id,text\na,One.\n", 3), ("m.jsonl", b'{"id": "a", "text": "One."}\n', 2), ("m.txt", b"One.\n", 2),
])  # fmt: skip
def test_the_command_names_the_line_of_a_gigabyte(
    tmp_path: Path, tiny: Path, name: str, first: bytes, line: int
) -> None:
    """And takes no more memory for it than for a manifest of two short lines."""
    peaks = []
    for size in (len(first) + 1, 1_000_000_000):
        path = hollow(tmp_path / name, first, size, b"\n")
        command = ["bulk", str(path), str(tmp_path / "out"), "--dry-run", "--voice", str(tiny)]
        done = subprocess.run([sys.executable, "-c", WHOLE, *command], capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        peaks.append(int(done.stdout.splitlines()[-1]))
        if size > 1000:
            assert f"line {line}: a line of more than 1048576 bytes" in done.stdout
            assert "1 items" in done.stdout and "1 bad lines" in done.stdout
    assert peaks[1] < peaks[0] + 8 * MOST_LINE / 1024, peaks
