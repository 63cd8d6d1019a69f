"""Bulk indexing: what is encoded, what is left alone, what is set aside."""

import csv

import numpy as np
import pytest
from pictures import drawn, file_bytes, write_picture_folder

from encoder.bundle import Bundle
from encoder.errors import CatalogueError, EncoderMismatchError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess
from index.build import build, open_for_build
from index.sources import read_source


@pytest.fixture
def index(tmp_path, tiny_bundle):
    bundle = Bundle.open(tiny_bundle)

    def run(source, **options):
        with open_for_build(tmp_path / "catalogue", bundle) as catalogue:
            return build(catalogue, ImageEncoder(bundle), read_source(source), quiet=True, **options)

    run.path, run.bundle = tmp_path / "catalogue", bundle
    return run


def opened(index):
    return open_for_build(index.path, index.bundle)


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


def test_the_report_names_the_limiting_stage(index, tmp_path):
    report = index(write_picture_folder(tmp_path / "photos2"))
    assert report.limited_by in report.stage_seconds
    assert report.limited_by == max(report.stage_seconds, key=report.stage_seconds.get)
