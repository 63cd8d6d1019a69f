"""A catalogue into a Parquet file and back: identical, also odd texts; and what an untrusted file may hold."""

import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_encoder import DIM
from vector_catalogue import clustered, item_of

from encoder.bundle import Bundle
from encoder.errors import CatalogueError, EncoderMismatchError, SourceError
from index import export_table as export_module
from index import import_table as import_module
from index.export_table import export_table
from index.import_table import import_table
from index.sqlite_catalogue import SqliteCatalogue
from index.vectors import pack
from lodisc.cli import main

WEBP = b"RIFF\x04\x00\x00\x00WEBP"
ODD = ["", " ", "a\x00b", "Zoë 🦋", "\u202eright to left", "line\nbreak\r\n", '"quoted" \\ ', "ﬁ", "a\u0301", "\x7f"]


@pytest.fixture
def catalogue(tmp_path, tiny_bundle, monkeypatch):
    monkeypatch.setattr(export_module, "ROWS_OF_GROUP", 7)
    with SqliteCatalogue.create(
        tmp_path / "catalogue", Bundle.open(tiny_bundle), ranks=("species", "genus"), domain="odd things"
    ) as opened:
        yield opened


def fill(catalogue, num=40):
    for number, vector in enumerate(clustered(num)):
        odd = ODD[number % len(ODD)]
        metadata = {odd: odd, "year": 2000 + number, "exact": 1.0, "yes": True, "no": None, "deep": [{"x": 2**70}, 0.1]}
        labels = {"family": odd, "genus": f"G{number % 3}", "species": f"s {odd}"}
        item = replace(
            item_of(f"{odd}/{number}", vector),
            labels=labels if number % 4 else {}, metadata=metadata if number else {}, source=f"/photos/{odd}",
            content_hash=f"{number:064x}" if number % 5 else "",
            thumbnail=WEBP + bytes([number]) * number,
        )  # fmt: skip
        catalogue.put([item])
    catalogue.put([replace(item, metadata={"again": 1})])
    catalogue.delete([f"{ODD[1]}/1"])


def all_of(catalogue):
    """Everything that a catalogue holds, in order; metadata as text, in which 1, 1.0 and true differ."""
    return [
        (record.item.id, list(record.item.labels.items()), json.dumps(record.item.metadata), record.item.source,
         record.item.content_hash, record.vector, record.thumbnail)
        for record in catalogue.records()
    ]  # fmt: skip


@pytest.fixture
def table(catalogue, tmp_path):
    fill(catalogue)
    path = tmp_path / "catalogue.parquet"
    assert export_table(catalogue, path, quiet=True) == 39
    return path


def changed(table, tmp_path, change):
    """The file with other rows."""
    path = tmp_path / "changed.parquet"
    found = pq.read_table(table)
    pq.write_table(pa.Table.from_pylist(change(found.to_pylist()), schema=found.schema), path)
    return path


def test_a_round_trip_without_the_bundle_gives_the_same_catalogue(catalogue, table, tmp_path):
    report = import_table(tmp_path / "copy", table, quiet=True)
    assert (report.added, report.replaced, report.unchanged, report.num_refused) == (39, 0, 0, 0)
    with SqliteCatalogue.open(tmp_path / "copy") as copy:
        assert all_of(copy) == all_of(catalogue)
        for name in ("manifest", "ranks", "variant", "domain", "bundle_path"):
            assert getattr(copy, name) == getattr(catalogue, name)
        catalogue.compact()  # as the import has done: else the last digit of a cosine differs
        query = clustered(1, seed=5)
        assert copy.search(query, k=20) == catalogue.search(query, k=20)
        assert copy.stats().snapshot_items == 39
        again = import_table(tmp_path / "copy", table, quiet=True)
        assert (again.added, again.replaced, again.unchanged) == (0, 0, 39)
        assert copy.stats().last_change == 39


