"""The formulas by which the documentation counts memory, beside indexes that FAISS really builds."""

import numpy as np
import pytest
from index_bytes import INDEXES

from index.ann_candidates import CANDIDATES, serialized_bytes, train_and_fill
from index.vector_file import VectorFile, write_vectors
from index.vectors import STORED_DTYPE

COUNT, DIM = 20_000, 64


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / "vectors.bin"
    drawn = np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(STORED_DTYPE)
    write_vectors(path, enumerate(row.tobytes() for row in drawn))
    return VectorFile(path, COUNT, DIM)


def test_every_index_that_a_catalogue_may_get_has_a_formula():
    assert set(INDEXES) == {candidate.name for candidate in CANDIDATES}


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.name)
def test_a_real_index_takes_what_the_formula_says(candidate, vectors):
    bytes_a_vector, _ = INDEXES[candidate.name]
    real = serialized_bytes(train_and_fill(candidate.factory(COUNT, DIM), vectors))
    # What is there once for an index or a list (codebooks, sizes) is still some percent of so few vectors.
    assert real / COUNT == pytest.approx(bytes_a_vector(COUNT, DIM), rel=0.04)
