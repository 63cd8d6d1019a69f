"""What a watch sees in a folder, look by look."""

import os

import pytest
from pictures import drawn, file_bytes

from index.watch import FolderWatch


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "photos"
    (path / "a").mkdir(parents=True)
    return path


def picture(seed):
    return file_bytes(drawn((seed, 90, 10), seed))


def ready(watched):
    source = watched.ready()
    return [] if source is None else [one.facts.id for one in source]


def test_a_file_is_ready_once_it_is_the_same_twice(folder):
    watched = FolderWatch(folder, ("species",))
    (folder / "a" / "1.png").write_bytes(b"half")
    watched.look()
    assert ready(watched) == []
    (folder / "a" / "1.png").write_bytes(picture(1))
    watched.look()
    assert ready(watched) == [], "it was still being written"
    watched.look()
    assert ready(watched) == ["a/1.png"]
    assert next(iter(watched.ready())).facts.labels == {"species": "a"}
    watched.look()
    assert ready(watched) == ["a/1.png"], "it was not indexed"
    watched.done()
    watched.look()
    assert ready(watched) == []


def test_what_was_there_at_the_start_counts_as_indexed_unless_it_changed_since(folder):
    for name in ("same", "changed"):
        (folder / f"{name}.png").write_bytes(picture(1))
    watched = FolderWatch(folder, ())
    watched.look()
    (folder / "changed.png").write_bytes(picture(2))
    os.utime(folder / "changed.png", ns=(1, 1))
    watched.adopt()
    watched.look()
    watched.look()
    assert ready(watched) == ["changed.png"]


def test_gone_files_are_named_until_forgotten_but_not_if_all_are_gone(folder):
    for name in ("1", "2"):
        (folder / f"{name}.png").write_bytes(picture(1))
    watched = FolderWatch(folder, ())
    watched.look()
    watched.adopt()
    (folder / "1.png").unlink()
    watched.look()
    assert watched.gone() == ["1.png"]
    watched.forget(["1.png"])
    assert watched.gone() == []
    (folder / "2.png").unlink()
    watched.look()
    assert watched.gone() == [], "a folder that is not mounted looks just like this"


def test_rejections_hold_while_their_file_is_there_and_not_tried_again(folder):
    (folder / "bad.png").write_bytes(b"no")
    watched = FolderWatch(folder, ())
    watched.look()
    watched.adopt()
    assert watched.keeps_rejection(str(folder / "bad.png"))
    assert not watched.keeps_rejection(str(folder / "gone.png"))
    (folder / "bad.png").write_bytes(picture(3))
    watched.look()
    watched.look()
    assert ready(watched) == ["bad.png"]
    assert not watched.keeps_rejection(str(folder / "bad.png"))
