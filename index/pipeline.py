"""From pictures of a source to items, in batches: read, hash, decode in a pool, encode in a thread of its own.

Whatever is wrong with one picture is told to the caller and costs nothing else. Content that the catalogue, or this
run a moment ago, has encoded already is not encoded again. What waits is bounded, so memory does not grow with the
source. Not covered: writing; the caller commits a batch while the next one is encoded.
"""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.errors import InputError, SourceError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess, read_picture
from index.catalogue import Catalogue
from index.items import NewItem
from index.progress import Stages
from index.sources import SourcePicture
from index.text import is_text, printable
from index.thumbnails import thumbnail_of

# What becomes of a picture that can be used; each is a count of the report.
KINDS = ("encoded", "reused", "relabelled", "unchanged")


@dataclass(frozen=True)
class Prepared:
    """A picture after reading: still to encode (`pixels`), to store as it is (`item`), or nothing to do (neither)."""

    picture: SourcePicture
    kind: str  # one of KINDS
    content_hash: str = ""
    pixels: NDArray[np.uint8] | None = None
    thumbnail: bytes = b""
    item: NewItem | None = None


class Pipeline:
    """Pictures to batches of items for one catalogue.

    Args:
        catalogue: asked for what is known already.
        encoder: the one that filled it.
        threads: that read and decode.
        batch_size: pictures in a batch.
        stages: told what each stage costs.
    """

    def __init__(
        self, catalogue: Catalogue, encoder: ImageEncoder, *, threads: int, batch_size: int, stages: Stages
    ) -> None:
        self._catalogue, self._encoder, self._stages = catalogue, encoder, stages
        self._threads, self._batch_size = threads, batch_size
        self._ahead = 2 * batch_size + threads  # pictures read before they are needed
        # Embeddings by content that may not be committed yet; only the encoding thread uses it.
        self._recent: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def batches(
        self, pictures: Sequence[SourcePicture], reject: Callable[[SourcePicture, InputError], None]
    ) -> Iterator[list[Prepared]]:
        """Batches in the order of the source, each item ready to be committed.

        Args:
            pictures: to go through.
            reject: called with each picture that cannot be used, and why.
        """
        with ThreadPoolExecutor(self._threads) as pool, ThreadPoolExecutor(1) as encode_thread:
            encoding: deque[Future[list[Prepared]]] = deque()
            batch: list[Prepared] = []
            try:
                for picture, prepared in self._in_order(pictures, pool):
                    if isinstance(prepared, InputError):
                        reject(picture, prepared)
                        continue
                    batch.append(prepared)
                    if len(batch) == self._batch_size:
                        encoding.append(encode_thread.submit(self._encode, batch))
                        batch = []
                    if len(encoding) > 1:
                        yield encoding.popleft().result()
                if batch:
                    encoding.append(encode_thread.submit(self._encode, batch))
                while encoding:
                    yield encoding.popleft().result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _in_order(
        self, pictures: Sequence[SourcePicture], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[SourcePicture, Prepared | InputError]]:
        """Each picture prepared, or why it cannot be, in the order of the source."""
        waiting: deque[tuple[SourcePicture, Future[Prepared | InputError]]] = deque()
        for picture in pictures:
            waiting.append((picture, pool.submit(self._prepare, picture)))
            if len(waiting) >= self._ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()

    def _prepare(self, picture: SourcePicture) -> Prepared | InputError:
        """Read and hash a picture; decode it only if the catalogue does not know its content."""
        try:
            if not is_text(picture.id):
                raise SourceError("its name is not UTF-8 and cannot be an id; rename the file")
            with self._stages.busy("read"):
                data = read_picture(picture.path)
                content_hash = hashlib.sha256(data).hexdigest()
                known = self._catalogue.get(picture.id)
                same_content = known is not None and known.content_hash == content_hash
                if (
                    known is not None
                    and same_content
                    and (known.labels, known.metadata)
                    == (
                        picture.labels,
                        picture.metadata,
                    )
                ):
                    return Prepared(picture, "unchanged")
                stored = self._catalogue.by_content(content_hash)
                if stored is not None:
                    kind = "relabelled" if same_content else "reused"
                    return Prepared(picture, kind, item=_new_item(picture, content_hash, *stored))
            with self._stages.busy("decode"):
                preprocessing = self._encoder.manifest.preprocessing
                # As every query is decoded, so that a picture finds itself with a cosine of 1.
                decoded = decode_picture(data, min_side_wanted=preprocessing.image_size)
                pixels = preprocess(decoded, preprocessing)
                return Prepared(picture, "encoded", content_hash, pixels, thumbnail_of(decoded))
        except InputError as error:
            return error

    def _encode(self, batch: Sequence[Prepared]) -> list[Prepared]:
        """Turn pixels into items; a content that occurs again is not encoded again."""
        fresh = {
            one.content_hash: one.pixels
            for one in batch
            if one.pixels is not None and one.content_hash not in self._recent
        }
        if fresh:
            with self._stages.busy("encode"):
                embedding_BD = self._encoder.encode(np.stack(list(fresh.values()))).embedding_BD
            self._recent.update(zip(fresh, embedding_BD, strict=True))
        done = []
        for one in batch:
            if one.pixels is None:
                done.append(one)
                continue
            item = _new_item(one.picture, one.content_hash, self._recent[one.content_hash], one.thumbnail)
            kind = "encoded" if fresh.pop(one.content_hash, None) is not None else "reused"
            done.append(Prepared(one.picture, kind, item=item))
        # Beyond this many, content has been committed and `_prepare` finds it in the catalogue.
        while len(self._recent) > self._ahead + 4 * self._batch_size:
            self._recent.popitem(last=False)
        return done


def _new_item(picture: SourcePicture, content_hash: str, embedding_D: NDArray[np.float32], thumbnail: bytes) -> NewItem:
    return NewItem(
        id=picture.id,
        labels=picture.labels,
        metadata=picture.metadata,
        source=printable(str(picture.path.absolute())),
        content_hash=content_hash,
        embedding=embedding_D,
        thumbnail=thumbnail,
    )
