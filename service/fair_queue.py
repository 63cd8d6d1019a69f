"""Who is worked for next, and who is turned away: pictures in flight, counted by client and by what they cost.

A picture counts as many as it takes encodings: one, or one more for each pivotal patch where it is to be explained.

Two promises. What is in flight is bounded: beyond the limit a request is refused at once, with the seconds after which
it is worth another try. And no client keeps the others out: each may hold at most twice as many pictures as there is
room left, so that a lone client gets two thirds of the limit and many share it with some always free (the dynamic
thresholds of Choudhury and Hahne, 1998); and the places in which pictures are worked at are given to the clients in
turn, so that a request of one picture waits for one picture of each other client, not for all of theirs.

Who is refused is told when to come back: when the others that were told so will have been served. Otherwise all of them
come back at once, again and again, and refusing them takes the time in which they could be answered.

Everything here runs in one event loop; nothing is locked. Not covered: who a client is (`routes.py`).
"""

import asyncio
import contextlib
import heapq
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
        num_in_flight: cost of the pictures admitted and not yet done.
        num_waiting: pictures without a place.

    Args:
        num_places: pictures that may be worked at at once.
        limit: most cost in flight.
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
        self._refused: list[tuple[float, str]] = []  # heap of when who will be back
        self._num_refused: Counter[str] = Counter()  # of these, by client
        self.num_in_flight = self.num_waiting = 0

    @contextlib.contextmanager
    def admitted(self, client: str, cost: int) -> Iterator[None]:
        """Hold room for the pictures of one request while the block runs. One that costs more waits for an idle queue.

        Raises:
            OverloadedError: there is no room for so many, or this client has its share already.
        """
        cost = min(cost, self._limit)
        self.require_room(client, cost)
        self._held[client] += cost
        self.num_in_flight += cost
        try:
            yield
        finally:
            self.num_in_flight -= cost
            self._held[client] -= cost
            if not self._held[client]:
                del self._held[client]

    def require_room(self, client: str, cost: int = 1) -> None:
        """See that pictures of this cost would be admitted now.

        Raises:
            OverloadedError: there is no room for so many, or this client has its share already.
        """
        room = self._limit - self.num_in_flight
        if cost <= room and self._held[client] + cost <= SHARE_OF_FREE * room:
            return
        retry_s = self._retry_s(client)
        raise OverloadedError(
            f"{self.num_in_flight} pictures are in flight, {self._held[client]} of them yours, and {self._limit} are "
            f"the most, where one to be explained counts for several; try again in {retry_s} s",
            detail={"in_flight": self.num_in_flight, "limit": self._limit, "retry_after_s": retry_s},
        )

    def _retry_s(self, client: str) -> int:
        """Seconds in which half of what is in flight or will be back is done, at the rate of late; 1 to 30.

        Of what will be back, all of this client's counts and one each of the others': who comes back too soon again
        and again only makes his own wait longer.
        """
        self._forget_old()
        now = self._clock()
        while self._refused and self._refused[0][0] <= now:
            _, back = heapq.heappop(self._refused)
            self._num_refused[back] -= 1
            if not self._num_refused[back]:
                del self._num_refused[back]
        ahead = self.num_in_flight + self._num_refused[client] + len(self._num_refused.keys() - {client})
        rate = len(self._done_at) / RATE_WINDOW_S
        retry_s = min(MAX_RETRY_S, max(1, math.ceil(ahead / 2 / rate))) if rate else 1  # nothing is known yet
        heapq.heappush(self._refused, (now + retry_s, client))
        self._num_refused[client] += 1
        return retry_s

    def _forget_old(self) -> None:
        """Keep of what was done only that of late."""
        while self._done_at and self._done_at[0] < self._clock() - RATE_WINDOW_S:
            self._done_at.popleft()

    @contextlib.asynccontextmanager
    async def place(self, client: str, cost: int = 1) -> AsyncIterator[None]:
        """Wait for a place in this client's turn and hold it while the block runs, which does work of this cost."""
        await self._take(client)
        try:
            yield
        finally:
            self._done_at.extend([self._clock()] * cost)
            self._forget_old()
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
