"""The two clients: how a call gets to the server and its answer back, waiting or awaited.

`Method` turns a function that makes a `Call` into a method of both: with a `Client` it gives the value, with an
`AsyncClient` an awaitable of it, with the function's own parameters and text, for a type checker too.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

import httpx

from encoder.errors import ConfigError
from lodisc.client import calls
from lodisc.client.answers import Item
from lodisc.client.call import Call
from lodisc.client.errors import ServerTimeoutError, ServerUnreachableError
from lodisc.client.retries import Retries

P = ParamSpec("P")
T = TypeVar("T")
CONNECT_S = 5.0


class Method(Generic[P, T]):
    """A method of both clients, from the function that makes its call."""

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: "Client", owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: Any = None) -> Callable[P, Awaitable[T]]: ...
    @overload
    def __get__(self, client: None, owner: Any = None) -> Callable[Concatenate[Any, P], Any]: ...
    def __get__(self, client: "Client | AsyncClient | None", owner: Any = None) -> Any:
        if client is None:
            return self._make  # what help() shows

        @wraps(self._make)
        def method(*args: P.args, **kwargs: P.kwargs) -> T | Awaitable[T]:
            return client.run(self._make(*args, **kwargs))

        return method


class _Methods:
    """What both clients offer."""

    embed = Method(calls.embed)
    search = Method(calls.search)
    get_item = Method(calls.get_item)
    put_item = Method(calls.put_item)
    delete_item = Method(calls.delete_item)
    list_items = Method(calls.list_items)
    thumbnail = Method(calls.thumbnail)
    labels = Method(calls.labels)
    stats = Method(calls.stats)
    ready = Method(calls.ready)


class Client(_Methods):
    """A client that waits for its answers. Several threads may share one; close it, or use it in a `with`.

    Args:
        url: of the server, as http://127.0.0.1:3000.
        api_key: sent as a bearer token, to this server only: redirects are not followed.
        timeout_s: longest silence of the server before the call fails.
        retries: when a call is sent again.
        proxies_from_environment: whether HTTP_PROXY and the like are obeyed; otherwise no proxy is used.
        sleep: waits before another attempt; replaced in tests.
        transport: of httpx, in place of the network; for tests and for certificates of one's own.

    Raises:
        ConfigError: the URL or the key cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
        proxies_from_environment: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        options = _options(url, api_key, timeout_s, proxies_from_environment)
        self._http = httpx.Client(transport=transport, **options)
        self._retries = retries or Retries()
        self._sleep = sleep

    def items(self, *, filter: str | None = None, page_size: int = 100) -> Iterator[Item]:
        """All items that a filter lets through, a page at a time.

        Raises:
            AnswerError: the server refused.
            ClientError: there was no answer.
        """
        cursor: str | None = None
        while True:
            page = self.list_items(filter=filter, cursor=cursor, limit=page_size)
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def run(self, call: Call[T]) -> T:
        """Send a call, again where `Retries` says so, and read its answer."""
        num_done = 0
        while True:
            outcome: httpx.Response | httpx.RequestError
            try:
                outcome = self._http.send(_request(self._http, call))
            except httpx.RequestError as error:
                outcome = error
            num_done += 1
            wait_s = _wait_s(self._retries, call, outcome, num_done)
            if wait_s is None:
                return _finish(call, outcome, num_done)
            self._sleep(wait_s)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Methods):
    """A client whose answers are awaited; the parameters are those of `Client`, `sleep` a coroutine function."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
        proxies_from_environment: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        options = _options(url, api_key, timeout_s, proxies_from_environment)
        self._http = httpx.AsyncClient(transport=transport, **options)
        self._retries = retries or Retries()
        self._sleep = sleep

    async def items(self, *, filter: str | None = None, page_size: int = 100) -> AsyncIterator[Item]:
        """All items that a filter lets through, a page at a time.

        Raises:
            AnswerError: the server refused.
            ClientError: there was no answer.
        """
        cursor: str | None = None
        while True:
            page = await self.list_items(filter=filter, cursor=cursor, limit=page_size)
            for item in page.items:
                yield item
            if (cursor := page.next_cursor) is None:
                return

    async def run(self, call: Call[T]) -> T:
        """Send a call, again where `Retries` says so, and read its answer."""
        num_done = 0
        while True:
            outcome: httpx.Response | httpx.RequestError
            try:
                outcome = await self._http.send(_request(self._http, call))
            except httpx.RequestError as error:
                outcome = error
            num_done += 1
            wait_s = _wait_s(self._retries, call, outcome, num_done)
            if wait_s is None:
                return _finish(call, outcome, num_done)
            await self._sleep(wait_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _options(url: str, api_key: str | None, timeout_s: float, trust_env: bool) -> dict[str, Any]:
    """What httpx is told, in either spelling."""
    try:
        base_url = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"{url!r} is no URL: {error}") from error
    if base_url.scheme not in ("http", "https") or not base_url.host:
        raise ConfigError(f"{url!r} is not the URL of a server; expected one such as http://127.0.0.1:3000")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key == api_key.strip() != ""):
        raise ConfigError("the API key holds something that no key has; expected one line of `lodisc key create`")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key is not None else {}
    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
    return {"base_url": base_url, "headers": headers, "timeout": timeout, "trust_env": trust_env}


def _request(http: httpx.Client | httpx.AsyncClient, call: Call[T]) -> httpx.Request:
    return http.build_request(
        call.method,
        call.path,
        params=call.params,
        headers=call.headers,
        files=call.files,
        data=call.data,
        json=call.json,
    )


def _wait_s(
    retries: Retries, call: Call[T], outcome: httpx.Response | httpx.RequestError, num_done: int
) -> float | None:
    """Seconds before the next attempt, None where there is to be none."""
    answered = isinstance(outcome, httpx.Response) and outcome.status_code in call.statuses
    return None if answered or not call.repeatable else retries.wait_s(outcome, num_done)


def _finish(call: Call[T], outcome: httpx.Response | httpx.RequestError, num_done: int) -> T:
    """The value, or our exception for what became of the last attempt."""
    if isinstance(outcome, httpx.Response):
        return call.finish(outcome)
    where = f"{outcome.request.url.scheme}://{outcome.request.url.netloc.decode()}"
    tries = f" {num_done} times" if num_done > 1 else ""
    if isinstance(outcome, httpx.TimeoutException) and not isinstance(outcome, httpx.ConnectTimeout):
        raise ServerTimeoutError(f"{where} did not answer in time; it may be busy, or timeout_s too short") from outcome
    reason = str(outcome) or type(outcome).__name__
    raise ServerUnreachableError(
        f"{where} did not answer{tries} ({reason}); is it the address of `lodisc serve`?"
    ) from outcome
