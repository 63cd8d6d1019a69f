"""Catalogues of drawn vectors, without pictures, and the brute force that they are held against."""

import numpy as np
from tiny_encoder import DIM

from index.items import NewItem


def clustered(num, seed=0, clusters=40):
    """Unit vectors in clusters, float32, shape (num, DIM)."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(clusters, DIM))
    vectors = centres[generator.integers(clusters, size=num)] + 0.4 * generator.normal(size=(num, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def item_of(item_id, vector):
    return NewItem(
        id=item_id, labels={"label": "x"}, metadata={}, source="", content_hash="0" * 64, embedding=vector,
        thumbnail=b"t",
    )  # fmt: skip


def put_vectors(catalogue, vectors, prefix="i"):
    """Put vectors as prefix0, prefix1, ... and return them by id."""
    truth = {f"{prefix}{number}": vector for number, vector in enumerate(vectors)}
    catalogue.put([item_of(item_id, vector) for item_id, vector in truth.items()])
    return truth


def best_cosines(truth, query, k):
    """The k greatest cosines of a dictionary of vectors, descending."""
    return np.sort(np.stack(list(truth.values())) @ query)[::-1][:k] if truth else np.empty(0)


def recall(catalogue, truth, queries, k=10):
    """Share of the k best that a search finds, counted by cosine; each match must be there and tell its true cosine."""
    hits = wanted = 0
    for query in queries:
        matches = catalogue.search(query[None], k=k)[0]
        best = best_cosines(truth, query, k)
        assert len(matches) == len(best)
        assert [m.score for m in matches] == sorted((m.score for m in matches), reverse=True)
        for match in matches:
            assert abs(match.score - truth[match.id] @ query) < 2e-3
        hits += sum(match.score >= best[-1] - 2e-3 for match in matches)
        wanted += len(best)
    return hits / wanted
