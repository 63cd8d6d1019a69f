"""Bulk indexing by a Ray cluster: Ray Data reads and hashes on any core, actors that hold the encoder do the rest.

The source is gone through in windows. Of each window the hashes come back first, so that what the catalogue or the
window has already is not encoded; then the new content goes to the actors, which read it again: carrying the bytes of
every picture through the cluster would cost more. Only this process asks and fills the catalogue. A window is at most
WINDOW pictures and WINDOW_BYTES of what has to be sent, so memory does not grow with the source.
"""

import math
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from encoder.bundle import Bundle
from encoder.errors import IdTakenError, InputError, SourceError, UndecodablePictureError
from index.catalogue import Catalogue
from index.prepared import Prepared, new_item, prepared_if_known
from index.progress import Stages
from index.ray_cluster import Division
from index.ray_workers import EncoderActor, read_and_hash
from index.sources.picture import PictureFacts, SourcePicture

# Actors are started anew for each window, which takes some seconds: it must be worth many of them.
WINDOW = 50_000
WINDOW_BYTES = 512 << 20
READ_BATCH = 64
READ_THREADS = 8  # of one reading task, which mostly waits

Reject = Callable[[PictureFacts, InputError], None]


@dataclass(frozen=True)
class _Task:
    """One picture of a window; `call` is the pickled function that gives the bytes of its file."""

    facts: PictureFacts
    call: bytes


class RayEngine:
    """Pictures to batches of items for one catalogue, by the Ray cluster that is connected.

    Attributes:
        stages: told what each stage costs.

    Args:
        catalogue: asked for what is known already.
        bundle: the encoder that filled it; sent to the machines.
        variant: of the bundle.
        division: of the cluster's cores; see `index.ray_cluster.cluster`.
        batch_size: pictures in one call of the encoder.
        keep_taken: as of `index.prepared.prepared_if_known`.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        bundle: Bundle,
        variant: str,
        division: Division,
        *,
        batch_size: int,
        keep_taken: bool = False,
    ) -> None:
        self._keep_taken = keep_taken
        self._catalogue, self._variant, self._division, self._batch_size = catalogue, variant, division, batch_size
        self._bundle_files = {path.name: path.read_bytes() for path in bundle.path.iterdir() if path.is_file()}
        self.stages = Stages({("read",): READ_THREADS, ("decode", "encode"): division.actors})

    def batches(self, pictures: Iterable[SourcePicture], reject: Reject) -> Generator[list[Prepared]]:
        """As `index.prepared.Engine`, except that of a window what is known already comes first."""
        refs = {name: ray.put(data) for name, data in self._bundle_files.items()}
        for window in _windows(pictures):
            yield from self._window(window, refs, reject)

    def _window(
        self, window: Sequence[_Task], refs: dict[str, "ray.ObjectRef[bytes]"], reject: Reject
    ) -> Generator[list[Prepared]]:
        known: list[Prepared] = []
        first: dict[str, int] = {}  # of content that has to be encoded: the picture that is
        copies: list[tuple[PictureFacts, str]] = []
        for answer in self._hashed(window):
            facts, content_hash = window[answer["position"]].facts, answer["content_hash"]
            self.stages.add("read", answer["read_s"])
            if answer["error"] is not None:
                reject(facts, UndecodablePictureError(answer["error"]))
                continue
            try:
                prepared = self._if_known(facts, content_hash)
            except IdTakenError as error:
                reject(facts, error)
                continue
            if prepared is not None:
                known.append(prepared)
            elif content_hash in first:
                copies.append((facts, content_hash))
            else:
                first[content_hash] = answer["position"]
        yield from _in_batches(known, self._batch_size)
        failed: dict[str, str] = {}  # of content that could not be used: why
        if first:
            yield from self._encoded(window, list(first.values()), refs, failed, reject)
        yield from _in_batches(self._copied(copies, failed, reject), self._batch_size)

    def _if_known(self, facts: PictureFacts, content_hash: str) -> Prepared | None:
        return prepared_if_known(self._catalogue, facts, content_hash, keep_taken=self._keep_taken)

    def _hashed(self, window: Sequence[_Task]) -> Iterator[dict[str, Any]]:
        """Rows of `index.ray_workers.HASHED`."""
        answers = _dataset(window, range(len(window)), READ_BATCH).map_batches(
            read_and_hash, batch_format="pyarrow", batch_size=READ_BATCH, fn_kwargs={"threads": READ_THREADS}
        )
        for table in answers.iter_batches(batch_format="pyarrow", batch_size=None):
            yield from table.to_pylist()

    def _encoded(
        self,
        window: Sequence[_Task],
        positions: Sequence[int],
        refs: dict[str, "ray.ObjectRef[bytes]"],
        failed: dict[str, str],
        reject: Reject,
    ) -> Iterator[list[Prepared]]:
        """New content as items; `failed` is told of what cannot be used."""
        num_actors = min(self._division.actors, math.ceil(len(positions) / self._batch_size))
        answers = _dataset(window, positions, self._batch_size).map_batches(
            EncoderActor,
            batch_format="pyarrow",
            batch_size=self._batch_size,
            num_cpus=self._division.threads,
            compute=ray.data.ActorPoolStrategy(size=num_actors),
            fn_constructor_kwargs={
                "bundle_file_refs": refs,
                "variant": self._variant,
                "num_threads": self._division.threads,
                "read_threads": READ_THREADS,
            },
        )
        for table in answers.iter_batches(batch_format="pyarrow", batch_size=None):
            batch = []
            for answer in table.to_pylist():
                facts = window[answer["position"]].facts
                for stage in ("read", "decode", "encode"):
                    self.stages.add(stage, answer[f"{stage}_s"])
                if answer["error"] is not None:
                    failed[answer["content_hash"]] = answer["error"]
                    reject(facts, UndecodablePictureError(answer["error"]))
                    continue
                embedding_D = np.frombuffer(answer["embedding"], np.float32)
                item = new_item(facts, answer["content_hash"], embedding_D, answer["thumbnail"])
                batch.append(Prepared(facts, "encoded", answer["content_hash"], item=item))
            yield batch

    def _copied(
        self, copies: Sequence[tuple[PictureFacts, str]], failed: dict[str, str], reject: Reject
    ) -> Iterator[Prepared]:
        """Pictures of content that another of the window has brought into the catalogue."""
        for facts, content_hash in copies:
            prepared = prepared_if_known(self._catalogue, facts, content_hash)
            if prepared is not None:
                yield prepared
            elif content_hash in failed:
                reject(facts, UndecodablePictureError(failed[content_hash]))
            else:
                reject(facts, SourceError("its file, or one with the same content, changed meanwhile; run it again"))


def _windows(pictures: Iterable[SourcePicture]) -> Iterator[list[_Task]]:
    window: list[_Task] = []
    size = 0
    for picture in pictures:
        window.append(_Task(picture.facts, pickle.dumps(picture.read)))
        size += len(window[-1].call)
        if len(window) == WINDOW or size > WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window


def _dataset(window: Sequence[_Task], positions: Sequence[int], rows: int) -> ray.data.Dataset:
    """Tasks of a window, so many rows a block."""
    return ray.data.from_arrow(
        [
            pa.table({"position": chunk, "call": pa.array([window[at].call for at in chunk], pa.binary())})
            for start in range(0, len(positions), rows)
            if (chunk := list(positions[start : start + rows]))
        ]
    )


def _in_batches(prepared: Iterable[Prepared], size: int) -> Iterator[list[Prepared]]:
    batch: list[Prepared] = []
    for one in prepared:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
