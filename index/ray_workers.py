"""What runs on the machines of a Ray cluster: read and hash pictures, and encode them.

Tables come and tables go; the catalogue is nowhere near. A picture that cannot be used is a row with a message, so it
fails alone. The bundle comes through Ray's object store, once to a machine, so no machine needs a path to it; its
hashes are checked where it arrives.

A row of a task: position int64, call binary (the pickled function that gives the bytes of the picture's file; Ray's
own transport between its processes is pickle). A row of an answer: see HASHED and ENCODED.
"""

import hashlib
import pickle
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.errors import InputError
from encoder.image_encoder import ImageEncoder
from encoder.manifest import Preprocessing
from index.prepared import pixels_and_thumbnail

HASHED = pa.schema([("position", pa.int64()), ("content_hash", pa.string()), ("error", pa.string()), ("read_s", "f8")])
ENCODED = pa.schema(
    [
        ("position", pa.int64()),
        ("content_hash", pa.string()),
        ("error", pa.string()),  # null where the picture could be used, as in HASHED
        ("embedding", pa.binary()),  # float32, shape (D,)
        ("thumbnail", pa.binary()),
        ("read_s", "f8"),
        ("decode_s", "f8"),
        ("encode_s", "f8"),
    ]
)


def read_and_hash(tasks: pa.Table, threads: int) -> pa.Table:
    """Read the pictures and hash them; several at a time, because that is mostly waiting for a disk or a network."""
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(_hashed, tasks["call"].to_pylist()))
    rows = [
        {"position": position, **answer}
        for position, answer in zip(tasks["position"].to_pylist(), answers, strict=True)
    ]
    return pa.Table.from_pylist(rows, HASHED)


class EncoderActor:
    """A process that holds the encoder.

    Args:
        bundle_file_refs: of the bundle: name -> reference to the bytes of the file.
        variant: of the bundle.
        num_threads: of the encoder.
        read_threads: that read at once.
    """

    def __init__(
        self, bundle_file_refs: dict[str, "ray.ObjectRef[bytes]"], variant: str, num_threads: int, read_threads: int
    ) -> None:
        # The files are gone once the encoder is in memory, so nothing is left behind whatever ends this process later.
        with tempfile.TemporaryDirectory(prefix="lodisc-bundle-") as folder:
            for name, ref in bundle_file_refs.items():
                (Path(folder) / name).write_bytes(ray.get(ref))
            self._encoder = ImageEncoder(Bundle.open(folder), num_threads=num_threads, variant=variant)
        self._pool = ThreadPoolExecutor(read_threads)

    def __call__(self, tasks: pa.Table) -> pa.Table:
        """Read, decode and encode the pictures; ENCODED."""
        pictures = list(
            self._pool.map(
                partial(_read, preprocessing=self._encoder.manifest.preprocessing), tasks["call"].to_pylist()
            )
        )
        usable = [picture.pixels for picture in pictures if picture.pixels is not None]
        started = time.perf_counter()
        embeddings = iter(self._encoder.encode(np.stack(usable)).embedding_BD if usable else ())
        encode_s = (time.perf_counter() - started) / max(1, len(usable))
        rows = [
            {
                "position": position,
                "content_hash": picture.content_hash,
                "error": picture.error,
                "embedding": None if picture.pixels is None else next(embeddings).tobytes(),
                "thumbnail": picture.thumbnail,
                "read_s": picture.read_s,
                "decode_s": picture.decode_s,
                "encode_s": 0.0 if picture.pixels is None else encode_s,
            }
            for position, picture in zip(tasks["position"].to_pylist(), pictures, strict=True)
        ]
        return pa.Table.from_pylist(rows, ENCODED)


@dataclass
class _Picture:
    """What an actor makes of one picture before the encoder sees it."""

    content_hash: str = ""
    error: str | None = None
    pixels: NDArray[np.uint8] | None = None
    thumbnail: bytes = b""
    read_s: float = 0.0
    decode_s: float = 0.0


def _hashed(call: bytes) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        content_hash, error = hashlib.sha256(_bytes_of(call)).hexdigest(), None
    except InputError as fault:
        content_hash, error = "", fault.message
    return {"content_hash": content_hash, "error": error, "read_s": time.perf_counter() - started}


def _read(call: bytes, preprocessing: Preprocessing) -> _Picture:
    picture = _Picture()
    started = time.perf_counter()
    try:
        data = _bytes_of(call)
        # Again, because the file may be another by now: an item has the hash of what was encoded.
        picture.content_hash = hashlib.sha256(data).hexdigest()
        picture.read_s = time.perf_counter() - started
        picture.pixels, picture.thumbnail = pixels_and_thumbnail(data, preprocessing)
        picture.decode_s = time.perf_counter() - started - picture.read_s
    except InputError as fault:
        picture.error = fault.message
    return picture


def _bytes_of(call: bytes) -> bytes:
    read: Callable[[], bytes] = pickle.loads(call)
    return read()
