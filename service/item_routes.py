"""The items of the catalogue over HTTP: list, read, put, delete, and their thumbnails.

A write is one transaction and visible to the next search of every worker. Without keys writes are refused unless the
server was started with them; with keys, one that has the scope is enough.
"""

import hashlib
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from encoder.errors import NotFoundError, PictureError
from index.answer import thumbnail_path
from index.answers.patch_projection import PatchProjection
from index.items import CatalogueStats, Item, NewItem
from index.thumbnails import make_thumbnail
from service.bodies import Part, parse_form, read_body
from service.clients import client_of
from service.conditional import respond
from service.deadline import while_wanted
from service.embedding_cache import EncodedPicture
from service.item_facts import read_facts
from service.local_answers import kept_projection
from service.problems import RequestError, UnsupportedBodyError, WritesOffError
from service.requests import filter_text, identifier, integer, parse_json, query_options
from service.runtime import Runtime

PUT_FIELDS = ("image", "labels", "metadata")
SOURCE = "http"  # where an item came from that was put by a client
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


async def list_items(request: Request) -> Response:
    """GET /items: one page of those that a filter lets through."""
    options = query_options(request.query_params, ("filter", "cursor", "limit"))
    limit = integer("limit", options.get("limit", DEFAULT_LIMIT), 1, MAX_LIMIT)
    cursor = identifier("cursor", options["cursor"]) if "cursor" in options else None
    wanted = filter_text(options.get("filter"))
    runtime: Runtime = request.app.state.runtime
    page = await runtime.in_thread(runtime.serving.catalogue.items, cursor, limit, wanted)
    return JSONResponse({"items": [item_document(item) for item in page.items], "next_cursor": page.next_cursor})


async def item(request: Request) -> Response:
    """GET, PUT and DELETE /items/{id}; the slashes of an id stand as they are."""
    item_id = identifier("id", request.path_params["id"])
    if request.method == "PUT":
        return await _put(request, item_id)
    if request.method == "DELETE":
        return await _delete(request, item_id)
    runtime: Runtime = request.app.state.runtime
    found = await runtime.in_thread(runtime.serving.catalogue.get, item_id)
    if found is None:
        raise _no_item(item_id)
    return JSONResponse(item_document(found))


async def get_thumbnail(request: Request) -> Response:
    """GET /items/{id}/thumbnail."""
    item_id = identifier("id", request.path_params["id"])
    runtime: Runtime = request.app.state.runtime
    content = await runtime.in_thread(runtime.serving.catalogue.thumbnail, item_id)
    if content is None:
        raise _no_item(item_id)
    return respond(request, content, "image/webp")


def item_document(item: Item) -> dict[str, Any]:
    """One item as JSON: what a client may see, which the place of the file on this machine is not."""
    return fields_document(item.id, item.labels, item.metadata)


def fields_document(item_id: str, labels: dict[str, str], metadata: dict[str, Any]) -> dict[str, Any]:
    """The same of its fields."""
    return {"id": item_id, "labels": labels, "metadata": metadata, "thumbnail": thumbnail_path(item_id)}


def stats_document(stats: CatalogueStats) -> dict[str, Any]:
    """What is in the catalogue, as JSON; without the paths of this machine."""
    return {
        "items": stats.items,
        "ranks": list(stats.ranks),
        "labels": stats.labels,
        "unlabelled": stats.unlabelled,
        "snapshot_items": stats.snapshot_items,
        "snapshot_kind": stats.snapshot_kind,
        "snapshot_recall": stats.snapshot_recall,
        "tail_items": stats.tail_items,
        "last_change": stats.last_change,
        "disk_bytes": stats.disk_bytes,
    }


def new_item(
    item_id: str,
    data: bytes,
    labels: dict[str, str],
    metadata: dict[str, Any],
    encoded: EncodedPicture,
    projection: PatchProjection | None,
    *,
    max_pixels: int,
) -> NewItem:
    """The item of a picture that came over HTTP; makes its thumbnail, so it takes a moment.

    Raises:
        PictureError: a thumbnail cannot be made of it.
    """
    return NewItem(
        id=item_id,
        labels=labels,
        metadata=metadata,
        source=SOURCE,
        content_hash=hashlib.sha256(data).hexdigest(),
        embedding=encoded.embedding_D,
        thumbnail=make_thumbnail(data, max_pixels=max_pixels),
        local=None if projection is None or encoded.patches is None else projection.packed(encoded.patches),
    )


async def _put(request: Request, item_id: str) -> Response:
    runtime: Runtime = request.app.state.runtime
    require_writes(request)
    serving = runtime.serving
    data, labels, metadata = await _read_put(request, runtime)
    projection = await runtime.in_thread(kept_projection, serving.catalogue)
    work = serving.pipeline.encode([data], client=client_of(request), patches=projection is not None)
    encoded = (await while_wanted(request, runtime.settings.deadline_s, work))[0]
    try:
        if isinstance(encoded, PictureError):
            raise encoded
        new = await serving.pipeline.in_decoder(
            new_item, item_id, data, labels, metadata, encoded, projection, max_pixels=runtime.settings.max_pixels
        )
    except PictureError as error:
        error.status = 422
        raise
    await runtime.in_thread(serving.catalogue.put, [new])
    return JSONResponse(fields_document(item_id, labels, metadata))


async def _delete(request: Request, item_id: str) -> Response:
    runtime: Runtime = request.app.state.runtime
    require_writes(request)
    if not await runtime.in_thread(runtime.serving.catalogue.delete, [item_id]):
        raise _no_item(item_id)
    return Response(status_code=204)


async def _read_put(request: Request, runtime: Runtime) -> tuple[bytes, dict[str, str], dict[str, Any]]:
    """The picture, the labels and the metadata of a PUT."""
    query_options(request.query_params, ())
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise UnsupportedBodyError("PUT takes multipart/form-data with one file in the field `image`")
    settings = runtime.settings
    body = await read_body(request, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s)
    parts: dict[str, Part] = {}
    for part in parse_form(body, content_type, max_files=1):
        if part.name not in PUT_FIELDS:
            raise RequestError(f"{part.name[:60]!a} is no field of this route; it knows {', '.join(PUT_FIELDS)}")
        if part.name in parts:
            raise RequestError(f"`{part.name}` is given twice, expected once")
        parts[part.name] = part
    if "image" not in parts or not parts["image"].is_file:
        raise RequestError("there is no picture; send one file in the field `image`")
    labels, metadata = read_facts(*(_json_of(name, parts.get(name)) for name in ("labels", "metadata")))
    return parts["image"].data, labels, metadata


def _json_of(name: str, part: Part | None) -> Any:
    return parse_json(part.text, f"`{name}`") if part is not None else {}


def require_writes(request: Request) -> None:
    """See that this request may write.

    Raises:
        WritesOffError: it may not.
    """
    # A request that came in with a key came in because its scope covers a write.
    if request.state.key_id is None and not request.app.state.settings.allow_writes:
        raise WritesOffError(
            "this server is read-only without keys; `lodisc key create CATALOGUE --scope write`, "
            "`lodisc serve --allow-writes` or LODISC_ALLOW_WRITES=true changes that"
        )


def _no_item(item_id: str) -> NotFoundError:
    return NotFoundError(f"the catalogue has no item {item_id[:200]!a}")
