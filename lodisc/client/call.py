"""One request as a value, and how its answer is read; nothing here touches the network.

A call may be done twice where it only asks, or where doing it again changes nothing, which is so for all but a POST
that writes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

from lodisc.client.errors import AnswerError, UnexpectedAnswerError, answer_error
from lodisc.client.retries import retry_after_s

T = TypeVar("T")
REPEATABLE_METHODS = frozenset({"GET", "PUT", "DELETE"})


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """One request, and how its answer is read.

    Attributes:
        method: of HTTP.
        path: percent-encoded, from the server's root.
        read: makes the value of an answer of one of the statuses.
        params, headers, files, data, json: what httpx sends; all of it is in memory, so that it can be sent again.
        statuses: that are an answer and no refusal.
        only_asks: whether it changes nothing although it is a POST.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[tuple[str, tuple[str, bytes]]] | None = None
    data: Mapping[str, str] | None = None
    json: Mapping[str, Any] | None = None
    statuses: frozenset[int] = frozenset({200})
    only_asks: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether doing it twice is as good as once."""
        return self.only_asks or self.method in REPEATABLE_METHODS

    def finish(self, response: httpx.Response) -> T:
        """The value of the answer.

        Raises:
            AnswerError: the server refused.
            UnexpectedAnswerError: no lodisc server answers this.
        """
        if response.status_code not in self.statuses:
            raise refusal(response)
        try:
            return self.read(response)
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswerError(
                f"{response.url} answered something else than a lodisc server of this version would "
                f"({type(error).__name__}: {error}); is it the address of `lodisc serve`?"
            ) from error


def refusal(response: httpx.Response) -> AnswerError | UnexpectedAnswerError:
    """The exception for an answer that is none of those wanted."""
    try:
        error = response.json()["error"]
        code, message, detail = error["code"], error["message"], error["detail"]
    except (KeyError, TypeError, ValueError):
        if response.status_code < 500:
            return UnexpectedAnswerError(
                f"{response.url} answered {response.status_code} in a shape that is not a lodisc server's; is it the "
                "address of `lodisc serve`?"
            )
        # A proxy before the server, which has a shape of its own.
        code, message, detail = "bad_gateway", f"{response.url} answered {response.status_code}", None
    return answer_error(response.status_code, code, message, detail, retry_after_s(response))
