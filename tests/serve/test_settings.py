"""Settings by flag, environment and YAML: one schema, in this order; unknown keys and open addresses are refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import open_voices
import pytest
import served

from portavoz.cli import main
from portavoz.errors import InputError
from portavoz.serve.settings import CONFIG, Settings, check_address, is_loopback, read


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PORTAVOZ_SERVE_"):
            monkeypatch.delenv(name)


def test_flags_come_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("port: 1\nslots: 1\nqueue: 1\nvoices: [a, b]\n", encoding="utf-8")
    monkeypatch.setenv("PORTAVOZ_SERVE_SLOTS", "2")
    monkeypatch.setenv("PORTAVOZ_SERVE_QUEUE", "2")
    found = read({"queue": "3"}, config)
    assert (found.port, found.slots, found.queue, found.voices) == (1, 2, 3, ("a", "b"))
    monkeypatch.setenv("PORTAVOZ_SERVE_VOICES", '["c"]')
    monkeypatch.setenv(CONFIG, str(config))
    assert read().voices == ("c",)
    assert read().port == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot: 1", r"there is no 'prot'; did you mean port\?"),
        ("port: 70000", r"port is '70000': .*65535"),
        ("slots: 0", "slots is '0'"),
        ("slots: many", "slots is 'many'"),
        ("cors_origins: ['*']", "cors_origins.*wanted origins such as https://example.org"),
        ("- a", "wanted lines of the form 'setting: value'"),
        ("a: [", "cannot be read as YAML"),
        ("queue_timeout: .inf", "queue_timeout is 'inf'"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read({}, tmp_path / "c.yaml")


def test_a_missing_file_and_an_unknown_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        read({}, tmp_path / "none.yaml")
    monkeypatch.setenv("PORTAVOZ_SERVE_SLOT", "2")
    with pytest.raises(InputError, match=r"PORTAVOZ_SERVE_SLOT is not a setting; did you mean PORTAVOZ_SERVE_SLOTS\?"):
        read()


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.2", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_an_address_that_others_reach_needs_a_key_or_a_word(host: str, local: bool) -> None:
    assert is_loopback(host) == local
    if local:
        check_address(Settings(host=host))
    else:
        with pytest.raises(InputError, match="is reachable from other machines; set api_key, or pass --no-auth"):
            check_address(Settings(host=host))
    check_address(Settings(host=host, api_key="long-enough-key"))  # type: ignore[arg-type]
    check_address(Settings(host=host, no_auth=True))


@pytest.mark.parametrize("key", ["", "short", "with a blank", "tschüss-tschüss", "x" * 513])
def test_a_key_that_a_header_cannot_carry(key: str) -> None:
    with pytest.raises(InputError, match="api_key: wanted 8 to 512") as caught:
        check_address(Settings(api_key=key))  # type: ignore[arg-type]
    assert not key or key not in str(caught.value)


def test_wyoming_has_no_keys() -> None:
    with pytest.raises(InputError, match=r"wyoming_host '0\.0\.0\.0': this address is reachable .*; pass --no-auth"):
        check_address(Settings(wyoming_host="0.0.0.0", wyoming_port=1, api_key="long-enough-key"))  # type: ignore[arg-type]
    check_address(Settings(wyoming_host="0.0.0.0"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "this address is reachable from other machines"),
        (["--port", "x"], "port is 'x'"),
        (["--prot", "1"], "unrecognized arguments: --prot"),
        (["--voice-aliases", "alloy"], "--voice-aliases 'alloy': write NAME=VALUE"),
        (["--voices", "nobody"], "voice 'nobody': there is no such folder, and no voice of that name; check the name"),
        (["--voices", "heart,b=/nowhere"], "voice '/nowhere': there is no such folder"),
        (["--model-aliases", "x=y"], "there is no such model"),
        (["--voice-aliases", "alloy=nobody"], "voice_aliases: alloy=nobody: no model has such a voice"),
        (["--port", "0", "--runtime", "none"], "runtime 'none'"),
        (["--port", "0", "--memory-mb", "0.1"], "heart is larger than the memory for models"),
        (["--voices", "a=heart,a=heart"], "same name"),
        (["--host", "192.0.2.1", "--no-auth"], "cannot listen on it"),
    ],
)
def test_the_command_line_refuses_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *words]) == 2
    err = capsys.readouterr().err
    assert message in err.splitlines()[-1]


def test_what_shows_only_while_it_starts_ends_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAVOZ_CACHE", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", "0", "--wyoming-port", str(port), "--no-preload"]) == 2
    assert f"wyoming 127.0.0.1:{port}: cannot listen on it" in capsys.readouterr().err.splitlines()[-1]
    graph = open_voices.piper(tmp_path)
    graph.write_bytes(graph.read_bytes()[:200])
    assert main(["serve", "--port", "0", "--voices", str(graph), "--log-level", "error"]) == 2
    assert "or one that is cut short; fetch it again" in capsys.readouterr().err.splitlines()[-1]


def test_every_setting_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    help_text = capsys.readouterr().out
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in help_text or f"--no-{name.replace('_', '-')}" in help_text


def test_the_process_serves_and_ends_with_0() -> None:
    with served.Process("--voice-aliases", "alloy=heart", module="portavoz serve") as running:
        with running.client() as client:
            sound = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", response_format="wav")
        assert sound.content[:4] == b"RIFF"
        assert running.stop() == 0


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from portavoz.cli.commands import serve

    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else object())
    assert main(["serve"]) == 2
    assert "serve needs the package 'uvicorn': pip install 'portavoz[serve]'" in capsys.readouterr().err
    assert main(["serve", "--port", "1"]) == 2
    assert "its options come with the server: pip install 'portavoz[serve]'" in capsys.readouterr().err
