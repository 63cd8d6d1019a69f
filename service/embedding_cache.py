"""Embeddings of pictures that were asked for lately, by the SHA-256 of their files.

A thumbnail wall asked for twice, a client that tries again, a page that shows what it just sent: the same bytes have
the same embedding, so they are not encoded again. Bounded in bytes; what was used longest ago goes first. One cache
belongs to one encoder. Whoever may ask can find out from the time of an answer whether a file was asked for lately;
where that matters the cache is switched off (`LODISC_CACHE_MB=0`).
"""

# D embedding dim, P patches.

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index.answers.local_features import PivotalPatches

OVERHEAD_BYTES = 500  # of an entry's Python objects, about


@dataclass(frozen=True)
class EncodedPicture:
    """What the encoder makes of one picture.

    Attributes:
        embedding_D: L2-normalised, float32.
        attention_P: fused patch scores that sum to 1, row-major over the patch grid; None where not asked
            for.
        box: the region that the encoder saw, as shares of the upright picture's width and height: left, top,
            right, bottom. The patch grid lies over this region.
        patches: its pivotal patches; None where not asked for.
    """

    embedding_D: NDArray[np.float32]
    attention_P: NDArray[np.float32] | None
    box: tuple[float, float, float, float]
    patches: PivotalPatches | None = None


class EmbeddingCache:
    """Any number of threads may use it.

    Args:
        max_bytes: 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, EncodedPicture] = OrderedDict()
        self._lock = threading.Lock()
        self.num_bytes = 0

    def get(
        self, key: bytes, *, attention: bool, patches: bool = False, influence: bool = False
    ) -> EncodedPicture | None:
        """What is known of a file; None where nothing is, or not all that is wanted of it."""
        with self._lock:
            found = self._entries.get(key)
            if found is None or (attention and found.attention_P is None) or (patches and found.patches is None):
                return None
            if influence and (found.patches is None or found.patches.influence_P is None):
                return None
            self._entries.move_to_end(key)
            return found

    def put(self, key: bytes, picture: EncodedPicture) -> None:
        """Keep it, in place of others if there is no room."""
        with self._lock:
            known = self._entries.pop(key, None)
            if known is not None:
                self.num_bytes -= _size(known)
                picture = _both(picture, known)
            self._entries[key] = picture
            self.num_bytes += _size(picture)
            while self.num_bytes > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self.num_bytes -= _size(oldest)


def _both(new: EncodedPicture, known: EncodedPicture) -> EncodedPicture:
    """A picture with what was asked for now, and what was asked for before."""
    patches = new.patches
    if patches is None or (patches.influence_P is None and known.patches is not None):
        patches = known.patches
    attention_P = known.attention_P if new.attention_P is None else new.attention_P
    return replace(new, attention_P=attention_P, patches=patches)


def _size(picture: EncodedPicture) -> int:
    attention_bytes = 0 if picture.attention_P is None else picture.attention_P.nbytes
    patches = picture.patches
    patch_bytes = 0 if patches is None else sum(part.nbytes for part in vars(patches).values() if part is not None)
    return picture.embedding_D.nbytes + attention_bytes + patch_bytes + OVERHEAD_BYTES
