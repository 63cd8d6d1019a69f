"""The catalogue against a dictionary and brute force: whatever is put, deleted, compacted or reopened."""

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tiny_encoder import DIM, write_tiny_bundle

from encoder.bundle import Bundle
from encoder.errors import (
    BundleNotFoundError,
    CatalogueCorruptError,
    CatalogueError,
    CatalogueNotFoundError,
    EncoderMismatchError,
    NotFoundError,
    SchemaVersionError,
)
from index import following, sqlite_catalogue
from index.ann_wishes import IndexWishes
from index.build import open_for_build
from index.items import NewItem
from index.snapshot import newest_snapshot
from index.sqlite_catalogue import SqliteCatalogue


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def new_item(item_id, seed, label="a", **metadata):
    return NewItem(
        id=item_id,
        labels={"label": label},
        metadata=metadata,
        source=f"/pictures/{item_id}",
        content_hash=f"{seed:064x}",
        embedding=unit(seed),
        thumbnail=b"thumbnail of %d" % seed,
    )


def brute_force(truth, query, k):
    """Ids by cosine, from a plain dictionary."""
    scored = sorted(((-float(unit(seed) @ query), item_id) for item_id, seed in truth.items()))
    return [item_id for _, item_id in scored[:k]], [-score for score, _ in scored[:k]]


@pytest.fixture
def catalogue(tmp_path, tiny_bundle):
    with SqliteCatalogue.create(tmp_path / "catalogue", Bundle.open(tiny_bundle), ranks=("label",)) as opened:
        yield opened


def found_ids(catalogue, seed, k=5, **options):
    return [match.id for match in catalogue.search(unit(seed)[None], k=k, **options)[0]]


def test_what_is_put_comes_out(catalogue):
    catalogue.put([new_item("a/1", 1, "finch", year=2011, place="Ulm")])
    item = catalogue.get("a/1")
    assert (item.labels, item.metadata, item.source) == (
        {"label": "finch"},
        {"year": 2011, "place": "Ulm"},
        "/pictures/a/1",
    )
    assert catalogue.thumbnail("a/1") == b"thumbnail of 1"
    assert catalogue.embedding("a/1") @ unit(1) == pytest.approx(1.0, abs=1e-5)
    assert catalogue.get("a/2") is None
    assert catalogue.thumbnail("a/2") is None
    with pytest.raises(NotFoundError, match="a/2"):
        catalogue.embedding("a/2")


def test_a_put_with_a_known_id_replaces_it(catalogue):
    catalogue.put([new_item("x", 1, "old")])
    catalogue.compact()
    catalogue.put([new_item("x", 2, "new")])
    assert catalogue.get("x").labels == {"label": "new"}
    matches = catalogue.search(unit(2)[None], k=10)[0]
    assert [(m.id, round(m.score, 3)) for m in matches] == [("x", 1.0)]


def test_a_failing_put_leaves_nothing(catalogue):
    bad = new_item("b", 2)
    object.__setattr__(bad, "labels", {"label": float("nan")})
    with pytest.raises(ValueError, match="Out of range float"):
        catalogue.put([new_item("a", 1), bad])
    assert catalogue.items().items == []
    assert found_ids(catalogue, 1) == []


def test_embeddings_of_another_length_or_not_finite_are_refused(catalogue):
    for wrong in (np.ones(DIM + 1, np.float32), np.full(DIM, np.nan, np.float32)):
        item = new_item("a", 1)
        object.__setattr__(item, "embedding", wrong)
        with pytest.raises(ValueError, match="expected"):
            catalogue.put([item])


@pytest.mark.parametrize("compacted", [0, 10, 40])
def test_search_is_brute_force_over_snapshot_and_tail(catalogue, compacted):
    truth = {}
    for number in range(40):
        if number == compacted:
            catalogue.compact()
        catalogue.put([new_item(f"i{number}", number)])
        truth[f"i{number}"] = number
    for item_id in ("i3", "i12", "i39"):
        assert catalogue.delete([item_id]) == 1
        del truth[item_id]
    for seed in range(100, 120):
        ids, scores = brute_force(truth, unit(seed), 7)
        matches = catalogue.search(unit(seed)[None], k=7)[0]
        assert [m.id for m in matches] == ids
        assert [m.score for m in matches] == pytest.approx(scores, abs=2e-3)


