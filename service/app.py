"""The BentoML service: `bentoml serve service.app:ImageRetrieval`.

BentoML starts the processes, hands them the socket, and takes them down; the answers come from one Starlette
application that is mounted in it. Importing this module builds that application and reads nothing: the
environment is read when a process starts to serve.

Settings of BentoML's that are changed here, and why:

- `metrics` off: its counters carry the raw path as a label, which a stranger can grow without end. /metrics
  is ours.
- access log off: it writes raw paths. `front_door.py` writes one escaped line a request.

Two things it has no setting for: how HTTP is spoken (`http_protocol.py`), and its timers (`no_timer.py`).
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import bentoml
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from encoder.errors import LodiscError
from service.admission import Admission
from service.device import device_of
from service.draining import draining_first
from service.front_door import FrontDoor
from service.http_protocol import PatientProtocol, use_for_http
from service.json_logs import log_in_json
from service.metrics import Metrics
from service.no_timer import use_no_timer
from service.problems import on_bug, on_http_exception, on_lodisc_error
from service.routes import ROUTES
from service.runtime import Runtime
from service.settings import Settings


@contextlib.asynccontextmanager
async def lifespan(application: Starlette) -> AsyncIterator[None]:
    """Open what is served when the process starts, close it when the process ends."""
    settings = Settings.from_environment()
    if settings.json_logs:
        log_in_json()
    metrics = Metrics(settings.prometheus_dir)
    device = device_of(bentoml.server_context.worker_index, settings.providers)
    runtime = Runtime(settings, metrics, device)
    application.state.admission = Admission(settings)
    PatientProtocol.head_timeout_s = settings.head_timeout_s
    application.state.settings, application.state.metrics, application.state.runtime = (
        settings,
        metrics,
        runtime,
    )
    runtime.start()
    try:
        if settings.workers > 1:
            # Connections go to any worker that takes them: one that is not ready yet leaves them to the others.
            await runtime.tried()
        with draining_first(runtime.drain, settings.drain_s):
            yield
    finally:
        await runtime.close()
        metrics.close()


def create_application() -> Starlette:
    """The application that answers, without BentoML around it."""
    application = Starlette(
        routes=ROUTES,
        lifespan=lifespan,
        exception_handlers={
            LodiscError: on_lodisc_error,
            HTTPException: on_http_exception,
            Exception: on_bug,
        },
    )
    application.router.redirect_slashes = False  # a redirect would be built from the client's Host header
    application.state.route_names = {route.endpoint: route.path for route in ROUTES}
    return application


application = create_application()
use_for_http(PatientProtocol)
use_no_timer()


@bentoml.service(
    name="image_retrieval",
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(application, path="/")
class ImageRetrieval:
    """Fine-grained image retrieval over HTTP: embeddings, nearest pictures, the items of a catalogue."""


# mypy does not follow what a class decorator returns, here a bentoml Service.
cast(Any, ImageRetrieval).add_asgi_middleware(FrontDoor, application=application)
