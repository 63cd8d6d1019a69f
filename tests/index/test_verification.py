"""Every promise of a catalogue, broken on purpose: it is found, named, and mended where it can be derived."""

import shutil
import sqlite3
import tarfile

import numpy as np
import pytest
from tiny_encoder import DIM
from vector_catalogue import item_of

from encoder.bundle import Bundle
from encoder.errors import CatalogueNotFoundError, EncoderMismatchError, SchemaVersionError
from encoder.image_encoder import ImageEncoder
from index.build import build, open_for_build
from index.locks import compacting_alone, writing_alone
from index.snapshot import newest_snapshot
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue
from index.verification import verify
from index.verification_repair import Means

CATALOGUE_CHECKS = ["database", "embeddings", "thumbnails", "orphans", "changes", "documents", "hashes"]
ALL_CHECKS = [*CATALOGUE_CHECKS, "snapshot", "leftovers", "pictures", "content"]


@pytest.fixture
def path(tmp_path, tiny_bundle, picture_folder):
    path = tmp_path / "catalogue"
    filled(path, tiny_bundle, picture_folder)
    return path


def filled(path, bundle, source):
    bundle = Bundle.open(bundle)
    with open_for_build(path, bundle) as catalogue:
        build(catalogue, ImageEncoder(bundle), read_source(source), quiet=True)


def checked(path, *, mend=False, pictures=True, **means):
    return verify(path, means=Means(**means) if pictures else None, mend=mend, tell=lambda part, done, total: None)


def broken(report):
    """What is left, and what a kill left, by check."""
    return {check.name: check.remaining for check in report.checks if check.remaining}


def alter(path, *statements):
    connection = sqlite3.connect(path / "catalogue.sqlite")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def vectors_by_id(path):
    with SqliteCatalogue.open(path) as catalogue:
        return {item_id: catalogue.embedding(item_id) for item_id in catalogue.ids()}


def searches_are_right(path, expected):
    """Each item finds itself first, and everything is found in the order of its cosine."""
    with SqliteCatalogue.open(path) as catalogue:
        for item_id, vector in expected.items():
            matches = catalogue.search(vector[None], k=100)[0]
            assert matches[0].id == item_id
            truth = {other: float(other_vector @ vector) for other, other_vector in expected.items()}
            assert {match.id for match in matches} == set(truth)
            assert [match.score for match in matches] == pytest.approx([truth[m.id] for m in matches], abs=1e-5)


def test_a_whole_catalogue_is_whole_and_is_left_alone(path):
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    report = checked(path)
    assert [check.name for check in report.checks] == ALL_CHECKS
    assert report.clean
    assert broken(report) == {}
    assert [check.looked_at for check in report.checks][1:4] == [12, 12, 24]
    assert report.of("snapshot").looked_at == report.of("pictures").looked_at == 12
    after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert {file: data for file, data in after.items() if file.suffix not in (".sqlite-shm", ".sqlite-wal")} == before


