"""Every kind of source behind a URL: fsspec's `memory://` stands for any store."""

import io
import subprocess
import sys
import tarfile

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import drawn, file_bytes

from encoder.bundle import Bundle
from encoder.errors import InputError, MissingExtraError, SourceError
from encoder.image_encoder import ImageEncoder
from index.build import build, open_for_build
from index.sources.files import read
from index.sources.reading import read_source

PICTURES = {f"{name}.png": file_bytes(drawn(colour, 1)) for name, colour in (("a", (9, 9, 200)), ("b", (9, 200, 9)))}


@pytest.fixture
def store():
    memory = fsspec.filesystem("memory")
    for name, data in PICTURES.items():
        memory.pipe(f"/shop/photos/Pica/{name}", data)
    memory.pipe("/shop/photos/.hidden/c.png", b"")
    memory.pipe("/shop/photos/Pica/notes.txt", b"")
    memory.pipe("/shop/list.csv", b"path,year\nphotos/Pica/a.png,2011\nmemory://shop/photos/Pica/b.png,2012\n")
    buffer = io.BytesIO()
    pq.write_table(pa.table({"path": ["photos/Pica/a.png"], "label": ["magpie"]}), buffer)
    memory.pipe("/shop/paths.parquet", buffer.getvalue())
    for name, data in PICTURES.items():
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        memory.pipe(f"/shop/shards/{name[0]}.tar", buffer.getvalue())
    yield memory
    memory.rm("/shop", recursive=True)


@pytest.mark.parametrize(
    ("location", "ids"),
    [
        ("memory://shop/photos", ["Pica/a.png", "Pica/b.png"]),
        ("memory://shop/photos/", ["Pica/a.png", "Pica/b.png"]),
        ("memory://shop/list.csv", ["photos/Pica/a.png", "memory:/shop/photos/Pica/b.png"]),
        ("memory://shop/paths.parquet", ["photos/Pica/a.png"]),
        ("memory://shop/shards/*.tar", ["a.png", "b.png"]),
        ("memory://shop/shards/{b,a}.tar", ["b.png", "a.png"]),
    ],
)
def test_every_kind_of_source_behind_a_url(store, tmp_path, tiny_bundle, location, ids):
    bundle = Bundle.open(tiny_bundle)
    source = read_source(location)
    assert [picture.facts.id for picture in source] == ids
    with open_for_build(tmp_path / "catalogue", bundle) as catalogue:
        report = build(catalogue, ImageEncoder(bundle), source, quiet=True)
        assert (report.encoded, report.rejected) == (len(ids), [])
        for item_id in ids:
            location = catalogue.get(item_id).source
            if location.startswith("memory://"):
                assert read(location) in PICTURES.values()
            assert not location.startswith("/"), "a URL was taken for a path"


def test_labels_of_folders_behind_a_url(store):
    a, _ = read_source("memory://shop/photos", ("genus",))
    assert (a.facts.labels, a.facts.location) == ({"genus": "Pica"}, "memory://shop/photos/Pica/a.png")


@pytest.mark.parametrize("depth", ["", "/Pica", "/Pica/old"])
def test_a_folder_that_cannot_be_listed_fails_the_source_and_nothing_is_pruned(
    store, monkeypatch, tmp_path, tiny_bundle, depth
):
    store.pipe("/shop/photos/Pica/old/c.png", PICTURES["a.png"])
    listed = type(store).ls

    def refused(self, path, *arguments, **options):
        if path.rstrip("/") == f"/shop/photos{depth}":
            raise PermissionError(13, "SlowDown", path)
        return listed(self, path, *arguments, **options)

    bundle = Bundle.open(tiny_bundle)
    with open_for_build(tmp_path / "catalogue", bundle) as catalogue:
        build(catalogue, ImageEncoder(bundle), read_source("memory://shop/photos"), quiet=True)
        monkeypatch.setattr(type(store), "ls", refused)
        with pytest.raises(SourceError, match="memory://shop/photos cannot be read: .*SlowDown"):
            build(catalogue, ImageEncoder(bundle), read_source("memory://shop/photos"), prune=True, quiet=True)
        assert catalogue.count() == 3


def test_a_folder_that_goes_while_the_others_are_listed_is_one_without_pictures(store, monkeypatch):
    store.pipe("/shop/photos/Corvus/c.png", PICTURES["a.png"])
    listed = type(store).ls

    def gone(self, path, *arguments, **options):
        if path.rstrip("/").endswith("/Corvus"):
            raise FileNotFoundError(path)
        return listed(self, path, *arguments, **options)

    monkeypatch.setattr(type(store), "ls", gone)
    assert [picture.facts.id for picture in read_source("memory://shop/photos")] == ["Pica/a.png", "Pica/b.png"]


def test_a_url_of_a_file_of_this_machine(tmp_path):
    (tmp_path / "a.png").write_bytes(PICTURES["a.png"])
    (picture,) = read_source(f"file://{tmp_path}")
    assert (picture.facts.id, picture.read()) == ("a.png", PICTURES["a.png"])


def test_what_is_not_there(store):
    with pytest.raises(SourceError, match=r"memory://shop/none does not exist"):
        read_source("memory://shop/none")
    with pytest.raises(InputError, match="does not exist"):
        read("memory://shop/none.png")
    with pytest.raises(SourceError, match="nostore"):
        read_source("nostore://x")


def test_a_store_whose_package_is_missing_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match=r"\.\[remote\]"):
        read_source("s3://bucket/photos")


def test_without_fsspec_the_error_names_the_extra(tmp_path):
    program = (
        "import sys; sys.modules['fsspec'] = None\n"
        f"from lodisc.cli import main; sys.exit(main(['index', 'build', {str(tmp_path / 'c')!r}, '--images', "
        "'s3://bucket/x', '--bundle', 'b']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install -e '.[remote]'" in done.stderr
