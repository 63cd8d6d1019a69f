"""Filters pushed down to Milvus against the naive interpreter that SQL is held against."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from filter_oracle import database, expressions, found_ids, items
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


def fill(catalogue, of_items):
    catalogue.delete(list(catalogue.ids()))
    vector = np.eye(DIM, dtype=np.float32)[0]
    catalogue.put([NewItem(**item, source="", content_hash="", embedding=vector, thumbnail=b"") for item in of_items])


def found_keys(catalogue, text):
    from index.milvus.filters import expression_of
    from index.milvus.spelling import read_text

    expression = expression_of(parse_filter(text).condition)
    return {read_text(row["key"]) for row in catalogue._query(expression, ["key"])}


@given(
    st.lists(items.filter(lambda item: item["id"]), max_size=8, unique_by=lambda item: item["id"]),
    st.lists(expressions, min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_milvus_finds_what_a_naive_interpreter_finds(catalogue, of_items, of_expressions):
    fill(catalogue, of_items)
    for text, rule in of_expressions:
        assert found_keys(catalogue, text) == {item["id"] for item in of_items if rule(item)}, text


def test_every_comparison_at_its_boundaries_and_its_opposite(catalogue):
    """What SQL says of values that differ little or only in type, which generated ones seldom do."""
    values = [1, 2, 2.0, 2.5, 2**53, 2**53 + 1, "2", "2a", "", True, None, [2], {"2": 2}]
    of_items = [
        {"id": str(number), "labels": {}, "metadata": {"x": value}} for number, value in enumerate(values, start=1)
    ] + [{"id": "missing", "labels": {}, "metadata": {}}, {"id": "label", "labels": {"x": "2"}, "metadata": {"x": 1}}]
    fill(catalogue, of_items)
    connection = database(of_items)
    literals = ("1", "2", "2.5", "9007199254740993", '"2"', '""')
    tests = [f"x {sign} {literal}" for sign in ("==", "!=", "<", "<=", ">", ">=") for literal in literals]
    tests += [f'{word}(x, "{text}")' for word in ("startswith", "contains") for text in ("", "2", "a")]
    tests += ["x == true", "x != false", 'x in (2, "2", true)', 'x not in (2, "2", true)', "exists(x)"]
    for text in [*tests, *(f"not {test}" for test in tests)]:
        assert found_keys(catalogue, text) == found_ids(connection, text), text
    connection.close()
