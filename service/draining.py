"""SIGTERM in two steps: first /readyz says no while everything is still answered, then the server stops.

Whoever spreads requests over several servers needs a moment to notice that one of them goes; a server that closes its
door at once loses what is sent to it meanwhile.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def draining_first(drain: Callable[[], None], seconds: float) -> Iterator[None]:
    """While the block runs, put `drain` and a pause before what SIGTERM does otherwise.

    Args:
        drain: called at once.
        seconds: until the handler that was there before is called.
    """
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    handler: Callable[[int, FrameType | None], object] = before
    loop = asyncio.get_running_loop()

    def told(number: int, frame: FrameType | None) -> None:
        drain()
        if seconds:
            loop.call_soon_threadsafe(loop.call_later, seconds, handler, number, frame)
        else:
            handler(number, frame)

    signal.signal(signal.SIGTERM, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
