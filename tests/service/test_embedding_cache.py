"""The cache of embeddings: bounded in bytes, least recently used first out."""

from dataclasses import replace

import numpy as np

from index.answers.local_features import PivotalPatches
from service.embedding_cache import OVERHEAD_BYTES, EmbeddingCache, EncodedPicture

WHOLE = (0.0, 0.0, 1.0, 1.0)


def picture(value: float, *, attention: bool = False) -> EncodedPicture:
    scores = np.full(4, 0.25, np.float32) if attention else None
    return EncodedPicture(np.full(25, value, np.float32), scores, WHOLE)


def patches(*, influence: bool) -> PivotalPatches:
    share = np.full(2, 0.5, np.float32)
    return PivotalPatches(np.arange(2), np.zeros((2, 3), np.float32), share, share if influence else None)


def test_what_was_used_longest_ago_goes_first() -> None:
    size = 100 + OVERHEAD_BYTES
    cache = EmbeddingCache(3 * size)
    for key in (b"a", b"b", b"c"):
        cache.put(key, picture(ord(key)))
    assert cache.get(b"a", attention=False) is not None
    cache.put(b"d", picture(0))
    assert cache.get(b"b", attention=False) is None
    assert {key for key in (b"a", b"c", b"d") if cache.get(key, attention=False)} == {b"a", b"c", b"d"}
    assert cache.num_bytes == 3 * size


def test_an_entry_without_attention_does_not_answer_for_it() -> None:
    cache = EmbeddingCache(10_000)
    cache.put(b"a", picture(1))
    assert cache.get(b"a", attention=True) is None
    cache.put(b"a", picture(1, attention=True))
    found = cache.get(b"a", attention=True)
    assert found is not None
    assert found.attention_P is not None
    assert cache.num_bytes == 100 + 16 + OVERHEAD_BYTES


def test_what_was_known_stays_known_when_something_else_is_asked_for() -> None:
    cache = EmbeddingCache(10_000)
    cache.put(b"a", picture(1, attention=True))
    cache.put(b"a", replace(picture(1), patches=patches(influence=True)))
    cache.put(b"a", replace(picture(1), patches=patches(influence=False)))
    found = cache.get(b"a", attention=True, patches=True, influence=True)
    assert found is not None
    other = EmbeddingCache(10_000)
    other.put(b"a", found)
    assert cache.num_bytes == other.num_bytes


def test_what_is_larger_than_all_is_not_kept() -> None:
    cache = EmbeddingCache(50)
    cache.put(b"a", picture(1))
    assert cache.get(b"a", attention=False) is None
    assert cache.num_bytes == 0
