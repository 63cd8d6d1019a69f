"""The collection of a catalogue in Milvus, and an item as a row of it.

    key        the id, spelt (`index.milvus.spelling`): its order is that of ids, and it needs no escaping
    tokens     what a filter may ask of the item: `index.milvus.facts`
    facts
    document   JSON: id, labels, metadata, source, content hash
    thumbnail  the file in base64, because Milvus has no column of bytes
    embedding_XXXXXXXX   of length 1, compared by cosine. The name differs with every collection, so that who has
                         an older one open, since made anew, cannot write into this one

What `index.filled` remembers are properties of the collection that begin with `lodisc.`.
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import CollectionSchema, DataType, MilvusClient
from pymilvus.milvus_client.index import IndexParams

from encoder.errors import InputError
from index.items import Item, NewItem
from index.milvus.facts import tokens_and_facts
from index.milvus.spelling import spelt_text
from index.ranks import in_order
from index.thumbnails import thumbnail_within

SCHEMA_VERSION = 1
PREFIX = "lodisc."
VERSION_KEY = f"{PREFIX}schema"
VECTOR_PREFIX = "embedding_"
MAX_ID_BYTES = 4096
_MAX_TEXT = 65_535  # bytes of a VARCHAR or JSON value
_MAX_THUMBNAIL = _MAX_TEXT // 4 * 3  # bytes, before base64
_MAX_TOKENS = 4096
_DOCUMENT = ["document"]


def collection_schema(dim: int) -> CollectionSchema:
    """The columns of a new collection for embeddings of length `dim`."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=2 * MAX_ID_BYTES)
    schema.add_field("tokens", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=_MAX_TOKENS, max_length=32)
    schema.add_field("facts", DataType.JSON)
    schema.add_field("document", DataType.VARCHAR, max_length=_MAX_TEXT)
    schema.add_field("thumbnail", DataType.VARCHAR, max_length=_MAX_TEXT)
    schema.add_field(f"{VECTOR_PREFIX}{secrets.token_hex(4)}", DataType.FLOAT_VECTOR, dim=dim)
    return schema


def collection_indexes(schema: CollectionSchema, *, embedded: bool) -> IndexParams:
    """The indexes of a new collection: of the embeddings, and of the tokens where the store can have one."""
    params = MilvusClient.prepare_index_params()
    params.add_index(schema.fields[-1].name, index_type="AUTOINDEX", metric_type="COSINE")
    if not embedded:
        params.add_index("tokens", index_type="INVERTED")
    return params


def row_of(item: NewItem, vector_field: str, ranks: Sequence[str]) -> dict[str, Any]:
    """An item as a row; a thumbnail that is longer than Milvus holds is saved again at a lower quality.

    Raises:
        ValueError: the id is no UTF-8 text, or a value is no JSON.
        InputError: something of it is longer than Milvus holds.
    """
    labels = in_order(item.labels, ranks)
    key = spelt_text(item.id)
    document = {
        "id": item.id, "labels": labels, "metadata": item.metadata, "source": item.source, "hash": item.content_hash,
    }  # fmt: skip
    written = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    tokens, facts = tokens_and_facts(item.id, labels, item.metadata, item.content_hash)
    thumbnail = base64.b64encode(thumbnail_within(item.thumbnail, _MAX_THUMBNAIL)).decode("ascii")
    sizes = (
        ("id takes", len(key) // 2, MAX_ID_BYTES),
        ("labels, metadata and source take", len(written.encode("utf-8")), _MAX_TEXT),
        ("filterable labels and metadata take", len(json.dumps(facts)), _MAX_TEXT),
        ("thumbnail takes", len(thumbnail), _MAX_TEXT),
    )
    for what, size, most in sizes:
        if size > most:
            raise InputError(
                f"item {item.id[:80]!a}: its {what} {size} bytes, and Milvus holds {most} of them; shorten that, or "
                "keep the catalogue in a folder"
            )
    if len(tokens) > _MAX_TOKENS:
        raise InputError(f"item {item.id[:80]!a} has too many fields for Milvus, which holds some {_MAX_TOKENS // 3}")
    return {
        "key": key, "tokens": tokens, "facts": facts, "document": written, "thumbnail": thumbnail,
        vector_field: item.embedding.astype(np.float32).tolist(),
    }  # fmt: skip


def item_of(row: Mapping[str, Any]) -> Item:
    """The item of a row that has its document."""
    document = json.loads(row["document"])
    return Item(document["id"], document["labels"], document["metadata"], document["source"], document["hash"])


def thumbnail_of(row: Mapping[str, Any]) -> bytes:
    """The thumbnail of a row that has it."""
    return base64.b64decode(row["thumbnail"])


def embedding_of(row: Mapping[str, Any], vector_field: str) -> NDArray[np.float32]:
    """The embedding (D,) of a row that has it."""
    return np.asarray(row[vector_field], np.float32)
