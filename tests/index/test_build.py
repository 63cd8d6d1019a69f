"""Bulk indexing: what is encoded, what is left alone, what is set aside."""

import csv
import os
import shutil
from io import BytesIO
from pathlib import Path
from threading import Event
from time import sleep

import numpy as np
import pytest
from builds import Builds, opened, write_tar
from pictures import drawn, file_bytes
from PIL import Image
from tiny_encoder import write_tiny_bundle

from encoder.bundle import Bundle
from encoder.errors import CatalogueError, EncoderMismatchError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess
from index.answers.calibration import CALIBRATION_NAME
from index.build import build, open_for_build
from index.estimate import estimate
from index.prepared import new_item, prepared_if_known
from index.snapshot import newest_snapshot
from index.sources.picture import PictureFacts
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue
from index.verification import verify
from service.key_file import KEYS_NAME


@pytest.fixture
def index(tmp_path, tiny_bundle):
    return Builds(tmp_path / "catalogue", Bundle.open(tiny_bundle))


def test_every_picture_has_the_embedding_of_the_encoder(index, picture_folder):
    report = index(picture_folder, batch_size=5)
    assert (report.encoded, report.unchanged, report.rejected) == (12, 0, [])
    encoder = ImageEncoder(index.bundle)
    with opened(index) as catalogue:
        for path in picture_folder.rglob("*.png"):
            pixels = preprocess(decode_picture(path.read_bytes()), index.bundle.manifest.preprocessing)
            expected = encoder.encode(pixels[None]).embedding_BD[0]
            item_id = path.relative_to(picture_folder).as_posix()
            assert catalogue.embedding(item_id) @ expected == pytest.approx(1, abs=1e-5)
            assert catalogue.get(item_id).labels == {"label": path.parent.name}
            assert catalogue.thumbnail(item_id)[8:12] == b"WEBP"
        assert catalogue.stats().snapshot_items == 12