@pytest.mark.parametrize(
    ("statement", "check", "example"),
    [
        ("DELETE FROM embedding WHERE row = 3", "embeddings", "has none"),
        ("UPDATE embedding SET vector = x'0000' WHERE row = 3", "embeddings", f"is no blob of {2 * DIM} bytes"),
        ("UPDATE embedding SET vector = 'text' WHERE row = 3", "embeddings", "is no blob"),
        (f"UPDATE embedding SET vector = zeroblob({2 * DIM}) WHERE row = 3", "embeddings", "has length 0"),
        (f"UPDATE embedding SET vector = CAST(x'{'007c' * DIM}' AS BLOB) WHERE row = 3", "embeddings", "not finite"),
        (
            f"UPDATE embedding SET vector = CAST(x'{'003c' * DIM}' AS BLOB) WHERE row = 3",
            "embeddings",
            "has length 4.9",
        ),
        ("DELETE FROM thumbnail WHERE row = 3", "thumbnails", "'blue/2.png' has none"),
        ("INSERT INTO embedding VALUES (77, x'00')", "orphans", "the embedding of row 77"),
        ("INSERT INTO thumbnail VALUES (77, x'00')", "orphans", "the thumbnail of row 77"),
        ("DELETE FROM change WHERE row = 3", "changes", "row 3 is there and its addition is not noted"),
        ("INSERT INTO change (row, kind) VALUES (3, 'remove')", "changes", "row 3 is there and 1 removals are noted"),
        ("INSERT INTO change (row, kind) VALUES (99, 'add')", "changes", "row 99 is gone and its removal is not noted"),
        ("UPDATE item SET labels = '[1]' WHERE row = 3", "documents", "the labels of 'blue/2.png'"),
        ("UPDATE item SET metadata = '{' WHERE row = 3", "documents", "the metadata of 'blue/2.png'"),
        (
            "UPDATE item SET labels = CAST(x'7b226c6162656c223a22f8227d' AS TEXT) WHERE row = 3",
            "documents",
            "the labels of 'blue/2.png'",
        ),
    ],
)
def test_each_fault_is_found_and_repaired(path, statement, check, example):
    expected = vectors_by_id(path)
    alter(path, statement)
    report = checked(path)
    assert report.of(check).remaining == 1
    assert example in report.of(check).examples[0]
    assert set(broken(report)) <= {check, "snapshot"}, "one fault is one finding, and one of what derives of it"
    assert not report.clean
    assert broken(checked(path)) == broken(report), "looking changed something"

    report = checked(path, mend=True)
    assert report.clean
    assert (report.of(check).found, report.of(check).repaired) == (1, 1)
    assert broken(checked(path)) == {}
    assert vectors_by_id(path).keys() == expected.keys(), "a repair deletes no item"
    for item_id, vector in vectors_by_id(path).items():
        np.testing.assert_allclose(vector, expected[item_id], atol=1e-6)
    searches_are_right(path, expected)


def test_all_faults_at_once(path):
    expected = vectors_by_id(path)
    alter(
        path,
        "DELETE FROM thumbnail WHERE row IN (1, 2)",
        "DELETE FROM embedding WHERE row = 2",
        "UPDATE item SET labels = 'x', metadata = 'x' WHERE row IN (2, 3)",
        "DELETE FROM change WHERE row IN (2, 4)",
        f"UPDATE embedding SET vector = CAST(x'{'003c' * DIM}' AS BLOB) WHERE row IN (3, 4)",
    )
    report = checked(path, mend=True)
    assert report.clean
    assert {check.name: check.repaired for check in report.checks if check.repaired and check.name != "snapshot"} == {
        "embeddings": 3, "thumbnails": 2, "changes": 2, "documents": 4,
    }  # fmt: skip
    searches_are_right(path, expected)


def test_a_hash_that_is_none_is_mended_by_the_command_that_is_named(path, tiny_bundle, picture_folder):
    alter(path, "UPDATE item SET content_hash = 'zz' WHERE row = 3")
    report = checked(path, mend=True)
    assert broken(report) == {"hashes": 1, "content": 1}
    assert f"lodisc index build {path} --images SOURCE --bundle {tiny_bundle}" in report.of("hashes").remedy
    filled(path, tiny_bundle, picture_folder)
    assert broken(checked(path)) == {}


def test_pictures_that_are_missing_changed_or_away_are_kept_apart(path, picture_folder, tmp_path):
    (picture_folder / "red" / "0.png").unlink()
    (picture_folder / "red" / "1.png").write_bytes((picture_folder / "red" / "2.png").read_bytes())
    report = checked(path)
    assert broken(report) == {"pictures": 1, "content": 1}
    assert "red/0.png" in report.of("pictures").examples[0]
    assert "red/1.png" in report.of("content").examples[0]
    assert (report.of("pictures").kind, report.of("content").kind) == ("source", "source")
    assert "lodisc index build" in report.of("content").remedy
    assert broken(checked(path, mend=True)) == {"pictures": 1, "content": 1}, "nothing here is to be guessed"
    assert broken(checked(path, pictures=False)) == {}

    shutil.move(picture_folder, tmp_path / "moved")
    report = checked(path)
    assert broken(report) == {}, "where no picture can be reached none is missing"
    assert report.of("pictures").looked_at == 0
    assert "12 could not be looked for" in report.of("pictures").note
    report = checked(path, source=read_source(tmp_path / "moved"))
    assert broken(report) == {"content": 1}
    assert report.of("pictures").looked_at == 11
    assert "1 could not be looked for" in report.of("pictures").note