def test_an_import_that_was_cut_off_is_ended_by_the_next(catalogue, table, tmp_path, monkeypatch):
    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SqliteCatalogue, "compact", killed)
        with pytest.raises(KeyboardInterrupt):
            import_table(tmp_path / "copy", table, quiet=True)
    assert import_table(tmp_path / "copy", table, quiet=True).unchanged == 39
    with SqliteCatalogue.open(tmp_path / "copy") as copy:
        assert copy.stats().snapshot_items == 39


def test_another_program_reads_what_was_stored(catalogue, table):
    found = pq.read_table(table)
    assert pq.ParquetFile(table).num_row_groups == 6
    assert json.loads(found.schema.metadata[b"lodisc"])["ranks"] == ["species", "genus"]
    embeddings = np.stack(found["embedding"].to_numpy())
    assert embeddings.dtype == np.float32
    for row, embedding in zip(found.to_pylist(), embeddings, strict=True):
        assert json.loads(row["metadata"]) == catalogue.get(row["id"]).metadata
        assert dict(row["labels"]) == catalogue.get(row["id"]).labels
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=2e-3)
    assert [pack(embedding, DIM) for embedding in embeddings] == [record.vector for record in catalogue.records()]


def test_a_filter_exports_a_part_and_an_import_replaces_what_differs(catalogue, tmp_path):
    fill(catalogue)
    path = tmp_path / "part.parquet"
    assert export_table(catalogue, path, filter='genus == "G1"', quiet=True) == catalogue.count('genus == "G1"') > 3
    ids = [row["id"] for row in pq.read_table(path).to_pylist()]
    before = all_of(catalogue)
    known = catalogue.get(ids[0])
    catalogue.put([replace(item_of(ids[0], clustered(1)[0]), labels=known.labels)])
    catalogue.delete([ids[1]])
    report = import_table(catalogue.path, path, quiet=True)
    assert (report.added, report.replaced, report.unchanged) == (1, 1, len(ids) - 2)
    assert sorted(all_of(catalogue)) == sorted(before)


def test_two_first_imports_at_once_make_one_catalogue(catalogue, tmp_path, monkeypatch):
    fill(catalogue)
    parts = [tmp_path / "one.parquet", tmp_path / "other.parquet"]
    for part, filter in zip(parts, ['genus == "G1"', 'genus == "G2"'], strict=True):
        export_table(catalogue, part, filter=filter, quiet=True)
    claim = import_module.claim

    def another_comes_first(path):
        claim(path)
        monkeypatch.setattr(import_module, "claim", claim)
        import_table(path, parts[0], quiet=True)

    monkeypatch.setattr(import_module, "claim", another_comes_first)
    assert import_table(tmp_path / "new", parts[1], quiet=True).added == catalogue.count('genus == "G2"')
    with SqliteCatalogue.open(tmp_path / "new") as made:
        assert set(made.ids()) == {record.item.id for record in catalogue.records('genus in ("G1", "G2")')}


