"""The description of the API, OpenAPI 3.1, written by hand so that it says what a client needs and no more.

The examples are real: a test sends them and compares the shape of what comes back.
"""

from typing import Any

from index.filter_tokens import MAX_LENGTH
from service.openapi_access import describe_access
from service.requests import DEFAULT_K, MAX_K

API_VERSION = "1.0"
ABOUT = (
    "Fine-grained image retrieval. Send a picture to /search and get the nearest pictures of the catalogue, "
    "with the name that they vote for; send it to /embed and get its embedding. Errors have one shape: "
    '{"error": {"code", "message", "detail"}}. A picture fails alone: a request with at least one good '
    "picture is answered, with an error at each bad position."
)
MODEL = {"id": "5f1c0a9be2d37446", "dim": 192}
ERRORS = {
    "400": "malformed: an unknown field, a bad value, broken multipart or JSON",
    "403": "the server has no keys and was started without --allow-writes",
    "404": "no such item",
    "408": "the body came too slowly",
    "413": "the body or the number of pictures is over the limit",
    "415": "a Content-Type that this route does not read",
    "422": "no picture of the request is usable; `detail` names each by position",
    "429": "too many pictures in flight; see Retry-After",
    "503": "not ready: encoder or catalogue are not open (yet)",
}
ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "detail"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "detail": {"type": ["object", "null"]},
            },
        }
    },
}
MATCH = {
    "id": "Alata/alata-minor/003.png",
    "score": 0.9312,
    "labels": {"species": "alata-minor", "genus": "Alata"},
    "metadata": {},
    "thumbnail": "/items/Alata/alata-minor/003.png/thumbnail",
}
ANSWER = {
    "model": {**MODEL, "name": "demo"},
    "matches": [MATCH],
    "prediction": {
        "label": "Alata",
        "rank": "genus",
        "confidence": 0.93,
        "sure": True,
        "floor": 0.7,
        "calibrated": True,
        "unknown": False,
        "unknown_score": 0.12,
        "ranks": [
            {
                "rank": "species",
                "calibrated": True,
                "labels": [
                    {"label": "alata-minor", "confidence": 0.58},
                    {"label": "alata-major", "confidence": 0.31},
                ],
            },
            {"rank": "genus", "calibrated": True, "labels": [{"label": "Alata", "confidence": 0.93}]},
        ],
        "help": {
            "kind": "rivals",
            "rank": "species",
            "labels": ["alata-minor", "alata-major"],
            "items": {
                "alata-minor": "Alata/alata-minor/003.png",
                "alata-major": "Alata/alata-major/011.png",
            },
            "text": "alata-minor or alata-major: compare the two side by side, and look where they differ.",
        },
    },
    "query": [{"position": 0, "weight": 1.0, "attention": None}],
    "reranked": False,
    "timing_ms": {"read": 0.4, "decode": 3.1, "queue": 0.1, "encode": 14.0, "search": 0.6, "total": 19.0},
    "note": None,
}
ITEM = {
    "id": MATCH["id"],
    "labels": MATCH["labels"],
    "metadata": {},
    "thumbnail": MATCH["thumbnail"],
}
FILES = {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}}
BASE64 = {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}}
K = {"type": "integer", "minimum": 1, "maximum": MAX_K, "default": DEFAULT_K}
FILTER = {"type": "string", "maxLength": MAX_LENGTH, "examples": ['genus == "Alata" and species != "alata-minor"']}
RERANK = {"type": ["boolean", "null"], "default": None}
EXPLAIN = {"type": "boolean", "default": False}
LOCAL_TEXT = (
    "`rerank` puts the first 100 in order by their pivotal patches too; null leaves that to what was measured of the "
    "catalogue (`lodisc index local`), and `reranked` says what was done. A match then has `global_score`, the cosine, "
    "and `local_score`, the weighted mean cosine of the query's patches with the most similar of the item's; `score` "
    "is what it was ranked by. `explain` adds to each of the first 5 matches an `explanation`: `pairs` of patches, "
    "best first, with the `share` of each among the regions, which is no part of a score, and boxes (left, "
    "top, right, bottom, as shares of the upright picture and of the thumbnail); "
    "`query_attention` and `item_attention` are what each patch "
    "weighs, as /embed has it. It is null where the item's patches are not kept. Of several pictures the one that an "
    "item fits best scores and explains it. "
)
FILTER_TEXT = (
    "Comparisons (== != < <= > >=, in, not in) of label ranks, metadata and id with texts in quotes, numbers, true or "
    "false, and exists(NAME), startswith(NAME, text), contains(NAME, text), joined by and, or, not and brackets. A "
    "missing value satisfies no comparison. A name that no item has is refused."
)
# One transparent pixel, so that the example can be sent as it is.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def description() -> dict[str, Any]:
    """The OpenAPI document."""
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "lodisc",
            "version": API_VERSION,
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "paths": {
            "/search": {"post": _search()},
            "/embed": {"post": _embed()},
            "/items": {"get": _list_items(), "post": _put_items()},
            "/items/{id}": {"get": _get_item(), "put": _put_item(), "delete": _delete_item()},
            "/items/{id}/thumbnail": {"get": _thumbnail()},
            "/labels": {"get": _list_labels()},
            "/stats": {"get": _plain("What is served: encoder, catalogue, limits, whether you may write", "stats")},
            "/livez": {"get": _plain("Whether the process runs", "livez")},
            "/readyz": {"get": _plain("Whether a search would be answered now", "readyz", "503")},
            "/metrics": {"get": _text("Metrics for Prometheus", "metrics", "text/plain")},
            "/openapi.json": {"get": _plain("This document", "openapi")},
            "/docs": {"get": _text("This document, for people", "docs", "text/html")},
            "/": {"get": _text("The search page", "page", "text/html")},
        },
        "components": {"schemas": {"Error": ERROR_SCHEMA}},
    }
    describe_access(document)
    return document


