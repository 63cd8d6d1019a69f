"""POST /items and PUT, where a picture that could be encoded gives no thumbnail."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pictures import drawn, file_bytes
from PIL import Image
from served_catalogue import build_served_catalogue
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from encoder.errors import LodiscError, PictureTooLargeError, UndecodablePictureError
from index.thumbnails import make_thumbnail
from service.embedding_cache import EncodedPicture
from service.item_routes import new_item
from service.metrics import Metrics
from service.problems import on_lodisc_error
from service.routes import ROUTES
from service.runtime import Runtime
from service.settings import Settings

GOOD, BAD = (file_bytes(drawn((200, 30, 30), seed)) for seed in (1, 2))


def test_a_thumbnail_is_bound_by_the_pixels_that_were_said() -> None:
    large = file_bytes(Image.new("L", (8100, 8100), 7))
    with pytest.raises(PictureTooLargeError, match="at most 64,000,000"):
        make_thumbnail(large)
    encoded = EncodedPicture(np.ones(4, np.float32), None, (0, 0, 1, 1), None)
    item = new_item("large", large, {}, {}, encoded, None, max_pixels=100_000_000)
    assert item.thumbnail
    with pytest.raises(PictureTooLargeError, match="at most 1,000"):
        new_item("large", large, {}, {}, encoded, None, max_pixels=1000)


def test_a_picture_without_a_thumbnail_fails_alone(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_one(data: bytes, **_: Any) -> bytes:
        if data == BAD:
            raise UndecodablePictureError("no thumbnail of this one")
        return b"thumbnail"

    monkeypatch.setattr("service.item_routes.make_thumbnail", refuse_one)
    catalogue = build_served_catalogue(tmp_path, tiny_bundle)

    async def main() -> None:
        settings, metrics = Settings(catalogue=catalogue, allow_writes=True), Metrics(None)
        runtime = Runtime(settings, metrics)
        application = Starlette(routes=ROUTES, exception_handlers={LodiscError: on_lodisc_error})
        application.state.settings, application.state.metrics, application.state.runtime = settings, metrics, runtime

        async def came_in_without_a_key(scope: Scope, receive: Receive, send: Send) -> None:
            await application({**scope, "state": {"key_id": None}}, receive, send)

        runtime.start()
        await runtime.tried()
        transport = httpx.ASGITransport(came_in_without_a_key)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            items = [{"id": str(at), "image": base64.b64encode(one).decode()} for at, one in enumerate((BAD, GOOD))]
            answer = await client.post("/items", json={"items": items})
            put = await client.put("/items/2", files={"image": ("bad.png", BAD)})
        found = [runtime.serving.catalogue.get(item_id) is not None for item_id in ("0", "1", "2")]
        await runtime.close()
        assert answer.status_code == 200, answer.text
        bad, good = answer.json()["results"]
        assert "no thumbnail of this one" in bad["error"]["message"]
        assert bad["error"]["detail"]["position"] == 0
        assert good["id"] == "1"
        assert put.status_code == 422
        assert found == [False, True, False]

    asyncio.run(main())