def test_k_counts_live_items_and_is_bounded(catalogue):
    catalogue.put([new_item(f"i{n}", n) for n in range(5)])
    catalogue.compact()
    catalogue.delete(["i0", "i1"])
    assert len(found_ids(catalogue, 9, k=3)) == 3
    assert len(found_ids(catalogue, 9, k=1000)) == 3
    for k in (0, 1001):
        with pytest.raises(ValueError, match="k is"):
            found_ids(catalogue, 9, k=k)
    with pytest.raises(ValueError, match="not finite"):
        catalogue.search(np.full((1, DIM), np.nan, np.float32), k=1)


def test_excluded_ids_are_not_found_but_still_there(catalogue):
    catalogue.put([new_item(f"i{n}", n) for n in range(4)])
    assert found_ids(catalogue, 2, k=1) == ["i2"]
    assert "i2" not in found_ids(catalogue, 2, k=4, exclude_ids=["i2", "no such id"])
    assert len(found_ids(catalogue, 2, k=3, exclude_ids=["i2"])) == 3


def test_what_is_no_text_is_no_id(catalogue):
    """Half a surrogate pair, as Python carries a file name that is not UTF-8."""
    catalogue.put([new_item("a", 1)])
    half = "\udcff.jpg"
    assert (catalogue.get(half), catalogue.thumbnail(half), catalogue.delete([half])) == (None, None, 0)
    assert found_ids(catalogue, 1, exclude_ids=[half]) == ["a"]
    with pytest.raises(NotFoundError):
        catalogue.embedding(half)
    with pytest.raises(ValueError, match="surrogates"):
        catalogue.put([new_item("b", 2), new_item(half, 3)])
    assert [item.id for item in catalogue.items().items] == ["a"]


def test_several_queries_are_answered_apart(catalogue):
    catalogue.put([new_item(f"i{n}", n) for n in range(6)])
    answers = catalogue.search(np.stack([unit(4), unit(1)]), k=1)
    assert [[m.id for m in matches] for matches in answers] == [["i4"], ["i1"]]


def test_empty_catalogue_answers_nothing(catalogue):
    assert found_ids(catalogue, 1) == []
    assert catalogue.compact().count == 0
    assert found_ids(catalogue, 1) == []


def test_pages_go_through_everything_once(catalogue):
    catalogue.put([new_item(f"{n:03}", n) for n in range(25)])
    seen, cursor = [], None
    while True:
        page = catalogue.items(cursor, 10)
        seen += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"{n:03}" for n in range(25)]


def test_another_open_catalogue_sees_a_write_at_its_next_search(catalogue):
    with SqliteCatalogue.open(catalogue.path) as reader:
        assert found_ids(reader, 1) == []
        catalogue.put([new_item("a", 1), new_item("b", 2)])
        assert found_ids(reader, 1, k=1) == ["a"]
        catalogue.compact()
        catalogue.delete(["a"])
        assert found_ids(reader, 1) == ["b"]


def test_a_reader_takes_up_the_newer_snapshot_by_itself(catalogue, monkeypatch):
    monkeypatch.setattr("index.following.LOOK_S", 0.0)
    with SqliteCatalogue.open(catalogue.path) as reader:
        catalogue.put([new_item(f"i{n}", n) for n in range(30)])
        assert found_ids(reader, 3, k=1) == ["i3"]
        assert reader.stats().tail_items == 30
        catalogue.compact()
        catalogue.put([new_item("late", 99)])
        deadline = time.monotonic() + 20
        while reader.stats().snapshot_items == 0 and time.monotonic() < deadline:
            assert found_ids(reader, 99, k=1) == ["late"]
        assert (reader.stats().snapshot_items, reader.stats().tail_items) == (30, 1)
        assert found_ids(reader, 3, k=1) == ["i3"]