def _search() -> dict[str, Any]:
    return {
        "summary": "The nearest pictures, and the name they vote for",
        "operationId": "search",
        "description": (
            "Takes one of: `images` (several are photographs of one thing; `query` says what each counts: a blurred "
            "one, or one of something else, counts little), `embedding`, `item_id` (that item itself is left out). "
            "`prediction` is the finest rank whose `confidence` passes the `floor` (`sure`), or the coarsest with "
            "`sure` false; `ranks` has the likeliest labels of each rank, finest first. Where `calibrated` is true a "
            "confidence is a probability among things that the catalogue has, and `unknown_score` in [0, 1] says "
            "whether it is none of them; `unknown` is the verdict, null where none can be given. Where it is false "
            "(`lodisc index calibrate`) a confidence is a share of the vote, nothing is sure, and both are null. "
            "Each of `ranks` says for itself whether it is `calibrated`: one with too few pictures is not. "
            "`help` says what would settle an answer: two `rivals` to compare, `another_view`, or a name for an "
            "`unknown`; `items` has the nearest item of each of its labels. "
            "`filter` says among which items to search. "
            f"{LOCAL_TEXT}"
            "Pictures that cannot be read are listed in `errors` by position."
        ),
        "x-curl": "curl -F images=@picture.jpg -F k=5 {origin}/search",
        "parameters": [
            _query("k", "How many matches, in place of the field of the same name.", K),
            _query("filter", f"Among which items, in place of the field of the same name. {FILTER_TEXT}", FILTER),
            _query("rerank", "Whether to re-rank, in place of the field of the same name.", RERANK),
            _query("explain", "Whether to explain, in place of the field of the same name.", EXPLAIN),
        ],
        "requestBody": _body(
            form={
                "images": FILES,
                "k": K,
                "item_id": {"type": "string"},
                "embedding": {"type": "string"},
                "filter": FILTER,
                "rerank": RERANK,
                "explain": EXPLAIN,
            },
            json={
                "images": BASE64,
                "embedding": {
                    "description": "numbers, or base64 of little-endian float32",
                    "type": ["array", "string"],
                },
                "item_id": {"type": "string"},
                "k": K,
                "filter": FILTER,
                "rerank": RERANK,
                "explain": EXPLAIN,
            },
            examples={
                "a picture": {"images": [PIXEL], "k": 5},
                "from an item": {"item_id": MATCH["id"], "k": 5},
                "among some items": {"images": [PIXEL], "filter": 'genus == "Alata" and startswith(species, "alata")'},
            },
        ),
        "responses": _answers(ANSWER, "400", "404", "408", "413", "415", "422", "429", "503"),
    }


def _embed() -> dict[str, Any]:
    encoding = {"type": "string", "enum": ["float", "base64"], "default": "float"}
    attention = {"type": "boolean", "default": False}
    return {
        "summary": "One embedding a picture",
        "operationId": "embed",
        "description": (
            "Embeddings are L2-normalised float32. `encoding=base64` gives them as base64 of little-endian "
            "float32. `attention=true` adds what each patch weighs: `scores` row-major over `grid` (rows, "
            "columns), which lies over `box` (left, top, right, bottom, as shares of the upright picture)."
        ),
        "x-curl": "curl -F images=@picture.jpg '{origin}/embed?attention=true'",
        "parameters": [
            _query("encoding", "float or base64.", encoding),
            _query("attention", "Whether to add the patch scores.", attention),
        ],
        "requestBody": _body(
            form={"images": FILES, "encoding": encoding, "attention": attention},
            json={"images": BASE64, "encoding": encoding, "attention": attention},
            examples={"a picture": {"images": [PIXEL], "encoding": "base64"}},
        ),
        "responses": _answers(
            {"model": MODEL, "results": [{"embedding": [0.12, -0.03]}]},
            "400",
            "408",
            "413",
            "415",
            "422",
            "429",
            "503",
        ),
    }


