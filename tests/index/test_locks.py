"""One bulk writer at a time: another waits for it, says so, and gives up after a while with one line."""

import threading

import pytest

from encoder.errors import CatalogueBusyError, CatalogueError
from index import locks
from index.locks import COMPACTION_LOCK, WRITER_LOCK, compacting_alone, looking, writing_alone
from index.snapshot import ANN_DIR


def test_a_second_bulk_writer_waits_for_the_first(tmp_path, capsys, monkeypatch):
    order, waiting = [], threading.Event()
    # The first lets go only once the second has found the lock taken and begun to wait.
    monkeypatch.setattr(locks.time, "sleep", lambda _: waiting.set())

    def first():
        with writing_alone(tmp_path):
            holding.set()
            assert waiting.wait(30)
            order.append("first")

    holding, thread = threading.Event(), threading.Thread(target=first)
    thread.start()
    assert holding.wait(30)
    with writing_alone(tmp_path, wait_s=60):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert "is writing to" in capsys.readouterr().err


def test_it_gives_up_after_a_while(tmp_path, capsys):
    with (
        writing_alone(tmp_path),
        pytest.raises(CatalogueBusyError, match="still writing to .* after 0 s; wait for it to end, then run"),
        writing_alone(tmp_path, wait_s=0),
    ):
        pass
    assert capsys.readouterr().err.count("\n") == 1
    with writing_alone(tmp_path):
        pass
    assert capsys.readouterr().err == "", "nobody is told of waiting where nobody waits"


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CatalogueError, match="cannot be written to"), writing_alone(tmp_path / "none"):
        pass


def test_those_who_look_share_and_those_who_work_do_not(tmp_path):
    lock = tmp_path / ANN_DIR / COMPACTION_LOCK
    with looking(lock, wait=False) as nobody_works:
        assert nobody_works
    assert not lock.parent.exists(), "looking made a file"
    with compacting_alone(tmp_path), looking(lock, wait=False) as nobody_works:
        assert not nobody_works
    with looking(lock, wait=False) as one, looking(lock, wait=False) as another:
        assert (one, another) == (True, True)
        with pytest.raises(CatalogueBusyError), compacting_alone(tmp_path, wait=False):
            pass
    with writing_alone(tmp_path), looking(tmp_path / WRITER_LOCK, wait=False) as nobody_works:
        assert not nobody_works