def test_another_process_sees_a_write(catalogue):
    catalogue.put([new_item("a", 1)])
    program = (
        "import sys; from pathlib import Path; from index.sqlite_catalogue import SqliteCatalogue\n"
        "with SqliteCatalogue.open(Path(sys.argv[1])) as c:\n"
        "    print(c.search(c.embedding('a')[None], k=1)[0][0].id, c.delete(['a']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(catalogue.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["a", "1"]
    assert found_ids(catalogue, 1) == []


@pytest.mark.parametrize("damage", ["deleted", "flipped", "truncated", "rows"])
def test_a_damaged_snapshot_costs_nothing_but_speed(catalogue, damage, caplog):
    catalogue.put([new_item(f"i{n}", n) for n in range(30)])
    catalogue.compact()
    catalogue.delete(["i7"])
    folder = catalogue.path / "ann" / str(newest_snapshot(catalogue.path))
    if damage == "deleted":
        shutil.rmtree(catalogue.path / "ann")
    elif damage == "flipped":
        content = bytearray((folder / "index.faiss").read_bytes())
        content[-5] ^= 0x10
        (folder / "index.faiss").write_bytes(content)
    elif damage == "truncated":
        (folder / "snapshot.json").write_text("{")
    else:
        (folder / "rows.npy").unlink()
    with SqliteCatalogue.open(catalogue.path) as reopened:
        assert found_ids(reopened, 3, k=1) == ["i3"]
        assert len(found_ids(reopened, 3, k=100)) == 29
        assert bool(caplog.records) == (damage != "deleted")
        assert reopened.stats().snapshot_kind is None
        reopened.compact()
        assert reopened.stats().snapshot_items == 29


def test_a_snapshot_of_a_later_state_is_not_taken_for_that_of_a_restored_copy(catalogue, tmp_path, monkeypatch):
    """Not even once as much has been written to the copy: under the numbers of the snapshot's rows are other items."""
    catalogue.put([new_item(f"old{n}", n) for n in range(5)])
    with sqlite3.connect(catalogue.path / "catalogue.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    copy = shutil.copy(catalogue.path / "catalogue.sqlite", tmp_path)
    monkeypatch.setattr(sqlite_catalogue, "remove_other_snapshots", lambda path, keep: None)  # as if killed before
    for n in range(5):
        catalogue.put([new_item(f"lost{n}", 10 + n)])
        catalogue.compact()
    catalogue.close()
    for name in ("catalogue.sqlite-wal", "catalogue.sqlite-shm"):
        (catalogue.path / name).unlink(missing_ok=True)
    shutil.copy(copy, catalogue.path)
    with SqliteCatalogue.open(catalogue.path) as restored:
        restored.put([new_item(f"new{n}", 20 + n) for n in range(9)])
        assert restored.stats().snapshot_items == 0
    with SqliteCatalogue.open(catalogue.path) as reopened:
        assert [found_ids(reopened, 20 + n, k=1) for n in range(9)] == [[f"new{n}"] for n in range(9)]
        assert found_ids(reopened, 1, k=1) == ["old1"]


def test_a_snapshot_without_its_database_is_not_taken_for_that_of_a_new_one(catalogue, tiny_bundle):
    catalogue.put([new_item(f"old{n}", n) for n in range(5)])
    catalogue.compact()
    catalogue.close()
    for path in catalogue.path.glob("catalogue.sqlite*"):
        path.unlink()
    with open_for_build(catalogue.path, Bundle.open(tiny_bundle)) as made:
        for n in range(9):
            made.put([new_item(f"new{n}", 20 + n)])
    with SqliteCatalogue.open(catalogue.path) as reopened:
        assert [found_ids(reopened, 20 + n, k=1) for n in range(9)] == [[f"new{n}"] for n in range(9)]


def test_a_snapshot_that_another_process_replaces_while_it_is_opened_is_no_damage(catalogue, monkeypatch, caplog):
    catalogue.put([new_item("a", 1)])
    first = catalogue.compact().seq
    load = following.load_snapshot

    def replaced_meanwhile(path, seq, dim):
        if seq == first:
            catalogue.put([new_item("b", 2)])
            catalogue.compact()
        return load(path, seq, dim)

    catalogue_path = catalogue.path
    monkeypatch.setattr(following, "load_snapshot", replaced_meanwhile)
    with SqliteCatalogue.open(catalogue_path) as reader:
        assert reader.stats().snapshot_items == 2
    assert caplog.records == []


def test_a_compaction_keeps_one_snapshot_and_reports_its_recall(catalogue):
    catalogue.put([new_item(f"i{n}", n) for n in range(50)])
    catalogue.compact()
    catalogue.put([new_item("late", 99)])
    info = catalogue.compact()
    assert [path.name for path in (catalogue.path / "ann").iterdir() if path.is_dir()] == [str(info.seq)]
    assert (info.count, info.recall) == (51, 1.0)
    assert catalogue.stats().tail_items == 0


def test_stats(catalogue):
    catalogue.put([new_item("a", 1, "x"), new_item("b", 2, "y"), new_item("c", 3, "y")])
    nameless = new_item("d", 4)
    object.__setattr__(nameless, "labels", {})
    catalogue.put([nameless])
    stats = catalogue.stats()
    assert (stats.items, stats.labels, stats.unlabelled, stats.tail_items) == (4, {"label": 2}, 1, 4)


def test_another_encoder_is_refused_with_the_mending_command(catalogue, other_bundle):
    other = Bundle.open(other_bundle).manifest.id
    with pytest.raises(EncoderMismatchError, match=r"lodisc index build .* --fresh"):
        SqliteCatalogue.open(catalogue.path, encoder_id=other)
    with pytest.raises(EncoderMismatchError, match=r"--bundle .*other.* --fresh"):
        catalogue.find_bundle(other_bundle)


def test_a_catalogue_made_anew_is_told_to_those_who_had_it_open(catalogue, tiny_bundle):
    """Nothing of the two is mixed, and no write is acknowledged that went into the deleted file."""
    catalogue.put([new_item(f"old{n}", n) for n in range(3)])
    catalogue.compact()
    with open_for_build(catalogue.path, Bundle.open(tiny_bundle), fresh=True) as anew:
        anew.put([new_item("new", 7)])
        for use in (lambda: found_ids(catalogue, 1), lambda: catalogue.get("old1"), lambda: catalogue.put([])):
            with pytest.raises(CatalogueError, match="open it again"):
                use()
        assert found_ids(anew, 7) == ["new"]


def test_a_bundle_that_moved_is_asked_for(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "here")
    with SqliteCatalogue.create(tmp_path / "c", Bundle.open(bundle)) as catalogue:
        moved = bundle.rename(tmp_path / "there")
        with pytest.raises(BundleNotFoundError, match="--bundle"):
            catalogue.find_bundle()
        assert catalogue.find_bundle(moved).path == moved


def test_missing_newer_foreign_and_damaged_databases_are_told_apart(tmp_path, catalogue):
    with pytest.raises(CatalogueNotFoundError, match="lodisc index build"):
        SqliteCatalogue.open(tmp_path / "nothing")
    newer = tmp_path / "newer"
    shutil.copytree(catalogue.path, newer)
    connection = sqlite3.connect(newer / "catalogue.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaVersionError, match="99"):
        SqliteCatalogue.open(newer)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "catalogue.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 99)
    with pytest.raises(CatalogueCorruptError, match="is damaged .* --fresh"):
        SqliteCatalogue.open(foreign)


def test_threads_search_while_one_writes(catalogue):
    """Each answer is right for some moment: an item is found if it was there before, never after its deletion."""
    catalogue.put([new_item(f"fixed{n}", n) for n in range(20)])
    catalogue.compact()
    faults, stop = [], threading.Event()

    def read(number):
        try:
            while not stop.is_set():
                ids = found_ids(catalogue, number, k=100)
                if ids[0] != f"fixed{number}" or len(set(ids)) != len(ids):
                    faults.append(ids)
                if sum(item_id.startswith("fixed") for item_id in ids) != 20:
                    faults.append(ids)
        except Exception as error:
            faults.append(error)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for reader in readers:
        reader.start()
    for turn in range(30):
        catalogue.put([new_item(f"new{turn}", 1000 + turn)])
        if turn % 3 == 0:
            catalogue.delete([f"new{turn - 1}"])
        if turn % 10 == 0:
            catalogue.compact()
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []


def test_threads_that_have_ended_keep_no_file_open(catalogue):
    """As with --watch, whose every round has threads of its own; those of the living go on."""
    catalogue.put([new_item("a", 1)])
    with ThreadPoolExecutor(1) as living:
        assert living.submit(catalogue.get, "a").result().id == "a"
        counts = []
        for _ in range(10):
            with ThreadPoolExecutor(4) as pool:
                assert {item.id for item in pool.map(catalogue.get, ["a"] * 8)} == {"a"}
            counts.append(len(list(Path("/dev/fd").iterdir())))
        assert living.submit(catalogue.get, "a").result().id == "a"
    assert counts[-1] <= counts[0] + 2 * 4  # as many as one more pool has open
    assert catalogue.get("a").id == "a"


class AnySequence(RuleBasedStateMachine):
    """Any sequence of writes, compactions and re-openings equals a dictionary with brute-force search."""

    ids = st.sampled_from([f"id{n}" for n in range(8)])

    @initialize()
    def start(self):
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "catalogue"
        bundle = write_tiny_bundle(Path(self.folder.name) / "bundle")
        self.catalogue = SqliteCatalogue.create(self.path, Bundle.open(bundle))
        self.truth = {}

    @rule(item_id=ids, seed=st.integers(0, 30))
    def put(self, item_id, seed):
        self.catalogue.put([new_item(item_id, seed)])
        self.truth[item_id] = seed

    @rule(item_id=ids)
    def delete(self, item_id):
        assert self.catalogue.delete([item_id]) == (item_id in self.truth)
        self.truth.pop(item_id, None)

    @rule()
    def compact(self):
        self.catalogue.compact()

    @rule()
    def reopen(self):
        self.catalogue.close()
        self.catalogue = SqliteCatalogue.open(self.path)

    @invariant()
    def equals_the_dictionary(self):
        if not hasattr(self, "catalogue"):
            return
        matches = self.catalogue.search(unit(500)[None], k=5)[0]
        _, scores = brute_force(self.truth, unit(500), 5)
        assert [m.score for m in matches] == pytest.approx(scores, abs=2e-3)
        assert all(m.id in self.truth for m in matches)
        assert {item.id for item in self.catalogue.items().items} == set(self.truth)

    def teardown(self):
        if hasattr(self, "catalogue"):
            self.catalogue.close()
            self.folder.cleanup()


class AnySequenceOfAnApproximateIndex(AnySequence):
    """The same over inverted lists that are searched exhaustively, however few items there are."""

    patches = (("index.ann_choice.EXACT_NUMBERS", 0), ("index.snapshot.FEW", 0), ("index.following.LOOK_S", 0.0))

    @initialize()
    def start(self):
        self.patch = pytest.MonkeyPatch()
        for name, value in self.patches:
            self.patch.setattr(name, value)
        super().start()
        self.catalogue.wish(IndexWishes(faiss="IVF1,SQ8"))

    def teardown(self):
        super().teardown()
        if hasattr(self, "patch"):
            self.patch.undo()


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(
    max_examples=12, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnySequenceOfAnApproximateIndex = AnySequenceOfAnApproximateIndex.TestCase
TestAnySequenceOfAnApproximateIndex.settings = TestAnySequence.settings
