"""Searches and listings with a filter against brute force over a dictionary, whatever is written between them."""

import tempfile
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tiny_encoder import DIM, write_tiny_bundle

from encoder.bundle import Bundle
from encoder.errors import FilterError
from index import filter_rows, snapshot
from index.filter_parser import parse_filter
from index.items import NewItem
from index.sqlite_catalogue import SqliteCatalogue

FILTERS = {
    'genus == "G1"': lambda one: one["genus"] == "G1",
    "year >= 2": lambda one: one["year"] is not None and one["year"] >= 2,
    'not (genus in ("G0", "G1")) or not exists(year)': lambda one: (
        one["genus"] not in ("G0", "G1") or one["year"] is None
    ),
    'startswith(id, "1")': lambda one: one["id"].startswith("1"),
}


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def new_item(item_id, seed):
    """An item whose genus and year follow from the seed; every fifth has no year."""
    return NewItem(
        id=item_id,
        labels={"species": f"s{seed}", "genus": f"G{seed % 3}"},
        metadata={} if seed % 5 == 0 else {"year": seed % 5},
        source="",
        content_hash="",
        embedding=unit(seed),
        thumbnail=b"",
    )


def facts(item_id, seed):
    return {"id": item_id, "genus": f"G{seed % 3}", "year": None if seed % 5 == 0 else seed % 5}


def brute_force(truth, rule_of, query, k):
    those = ((item_id, seed) for item_id, seed in truth.items() if rule_of(facts(item_id, seed)))
    return [item_id for _, item_id in sorted((-float(unit(seed) @ query), item_id) for item_id, seed in those)][:k]


def found_ids(catalogue, query, k=5, **options):
    return [match.id for match in catalogue.search(query[None], k=k, **options)[0]]


@pytest.fixture
def catalogue(tmp_path, tiny_bundle):
    with SqliteCatalogue.create(tmp_path / "catalogue", Bundle.open(tiny_bundle), ranks=("species", "genus")) as opened:
        yield opened


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("compacted", [0, 25, 60])
def test_search_is_brute_force_over_what_the_filter_lets_through(catalogue, monkeypatch, compacted, few):
    monkeypatch.setattr(snapshot, "FEW", few)
    truth = {str(number): number for number in range(60)}
    catalogue.put([new_item(*one) for one in list(truth.items())[:compacted]])
    catalogue.compact()
    catalogue.put([new_item(*one) for one in list(truth.items())[compacted:]])
    for item_id in ("3", "31", "59"):
        catalogue.delete([item_id])
        del truth[item_id]
    for seed in range(100, 110):
        for text, rule_of in FILTERS.items():
            for k in (1, 7, 100):
                assert found_ids(catalogue, unit(seed), k, filter=text) == brute_force(truth, rule_of, unit(seed), k)
            without = [item_id for item_id in brute_force(truth, rule_of, unit(seed), 8) if item_id not in ("1", "10")]
            assert found_ids(catalogue, unit(seed), 6, filter=text, exclude_ids=("1", "10")) == without[:6]


def test_several_queries_at_once(catalogue):
    catalogue.put([new_item(str(number), number) for number in range(30)])
    catalogue.compact()
    queries = np.stack([unit(seed) for seed in range(100, 104)])
    together = catalogue.search(queries, k=4, filter="year >= 2")
    assert [[match.id for match in matches] for matches in together] == [
        found_ids(catalogue, query, 4, filter="year >= 2") for query in queries
    ]


