"""What a client asked for: /embed and /search in their three spellings, checked.

A request comes as a multipart form (`images` files, options as fields), or as JSON (`images` base64, options
as keys); either way options may stand in the query string instead. A field that is not known is refused with
the names of those that are, and a field given twice is refused: nothing is ignored.

A picture is always bytes in the request. A string where a file belongs, a URL above all, is refused and never
fetched.
"""

import asyncio
import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import QueryParams
from starlette.requests import Request

from index.filter_parser import parse_filter
from service.bodies import parse_form, read_body
from service.problems import BodyTooLargeError, RequestError, UnsupportedBodyError
from service.settings import Settings

DEFAULT_K = 10
MAX_K = 1000
MAX_ID_BYTES = 4096
LONG_BODY_BYTES = 512 * 1024
# Python holds its lock while it parses JSON, whatever the thread: everybody waits, a tenth of a second for so many. The
# most that our routes take, 64 pictures with their facts and 10,000 ids to delete, are far fewer.
MAX_JSON_VALUES = 500_000
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
EMBED_FIELDS = ("images", "encoding", "attention")
SEARCH_FIELDS = ("images", "embedding", "item_id", "k", "filter", "rerank", "explain")


@dataclass(frozen=True)
class EmbedRequest:
    """POST /embed: at least one picture."""

    images: list[bytes]
    encoding: str = "float"
    attention: bool = False


@dataclass(frozen=True)
class SearchRequest:
    """POST /search: exactly one of pictures, an embedding (D,), or the id of an item; `filter` says among which.

    `rerank` is None where that is left to what was measured of the catalogue.
    """

    k: int
    images: list[bytes]
    embedding: NDArray[np.float32] | None = None
    item_id: str | None = None
    filter: str | None = None
    rerank: bool | None = None
    explain: bool = False


async def read_embed(request: Request, settings: Settings) -> EmbedRequest:
    """Read and check a body of /embed.

    Raises:
        RequestError: anything is wrong with it; the subclasses say which status that is.
    """
    fields = await _read_fields(request, settings, EMBED_FIELDS)
    if not fields["images"]:
        raise RequestError("there is no picture; send at least one file in the field `images`")
    encoding = fields.get("encoding", "float")
    if encoding not in ("float", "base64"):
        raise RequestError(f"`encoding` is {_shown(encoding)}, expected float or base64")
    return EmbedRequest(fields["images"], encoding, _bool("attention", fields.get("attention", False)))


async def read_search(request: Request, settings: Settings, dim: int) -> SearchRequest:
    """Read and check a body of /search; `dim` is the length of an embedding.

    Raises:
        RequestError: anything is wrong with it; the subclasses say which status that is.
    """
    fields = await _read_fields(request, settings, SEARCH_FIELDS)
    asked = [name for name in ("images", "embedding", "item_id") if fields.get(name) not in (None, [])]
    if len(asked) != 1:
        found = " and ".join(asked) or "none of them"
        raise RequestError(f"a search takes one of `images`, `embedding` and `item_id`; this one has {found}")
    k = integer("k", fields.get("k", DEFAULT_K), 1, MAX_K)
    wanted = filter_text(fields.get("filter"))
    rerank, explain = _bool_or_null("rerank", fields.get("rerank")), _bool("explain", fields.get("explain", False))
    if asked == ["embedding"]:
        embedding_D = _embedding(fields["embedding"], dim)
        return SearchRequest(k, [], embedding=embedding_D, filter=wanted, rerank=rerank, explain=explain)
    if asked == ["item_id"]:
        item_id = identifier("item_id", fields["item_id"])
        return SearchRequest(k, [], item_id=item_id, filter=wanted, rerank=rerank, explain=explain)
    return SearchRequest(k, fields["images"], filter=wanted, rerank=rerank, explain=explain)


