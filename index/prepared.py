"""One picture on its way into a catalogue: what both engines of bulk indexing make of it, and by the same rules.

An engine goes through a source and gives batches of `Prepared`. Which content has to be encoded, what is taken from the
catalogue instead, and how a picture becomes pixels and a thumbnail is said here, once.
"""

import json
import os
import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encoder.errors import IdTakenError, InputError
from encoder.manifest import Preprocessing
from encoder.preprocessing import decode_picture, preprocess
from index.catalogue import Catalogue
from index.items import Item, NewItem
from index.progress import Stages
from index.sources.files import is_url
from index.sources.picture import PictureFacts, SourcePicture
from index.text import printable
from index.thumbnails import thumbnail_of

# What becomes of a picture that can be used; each is a count of the report.
KINDS = ("encoded", "reused", "relabelled", "unchanged")


@dataclass(frozen=True)
class Prepared:
    """A picture after reading: still to encode (`pixels`), to store as it is (`item`), or nothing to do (neither).

    It does not hold the bytes of the file, so that what waits to be encoded is small.
    """

    facts: PictureFacts
    kind: str  # one of KINDS
    content_hash: str = ""
    pixels: NDArray[np.uint8] | None = None
    thumbnail: bytes = b""
    item: NewItem | None = None


class Engine(Protocol):
    """What prepares pictures: threads of this process, or a cluster.

    Attributes:
        stages: told what each stage costs.
    """

    stages: Stages

    def batches(
        self, pictures: Iterable[SourcePicture], reject: Callable[[PictureFacts, InputError], None]
    ) -> Generator[list[Prepared]]:
        """Batches of items ready to be committed; `reject` hears of the rest, and why.

        A batch has been committed when the next one is asked for. Closing the generator ends the work.
        """


def prepared_if_known(
    catalogue: Catalogue, facts: PictureFacts, content_hash: str, *, keep_taken: bool = False
) -> Prepared | None:
    """What becomes of a picture whose content the catalogue has; None if it has to be encoded.

    Args:
        catalogue: asked.
        facts: of the picture.
        content_hash: of its file.
        keep_taken: an item with its id that came from another place is not to be replaced: it may only get a new place,
            if content, labels and metadata are the same and the old place is no more.

    Raises:
        IdTakenError: there is such an item with something else, and `keep_taken` was said.
    """
    known = catalogue.get(facts.id)
    same_content = known is not None and known.content_hash == content_hash
    others = keep_taken and known is not None and not _is_at(known, facts, same_content=same_content)
    if others and known is not None and not (same_content and _says(known, facts)):
        theirs = "the same picture with other labels or metadata" if same_content else "another picture"
        raise IdTakenError(
            f"its id {facts.id!r} is that of {theirs}, {known.source or 'of no known place'}, which is kept; give the "
            "ids of this source another beginning: lodisc index add CATALOGUE --images SOURCE --prefix TEXT; or, if it "
            "is to be replaced, as after a move, remove that item first: lodisc index remove CATALOGUE ID"
        )
    if known is not None and same_content and _is_as(known, facts):
        return Prepared(facts, "unchanged")
    # Else a later change of this picture would be taken for one of the other source's.
    if others and known is not None and _may_be_there(known.source):
        return Prepared(facts, "unchanged")
    stored = catalogue.by_content(content_hash)
    if stored is None:
        return None
    return Prepared(facts, "relabelled" if same_content else "reused", item=new_item(facts, content_hash, *stored))


def _place(location: str) -> str:
    """Where a picture is, without the query of a URL: signed ones are new each time, and are no other place."""
    return re.sub(r"\?[^#]*", "", location) if is_url(location) else location


def _is_at(item: Item, facts: PictureFacts, *, same_content: bool) -> bool:
    """Whether an item came from where a picture is: of URLs with another query, only if that has its content."""
    location = printable(facts.location)
    return _same_file(item.source, location) or (same_content and _place(item.source) == _place(location))


def _may_be_there(location: str) -> bool:
    """Whether a picture may still be where it was: only of this machine's files it can be said that they are gone."""
    _, of_machine, path = location.rpartition("file://")
    if not location or (is_url(location) and not of_machine):
        return True
    return any(Path(one).exists() for one in (path, path.partition("#")[0]))


def _same_file(one: str, other: str) -> bool:
    """Whether two places are one file, also by another way to it."""
    return _file(one) == _file(other) or _real(_file(one)) == _real(_file(other))


def _real(location: str) -> str:
    """A place with the links and the `..` of a path on this machine resolved."""
    chain, of_machine, path = location.rpartition("file://")
    if is_url(location) and not of_machine:
        return location
    return f"{chain}{of_machine}{os.path.realpath(path)}"


def _file(location: str) -> str:
    """The place without the row of a Parquet file: its rows may be others once some were put in or taken out."""
    return re.sub(r"(?<=\.parquet)#\d+$", "", location, flags=re.IGNORECASE)


def pixels_and_thumbnail(data: bytes, preprocessing: Preprocessing) -> tuple[NDArray[np.uint8], bytes]:
    """What the encoder sees of a picture file, uint8, shape (S, S, 3), and what people see of it.

    Raises:
        PictureError: it cannot be decoded.
    """
    # As every query is decoded, so that a picture finds itself with a cosine of 1.
    decoded = decode_picture(data, min_side_wanted=preprocessing.image_size)
    return preprocess(decoded, preprocessing), thumbnail_of(decoded)


def new_item(
    facts: PictureFacts,
    content_hash: str,
    embedding_D: NDArray[np.float32],
    thumbnail: bytes,
    local: bytes | None = None,
) -> NewItem:
    """The item of a picture."""
    return NewItem(
        id=facts.id,
        labels=facts.labels,
        metadata=facts.metadata,
        source=printable(facts.location),
        content_hash=content_hash,
        embedding=embedding_D,
        thumbnail=thumbnail,
        local=local,
    )


def _is_as(item: Item, facts: PictureFacts) -> bool:
    """Whether the item says what is known of its picture now, and where that is."""
    return _says(item, facts) and _place(item.source) == _place(printable(facts.location))


def _says(item: Item, facts: PictureFacts) -> bool:
    """Whether the item has the labels and the metadata that are known of its picture now."""
    if item.labels != facts.labels:
        return False
    # As text, in which 1, 1.0 and true differ.
    return json.dumps(item.metadata, sort_keys=True) == json.dumps(facts.metadata, sort_keys=True)