def _list_items() -> dict[str, Any]:
    return {
        "summary": "The items, a page at a time; with `filter`, those that it lets through",
        "operationId": "list_items",
        "description": "`next_cursor` is null on the last page; otherwise it is the `cursor` of the next.",
        "x-curl": "curl -G --data-urlencode 'filter=genus == \"Alata\"' '{origin}/items?limit=2'",
        "parameters": [
            _query("filter", FILTER_TEXT, FILTER),
            _query("cursor", "Where the page before ended.", {"type": "string"}),
            _query(
                "limit",
                "Items on a page.",
                {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
            ),
        ],
        "responses": _answers({"items": [ITEM], "next_cursor": None}, "400", "503"),
    }


def _list_labels() -> dict[str, Any]:
    return {
        "summary": "The labels of a rank that begin with a prefix, each with the number of its items",
        "operationId": "list_labels",
        "description": "Those of most items first; `total` counts all that begin so. Upper and lower case are alike.",
        "x-curl": "curl '{origin}/labels?rank=species&prefix=al&limit=5'",
        "parameters": [
            {**_query("rank", "Name of the label rank.", {"type": "string"}), "required": True},
            _query("prefix", "What the labels begin with; all where it is left out.", {"type": "string"}),
            _query("limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20}),
        ],
        "responses": _answers(
            {"rank": "species", "labels": [{"label": "alata-minor", "items": 12}], "total": 1}, "400", "503"
        ),
    }


def _put_items() -> dict[str, Any]:
    item = {
        "type": "object",
        "required": ["id", "image"],
        "properties": {
            "id": {"type": "string"},
            "image": BASE64["items"],
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "metadata": {"type": "object"},
        },
        "additionalProperties": False,
    }
    properties = {
        "items": {"type": "array", "items": item},
        "delete": {"type": "array", "items": {"type": "string"}},
    }
    example = {"items": [{"id": "mine/1", "image": PIXEL, "labels": {"species": "minor"}}], "delete": ["mine/0"]}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {
        "summary": "Add, replace and remove many items",
        "operationId": "put_items",
        "description": (
            "Each item of `items` fails alone: `results` has the item or an `error` at its position. The ids of "
            "`delete` go first; those that are not there are passed over. The same request twice leaves the same "
            "catalogue."
        ),
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}},
        "responses": _answers(
            {"results": [ITEM], "deleted": 1}, "400", "403", "408", "413", "415", "422", "429", "503"
        ),
    }


def _get_item() -> dict[str, Any]:
    return {
        "summary": "One item",
        "operationId": "get_item",
        "parameters": [_id()],
        "responses": _answers(ITEM, "404", "503"),
    }


def _put_item() -> dict[str, Any]:
    return {
        "summary": "Add or replace one item",
        "operationId": "put_item",
        "description": (
            "The same request twice leaves the same catalogue. `labels` is a JSON object, the finest rank "
            "first; `metadata` is a JSON object of strings and numbers. No name and no label is empty."
        ),
        "x-curl": 'curl -X PUT -F image=@picture.jpg -F \'labels={"species": "minor"}\' {origin}/items/mine',
        "parameters": [_id()],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["image"],
                        "properties": {
                            "image": FILES["items"],
                            "labels": {"type": "string"},
                            "metadata": {"type": "string"},
                        },
                    }
                }
            },
        },
        "responses": _answers(ITEM, "400", "403", "408", "413", "415", "422", "429", "503"),
    }


def _delete_item() -> dict[str, Any]:
    return {
        "summary": "Remove one item",
        "operationId": "delete_item",
        "parameters": [_id()],
        "responses": {"204": {"description": "removed"}, **_failures("403", "404", "503")},
    }


def _thumbnail() -> dict[str, Any]:
    return {
        "summary": "A small picture of one item",
        "operationId": "thumbnail",
        "description": "Carries an ETag; `If-None-Match` is answered with 304 where nothing changed.",
        "parameters": [_id()],
        "responses": {
            "200": {"description": "the picture", "content": {"image/*": {}}},
            "304": {"description": "the copy that the client has is right"},
            **_failures("404", "503"),
        },
    }


def _plain(summary: str, name: str, *failures: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": name,
        "responses": {
            "200": {"description": "ok", "content": {"application/json": {}}},
            **_failures(*failures),
        },
    }


def _text(summary: str, name: str, media_type: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": name,
        "responses": {"200": {"description": "ok", "content": {media_type: {}}}},
    }


def _query(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _id() -> dict[str, Any]:
    return {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "Id of the item; the slashes in it stand as they are.",
        "schema": {"type": "string"},
        "example": MATCH["id"],
    }


def _body(form: dict[str, Any], json: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "properties": form, "additionalProperties": False}},
            "application/json": {
                "schema": {"type": "object", "properties": json, "additionalProperties": False},
                "examples": {name: {"value": value} for name, value in examples.items()},
            },
        },
    }


def _answers(example: dict[str, Any], *failures: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    return {"200": {"description": "ok", "content": content}, **_failures(*failures)}


def _failures(*statuses: str) -> dict[str, Any]:
    schema = {"schema": {"$ref": "#/components/schemas/Error"}}
    return {status: {"description": ERRORS[status], "content": {"application/json": schema}} for status in statuses}
