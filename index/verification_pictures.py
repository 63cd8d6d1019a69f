"""Finding the pictures of items again, and whether they are still what was indexed.

Each is looked for in a source that is given anew, by its id; then where it was indexed from. Of tar and Parquet files,
which have no place to jump to, each is read once from beginning to end. What has to be known of all items is kept on
disk, and few files at a time are in memory.
"""

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from encoder.errors import InputError, LodiscError
from index.disk_map import DiskMap
from index.sources.files import is_url, read
from index.sources.picture import Source, UnreadablePart
from index.sources.reading import read_source
from index.text import printable

# same: the content that was indexed. missing: its folder is there and it is not. unreadable: it is there and cannot be
# read. away: the whole source cannot be reached. nowhere: it came from no file, as what a client has put.
State = Literal["same", "changed", "missing", "unreadable", "away", "nowhere"]
AHEAD = 2  # files a thread that are read before they are asked for


@dataclass(frozen=True)
class Wanted:
    """An item whose picture is looked for."""

    row: int
    id: str
    location: str
    content_hash: str


@dataclass(frozen=True)
class Found:
    """What was found of it; `data` is the file where it could be read, `reason` says why not."""

    item: Wanted
    state: State
    reason: str = ""
    data: bytes = b""


def find_pictures(wanted: Iterable[Wanted], source: Source | None, threads: int) -> Iterator[Found]:
    """Look for the pictures of items; each item comes out once, in no particular order.

    Args:
        wanted: the items.
        source: where their pictures are now, if not where they were.
        threads: that read.
    """
    located = _by_location(wanted) if source is None else _by_id(wanted, source)
    waiting: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for place in located:
                if isinstance(place, Found):
                    yield place
                    continue
                waiting.append(pool.submit(_read, *place))
                if len(waiting) > AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_Place = Found | tuple[Wanted, Callable[[], bytes]]


def _by_id(wanted: Iterable[Wanted], source: Source) -> Iterator[_Place]:
    with DiskMap() as open_items:
        for item in wanted:
            open_items.put(item.id, json.dumps(astuple(item)))
        for picture in source:
            text = None if isinstance(picture, UnreadablePart) else open_items.get(picture.facts.id)
            if text is not None and not isinstance(picture, UnreadablePart):
                open_items.remove(picture.facts.id)
                yield Wanted(*json.loads(text)), picture.read
        yield from _by_location(Wanted(*json.loads(text)) for _, text in open_items.items())


def _by_location(wanted: Iterable[Wanted]) -> Iterator[_Place]:
    shards: dict[str, str | None] = {}  # shard -> why not all of it could be read
    with DiskMap() as in_shards:
        for item in wanted:
            shard = _shard_of(item.location)
            if shard is not None:
                shards[shard] = None
                known = json.loads(in_shards.get(item.location) or "[]")
                in_shards.put(item.location, json.dumps([*known, astuple(item)]))
            elif is_url(item.location) or item.location.startswith("/"):
                yield item, partial(read, item.location)
            else:
                yield Found(item, "nowhere")
        for shard in shards:
            try:
                for picture in read_source(shard):
                    if isinstance(picture, UnreadablePart):
                        shards[shard] = picture.reason
                        continue
                    location = printable(picture.facts.location)
                    for one in json.loads(in_shards.get(location) or "[]"):
                        yield Wanted(*one), picture.read
                    in_shards.remove(location)
            except LodiscError as error:
                shards[shard] = error.message
        for location, text in in_shards.items():
            reason = shards[_shard_of(location) or ""]
            for one in json.loads(text):
                yield Found(Wanted(*one), "missing" if reason is None else "away", reason or "")


def _read(item: Wanted, read_file: Callable[[], bytes]) -> Found:
    try:
        data = read_file()
    except InputError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            return Found(item, "away" if is_url(item.location) else "unreadable", error.message)
        root = _root_of(item)
        away = not is_url(item.location) and not _is_inhabited(root)
        return Found(item, "away", f"{root} is not there, or empty") if away else Found(item, "missing", error.message)
    same = hashlib.sha256(data).hexdigest() == item.content_hash
    return Found(item, "same" if same else "changed", data=data)


def _root_of(item: Wanted) -> str:
    """The folder that was indexed, as far as an id tells it; else the one that the picture was in."""
    root = item.location.removesuffix(f"/{item.id}")
    return root if root != item.location else str(Path(item.location).parent)


def _is_inhabited(folder: str) -> bool:
    """Whether a folder is there with something in it; where one is not mounted it is often there and empty."""
    with suppress(OSError), os.scandir(folder) as entries:
        return next(entries, None) is not None
    return False


def _shard_of(location: str) -> str | None:
    """The tar or Parquet file that a location is within; None if it is a file of its own."""
    found = re.fullmatch(r"tar://.*?::(?:file://(?=/))?(.+)", location) or re.fullmatch(r"(.+\.parquet)#\d+", location)
    return found[1] if found else None
