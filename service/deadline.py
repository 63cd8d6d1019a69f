"""Work for a client that is still there, for as long as it is worth waiting.

Where the client goes away, or the deadline passes, the work is cancelled: what has not begun of it never will.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from service.problems import ClientGoneError, DeadlineError

T = TypeVar("T")


async def while_wanted(request: Request, deadline_s: float, work: Coroutine[Any, Any, T]) -> T:
    """Do the work of a request whose body has been read.

    Raises:
        ClientGoneError: the client closed its connection.
        DeadlineError: the work took longer than `deadline_s`.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientGoneError("the client went away before it was answered")
        raise DeadlineError(f"this took longer than {deadline_s:g} s, the longest that a request may take here")
    finally:
        for one in (task, gone):
            one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        await asyncio.wait({task})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
