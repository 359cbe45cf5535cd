"""A whole job: one file per id, the same bytes whatever the number of workers; resumed, changed, refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from bulk_jobs import digests, write_manifest
from filelock import FileLock

import portavoz
from portavoz.audio.loudness import lufs
from portavoz.bulk import Settings
from portavoz.bulk.job import run as run_job
from portavoz.errors import InputError, JobError

Job = Callable[..., dict[str, Any]]


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_one_file_per_id_the_same_from_one_worker_and_two(job: Job, tmp_path: Path, tiny: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", 9)
    told: list[str] = []
    report = job("one", format="opus", timings=True, loudness=-23, plan={"tell": lambda m: told.append(m.describe())})
    assert (report["items"], report["spoken"], report["failed"]) == (9, 9, 0)
    job("two", format="opus", timings=True, loudness=-23, plan={"workers": 2})
    found = digests(tmp_path / "one")
    assert found == digests(tmp_path / "two")
    names = {f"audio/item-{n}.opus" for n in range(9)} | {f"timings/item-{n}.json" for n in range(9)}
    assert set(found) == names | {"manifest.jsonl", "failed.jsonl"}
    listed = rows(tmp_path / "one" / "manifest.jsonl")
    assert [row["id"] for row in listed] == [f"item-{n}" for n in range(9)]
    for row in listed:
        path = tmp_path / "one" / row["audio"]
        samples, rate = soundfile.read(path)
        assert len(samples) / rate == pytest.approx(row["seconds"], abs=0.01)
        assert (path.stat().st_size, found[row["audio"]]) == (row["bytes"], row["sha256"])
        if row["loudness"] is not None and len(samples) > rate / 2:
            # Opus drops a part of what this voice babbles.
            assert lufs(samples, rate) == pytest.approx(row["loudness"], abs=2)
    words = json.loads((tmp_path / "one" / "timings" / "item-3.json").read_text())
    said = portavoz.load(tiny).speak(listed[3]["text"], speed=4.0, speaker="second")
    assert [word["text"] for word in words["words"]] == [word.text for word in said.words]
    assert words["seconds"] == listed[3]["seconds"] == round(said.duration, 4)
    assert len(told) == 9 and told[-1].startswith("9 of 9, ") and told[-1].endswith("0:00:00 left")
    assert report["seconds"] == pytest.approx(sum(row["seconds"] for row in listed), abs=0.01)


def test_ljspeech_can_be_trained_on(job: Job, tmp_path: Path) -> None:
    from portavoz.train.data.layouts import find

    (tmp_path / "m.csv").write_text('id,text\na,"One | two,\nthree."\nb,Four.\n')
    job(layout="ljspeech", manifest="m.csv")
    assert (tmp_path / "out" / "metadata.csv").read_text() == "a|One two, three.|One two, three.\nb|Four.|Four.\n"
    layout = find(tmp_path / "out")
    assert [(one.id, one.wav.is_file()) for one in layout.recordings] == [("a", True), ("b", True)]


def test_shards_are_the_same_from_one_worker_and_two(job: Job, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", 7, split="train")
    for out, workers in (("one", 1), ("two", 2)):
        job(out, layout="webdataset", shard_size=3, format="flac", keep_extra=True, plan={"workers": workers})
        assert list((tmp_path / out / ".portavoz-bulk" / "staging").iterdir()) == []
    found = digests(tmp_path / "one")
    assert found == digests(tmp_path / "two")
    shards = [f"shards/{n:06d}.tar" for n in range(3)]
    assert set(found) == {*shards, "manifest.jsonl", "failed.jsonl"}
    listed = rows(tmp_path / "one" / "manifest.jsonl")
    members = []
    for name in shards:
        with tarfile.open(tmp_path / "one" / name) as tar:
            members += tar.getnames()
    assert members == [f"item-{n}.{kind}" for n in range(7) for kind in ("flac", "json")]
    assert [(row["audio"], row["member"], row["split"]) for row in listed[2:4]] == [
        (shards[0], "item-2.flac", "train"), (shards[1], "item-3.flac", "train"),
    ]  # fmt: skip
    with tarfile.open(tmp_path / "one" / shards[1]) as tar:
        about = json.load(tar.extractfile("item-4.json"))  # pyright: ignore[reportArgumentType]
    assert (about["text"], about["split"], about["seconds"]) == (listed[4]["text"], "train", listed[4]["seconds"])


def test_bad_lines_stop_the_job_or_are_listed(job: Job, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        '{"id": "a", "text": "One."}\n{"id": "../b", "text": "Two."}\n{"id": "c", "text": ""}\n'
        '{"id": "d", "text": "你好"}\n{"id": "e", "text": "Three."}\n'
    )
    with pytest.raises(InputError, match=r"2 bad lines: line 2 .*; line 3 \(id 'c'\): the text is empty; correct") as e:
        job()
    assert "\n" not in str(e.value)
    assert digests(tmp_path / "out") == {}
    report = job(plan={"skip_bad": True})
    assert (report["spoken"], report["failed"], report["bad_lines"]) == (2, 1, 2)
    assert set(digests(tmp_path / "out")) == {"audio/a.wav", "audio/e.wav", "manifest.jsonl", "failed.jsonl"}
    failed = rows(tmp_path / "out" / "failed.jsonl")
    assert [(row["line"], row["id"]) for row in failed] == [(2, "../b"), (3, "c"), (4, "d")]
    assert "there is nothing to say" in failed[2]["reason"]
    # What failed is tried again, what is there is not.
    again = job(plan={"skip_bad": True})
    assert (again["spoken"], again["already"], again["failed"]) == (0, 2, 1)


def test_a_refused_job_leaves_no_folder(tmp_path: Path, tiny: Path) -> None:
    manifest, out = tmp_path / "m.jsonl", tmp_path / "out"
    with pytest.raises(InputError, match=r"m\.jsonl: cannot be read"):
        run_job(str(manifest), str(out))
    assert not out.exists()
    manifest.write_text('{"id": "a", "text": ""}\n', encoding="utf-8")
    with pytest.raises(InputError, match="1 bad line"):
        run_job(str(manifest), str(out), Settings(voice=str(tiny)))
    assert not out.exists()
    out.mkdir()
    with pytest.raises(InputError, match="1 bad line"):
        run_job(str(manifest), str(out), Settings(voice=str(tiny)))
    assert not any(out.iterdir())  # a folder that was there stays


def test_finished_files_that_were_lost_or_damaged_are_made_again(job: Job, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", 4)
    job()
    whole, audio = digests(tmp_path / "out"), tmp_path / "out" / "audio"
    (audio / "item-0.wav").unlink()
    (audio / "item-1.wav").write_bytes(b"RIFF")
    flipped = bytearray((audio / "item-2.wav").read_bytes())
    flipped[-1] ^= 1
    (audio / "item-2.wav").write_bytes(flipped)
    assert job()["spoken"] == 2
    assert job(plan={"verify": True})["spoken"] == 1
    assert digests(tmp_path / "out") == whole


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_disk_that_takes_no_more_ends_the_job_and_the_same_command_resumes(
    job: Job, tmp_path: Path, number: int
) -> None:
    write_manifest(tmp_path / "m.jsonl", 5)
    job("calm")
    left = [2]

    def replace(source: Any, target: Any) -> None:
        if Path(target).parent.name == "audio":
            if not left[0]:
                raise OSError(number, os.strerror(number))
            left[0] -= 1
        genuine(source, target)

    genuine = os.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("portavoz.bulk.output.os.replace", replace)
        with pytest.raises(JobError, match=os.strerror(number)):
            job()
    found = digests(tmp_path / "out")
    assert len(found) == 2 and found.items() <= digests(tmp_path / "calm").items()
    assert list((tmp_path / "out" / ".portavoz-bulk" / "tmp").iterdir()) == []
    assert job()["already"] == 2
    assert digests(tmp_path / "out") == digests(tmp_path / "calm")


def test_what_was_not_synced_is_compared_with_its_checksum(job: Job, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", 3)
    job()
    whole = digests(tmp_path / "out")
    ledger = tmp_path / "out" / ".portavoz-bulk" / "ledger" / "000000-0.jsonl"
    kept = [line for line in ledger.read_text().splitlines() if "synced" not in line]
    # As after a power loss: no note that files are safe, a torn line, and a file of the right size with other bytes.
    ledger.write_text("\n".join([*kept, '{"item": "12']))
    path = tmp_path / "out" / "audio" / "item-1.wav"
    path.write_bytes(bytes(path.stat().st_size))
    assert job()["spoken"] == 1
    assert digests(tmp_path / "out") == whole


def test_a_changed_manifest_is_named_and_taken_over_when_asked(job: Job, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", 4)
    job()
    given = rows(tmp_path / "m.jsonl")
    given[1]["text"] = "Another text."
    given[1]["speaker"] = "first"
    del given[2]
    given.insert(0, {"id": "new", "text": "It is new."})
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in given))
    before = digests(tmp_path / "out")
    with pytest.raises(JobError) as refused:
        job()
    assert (
        "the manifest has changed since this job began: 1 changed (first line 3, id 'item-1': text and speaker), "
        "1 removed (first id 'item-2'), 1 new (first line 1, id 'new'); give --update"
    ) in str(refused.value)
    assert digests(tmp_path / "out") == before
    assert job(plan={"update": True})["spoken"] == 2
    shutil.copytree(tmp_path / "out", tmp_path / "updated")
    shutil.rmtree(tmp_path / "out")
    job()
    assert digests(tmp_path / "updated") == digests(tmp_path / "out")


def test_shards_do_not_take_over_a_changed_manifest(job: Job, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", 2)
    job(layout="webdataset")
    write_manifest(tmp_path / "m.jsonl", 3)
    with pytest.raises(JobError, match=r"1 new \(first line 3, id 'item-2'\); shards keep their lines"):
        job(layout="webdataset", plan={"update": True})


def test_another_order_of_lines_is_a_change_too(job: Job, tmp_path: Path) -> None:
    lines = write_manifest(tmp_path / "m.jsonl", 3).read_text().splitlines()
    job()
    (tmp_path / "m.jsonl").write_text("\n".join(reversed(lines)))
    with pytest.raises(JobError, match="another order of lines"):
        job()
    assert job(plan={"update": True})["spoken"] == 0


def test_other_settings_versions_and_voices_are_named(job: Job, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", 1)
    job()
    with pytest.raises(JobError, match=r"began with other settings: speed 4.0 → 2.0, format 'wav' → 'flac'"):
        job(speed=2.0, format="flac")
    state = tmp_path / "out" / ".portavoz-bulk" / "job.json"
    asked = json.loads(state.read_text())
    state.write_text(json.dumps({**asked, "versions": {**asked["versions"], "numpy": "0.1"}}))
    with pytest.raises(JobError, match=r"began with other versions: numpy 0.1 → "):
        job()
    [name] = asked["voices"]
    state.write_text(json.dumps({**asked, "voices": {name: {**asked["voices"][name], "identity": "other"}}}))
    with pytest.raises(JobError, match="is not the one that this job began with"):
        job()


def test_a_second_job_in_the_same_folder_is_refused(job: Job, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", 1)
    (tmp_path / "out" / ".portavoz-bulk").mkdir(parents=True)
    lock = FileLock(tmp_path / "out" / ".portavoz-bulk" / ".lock")
    with lock, pytest.raises(JobError, match="another job is writing here"):
        job()


@pytest.mark.parametrize("kind", ["file", "other files", "below a file"])
def test_a_folder_of_something_else_is_refused(job: Job, tmp_path: Path, kind: str) -> None:
    write_manifest(tmp_path / "m.jsonl", 1)
    if kind == "other files":
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.tex").touch()
    else:
        (tmp_path / "out").touch()
    with pytest.raises(InputError, match="choose"):
        job("out/below" if kind == "below a file" else "out")


@pytest.mark.parametrize(
    "wrong",
    [{"format": "aac"}, {"layout": "heap"}, {"shard_size": 0}, {"loudness": 3.0}, {"speed": 11.0}, {"pauses": -1.0}],
    ids=str,
)
def test_values_that_cannot_be_are_refused(job: Job, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=str(next(iter(wrong.values())))[:2]):
        job(**wrong)
