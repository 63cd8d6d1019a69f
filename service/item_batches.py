"""POST /items: many items at once. Each fails alone; the good ones are put in one transaction."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from encoder.errors import LodiscError, PictureError
from index.picture_problems import problem
from service.bodies import read_body
from service.clients import client_of
from service.deadline import while_wanted
from service.item_facts import read_facts
from service.item_routes import fields_document, new_item, require_writes
from service.local_answers import kept_projection
from service.problems import BodyTooLargeError, RequestError, UnsupportedBodyError
from service.requests import identifier, parse_json_body, picture_bytes, query_options
from service.runtime import Runtime

FIELDS = ("items", "delete")
ITEM_FIELDS = ("id", "image", "labels", "metadata")
MAX_DELETED = 10_000


@dataclass(frozen=True)
class _Asked:
    """One item of a batch."""

    id: str
    image: bytes
    labels: dict[str, str]
    metadata: dict[str, Any]


async def put_items(request: Request) -> Response:
    """POST /items: put and delete in batches. The same request twice leaves the same catalogue."""
    runtime: Runtime = request.app.state.runtime
    require_writes(request)
    serving = runtime.serving
    items, deleted = await _read(request, runtime)
    good = [one for one in items if isinstance(one, _Asked)]
    projection = await runtime.in_thread(kept_projection, serving.catalogue)
    pictures = [one.image for one in good]
    work = serving.pipeline.encode(pictures, client=client_of(request), patches=projection is not None)
    encoded = iter(await while_wanted(request, runtime.settings.deadline_s, work))
    make = partial(new_item, projection=projection, max_pixels=runtime.settings.max_pixels)
    new, results = [], []
    for position, one in enumerate(items):
        try:
            if isinstance(one, LodiscError):
                raise one
            found = next(encoded)
            if isinstance(found, PictureError):
                raise found
            made = await serving.pipeline.in_decoder(make, one.id, one.image, one.labels, one.metadata, found)
        except (RequestError, PictureError) as error:
            if isinstance(error, PictureError):
                error.position = position
            results.append({"error": problem(error)})
        else:
            new.append(made)
            results.append(fields_document(one.id, one.labels, one.metadata))
    if items and not new:
        first = results[0]["error"]["message"]
        raise RequestError(f"none of the items is good; the first: {first}", detail={"results": results})
    num_deleted = await runtime.in_thread(serving.catalogue.delete, deleted) if deleted else 0
    if new:
        await runtime.in_thread(serving.catalogue.put, new)
    return JSONResponse({"results": results, "deleted": num_deleted})


async def _read(request: Request, runtime: Runtime) -> tuple[list[_Asked | LodiscError], list[str]]:
    query_options(request.query_params, ())
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedBodyError('POST takes application/json, {"items": [{"id", "image", "labels", "metadata"}]}')
    settings = runtime.settings
    body = await read_body(request, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s)
    document = await asyncio.to_thread(parse_json_body, body)
    if not isinstance(document, dict) or not set(document) <= set(FIELDS):
        raise RequestError(f"the JSON is no object with the keys {', '.join(FIELDS)}", detail={"known": list(FIELDS)})
    asked, deleted = document.get("items", []), document.get("delete", [])
    if not isinstance(asked, list) or not isinstance(deleted, list) or not (asked or deleted):
        raise RequestError("`items` or `delete` is an array of at least one; found neither")
    if len(asked) > settings.max_pictures or len(deleted) > MAX_DELETED:
        raise BodyTooLargeError(
            f"the request has {len(asked)} items and {len(deleted)} ids to delete, at most {settings.max_pictures} and "
            f"{MAX_DELETED} go into one",
            detail={"max_pictures": settings.max_pictures, "max_deleted": MAX_DELETED},
        )
    ids = [identifier(f"delete[{position}]", item_id) for position, item_id in enumerate(deleted)]
    return await asyncio.to_thread(lambda: [_item(position, one) for position, one in enumerate(asked)]), ids


def _item(position: int, found: object) -> _Asked | LodiscError:
    """One item, or what is wrong with it."""
    if not isinstance(found, dict) or not set(found) <= set(ITEM_FIELDS):
        return RequestError(f"item {position} is no object with the keys {', '.join(ITEM_FIELDS)}")
    try:
        labels, metadata = read_facts(found.get("labels", {}), found.get("metadata", {}))
        item_id = identifier(f"items[{position}].id", found.get("id"))
        return _Asked(item_id, picture_bytes(f"items[{position}].image", found.get("image")), labels, metadata)
    except RequestError as error:
        return error