def test_an_embedding_is_not_made_of_another_picture(path, picture_folder):
    alter(path, "DELETE FROM embedding WHERE row = 1", "DELETE FROM thumbnail WHERE row = 2")
    (picture_folder / "blue" / "0.png").write_bytes((picture_folder / "red" / "2.png").read_bytes())
    report = checked(path, mend=True)
    assert broken(report) == {"embeddings": 1, "content": 1}
    assert report.of("thumbnails").repaired == 1
    assert "--source SOURCE" in report.of("embeddings").remedy


def test_moved_pictures_and_a_moved_bundle_are_said_where_they_are(path, picture_folder, tiny_bundle, other_bundle):
    bundle = shutil.copytree(tiny_bundle, path.parent / "bundle")
    with SqliteCatalogue.open(path) as catalogue:
        catalogue.remember(bundle_path=bundle)
    expected = vectors_by_id(path)
    shutil.rmtree(bundle)
    moved = shutil.move(picture_folder, path.parent / "moved")
    alter(path, "DELETE FROM embedding WHERE row IN (1, 2)")
    report = checked(path, mend=True, source=read_source(moved))
    assert report.of("embeddings").remaining == 2
    assert "say where it is with --bundle" in report.of("embeddings").note
    with pytest.raises(EncoderMismatchError):
        checked(path, mend=True, source=read_source(moved), bundle=other_bundle)
    assert checked(path, mend=True, source=read_source(moved), bundle=tiny_bundle).clean
    searches_are_right(path, expected)


def test_pictures_in_a_tar_are_looked_at_and_repaired_from_it(tmp_path, tiny_bundle, picture_folder):
    shard = tmp_path / "photos.tar"
    with tarfile.open(shard, "w") as tar:
        tar.add(picture_folder, arcname=".")
    path = tmp_path / "catalogue"
    filled(path, tiny_bundle, shard)
    assert checked(path).of("pictures").looked_at == 12
    expected = vectors_by_id(path)
    alter(path, "DELETE FROM embedding WHERE row IN (1, 5)", "DELETE FROM thumbnail WHERE row = 5")
    assert checked(path, mend=True).clean
    searches_are_right(path, expected)
    shard.unlink()
    report = checked(path)
    assert "12 could not be looked for" in report.of("pictures").note


def test_items_of_clients_have_no_picture_file(path):
    with SqliteCatalogue.open(path) as catalogue:
        catalogue.put([item_of("client", np.eye(DIM, dtype=np.float32)[0])])
    report = checked(path)
    assert report.clean
    assert "1 items were put by clients" in report.of("pictures").note


def test_a_damaged_database_is_told_and_nothing_of_it_is_believed(path):
    content = bytearray((path / "catalogue.sqlite").read_bytes())
    page = int.from_bytes(content[16:18], "big")
    for position in range(2 * page, len(content), 7):
        content[position] ^= 0x5A
    (path / "catalogue.sqlite").write_bytes(content)
    for mend in (False, True):
        report = checked(path, mend=mend)
        assert [check.name for check in report.checks] == ["database"]
        assert not report.clean
        assert "restore a copy" in report.of("database").remedy
        assert "--fresh" in report.of("database").remedy
    assert (path / "catalogue.sqlite").read_bytes() == content, "a repair has touched it"


