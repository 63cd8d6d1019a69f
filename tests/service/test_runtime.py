"""What a process holds, where a part of it cannot be had."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from served_catalogue import build_served_catalogue

from encoder.errors import BundleNotFoundError
from index.open_catalogue import open_catalogue
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


def test_another_catalogue_that_is_mended_is_served_without_being_pointed_at_again(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.runtime.WATCH_S", 0.01)
    monkeypatch.setattr("service.runtime.RETRY_S", 0.05)
    monkeypatch.setattr(logging.getLogger("bentoml"), "propagate", True)
    catalogue = build_served_catalogue(tmp_path, tiny_bundle)
    late, link = tmp_path / "late", tmp_path / "current"
    shutil.copytree(catalogue, late)
    with open_catalogue(late) as opened:
        opened.remember(bundle_path=tmp_path / "still copied")
    link.symlink_to(catalogue)

    async def main() -> None:
        metrics = Metrics(None)
        attempts: list[Path] = []
        runtime = Runtime(Settings(catalogue=link), metrics)
        runtime.start()
        await asyncio.wait_for(runtime.tried(), 30)
        monkeypatch.setattr(
            "service.runtime.open_catalogue", lambda path: attempts.append(path) or open_catalogue(path)
        )
        (tmp_path / "next").symlink_to(late)
        (tmp_path / "next").replace(link)
        await _until(lambda: len(attempts) > 2)
        assert runtime.serving.catalogue.path == catalogue.resolve()
        shutil.copytree(tiny_bundle, tmp_path / "still copied")
        await _until(lambda: runtime.serving.catalogue.path == late.resolve())
        swaps = {outcome: metrics.swaps.labels(outcome=outcome)._value.get() for outcome in ("failed", "done")}
        await runtime.close()
        assert swaps["done"] == 1
        assert swaps["failed"] == 1

    asyncio.run(main())
    told = [record.message for record in caplog.records if "the old one still is" in record.message]
    assert len(told) == len(set(told))
    assert str(tmp_path / "still copied") in told[0]


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)
