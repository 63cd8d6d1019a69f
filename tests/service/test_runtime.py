"""What a process holds, where a part of it cannot be had."""

import asyncio
import logging
from pathlib import Path

import pytest
from served_catalogue import build_served_catalogue

from encoder.errors import BundleNotFoundError
from index.sqlite_catalogue import SqliteCatalogue
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.runtime import Runtime
from service.settings import Settings


def test_without_side_by_side_it_serves_and_still_watches_its_catalogue(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: object) -> None:
        raise BundleNotFoundError("the bundle is gone")

    monkeypatch.setattr(Pipeline, "prepare_for_many", gone)
    monkeypatch.setattr("service.runtime.WATCH_S", 0.01)
    monkeypatch.setattr(logging.getLogger("bentoml"), "propagate", True)
    catalogue = build_served_catalogue(tmp_path, tiny_bundle)

    async def main() -> None:
        runtime = Runtime(Settings(catalogue=catalogue), Metrics(None))
        runtime.start()
        await runtime.tried()
        runtime.require_ready()
        await asyncio.sleep(0.1)
        assert runtime._opening is not None
        assert not runtime._opening.done()
        await runtime.close()

    asyncio.run(main())
    assert "the bundle is gone" in caplog.text


@pytest.mark.parametrize("faulty", [(SqliteCatalogue, "count"), (Pipeline, "prepare_for_many")])
def test_a_bug_beside_the_opening_is_told_and_ends_neither_the_serving_nor_the_watching(
    tmp_path: Path,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    faulty: tuple[type, str],
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    catalogue = build_served_catalogue(tmp_path, tiny_bundle)
    monkeypatch.setattr(*faulty, fail)
    monkeypatch.setattr("service.runtime.WATCH_S", 0.01)
    monkeypatch.setattr(logging.getLogger("bentoml"), "propagate", True)

    async def main() -> None:
        runtime = Runtime(Settings(catalogue=catalogue), Metrics(None))
        runtime.start()
        try:
            await asyncio.wait_for(runtime.tried(), 30)
            runtime.require_ready()
            await asyncio.sleep(0.1)
            assert runtime._opening is not None
            assert not runtime._opening.done()
        finally:
            await runtime.close()

    asyncio.run(main())
    assert "a bug of ours" in caplog.text


def test_what_ended_the_watching_keeps_nothing_from_being_closed(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    closed: list[Path] = []
    close = SqliteCatalogue.close

    def close_and_note(self: SqliteCatalogue) -> None:
        closed.append(self.path)
        close(self)

    monkeypatch.setattr(SqliteCatalogue, "close", close_and_note)
    monkeypatch.setattr("service.runtime._identity", lambda _: (1, 2))
    monkeypatch.setattr("service.runtime.WATCH_S", 0.01)
    monkeypatch.setattr(logging.getLogger("bentoml"), "propagate", True)
    catalogue = build_served_catalogue(tmp_path, tiny_bundle)

    async def main() -> None:
        runtime = Runtime(Settings(catalogue=catalogue), Metrics(None))
        runtime.start()
        await asyncio.wait_for(runtime.tried(), 30)
        monkeypatch.setattr("service.runtime._identity", fail)
        opening = runtime._opening
        assert opening is not None
        await asyncio.wait([opening], timeout=30)
        await runtime.close()
        assert closed == [catalogue.resolve()]
        with pytest.raises(RuntimeError, match="shutdown"):
            await runtime.in_thread(len, "a")

    asyncio.run(main())
    assert "a bug of ours" in caplog.text