@pytest.mark.parametrize("column", ["id", "source", "content_hash"])
def test_a_text_without_which_there_is_no_item_is_damage_of_the_database(path, column):
    alter(path, f"UPDATE item SET {column} = CAST(x'66f6' AS TEXT) WHERE row = 3")
    for mend in (False, True):
        report = checked(path, mend=mend)
        assert broken(report) == {"database": 1}
        assert column in report.of("database").examples[0]
        assert "restore a copy" in report.of("database").remedy


def test_pages_that_were_overwritten_are_a_finding(path):
    content = bytearray((path / "catalogue.sqlite").read_bytes())
    content[8192:60_000] = b"\xff" * (60_000 - 8192)
    (path / "catalogue.sqlite").write_bytes(content)
    assert set(broken(checked(path))) == {"database"}


def test_a_file_that_is_no_database_is_a_finding(path):
    (path / "catalogue.sqlite").write_bytes(b"x" * 20_000)
    assert broken(checked(path)) == {"database": 1}


def test_indexes_of_the_database_are_built_anew(path):
    connection = sqlite3.connect(path / "catalogue.sqlite")
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'item_content'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    # An empty leaf of an index: valid by itself, and without the entries of the table.
    with (path / "catalogue.sqlite").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes([10, 0, 0, 0, 0]) + size.to_bytes(2, "big") + bytes([0]) + bytes(size - 8))
    assert set(broken(checked(path))) == {"database"}
    report = checked(path, mend=True)
    assert report.clean
    assert report.of("database").repaired > 0
    assert broken(checked(path)) == {}


def test_what_kills_left_behind_is_harmless_and_removed(path):
    newest = newest_snapshot(path)
    (path / ".new-1").mkdir()
    (path / "ann" / ".new-2").mkdir()
    shutil.copytree(path / "ann" / str(newest), path / "ann" / "3")
    report = checked(path)
    assert report.clean
    assert broken(report) == {"leftovers": 3}
    report = checked(path, mend=True)
    assert broken(report) == {}
    assert report.of("leftovers").repaired == 3
    assert [folder.name for folder in (path / "ann").iterdir() if folder.is_dir()] == [str(newest)]


def test_a_snapshot_ahead_of_the_database_is_replaced(path):
    newest = newest_snapshot(path)
    expected = vectors_by_id(path)
    alter(path, f"DELETE FROM change WHERE seq = {newest}")  # as a copy of the database from before would have it
    report = checked(path)
    assert "is ahead of the database" in report.of("snapshot").examples[0]
    assert checked(path, mend=True).clean
    assert newest_snapshot(path) == newest + 2  # its addition is noted anew, as a removal and an addition
    searches_are_right(path, expected)


def test_a_snapshot_of_other_vectors_is_found(path):
    """A checksum cannot tell: the snapshot is whole, and not that of this database."""
    expected = vectors_by_id(path)
    one, other = "blue/0.png", "blue/1.png"
    connection = sqlite3.connect(path / "catalogue.sqlite")
    (blob,) = connection.execute("SELECT vector FROM embedding WHERE row = 2").fetchone()
    connection.execute("UPDATE embedding SET vector = ? WHERE row = 1", (blob,))
    connection.commit()
    connection.close()
    report = checked(path)
    assert broken(report) == {"snapshot": 1}
    assert "has another vector for row 1" in report.of("snapshot").examples[0]
    assert checked(path, mend=True).clean
    with SqliteCatalogue.open(path) as catalogue:
        assert {match.id for match in catalogue.search(expected[other][None], k=2)[0]} == {one, other}


def test_it_runs_beside_writers_and_waits_for_none(path):
    with writing_alone(path):
        assert checked(path).of("leftovers").note.startswith("a bulk run is at work")
    writer = sqlite3.connect(path / "catalogue.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert checked(path).clean
    writer.execute("ROLLBACK")
    writer.close()
    with compacting_alone(path):
        pass
    assert checked(path).clean


def test_no_catalogue_and_a_newer_one_are_told(path, tmp_path):
    with pytest.raises(CatalogueNotFoundError):
        checked(tmp_path / "none")
    alter(path, "PRAGMA user_version = 99")
    with pytest.raises(SchemaVersionError):
        checked(path)
