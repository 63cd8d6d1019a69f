"""What a process holds, where a part of it cannot be had."""

import asyncio
import logging
from pathlib import Path

import pytest
from served_catalogue import build_served_catalogue

from encoder.errors import BundleNotFoundError
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
