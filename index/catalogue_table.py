"""A catalogue as one Parquet file, for other programs and for another machine: needs pyarrow.

    id, source, content_hash   text
    labels                     map of rank to name, finest rank first
    metadata                   text, a JSON object
    embedding                  a list of D float32; the stored half-precision numbers, so nothing is lost
    thumbnail                  bytes, a WebP file

In the file's key-value metadata, `lodisc` holds a JSON object: format_version, manifest (of the encoder), bundle_path,
ranks, variant, domain. What an index was wished for is not in it: that is a matter of the machine.
"""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from encoder.errors import LodiscError, SourceError
from encoder.manifest import Manifest, manifest_document, parse_manifest
from index.catalogue import Catalogue
from index.text import is_text

KEY = b"lodisc"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Heading:
    """What a file says of the catalogue that it holds."""

    manifest: Manifest
    bundle_path: str
    ranks: tuple[str, ...]
    variant: str
    domain: str | None

    @classmethod
    def of(cls, catalogue: Catalogue) -> "Heading":
        """Of an open catalogue."""
        return cls(catalogue.manifest, str(catalogue.bundle_path), catalogue.ranks, catalogue.variant, catalogue.domain)

    def dumps(self) -> bytes:
        """As the file holds it."""
        document = {
            "format_version": FORMAT_VERSION,
            "manifest": json.loads(manifest_document(self.manifest)),
            "bundle_path": self.bundle_path,
            "ranks": list(self.ranks),
            "variant": self.variant,
            "domain": self.domain,
        }
        return json.dumps(document, ensure_ascii=False).encode()

    @classmethod
    def loads(cls, data: bytes | None, origin: str) -> "Heading":
        """From the file, which may hold anything.

        Raises:
            SourceError: it is not what `dumps` writes.
        """
        if data is None:
            raise SourceError(
                f"{origin} was not written by `lodisc index export`: its metadata has no key {KEY.decode()!r}; "
                "a table of pictures goes into a catalogue by `lodisc index build CATALOGUE --images FILE`"
            )
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{origin}: its metadata {KEY.decode()!r} is not valid JSON: {error}") from error
        version = document.get("format_version") if isinstance(document, dict) else None
        if version != FORMAT_VERSION:
            raise SourceError(f"{origin}: format_version is {version!a}, this program reads {FORMAT_VERSION}")
        ranks, domain = document.get("ranks"), document.get("domain")
        texts = [document.get("bundle_path"), document.get("variant"), *([] if domain is None else [domain])]
        if not isinstance(ranks, list) or not all(isinstance(text, str) and is_text(text) for text in [*texts, *ranks]):
            raise SourceError(f"{origin}: bundle_path, variant, ranks or domain of its metadata are not text")
        if len(set(ranks)) < len(ranks):
            raise SourceError(f"{origin}: ranks name one twice: {ranks!a}")
        try:
            manifest = parse_manifest(document.get("manifest"), f"{origin} (manifest)")
        except (LodiscError, RecursionError) as error:
            raise SourceError(str(error)) from error
        if document["variant"] not in manifest.variants:
            raise SourceError(f"{origin}: the manifest has no variant {document['variant']!a}")
        return cls(manifest, document["bundle_path"], tuple(ranks), document["variant"], domain)


def schema_of(heading: Heading) -> pa.Schema:
    """The columns of the file of a catalogue."""
    columns: list[tuple[str, Any]] = [
        ("id", pa.string()),
        ("labels", pa.map_(pa.string(), pa.string())),
        ("metadata", pa.string()),
        ("source", pa.string()),
        ("content_hash", pa.string()),
        ("embedding", pa.list_(pa.float32(), heading.manifest.embedding_dim)),
        ("thumbnail", pa.binary()),
    ]
    fields = [pa.field(name, kind, nullable=False) for name, kind in columns]
    return pa.schema(fields, metadata={KEY: heading.dumps()})
