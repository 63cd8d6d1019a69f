"""When a snapshot is built anew, by whom, and that nobody waits for it."""

import errno
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from vector_catalogue import best_cosines, clustered, put_vectors

from encoder.bundle import Bundle
from encoder.errors import CatalogueBusyError
from index import compaction, snapshot_build
from index.compaction import Upkeep, compact_if_due, is_due, is_due_after_bulk
from index.locks import compacting_alone
from index.sqlite_catalogue import SqliteCatalogue
from index.verification import verify


@pytest.fixture
def catalogue(tmp_path, tiny_bundle):
    with SqliteCatalogue.create(tmp_path / "catalogue", Bundle.open(tiny_bundle)) as opened:
        yield opened


def test_it_is_due_when_much_has_come_or_gone(catalogue, monkeypatch):
    monkeypatch.setattr(compaction, "SHORT_TAIL", 10)
    assert not is_due(catalogue.refresh())
    put_vectors(catalogue, clustered(10))
    assert not is_due(catalogue.refresh())
    put_vectors(catalogue, clustered(1, seed=1), "more")
    assert is_due(catalogue.refresh())
    assert compact_if_due(catalogue.path)
    catalogue._follower.reload()
    assert not is_due(catalogue.refresh())
    assert not compact_if_due(catalogue.path)
    catalogue.delete([f"i{number}" for number in range(10)])
    assert not is_due(catalogue.refresh())
    catalogue.delete(["more0"])
    assert is_due(catalogue.refresh())


def test_a_bulk_run_compacts_what_is_small_and_leaves_a_short_tail_to_what_is_large():
    large = compaction.EXACT_NUMBERS  # vectors of one number
    assert is_due_after_bulk(held=0, changes=1, dim=1)
    assert not is_due_after_bulk(held=10, changes=0, dim=1)
    assert is_due_after_bulk(held=large - 1, changes=1, dim=1)
    assert not is_due_after_bulk(held=large, changes=compaction.SHORT_TAIL, dim=1)
    assert is_due_after_bulk(held=10**6, changes=20_001, dim=384)
    assert not is_due_after_bulk(held=10**6, changes=20_000, dim=384)


def test_a_process_beside_a_server_compacts_and_the_server_takes_it_up(catalogue):
    truth = put_vectors(catalogue, clustered(compaction.SHORT_TAIL + 1))
    upkeep = Upkeep(catalogue, check_s=0.05)
    upkeep.start()
    deadline = time.monotonic() + 60
    while catalogue.stats().snapshot_items == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    upkeep.close()
    assert (catalogue.stats().snapshot_items, catalogue.stats().tail_items) == (len(truth), 0)
    query = clustered(1, seed=3)[0]
    scores = [match.score for match in catalogue.search(query[None], k=5)[0]]
    assert scores == pytest.approx(best_cosines(truth, query, 5), abs=2e-3)


def test_a_process_that_cannot_be_started_is_told_and_tried_again(catalogue, monkeypatch, caplog):
    monkeypatch.setattr(compaction, "SHORT_TAIL", 0)
    put_vectors(catalogue, clustered(3))
    tried, twice = [], threading.Event()

    def no_memory(command, **_):
        tried.append(command)
        if len(tried) == 2:
            twice.set()
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("subprocess.Popen", no_memory)
    upkeep = Upkeep(catalogue, check_s=0.01)
    upkeep.start()
    assert twice.wait(10)
    upkeep.close()
    assert "no new snapshot could be built: Cannot allocate memory" in caplog.text


def test_writes_and_searches_go_on_while_a_snapshot_is_built_and_are_in_the_view_after_it(catalogue, monkeypatch):
    truth = put_vectors(catalogue, clustered(50))
    built, may_publish = threading.Event(), threading.Event()
    measure = snapshot_build._measure

    def stop_before_publishing(*arguments):
        built.set()
        assert may_publish.wait(30)
        return measure(*arguments)

    monkeypatch.setattr(snapshot_build, "_measure", stop_before_publishing)
    thread = threading.Thread(target=catalogue.compact)
    thread.start()
    assert built.wait(30)
    truth |= put_vectors(catalogue, clustered(5, seed=9), "meanwhile")
    catalogue.delete(["i3"])
    del truth["i3"]
    assert len(catalogue.search(clustered(1), k=1000)[0]) == 54
    checkpoint = sqlite3.connect(catalogue.path / "catalogue.sqlite")
    busy, _, _ = checkpoint.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    checkpoint.close()
    assert busy == 0, "a transaction is kept open while the index is built"
    may_publish.set()
    thread.join()
    stats = catalogue.stats()
    assert (stats.snapshot_items, stats.tail_items, stats.snapshot_removed) == (50, 5, 1)
    assert {match.id for match in catalogue.search(clustered(1), k=1000)[0]} == set(truth)


def test_one_compaction_at_a_time(catalogue):
    with (
        compacting_alone(catalogue.path),
        pytest.raises(CatalogueBusyError, match="already"),
        compacting_alone(catalogue.path, wait=False),
    ):
        pass
    with compacting_alone(catalogue.path, wait=False):
        pass


def test_what_a_killed_compaction_left_is_removed_by_the_next(catalogue):
    put_vectors(catalogue, clustered(5))
    catalogue.compact()
    left = catalogue.path / "ann" / ".new-killed"
    left.mkdir()
    (left / "vectors.bin").write_bytes(b"half")
    put_vectors(catalogue, clustered(5, seed=1), "more")
    catalogue.compact()
    assert not left.exists()


def test_a_kill_while_a_snapshot_replaces_one_of_the_same_change_leaves_no_half_one(catalogue, monkeypatch):
    put_vectors(catalogue, clustered(30))
    catalogue.compact()

    class Killed(BaseException):
        pass

    def removes_one_file_and_is_killed(folder, **_):
        next(path for path in sorted(Path(folder).rglob("*")) if path.is_file()).unlink()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", removes_one_file_and_is_killed)
        with pytest.raises(Killed):
            catalogue.compact()
    report = verify(catalogue.path, means=None, tell=lambda part, done, total: None)
    assert report.clean, report.of("snapshot").examples
    assert report.of("leftovers").found == 1
    catalogue.compact()
    assert verify(catalogue.path, means=None, tell=lambda part, done, total: None).of("leftovers").found == 0
