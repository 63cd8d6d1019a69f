"""From pictures of a source to items, in batches: read, hash, decode in one pool of threads, encode in another.

Whatever is wrong with one picture is told to the caller and costs nothing else. Content that the catalogue, or this
run a moment ago, has encoded already is not encoded again. What waits is bounded, so memory does not grow with the
source. Not covered: writing; the caller commits a batch while the next ones are encoded.
"""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from encoder.errors import InputError
from encoder.image_encoder import ImageEncoder
from index.answers.local_features import pivotal_patches_of
from index.catalogue import Catalogue
from index.prepared import Prepared, new_item, pixels_and_thumbnail, prepared_if_known
from index.progress import Stages
from index.sources.picture import PictureFacts, SourcePicture
from index.sqlite_catalogue import SqliteCatalogue

# An embedding (D,), and the local features packed; None where the catalogue keeps none.
Encoding = tuple[NDArray[np.float32], bytes | None]


class Pipeline:
    """Pictures to batches of items for one catalogue: the engine of one machine.

    Args:
        catalogue: asked for what is known already.
        encoder: the one that filled it.
        threads: that read and decode.
        encoder_calls: of the encoder at once.
        batch_size: pictures in a batch.
        stages: told what each stage costs.
        keep_taken: as of `index.prepared.prepared_if_known`.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        encoder: ImageEncoder,
        *,
        threads: int,
        encoder_calls: int,
        batch_size: int,
        stages: Stages,
        keep_taken: bool = False,
    ) -> None:
        self._catalogue, self._encoder, self.stages, self._keep_taken = catalogue, encoder, stages, keep_taken
        self._threads, self._encoder_calls, self._batch_size = threads, encoder_calls, batch_size
        self._ahead = 2 * batch_size + threads  # pictures read before they are needed
        # What was encoded, by content, that may not be committed yet; None while the encoder is at work on it. Used by
        # the thread that takes the batches only.
        self._recent: OrderedDict[str, Encoding | None] = OrderedDict()
        # Read once: with another projection in its place by then, the catalogue keeps no features of these items.
        self._projection = catalogue.local.projection() if isinstance(catalogue, SqliteCatalogue) else None

    def batches(
        self, pictures: Iterable[SourcePicture], reject: Callable[[PictureFacts, InputError], None]
    ) -> Generator[list[Prepared]]:
        """Batches in the order of the source, each item ready to be committed.

        Args:
            pictures: to go through.
            reject: called with each picture that cannot be used, and why.
        """
        with ThreadPoolExecutor(self._threads) as pool, ThreadPoolExecutor(self._encoder_calls) as encoder_pool:
            encoding: deque[tuple[list[Prepared], Future[list[Encoding]]]] = deque()
            batch: list[Prepared] = []
            try:
                for facts, prepared in self._in_order(pictures, pool):
                    if isinstance(prepared, InputError):
                        reject(facts, prepared)
                        continue
                    batch.append(self._once(prepared))
                    if len(batch) == self._batch_size:
                        encoding.append((batch, encoder_pool.submit(self._encode, batch)))
                        batch = []
                    # One more than are at work, so that none of the encoder's threads waits for a batch.
                    if len(encoding) > self._encoder_calls + 1:
                        yield self._finished(*encoding.popleft())
                if batch:
                    encoding.append((batch, encoder_pool.submit(self._encode, batch)))
                while encoding:
                    yield self._finished(*encoding.popleft())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                encoder_pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _in_order(
        self, pictures: Iterable[SourcePicture], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[PictureFacts, Prepared | InputError]]:
        """Each picture prepared, or why it cannot be, in the order of the source."""
        waiting: deque[tuple[PictureFacts, Future[Prepared | InputError]]] = deque()
        for picture in pictures:
            waiting.append((picture.facts, pool.submit(self._prepare, picture)))
            if len(waiting) >= self._ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()

    def _prepare(self, picture: SourcePicture) -> Prepared | InputError:
        """Read and hash a picture; decode it only if the catalogue does not know its content."""
        facts = picture.facts
        try:
            with self.stages.busy("read"):
                data = picture.read()
                content_hash = hashlib.sha256(data).hexdigest()
                known = prepared_if_known(self._catalogue, facts, content_hash, keep_taken=self._keep_taken)
            if known is not None:
                return known
            with self.stages.busy("decode"):
                pixels, thumbnail = pixels_and_thumbnail(data, self._encoder.manifest.preprocessing)
                return Prepared(facts, "encoded", content_hash, pixels, thumbnail)
        except InputError as error:
            return error

    def _once(self, prepared: Prepared) -> Prepared:
        """The picture; without pixels if its content is or was with the encoder a moment ago."""
        if prepared.pixels is None:
            return prepared
        if prepared.content_hash in self._recent:
            # It is needed until this copy's batch is encoded, which may be long after that of its first.
            self._recent.move_to_end(prepared.content_hash)
            return replace(prepared, kind="reused", pixels=None)
        self._recent[prepared.content_hash] = None
        return prepared

    def _encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        """The embeddings of those that have pixels, and their local features where the catalogue keeps them."""
        pixels = [one.pixels for one in batch if one.pixels is not None]
        if not pixels:
            return []
        with self.stages.busy("encode"):
            if self._projection is None:
                return [(embedding_D, None) for embedding_D in self._encoder.encode(np.stack(pixels)).embedding_BD]
            encoded = self._encoder.encode(np.stack(pixels), attention=True, tokens=True)
            patches = pivotal_patches_of(encoded)
            local = [self._projection.packed(one) for one in patches]
            return list(zip(encoded.embedding_BD, local, strict=True))

    def _finished(self, batch: Sequence[Prepared], encoded: Future[list[Encoding]]) -> list[Prepared]:
        """The batch as items. Batches come in order, so a copy finds the embedding of the one that was encoded."""
        fresh = (one.content_hash for one in batch if one.pixels is not None)
        self._recent.update(zip(fresh, encoded.result(), strict=True))
        done = []
        for one in batch:
            known = self._recent.get(one.content_hash)
            if one.item is None and known is not None:
                embedding_D, local = known
                item = new_item(one.facts, one.content_hash, embedding_D, one.thumbnail, local)
                one = replace(one, pixels=None, item=item)
            assert one.item is not None or one.kind == "unchanged"
            done.append(one)
        # Beyond this many, content has been committed and `_prepare` finds it in the catalogue.
        while len(self._recent) > self._ahead + (self._encoder_calls + 3) * self._batch_size:
            self._recent.popitem(last=False)
        return done
