"""The state that the routes of one application share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import PortavozError
from .admission import Admission
from .logs import logger
from .metrics import Metrics
from .problems import Problem
from .recordings import Consents, Recordings
from .settings import Settings
from .voices import Models, Opener


@dataclass
class Service:
    """Settings, models, slots, counters and the log; `fault` is the reason why the server cannot continue."""

    settings: Settings
    models: Models
    admission: Admission
    metrics: Metrics
    recordings: Recordings
    consents: Consents
    log: Any
    fault: PortavozError | None = None

    def check_uploads(self) -> None:
        """Raises Problem where an upload would reach one of several replicas only."""
        settings = self.settings
        if settings.ray and settings.replicas > 1 and settings.voice_folder is None:
            message = "uploads with several replicas need voice_folder, a folder that all of them see"
            raise Problem(501, message, code="not_available")

    @classmethod
    def of(cls, settings: Settings, opener: Opener | None = None) -> Service:
        """The parts of a server with these settings. Raises InputError."""
        admission = Admission(settings.slots, settings.queue, patience=settings.queue_timeout)
        models, metrics = Models(settings, opener), Metrics()
        metrics.slots.set(settings.slots)
        metrics.running.set_function(lambda: admission.running)
        metrics.waiting.set_function(lambda: admission.waiting)
        metrics.models.set_function(lambda: sum(model.voice is not None for model in models))
        metrics.opened.set_function(lambda: models.opened)
        metrics.closed.set_function(lambda: models.closed)
        recordings = Recordings(settings.voice_folder, settings.max_voices)
        consents = Consents(settings.voice_folder, settings.max_voices)
        return cls(settings, models, admission, metrics, recordings, consents, logger(settings.log_level))
