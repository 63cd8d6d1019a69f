"""From what a person typed to an open catalogue, in whichever store it is."""

from pathlib import Path

from index.catalogue import Catalogue
from index.sqlite_catalogue import SqliteCatalogue


def open_catalogue(location: Path, *, encoder_id: str | None = None) -> Catalogue:
    """Open a catalogue, for the encoder with that id if one is given.

    Raises:
        CatalogueNotFoundError: there is none.
        EncoderMismatchError: another encoder filled it; the message has the command that mends it.
        SchemaVersionError: a newer version of this program wrote it.
        CatalogueError: it is damaged, or cannot be reached.
    """
    return SqliteCatalogue.open(location, encoder_id=encoder_id)
