"""Making and opening the collection of a catalogue."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient

from encoder.bundle import Bundle
from encoder.errors import CatalogueError, CatalogueNotFoundError, SchemaVersionError
from encoder.shell_words import path_word
from index.answers.calibration import CALIBRATION_NAME
from index.filled import filled_by
from index.milvus.address import MilvusAddress
from index.milvus.catalogue import MilvusCatalogue
from index.milvus.client import TIMEOUT_S, connect, disconnect
from index.milvus.faults import milvus_faults
from index.milvus.schema import (
    PREFIX,
    SCHEMA_VERSION,
    VECTOR_PREFIX,
    VERSION_KEY,
    collection_indexes,
    collection_schema,
)


def create_in_milvus(
    path: Path,
    address: MilvusAddress,
    bundle: Bundle,
    *,
    variant: str = "fp32",
    ranks: Sequence[str] = (),
    domain: str | None = None,
    fresh: bool = False,
) -> MilvusCatalogue:
    """Make an empty catalogue for the embeddings of a bundle's variant.

    Args:
        path: the folder of this machine that names it.
        address: where it is to be.
        bundle: of the encoder.
        variant: of the bundle.
        ranks: names of the label ranks, finest first.
        domain: what its pictures are.
        fresh: delete the catalogue that is there, and the calibration that was fitted on it.

    Raises:
        BundleNotFoundError: the bundle has no such variant.
        CatalogueError: there is a collection that is not ours, or one that is and `fresh` was not said.
    """
    meta = filled_by(bundle, variant=variant, ranks=ranks, domain=domain)
    client = connect(address)
    try:
        with milvus_faults(address):
            exists = client.has_collection(address.collection, timeout=TIMEOUT_S)
            if exists:
                _require_ours(address, _properties(client, path, address))
                if not fresh:
                    raise CatalogueError(f"{address.text} exists already; open it, or choose another name")
            (path / CALIBRATION_NAME).unlink(missing_ok=True)  # the server answered, so the items of before do go
            if exists:
                client.drop_collection(address.collection, timeout=TIMEOUT_S)
            schema = collection_schema(bundle.manifest.embedding_dim)
            client.create_collection(
                address.collection,
                schema=schema,
                index_params=collection_indexes(schema, embedded=address.embedded),
                properties={VERSION_KEY: str(SCHEMA_VERSION), **{f"{PREFIX}{key}": text for key, text in meta.items()}},
                consistency_level="Strong",
                timeout=TIMEOUT_S,
            )
    finally:
        disconnect(client, address)
    return open_in_milvus(path, address)


def open_in_milvus(path: Path, address: MilvusAddress, *, encoder_id: str | None = None) -> MilvusCatalogue:
    """Open a catalogue, for the encoder with that id if one is given.

    Raises:
        CatalogueNotFoundError: there is none.
        EncoderMismatchError: another encoder filled it; the message has the command that mends it.
        SchemaVersionError: a newer version of this program wrote it.
        CatalogueError: the collection is not ours, or Milvus cannot be reached.
    """
    client = connect(address)
    try:
        with milvus_faults(address):
            properties = _properties(client, path, address)
            _require_ours(address, properties)
            client.load_collection(address.collection, timeout=TIMEOUT_S)
            fields = client.describe_collection(address.collection, timeout=TIMEOUT_S)["fields"]
        vector_field = next(field["name"] for field in fields if field["name"].startswith(VECTOR_PREFIX))
        meta = {key.removeprefix(PREFIX): text for key, text in properties.items() if key.startswith(PREFIX)}
        catalogue = MilvusCatalogue(path, address, client, meta, vector_field)
        catalogue.check_encoder(encoder_id)
    except BaseException:
        disconnect(client, address)
        raise
    return catalogue


def _properties(client: MilvusClient, path: Path, address: MilvusAddress) -> dict[str, Any]:
    """What the collection remembers."""
    if not client.has_collection(address.collection, timeout=TIMEOUT_S):
        raise CatalogueNotFoundError(
            f"{address.text} holds no catalogue; make it: "
            f"lodisc index build {path_word(path)} --images SOURCE --bundle BUNDLE --store {address.text} --fresh"
        )
    return dict(client.describe_collection(address.collection, timeout=TIMEOUT_S)["properties"])


def _require_ours(address: MilvusAddress, properties: dict[str, Any]) -> None:
    version = str(properties.get(VERSION_KEY, ""))
    if not version.isdecimal():
        raise CatalogueError(f"{address.text} is a collection that lodisc did not make; choose another name")
    if int(version) > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{address.text} was written by a newer version of lodisc (schema {version}, this one knows "
            f"{SCHEMA_VERSION}); update lodisc"
        )
