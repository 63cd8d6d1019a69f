"""The outermost layer of ours: every HTTP request passes here, whatever route it is for.

BentoML puts routes of its own (GET /livez, /readyz, /schema.json ...) ahead of a mounted application's, and
answers in its own error shape what no route takes. This middleware hands each request to our application
first and last, so that there is one set of routes, one error shape, and these on every answer:

- whether the request may come in (`admission.py`), and never with a pickle;
- a request id (the client's `X-Request-ID` if it is a sane one), also in the log;
- headers that keep a browser from guessing types, framing the page, or loading anything from another host, and those
  of CORS for the sites that are listed;
- one log line and one count, with the route's name instead of its raw path.

No content of a picture, no field of a request and no key is ever logged; of a key that let somebody in, its id is.
"""

import logging
import re
import time
import uuid

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from encoder.errors import LodiscError
from service.admission import Admission
from service.cors import allowed_origin, preflight, share
from service.metrics import Metrics
from service.problems import UnsupportedBodyError, problem_response
from service.settings import Settings

logger = logging.getLogger("bentoml.lodisc.access")

UNLOGGED = frozenset({"/livez", "/readyz", "/metrics"})
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}


class FrontDoor:
    """ASGI middleware for `bentoml.Service.add_asgi_middleware`.

    Args:
        app: BentoML's application, which still gets lifespan events.
        application: ours, which gets every request.
    """

    def __init__(self, app: ASGIApp, *, application: Starlette) -> None:
        self._app = app
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass a lifespan event on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        start_s = time.perf_counter()
        settings: Settings = self._application.state.settings
        origin = allowed_origin(scope, settings.cors_origins)
        asked_id = Headers(scope=scope).get("x-request-id", "")
        request_id = asked_id if SANE_REQUEST_ID.fullmatch(asked_id) else uuid.uuid4().hex
        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "key_id": None, "refused": None}
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if settings.cors_origins:
                    share(headers, origin)
            await send(message)

        try:
            answer = preflight(scope, origin) or self._refusal(scope) or self._application
            await answer(scope, receive, send_with_headers)
        finally:
            self._record(scope, status, time.perf_counter() - start_s, request_id)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that may not come in, None to one that may; what is decided stands in its state."""
        admission: Admission = self._application.state.admission
        try:
            key = admission.admit(scope)
            _refuse_pickle(scope)
        except LodiscError as error:
            scope["state"]["refused"] = error.code
            return problem_response(error)
        scope["state"]["key_id"] = key.id if key is not None else None
        scope["state"]["may_write"] = admission.may_write(key)
        return None

    def _record(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        metrics: Metrics = self._application.state.metrics
        route = self._application.state.route_names.get(scope.get("endpoint"), "unmatched")
        metrics.request(route, scope["method"], status, seconds)
        key_id, refused = scope["state"]["key_id"], scope["state"]["refused"]
        if refused:
            metrics.access_refused.labels(reason=refused).inc()
        if refused or scope["path"] not in UNLOGGED:
            # ascii() escapes what could break the line or pretend to be another one.
            path = ascii(scope["path"])[1:-1][:200]
            ms = round(seconds * 1e3, 3)
            facts = {"method": scope["method"], "path": path, "status": status, "ms": ms, "id": request_id}
            line = "%(method)s %(path)s %(status)d %(ms).1f ms id=%(id)s"
            if refused:
                facts, line = {**facts, "refused": refused}, f"{line} refused=%(refused)s"
            elif key_id:
                facts, line = {**facts, "key": key_id}, f"{line} key=%(key)s"
            logger.info(line, facts, extra={"facts": {**facts, "route": route}})


def _refuse_pickle(scope: Scope) -> None:
    """Refuse a body that only `pickle.load` reads, whatever route it is for: loading one runs what it says."""
    for sent in Headers(scope=scope).getlist("content-type"):
        if "pickle" in sent.partition(";")[0].lower():
            raise UnsupportedBodyError("this server reads no pickle; send multipart/form-data or application/json")
