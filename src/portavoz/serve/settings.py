"""Every setting of the server in one schema: flags, environment (PORTAVOZ_SERVE_…) and YAML, in this order.

An unknown key is an error in all three.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from ..errors import InputError
from ..graph.processor import cores
from ..input_files import YAML, parse_yaml, read_text

PREFIX = "PORTAVOZ_SERVE_"
CONFIG = f"{PREFIX}CONFIG"  # the YAML's path, for `create_app` under another program's command line
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The settings of `portavoz serve`. Times are in seconds, sizes in bytes unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 for any free one")
    api_key: SecretStr | None = Field(None, description="requests must carry this key: Authorization: Bearer KEY")
    no_auth: bool = Field(False, description="listen on a public address without a key")
    cors_origins: tuple[str, ...] = Field(
        (), description="origins of other pages that may call the API, such as https://example.org"
    )
    allowed_hosts: tuple[str, ...] = Field((), description="host names of this server, besides IP addresses")

    voices: tuple[Name, ...] = Field(
        (), description="voices by name or folder, NAME=FOLDER to rename (default: the bundled one)"
    )
    model_aliases: dict[str, str] = Field(
        {"tts-1": "", "tts-1-hd": "", "gpt-4o-mini-tts": ""},
        description="aliases of models, NAME=MODEL; '' is the first model",
    )  # fmt: skip
    voice_aliases: dict[str, Name] = Field({}, description="aliases of voices, such as alloy=heart")
    runtime: str | None = Field(None, description="runtime of every voice: onnx, eager or openvino")
    backend: str | None = Field(None, description="back end of the eager runtime: torch, mlx or numpy")
    device: str | None = Field(None, description="device of the back end")
    precision: str | None = Field(None, description="float32, int8 or bfloat16, where the family has them")
    preload: bool = Field(True, description="open the first voice before the server is ready")
    memory_mb: float = Field(4096, gt=0, description="close the least recently used voices to stay below this")
    idle_unload: Seconds | None = Field(None, description="close a voice that has not been used for this long")

    workers: int = Field(default_factory=cores, ge=1, le=256, description="compute threads per voice")
    batching: bool = Field(True, description="batch sentences of several requests where the family gains by it")
    slots: int = Field(default_factory=lambda: 8 * cores(), ge=1, le=65536, description="requests served at once")
    queue: int = Field(32, ge=0, le=65536, description="requests that may wait for a slot; further ones get 429")
    queue_timeout: Seconds = Field(30.0, description="longest wait for a slot")
    request_timeout: Seconds = Field(600.0, description="longest time for one request")
    stall_timeout: Seconds = Field(60.0, description="longest time that a client may neither send nor receive")
    drain_delay: float = Field(
        0.5, ge=0, le=600, description="after SIGTERM: how long new connections are still answered"
    )
    drain_timeout: Seconds = Field(600.0, description="after SIGTERM: longest time for running requests")

    max_input: int = Field(4096, ge=1, le=1_000_000, description="most characters of a text")
    max_body: int = Field(1 << 20, ge=1024, description="most bytes of a request")
    max_upload: int = Field(10 << 20, ge=1024, description="most bytes of an uploaded recording")
    max_voices: int = Field(100, ge=0, description="most uploaded recordings, and most recorded consents")
    voice_folder: Path | None = Field(None, description="folder of uploaded recordings (default: in memory)")

    ray: bool = Field(False, description="run replicas with Ray Serve, here or on the cluster at RAY_ADDRESS")
    replicas: int = Field(1, ge=1, le=4096, description="number of replicas, with --ray")

    wyoming_host: str = Field("127.0.0.1", description="address of the Wyoming server")
    wyoming_port: int | None = Field(
        None, ge=0, le=65535, description="also serve Wyoming (Home Assistant) on this port"
    )
    log_text: bool = Field(False, description="also write the texts into the log")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning, error")

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or any(c in rest for c in "/*?# "):
                raise ValueError("wanted origins such as https://example.org, without a path or a *")
        return origins


def read(flags: Mapping[str, Any] | None = None, config: str | Path | None = None) -> Settings:
    """The settings: `flags` take precedence over the environment, the environment over `config`. Raises InputError."""
    config = config or os.environ.get(CONFIG)
    _check_environment()
    try:
        environment = EnvSettingsSource(Settings)()
    except ValueError as error:
        raise InputError(f"settings: {error}; lists and mappings in the environment are written as JSON") from error
    values = {**(_yaml(config) if config else {}), **environment, **(flags or {})}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise InputError(_sentence(error)) from error


def check_address(settings: Settings) -> None:
    """Raises InputError for an address reachable from other machines without a key or --no-auth."""
    for name, host, used in (
        ("host", settings.host, True),
        ("wyoming_host", settings.wyoming_host, settings.wyoming_port is not None),
    ):
        # Wyoming has no keys, so a public address of it always needs --no-auth.
        keyed = settings.api_key is not None and name == "host"
        if used and not keyed and not settings.no_auth and not is_loopback(host):
            key = "set api_key, or " if name == "host" else ""
            raise InputError(f"{name} {host!r}: this address is reachable from other machines; {key}pass --no-auth")
    if settings.api_key is not None and not _usable_key(settings.api_key.get_secret_value()):
        raise InputError("api_key: wanted 8 to 512 printable ASCII characters without blanks; choose another")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _usable_key(key: str) -> bool:
    return 8 <= len(key) <= 512 and key.isascii() and key.isprintable() and " " not in key


def _check_environment() -> None:
    known = {f"{PREFIX}{name}".upper(): name for name in Settings.model_fields}
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known and name != CONFIG:
            raise InputError(f"the environment's {name} is not a setting{_near(name.upper(), list(known))}")


def _yaml(path: str | Path) -> dict[str, Any]:
    try:
        found = parse_yaml(read_text(path, YAML))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as YAML ({reason}); check it") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError(f"{path}: wanted lines of the form 'setting: value'")
    return found


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"settings: there is no {name!r}{_near(name, list(Settings.model_fields))}"
    secret = "" if name.startswith("api_key") else f" is {str(first['input'])[:80]!r}"
    return f"settings: {name}{secret}: {first['msg']}"


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else "; see 'portavoz serve --help'"
