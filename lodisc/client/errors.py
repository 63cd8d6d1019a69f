"""What a client raises, in one tree, which goes on from that of `encoder.errors`.

    LodiscError
      ClientError
        ServerUnreachableError      no connection, or it broke
        ServerTimeoutError          connected, but no answer in time
        UnexpectedAnswerError       an answer that no lodisc server gives; the address is of something else
        AnswerError                 the server refused; `status`, `code`, `message` and `detail` are its own
          AccessRefusedError        401, 403: no key, a wrong one, or one of too narrow a scope
          ItemNotFoundError         404: no such item
          PicturesRefusedError      422: no picture of the request is usable; `pictures` says why of each
          OverloadedError           429: more is asked than it can do
          NotReadyError             503: it is starting, stopping or swamped
          ServerFailedError         every other 5xx

Any other refusal, such as of a filter that cannot be read, is a plain `AnswerError`.
"""

from dataclasses import dataclass
from typing import Any

from encoder.errors import LodiscError


@dataclass(frozen=True)
class PictureProblem:
    """Why one picture of a request is not usable.

    Attributes:
        position: of the picture in the request, from 0.
        code: `undecodable_picture`, `unsupported_format`, `picture_too_large` ...
        message: for a person.
    """

    position: int
    code: str
    message: str


class ClientError(LodiscError):
    """The root of what a client raises."""

    code = "client_error"


class ServerUnreachableError(ClientError):
    """There was no connection to the server, or it broke before the answer was whole."""

    code = "server_unreachable"


class ServerTimeoutError(ClientError):
    """The server did not answer in time."""

    code = "server_timeout"


class UnexpectedAnswerError(ClientError):
    """Something answered that is not a lodisc server, or one of another version."""

    code = "unexpected_answer"


class AnswerError(ClientError):
    """The server refused.

    Args:
        message: the server's.
        status: of HTTP.
        code: the server's name for what is wrong, as `invalid_filter`.
        detail: the server's facts for a program.
        retry_after_s: seconds after which it wants to be asked again; None where it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        detail: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, detail=detail)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        # What the arguments could have prevented ends a command line with 2, as it would without a server.
        self.exit_code = 2 if 400 <= status < 500 and status not in (408, 429) else 1


class AccessRefusedError(AnswerError):
    """There is no key, or it is not one that may do this."""


class ItemNotFoundError(AnswerError):
    """The catalogue has no such item."""


class PicturesRefusedError(AnswerError):
    """No picture of the request is usable."""

    @property
    def pictures(self) -> tuple[PictureProblem, ...]:
        """What is wrong with each, by position; of a request that takes one picture, with that one."""
        listed = self.detail.get("pictures")
        if listed is None:
            return (PictureProblem(0, self.code, self.message),)
        return tuple(PictureProblem(one["position"], one["code"], one["message"]) for one in listed)


class OverloadedError(AnswerError):
    """More is asked of the server than it can do."""


class NotReadyError(AnswerError):
    """The server is starting, stopping or swamped."""


class ServerFailedError(AnswerError):
    """The server, or a proxy before it, failed to answer; the server's log says why."""


def answer_error(
    status: int, code: str, message: str, detail: dict[str, Any] | None, retry_after_s: float | None
) -> AnswerError:
    """The exception for one refusal."""
    kinds: dict[int, type[AnswerError]] = {
        401: AccessRefusedError,
        403: AccessRefusedError,
        422: PicturesRefusedError,
        429: OverloadedError,
        503: NotReadyError,
    }
    kind = kinds.get(status, ServerFailedError if status >= 500 else AnswerError)
    if (status, code) == (404, "not_found"):  # and not a path that the server does not have
        kind = ItemNotFoundError
    return kind(message, status=status, code=code, detail=detail, retry_after_s=retry_after_s)
