"""Serve voices over HTTP with OpenAI's speech API, and a page to try them.

Every option can also be set in a YAML file (--config) or in the environment, as PORTAVOZ_SERVE_NAME. Flags take
precedence over the environment, and the environment over the file. The server is reachable from this machine only; any
other --host needs an API key.

Examples:
  portavoz serve
  portavoz serve --port 9000 --voices heart,my-voice=/srv/voices/mine --slots 32
  PORTAVOZ_SERVE_API_KEY=… portavoz serve --host 0.0.0.0
  portavoz serve --config server.yaml --wyoming-port 10200
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Union, get_args, get_origin

from ...errors import InputError, MissingExtra
from ..options import note

PACKAGES = ("fastapi", "uvicorn", "pydantic_settings", "prometheus_client", "structlog", "multipart", "yaml")


def options(parser: argparse.ArgumentParser) -> None:
    """What `serve` takes: the fields of its settings."""
    parser.add_argument("--config", metavar="YAML", help="read settings from this file")
    if _missing():
        return  # the settings are read with one of these; `run` says what to install
    from ...serve.settings import Settings

    for name, field in Settings.model_fields.items():
        kind, flag = _kind(field.annotation), f"--{name.replace('_', '-')}"
        about = (field.description or "").replace("%", "%%")
        if kind is bool and field.default:
            parser.add_argument(
                f"--no-{flag[2:]}", dest=name, action="store_false", default=None, help=f"do not {about}"
            )
        elif kind is bool:
            parser.add_argument(flag, action="store_true", default=None, help=about)
        else:
            parser.add_argument(flag, metavar=_letter(kind), default=None, help=about)


def hint(unknown: Sequence[str]) -> str:
    """What may be meant by arguments that no option takes."""
    return "; its options come with the server: pip install 'portavoz[serve]'" if _missing() else ""


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises InputError and MissingExtra."""
    if package := _missing():
        raise MissingExtra(package, "serve", "serve")
    from ...serve.settings import Settings, read

    flags = {
        name: _value(name, given, _kind(Settings.model_fields[name].annotation))
        for name in Settings.model_fields
        if (given := getattr(args, name)) is not None
    }
    settings = read(flags, args.config)
    if settings.ray:
        from ...serve.ray import run as serve_replicas

        return serve_replicas(settings, ready=note)
    from ...serve.run import run as serve

    return serve(settings, ready=note)


def _missing() -> str | None:
    """The first package of the extra that is not installed."""
    return next((name for name in PACKAGES if find_spec(name) is None), None)


def _kind(annotation: Any) -> Any:
    """The type of a field, without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(member for member in get_args(annotation) if member is not type(None))
    return get_origin(annotation) or annotation


def _letter(kind: Any) -> str:
    return {int: "N", float: "X", tuple: "A,B", dict: "NAME=VALUE,…"}.get(kind, "V")


def _value(name: str, given: Any, kind: Any) -> Any:
    """What the schema reads: lists as A,B and mappings as NAME=VALUE,NAME=VALUE. Raises InputError."""
    if kind not in (tuple, dict):
        return given
    parts = [part.strip() for part in given.split(",") if part.strip()]
    if kind is tuple:
        return tuple(parts)
    pairs = [part.partition("=") for part in parts]
    if not all(key and equals for key, equals, _ in pairs):
        raise InputError(f"--{name.replace('_', '-')} {given!r}: write NAME=VALUE, more of them after a comma")
    return {key: value for key, _, value in pairs}
