"""Downloads against a server that misbehaves: cut connections, wrong content, no ranges, errors."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import os
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from portavoz.errors import InputError, JobError
from portavoz.train.data import download
from portavoz.train.data.download import fetch, unpack

DATA = np.random.default_rng(0).bytes(3_000_000)
SHA = hashlib.sha256(DATA).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves DATA. `cuts` says how many answers end after a third; `ranges` whether it can go on from a place."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts, self.ranges, self.status, self.data = 0, True, 200, DATA
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        first = int(wanted.split("=")[1].rstrip("-")) if wanted and server.ranges else 0
        if first >= len(server.data):
            self.send_error(416)
            return
        body = server.data[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cuts:
            server.cuts -= 1
            self.wfile.write(body[: len(body) // 3])
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    served = Server()
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def quiet(line):
    pass


def test_a_file_is_fetched_once(server, tmp_path):
    path = fetch(server.url, tmp_path / "a" / "file", SHA, say=quiet)
    assert path.read_bytes() == DATA
    fetch(server.url, path, SHA, say=quiet)
    assert server.asked == [None]


def test_a_cut_connection_goes_on_from_where_it_was(server, tmp_path):
    server.cuts = 2
    said = []
    fetch(server.url, tmp_path / "file", SHA, wait=0, say=said.append)
    assert server.asked == [None, "bytes=1000000-", "bytes=1666666-"]
    assert (tmp_path / "file").read_bytes() == DATA
    assert len(said) == 2
    assert not (tmp_path / "file.part").exists()


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path):
    server.cuts, server.ranges = 1, False
    fetch(server.url, tmp_path / "file", SHA, wait=0, say=quiet)
    assert (tmp_path / "file").read_bytes() == DATA


def test_what_was_begun_is_kept_when_the_net_stays_bad_and_goes_on_later(server, tmp_path):
    server.cuts = 2
    with pytest.raises(JobError, match="the same command resumes"):
        fetch(server.url, tmp_path / "file", SHA, tries=2, wait=0, say=quiet)
    assert (tmp_path / "file.part").stat().st_size == 1_666_666
    fetch(server.url, tmp_path / "file", SHA, say=quiet)
    assert server.asked[-1] == "bytes=1666666-"


def test_a_complete_part_is_taken_as_it_is(server, tmp_path):
    (tmp_path / "file.part").write_bytes(DATA)
    assert fetch(server.url, tmp_path / "file", SHA, say=quiet).read_bytes() == DATA


def test_a_wrong_checksum_is_refused_and_nothing_is_left(server, tmp_path):
    server.data = b"x" + DATA[1:]
    with pytest.raises(JobError, match="its checksum is"):
        fetch(server.url, tmp_path / "file", SHA, say=quiet)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_is_not_there_is_not_tried_again(server, tmp_path):
    server.status = 404
    with pytest.raises(JobError, match="404"):
        fetch(server.url, tmp_path / "file", SHA, say=quiet)
    assert len(server.asked) == 1


def test_a_server_that_is_down_is_tried_again(server, tmp_path):
    server.status = 503
    with pytest.raises(JobError, match="interrupted 3 times"):
        fetch(server.url, tmp_path / "file", SHA, tries=3, wait=0, say=quiet)
    assert len(server.asked) == 3


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_and_what_came_is_kept(server, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            return super().write(data) if self.tell() < 1 << 20 else full()

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda path, mode: Full(path, mode))
        with pytest.raises(JobError, match=r"file\.part: cannot be written .*No space left.* the same command resumes"):
            fetch(server.url, tmp_path / "file", SHA, wait=0, say=quiet)
    assert len(server.asked) == 1
    assert fetch(server.url, tmp_path / "file", SHA, say=quiet).read_bytes() == DATA
    assert server.asked[-1] == f"bytes={1 << 20}-"


def test_a_net_that_is_gone_while_reading_is_tried_again(server, tmp_path, monkeypatch):
    more, problems = download._more, [OSError(errno.EHOSTUNREACH, "No route to host")]

    def gone(*args):
        if problems:
            raise problems.pop()
        more(*args)

    monkeypatch.setattr(download, "_more", gone)
    assert fetch(server.url, tmp_path / "file", SHA, wait=0, say=quiet).read_bytes() == DATA


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InputError, match="data: this is a file, wanted a folder"):
        fetch("http://127.0.0.1:1/file", tmp_path / "data" / "file", SHA)


def packed(path, name="folder/a.txt", link=""):
    with tarfile.open(path, "w:bz2") as out:
        member = tarfile.TarInfo(name)
        member.size = 5
        if link:
            member.type, member.linkname, member.size = tarfile.SYMTYPE, link, 0
        out.addfile(member, io.BytesIO(b"hello"))
    return path


def test_archives_unpack_whole_or_not_at_all(tmp_path):
    path = packed(tmp_path / "a.tar.bz2")
    place = unpack(path, tmp_path, "folder")
    assert (place / "a.txt").read_text() == "hello"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.bz2", "folder"]
    assert unpack(tmp_path / "gone", tmp_path, "folder") == place
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(path, tmp_path / "b", "folder")
    assert not (tmp_path / "b" / "folder").exists()
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(packed(tmp_path / "evil.tar", "../evil"), tmp_path / "c", "folder")
    assert not (tmp_path / "evil").exists()
    with pytest.raises(InputError, match="not a file inside"):
        unpack(packed(tmp_path / "link.tar", link=str(tmp_path)), tmp_path / "d", "folder")


def test_a_full_disk_is_no_damaged_archive(tmp_path, monkeypatch):
    path = packed(tmp_path / "a.tar.bz2")
    monkeypatch.setattr(tarfile.TarFile, "makefile", full)
    with pytest.raises(JobError, match=r"No space left.*free space") as refusal:
        unpack(path, tmp_path, "folder")
    assert "fetch it again" not in str(refusal.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.bz2"]
