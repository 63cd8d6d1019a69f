"""The path of a thumbnail: it names one item, also after a browser has read it (WHATWG URL, 4.4)."""

from urllib.parse import unquote

import pytest

from index.answer import thumbnail_path


@pytest.mark.parametrize("item_id", ["a/b.png", "sky?#%/é 1", "a//b", "a/../b", "./c", "..", "a/.", "...", "a/.b"])
def test_a_thumbnail_path_has_no_segment_that_is_taken_out(item_id: str) -> None:
    path = thumbnail_path(item_id)
    assert unquote(path) == f"/items/{item_id}/thumbnail"
    assert path.isascii()
    assert not {".", ".."} & {unquote(segment) for segment in path.split("/")}


def test_slashes_stand_as_they_are_wherever_they_can() -> None:
    assert thumbnail_path("a b/c..d/.e.png") == "/items/a%20b/c..d/.e.png/thumbnail"