def test_one_bad_picture_of_a_thousand_costs_one_row(index, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number:04}.png").write_bytes(file_bytes(drawn((number % 256, 90, number // 4), number, (24, 24))))
    (folder / "0500.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    report = index(folder)
    assert (report.encoded, len(report.rejected)) == (999, 1)
    with (index.path / "rejected.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "reason"]
    assert [row[0] for row in rows] == [str(folder / "0500.png")]
    with opened(index) as catalogue:
        assert catalogue.get("0500.png") is None
        # Nothing is shifted: each item's own picture is its nearest.
        encoder = ImageEncoder(index.bundle)
        for name in ("0499.png", "0501.png", "0999.png"):
            encoded = encoder.encode_pictures([(folder / name).read_bytes()])[0]
            assert catalogue.embedding(name) @ encoded.embedding_BD[0] == pytest.approx(1, abs=1e-5)


def test_the_second_run_encodes_nothing(index, picture_folder):
    index(picture_folder)
    report = index(picture_folder)
    assert (report.encoded, report.unchanged) == (0, 12)


def test_changed_new_and_copied_pictures(index, picture_folder):
    index(picture_folder)
    (picture_folder / "red" / "0.png").write_bytes(file_bytes(drawn((9, 9, 9), 77)))
    (picture_folder / "red" / "new.png").write_bytes(file_bytes(drawn((250, 250, 9), 78)))
    (picture_folder / "blue" / "copy.png").write_bytes((picture_folder / "red" / "1.png").read_bytes())
    report = index(picture_folder)
    assert (report.encoded, report.reused, report.unchanged) == (2, 1, 11)
    with opened(index) as catalogue:
        assert catalogue.stats().items == 14
        assert np.array_equal(catalogue.embedding("blue/copy.png"), catalogue.embedding("red/1.png"))
        assert catalogue.get("blue/copy.png").labels == {"label": "blue"}


def test_copies_within_one_run_are_encoded_once(index, tmp_path, monkeypatch):
    folder = tmp_path / "copies"
    folder.mkdir()
    data = file_bytes(drawn((10, 200, 30), 1))
    for number in range(6):
        (folder / f"{number}.png").write_bytes(data)
    sizes = []
    encode = ImageEncoder.encode
    monkeypatch.setattr(
        ImageEncoder,
        "encode",
        lambda self, pixels, **options: sizes.append(len(pixels)) or encode(self, pixels, **options),
    )
    index(folder)
    assert sizes == [1]
    with opened(index) as catalogue:
        assert catalogue.stats().items == 6


def test_a_copy_at_any_distance_from_its_first_is_indexed(index, tmp_path, monkeypatch):
    """Also one that was read before its first was committed: writing is slow here, as on a busy disk."""
    folder = tmp_path / "copies"
    folder.mkdir()
    distances = (19, 23, 27)
    for distance in distances:
        for number in range(60):
            seed = 0 if number == distance else number
            data = file_bytes(drawn((10, 200, distance), seed, size=(20, 20)))
            (folder / f"{distance:02d}-{number:02d}.png").write_bytes(data)
    put = SqliteCatalogue.put
    monkeypatch.setattr(SqliteCatalogue, "put", lambda *args, **options: sleep(0.1) or put(*args, **options))
    report = index(folder, batch_size=4, threads=1, encoder_calls=2)
    assert (report.num_rejected, report.encoded, report.reused) == (0, 59 * len(distances), len(distances))


def test_new_labels_are_taken_without_encoding(index, picture_folder, tmp_path):
    csv_path = tmp_path / "list.csv"
    csv_path.write_text("path,label\nphotos/red/0.png,rose\n")
    index(csv_path)
    csv_path.write_text("path,label,year\nphotos/red/0.png,poppy,1999\n")
    report = index(csv_path)
    assert (report.encoded, report.relabelled) == (0, 1)
    with opened(index) as catalogue:
        item = catalogue.get("photos/red/0.png")
        assert (item.labels, item.metadata) == ({"label": "poppy"}, {"year": 1999})


def test_one_and_true_are_not_the_same_metadata(index, tmp_path):
    picture = ("1.png", file_bytes(drawn((9, 9, 90), 1)))
    for written, stored in ((b"1", "1"), (b"true", "True"), (b"1.0", "1.0")):
        write_tar(tmp_path / "x.tar", [picture, ("1.json", b'{"wild": %s}' % written)])
        index(tmp_path / "x.tar")
        with opened(index) as catalogue:
            assert repr(catalogue.get("1.png").metadata["wild"]) == stored
    assert index(tmp_path / "x.tar").unchanged == 1


def test_a_folder_that_has_moved_is_where_it_is_now(index, picture_folder, tmp_path):
    index(picture_folder)
    picture_folder.rename(tmp_path / "moved")
    report = index(tmp_path / "moved", prune=True)
    assert (report.encoded, report.relabelled, report.unchanged, report.not_in_source) == (0, 12, 0, 0)
    with opened(index) as catalogue:
        assert {catalogue.get(item_id).source for item_id in catalogue.ids()} == {
            str(path) for path in (tmp_path / "moved").rglob("*.png")
        }
    assert index(tmp_path / "moved").unchanged == 12


def test_items_that_left_the_source_are_kept_unless_pruned(index, picture_folder):
    index(picture_folder)
    (picture_folder / "green" / "2.png").unlink()
    assert (index(picture_folder).not_in_source, index(picture_folder, prune=True).pruned) == (1, True)
    with opened(index) as catalogue:
        assert catalogue.get("green/2.png") is None
        assert catalogue.stats().items == 11
        assert catalogue.stats().tail_items == 0


def test_a_missing_file_of_a_csv_is_a_rejected_row(index, picture_folder, tmp_path):
    csv_path = tmp_path / "list.csv"
    csv_path.write_text("path\nphotos/red/0.png\nphotos/red/gone.png\n")
    report = index(csv_path)
    assert report.encoded == 1
    assert report.rejected[0][0].endswith("gone.png")
    assert "does not exist" in report.rejected[0][1]


def test_fresh_takes_away_what_was_fitted_on_the_items_of_before(index):
    with open_for_build(index.path, index.bundle):
        (index.path / CALIBRATION_NAME).write_text("{}")
    with open_for_build(index.path, index.bundle):
        pass
    assert (index.path / CALIBRATION_NAME).exists()
    with open_for_build(index.path, index.bundle, fresh=True):
        assert not (index.path / CALIBRATION_NAME).exists()


def test_another_encoder_needs_fresh(index, picture_folder, other_bundle):
    index(picture_folder)
    other = Bundle.open(other_bundle)
    with pytest.raises(EncoderMismatchError, match="--fresh"):
        open_for_build(index.path, other)
    with open_for_build(index.path, other, fresh=True) as catalogue:
        assert catalogue.stats().items == 0
        assert catalogue.manifest.id == other.manifest.id


def test_a_folder_of_something_else_is_left_alone(index, tmp_path):
    index.path.mkdir()
    (index.path / "thesis.doc").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(CatalogueError, match="not a catalogue"):
            open_for_build(index.path, index.bundle, fresh=fresh)
    assert (index.path / "thesis.doc").exists()


def test_the_report_names_the_limiting_stage(index, picture_folder):
    report = index(picture_folder)
    assert set(report.stage_seconds) == {"read", "decode", "encode", "commit", "snapshot"}
    assert report.limited_by in report.stage_seconds


def test_copies_in_different_batches_are_encoded_once(index, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    data = file_bytes(drawn((10, 200, 30), 1))
    for number in range(12):
        (folder / f"{number:02}.png").write_bytes(data if number % 2 else file_bytes(drawn((9, 9, 9), number)))
    report = index(folder, batch_size=2)
    assert (report.encoded, report.reused) == (7, 5)
    with opened(index) as catalogue:
        assert catalogue.stats().items == 12
        assert np.array_equal(catalogue.embedding("01.png"), catalogue.embedding("11.png"))


def test_a_large_jpeg_finds_itself_with_a_cosine_of_one_and_has_a_whole_thumbnail(index, tmp_path):
    """Indexing decodes as a query is decoded, also where a JPEG is decoded at a fraction of its size."""
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(file_bytes(drawn((100, 120, 60), 3, (1600, 1200)), "JPEG"))
    index(folder)
    encoded = ImageEncoder(index.bundle).encode_pictures([(folder / "a.jpg").read_bytes()])[0]
    with opened(index) as catalogue:
        stored = catalogue.embedding("a.jpg")
        assert np.abs(stored - encoded.embedding_BD[0]).max() < 5e-4, "more than half precision explains"
        assert Image.open(BytesIO(catalogue.thumbnail("a.jpg"))).size == (256, 192)


def test_a_name_that_is_not_utf8_costs_one_row(index, picture_folder):
    odd = picture_folder / os.fsdecode(b"red/caf\xe9.png")
    odd.write_bytes((picture_folder / "red" / "0.png").read_bytes())
    report = index(picture_folder)
    assert (report.encoded, len(report.rejected)) == (12, 1)
    with (index.path / "rejected.csv").open(newline="", encoding="utf-8") as file:
        _, (path, reason) = csv.reader(file)
    assert path.endswith(r"caf\udce9.png")
    assert "not UTF-8" in reason


@pytest.mark.parametrize("field", ["id", "label", "caption"])
def test_a_text_that_is_not_utf8_costs_one_row_and_no_item(index, tmp_path, field):
    pictures = {f"{number}.png": file_bytes(drawn((9, 9, 90), number)) for number in range(3)}
    write_tar(tmp_path / "x.tar", list(pictures.items()))
    index(tmp_path / "x.tar")
    broken = ("1.json", b'{"%s": "a\\ud83d"}' % field.encode())
    write_tar(tmp_path / "x.tar", [*list(pictures.items())[:2], broken, ("2.png", pictures["2.png"])])
    report = index(tmp_path / "x.tar", prune=True)
    assert (report.total, report.unchanged, report.num_rejected) == (3, 2, 1)
    assert "not UTF-8" in report.rejected[0][1]
    with opened(index) as catalogue:
        # Under its id it is known still; an id that cannot be is no longer that of the item from before.
        assert sorted(catalogue.ids()) == (["0.png", "2.png"] if field == "id" else sorted(pictures))


def test_a_picture_that_breaks_later_keeps_its_item_and_is_told(index, picture_folder):
    index(picture_folder)
    (picture_folder / "red" / "0.png").write_bytes(b"")
    report = index(picture_folder)
    assert [reason for _, reason in report.rejected] == ["the picture is empty (0 bytes)"]
    with opened(index) as catalogue:
        assert catalogue.get("red/0.png") is not None


@pytest.mark.parametrize("damage", ["deleted", "flipped"])
def test_the_next_run_rebuilds_a_damaged_snapshot(index, picture_folder, damage):
    index(picture_folder)
    if damage == "deleted":
        shutil.rmtree(index.path / "ann")
    else:
        (file,) = index.path.glob("ann/*/index.faiss")
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        file.write_bytes(content)
    assert index(picture_folder).unchanged == 12
    with opened(index) as catalogue:
        assert (catalogue.stats().snapshot_items, catalogue.stats().tail_items) == (12, 0)


@pytest.mark.parametrize("name", [KEYS_NAME, f"{KEYS_NAME}.lock", f"{KEYS_NAME}.x3f_9a2b", CALIBRATION_NAME])
def test_what_is_left_of_a_catalogue_beside_its_database_is_in_nobodys_way(index, picture_folder, name):
    index.path.mkdir()
    (index.path / name).write_text('{"version": 3, "encoder_id": "another"}')
    assert index(picture_folder).encoded == 12
    # Keys let the same people in; a calibration was fitted on other items.
    assert (index.path / name).exists() == (name != CALIBRATION_NAME)


@pytest.mark.parametrize("content", ["{}", '{"version": 1, "camera_matrix": []}', "spoilt"])
def test_a_file_of_somebody_else_that_is_called_as_one_of_ours_is_left_alone(index, picture_folder, content):
    index.path.mkdir()
    (index.path / CALIBRATION_NAME).write_text(content)
    with pytest.raises(CatalogueError, match=f"is not a catalogue: there is '{CALIBRATION_NAME}' in it"):
        index(picture_folder)
    assert (index.path / CALIBRATION_NAME).read_text() == content


@pytest.mark.parametrize("left", ["nothing", "folder", "partial database", "whole database and the partial"])
def test_a_run_killed_while_it_made_the_catalogue_leaves_nothing_in_the_way(index, picture_folder, left):
    if left == "whole database and the partial":
        opened(index).close()
    elif left != "nothing":
        index.path.mkdir()
        (index.path / "writer.lock").touch()
    if "partial" in left:
        (index.path / ".new-abc").mkdir()
        (index.path / ".new-abc" / "catalogue.sqlite").write_bytes(b"SQLite format 3\0 and no more")
    assert index(picture_folder).encoded == 12
    assert list(index.path.glob(".new-*")) == []


def test_a_moved_bundle_and_new_ranks_are_remembered(tmp_path, picture_folder):
    here = Bundle.open(write_tiny_bundle(tmp_path / "here"))
    open_for_build(tmp_path / "c", here, ranks=("species",)).close()
    there = Bundle.open(here.path.rename(tmp_path / "there"))
    open_for_build(tmp_path / "c", there).close()
    with SqliteCatalogue.open(tmp_path / "c") as catalogue:
        assert (catalogue.find_bundle().path, catalogue.ranks) == (there.path, ("species",))
    open_for_build(tmp_path / "c", there, ranks=("kind",)).close()
    with SqliteCatalogue.open(tmp_path / "c") as catalogue:
        assert catalogue.ranks == ("kind",)


def test_a_place_below_a_file_is_no_place_for_a_catalogue(index, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CatalogueError, match="lies in a file"):
        open_for_build(tmp_path / "file" / "catalogue", index.bundle)


def test_several_encoder_calls_at_once_give_the_same_catalogue(index, tmp_path):
    """Batches are committed in order, and copies wait for the call that encodes their content."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(150):
        (folder / f"{number:03}.png").write_bytes(file_bytes(drawn((number % 40, 90, 30), number % 40)))
    report = index(folder, batch_size=4, encoder_calls=3, threads=3)
    assert (report.encoded, report.reused) == (40, 110)
    encoder = ImageEncoder(index.bundle)
    with opened(index) as catalogue:
        for number in range(150):
            name = f"{number:03}.png"
            encoded = encoder.encode_pictures([(folder / name).read_bytes()])[0]
            assert catalogue.embedding(name) @ encoded.embedding_BD[0] == pytest.approx(1, abs=1e-5)


def test_an_id_in_two_shards_is_one_item_and_a_rejected_row(index, tmp_path):
    for shard, seed in (("a", 1), ("b", 2)):
        write_tar(tmp_path / f"{shard}.tar", [("1.png", file_bytes(drawn((9, 9, 90), seed))), (f"{shard}.png", b"no")])
    report = index(tmp_path / "?.tar")
    assert (report.total, report.encoded, report.num_rejected) == (4, 1, 3)
    reasons = dict(report.rejected)
    assert f"tar://1.png::file://{tmp_path / 'a.tar'}" in reasons[f"tar://1.png::file://{tmp_path / 'b.tar'}"]
    with opened(index) as catalogue:
        assert catalogue.get("1.png").source == f"tar://1.png::file://{tmp_path / 'a.tar'}"


def test_what_may_be_in_an_unreadable_part_is_not_pruned(index, tmp_path):
    members = [(f"{number}.png", file_bytes(drawn((number, 9, 90), number))) for number in range(20)]
    write_tar(tmp_path / "x.tar", members)
    assert index(tmp_path / "x.tar").encoded == 20
    whole = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[: whole.index(members[10][1]) + 50])
    report = index(tmp_path / "x.tar", prune=True)
    assert (report.incomplete, report.pruned, report.not_in_source) == (True, False, 11)
    assert report.rejected[0][0] == str(tmp_path / "x.tar")
    write_tar(tmp_path / "x.tar", members[:15])
    report = index(tmp_path / "x.tar", prune=True)
    assert (report.incomplete, report.pruned, report.not_in_source, report.unchanged) == (False, True, 5, 15)


def test_a_run_that_is_asked_to_stop_keeps_what_is_committed_and_the_next_goes_on(index, picture_folder):
    stop = Event()
    stop.set()
    report = index(picture_folder, batch_size=2, stop=stop, prune=True)
    assert (report.stopped, report.encoded) == (True, 2)
    report = index(picture_folder, batch_size=2)
    assert (report.unchanged, report.encoded) == (2, 10)


def test_more_rejections_than_a_report_holds_are_all_in_the_file(index, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(130):
        (folder / f"{number:03}.png").write_bytes(b"no picture")
    report = index(folder)
    assert (report.num_rejected, len(report.rejected)) == (130, 100)
    with (index.path / "rejected.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 131


def test_rows_of_other_pictures_are_kept_if_asked(index, picture_folder):
    for name in ("a", "b"):
        (picture_folder / f"{name}.png").write_bytes(b"no")
    index(picture_folder)
    (picture_folder / "a.png").write_bytes((picture_folder / "red" / "0.png").read_bytes())
    index(picture_folder / "red", keep_rejected=lambda location: location.endswith("/b.png"))
    with (index.path / "rejected.csv").open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["path", str(picture_folder / "b.png")]


def test_a_snapshot_is_put_off_until_enough_has_changed(index, picture_folder):
    index(picture_folder / "red")
    index(picture_folder / "green", prune=None, compact_after=4)
    with opened(index) as catalogue:
        assert catalogue.stats().items == 4, "red and green have the same names here"
    report = index(picture_folder, prune=None, compact_after=100)
    assert "snapshot" not in report.stage_seconds
    with opened(index) as catalogue:
        assert (catalogue.stats().items, catalogue.stats().tail_items) == (16, 12)


def test_an_estimate_counts_measures_and_writes_nothing(index, picture_folder, tmp_path):
    index(picture_folder / "red")
    (picture_folder / "red" / "9.png").write_bytes(b"no")
    (picture_folder / "red" / "0.png").unlink()
    before = sorted((path, path.stat().st_mtime_ns) for path in index.path.rglob("*"))
    told = estimate(index.path, index.bundle, ImageEncoder(index.bundle), read_source(picture_folder / "red"))
    assert (told.total, told.known, told.new, told.not_in_source) == (4, 3, 1, 1)
    assert (told.sampled, told.unusable) == (4, 1)
    assert told.seconds > 0
    assert sorted((path, path.stat().st_mtime_ns) for path in index.path.rglob("*")) == before
    told = estimate(tmp_path / "none", index.bundle, ImageEncoder(index.bundle), read_source(picture_folder))
    assert (told.known, told.new) == (0, 12)
    assert told.disk_bytes > 12 * 200
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_kill_while_fresh_throws_the_catalogue_away_leaves_nothing_of_it_to_the_next_run(
    steps, tmp_path, tiny_bundle, picture_folder, monkeypatch
):
    """The log of the old database must not be taken for that of the new one, nor the old snapshot for its own."""
    path, bundle = tmp_path / "catalogue", Bundle.open(tiny_bundle)
    with open_for_build(path, bundle) as catalogue:
        build(catalogue, ImageEncoder(bundle), read_source(picture_folder), quiet=True)
        catalogue.delete(["red/0.png"])  # the log holds something for as long as the catalogue is open

        class Killed(BaseException):
            pass

        unlink, done = Path.unlink, []

        def is_killed(file, **options):
            if len(done) == steps:
                raise Killed
            done.append(file)
            unlink(file, **options)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", is_killed)
            with pytest.raises(Killed):
                open_for_build(path, bundle, fresh=True)
        assert newest_snapshot(path) is None, "a snapshot is left of a database that is gone"
        with open_for_build(path, bundle, fresh=True) as fresh:
            assert fresh.stats().items == 0
            build(fresh, ImageEncoder(bundle), read_source(picture_folder), quiet=True)
            assert fresh.stats().items == 12
    assert verify(path, means=None, tell=lambda part, done, total: None).clean


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        ("https://host/a.jpg?signed=1", "https://host/a.jpg?signed=2", "unchanged"),
        ("https://host/a.jpg?signed=1", "https://host/b.jpg?signed=1", "relabelled"),
        ("https://host/t.parquet?signed=1#7", "https://host/t.parquet?signed=2#8", "relabelled"),
        ("/photos/a?1.jpg", "/photos/a?2.jpg", "relabelled"),
    ],
)
def test_what_signs_a_url_is_no_part_of_the_place(index, picture_folder, before, now, kind):
    """Else every run over signed URLs would write every item anew."""
    index(picture_folder)
    with opened(index) as catalogue:
        item = catalogue.get("red/0.png")
        stored = catalogue.embedding(item.id), catalogue.thumbnail(item.id)
        then, facts = (PictureFacts(item.id, place, item.labels, item.metadata) for place in (before, now))
        catalogue.put([new_item(then, item.content_hash, *stored)])
        assert prepared_if_known(catalogue, facts, item.content_hash).kind == kind
