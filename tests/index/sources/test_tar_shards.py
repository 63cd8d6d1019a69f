"""Webdataset tars: samples, sidecars, shards, and damage; against tars written by hand."""

import io
import json
import tarfile

import fsspec
import pytest
from pictures import drawn, file_bytes

from encoder.errors import InputError, SourceError
from index.sources.picture import UnreadablePart
from index.sources.reading import read_source

PICTURES = [file_bytes(drawn((number * 20, 90, 200), number)) for number in range(8)]


def write(path, members, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_samples_with_json_class_and_text(tmp_path):
    write(
        tmp_path / "x.tar",
        [
            ("0001.jpg", PICTURES[0]),
            ("0001.json", json.dumps({"genus": "Pica", "year": 2011, "id": "first", "note": None}).encode()),
            ("0001.cls", b"7\n"),
            ("./sub/0002.PNG", PICTURES[1]),
            ("sub/0002.txt", b"ein Fink"),
            ("sub/0002.mp4", b"not read"),
            ("._0003.png", b"of a Mac"),
            ("0003.left.png", PICTURES[2]),
            ("0003.right.png", PICTURES[3]),
        ],
    )
    source = read_source(tmp_path / "x.tar", ("species", "genus"))
    assert source.num_pictures is None
    one, two, left, right = source
    assert (one.facts.id, list(one.facts.labels.items())) == ("first", [("species", "7"), ("genus", "Pica")])
    assert (one.facts.metadata, one.read()) == ({"year": 2011}, PICTURES[0])
    assert (two.facts.id, two.facts.labels, two.facts.metadata) == ("sub/0002.PNG", {}, {"text": "ein Fink"})
    assert (left.facts.id, right.facts.id) == ("0003.left.png", "0003.right.png")
    assert (left.read(), right.read()) == (PICTURES[2], PICTURES[3])
    with fsspec.open(left.facts.location) as file:
        assert file.read() == PICTURES[2], "the location is not one that fsspec opens"


def test_shards_by_braces_in_order_and_gzip(tmp_path):
    for number in range(8, 11):
        write(tmp_path / f"s-{number:03}.tar.gz", [(f"{number}.png", PICTURES[number - 8])], "w:gz")
    assert [one.facts.id for one in read_source(tmp_path / "s-{008..010}.tar.gz")] == ["8.png", "9.png", "10.png"]
    with pytest.raises(SourceError, match=r"s-011.tar.gz does not exist"):
        read_source(tmp_path / "s-{008..011}.tar.gz")
    with pytest.raises(SourceError, match=r"t-\*.tar does not exist"):
        read_source(tmp_path / "t-*.tar")


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        (b"{broken", "beside 1 cannot be read"),
        (b"[1]", "expected a JSON object"),
        (b'{"x": NaN}', "NaN is not JSON"),
        (b'{"x": %s%s}' % (b"[" * 700, b"]" * 700), "recursion"),
    ],
)
def test_a_broken_sidecar_costs_its_sample_only(tmp_path, sidecar, message):
    write(tmp_path / "x.tar", [("0.png", PICTURES[0]), ("1.png", PICTURES[1]), ("1.json", sidecar), ("2.cls", b"3")])
    good, bad, bare = read_source(tmp_path / "x.tar")
    assert good.read() == PICTURES[0]
    with pytest.raises(InputError, match=message):
        bad.read()
    with pytest.raises(InputError, match="sample 2 has no picture, only cls"):
        bare.read()


def test_a_shard_that_is_cut_short_is_told_and_the_next_goes_on(tmp_path):
    members = [(f"{number}.png", PICTURES[number]) for number in range(4)]
    write(tmp_path / "a.tar", members)
    write(tmp_path / "b.tar", [("b.png", PICTURES[5])])
    whole = (tmp_path / "a.tar").read_bytes()
    cut = whole.index(PICTURES[2]) + 20
    (tmp_path / "a.tar").write_bytes(whole[:cut])
    # Of 1.png nobody knows whether a label lay beside it, so it is left to the run that finds the shard whole.
    zero, part, last = read_source(tmp_path / "?.tar")
    assert [zero.facts.id, last.facts.id] == ["0.png", "b.png"]
    assert isinstance(part, UnreadablePart)
    assert part.location == str(tmp_path / "a.tar")
    assert "after 1 pictures" in part.reason


def test_what_is_no_tar_or_has_no_picture(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"PK\3\4" * 400)
    with pytest.raises(SourceError, match="cannot be read as a tar file"):
        read_source(tmp_path / "x.tar")
    write(tmp_path / "y.tar", [("a.mp3", b"x")])
    with pytest.raises(SourceError, match="holds no pictures"):
        read_source(tmp_path / "y.tar")
