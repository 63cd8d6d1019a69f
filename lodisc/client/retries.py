"""When a call is sent again, and after how long.

It is where the server asks for it (429, 503) or the connection failed, and only a call that may be done twice: see
`Call.repeatable`. An answer that took too long is not asked for again, since the server may still be at it. Waiting is
jittered, so that many clients do not come back at once, and bounded: in number, and where the server wants a longer
pause than `max_wait_s` the caller is told instead.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from encoder.errors import ConfigError

ASKS_AGAIN = frozenset({429, 503})
BROKEN = (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError)


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How a call is repeated.

    Attributes:
        attempts: times that it is sent at most; 1 sends it once.
        first_wait_s: seconds before the second attempt, doubled before each further one, where the server names none.
        max_wait_s: longest wait before one attempt.
        draw: a number from 0 to 1 for the jitter; replaced in tests.
    """

    attempts: int = 4
    first_wait_s: float = 0.2
    max_wait_s: float = 10.0
    draw: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a number is out of range.
        """
        if self.attempts < 1 or self.first_wait_s < 0 or self.max_wait_s < 0:
            raise ConfigError(f"{self} cannot be; expected at least one attempt and no negative wait")

    def wait_s(self, outcome: httpx.Response | httpx.RequestError, num_done: int) -> float | None:
        """Seconds to wait before the next attempt of a repeatable call, None where there is to be none.

        Args:
            outcome: of the last attempt.
            num_done: attempts so far, at least 1.
        """
        if num_done >= self.attempts:
            return None
        backoff_s = min(self.first_wait_s * 2.0 ** (num_done - 1), self.max_wait_s)
        if isinstance(outcome, httpx.RequestError):
            return backoff_s * (0.5 + self.draw() / 2) if isinstance(outcome, BROKEN) else None
        if outcome.status_code not in ASKS_AGAIN:
            return None
        wanted_s = retry_after_s(outcome)
        if wanted_s is None:
            return backoff_s * (0.5 + self.draw() / 2)
        # Never sooner than the server said; later by up to a quarter.
        return wanted_s * (1 + self.draw() / 4) if wanted_s <= self.max_wait_s else None


def retry_after_s(response: httpx.Response) -> float | None:
    """Seconds that Retry-After names, as a number or as a date; None where there is none that can be read."""
    text: str = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    if then.tzinfo is None:  # "-0000": in UTC, from an unknown place
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
