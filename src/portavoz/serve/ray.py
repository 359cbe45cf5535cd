"""The same application on many machines: a Ray Serve deployment, whose replicas and backpressure are Ray's.

`portavoz serve --ray --replicas 4` runs it here, or on the cluster that RAY_ADDRESS names. Each replica is a whole
server with its own slots; Ray's proxy sends a request to one that has room, and answers 429 when none has.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from starlette.middleware import Middleware

from ..errors import BackendError, MissingExtra
from ..interrupts import handled
from .ray_errors import RETRY_AFTER, Answers
from .settings import Settings, check_address
from .voices import Models

NAME = "portavoz"
# Ray gives up on its own parts sooner than a busy machine starts them, kills a proxy that is only slow, would run
# replicas at a low priority (15), and has answers of its own.
ENVIRONMENT = {
    "RAY_worker_niceness": 0, "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "portavoz.serve.ray.middlewares",
    "RAY_raylet_start_wait_time_s": 120, "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": 60,
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": 60,
}  # fmt: skip


def build(settings: Settings) -> Any:
    """The application as a Ray Serve application. Raises MissingExtra."""
    if find_spec("ray") is None or find_spec("grpc_reflection") is None:
        raise MissingExtra("ray", "ray", "serve --ray")
    serve = importlib.import_module("ray.serve")
    config = importlib.import_module("ray.serve.config")

    def application() -> Any:
        # Called in each replica: a voice is opened where it speaks.
        from portavoz.serve.app import create_app

        return create_app(settings)

    class Replica:
        """A replica is the application; there is nothing more."""

    deployment = serve.deployment(
        name=NAME,
        num_replicas=settings.replicas,
        # One more than there are slots, so that /health and /ready are answered by a replica that is full.
        max_ongoing_requests=settings.slots + 1,
        max_queued_requests=settings.queue or -1,
        backpressure_config=config.BackpressureConfig(status_code=429, retry_after_s=RETRY_AFTER),
        graceful_shutdown_timeout_s=settings.drain_timeout,
        ray_actor_options={"num_cpus": 1},
    )
    return deployment(serve.ingress(application)(Replica)).bind()


def middlewares() -> list[Middleware]:
    """The ASGI middleware of Ray's proxy, which calls this when it starts."""
    return [Middleware(Answers)]


def run(settings: Settings, *, ready: Callable[[str], None]) -> int:
    """Serve until a signal, then let running requests end. Raises InputError, MissingExtra and BackendError."""
    check_address(settings)
    Models(settings)  # what is wrong with their names is said here, not by a replica
    application = build(settings)
    # Ray reports its use to its makers unless told not to; this server calls nobody.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray, serve = importlib.import_module("ray"), importlib.import_module("ray.serve")
    for name, seconds in ENVIRONMENT.items():
        os.environ.setdefault(name, str(seconds))
    stop = threading.Event()
    with _Starting(ray):
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", namespace=NAME)
        options = {"host": settings.host, "port": settings.port, "request_timeout_s": settings.request_timeout}
        serve.start(http_options=options)
        serve.run(application, name=NAME, route_prefix="/")
    # Only now: ray.init takes the signals for itself.
    with handled(lambda *_: stop.set()):
        ready(f"http://{settings.host}:{settings.port}")
        stop.wait()
    serve.delete(NAME)
    serve.shutdown()
    ray.shutdown()
    return 0


class _Starting:
    """Converts Ray's errors while it starts, which have many types, to one BackendError."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            self.ray.shutdown()
            reason = " ".join(str(error).split())[:300]
            remedy = "see RAY_ADDRESS, and whether the port is free"
            raise BackendError(f"Ray Serve cannot start ({reason}); {remedy}") from error
