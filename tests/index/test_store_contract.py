"""What `index.catalogue` promises, asked of every store: a folder, a compacted folder, Milvus."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from milvus_lite_store import create_lite, lite_address, needs_milvus
from tiny_encoder import DIM, write_tiny_bundle

from encoder.bundle import Bundle
from encoder.errors import EncoderMismatchError, FilterError, InputError, NotFoundError
from index.items import NewItem
from index.relabel import relabel
from index.sqlite_catalogue import SqliteCatalogue

RANKS = ("species", "genus")
FILTERS = {
    'genus == "G1"': lambda one: one["genus"] == "G1",
    "year >= 2": lambda one: one["year"] is not None and one["year"] >= 2,
    'not (genus in ("G0", "G1")) or not exists(year)': lambda one: (
        one["genus"] not in ("G0", "G1") or one["year"] is None
    ),
    'startswith(id, "1") and not contains(species, "2")': lambda one: (
        one["id"].startswith("1") and "2" not in one["species"]
    ),
}


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def new_item(item_id, seed):
    """An item that follows from the seed; every fifth has no year."""
    return NewItem(
        id=item_id,
        labels={"genus": f"G{seed % 3}", "species": f"s{seed}"},
        metadata={} if seed % 5 == 0 else {"year": seed % 5},
        source=f"/pictures/{item_id}",
        content_hash=f"{seed:064x}",
        embedding=unit(seed),
        thumbnail=b"\x00\xff thumbnail of %d" % seed,
    )


def facts(item_id, seed):
    return {
        "id": item_id, "genus": f"G{seed % 3}", "species": f"s{seed}", "year": None if seed % 5 == 0 else seed % 5,
    }  # fmt: skip


def brute_force(truth, query, k, rule_of=lambda one: True):
    those = [(item_id, seed) for item_id, seed in truth.items() if rule_of(facts(item_id, seed))]
    return sorted((-float(unit(seed) @ query), item_id) for item_id, seed in those)[:k]


def assert_found(matches, expected):
    assert [match.id for match in matches] == [item_id for _, item_id in expected]
    assert [match.score for match in matches] == pytest.approx([-minus for minus, _ in expected], abs=1e-3)


@pytest.fixture(params=["folder", "compacted folder", pytest.param("milvus-lite", marks=needs_milvus)])
def store(request, tmp_path, tiny_bundle):
    """An empty catalogue, and what is done to it after it was filled."""
    if request.param == "milvus-lite":
        with create_lite(tmp_path / "c", tiny_bundle, ranks=RANKS, domain="birds") as opened:
            yield opened, lambda: None
    else:
        with SqliteCatalogue.create(tmp_path / "c", Bundle.open(tiny_bundle), ranks=RANKS, domain="birds") as opened:
            yield opened, opened.compact if request.param == "compacted folder" else lambda: None


def reopened(catalogue, **options):
    if isinstance(catalogue, SqliteCatalogue):
        return SqliteCatalogue.open(catalogue.path, **options)
    from index.milvus.opening import open_in_milvus

    return open_in_milvus(catalogue.path, lite_address(catalogue.path), **options)


def test_what_is_put_comes_out(store):
    catalogue, settle = store
    odd = replace(new_item("a\"b'c\\d%_\n/ä🦋", 7), metadata={"year": 2**53 + 1, "list": [1, None], "none": None})
    catalogue.put([new_item("a/1", 1), odd])
    settle()
    item = catalogue.get("a/1")
    assert (list(item.labels.items()), item.metadata, item.source, item.content_hash) == (
        [("species", "s1"), ("genus", "G1")], {"year": 1}, "/pictures/a/1", f"{1:064x}",
    )  # fmt: skip
    assert catalogue.get(odd.id).metadata == odd.metadata
    assert catalogue.thumbnail(odd.id) == odd.thumbnail
    assert catalogue.embedding(odd.id) @ unit(7) == pytest.approx(1, abs=1e-5)
    embedding, thumbnail = catalogue.by_content(f"{7:064x}")
    assert (float(embedding @ unit(7)), thumbnail) == (pytest.approx(1, abs=1e-5), odd.thumbnail)
    assert catalogue.by_content("none") is None
    assert (catalogue.get("no"), catalogue.thumbnail("no"), catalogue.get("\udcff")) == (None, None, None)
    with pytest.raises(NotFoundError, match="no such"):
        catalogue.embedding("no such")
    assert set(catalogue.ids()) == {"a/1", odd.id}
    assert {one.item.id: (one.item.labels, one.thumbnail) for one in catalogue.records()} == {
        one.id: (one.labels, one.thumbnail) for one in (new_item("a/1", 1), odd)
    }


def test_searches_and_pages_are_brute_force(store):
    catalogue, settle = store
    truth = {str(number): number for number in range(60)}
    catalogue.put([new_item(*one) for one in truth.items()])
    settle()
    catalogue.put([new_item("7", 107), new_item("7", 207)])
    truth["7"] = 207
    assert catalogue.delete(["3", "31", "31", "no such", "\udcff"]) == 2
    for item_id in ("3", "31"):
        del truth[item_id]
    queries = np.stack([unit(seed) for seed in range(100, 106)])
    for k in (1, 7, 1000):
        for query, matches in zip(queries, catalogue.search(queries, k=k), strict=True):
            assert_found(matches, brute_force(truth, query, k))
    for text, rule_of in FILTERS.items():
        matches = catalogue.search(queries[:1], k=9, filter=text, exclude_ids=["1", "10", "no"])[0]
        left = {item_id: seed for item_id, seed in truth.items() if item_id not in ("1", "10")}
        assert_found(matches, brute_force(left, queries[0], 9, rule_of))
        expected = sorted(item_id for item_id, seed in truth.items() if rule_of(facts(item_id, seed)))
        seen, cursor = [], None
        while True:
            page = catalogue.items(cursor, 4, text)
            seen += [item.id for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert (seen, catalogue.count(text)) == (expected, len(expected))
    assert catalogue.count() == 58
    stats = catalogue.stats()
    assert (stats.items, stats.labels, stats.unlabelled) == (58, {"species": 58, "genus": 3}, 0)


def test_what_cannot_be_is_refused_and_leaves_nothing(store):
    catalogue, _ = store
    assert catalogue.search(unit(1)[None], k=1) == [[]]
    assert catalogue.items(filter="anything == 1").items == []
    wrong = [
        replace(new_item("b", 2), embedding=np.ones(DIM + 1, np.float32)),
        replace(new_item("b", 2), embedding=np.full(DIM, np.nan, np.float32)),
        replace(new_item("b", 2), metadata={"x": float("nan")}),
        new_item("\udcff.jpg", 3),
    ]
    for item in wrong:
        with pytest.raises(ValueError):
            catalogue.put([new_item("a", 1), item])
    assert catalogue.count() == 0
    catalogue.put([new_item("a", 1)])
    with pytest.raises(FilterError, match=r"column 15: .* gneus; did you mean genus\?"):
        catalogue.search(unit(1)[None], k=1, filter="year == 1 and gneus == 'G1'")
    for k in (0, 1001):
        with pytest.raises(ValueError, match="k is"):
            catalogue.search(unit(1)[None], k=k)


def test_what_filled_it_is_remembered(store, tiny_bundle, other_bundle):
    catalogue, _ = store
    manifest = Bundle.open(tiny_bundle).manifest
    catalogue.remember(bundle_path=tiny_bundle, ranks=("a", "b"))
    with reopened(catalogue, encoder_id=manifest.id) as again:
        assert (again.manifest, again.variant, again.domain) == (manifest, "fp32", "birds")
        assert (again.ranks, again.find_bundle().path) == (("a", "b"), tiny_bundle)
        catalogue.put([new_item("x", 5)])
        assert [match.id for match in again.search(unit(5)[None], k=1)[0]] == ["x"]
    with pytest.raises(EncoderMismatchError, match="--fresh"):
        reopened(catalogue, encoder_id=Bundle.open(other_bundle).manifest.id)


def test_relabelling_leaves_all_else_as_it_is(store):
    catalogue, after = store
    catalogue.put([new_item(f"{n}", n) for n in range(1, 5)])
    after()
    assert relabel(catalogue, ["1", "none", "2", "4"], {"species": "s2", "order": "O"}, ["genus"]) == (3, ["none"])
    assert relabel(catalogue, ["2"], {"species": "s2"}) == (0, [])
    for n in range(1, 5):
        item, before = catalogue.get(f"{n}"), new_item(f"{n}", n)
        labels = {"species": "s3", "genus": "G0"} if n == 3 else {"species": "s2", "order": "O"}
        assert list(item.labels.items()) == list(labels.items())
        assert (item.metadata, item.source, item.content_hash) == (before.metadata, before.source, before.content_hash)
        assert catalogue.thumbnail(f"{n}") == before.thumbnail
        assert [match.id for match in catalogue.search(unit(n)[None], k=1)[0]] == [f"{n}"]


@needs_milvus
def test_an_item_that_is_deleted_while_it_is_relabelled_is_there_no_more(tmp_path, tiny_bundle, monkeypatch):
    with create_lite(tmp_path / "c", tiny_bundle) as catalogue:
        catalogue.put([new_item("a", 1), new_item("b", 2)])
        embedding = catalogue.embedding

        def deleted_before(item_id):
            catalogue.delete(["a"])
            return embedding(item_id)

        monkeypatch.setattr(catalogue, "embedding", deleted_before)
        assert relabel(catalogue, ["a", "b"], {"species": "s"}) == (1, ["a"])
        assert list(catalogue.ids()) == ["b"]


@needs_milvus
def test_what_is_too_long_for_milvus_is_told(tmp_path, tiny_bundle):
    with create_lite(tmp_path / "c", tiny_bundle) as catalogue:
        for item in (
            new_item("ä" * 3000, 1),
            replace(new_item("b", 1), metadata={"text": "x" * 70_000}),
            replace(new_item("b", 1), thumbnail=b"x" * 60_000),
        ):
            with pytest.raises(InputError, match=r"Milvus holds \d+ of them"):
                catalogue.put([item])
        longest = new_item("ä" * 2048, 2)
        catalogue.put([longest])
        assert catalogue.get(longest.id).labels == {"genus": "G2", "species": "s2"}


class AnySequenceInMilvus(RuleBasedStateMachine):
    """Any order of writes and searches equals a dictionary."""

    @initialize()
    def create(self):
        self.folder = tempfile.TemporaryDirectory()
        bundle = write_tiny_bundle(Path(self.folder.name) / "bundle")
        self.catalogue = create_lite(Path(self.folder.name) / "c", bundle)
        self.truth = {"first": 1001}
        self.catalogue.put([new_item("first", 1001)])

    @rule(seeds=st.lists(st.integers(0, 60), min_size=1, max_size=6))
    def put(self, seeds):
        new = {str(seed % 12): seed for seed in seeds}
        self.catalogue.put([new_item(*one) for one in new.items()])
        self.truth |= new

    @rule(number=st.integers(0, 11))
    def delete(self, number):
        assert self.catalogue.delete([str(number)]) == (self.truth.pop(str(number), None) is not None)

    @rule(text=st.sampled_from(list(FILTERS)), seed=st.integers(100, 110), k=st.integers(1, 9))
    def search(self, text, seed, k):
        matches = self.catalogue.search(unit(seed)[None], k=k, filter=text)[0]
        assert_found(matches, brute_force(self.truth, unit(seed), k, FILTERS[text]))

    def teardown(self):
        if hasattr(self, "catalogue"):
            self.catalogue.close()
            self.folder.cleanup()


TestAnySequenceInMilvus = needs_milvus(AnySequenceInMilvus.TestCase)
TestAnySequenceInMilvus.settings = settings(
    max_examples=6, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
)