def integer(name: str, value: object, lowest: int, highest: int) -> int:
    """A whole number from JSON or from text, within bounds.

    Raises:
        RequestError: it is none, or out of bounds.
    """
    if isinstance(value, str) and WHOLE_NUMBER.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise RequestError(f"`{name}` is {_shown(value)}, expected a whole number from {lowest} to {highest}")
    return value


def identifier(name: str, value: object) -> str:
    """The id of an item: text that a database can hold.

    Raises:
        RequestError: it is empty, too long, no text, or holds a NUL or half a surrogate pair.
    """
    if not isinstance(value, str) or not value:
        raise RequestError(f"`{name}` is {_shown(value)}, expected the id of an item")
    try:
        length = len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise RequestError(f"`{name}` holds half of a surrogate pair, which is no text") from error
    if "\0" in value or length > MAX_ID_BYTES:
        raise RequestError(f"`{name}` holds a NUL or is longer than {MAX_ID_BYTES} bytes")
    return value


def filter_text(value: object) -> str | None:
    """A filter that can be read, or None where there is none: told before anything is decoded for it.

    Raises:
        RequestError: it is no text.
        FilterError: it cannot be read.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise RequestError(f'`filter` is {_kind(value)}, expected text such as genus == "Vanessa" and year >= 2010')
    return parse_filter(value).text


def query_options(query: QueryParams, known: tuple[str, ...]) -> dict[str, str]:
    """The options of a query string.

    Raises:
        RequestError: one is not known, or given twice.
    """
    options: dict[str, str] = {}
    for name, value in query.multi_items():
        _check_name(name, known)
        if name in options:
            raise _twice(name)
        options[name] = value
    return options


def parse_json(text: bytes | str, what: str = "the body") -> Any:
    """Strict JSON: no NaN, no infinity, no name twice, bounded depth. `what` names it in the refusal.

    Raises:
        RequestError: it is not.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except RecursionError as error:
        raise RequestError(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise RequestError(f"{what} is not valid JSON: {error}") from error


def parse_json_body(body: bytes) -> Any:
    """Strict JSON, as `parse_json` has it, of a body that may be as long as any.

    Raises:
        BodyTooLargeError: it has more than MAX_JSON_VALUES.
        RequestError: it is not JSON.
    """
    # Each value but the first comes after one of these; counted in text as well, where they are no marks, and at once.
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_JSON_VALUES:
        raise BodyTooLargeError(
            f"the body has more than {MAX_JSON_VALUES:,} values (its commas and opening brackets are counted); send "
            "fewer in one request",
            detail={"max_json_values": MAX_JSON_VALUES},
        )
    return parse_json(body)


async def _read_fields(request: Request, settings: Settings, known: tuple[str, ...]) -> dict[str, Any]:
    """Every field of a request by name; `images` is always there, as a list of bytes."""
    options = query_options(request.query_params, tuple(name for name in known if name != "images"))
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in ("multipart/form-data", "application/json"):
        raise UnsupportedBodyError(
            f"Content-Type is {_shown(media_type) if media_type else 'missing'}, expected "
            "multipart/form-data with files in `images`, or application/json"
        )
    body = await read_body(request, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s)
    if media_type == "application/json":
        read = partial(_json_fields, body, known)
    else:
        read = partial(_form_fields, body, content_type, known, settings.max_pictures)
    # Taking a long form apart, or its pictures out of base64, takes long enough to keep other requests waiting.
    fields = await asyncio.to_thread(read) if len(body) > LONG_BODY_BYTES else read()
    for name, value in options.items():
        if name in fields:
            raise _twice(name)
        fields[name] = value
    if len(fields.setdefault("images", [])) > settings.max_pictures:
        raise BodyTooLargeError(
            f"the request has {len(fields['images'])} pictures, at most {settings.max_pictures} go into one",
            detail={"max_pictures": settings.max_pictures},
        )
    return fields


def _form_fields(body: bytes, content_type: str, known: tuple[str, ...], max_files: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"images": []}
    for part in parse_form(body, content_type, max_files=max_files):
        _check_name(part.name, known)
        if part.name == "images":
            if not part.is_file:
                raise RequestError(
                    "the field `images` is text, expected a file; this server never fetches a URL "
                    "(curl: -F images=@picture.jpg)"
                )
            fields["images"].append(part.data)
        elif part.name in fields:
            raise _twice(part.name)
        else:
            fields[part.name] = part.text
    if "embedding" in fields:
        fields["embedding"] = parse_json(fields["embedding"], "`embedding`")
    return fields


def _json_fields(body: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    document = parse_json_body(body)
    if not isinstance(document, dict):
        raise RequestError(f"the JSON is {_kind(document)}, expected an object with the keys {', '.join(known)}")
    fields: dict[str, Any] = {}
    for name, value in document.items():
        _check_name(name, known)
        fields[name] = value
    images = fields.get("images", [])
    if not isinstance(images, list):
        raise RequestError(f"`images` is {_kind(images)}, expected an array of base64 strings")
    fields["images"] = [picture_bytes(f"images[{position}]", text) for position, text in enumerate(images)]
    return fields


def picture_bytes(name: str, text: object) -> bytes:
    """The bytes of a picture that stands in JSON as base64.

    Raises:
        RequestError: it is something else, a URL above all.
    """
    if not isinstance(text, str):
        raise RequestError(f"`{name}` is {_kind(text)}, expected a base64 string")
    if text[:8].lower().startswith(("http:", "https:", "file:", "ftp:", "data:")):
        raise RequestError(
            f"`{name}` is a URL, expected the bytes of a picture as base64; this server never fetches a URL"
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"`{name}` is not base64: {error}") from error


def _embedding(value: object, dim: int) -> NDArray[np.float32]:
    """An embedding of any norm but zero: numbers, or base64 of little-endian float32 as /embed answers."""
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestError(f"`embedding` is not base64: {error}") from error
        if len(data) != 4 * dim:
            raise RequestError(f"`embedding` is {len(data)} bytes, expected {dim} float32, {4 * dim} bytes")
        vector = np.frombuffer(data, dtype="<f4").astype(np.float64)
    else:
        if not isinstance(value, list) or len(value) != dim:
            found = f"{len(value)} numbers" if isinstance(value, list) else _kind(value)
            raise RequestError(f"`embedding` is {found}, this encoder's embeddings are {dim} numbers")
        if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in value):
            raise RequestError("`embedding` holds something that is not a number")
        try:
            vector = np.array([float(number) for number in value], dtype=np.float64)
        except OverflowError as error:
            raise RequestError("`embedding` holds a number too large for a float") from error
    scale = float(np.abs(vector).max()) if np.isfinite(vector).all() else math.nan
    if not scale > 0:
        raise RequestError("`embedding` holds no direction: all zero, or not finite")
    vector /= scale  # so that neither a huge nor a tiny vector is lost in its own square
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _bool(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    raise RequestError(f"`{name}` is {_shown(value)}, expected true or false")


def _bool_or_null(name: str, value: object) -> bool | None:
    if value is None or (isinstance(value, str) and value.lower() == "null"):
        return None
    return _bool(name, value)


def _check_name(name: str, known: tuple[str, ...]) -> None:
    if name in known:
        return
    raise RequestError(
        f"{_shown(name)} is no field of this route; it knows {', '.join(known)}",
        detail={"known": list(known)},
    )


def _twice(name: str) -> RequestError:
    return RequestError(f"{_shown(name)} is given twice, expected once")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; Python alone would keep the last of a name that stands twice, in silence."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _twice(name)
        found[name] = value
    return found


def _kind(value: object) -> str:
    names: Mapping[type, str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names[type(value)]


def _shown(value: object) -> str:
    """A client's value in a message: short, and escaped so that it breaks no log line."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
