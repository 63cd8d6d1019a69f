"""Filters in SQL against a naive interpreter of the same expressions over dictionaries, on whatever is generated."""

from filter_oracle import database, expressions, found_ids, items
from hypothesis import given, settings
from hypothesis import strategies as st

from index.filter_parser import MAX_DEPTH, MAX_TESTS


@given(st.lists(items, max_size=8, unique_by=lambda item: item["id"]), st.lists(expressions, min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_sql_finds_what_a_naive_interpreter_finds(of_items, of_expressions):
    connection = database(of_items)
    for text, rule in of_expressions:
        assert found_ids(connection, text) == {item["id"] for item in of_items if rule(item)}, text
    connection.close()


def test_cases_by_hand():
    connection = database(
        [
            {"id": "number", "labels": {}, "metadata": {"year": 2010}},
            {"id": "text", "labels": {}, "metadata": {"year": "2010"}},
            {"id": "true", "labels": {}, "metadata": {"year": True}},
            {"id": "null", "labels": {}, "metadata": {"year": None}},
            {"id": "list", "labels": {}, "metadata": {"year": [2010]}},
            {"id": "label", "labels": {"year": "2010"}, "metadata": {"year": 1}},
            {"id": "none", "labels": {}, "metadata": {}},
        ]
    )
    assert found_ids(connection, "year == 2010") == {"number"}
    assert found_ids(connection, "year == 2010.0") == {"number"}
    assert found_ids(connection, 'year == "2010"') == {"text", "label"}
    assert found_ids(connection, "year == true") == {"true"}
    assert found_ids(connection, "year < 1e9") == {"number"}
    assert found_ids(connection, 'year < "3"') == {"text", "label"}
    assert found_ids(connection, "year != 2010") == {"text", "true", "list", "label"}
    assert found_ids(connection, "year not in (2010, true)") == {"text", "list", "label"}
    assert found_ids(connection, "exists(year)") == {"number", "text", "true", "list", "label"}
    assert found_ids(connection, "not year == 2010") == {"text", "true", "null", "list", "label", "none"}
    assert found_ids(connection, 'startswith(year, "20")') == {"text", "label"}
    assert found_ids(connection, 'id == "none"') == {"none"}
    assert found_ids(connection, "id != 7") == {"number", "text", "true", "null", "list", "label", "none"}
    connection.close()


def test_the_largest_filter_is_not_too_large_for_sqlite():
    connection = database([{"id": "a", "labels": {"x": "1"}, "metadata": {}}])
    for word in ("or", "and"):
        flat = f" {word} ".join(["([q\"] != 'a')"] * MAX_TESTS)
        assert found_ids(connection, flat) == set()
        deep = "not (" * (MAX_DEPTH // 2 - 1) + flat.replace("(", "").replace(")", "") + ")" * (MAX_DEPTH // 2 - 1)
        assert found_ids(connection, deep) == {"a"}
    values = ",".join(map(str, range(6000)))
    assert found_ids(connection, f"not x in ({values[:19_000]}, '1')".replace(",,", ",")) == set()
    connection.close()
