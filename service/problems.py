"""What this service says when it cannot answer: one shape, `{"error": {"code", "message", "detail"}}`.

Every refusal is a `LodiscError` with a code and an HTTP status; the tree of `encoder.errors` goes on here
with what only HTTP knows::

    InputError
      RequestError (400 malformed_request)
        AccessError                     carries the challenge of WWW-Authenticate
          KeyMissingError (401 key_missing)
          KeyRefusedError (401 key_refused)
          ScopeError (403 scope_too_small)
        NotLocalError (403 not_local)
        WritesOffError (403 writes_off)
        RouteNotFoundError (404 no_such_route)
        MethodNotAllowedError (405 method_not_allowed)
        SlowBodyError (408 body_too_slow)
        BodyTooLargeError (413 body_too_large)
        UnsupportedBodyError (415 unsupported_media_type)
        OverloadedError (429 overloaded)
        ClientGoneError (499 client_gone)
    LodiscError
      NotReadyError (503 not_ready)
      DeadlineError (503 deadline_passed)
      KeysUnavailableError (503 keys_unavailable)

What a client is told of an error of ours (5xx) is that it happened, never its traceback.
"""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from encoder.errors import InputError, LodiscError
from index.picture_problems import problem

logger = logging.getLogger("bentoml.lodisc")


class RequestError(InputError):
    """The request is not one that this service understands."""

    code = "malformed_request"
    status = 400


class AccessError(RequestError):
    """The request comes with no key, or with one that does not do."""

    challenge = 'Bearer realm="lodisc"'


class KeyMissingError(AccessError):
    """There is no key."""

    code, status = "key_missing", 401


class KeyRefusedError(AccessError):
    """The key is unknown, expired or revoked, or the header cannot be read."""

    code, status = "key_refused", 401
    challenge = f'{AccessError.challenge}, error="invalid_token"'


class ScopeError(AccessError):
    """The key may not do this.

    Args:
        message: one line for a person.
        needed: the scope that would do.
    """

    code, status = "scope_too_small", 403

    def __init__(self, message: str, *, needed: str) -> None:
        super().__init__(message, detail={"needed": needed})
        self.challenge = f'{AccessError.challenge}, error="insufficient_scope", scope="{needed}"'


class NotLocalError(RequestError):
    """The server has no keys, and the request does not come from its own machine."""

    code, status = "not_local", 403


class WritesOffError(RequestError):
    """The server was started read-only."""

    code = "writes_off"
    status = 403


class RouteNotFoundError(RequestError):
    """No route has this path."""

    code = "no_such_route"
    status = 404


class MethodNotAllowedError(RequestError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    status = 405


class SlowBodyError(RequestError):
    """The client took too long to send its body."""

    code = "body_too_slow"
    status = 408


class BodyTooLargeError(RequestError):
    """The body, or the number of its parts, is over the limit."""

    code = "body_too_large"
    status = 413


class UnsupportedBodyError(RequestError):
    """The body is of a type that this route does not read."""

    code = "unsupported_media_type"
    status = 415


class OverloadedError(RequestError):
    """More pictures are in flight than this process takes; come back after `retry_after_s`."""

    code = "overloaded"
    status = 429


class ClientGoneError(RequestError):
    """The client closed its connection; nobody reads this, but it is counted."""

    code = "client_gone"
    status = 499


class DeadlineError(LodiscError):
    """The answer was not ready within the time that a request may take."""

    code = "deadline_passed"
    status = 503


class NotReadyError(LodiscError):
    """The catalogue is not open (yet)."""

    code = "not_ready"
    status = 503


class KeysUnavailableError(LodiscError):
    """The keys cannot be read, so nobody is let in."""

    code, status = "keys_unavailable", 503


def problem_response(error: LodiscError) -> Response:
    """The whole answer for one error."""
    retry_s = (error.detail or {}).get("retry_after_s", 1)
    headers = {"Retry-After": str(retry_s)} if error.status in {429, 503} else {}
    if isinstance(error, AccessError):
        headers["WWW-Authenticate"] = error.challenge
    return JSONResponse({"error": problem(error)}, status_code=error.status, headers=headers)


async def on_lodisc_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for our own errors."""
    assert isinstance(error, LodiscError)
    request.app.state.metrics.refusals.labels(code=error.code).inc()
    if error.status >= 500 and not isinstance(error, NotReadyError):
        logger.warning("%s answered %d %s: %s", _name(request), error.status, error.code, error)
    return problem_response(error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own refusals: no such route, method not allowed."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem_response(
            RouteNotFoundError("there is nothing at this path; GET /openapi.json lists what there is")
        )
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        response = problem_response(
            MethodNotAllowedError(f"this path does not take {request.method}; it takes {allowed}")
        )
        response.headers["Allow"] = allowed
        return response
    document = {"code": "http_error", "message": str(error.detail), "detail": None}
    return JSONResponse({"error": document}, status_code=error.status_code)


async def on_bug(request: Request, error: Exception) -> Response:
    """Starlette's handler for all else, bugs of ours. Starlette raises it on, so that it is logged."""
    document = {
        "code": "internal_error",
        "message": "this server failed to answer; its log says why",
        "detail": {"request_id": request.scope.get("state", {}).get("request_id")},
    }
    return JSONResponse({"error": document}, status_code=500)


def _name(request: Request) -> str:
    return f"{request.method} {request.url.path!r}"
