"""Sources beside each other in one catalogue: what one adds takes nothing from another."""

import csv
from dataclasses import replace

import pytest
from builds import Builds, opened, write_tar
from pictures import drawn, file_bytes

from encoder.bundle import Bundle
from encoder.errors import IdTakenError
from encoder.image_encoder import ImageEncoder
from index.build import build
from index.prepared import new_item, prepared_if_known
from index.sources.picture import PictureFacts
from index.sources.prefixed import PrefixedSource
from index.sources.reading import read_source


@pytest.fixture
def index(tmp_path, tiny_bundle):
    return Builds(tmp_path / "catalogue", Bundle.open(tiny_bundle))


def day(tmp_path, name, kind, seed):
    """A source of one picture, whose id is the same every day."""
    folder, data = tmp_path / name, file_bytes(drawn((10, 200, 30), seed))
    folder.mkdir(exist_ok=True)
    if kind == "folder":
        (folder / "IMG_0.png").write_bytes(data)
        return folder
    if kind == "tar":
        write_tar(folder / "0.tar", [("IMG_0.png", data)])
        return folder / "0.tar"
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"id": "IMG_0.png", "image": data}]
    if kind == "parquet, a row further down":
        rows.insert(0, {"id": "another", "image": data})
    pq.write_table(pa.Table.from_pylist(rows), folder / "0.parquet")
    return folder / "0.parquet"


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_a_source_beside_others_replaces_no_item_of_theirs(index, tmp_path, kind):
    one, other = day(tmp_path, "day1", kind, 1), day(tmp_path, "day2", kind, 2)
    index(one)
    with opened(index) as catalogue:
        first = catalogue.get("IMG_0.png")
    report = index(other, prune=None, keep_taken=True)
    assert (report.encoded, report.num_rejected, report.num_id_taken) == (0, 1, 1)
    ((location, reason),) = csv.reader((index.path / "rejected.csv").read_text().splitlines()[1:])
    assert str(other) in location
    assert first.source in reason
    assert "--prefix" in reason
    with opened(index) as catalogue:
        assert catalogue.get("IMG_0.png") == first
    # What has changed at its own place is taken in, and what is the same picture elsewhere.
    day(tmp_path, "day1", "parquet, a row further down" if kind == "parquet" else kind, 2)
    report = index(one, prune=None, keep_taken=True)
    assert (report.encoded, report.num_rejected) == (1, 0)
    assert (report := index(other, prune=None, keep_taken=True)).unchanged == 1
    assert report.num_rejected == 0
    # A run that brings the catalogue up to date replaces as ever.
    day(tmp_path, "day1", kind, 3)
    assert index(one).encoded == 1


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_two_sources_that_once_had_one_picture_stay_two(index, tmp_path, kind):
    one, other = day(tmp_path, "day1", kind, 1), day(tmp_path, "day2", kind, 1)
    index(one)
    assert index(other, prune=None, keep_taken=True).unchanged == 1
    day(tmp_path, "day2", kind, 2)
    assert index(other, prune=None, keep_taken=True).num_id_taken == 1
    assert index(one, prune=None, keep_taken=True).unchanged == 1


def test_addresses_with_another_query_are_one_place_only_if_they_have_the_same_picture(index, picture_folder):
    """Signed addresses are new each time, but a query may also say which picture it is."""
    index(picture_folder)
    with opened(index) as catalogue:
        item = catalogue.get("red/0.png")
        stored = catalogue.by_content(item.content_hash)
        known = PictureFacts(item.id, "https://h/image?n=0", dict(item.labels), {})
        catalogue.put([new_item(known, item.content_hash, *stored)])
        signed = replace(known, location="https://h/image?n=5", labels={"label": "crimson"})
        assert prepared_if_known(catalogue, signed, item.content_hash, keep_taken=True).kind == "relabelled"
        with pytest.raises(IdTakenError, match="another picture, https://h/image"):
            prepared_if_known(catalogue, signed, "0" * 64, keep_taken=True)


def test_a_source_that_has_moved_gives_its_pictures_their_new_place(index, picture_folder, tmp_path):
    index(picture_folder)
    moved = picture_folder.rename(tmp_path / "moved")
    report = index(moved, prune=None, keep_taken=True)
    assert (report.relabelled, report.num_rejected) == (12, 0)
    with opened(index) as catalogue:
        assert catalogue.get("red/0.png").source == str(moved / "red" / "0.png")


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_another_way_to_the_same_place_is_no_other_place(index, tmp_path, kind):
    one = day(tmp_path, "day1", kind, 1)
    index(one)
    (tmp_path / "link").symlink_to(tmp_path / "day1")
    for seed, way in ((2, tmp_path / "link"), (3, tmp_path / "link" / ".." / "day1")):
        day(tmp_path, "day1", kind, seed)
        report = index(way / one.relative_to(tmp_path / "day1"), prune=None, keep_taken=True)
        assert (report.encoded, report.num_rejected) == (1, 0)


def test_labels_and_metadata_of_the_same_picture_of_another_source_are_kept(index, tmp_path):
    """A folder says less of a picture than the table that it was taken in by."""
    day(tmp_path, "day1", "folder", 1)
    day(tmp_path, "day2", "folder", 1)
    table = tmp_path / "day1" / "list.csv"
    table.write_text("path,label,year\nIMG_0.png,alba,2019\n")
    index(table)
    with opened(index) as catalogue:
        first = catalogue.get("IMG_0.png")
    assert first.labels == {"label": "alba"}
    report = index(tmp_path / "day2", prune=None, keep_taken=True)
    assert (report.num_rejected, report.num_id_taken) == (1, 1)
    assert "that of the same picture with other labels or metadata" in report.rejected[0][1]
    with opened(index) as catalogue:
        assert catalogue.get("IMG_0.png") == first
    # Of its own file the labels may change.
    table.write_text("path,label,year\nIMG_0.png,rubra,2019\n")
    assert index(table, prune=None, keep_taken=True).relabelled == 1


def test_a_prefix_lets_pictures_of_two_sources_stay(index, tmp_path):
    one, other = day(tmp_path, "day1", "folder", 1), day(tmp_path, "day2", "folder", 2)
    index(one)
    with opened(index) as catalogue:
        source = PrefixedSource(read_source(other), "day2/")
        report = build(catalogue, ImageEncoder(index.bundle), source, prune=None, keep_taken=True, quiet=True)
        assert (source.num_pictures, report.encoded, report.num_rejected) == (1, 1, 0)
        assert set(catalogue.ids()) == {"IMG_0.png", "day2/IMG_0.png"}
        assert catalogue.get("day2/IMG_0.png").source == str(other / "IMG_0.png")
