"""BentoML's limit on the time of a request, taken away: our own limits are closer to what takes the time.

BentoML answers 504 after `traffic.timeout` seconds, which a slow upload may need, and keeps a timer of more than a
kilobyte for every request until those seconds are over, however soon it was answered. It offers no way to go without.
"""

from bentoml._internal.server.http import traffic
from starlette.types import ASGIApp, Receive, Scope, Send


class NoTimer:
    """In the place of `TimeoutMiddleware`: hands every request on."""

    def __init__(self, app: ASGIApp, timeout: float) -> None:
        del timeout
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request on."""
        await self._app(scope, receive, send)


def use_no_timer() -> None:
    """Have BentoML set no timers in this process."""
    assert hasattr(traffic, "TimeoutMiddleware"), "BentoML limits the time of a request in another way than it did"
    # mypy takes a class of another module for a constant.
    traffic.TimeoutMiddleware = NoTimer  # type: ignore[assignment, misc]
