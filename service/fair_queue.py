"""Who is worked for next, and who is turned away: pictures in flight, counted by client.

Two promises. What is in flight is bounded: beyond the limit a request is refused at once, with the seconds after which
it is worth another try. And no client keeps the others out: each may hold at most twice as many pictures as there is
room left, so that a lone client gets two thirds of the limit and many share it with some always free (the dynamic
thresholds of Choudhury and Hahne, 1998); and the places in which pictures are worked at are given to the clients in
turn, so that a request of one picture waits for one picture of each other client, not for all of theirs.

Everything here runs in one event loop; nothing is locked. Not covered: who a client is (`routes.py`).
"""

import asyncio
import contextlib
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator

from service.problems import OverloadedError

SHARE_OF_FREE = 2
MAX_RETRY_S = 30
RATE_WINDOW_S = 10.0


class FairQueue:
    """Places for the pictures of one process.

    Attributes:
        num_in_flight: pictures admitted and not yet done.
        num_waiting: of these, those without a place.

    Args:
        num_places: pictures that may be worked at at once.
        limit: most pictures in flight.
        clock: seconds; for tests.
        on_waiting: told by how much `num_waiting` changes.
    """

    def __init__(
        self,
        *,
        num_places: int,
        limit: int,
        clock: Callable[[], float] = time.monotonic,
        on_waiting: Callable[[int], None] = lambda _change: None,
    ) -> None:
        self._on_waiting = on_waiting
        self._free_places, self._limit, self._clock = num_places, limit, clock
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # whose turn is next comes first
        self._done_at: deque[float] = deque()
        self.num_in_flight = self.num_waiting = 0

    @contextlib.contextmanager
    def admitted(self, client: str, num_pictures: int) -> Iterator[None]:
        """Hold room for the pictures of one request while the block runs.

        Raises:
            OverloadedError: there is no room for so many, or this client has its share already.
        """
        room = self._limit - self.num_in_flight
        if num_pictures > room or self._held[client] + num_pictures > SHARE_OF_FREE * room:
            raise OverloadedError(
                f"{self.num_in_flight} pictures are in flight, {self._held[client]} of them yours, "
                f"and {self._limit} are the most; try again in {self.retry_s} s",
                detail={"in_flight": self.num_in_flight, "limit": self._limit, "retry_after_s": self.retry_s},
            )
        self._held[client] += num_pictures
        self.num_in_flight += num_pictures
        try:
            yield
        finally:
            self.num_in_flight -= num_pictures
            self._held[client] -= num_pictures
            if not self._held[client]:
                del self._held[client]

    @property
    def retry_s(self) -> int:
        """Seconds in which half of what is in flight will be done, at the rate of the last seconds; 1 to 30."""
        now = self._clock()
        while self._done_at and self._done_at[0] < now - RATE_WINDOW_S:
            self._done_at.popleft()
        rate = len(self._done_at) / RATE_WINDOW_S
        return min(MAX_RETRY_S, max(1, math.ceil(self.num_in_flight / 2 / rate))) if rate else 1

    @contextlib.asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Wait for a place in this client's turn and hold it while the block runs."""
        await self._take(client)
        try:
            yield
        finally:
            self._done_at.append(self._clock())
            self._pass_on()

    async def _take(self, client: str) -> None:
        if self._free_places:
            self._free_places -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        self._waits(1)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled() or not turn.done():
                self._forget(client, turn)
            else:
                self._pass_on()  # the place was given in the same moment
            raise

    def _pass_on(self) -> None:
        """Give a place to the client whose turn it is."""
        while self._waiting:
            client, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            self._waits(-1)
            if turns:
                self._waiting[client] = turns  # behind the others
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._free_places += 1

    def _forget(self, client: str, turn: "asyncio.Future[None]") -> None:
        turns = self._waiting.get(client)
        if turns is None or turn not in turns:
            return  # `_pass_on` has met and dropped it
        turns.remove(turn)
        self._waits(-1)
        if not turns:
            del self._waiting[client]

    def _waits(self, change: int) -> None:
        self.num_waiting += change
        self._on_waiting(change)