def test_bad_rows_are_named_and_the_others_come_in(table, tmp_path, capsys):
    bad = {
        1: {"embedding": [float("nan")] * DIM}, 2: {"embedding": [1e30] * DIM}, 3: {"metadata": "[1]"},
        4: {"metadata": '{"a": NaN}'}, 5: {"metadata": '{"a": "\\ud800"}'}, 6: {"metadata": "[" * 100_000},
        7: {"id": ""}, 8: {"content_hash": "x"}, 9: {"thumbnail": b"<svg>"}, 10: {"labels": [("a", "1"), ("a", "2")]},
        11: {"metadata": "{"}, 12: {"id": "twice"}, 13: {"id": "twice"},
    }  # fmt: skip
    path = changed(table, tmp_path, lambda rows: [row | bad.get(number, {}) for number, row in enumerate(rows)])
    assert main(["index", "import", str(tmp_path / "copy"), "--from", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "27 added, 0 replaced, 0 unchanged, 12 refused" in out
    refused = [line for line in err.splitlines() if line.startswith("row ")]
    assert [int(line.split(":")[0].removeprefix("row ")) for line in refused] == [*range(1, 12), 13]
    assert "row 13: its id 'twice' is that of row 12" in refused


def test_text_that_is_not_utf_8_costs_its_row(table, tmp_path):
    found = pq.read_table(table)
    ids = [text.encode() for text in found["id"].to_pylist()]
    ids[5] = b"\xff\xfe"
    column = pa.array(ids, pa.binary()).view(pa.string())
    path = tmp_path / "bytes.parquet"
    pq.write_table(found.set_column(0, found.schema.field("id"), column), path)
    report = import_table(tmp_path / "copy", path, quiet=True)
    assert (report.added, report.refused) == (38, [(5, "id is not UTF-8 text")])


def test_another_encoder_is_refused_and_nothing_is_written(table, tmp_path, other_bundle):
    SqliteCatalogue.create(tmp_path / "other", Bundle.open(other_bundle)).close()
    with pytest.raises(EncoderMismatchError, match="cannot be compared"):
        import_table(tmp_path / "other", table, quiet=True)
    with SqliteCatalogue.open(tmp_path / "other") as other:
        assert other.count() == 0
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "letter.txt").write_text("mine")
    with pytest.raises(CatalogueError, match="not a catalogue"):
        import_table(tmp_path / "folder", table, quiet=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 9}, "format_version is 9"),
        ({"ranks": ["a", "a"]}, "twice"),
        ({"ranks": [1]}, "not text"),
        ({"variant": "int4"}, "no variant"),
        ({"manifest": {"format_version": 2}}, "manifest"),
        ({"manifest": None}, "manifest"),
    ],
)
def test_a_heading_that_is_not_as_it_must_be_makes_no_catalogue(table, tmp_path, change, message):
    found = pq.read_table(table)
    heading = json.dumps(json.loads(found.schema.metadata[b"lodisc"]) | change)
    path = tmp_path / "changed.parquet"
    pq.write_table(found.replace_schema_metadata({"lodisc": heading}), path)
    with pytest.raises(SourceError, match=message):
        import_table(tmp_path / "copy", path, quiet=True)
    assert not (tmp_path / "copy").exists()


def test_files_that_are_not_ours_are_refused(table, tmp_path):
    found = pq.read_table(table)
    path = tmp_path / "changed.parquet"
    for other, message in (
        (found.replace_schema_metadata(None), "not written by `lodisc index export`"),
        (found.drop_columns(["source"]), "no column 'source'"),
        (found.set_column(5, "embedding", pa.array([[0.5]] * 39, pa.list_(pa.float32(), 1))), "column embedding is"),
    ):
        pq.write_table(other, path)
        with pytest.raises(SourceError, match=message):
            import_table(tmp_path / "copy", path, quiet=True)
    for data in (b"", b"PAR1", table.read_bytes()[:-9]):
        path.write_bytes(data)
        with pytest.raises(SourceError, match="cannot be read as a Parquet file"):
            import_table(tmp_path / "copy", path, quiet=True)
    assert not (tmp_path / "copy").exists()


def test_a_file_that_cannot_be_written_leaves_the_one_that_is_there(catalogue, table, monkeypatch, capsys):
    before = table.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "_batch", full)
    assert main(["index", "export", str(catalogue.path), "--to", str(table)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert table.read_bytes() == before
    assert [path.name for path in table.parent.glob("*.parquet*")] == [table.name]
    assert not list(table.parent.glob(".*partial"))


def test_the_commands_say_what_they_did(catalogue, table, tmp_path, capsys):
    assert main(["index", "export", str(catalogue.path), "--to", str(tmp_path / "b.parquet"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == 39
    assert main(["index", "import", str(tmp_path / "copy"), "--from", str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["added"] == 39
    assert main(["index", "import", str(tmp_path / "copy"), "--from", str(tmp_path / "no.parquet")]) == 2
    assert main(["index", "export", str(catalogue.path), "--to", str(tmp_path / "no" / "b.parquet")]) == 2


def test_without_pyarrow_the_command_names_the_extra(catalogue, tmp_path, monkeypatch, capsys):
    for module in ("index.export_table", "index.catalogue_table"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["index", "export", str(catalogue.path), "--to", str(tmp_path / "a.parquet")]) == 2
    assert "pip install -e '.[parquet]'" in capsys.readouterr().err
