"""Overload: what is refused, and in whose turn the rest is done."""

import asyncio
import math

import pytest

from service.fair_queue import FairQueue
from service.problems import OverloadedError


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_beyond_the_limit_a_request_is_refused_and_costs_nothing() -> None:
    queue = FairQueue(num_places=1, limit=10)
    with queue.admitted("a", 4), queue.admitted("b", 3):
        with pytest.raises(OverloadedError) as refused, queue.admitted("c", 4):
            pass
        assert refused.value.detail is not None
        assert (refused.value.detail["in_flight"], refused.value.detail["limit"]) == (7, 10)
        with queue.admitted("c", 3):
            assert queue.num_in_flight == 10
    assert queue.num_in_flight == 0


def test_what_costs_more_is_counted_for_more_and_told_so() -> None:
    now = [0.0]
    queue = FairQueue(num_places=4, limit=40, clock=lambda: now[0])

    async def work(cost: int) -> None:
        async with queue.place("a", cost):
            pass

    with queue.admitted("a", 13):
        assert queue.num_in_flight == 13
        with queue.admitted("a", 5), pytest.raises(OverloadedError), queue.admitted("b", 26):
            pass  # 22 are free
        asyncio.run(work(13))  # 1.3 a second of late
        with queue.admitted("b", 26), pytest.raises(OverloadedError, match="39 pictures are in flight") as refused:
            queue.require_room("c", 2)
        assert refused.value.detail is not None
        assert refused.value.detail["retry_after_s"] == math.ceil((39 + 1) / 2 / 1.3)  # one more was told to come back
    with queue.admitted("a", 400):  # more than ever may be in flight: alone
        assert queue.num_in_flight == 40
    assert queue.num_in_flight == 0


def test_one_client_cannot_take_all_the_room() -> None:
    queue = FairQueue(num_places=1, limit=90)
    held = []
    while True:
        room = queue.admitted("greedy", 1)
        try:
            room.__enter__()
        except OverloadedError:
            break
        held.append(room)
    assert len(held) == 60  # two thirds
    with queue.admitted("other", 30):
        pass
    for room in held:
        room.__exit__(None, None, None)
    with queue.admitted("greedy", 60):
        pass


def test_clients_take_turns() -> None:
    order: list[str] = []

    async def main() -> None:
        queue = FairQueue(num_places=1, limit=100)

        async def work(client: str, number: int) -> None:
            async with queue.place(client):
                order.append(f"{client}{number}")

        async with queue.place("first"):
            tasks = [asyncio.create_task(work("greedy", number)) for number in range(4)]
            tasks += [asyncio.create_task(work("a", number)) for number in range(2)]
            tasks += [asyncio.create_task(work("b", 0))]
            await settle()
        await asyncio.gather(*tasks)
        assert queue.num_waiting == 0

    asyncio.run(main())
    assert order == ["greedy0", "a0", "b0", "greedy1", "a1", "greedy2", "greedy3"]


def test_what_is_cancelled_gives_its_place_on() -> None:
    async def main() -> None:
        queue = FairQueue(num_places=1, limit=100)
        order: list[str] = []
        gate = asyncio.Event()

        async def work(name: str) -> None:
            async with queue.place(name):
                order.append(name)
                await gate.wait()

        first = asyncio.create_task(work("first"))
        await settle()
        waiting = [asyncio.create_task(work(name)) for name in ("second", "third", "fourth")]
        await settle()
        assert queue.num_waiting == 3
        waiting[0].cancel()  # while it waits
        await settle()
        assert queue.num_waiting == 2
        first.cancel()  # while it holds the place: third's turn
        waiting[1].cancel()  # in the moment in which it is given
        await settle()
        assert order == ["first", "fourth"]
        gate.set()
        await waiting[2]
        async with asyncio.timeout(1):
            async with queue.place("fifth"):
                assert queue.num_waiting == 0

    asyncio.run(main())


def test_when_to_try_again_follows_from_the_rate() -> None:
    now = [100.0]
    queue = FairQueue(num_places=4, limit=100, clock=lambda: now[0])

    async def finish(count: int) -> None:
        for _ in range(count):
            async with queue.place("a"):
                pass

    def told(client: str) -> int:
        with pytest.raises(OverloadedError) as refused:
            queue.require_room(client, 100)
        found = refused.value.detail["retry_after_s"]
        assert str(found) in str(refused.value)
        return int(found)

    with queue.admitted("a", 40):
        assert told("b") == 1  # nothing is known yet
        now[0] += 1
        asyncio.run(finish(20))  # in ten seconds: two a second
        assert told("b") == 10  # half of forty
        now[0] += 5
        for number in range(1, 21):
            told(f"other {number}")
        assert told("c") == 16  # one each of twenty others and of b: half of sixty-one are ahead
    now[0] += 31
    asyncio.run(finish(20))
    with queue.admitted("a", 40):
        waits = [told("hasty") for _ in range(60)]
        assert waits[0] == 10  # nobody is awaited any more
        assert waits == sorted(waits)
        assert waits[-1] > 20
        assert told("patient") == 11  # what the hasty one does costs nobody else more than one turn


def test_what_was_done_long_ago_is_forgotten() -> None:
    now = [0.0]
    queue = FairQueue(num_places=1, limit=10, clock=lambda: now[0])

    async def main() -> None:
        for _ in range(1000):
            now[0] += 1.0
            async with queue.place("a"):
                pass

    asyncio.run(main())
    assert len(queue._done_at) <= 11
