"""From the folder that a person named to an open catalogue, in whichever store its items are."""

from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from encoder.bundle import Bundle
from encoder.errors import CatalogueNotFoundError, MissingExtraError
from index.catalogue import Catalogue
from index.milvus.address import parse_address
from index.sqlite_catalogue import SqliteCatalogue
from index.store_file import read_store, write_store


def open_catalogue(path: Path, *, encoder_id: str | None = None) -> Catalogue:
    """Open a catalogue, for the encoder with that id if one is given.

    Raises:
        CatalogueNotFoundError: there is none.
        EncoderMismatchError: another encoder filled it; the message has the command that mends it.
        SchemaVersionError: a newer version of this program wrote it.
        CatalogueError: it is damaged, or cannot be reached.
        MissingExtraError: its items are in Milvus, and the client is not installed.
    """
    store = read_store(path)
    if store is None:
        return SqliteCatalogue.open(path, encoder_id=encoder_id)
    _require_milvus()
    from index.milvus.opening import open_in_milvus

    return open_in_milvus(path, parse_address(store), encoder_id=encoder_id)


def open_store_for_build(
    path: Path,
    store: str,
    bundle: Bundle,
    *,
    variant: str | None,
    ranks: Sequence[str],
    domain: str | None,
    fresh: bool,
) -> Catalogue:
    """Open the items of the catalogue folder `path` in a store for a bulk run, making them if there are none.

    Raises:
        ConfigError: `store` is no address.
        CatalogueError: as `open_catalogue`.
    """
    address = parse_address(store)
    _require_milvus()
    from index.milvus.opening import create_in_milvus, open_in_milvus

    if not fresh:
        with suppress(CatalogueNotFoundError):
            catalogue = open_in_milvus(path, address, encoder_id=bundle.manifest.id)
            try:
                catalogue.choose_variant(bundle, variant)
                catalogue.remember(bundle_path=bundle.path, ranks=ranks)
                write_store(path, address.text)
            except BaseException:
                catalogue.close()
                raise
            return catalogue
    created = create_in_milvus(
        path, address, bundle, variant=variant or "fp32", ranks=ranks, domain=domain, fresh=fresh
    )
    write_store(path, address.text)
    return created


def same_store(one: str, other: str) -> bool:
    """Whether two addresses are one.

    Raises:
        ConfigError: one is none.
    """
    return parse_address(one) == parse_address(other)


def _require_milvus() -> None:
    """See that the client of Milvus is installed.

    Raises:
        MissingExtraError: it is not.
    """
    if find_spec("pymilvus") is None:
        raise MissingExtraError("a catalogue in Milvus needs its client: pip install -e '.[milvus]'")