def test_pages_of_items_that_a_filter_lets_through(catalogue):
    truth = {f"{number:02}": number for number in range(40)}
    catalogue.put([new_item(*one) for one in truth.items()])
    for text, rule_of in FILTERS.items():
        seen, cursor = [], None
        while True:
            page = catalogue.items(cursor, 3, filter=text)
            seen += [item.id for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [item_id for item_id, seed in truth.items() if rule_of(facts(item_id, seed))]


def test_a_name_that_no_item_has_is_refused_with_those_that_are_near(catalogue):
    assert found_ids(catalogue, unit(1), filter="anything == 1") == []  # nothing it could be misspelt from
    catalogue.put([new_item("a", 1)])
    for ask in (lambda text: found_ids(catalogue, unit(1), filter=text), lambda text: catalogue.items(filter=text)):
        with pytest.raises(FilterError, match=r"column 15: no item has .* gneus; did you mean genus\?") as caught:
            ask("year == 1 and gneus == 'G1'")
        assert caught.value.detail == {"position": 14, "fields": ["genus"]}
        with pytest.raises(FilterError, match=r"\[x y\]; there are genus, species, year$"):
            ask("[x y] == 1")
        with pytest.raises(FilterError, match="column 8"):
            ask("exists(colour)")
    assert found_ids(catalogue, unit(1), filter="id == 'a'") == ["a"]


def test_a_name_is_refused_again_when_its_last_item_has_gone(catalogue):
    catalogue.put([new_item("a", 1), new_item("b", 5)])
    assert found_ids(catalogue, unit(1), filter="year == 1") == ["a"]
    catalogue.delete(["a"])
    with pytest.raises(FilterError, match="no item has"):
        found_ids(catalogue, unit(1), filter="year == 1")
    catalogue.put([new_item("c", 2)])
    assert found_ids(catalogue, unit(1), filter="year == 1") == []


def test_hints_are_few_and_short(catalogue):
    item = new_item("a", 1)
    item.metadata.update({f"key\n{number} {'x' * 100}": number for number in range(50)})
    catalogue.put([item])
    with pytest.raises(FilterError) as caught:
        found_ids(catalogue, unit(1), filter="Q == 1")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1200
    assert "and 41 more" in caught.value.message
    assert len(caught.value.detail["fields"]) == 12


def test_rows_are_those_of_the_view_though_the_database_is_ahead(catalogue):
    """A write between taking the view and asking the database must neither hide nor show anything."""
    catalogue.put([new_item("a", 1), new_item("b", 4), new_item("c", 7)])  # all of genus G1
    view = catalogue.refresh()
    asked = parse_filter('genus == "G1"')
    catalogue.put([new_item("a", 10), new_item("d", 13)])
    catalogue.delete(["b"])
    now = catalogue.refresh()
    with catalogue._connections.reading() as connection:
        for _ in range(2):  # found, then kept
            rows = catalogue._filter_rows.rows(connection, asked, view.seq)
            assert rows.rows_W.tolist() == [1, 2, 3]
        assert catalogue._filter_rows.rows(connection, asked, now.seq).rows_W.tolist() == [3, 4, 5]
        # Of an older view again, by a thread that was slow: what is kept of the newer one does not count.
        assert catalogue._filter_rows.rows(connection, asked, view.seq).rows_W.tolist() == [1, 2, 3]
        assert catalogue._filter_rows.rows(connection, asked, now.seq).rows_W.tolist() == [3, 4, 5]
    found = view.search(unit(4)[None], 10, frozenset(), rows)[0]
    assert [row for row, _ in sorted(found)] == [1, 2, 3]


def steps_of_a_search(catalogue, text, *, refused=False):
    """SQLite's own count of its steps, in hundreds."""
    connection, steps = catalogue._connections._here(), []
    connection.set_progress_handler(lambda: steps.append(100), 100)
    try:
        with pytest.raises(FilterError, match="no item has") if refused else nullcontext():
            found_ids(catalogue, unit(5), filter=text)
    finally:
        connection.set_progress_handler(None, 0)
    return len(steps)


def test_a_filter_that_is_asked_again_scans_only_what_has_changed(catalogue):
    catalogue.put([new_item(str(number), number) for number in range(300)])
    catalogue.put([new_item("last", 301)])
    catalogue.put([replace(new_item("rare", 302), metadata={"rare": 1})])
    for text in ('genus == "G1" and year >= 0', "rare == 1"):
        first = steps_of_a_search(catalogue, text)
        catalogue.put([new_item("new", 1)])
        catalogue.delete(["4"])
        assert steps_of_a_search(catalogue, text) < first / 4


def test_a_wrong_name_asked_again_scans_nothing(catalogue):
    catalogue.put([new_item(str(number), number) for number in range(300)])

    def steps_of_a_refusal(name):
        return steps_of_a_search(catalogue, f"{name} == 'G1'", refused=True)

    first = steps_of_a_refusal("gneus")
    for name in ("gneus", "spcies", "genus_"):
        assert steps_of_a_refusal(name) < first / 10


def test_what_is_kept_is_bounded(catalogue, monkeypatch):
    monkeypatch.setattr(filter_rows, "MAX_KEPT", 3)
    catalogue.put([new_item(str(number), number) for number in range(20)])
    for year in range(10):
        found_ids(catalogue, unit(1), filter=f"year == {year}")
    assert list(catalogue._filter_rows._kept) == ["year == 7", "year == 8", "year == 9"]
    monkeypatch.setattr(filter_rows, "MAX_KEPT_BYTES", 1)
    found_ids(catalogue, unit(1), filter="year >= 0")
    assert list(catalogue._filter_rows._kept) == ["year >= 0"]


def test_no_answer_is_wrong_while_another_process_writes(catalogue):
    """Every item is of genus G0 or G1 and changes between them; a search for one never shows the other."""
    catalogue.put([new_item(str(number), 3 * number) for number in range(20)])
    catalogue.compact()
    done = threading.Event()
    wrong = []

    def search():
        while not done.is_set():
            for genus in ("G0", "G1"):
                matches = catalogue.search(unit(1)[None], k=50, filter=f'genus == "{genus}"')[0]
                wrong.extend(match for match in matches if match.labels["genus"] != genus)

    readers = [threading.Thread(target=search) for _ in range(3)]
    for reader in readers:
        reader.start()
    with SqliteCatalogue.open(catalogue.path) as writer:
        for number in range(60):
            writer.put([new_item(str(number % 20), 3 * number + number % 2)])
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []


class FilteredCatalogue(RuleBasedStateMachine):
    """Any order of writes and filtered searches equals a dictionary; two openings of one catalogue see the same."""

    @initialize()
    def create(self):

        self.folder = tempfile.TemporaryDirectory()
        bundle = Bundle.open(write_tiny_bundle(Path(self.folder.name) / "bundle"))
        self.writer = SqliteCatalogue.create(Path(self.folder.name) / "catalogue", bundle)
        self.reader = SqliteCatalogue.open(self.writer.path)
        self.truth = {"first": 1001}
        self.writer.put([new_item("first", 1001)])

    @rule(seeds=st.lists(st.integers(0, 60), min_size=1, max_size=6))
    def put(self, seeds):
        new = {str(seed % 20): seed for seed in seeds}
        self.writer.put([new_item(*one) for one in new.items()])
        self.truth |= new

    @rule(number=st.integers(0, 19))
    def delete(self, number):
        assert self.writer.delete([str(number)]) == (1 if self.truth.pop(str(number), None) is not None else 0)

    @rule()
    def compact(self):
        self.writer.compact()

    @rule(text=st.sampled_from(list(FILTERS)), seed=st.integers(100, 110), k=st.integers(1, 9), late=st.booleans())
    def search(self, text, seed, k, late):
        expected = brute_force(self.truth, FILTERS[text], unit(seed), k)
        assert found_ids(self.reader if late else self.writer, unit(seed), k, filter=text) == expected

    def teardown(self):
        if hasattr(self, "folder"):
            self.writer.close()
            self.reader.close()
            self.folder.cleanup()


TestFilteredCatalogue = FilteredCatalogue.TestCase
TestFilteredCatalogue.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
