"""Which files are pictures, in what order, under which label."""

import os
import socket

import pytest

from encoder.errors import SourceError
from encoder.picture_files import folder_label, list_pictures
from encoder.preprocessing import read_picture


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def listed(folder):
    return [path.relative_to(folder).as_posix() for path in list_pictures(folder)]


def test_by_extension_in_any_case_sorted_and_recursive(tmp_path):
    make(tmp_path, "b.JPG", "a/z.jpeg", "a/b/c.png", "a b.webp", "e.tif", "f.Tiff", "g.gif", "h.bmp", "i.avif")
    make(tmp_path, "notes.txt", "jpg", "x.jpg.part", "a/data.csv", "folder.png/inside.png")
    assert listed(tmp_path) == [
        *("a/b/c.png", "a/z.jpeg", "a b.webp", "b.JPG", "e.tif"),
        *("f.Tiff", "folder.png/inside.png", "g.gif", "h.bmp", "i.avif"),
    ]


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    make(tmp_path, ".hidden.png", ".thumbnails/a.png", "a/.b/c.png", "._resource.jpg", "seen.png")
    assert listed(tmp_path) == ["seen.png"]


def test_loops_of_links_end(tmp_path):
    make(tmp_path, "a/one.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "linked.png").symlink_to(tmp_path / "a" / "one.png")
    assert listed(tmp_path) == ["a/one.png", "linked.png"]


def test_the_folder_itself_may_be_a_link(tmp_path):
    make(tmp_path, "real/one.png")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert listed(tmp_path / "link") == ["one.png"]


def test_what_a_reader_would_wait_for_is_no_picture_and_a_dead_link_is_reported(tmp_path, monkeypatch):
    make(tmp_path, "one.png")
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
        assert listed(tmp_path) == ["gone.png", "one.png"]
    with pytest.raises(SourceError, match="does not exist"):
        read_picture(tmp_path / "gone.png")


def test_the_order_is_that_of_the_path_s_parts(tmp_path):
    make(tmp_path, "a/2.png", "a-b/1.png", "a/10.png", "B/1.png")
    assert listed(tmp_path) == ["B/1.png", "a/10.png", "a/2.png", "a-b/1.png"]


def test_missing_empty_and_no_folder(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        list_pictures(tmp_path / "nothing")
    make(tmp_path, "file.txt")
    with pytest.raises(SourceError, match="is a file, expected a folder"):
        list_pictures(tmp_path / "file.txt")
    with pytest.raises(SourceError, match=r"holds no pictures; looked for .*\.jpg"):
        list_pictures(tmp_path)
    with pytest.raises(SourceError, match="cannot be read: File name too long"):
        list_pictures(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder(tmp_path):
    make(tmp_path, "a/one.png")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(SourceError, match="a cannot be read: Permission denied"):
            list_pictures(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o755)


def test_labels_are_sub_folders(tmp_path):
    assert folder_label(tmp_path, tmp_path / "x.png") is None
    assert folder_label(tmp_path, tmp_path / "rosa" / "x.png") == "rosa"
    assert folder_label(tmp_path, tmp_path / "Rosa" / "canina" / "x.png") == "Rosa/canina"
