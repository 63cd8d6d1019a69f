"""Filters pushed down to Milvus against the naive interpreter that SQL is held against."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from filter_oracle import expressions, items
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from milvus_lite_store import create_lite, needs_milvus
from tiny_encoder import DIM, write_tiny_bundle

from index.filter_parser import parse_filter
from index.items import NewItem

pytestmark = needs_milvus


@pytest.fixture(scope="module")
def catalogue():
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_tiny_bundle(Path(folder) / "bundle")
        with create_lite(Path(folder) / "c", bundle) as opened:
            yield opened


@given(
    st.lists(items.filter(lambda item: item["id"]), max_size=8, unique_by=lambda item: item["id"]),
    st.lists(expressions, min_size=1, max_size=8),
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_milvus_finds_what_a_naive_interpreter_finds(catalogue, of_items, of_expressions):
    from index.milvus.filters import expression_of
    from index.milvus.spelling import read_text

    catalogue.delete(list(catalogue.ids()))
    vector = np.eye(DIM, dtype=np.float32)[0]
    catalogue.put([NewItem(**item, source="", content_hash="", embedding=vector, thumbnail=b"") for item in of_items])
    for text, rule in of_expressions:
        expected = {item["id"] for item in of_items if rule(item)}
        expression = expression_of(parse_filter(text).condition)
        assert {read_text(row["key"]) for row in catalogue._query(expression, ["key"])} == expected, text
