"""What each call of the HTTP contract sends; each function is a method of both clients."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import ArrayLike

from encoder.errors import ConfigError
from lodisc.client.answers import (
    Embedded,
    Item,
    ItemPage,
    LabelCount,
    LabelPage,
    Model,
    Readiness,
    SearchAnswer,
    Stats,
    Thumbnail,
)
from lodisc.client.call import Call, refusal
from lodisc.client.pictures import Picture, as_sequence, picture_bytes
from lodisc.client.readings import made, read_embedded, read_search


def embed(pictures: Picture | Sequence[Picture], *, attention: bool = False) -> Call[Embedded]:
    """One embedding a picture, each picture failing alone.

    Args:
        pictures: bytes, paths, or pictures of Pillow's; as many as the server takes in one request.
        attention: whether to add what each patch weighs.

    Raises:
        ConfigError: there are no pictures.
        PicturesRefusedError: none is usable.
        AnswerError: the server refused.
        ClientError: there was no answer.
    """
    params = {"encoding": "base64", "attention": str(attention).lower()}
    return Call(method="POST", path="/embed", params=params, files=_files(pictures), only_asks=True, read=read_embedded)


def search(
    pictures: Picture | Sequence[Picture] | None = None,
    *,
    embedding: ArrayLike | None = None,
    item_id: str | None = None,
    k: int = 10,
    filter: str | None = None,
    rerank: bool | None = None,
    explain: bool = False,
) -> Call[SearchAnswer]:
    """The nearest items of one thing, and the name they vote for.

    Args:
        pictures: photographs of one thing; bytes, paths, or pictures of Pillow's.
        embedding: in their place, (D,), of any length but zero.
        item_id: in their place, an item of the catalogue, which is itself left out.
        k: matches wanted.
        filter: among which items, as `genus == "Vanessa" and year >= 2010`.
        rerank: whether the first matches are put in order by their pivotal patches too; None as the server finds best.
        explain: whether the first matches are explained.

    Raises:
        ConfigError: not exactly one of pictures, embedding and item_id is given, or there are no pictures.
        AnswerError: the server refused.
        ClientError: there was no answer.
    """
    if sum(given is not None for given in (pictures, embedding, item_id)) != 1:
        raise ConfigError("a search takes one of pictures, embedding and item_id")
    options: dict[str, Any] = {"k": k} if filter is None else {"k": k, "filter": filter}
    options |= {"rerank": rerank} if rerank is not None else {}
    options |= {"explain": True} if explain else {}
    if pictures is not None:
        texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in options.items()}
        body: dict[str, Any] = {"files": _files(pictures), "data": texts}
    elif embedding is not None:
        vector_D = np.asarray(embedding, dtype="<f4")
        body = {"json": {**options, "embedding": base64.b64encode(vector_D.tobytes()).decode("ascii")}}
    else:
        body = {"json": {**options, "item_id": item_id}}
    return Call(method="POST", path="/search", only_asks=True, read=read_search, **body)


def get_item(item_id: str) -> Call[Item]:
    """One item.

    Raises:
        ItemNotFoundError: there is none.
        AnswerError: the server refused.
        ClientError: there was no answer.
    """
    return Call(method="GET", path=_item_path(item_id), read=lambda response: made(Item, response.json()))


def put_item(
    item_id: str,
    picture: Picture,
    *,
    labels: Mapping[str, str] | None = None,
    metadata: Mapping[str, str | int | float] | None = None,
) -> Call[Item]:
    """Add or replace one item.

    Args:
        item_id: any text; slashes are fine.
        picture: bytes, a path, or a picture of Pillow's.
        labels: name by rank, the finest first.
        metadata: texts and numbers.

    Raises:
        AccessRefusedError: the server takes no writes, or none with this key.
        AnswerError: the server refused.
        ClientError: there was no answer; the item may be there all the same, and putting it again does no harm.
    """
    return Call(
        method="PUT",
        path=_item_path(item_id),
        files=[("image", ("picture", picture_bytes(picture)))],
        data={"labels": json.dumps(dict(labels or {})), "metadata": json.dumps(dict(metadata or {}))},
        read=lambda response: made(Item, response.json()),
    )


def delete_item(item_id: str) -> Call[bool]:
    """Remove one item; whether it was there, which is also False where an attempt before a lost answer removed it.

    Raises:
        AccessRefusedError: the server takes no writes, or none with this key.
        AnswerError: the server refused.
        ClientError: there was no answer.
    """

    def read(response: httpx.Response) -> bool:
        if response.status_code == 404 and response.json()["error"]["code"] != "not_found":
            raise refusal(response)
        return response.status_code == 204

    return Call(method="DELETE", path=_item_path(item_id), statuses=frozenset({204, 404}), read=read)


def list_items(*, filter: str | None = None, cursor: str | None = None, limit: int = 100) -> Call[ItemPage]:
    """One page of the items that a filter lets through; `items` goes through all pages.

    Raises:
        AnswerError: the server refused.
        ClientError: there was no answer.
    """
    asked: dict[str, str | int | None] = {"filter": filter, "cursor": cursor, "limit": limit}

    def read(response: httpx.Response) -> ItemPage:
        document = response.json()
        return ItemPage(tuple(made(Item, item) for item in document["items"]), document["next_cursor"])

    params = {name: value for name, value in asked.items() if value is not None}
    return Call(method="GET", path="/items", params=params, read=read)


def thumbnail(item_id: str, *, etag: str | None = None) -> Call[Thumbnail | None]:
    """A small picture of one item; None where it is still the one of `etag`.

    Raises:
        ItemNotFoundError: there is none.
        AnswerError: the server refused.
        ClientError: there was no answer.
    """

    def read(response: httpx.Response) -> Thumbnail | None:
        if response.status_code == 304:
            return None
        return Thumbnail(response.content, response.headers["content-type"], response.headers["etag"])

    headers = {"If-None-Match": etag} if etag is not None else {}
    path = f"{_item_path(item_id)}/thumbnail"
    return Call(method="GET", path=path, headers=headers, statuses=frozenset({200, 304}), read=read)


def labels(rank: str, *, prefix: str = "", limit: int = 20) -> Call[LabelPage]:
    """The labels of a rank that begin with a prefix, upper and lower case alike.

    Args:
        rank: as species.
        prefix: empty for all.
        limit: how many at most, 1 to 1000.

    Raises:
        AnswerError: the server refused, as where no item has a label of that rank.
        ClientError: there was no answer.
    """

    def read(response: httpx.Response) -> LabelPage:
        document = response.json()
        return LabelPage(
            document["rank"], tuple(made(LabelCount, one) for one in document["labels"]), document["total"]
        )

    params: dict[str, str | int] = {"rank": rank, "prefix": prefix, "limit": limit}
    return Call(method="GET", path="/labels", params=params, read=read)


def stats() -> Call[Stats]:
    """What is served.

    Raises:
        AnswerError: the server refused.
        ClientError: there was no answer.
    """

    def read(response: httpx.Response) -> Stats:
        document = response.json()
        catalogue, model = document["catalogue"], made(Model, document["model"])
        return Stats(model, catalogue["items"], tuple(catalogue["ranks"]), document["limits"], document)

    return Call(method="GET", path="/stats", read=read)


def ready() -> Call[Readiness]:
    """Whether a search would be answered now; one that is not ready is an answer here, and is not asked again.

    Raises:
        ClientError: there was no answer.
    """

    def read(response: httpx.Response) -> Readiness:
        document = response.json()
        if response.status_code == 503:
            return Readiness(ready=False, reason=document["error"]["message"])
        return Readiness(ready=document["status"] == "ready", reason=None)

    return Call(method="GET", path="/readyz", statuses=frozenset({200, 503}), read=read)


def _files(pictures: Picture | Sequence[Picture]) -> list[tuple[str, tuple[str, bytes]]]:
    given = as_sequence(pictures)
    if not given:
        raise ConfigError("there are no pictures to send; give one at least")
    # The name of a file is nobody's business; one is sent because without it a part is a text field.
    return [("images", ("picture", picture_bytes(picture))) for picture in given]


def _item_path(item_id: str) -> str:
    """The slashes of an id stand as they are, but `.` and `..` between them would be taken out on the way."""
    segments = quote(item_id).split("/")
    return "/items/" + "/".join(one.replace(".", "%2E") if one in (".", "..") else one for one in segments)
