"""The server process: sockets, signals, and a shutdown that lets running requests finish."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import uvicorn

from ..errors import InputError
from ..interrupts import handled
from .app import create_app
from .settings import Settings, check_address

if TYPE_CHECKING:
    from fastapi import FastAPI

    from .service import Service

HEAD = 16 << 10  # bytes of a request's headers
# Seconds after which a computing thread lets the event loop go on. Python's own 5 ms, once for each thread and each
# turn of the loop, are what a client at a busy server would wait for.
SWITCH = 0.0005


class DrainingServer(uvicorn.Server):
    """uvicorn that, at SIGTERM, first reports not ready, continues for `drain_delay`, and then closes.

    Running requests finish; a second signal ends the process at once.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self._draining: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Handle the signals here: the process then ends with code 0, not by the signal."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals belong to the main thread; whoever runs this elsewhere sets should_exit
            return
        loop = asyncio.get_running_loop()

        def handle(*_: object) -> None:
            loop.call_soon_threadsafe(self._stop)

        with handled(handle):
            yield

    def _stop(self) -> None:
        if self._draining is not None:
            self.force_exit = self.should_exit = True
            return
        self.service.admission.draining = True
        self.service.log.info("draining", running=self.service.admission.running)
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; also if the service has a fault."""
        return await super().on_tick(counter) or self.service.fault is not None

    async def _drain(self) -> None:
        await asyncio.sleep(self.service.settings.drain_delay)
        self.should_exit = True


def server(app: FastAPI) -> DrainingServer:
    """The application's server, not started."""
    service: Service = app.state.service
    settings = service.settings
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",  # errors are in the server's own log, with the request's id
        access_log=False,
        server_header=False,
        http="h11",  # whose bound on headers is ours to set
        ws="websockets-sansio",
        ws_max_size=settings.max_body,
        ws_max_queue=8,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.drain_timeout),
        h11_max_incomplete_event_size=HEAD,
        backlog=2048,
    )
    return DrainingServer(config, service)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises InputError for an unavailable address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InputError(f"{host}:{port}: cannot listen on it ({error.strerror or error}); choose another") from error
    listening.setblocking(False)
    return listening


def run(settings: Settings, app: FastAPI | None = None, *, ready: Callable[[str], None] | None = None) -> int:
    """Serve until a signal; `ready` gets the address.

    Raises InputError for an address that needs a key and has none, and the errors of the first voice and of Wyoming's
    address.
    """
    check_address(settings)
    app = app or create_app(settings)
    if settings.no_auth and settings.api_key is None:
        app.state.service.log.warning("open", problem="no API key: everybody who reaches this address can use it")
    with bind(settings.host, settings.port) as listening:
        host, port = listening.getsockname()[:2]
        if ready is not None:
            ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        sys.setswitchinterval(SWITCH)
        try:
            asyncio.run(_serve(server(app), listening))
        finally:  # uvicorn raises SystemExit where the application could not start
            if (fault := app.state.service.fault) is not None:
                raise fault
    return 0


async def _serve(running: DrainingServer, listening: socket.socket) -> Any:
    await running.serve(sockets=[listening])
