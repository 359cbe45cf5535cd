"""An object store as the target: the same objects as files, the job's own state in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from bulk_jobs import digests, write_manifest

from portavoz.bulk import Settings
from portavoz.bulk.job import Plan, run
from portavoz.bulk.manifest import read
from portavoz.errors import InputError, JobError

DEFAULTS: dict[str, Any] = {"voice": None, "speaker": None, "speed": 1.0, "seed": 0}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """What lies behind local:// here: fsspec's own local files, which worker processes see too."""
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


@pytest.mark.parametrize("layout", ["files", pytest.param("webdataset", marks=pytest.mark.slow)])
def test_objects_are_the_files(tmp_path: Path, tiny: Path, job: Any, store: Path, layout: str) -> None:
    write_manifest(tmp_path / "m.jsonl", 4)
    job(layout=layout, shard_size=3)
    settings = Settings(voice=str(tiny), speed=4.0, layout=layout, shard_size=3)

    def there(**more: Any) -> dict[str, Any]:
        plan = Plan(workers=1, state=str(tmp_path / "state"), **more)
        return run(str(tmp_path / "m.jsonl"), f"local://{store}/out", settings, plan)

    assert there()["spoken"] == 4
    assert digests(store / "out") == digests(tmp_path / "out")
    assert there(verify=True)["already"] == 4
    if layout == "files":
        (store / "out" / "audio" / "item-1.wav").unlink()
        assert there()["spoken"] == 1
    assert digests(store / "out") == digests(tmp_path / "out")


def test_a_manifest_of_an_object_store() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/m.csv", b"id,text\na,One.\n")
    [item] = read("memory://m.csv", DEFAULTS)
    assert item.id == "a"
    for url, reason in (("memory://none.csv", "cannot be read"), ("nowhere://m.csv", "cannot be opened")):
        with pytest.raises(InputError, match=reason):
            list(read(url, DEFAULTS))


class Refusing:
    """A store in which nothing works."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def refuse(*_: object, **__: object) -> Any:
            raise PermissionError("access denied")

        return refuse


def test_a_store_that_refuses_is_one_sentence() -> None:
    from portavoz.bulk.remote import ObjectStore

    output: Any = ObjectStore("memory://out")
    output._store = Refusing()
    for name, more in (("put", (b"",)), ("open", ()), ("size", ()), ("remove", ())):
        with pytest.raises(JobError, match=r"memory://out/a?: the object store refused \(access denied\)"):
            getattr(output, name)("a", *more)


def test_what_is_not_whole_becomes_no_object(store: Path) -> None:
    from portavoz.bulk.remote import ObjectStore

    output = ObjectStore(f"local://{store}")

    def half() -> None:
        with output.writer("a") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert ObjectStore(f"local://{store}").size("a") is None
    with output.writer("a") as file:
        file.write(b"whole")
    assert ObjectStore(f"local://{store}").size("a") == 5
    with output.open("a") as file:
        assert hashlib.sha256(file.read()).hexdigest() == hashlib.sha256(b"whole").hexdigest()
    output.remove("a")
    output.remove("a")
    assert ObjectStore(f"local://{store}").size("a") is None
