"""Tar files of samples, as webdataset writes them: files of one name and several extensions belong together.

`0001.jpg` is the picture; `0001.json` has its labels and metadata by name, `0001.cls` its class, `0001.txt` a text.
Shards are read as streams from beginning to end, so they may come from anywhere, and no shard is ever in memory.
"""

import json
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from encoder.errors import SourceError, UndecodablePictureError
from encoder.picture_files import is_picture_name
from index.sources.columns import labels_of, metadata_of, text_of, wanted_ranks
from index.sources.files import files_of, is_url, name_of, opened
from index.sources.picture import PictureFacts, SourcePicture, UnreadablePart

SIDECARS = ("json", "cls", "txt")
_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error)


class TarSource:
    """The pictures of tar files, in the order of the shards and their members.

    The id is the `id` of the JSON beside a picture, else the name of its member. An id that a later member has again is
    found when it is met, not before: nothing but reading all shards would tell.

    Args:
        location: as it was given.
        shards: its files.
        ranks: the fields that are labels, finest first; `label` if there are none. `.cls` is the finest.

    Raises:
        SourceError: the first shard is no tar file, or there is no picture in any.
    """

    num_pictures: int | None = None

    def __init__(self, location: str, shards: Sequence[str], ranks: Sequence[str] = ()) -> None:
        self.location, self._ranks = location, wanted_ranks(ranks)
        self._shards = [files_of(shard).absolute(shard) for shard in shards]
        first = next(iter(self), None)
        if isinstance(first, UnreadablePart):
            raise SourceError(f"{first.location} cannot be read as a tar file: {first.reason}")
        if first is None:
            raise SourceError(f"{location} holds no pictures; expected members such as 0001.jpg, 0001.json, 0001.cls")

    def __iter__(self) -> Iterator[SourcePicture | UnreadablePart]:
        for shard in self._shards:
            done = 0
            try:
                for key, sample in _samples(shard):
                    for picture in self._pictures(shard, key, sample):
                        yield picture
                        done += 1
            except _DAMAGE as error:
                yield UnreadablePart(shard, f"cannot be read after {done} pictures: {error or type(error).__name__}")

    def _pictures(self, shard: str, key: str, sample: dict[str, bytes]) -> Iterator[SourcePicture]:
        names = [extension for extension in sample if extension not in SIDECARS]
        if not names:
            told = UndecodablePictureError(f"sample {key} has no picture, only {', '.join(sample)}")
            yield SourcePicture(PictureFacts(key, _member(shard, key), {}, {}), partial(_fail, told))
            return
        try:
            fields = _fields(sample, self._ranks[0])
            labels = labels_of(fields, self._ranks)
            metadata = metadata_of(fields, without=("id", *self._ranks))
        except (ValueError, RecursionError) as error:
            told = UndecodablePictureError(f"what lies beside {key} cannot be read: {error}")
            for name in names:
                facts = PictureFacts(f"{key}.{name}", _member(shard, f"{key}.{name}"), {}, {})
                yield SourcePicture(facts, partial(_fail, told))
            return
        for name in names:
            member = f"{key}.{name}"
            facts = PictureFacts(
                id=text_of(fields.get("id")) or member,
                location=_member(shard, member),
                labels=labels,
                metadata=metadata,
            )
            yield SourcePicture(facts, partial(bytes, sample[name]))


def _samples(shard: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key, and bytes by extension, of each run of members with one key; only what is needed is read."""
    key, sample = "", dict[str, bytes]()
    for member, data in _members(shard):
        folder, _, name = member.rpartition("/")
        stem, _, extension = name.partition(".")
        member_key = f"{folder}/{stem}" if folder else stem
        if member_key != key and sample:
            yield key, sample
            sample = {}
        key = member_key
        sample[extension] = data
    if sample:
        yield key, sample


def _members(shard: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the files of a shard that are pictures or lie beside one."""
    with _stream(shard) as tar:
        while (member := tar.next()) is not None:
            cast(Any, tar).members = []  # a stream cannot go back, and the list would grow with the shard
            name = member.name.removeprefix("./")
            wanted = is_picture_name(name_of(name)) or name.rpartition("/")[2].partition(".")[2] in SIDECARS
            if not member.isfile() or not wanted or name_of(name).startswith("."):
                continue
            file = tar.extractfile(member)
            assert file is not None  # only what is no file has none
            data = file.read()
            if len(data) < member.size:
                raise tarfile.ReadError(f"{name} is cut short")
            yield name, data


@contextmanager
def _stream(shard: str) -> Iterator[tarfile.TarFile]:
    with opened(shard) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
        yield tar


def _fields(sample: dict[str, bytes], finest: str) -> dict[str, Any]:
    """What lies beside a picture, by name.

    Raises:
        ValueError: it is no JSON object, or no UTF-8.
    """
    fields = json.loads(sample.get("json", b"{}"), parse_constant=_not_json)
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, found {type(fields).__name__}")  # noqa: TRY004 - of the file, not ours
    if "cls" in sample:
        fields.setdefault(finest, sample["cls"].decode().strip())
    if "txt" in sample:
        fields.setdefault("text", sample["txt"].decode().strip())
    return fields


def _not_json(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _member(shard: str, name: str) -> str:
    """A member as fsspec spells it: `tar://0001.jpg::/data/0.tar`."""
    return f"tar://{name}::{shard if is_url(shard) else f'file://{shard}'}"


def _fail(error: UndecodablePictureError) -> bytes:
    raise error
