"""A folder is replaced only where it is ours, and what was there is whole or comes back."""

import pytest

from encoder.own_folder import is_foreign, replace_folder, work_folder


def test_what_is_somebody_elses(tmp_path):
    folder = tmp_path / "photos"
    assert not is_foreign(folder, "ours.json")
    folder.mkdir()
    assert not is_foreign(folder, "ours.json")
    (folder / "a.jpg").write_bytes(b"the only one")
    assert is_foreign(folder, "ours.json")
    assert is_foreign(folder / "a.jpg", "ours.json")
    (folder / "ours.json").write_text("{}")
    assert is_foreign(folder, "other.json")
    assert not is_foreign(folder, "other.json", "ours.json")
    (tmp_path / "link").symlink_to("nowhere")
    assert is_foreign(tmp_path / "link", "ours.json")


def test_the_old_one_goes_when_the_new_one_is_there(tmp_path):
    for text in ("one", "two"):
        (tmp_path / "fresh").mkdir()
        (tmp_path / "fresh" / text).write_text(text)
        replace_folder(tmp_path / "place", tmp_path / "fresh")
        assert [path.name for path in (tmp_path / "place").iterdir()] == [text]
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_the_old_one_comes_back_where_the_new_one_cannot_be_had(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "one").write_text("one")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "place", tmp_path / "nowhere")
    assert (tmp_path / "place" / "one").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_work_folder_is_empty_at_first_and_gone_at_last(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "left by a killed process").write_text("")
    with work_folder(tmp_path / "work") as work:
        assert list(work.iterdir()) == []
        (work / "half").write_text("")
    assert list(tmp_path.iterdir()) == []
