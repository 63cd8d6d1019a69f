"""Pictures of a request: each fails alone, and what is no fault of a picture fails the request as itself."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from pictures import drawn, file_bytes

from encoder.bundle import Bundle
from encoder.errors import BundleCorruptError, PictureError
from encoder.image_encoder import ImageEncoder
from service.embedding_cache import EncodedPicture
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.problems import OverloadedError
from service.settings import Settings


@pytest.fixture
def pipeline(tiny_bundle: Path):
    opened = Pipeline(ImageEncoder(Bundle.open(tiny_bundle)), Settings(), Metrics())
    yield opened
    opened.close()


def test_a_bad_picture_fails_alone_by_its_position(pipeline: Pipeline) -> None:
    good = file_bytes(drawn((200, 30, 30), 1))
    found = asyncio.run(pipeline.encode([good, b"no picture", good], client="a"))
    assert isinstance(found[1], PictureError)
    assert found[1].position == 1
    assert isinstance(found[0], EncodedPicture)
    assert isinstance(found[2], EncodedPicture)
    np.testing.assert_array_equal(found[0].embedding_D, found[2].embedding_D)


def test_a_picture_to_be_explained_is_taken_in_as_what_it_costs() -> None:
    settings = Settings(max_pictures=8, max_queued_pictures=26)
    bundle = Bundle.open(Path(__file__).parents[2] / "bundles" / "demo")
    metrics = Metrics()
    pipeline = Pipeline(ImageEncoder(bundle), settings, metrics)
    pictures = [file_bytes(drawn((200, 30, 30), seed)) for seed in range(2)]
    in_flight = []

    async def refused(client: str, number: int, **extras: bool) -> bool:
        await asyncio.sleep(0)
        in_flight.append(metrics.in_flight._value.get())
        try:
            await pipeline.encode(pictures[:number], client=client, **extras)
        except OverloadedError:
            return True
        return False

    async def both(num: int, **extras: bool) -> bool:
        first = asyncio.create_task(pipeline.encode(pictures[:num], client="a", **extras))
        found = await refused("b", 1, patches=True, influence=True)
        assert len(await first) == num
        return found

    try:
        assert asyncio.run(both(2, patches=True, influence=True))  # 26 of 26
        assert not asyncio.run(both(1, patches=True, influence=True))  # 13, and room for another
        assert not asyncio.run(both(2))
    finally:
        pipeline.close()
    assert in_flight == [26, 13, 2]


def test_a_fault_of_the_encoder_is_told_as_it_is(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BundleCorruptError("the graph of attention cannot be loaded")

    monkeypatch.setattr(pipeline.encoder, "encode", fail)
    pictures = [file_bytes(drawn((200, 30, 30), seed)) for seed in range(3)]
    with pytest.raises(BundleCorruptError, match="attention"):
        asyncio.run(pipeline.encode(pictures, client="a"))
    monkeypatch.undo()
    assert len(asyncio.run(pipeline.encode(pictures, client="a"))) == 3
